"""What nobody gets from the hub who should not: others' channels, what a newer token has taken away, the app's time; and who looks at what is published."""

import asyncio
import concurrent.futures
import http.client
import json
import threading
import time
import unittest

import websockets

from harness.client import request
from harness.edge import chunk, eventually, metric, reply
from harness.hub import ID, KEY, HubScenario, call, publish, sign, signed
from realtime_hooks_test import AppScenario
from realtime_plain_test import CONFIG, SECRET, Plain, token

SHARED = f"""
[realtime]
plain_app = "{ID}"
client_publish = true
[realtime.jwt]
secret = "{SECRET}"
"""


class PlainScenario(HubScenario):
    def socket(self, server, name=None, **claims):
        host, port = server.edge
        path = "/_headroom/realtime" + (f"?token={token(name, **claims)}" if name else "")
        return websockets.connect(f"ws://{host}:{port}{path}", max_size=None, ping_interval=None)

    def notice(self, server, **what):
        answer = server.api("POST", "/api/v1/realtime/publish", what)
        self.assertEqual(answer.status, 200, answer.text())

    async def away(self, work):
        return await asyncio.get_running_loop().run_in_executor(None, work)


class SharedApp(PlainScenario):
    """The plain faces speak of an app that Pusher's clients use too."""

    def test_what_the_pusher_protocol_protects_a_token_alone_does_not_open(self):
        server = self.hub(SHARED)

        async def use():
            async with self.socket(server, "bob") as socket:
                bob = Plain(socket)
                await bob.welcomed()
                for channel in ("#server-to-user-ann", "private-orders-5", "presence-room", "private-encrypted-x"):
                    await bob.say("subscribe", channel=channel)
                    self.assertEqual((await bob.message("error"))["code"], "unauthorized", channel)
                await bob.join("#server-to-user-bob")
                await bob.join("news")
                publish(server, "#server-to-user-bob", "for-you", "1")
                await bob.message("for-you")
        self.play(use())
        refused = request(server.edge, "GET", f"/_headroom/realtime/poll?channels=private-orders-5&token={token('bob')}")
        self.assertEqual(refused.status, 403)

    def test_clients_do_not_speak_as_the_hub_or_the_server(self):
        server = self.hub(SHARED)

        async def use():
            async with self.socket(server, "bob") as socket, self.connect(server) as ann:
                bob = Plain(socket)
                await bob.welcomed()
                await bob.join("news")
                await ann.subscribe("news")
                for event in ("pusher:error", "pusher_internal:subscription_succeeded", "headroom:missed", "order-shipped", "lost", "positions", "subscribed", "welcome"):
                    await bob.say("publish", channel="news", event=event, data={})
                    self.assertEqual((await bob.message("error"))["code"], "invalid", event)
                await bob.say("publish", channel="news", event="client-typing", data={"id": 123456789012345678901234567890, "x": 1.0})
                self.assertEqual((await ann.receive())["event"], "client-typing")
        self.play(use())


