"""The hub's plain faces by hand: JSON over a WebSocket, the seeds' endpoints, Server-Sent Events, long-poll, the admin API."""

import asyncio
import base64
import hashlib
import hmac
import http.client
import json
import time
import unittest

import websockets

from harness.client import request
from harness.edge import ask, eventually, metric
from harness.hub import Client, HubScenario

SECRET = "a secret of at least thirty-two bytes"
CONFIG = f"""
[realtime]
client_publish = true
[realtime.jwt]
secret = "{SECRET}"
[[realtime.channels]]
match = "kept-*"
history = 100
[[realtime.channels]]
match = "public-kept"
history = 100
"""


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(name, seconds=600, secret=SECRET, **claims):
    text = b64(b'{"alg":"HS256","typ":"JWT"}') + "." + b64(json.dumps({"sub": name, "exp": int(time.time()) + seconds, **claims}).encode())
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


class Plain(Client):
    async def message(self, type_, channel=None, timeout=10):
        deadline = time.monotonic() + timeout
        while True:
            got = await self.receive(max(0.01, deadline - time.monotonic()))
            if got["type"] == type_ and (channel is None or got.get("channel") == channel):
                return got

    async def welcomed(self):
        """Its own channels, once it is in all of them: they open in any order."""
        welcome = await self.message("welcome")
        opened = {(await self.message("subscribed"))["channel"] for _ in welcome["channels"]}
        assert opened == set(welcome["channels"]), opened
        return welcome

    async def say(self, type_, **more):
        await self.socket.send(json.dumps({"type": type_, **more}))

    async def join(self, channel, **more):
        await self.say("subscribe", channel=channel, **more)
        return await self.message("subscribed", channel)


class Events:
    """A reader of an event stream, as a browser's EventSource reads it."""

    def __init__(self, server, path, **headers):
        host, port = server.edge
        self.connection = http.client.HTTPConnection(host, port, timeout=20)
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.last_id = headers.get("Last-Event-ID", "")

    def next(self, type_=None):
        data = []
        while True:
            line = self.answer.readline()
            if not line:
                raise EOFError
            line = line.rstrip(b"\n").decode()
            if line.startswith("data: "):
                data.append(line[6:])
            elif line.startswith("id: "):
                self.last_id = line[4:]
            elif line == "" and data:
                message = json.loads("\n".join(data))
                data = []
                if type_ is None or message["type"] == type_:
                    return message

    def wait_for_id(self):
        """Reads up to the next id, which follows the messages it covers; gives those that came before it."""
        messages = []
        while not (line := self.answer.readline()).startswith(b"id: "):
            if line.startswith(b"data: "):
                messages.append(json.loads(line[6:]))
        self.last_id = line[4:].strip().decode()
        return messages

    def close(self):
        self.answer.close()  # it holds the socket too
        self.connection.close()


