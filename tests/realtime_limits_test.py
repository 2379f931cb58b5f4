"""What the hub bears: readers that take nothing, by each rule; caps on connections; rates of connects and publishes."""

import asyncio
import json
import re
import resource
import select
import threading
import unittest

import websockets

from harness.client import request
from harness.edge import SANITIZED, eventually, metric
from harness.hub import KEY, HubScenario, call, publish, sign, stalled_reader
from realtime_plain_test import SECRET, token


class Rules(HubScenario):
    CONFIG = """
[realtime]
distance_messages = 100
[[realtime.channels]]
match = "newest-*"
slow = "drop_newest"
[[realtime.channels]]
match = "pause-*"
slow = "pause"
history = 5000
history_ttl = "1h"
"""

    def flood(self, server, channel, begin, end, size=8000):
        for i in range(begin, end, 50):
            batch = [{"name": "n", "channel": channel, "data": f"{j:06d}" + "x" * size} for j in range(i, i + 50)]
            self.assertEqual(call(server, "POST", "batch_events", {"batch": batch}).status, 200)

    def numbers(self, seen):
        return [int(part[:6]) for part in seen.split(b'"event":"n"')[1:] for part in [part.split(b'"data":"')[1]]]

    def read_until(self, raw, mark):
        seen = b""
        raw.settimeout(30)
        while mark not in seen:
            more = raw.recv(1 << 20)
            self.assertTrue(more, "closed")
            seen += more
        return seen

    def test_drop_newest_gives_what_was_within_the_distance_then_what_comes_and_says_how_many_are_missing(self):
        server = self.hub(self.CONFIG)
        raw = stalled_reader(self, server, "newest-a")
        self.flood(server, "newest-a", 0, 1000)
        seen = self.read_until(raw, b"headroom:missed")
        numbers = self.numbers(seen)
        self.assertEqual(numbers, list(range(len(numbers))))  # the oldest, all of them, in order
        missed = int(seen.split(b'\\"missed\\":')[1].split(b"}")[0])
        self.assertEqual(len(numbers) + missed, 1000)
        self.assertGreater(missed, 500)
        publish(server, "newest-a", "end", "x")  # and it goes on
        self.read_until(raw, b'"event":"end"')
        self.assertEqual(metric(server, "headroom_realtime_dropped_total", cause="drop_newest"), missed)

    def test_a_paused_reader_is_told_where_it_stopped_and_goes_on_from_there(self):
        server = self.hub(self.CONFIG)
        raw = stalled_reader(self, server, "pause-a", more=["open"])
        self.flood(server, "pause-a", 0, 1000, size=800)
        seen = self.read_until(raw, b"headroom:paused")
        numbers = self.numbers(seen)
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertLess(len(numbers), 500)
        position = seen.split(b'{\\"position\\":\\"')[1].split(b'\\"')[0].decode()
        publish(server, "pause-a", "not-yet", "x")
        publish(server, "open", "other", "x")  # its other channels go on
        self.assertNotIn(b"not-yet", self.read_until(raw, b'"event":"other"'))
        publish(server, "pause-a", "alarm", "x", priority="critical")  # and what is critical
        self.assertNotIn(b"not-yet", self.read_until(raw, b'"event":"alarm"'))
        raw.say("pusher:subscribe", {"channel": "pause-a", "resume_after": position})
        seen = self.read_until(raw, b"not-yet")
        self.assertIn(b'"recovered":true', seen)
        self.assertEqual(self.numbers(seen), list(range(len(numbers), 1000)))

    def test_a_healthy_reader_of_such_channels_misses_nothing(self):
        server = self.hub(self.CONFIG)

        async def use():
            async with self.connect(server) as a:
                for channel in ("newest-a", "pause-a"):
                    await a.subscribe(channel)
                    stalled_reader(self, server, channel)
                    for begin in range(0, 1000, 50):
                        await asyncio.get_running_loop().run_in_executor(None, self.flood, server, channel, begin, begin + 50)
                        self.assertEqual([int((await a.event("n"))["data"][:6]) for _ in range(50)], list(range(begin, begin + 50)))

        self.play(use())