class Numbers(PlainScenario):
    def test_what_clients_and_servers_say_arrives_digit_by_digit(self):
        server = self.hub(CONFIG)
        raw = '{"id": 123456789012345678901234567890, "price": 1.50}'

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                for each in (a, b):
                    await each.subscribe("private-room")
                await a.socket.send('{"event":"client-move","channel":"private-room","data":' + raw + "}")
                text = await asyncio.wait_for(b.socket.recv(), 10)
                self.assertIn('"data":{"id":123456789012345678901234567890,"price":1.50}', text)
            async with self.socket(server, "ann") as socket:
                ann = Plain(socket)
                await ann.welcomed()
                body = ('{"type":"exact","broadcast":true,"data":' + raw + "}").encode()
                answer = await self.away(lambda: server.api("POST", "/api/v1/realtime/publish", body, headers={"Content-Type": "application/json"}))
                self.assertEqual(answer.status, 200, answer.text())
                self.assertIn('{"id":123456789012345678901234567890,"price":1.50}', await asyncio.wait_for(socket.recv(), 10))
        self.play(use())

    def test_events_on_encrypted_channels_come_from_servers_alone(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("private-encrypted-room")
                await a.send("client-x", {"a": 1}, channel="private-encrypted-room")
                self.assertIn("encrypted", (await a.event("pusher:error"))["data"]["message"])
        self.play(use())


class Once(PlainScenario):
    def test_who_is_in_two_audiences_gets_hundreds_of_messages_once_each(self):
        server = self.hub(CONFIG, set={"server.workers": 3, "realtime.batch_delay": "1s"})

        async def use():
            async with self.socket(server, "ann") as socket:
                ann = Plain(socket)
                await ann.welcomed()

                def publish_all():
                    for i in range(300):
                        self.notice(server, type="n", data=i, users=["ann"], broadcast=True)
                    self.notice(server, type="end", data=0, users=["ann"], priority="critical")
                    self.notice(server, type="last", data=0, users=["ann"])
                await self.away(publish_all)
                await ann.message("last", timeout=30)
                while await ann.silence(1.5):
                    pass
                got = [message["data"] for message in ann.log if message["type"] == "n"]
                self.assertEqual(sorted(got), list(range(300)))
        self.play(use())


class Sessions(PlainScenario):
    def test_a_newer_token_takes_away_what_it_no_longer_names(self):
        server = self.hub(CONFIG)

        async def use():
            async with self.socket(server) as socket:
                ann = Plain(socket)
                await ann.welcomed()
                await ann.say("auth", token=token("ann", groups=["admins"], location_ids=["eu"]))
                opened = {(await ann.message("subscribed"))["channel"] for _ in range(3)}
                self.assertEqual(opened, {"user:ann", "group:admins", "location:eu"})
                self.notice(server, type="first", data=1, groups=["admins"])
                await ann.message("first")
                await ann.say("auth", token=token("ann", groups=[], location_ids=["us"]))
                left = {(await ann.message("unsubscribed"))["channel"] for _ in range(2)}
                self.assertEqual(left, {"group:admins", "location:eu"})
                await ann.message("subscribed", "location:us")
                self.notice(server, type="secret", data=1, groups=["admins"], locations=["eu"])
                self.notice(server, type="open", data=1, users=["ann"])
                self.assertEqual((await ann.receive())["type"], "open")
        self.play(use())

    def test_who_signs_in_as_another_no_longer_gets_what_is_sent_to_the_first(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a:
                for name in ("ann", "bob"):
                    user = json.dumps({"id": name})
                    await a.send("pusher:signin", {"auth": f"{KEY}:" + sign(f"{a.socket_id}::user::{user}"), "user_data": user})
                    await a.event("pusher:signin_success")
                    await a.subscribe(f"#server-to-user-{name}")
                publish(server, "#server-to-user-ann", "not-for-you", "x")
                publish(server, "#server-to-user-bob", "for-you", "x")
                self.assertEqual((await a.receive())["event"], "for-you")
        self.play(use())

    def test_users_and_channels_are_named_with_escapes(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a:
                user = json.dumps({"id": "auth0|ann@x.org"})
                await a.send("pusher:signin", {"auth": f"{KEY}:" + sign(f"{a.socket_id}::user::{user}"), "user_data": user})
                await a.event("pusher:signin_success")
                await a.subscribe("room@5")
                told = await self.away(lambda: call(server, "GET", "channels/room%405"))
                self.assertEqual(json.loads(told.text()), {"occupied": True})
                # As the vendor's libraries do it: the path is signed as it is meant, and sent escaped.
                target = signed("POST", f"/apps/{ID}/users/auth0|ann@x.org/terminate_connections", b"{}")
                escaped = target.replace("auth0|ann@x.org", "auth0%7Cann%40x.org")
                ended = await self.away(lambda: request(server.edge, "POST", escaped, {"Content-Type": "application/json"}, b"{}"))
                self.assertEqual(ended.status, 200, ended.text())
                with self.assertRaises(websockets.ConnectionClosed):
                    await a.receive()
        self.play(use())

    def test_a_changed_secret_ends_the_connections_that_the_old_one_opened(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("private-room")
                settings = (self.directory / "headroom.toml").read_text()
                await self.away(lambda: self.reload(server, settings.replace('secret = "shop-secret"', 'secret = "another-secret"')))
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await a.receive()
                self.assertEqual(closed.exception.rcvd.code, 4009)
        self.play(use())

    def test_a_client_cannot_fill_the_hub_with_names(self):
        server = self.hub("""
[realtime]
subscribe_rate = "50/10s"
[[realtime.channels]]
match = "*"
history = 10
history_ttl = "10m"
""")

        async def use():
            async with self.connect(server) as a:
                for i in range(60):
                    await a.send("pusher:subscribe", {"channel": f"made-up-{i}"})
                    await a.send("pusher:unsubscribe", {"channel": f"made-up-{i}"})
                for _ in range(10):
                    self.assertEqual((await a.event("pusher:subscription_error"))["data"]["type"], "LimitReached")
            async with self.connect(server) as b:
                await b.subscribe("news")  # and it recovers: another is not held up
        self.play(use())
        # What nothing was ever published to is forgotten long before history_ttl.
        eventually(lambda: len(server.api("GET", "/api/v1/realtime/channels?prefix=made-up&limit=1000").json()["channels"]) == 0, 20)


class Questions(AppScenario, PlainScenario):
    ASK = """
[realtime.authorization]
url = "{url}/ask"
"""

    def test_one_connection_asks_the_app_few_questions_at_once(self):
        server = self.begin(self.ASK)
        at_once, most = [], []

        def say(fields):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.05)
            at_once.pop()
            return 403, None
        self.app_server.say = say

        async def use():
            host, port = server.edge
            async with websockets.connect(f"ws://{host}:{port}/_headroom/realtime") as socket:
                for i in range(40):
                    await socket.send(json.dumps({"type": "subscribe", "channel": f"room-{i}"}))
                refused = 0
                while refused < 40:
                    refused += json.loads(await asyncio.wait_for(socket.recv(), 10))["type"] == "error"
        self.play(use())
        self.assertEqual(len(most), 40)
        self.assertLessEqual(max(most), 4)

    JWT = f"""
[realtime.jwt]
secret = "{SECRET}"
"""

    def test_a_stream_asks_for_its_channels_side_by_side_few_at_once(self):
        server = self.begin(self.ASK, set={"realtime.poll_wait": "1s"})
        at_once, most = [], []

        def say(fields):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.2)
            at_once.pop()
            return (200 if fields["channel_name"] != "room-9" else 403), None
        self.app_server.say = say
        names = ",".join(f"room-{i}" for i in range(9))
        good = request(server.edge, "GET", f"/_headroom/realtime/poll?channels={names}", timeout=40)
        self.assertEqual(good.status, 200, good.text())
        self.assertEqual((len(most), max(most)), (9, 4))
        refused = request(server.edge, "GET", f"/_headroom/realtime/poll?channels={names},room-9")
        self.assertEqual(refused.status, 401)

    def test_a_token_that_is_revoked_while_the_app_is_asked_lets_nobody_in(self):
        server = self.begin(self.ASK + self.JWT)
        asked = threading.Event()
        revoked = threading.Event()

        def say(fields):
            asked.set()
            revoked.wait(10)
            return 200, None
        self.app_server.say = say
        jwt = token("ann", iat=int(time.time()) - 5)

        def revoke():
            asked.wait(10)
            self.assertEqual(server.api("POST", "/api/v1/realtime/users/ann/revoke").status, 200)
            revoked.set()

        def revoke_while(work):
            asked.clear()
            revoked.clear()
            thread = threading.Thread(target=revoke)
            thread.start()
            try:
                return work()
            finally:
                thread.join()

        async def socket():
            host, port = server.edge
            async with websockets.connect(f"ws://{host}:{port}/_headroom/realtime?token={jwt}") as ann:
                await ann.send(json.dumps({"type": "subscribe", "channel": "room"}))
                seen = []
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    while True:
                        seen.append(json.loads(await asyncio.wait_for(ann.recv(), 10)))
                self.assertEqual(closed.exception.rcvd.code, 4403)
                self.assertNotIn("room", [message.get("channel") for message in seen])
        revoke_while(lambda: self.play(socket()))
        jwt = token("bob", iat=int(time.time()) - 5)

        def revoke():
            asked.wait(10)
            self.assertEqual(server.api("POST", "/api/v1/realtime/users/bob/revoke").status, 200)
            revoked.set()
        answer = revoke_while(lambda: request(server.edge, "GET", f"/_headroom/realtime/poll?channels=other&token={jwt}"))
        self.assertEqual(answer.status, 401, answer.text())

    def ask(self, server, name, source="127.0.0.1"):
        return self.asking(server, name, source)()

    def asking(self, server, name, source, more=""):
        """Asks; its result gives the answer."""
        connection = http.client.HTTPConnection(*server.edge, timeout=30, source_address=(source, 0))
        connection.request("POST", "/ask", f"socket_id=1.1&channel_name=private-{name}{more}", {"Content-Type": "application/x-www-form-urlencoded"})

        def answer():
            got = connection.getresponse()
            text = got.read().decode()
            connection.close()
            return got.status, got.headers.get("Retry-After"), text
        return answer

    def test_the_others_of_an_address_wait_their_turn_and_all_are_answered(self):
        server = self.begin(self.ASK.rstrip() + '\npath = "/ask"\nquestions_per_address = 3\ntimeout = "30s"\n', set={"server.workers": 3})
        busy, go, lock = threading.Semaphore(0), threading.Event(), threading.Lock()
        at_once, most = [], []

        def say(fields):
            with lock:
                if fields["channel_name"] != "private-other":
                    at_once.append(1)
                    most.append(len(at_once))
            busy.release()
            go.wait(30)
            with lock:
                if fields["channel_name"] != "private-other":
                    at_once.pop()
            return 403, {}
        self.app_server.say = say
        with concurrent.futures.ThreadPoolExecutor(13) as pool:
            held = [pool.submit(self.ask, server, i) for i in range(12)]
            for _ in range(3):
                self.assertTrue(busy.acquire(timeout=20))
            other = pool.submit(self.ask, server, "other", "127.0.0.2")
            self.assertTrue(busy.acquire(timeout=20))  # another address waits for none of them
            go.set()
            self.assertEqual([each.result()[0] for each in [*held, other]], [403] * 13)
        self.assertEqual((len(most), max(most)), (12, 3))
        self.assertEqual(self.ask(server, "later")[0], 403)

    def test_what_has_other_fields_waits_its_turn_too(self):
        server = self.begin(self.ASK.rstrip() + '\npath = "/ask"\nquestions_per_address = 2\ntimeout = "30s"\n')
        lock, at_once, most = threading.Lock(), [], []

        def say(fields):
            with lock:
                at_once.append(1)
                most.append(len(at_once))
            time.sleep(0.05)
            with lock:
                at_once.pop()
            return 200, {}
        self.app_server.say = say
        asked = [self.asking(server, i, "127.0.0.1", "&csrf=1") for i in range(20)]
        self.assertEqual([each()[0] for each in asked], [200] * 20)
        self.assertEqual((len(most), max(most)), (20, 2))

    def test_who_waits_too_long_for_a_turn_is_told_to_come_back(self):
        server = self.begin(self.ASK.rstrip() + '\npath = "/ask"\nquestions_per_address = 1\ntimeout = "1s"\n')
        go = threading.Event()

        def say(fields):
            go.wait(30)
            return 403, {}
        self.app_server.say = say
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda i: self.ask(server, i), range(6)))
        self.assertEqual([(status, after) for status, after, _ in answers], [(503, "1")] * 6)
        overloaded = sum('"overloaded"' in text for _, _, text in answers)
        self.assertGreaterEqual(overloaded, 4)  # at most two had a turn within the second
        self.assertEqual(metric(server, "headroom_realtime_questions_total", outcome="refused"), overloaded)
        poll = request(server.edge, "GET", "/_headroom/realtime/poll?channels=room", timeout=30)
        self.assertEqual((poll.status, poll.field("Retry-After")), (503, "1"))  # no answer is not a no
        self.assertIn("'room'", poll.text())
        go.set()
        self.assertEqual(self.ask(server, "later")[0], 403)  # and it recovers

    def test_who_asks_the_same_waits_in_no_other_addresss_line(self):
        server = self.begin(self.ASK.rstrip() + '\npath = "/ask"\nquestions_per_address = 1\ntimeout = "20s"\n', set={"server.workers": 1})
        busy, go = threading.Semaphore(0), threading.Event()

        def say(fields):
            if fields["channel_name"] == "private-junk":
                busy.release()
                go.wait(30)
            return 403, {}
        self.app_server.say = say
        junk = self.asking(server, "junk", "127.0.0.2")
        self.assertTrue(busy.acquire(timeout=20))
        first = self.asking(server, "news", "127.0.0.2")  # waits behind its own
        self.assertEqual(request(server.edge, "GET", "/").status, 200)  # the worker has come to it
        self.assertEqual(self.ask(server, "news", "127.0.0.3")[0], 403)
        self.assertEqual(first()[0], 403)  # the same answer
        go.set()
        self.assertEqual(junk()[0], 403)

    def test_a_server_that_stops_while_many_wait_their_turn_ends_well(self):
        server = self.begin(self.ASK.rstrip() + '\nquestions_per_address = 1\ntimeout = "60s"\n', set={"server.workers": 2, "realtime.drain": "100ms"})
        asked, go = threading.Event(), threading.Event()

        def say(fields):
            asked.set()
            go.wait(60)
            return 403, {}
        self.app_server.say = say
        self.addCleanup(go.set)

        async def use():
            sockets = [self.socket(server) for _ in range(50)]
            for i, each in enumerate(sockets):
                socket = await each.__aenter__()
                for k in range(4):
                    await socket.send(json.dumps({"type": "subscribe", "channel": f"room-{i}-{k}"}))
                await socket.send('{"type": "ping"}')
                while json.loads(await asyncio.wait_for(socket.recv(), 20))["type"] != "pong":
                    pass
            self.assertTrue(await self.away(lambda: asked.wait(20)))
            self.assertEqual(await self.away(lambda: server.stop(60)), 0)
        self.play(use())

    def test_everybody_behind_one_address_is_let_in(self):
        server = self.begin(self.ASK.rstrip() + "\nquestions_per_address = 4\n" + self.JWT, set={"server.workers": 2})
        users = 40

        async def join(name):
            async with self.socket(server, name) as socket:
                await socket.send(json.dumps({"type": "subscribe", "channel": "office"}))
                while True:
                    message = json.loads(await asyncio.wait_for(socket.recv(), 30))
                    if message.get("channel") == "office":
                        return message["type"]

        async def use():
            self.assertEqual(await asyncio.gather(*(join(f"user{i}") for i in range(users))), ["subscribed"] * users)
        self.app_server.say = lambda fields: (200, {})
        self.play(use())

    def test_a_webhook_whose_answer_never_ends_holds_up_none_behind_it(self):
        calls = []

        def drip(connection):
            while call := connection.read():
                calls.append(call)
                if len(calls) > 1:
                    connection.send(reply(200, b""))
                    continue
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                try:
                    while True:
                        connection.send(chunk(b"x"))
                        time.sleep(0.2)
                except OSError:
                    return
        hooks = self.script(drip)
        server = self.hub(f"""
[realtime]
webhook_delay = "50ms"
[[realtime.apps]]
id = "told"
key = "told-key"
secret = "told-secret"
webhook_url = "{hooks.url}/hooks"
""")

        async def subscribe(channel, until, timeout):
            host, port = server.edge
            async with websockets.connect(f"ws://{host}:{port}/app/told-key?protocol=7") as socket:
                await socket.send(json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}}))
                await asyncio.get_running_loop().run_in_executor(None, lambda: eventually(until, timeout))
        self.play(subscribe("one", lambda: len(calls) >= 1, 10))
        self.play(subscribe("two", lambda: any(b'"two"' in call.body for call in calls), 30))