class PlainFaces(HubScenario):
    def plain(self, config="", **options):
        return self.hub(config or CONFIG, **options)

    def socket(self, server, path="/_headroom/realtime", **options):
        host, port = server.edge
        return websockets.connect(f"ws://{host}:{port}{path}", max_size=None, ping_interval=None, **options)

    def publish(self, server, **notice):
        answer = server.api("POST", "/api/v1/realtime/publish", notice)
        self.assertEqual(answer.status, 200, answer.text())

    def test_one_publication_to_many_audiences_reaches_each_connection_once(self):
        server = self.plain(set={"server.workers": 3})

        async def use():
            ann = token("ann", groups=["staff"], location_ids=["eu/berlin/5"])
            bob = token("bob", location_ids=["eu/paris"])
            async with self.socket(server, f"/_headroom/realtime?token={ann}") as a, \
                    self.socket(server, extra_headers={"Authorization": f"Bearer {bob}"}) as b, self.socket(server) as c:
                a, b, c = Plain(a), Plain(b), Plain(c)
                welcome = await a.welcomed()
                self.assertEqual((welcome["user"], welcome["channels"]),
                                 ("ann", ["broadcast", "user:ann", "group:staff", "location:eu", "location:eu/berlin", "location:eu/berlin/5"]))
                await b.welcomed()
                self.assertEqual((await c.welcomed())["channels"], ["broadcast"])
                await a.join("desk")
                loop = asyncio.get_running_loop()

                async def publish(**notice):
                    await loop.run_in_executor(None, lambda: self.publish(server, **notice))

                await publish(type="all", data={"n": 1}, channels=["desk"], users=["ann"], groups=["staff"], locations=["eu", "eu/berlin/5"], broadcast=True)
                await publish(type="end", data=0, broadcast=True)
                for client in (a, b, c):
                    got = []
                    while not got or got[-1]["type"] != "end":
                        got.append(await client.receive())
                    self.assertEqual([each["type"] for each in got], ["all", "end"])
                    self.assertEqual(got[0]["data"], {"n": 1})
                await publish(type="north", data=1, locations=["eu/paris"])
                self.assertEqual((await b.receive())["type"], "north")
                await publish(type="up", data=1, locations=["eu"], priority="critical")
                self.assertEqual([(await client.receive())["priority"] for client in (a, b)], ["critical"] * 2)
                for client in (a, b, c):
                    self.assertIsNone(await client.silence(0.2))

        self.play(use())

    def test_what_a_token_does_not_say_is_not_allowed(self):
        server = self.plain()

        async def use():
            async with self.socket(server, f"/_headroom/realtime?token={token('ann', groups=['staff'], location_ids=['eu'])}") as a, self.socket(server) as c:
                a, c = Plain(a), Plain(c)
                for channel in ("user:bob", "group:admins", "location:us", "", "no spaces", "x" * 201):
                    await a.say("subscribe", channel=channel)
                    await a.message("error")
                await a.join("location:eu/berlin")
                for channel in ("desk", "user:ann", "presence-room", "location:eu"):
                    await c.say("subscribe", channel=channel)
                    self.assertEqual((await c.message("error"))["code"], "unauthorized", channel)
                await c.join("public-news")
                for bad in ("[]", "null", "{}", "not json", '{"type": 5}', '{"type": "publish", "channel": "public-news", "event": "x"}', '{"type": "unsubscribe", "channel": "x"}'):
                    await c.socket.send(bad)
                    await c.message("error")
            for bad in (token("ann", seconds=-600), token("ann", secret="x" * 40), "rubbish", token("")):
                with self.assertRaises(websockets.InvalidStatusCode) as refused:
                    async with self.socket(server, f"/_headroom/realtime?token={bad}"):
                        pass
                self.assertEqual(refused.exception.status_code, 401)

        self.play(use())

    def test_tokens_come_by_subprotocol_or_first_message_and_end_while_connected(self):
        server = self.plain("[realtime.jwt]\nleeway = \"0s\"\nsecret = \"" + SECRET + '"\n', set={"admin.on_edge": "true"})

        async def use():
            async with self.socket(server, "/api/v1/ws", subprotocols=["headroom.v1+json", "token." + token("ann")]) as a:
                self.assertEqual((await Plain(a).message("welcome"))["user"], "ann")
                self.assertEqual(a.subprotocol, "headroom.v1+json")
            async with self.socket(server, "/api/v1/ws") as a:
                a = Plain(a)
                await a.say("subscribe", channel="desk")
                self.assertEqual((await a.message("error"))["code"], "unauthorized")
                await a.say("auth", token=token("ann", seconds=2))
                self.assertEqual((await a.message("welcome"))["user"], "ann")
                await a.join("desk")
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    while True:
                        await a.receive(10)
                self.assertEqual(closed.exception.rcvd.code, 4401)
            async with self.socket(server, "/api/v1/ws") as a:
                await Plain(a).say("auth", token="rubbish")
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await a.recv()
                self.assertEqual(closed.exception.rcvd.code, 4401)
            async with self.socket(server, "/api/v1/ws/public") as a:
                await Plain(a).message("welcome")

        self.play(use())

    def test_the_seeds_endpoints_and_the_statistics(self):
        server = self.plain(set={"admin.on_edge": "true"})

        async def use():
            async with self.socket(server, f"/api/v1/ws?token={token('ann', location_ids=[5])}") as a, self.socket(server, "/api/v1/ws/public") as b:
                a, b = Plain(a), Plain(b)
                await a.welcomed()
                await b.welcomed()
                self.assertEqual(server.api("POST", "/api/v1/ws/broadcast", {"data": {"x": 1}, "type": "news"}).status, 200)
                for client in (a, b):
                    self.assertEqual((await client.message("news"))["data"], {"x": 1})
                self.assertEqual(server.api("POST", "/api/v1/ws/send-to-location/5", {"data": "here"}).status, 200)
                got = await a.message("location")
                self.assertEqual((got["channel"], got["data"], got["offset"], got["priority"]), ("location:5", "here", 1, "normal"))
                status = server.api("GET", "/api/v1/ws/status").json()
                self.assertEqual((status["status"], status["connections"], status["rooms"], status["messages"]), ("ok", 2, 3, 2))
                self.assertEqual(request(server.edge, "POST", "/api/v1/ws/broadcast", {"Content-Type": "application/json"}, b"{}").status, 401)
                all_ = server.api("GET", "/api/v1/realtime").json()
                self.assertEqual(all_["connections_by_face"], {"pusher": 0, "json": 2, "sse": 0, "poll": 0})
                self.assertEqual((all_["delivered"], all_["delivery"]["count"]), (3, 3))
                self.assertEqual(all_["top_channels"][0], {"app": "", "channel": "broadcast", "subscriptions": 2, "messages": 1})
                self.assertEqual(server.api("GET", "/api/v1/performance/scalability/realtime").json()["connections"], 2)
                self.assertEqual(server.api("GET", "/api/v1/performance/scalability/overview").json()["realtime"], {"status": "healthy", "connections": 2})
                for bad in ({}, [], {"data": 1, "type": ""}, {"data": 1, "nonsense": 1}, {"data": "x" * 20000}, {"data": 1, "priority": "high"}):
                    self.assertEqual(server.api("POST", "/api/v1/ws/broadcast", bad).status, 400, bad)
                self.assertEqual(server.api("POST", "/api/v1/realtime/publish", {"data": 1, "type": "x"}).status, 400)  # to nobody
                self.assertEqual(server.api("POST", "/api/v1/realtime/users/ann/disconnect").json()["ended"], 1)
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await a.receive()
                self.assertEqual(closed.exception.rcvd.code, 4403)

        self.play(use())
        off = self.hub(set={"realtime.enabled": "false"}, state_dir=self.directory / "other")
        self.assertEqual(off.api("GET", "/api/v1/ws/status").json(), {"status": "not_configured", "connections": None, "rooms": None})
        self.assertEqual(off.api("POST", "/api/v1/ws/broadcast", {"data": 1}).status, 409)

    def test_users_publish_to_the_others_of_a_room_and_see_who_is_there(self):
        server = self.plain()

        async def use():
            async with self.socket(server, f"/_headroom/realtime?token={token('ann')}") as a, self.socket(server, f"/_headroom/realtime?token={token('bob')}") as b:
                a, b = Plain(a), Plain(b)
                joined = await a.join("presence-desk")
                self.assertEqual(joined["members"]["presence"]["ids"], ["ann"])
                await b.join("presence-desk")
                self.assertEqual((await a.message("presence_joined"))["data"], {"user_id": "bob"})
                await b.say("publish", channel="presence-desk", event="wave", data={"hand": "left"})
                await b.message("published")
                got = await a.message("wave")
                self.assertEqual((got["data"], got["user_id"]), ({"hand": "left"}, "bob"))
                for channel, event in (("broadcast", "x"), ("user:bob", "x"), ("elsewhere", "x"), ("presence-desk", "welcome"), ("presence-desk", "")):
                    await b.say("publish", channel=channel, event=event, data=1)
                    await b.message("error")
                await b.say("unsubscribe", channel="presence-desk")
                self.assertEqual((await a.message("presence_left"))["data"], {"user_id": "bob"})

        self.play(use())

    def test_an_event_stream_goes_on_where_it_was_cut(self):
        server = self.plain(set={"server.workers": 3})
        path = f"/_headroom/realtime/events?channels=kept-a,kept-b&token={token('ann')}"
        stream = Events(server, path)
        self.assertEqual(stream.answer.getheader("Content-Type"), "text/event-stream")
        self.assertEqual(stream.next()["recovered"], [None, None])
        for i in range(10):
            self.publish(server, channels=["kept-a" if i % 2 else "kept-b"], type="n", data=i)
        got = [stream.next("n")["data"] for _ in range(5)]
        got += [message["data"] for message in stream.wait_for_id()]
        stream.close()
        for i in range(10, 20):
            self.publish(server, channels=["kept-a" if i % 2 else "kept-b"], type="n", data=i)
        again = Events(server, path, **{"Last-Event-ID": stream.last_id})
        self.assertEqual(again.next()["recovered"], [True, True])
        seen = set(got)
        while len(seen) < 20:
            seen.add(again.next("n")["data"])
        again.close()
        self.assertEqual(seen, set(range(20)))
        # What cannot be proved is said.
        for position in ("rubbish", "1-1,1-1", stream.last_id.split(",")[0]):
            lost = Events(server, path, **{"Last-Event-ID": position})
            self.assertEqual(lost.next()["recovered"], [False, False], position)
            lost.close()
        eventually(lambda: metric(server, "headroom_realtime_connections_open") == 0)

    def test_a_long_poll_ends_with_the_first_messages_or_when_its_time_is_over(self):
        server = self.plain(CONFIG.replace("[realtime]\n", '[realtime]\npoll_wait = "1s"\n'))

        def poll(since=""):
            answer = ask(server.edge, target=f"/_headroom/realtime/poll?channels=kept-a&token={token('ann')}" + (f"&since={since}" if since else ""))
            self.assertEqual(answer.status, 200, answer.body)
            lines = [json.loads(line) for line in answer.body.splitlines() if line]
            self.assertEqual((lines[0]["type"], lines[-1]["type"]), ("subscribed", "positions"))
            return lines[0], [line["data"] for line in lines[1:-1]], lines[-1]["positions"][0]

        first, messages, position = poll()
        self.assertEqual((first["recovered"], messages), ([None], []))
        for i in range(5):
            self.publish(server, channels=["kept-a"], type="n", data=i)
        first, messages, position = poll(position)
        self.assertEqual((first["recovered"], messages), ([True], [0, 1, 2, 3, 4]))
        self.publish(server, channels=["kept-a"], type="n", data=5)
        self.assertEqual(poll(position)[1], [5])
        self.assertEqual(poll("1-1")[0]["recovered"], [False])

    def test_bad_requests_to_the_streams_are_refused_with_a_reason(self):
        server = self.plain()
        good = token("ann")
        for path, status in (("events", 400), ("events?channels=", 400), ("events?channels=a", 401), (f"events?channels=user:bob&token={good}", 403),
                             ("events?channels=public&token=rubbish", 401), ("events?channels=public,public", 400), ("events?channels=%", 400),
                             ("poll?channels=" + ",".join(f"public-{i}" for i in range(129)), 400), ("nothing", 404), ("", 404)):
            self.assertEqual(ask(server.edge, target=f"/_headroom/realtime/{path}").status, status, path)
        self.assertEqual(ask(server.edge, target="/_headroom/realtime").status, 426)
        self.assertEqual(request(server.edge, "GET", "/_headroom/realtime/events?channels=public", {"Origin": "https://evil.example"}).status, 403)
        self.assertEqual(request(server.edge, "POST", "/_headroom/realtime/events?channels=public", {}, b"x").status, 405)
        self.assertEqual(ask(server.edge, target="/api/v1/sse?channels=public").body, b"the app's own")  # without on_edge