class Slow(HubScenario):
    def stalled(self, server, channel):
        return stalled_reader(self, server, channel)

    def flood(self, server, channel, messages, size=8000):
        for i in range(messages // 50):
            batch = [{"name": "n", "channel": channel, "data": f"{i * 50 + j:06d}" + "x" * size} for j in range(50)]
            self.assertEqual(call(server, "POST", "batch_events", {"batch": batch}).status, 200)

    def test_a_reader_that_takes_nothing_costs_little_and_hurts_nobody(self):
        server = self.hub(set={"server.workers": 2})

        async def use():
            async with self.connect(server) as good:
                await good.subscribe("flood")
                self.raws = [self.stalled(server, "flood") for _ in range(20)]
                before = server.resident_bytes()
                loop = asyncio.get_running_loop()
                for begin in range(0, 3000, 50):  # as fast as the good one reads
                    await loop.run_in_executor(None, self.flood, server, "flood", 50)
                    self.assertEqual([int((await good.event("n", timeout=30))["data"][:6]) for _ in range(50)], list(range(50)))
                # 24 MB were published; the stalled readers share one megabyte of references, and are ended for being too far behind.
                if not SANITIZED:  # whose freed memory is kept apart, to see who still uses it
                    self.assert_grows_less(server, before, 12 << 20)
                await loop.run_in_executor(None, lambda: eventually(lambda: metric(server, "headroom_realtime_refused_total", reason="slow") == 20))
                publish(server, "flood", "n", "still there")
                self.assertEqual((await good.event("n"))["data"], "still there")

        self.play(use(), 100)

    def test_a_channel_that_drops_the_oldest_tells_how_many_and_goes_on(self):
        server = self.hub('[realtime]\ndistance_messages = 100\n[[realtime.channels]]\nmatch = "drop-*"\nslow = "drop_oldest"\n'
                          '[[realtime.channels]]\nmatch = "latest-*"\nslow = "latest"\n')
        for channel in ("drop-a", "latest-a"):
            raw = self.stalled(server, channel)
            self.flood(server, channel, 1000)
            publish(server, channel, "end", "x")
            seen = b""
            raw.settimeout(20)
            while b'"event":"end"' not in seen:
                seen += raw.recv(1 << 20)
            got = seen.count(b'"event":"n"')
            missed = sum(int(part.split(b"}")[0]) for part in seen.split(b'\\"missed\\":')[1:])
            told = seen.split(b'\\"position\\":\\"')[1:]
            self.assertTrue(told)
            for part in told:  # the position behind which it goes on: the first has the offset 1 and is number 0
                stands = int(part.split(b'\\"')[0].split(b"-")[1])
                following = re.search(rb'"event":"(?:n|end)"[^}]*"data":"(\d*)', part)
                self.assertEqual(stands, int(following[1] or 1000))
            self.assertEqual(got + missed, 1000, (got, missed))
            self.assertGreater(missed, 500)


    def test_a_critical_message_overtakes_the_backlog_of_a_slow_reader(self):
        server = self.hub()
        raw = self.stalled(server, "busy")
        self.flood(server, "busy", 500, size=2000)  # 1 MB, of which the kernel has taken a little
        publish(server, "busy", "alarm", "now", priority="critical")
        raw.settimeout(20)
        seen = b""
        while b'"event":"alarm"' not in seen:
            seen += raw.recv(1 << 16)
        self.assertLess(seen.count(b'"event":"n"'), 100)
        while seen.count(b'"event":"n"') < 500:  # and nothing of the backlog is lost, nor out of order
            seen += raw.recv(1 << 20)
        numbers = [int(part[:6]) for part in seen.split(b'"data":"')[1:] if part[:6].isdigit()]
        self.assertEqual(numbers, list(range(500)))
        self.assertEqual(seen.count(b'"event":"alarm"'), 1)


class Turns(HubScenario):
    def test_a_busy_channel_of_many_holds_up_no_other_channel(self):
        server = self.hub('[realtime]\nbatch_delay = "0ms"\ndistance_messages = 1000000\ndistance_bytes = "1GiB"\n', set={"server.workers": 1, "edge.max_connections": 4000})
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        look = select.epoll()
        readers = {}
        for _ in range(3000):
            reader = stalled_reader(self, server, "big").socket
            readers[reader.fileno()] = reader
            look.register(reader.fileno(), select.EPOLLIN)
        done = threading.Event()

        def read():
            while not done.is_set():
                for number, _ in look.poll(0.05):
                    readers[number].recv(1 << 16)

        def flood():
            """More than one in the time that a message to all takes."""
            while not done.is_set():
                publish(server, "big", "n", "x")

        async def use():
            async with self.connect(server) as small:
                await small.subscribe("small")
                threads = [threading.Thread(target=work) for work in (read, flood, flood)]
                for thread in threads:
                    thread.start()
                try:
                    await asyncio.sleep(1)
                    for priority in ("critical", "normal"):
                        await asyncio.get_running_loop().run_in_executor(None, lambda: publish(server, "small", "n", priority, priority=priority))
                        self.assertEqual((await small.event("n", timeout=10))["data"], priority)
                finally:
                    done.set()
                    for thread in threads:
                        thread.join()

        self.play(use())


class Stalled(HubScenario):
    def test_one_reader_in_ten_takes_nothing_and_the_others_do_not_notice(self):
        """200 subscribers, of which 20 stop reading: memory within 4 MB, everything reaches the others, and fast."""
        server = self.hub("[realtime]\nbatch_delay = \"0ms\"\n", set={"server.workers": 2})
        healthy, stalled, messages = 180, 20, 600

        async def use():
            connections = [self.connect(server) for _ in range(healthy)]
            clients = [await connection.__aenter__() for connection in connections]
            for client in clients:
                await client.subscribe("busy")
            for _ in range(stalled):
                stalled_reader(self, server, "busy")
            loop = asyncio.get_running_loop()

            def flood(count):
                for i in range(count):
                    publish(server, "busy", "n", str(i) + " " * 2000)

            async def read(client, count):
                for i in range(count):
                    self.assertEqual(int((await client.event("n", timeout=60))["data"]), i)

            flooding = loop.run_in_executor(None, flood, 100)
            await asyncio.gather(*(read(client, 100) for client in clients))
            await flooding
            before = server.resident_bytes()
            flooding = loop.run_in_executor(None, flood, messages)
            await asyncio.gather(*(read(client, messages) for client in clients))
            await flooding
            if not SANITIZED:  # whose memory is not its own
                self.assertLess(server.resident_bytes() - before, 4 << 20)
            for connection in connections:
                await connection.__aexit__(None, None, None)

        self.play(use(), 100)


class Caps(HubScenario):
    def test_connections_of_one_address_are_capped(self):
        server = self.hub("[realtime]\nmax_connections_per_address = 2\n")

        async def use():
            async with self.connect(server), self.connect(server):
                async with self.connect(server, hello=False) as third:
                    self.assertEqual((await third.event("pusher:error"))["data"]["code"], 4100)
                self.assertEqual(request(server.edge, "GET", "/_headroom/realtime/poll?channels=public").status, 503)
            await asyncio.get_running_loop().run_in_executor(None, lambda: eventually(
                lambda: metric(server, "headroom_realtime_connections_open") == 0))
            async with self.connect(server):  # and it recovers
                pass

        self.play(use())

    def test_connections_of_one_user_are_capped_on_every_face(self):
        server = self.hub(f'[realtime]\nmax_connections_per_user = 2\n[realtime.jwt]\nsecret = "{SECRET}"\n', set={"server.workers": 2})
        host, port = server.edge

        async def signed_in(client, name):
            user = json.dumps({"id": name})
            await client.send("pusher:signin", {"auth": f"{KEY}:" + sign(f"{client.socket_id}::user::{user}"), "user_data": user})
            return await client.receive()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b, self.connect(server) as c:
                for client in (a, b):
                    self.assertEqual((await signed_in(client, "ann"))["event"], "pusher:signin_success")
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await signed_in(c, "ann")
                self.assertEqual(closed.exception.rcvd.code, 4004)
            url = f"ws://{host}:{port}/_headroom/realtime?token={token('bob')}"
            async with websockets.connect(url) as a, websockets.connect(url) as b:
                for socket in (a, b):
                    self.assertEqual(json.loads(await socket.recv())["type"], "welcome")
                async with websockets.connect(url) as third:
                    with self.assertRaises(websockets.ConnectionClosed) as closed:
                        await third.recv()
                    self.assertEqual(closed.exception.rcvd.code, 4429)
                poll = f"/_headroom/realtime/poll?channels=public&token={token('bob')}"
                answer = await asyncio.get_running_loop().run_in_executor(None, lambda: request(server.edge, "GET", poll))
                self.assertEqual(answer.status, 429)
                async with websockets.connect(url.replace(token("bob"), token("eve"))) as other:
                    self.assertEqual(json.loads(await other.recv())["user"], "eve")
            eventually(lambda: metric(server, "headroom_realtime_connections_open") == 0)
            async with websockets.connect(url) as a:
                self.assertEqual(json.loads(await a.recv())["type"], "welcome")

        self.play(use())

    def test_connects_and_publishes_are_limited_by_the_rules_of_limit(self):
        server = self.hub("""
[[limit.rules]]
name = "connects"
path = "/app"
rate = "3/min"
subject = "address"
[[limit.rules]]
name = "publishes"
path = "/apps"
rate = "5/min"
subject = "address"
""")

        async def use():
            for _ in range(3):
                async with self.connect(server):
                    pass
            with self.assertRaises(websockets.InvalidStatusCode) as refused:
                async with self.connect(server):
                    pass
            self.assertEqual(refused.exception.status_code, 429)

        self.play(use())
        event = {"name": "n", "channel": "c", "data": "d"}
        self.assertEqual([call(server, "POST", "events", event).status for _ in range(6)], [200] * 5 + [429])


if __name__ == "__main__":
    unittest.main()