class Pages(PlainScenario):
    def test_a_page_of_an_allowed_origin_may_send_its_token(self):
        server = self.hub(CONFIG.replace("[realtime]\n", '[realtime]\nallowed_origins = ["https://app.example.org"]\n'))
        ask = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        for path in ("poll", "events"):
            answer = request(server.edge, "OPTIONS", f"/_headroom/realtime/{path}?channels=public-a", ask)
            self.assertEqual(answer.status, 204)
            self.assertEqual(answer.field("Access-Control-Allow-Origin"), "https://app.example.org")
            self.assertIn("Authorization", answer.field("Access-Control-Allow-Headers"))
        other = request(server.edge, "OPTIONS", "/_headroom/realtime/poll?channels=public-a", ask | {"Origin": "https://evil.example.org"})
        self.assertEqual(other.status, 403)
        bad = request(server.edge, "GET", "/_headroom/realtime/poll?channels=public-a&token=bad", {"Origin": "https://app.example.org"})
        self.assertEqual((bad.status, bad.field("Access-Control-Allow-Origin")), (401, "https://app.example.org"))


class Look:
    """The admin API's inspector, read event by event."""

    def __init__(self, server, query):
        host, port = server.admin
        self.connection = http.client.HTTPConnection(host, port, timeout=20)
        self.connection.request("GET", f"/api/v1/realtime/watch?{query}", headers={"Authorization": f"Bearer {server.token()}"})
        self.answer = self.connection.getresponse()
        while self.answer.readline().strip() != b":":
            pass  # it has begun

    def next(self):
        while not (line := self.answer.readline()).startswith(b"data: "):
            if not line:
                raise EOFError
        return json.loads(line[6:])

    def close(self):
        self.answer.close()
        self.connection.close()