class Revoked(HubScenario):
    def test_a_revoked_users_connections_end_and_its_tokens_no_longer_hold(self):
        server = self.hub(CONFIG, set={"server.workers": 2})
        host, port = server.edge
        now = int(time.time())
        old, new = token("ann", iat=now - 5), token("ann", iat=now + 5)
        url = f"ws://{host}:{port}/_headroom/realtime?token="

        async def use():
            async with websockets.connect(url + old) as ann, websockets.connect(url + token("bob", iat=now - 5)) as bob:
                for socket in (ann, bob):
                    self.assertEqual(json.loads(await socket.recv())["type"], "welcome")
                answer = await asyncio.get_running_loop().run_in_executor(None, lambda: server.api("POST", "/api/v1/realtime/users/ann/revoke"))
                self.assertEqual((answer.status, answer.json()["ended"]), (200, 1))
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    while True:
                        await asyncio.wait_for(ann.recv(), 10)
                self.assertEqual(closed.exception.rcvd.code, 4403)
                await bob.send('{"type":"ping"}')
                while json.loads(await asyncio.wait_for(bob.recv(), 10))["type"] != "pong":
                    pass
            for bad in (old, token("ann")):  # one does not say when it was issued
                with self.assertRaises(websockets.InvalidStatusCode) as refused:
                    async with websockets.connect(url + bad):
                        pass
                self.assertEqual(refused.exception.status_code, 401)
            async with websockets.connect(url + new) as ann:
                self.assertEqual(json.loads(await ann.recv())["user"], "ann")
            async with websockets.connect(url.split("?")[0]) as ann:  # in the first message
                await ann.send(json.dumps({"type": "auth", "token": old}))
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    while True:
                        await asyncio.wait_for(ann.recv(), 10)
                self.assertEqual(closed.exception.rcvd.code, 4401)

        self.play(use())

    def test_an_event_stream_ends_when_its_token_does(self):
        server = self.hub(CONFIG)
        events = Events(server, f"/_headroom/realtime/events?channels=room&token={token('ann', seconds=2)}")
        began = time.monotonic()
        with self.assertRaises(EOFError):
            while True:
                events.next()
        self.assertLess(time.monotonic() - began, 15)


if __name__ == "__main__":
    unittest.main()
