"""The hub's ends: shutdowns, take-overs, TLS; and clients that come back and go on where they were."""

import asyncio
import ssl
import subprocess
import unittest

import websockets

from harness.edge import metric
from harness.hub import HubScenario, call, publish
from harness.scenario import Scenario


class Ends(HubScenario):
    _end = Scenario._end  # servers end in the midst of these

    def test_a_shutdown_tells_every_client_to_come_back_later_and_not_all_at_once(self):
        server = self.hub('[realtime]\ndrain = "2s"\n', set={"server.workers": 2})

        async def use():
            connections = [self.connect(server) for _ in range(30)]
            clients = [await connection.__aenter__() for connection in connections]
            loop = asyncio.get_running_loop()
            times = []

            async def end(client):
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await client.receive(20)
                times.append(loop.time())
                return closed.exception.rcvd.code

            ends = [asyncio.ensure_future(end(client)) for client in clients]
            server.signal(15)
            self.assertEqual(await asyncio.gather(*ends), [4100] * 30)
            self.assertGreater(max(times) - min(times), 0.5)

        self.play(use())
        self.assertEqual(server.wait(20), 0)

    def test_after_a_take_over_clients_are_back_within_five_seconds(self):
        old = self.hub(set={"server.workers": 2})
        back = []

        async def stay():
            """As pusher-js does: after 41xx it waits a second."""
            async with self.connect(old) as client:
                await client.subscribe("news")
                joined.append(client)
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await client.receive(30)
                self.assertEqual(closed.exception.rcvd.code, 4100)
            await asyncio.sleep(1)
            async with self.connect(old) as client:
                await client.subscribe("news")
                back.append(asyncio.get_running_loop().time())
                await client.event("hello", timeout=30)

        async def use():
            clients = [asyncio.ensure_future(stay()) for _ in range(20)]
            while len(joined) < 20:
                await asyncio.sleep(0.05)
            loop = asyncio.get_running_loop()
            new = await loop.run_in_executor(None, lambda: self.hub(arguments=["--take-over"]))
            began = loop.time()
            while len(back) < 20:
                await asyncio.sleep(0.05)
            self.assertLess(max(back) - began, 5)
            publish(new, "news", "hello", "again")
            await asyncio.gather(*clients)
            return new

        joined = []
        new = self.play(use())
        self.assertEqual(old.wait(40), 0)
        self.assertEqual(new.stop(), 0)

    def test_during_a_take_over_publishes_reach_the_clients_of_both_processes(self):
        old = self.hub('[realtime]\ndrain = "8s"\n', set={"server.workers": 2})

        async def use():
            async with self.connect(old) as a, self.connect(old) as b:
                for client in (a, b):
                    await client.subscribe("news")
                    await client.subscribe("private-room")
                loop = asyncio.get_running_loop()
                new = await loop.run_in_executor(None, lambda: self.hub('[realtime]\ndrain = "8s"\n', arguments=["--take-over"], set={"server.workers": 3}))
                async with self.connect(new) as c:
                    await c.subscribe("news")
                    await c.subscribe("private-room")
                    staying = a  # one of them may be told to come back at once
                    for i in range(20):
                        publish(new, "news", "n", str(i))
                    self.assertEqual([(await c.event("n"))["data"] for _ in range(20)], [str(i) for i in range(20)])
                    try:
                        got = [(await staying.event("n"))["data"] for _ in range(20)]
                    except websockets.ConnectionClosed:
                        staying = b
                        got = [(await staying.event("n"))["data"] for _ in range(20)]
                    self.assertEqual(got, [str(i) for i in range(20)])
                    await staying.send("client-wave", {}, channel="private-room")  # and the other way round
                    await c.event("client-wave")
                    self.assertEqual(metric(new, "headroom_realtime_relayed_total", outcome="taken"), 1)
            return new

        new = self.play(use())
        self.assertEqual(old.wait(40), 0)
        publish(new, "news", "n", "alone")
        self.assertEqual(new.stop(), 0)

    def test_through_a_take_over_clients_go_on_from_where_they_were(self):
        kept = '[realtime]\ndrain = "3s"\n' + Recovery.CONFIG
        old = self.hub(kept, set={"server.workers": 2})

        async def use():
            got = []
            loop = asyncio.get_running_loop()
            async with self.connect(old) as away:
                position = (await away.subscribe("kept-a"))["position"]
            async with self.connect(old) as a:
                await a.subscribe("kept-a")
                for i in range(2):
                    publish(old, "kept-a", "n", str(i))
                new = await loop.run_in_executor(None, lambda: self.hub(kept, arguments=["--take-over"], set={"server.workers": 3}))
                for i in range(2, 12):
                    publish(new, "kept-a", "n", str(i))
                with self.assertRaises(websockets.ConnectionClosed):
                    while True:
                        message = await a.event("n", timeout=30)
                        got.append(int(message["data"]))
                        last = message["id"]
            async with self.connect(new) as a:
                self.assertIs((await a.subscribe("kept-a", resume_after=last))["recovered"], True)
                publish(new, "kept-a", "n", "12")
                while got[-1] != 12:
                    got.append(int((await a.event("n"))["data"]))
                self.assertEqual(got, list(range(13)))
            async with self.connect(new) as b:  # who was away all the time
                self.assertIs((await b.subscribe("kept-a", resume_after=position))["recovered"], True)
                self.assertEqual([int((await b.event("n"))["data"]) for _ in range(13)], list(range(13)))
            return new

        new = self.play(use())
        self.assertEqual(old.wait(40), 0)
        self.assertEqual(new.stop(), 0)

    def test_who_comes_to_a_channel_in_the_old_process_goes_on_with_it_in_the_new_one(self):
        kept = '[realtime]\ndrain = "10s"\n' + Recovery.CONFIG
        old = self.hub(kept, set={"server.workers": 2})

        async def use():
            loop = asyncio.get_running_loop()
            connections = [self.connect(old) for _ in range(8)]
            clients = [await connection.__aenter__() for connection in connections]
            new = await loop.run_in_executor(None, lambda: self.hub(kept, arguments=["--take-over"], set={"server.workers": 3}))
            for i in range(3):
                publish(new, "kept-late", "n", str(i))
            for client in clients:  # some are told to come back at once
                try:
                    joined = await client.subscribe("kept-late")
                    publish(new, "kept-late", "n", "3")
                    last = await client.event("n")
                    break
                except websockets.ConnectionClosed:
                    continue
            self.assertEqual(last["data"], "3")
            epoch, offset = last["id"].split("-")
            self.assertEqual(joined["position"], f"{epoch}-{int(offset) - 1}")
            publish(new, "kept-late", "n", "4")
            async with self.connect(new) as client:
                self.assertIs((await client.subscribe("kept-late", resume_after=joined["position"]))["recovered"], True)
                self.assertEqual([(await client.event("n"))["data"] for _ in range(2)], ["3", "4"])
            for connection in connections:
                await connection.__aexit__(None, None, None)
            return new

        new = self.play(use())
        self.assertEqual(old.wait(40), 0)
        self.assertEqual(new.stop(), 0)

    def test_over_tls_all_is_the_same(self):
        cert, key = str(self.directory / "cert.pem"), str(self.directory / "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
        server = self.hub(f'[edge.tls]\nlisten = "127.0.0.1:0"\ncert = "{cert}"\nkey = "{key}"\n'
                          '[realtime]\ndistance_messages = 10000\ndistance_bytes = "64MiB"\n')
        trust = ssl.create_default_context(cafile=cert)
        host, port = server.doors["edge.tls"]

        async def use():
            async with self.connect(server, door="edge.tls", ssl=trust, origin=f"https://{host}:{port}") as a, self.connect(server) as b:
                await a.subscribe("mixed")
                await b.subscribe("mixed")
                loop = asyncio.get_running_loop()
                # More than a socket takes while nobody reads, so that TLS records are cut and offered again.
                flooding = loop.run_in_executor(None, lambda: [
                    call(server, "POST", "batch_events", {"batch": [{"name": "n", "channel": "mixed", "data": f"{i * 10 + j:05d}" + "x" * 9000} for j in range(10)]})
                    for i in range(60)])
                await asyncio.sleep(0.5)
                for client in (a, b):
                    self.assertEqual([int((await client.event("n"))["data"][:5]) for _ in range(600)], list(range(600)))
                await flooding

        self.play(use())


class Recovery(HubScenario):
    CONFIG = '[[realtime.channels]]\nmatch = "kept-*"\nhistory = 50\nhistory_ttl = "1h"\n'

    def test_a_client_that_comes_back_gets_what_it_missed_or_is_told_that_it_cannot(self):
        server = self.hub(self.CONFIG, set={"server.workers": 3})

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("kept-a")
                for i in range(10):
                    publish(server, "kept-a", "n", str(i))
                ids = [(await a.event("n"))["id"] for _ in range(10)]
            async with self.connect(server) as a:
                joined = await a.subscribe("kept-a", resume_after=ids[3])
                self.assertIs(joined["recovered"], True)
                self.assertEqual([(await a.event("n"))["data"] for _ in range(6)], [str(i) for i in range(4, 10)])
                for position in (ids[0][:-1] + "999", "1234-5", "rubbish"):
                    async with self.connect(server) as b:
                        joined = await b.subscribe("kept-a", resume_after=position)
                        self.assertIs(joined["recovered"], False, position)
                for i in range(60):
                    publish(server, "kept-a", "n", str(i))
                while (await a.event("n"))["data"] != "59":  # while somebody is behind, more is kept
                    pass
                async with self.connect(server) as b:
                    self.assertIs((await b.subscribe("kept-a", resume_after=ids[9]))["recovered"], False)
            async with self.connect(server) as b:  # nobody listens, and it is kept
                position = (await b.subscribe("kept-a"))["position"]
            publish(server, "kept-a", "n", "after")
            async with self.connect(server) as b:
                self.assertIs((await b.subscribe("kept-a", resume_after=position))["recovered"], True)
                self.assertEqual((await b.event("n"))["data"], "after")

        self.play(use())


if __name__ == "__main__":
    unittest.main()