class Looking(PlainScenario):
    def test_an_admin_sees_what_is_published_and_is_no_subscriber(self):
        server = self.hub(CONFIG)
        look = Look(server, f"app={ID}&channel=orders-*")
        self.addCleanup(look.close)
        publish(server, "orders-1", "shipped", {"n": 1})
        first = look.next()
        self.assertEqual((first["channel"], first["event"], first["unheard"], json.loads(first["data"])), ("orders-1", "shipped", True, {"n": 1}))
        publish(server, "news", "other", "x")

        async def use():
            async with self.connect(server) as client:
                await client.subscribe("orders-2")
                publish(server, "orders-2", "long", "y" * 5000, priority="critical")
                await client.event("long")
                told = await self.away(lambda: server.api("GET", f"/api/v1/realtime/channels?app={ID}&prefix=orders").json())
                self.assertEqual([(one["channel"], one["subscriptions"], one["messages"]) for one in told["channels"]], [("orders-2", 1, 1)])
        self.play(use())
        seen = look.next()
        self.assertEqual((seen["channel"], seen["bytes"], len(seen["data"]), seen["cut"], seen["priority"], seen["offset"]), ("orders-2", 5000, 2048, True, "critical", 1))

    def test_only_admins_look_and_the_others_are_told_so(self):
        server = self.hub(CONFIG)
        for role, status in (("viewer", 403), ("operator", 403)):
            answer = request(server.admin, "GET", "/api/v1/realtime/watch?channel=news", {"Authorization": f"Bearer {server.token(role)}"})
            self.assertEqual(answer.status, status)
        self.assertEqual(server.api("GET", "/api/v1/realtime/watch").status, 400)
        self.assertEqual(server.api("GET", "/api/v1/realtime/channels?limit=0").status, 400)

    def test_the_audit_log_says_who_ended_whose_connections_and_not_what_was_published(self):
        server = self.hub(CONFIG)
        self.notice(server, type="n", data=1, users=["ann"])
        for what in ("disconnect", "revoke"):
            self.assertEqual(server.api("POST", f"/api/v1/realtime/users/ann/{what}").status, 200)
            path = f"/api/v1/realtime/users/ann/{what}"
            eventually(lambda: server.api("GET", "/api/v1/audit").json()["entries"][0]["path"] == path, 20)
        self.assertNotIn("publish", server.api("GET", "/api/v1/audit").text())

    def test_the_statistics_tell_refusals_and_recoveries_by_cause(self):
        server = self.hub(CONFIG)
        before = server.api("GET", "/api/v1/realtime").json()
        self.assertEqual(set(before["refused"]), {"handshake", "origin", "limit", "protocol", "silent", "slow", "drain"})

        async def use():
            async with self.connect(server) as client:
                await client.subscribe("kept-1", resume_after="1-5")
        self.play(use())
        refused = request(server.edge, "GET", "/_headroom/realtime/poll?channels=public-a", {"Origin": "https://evil.example.org"})
        self.assertEqual(refused.status, 403)
        publish(server, "nobody-hears", "x", "1")
        after = server.api("GET", "/api/v1/realtime").json()
        self.assertEqual(after["refused"]["origin"], before["refused"]["origin"] + 1)
        self.assertEqual(after["recoveries"]["lost"], before["recoveries"]["lost"] + 1)
        self.assertEqual(after["unheard"], before["unheard"] + 1)


if __name__ == "__main__":
    unittest.main()
