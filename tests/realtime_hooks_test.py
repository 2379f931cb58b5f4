"""What the hub asks and tells an app: webhooks, questions who may listen, and the memory that keeps a reconnect storm from the app."""

import asyncio
import concurrent.futures
import hashlib
import hmac
import json
import threading
import time
import unittest
import urllib.parse

import websockets

from harness.client import request
from harness.edge import eventually, metric, reply
from harness.hub import ID, KEY, SECRET, HubScenario, sign
from harness.scenario import Scenario


class App:
    """An app's server that hears webhooks and questions. `status` and `say` decide what it answers."""

    def __init__(self):
        self.calls = []
        self.status = 200
        self.delay = 0
        self.say = lambda fields: (200, {})
        self.lock = threading.Lock()

    def __call__(self, call):
        with self.lock:
            self.calls.append(call)
            status = self.status
        if call.target == "/hooks":
            return reply(status, b"")
        if call.target.startswith("/ask"):
            time.sleep(self.delay)
            code, body = self.say(dict(urllib.parse.parse_qsl(call.body.decode())))
            return reply(code, json.dumps(body).encode() if body is not None else b"")
        return reply(200, b"the app's own")

    def heard(self, target):
        with self.lock:
            return [call for call in self.calls if call.target == target]

    def events(self):
        return [event for call in self.heard("/hooks") for event in json.loads(call.body)["events"]]


class AppScenario(HubScenario):
    def begin(self, config="", hooks="", **options):
        self.app_server = App()
        app = self.answers(self.app_server)
        url = app.url
        text = f"""
[realtime]
webhook_delay = "50ms"
{config.replace("{url}", url)}
[[realtime.apps]]
id = "{ID}"
key = "{KEY}"
secret = "{SECRET}"
client_events = true
webhook_url = "{url}/hooks"
{hooks}
"""
        self.again = lambda **more: self.serve(app, config=text, **more)
        return self.again(**options)


class Webhooks(AppScenario):
    def test_an_app_is_told_of_what_happens_in_its_channels_signed(self):
        server = self.begin(set={"server.workers": 3})

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                await a.subscribe("news")
                await b.subscribe("news")
                await a.subscribe("presence-room", {"user_id": "ann"})
                await a.subscribe("cache-score")
                await a.event("pusher:cache_miss")
                await a.send("client-wave", {"hand": "left"}, channel="presence-room")
                await asyncio.sleep(0.3)
                return a.socket_id

        socket_id = self.play(use())
        want = [{"name": "channel_occupied", "channel": "news"}, {"name": "channel_occupied", "channel": "presence-room"},
                {"name": "member_added", "channel": "presence-room", "user_id": "ann"}, {"name": "channel_occupied", "channel": "cache-score"},
                {"name": "cache_miss", "channel": "cache-score"},
                {"name": "client_event", "channel": "presence-room", "event": "client-wave", "data": '{"hand":"left"}', "socket_id": socket_id, "user_id": "ann"},
                {"name": "member_removed", "channel": "presence-room", "user_id": "ann"},
                *({"name": "channel_vacated", "channel": channel} for channel in ("news", "presence-room", "cache-score"))]

        def told():
            got = self.app_server.events()
            self.assertEqual(sorted(map(json.dumps, got)), sorted(map(json.dumps, want)))
            return True

        eventually(told)
        for call in self.app_server.heard("/hooks"):
            fields = {name.lower(): value for name, value in call.fields}
            self.assertEqual(fields["x-pusher-key"], KEY)
            self.assertEqual(fields["x-pusher-signature"], hmac.new(SECRET.encode(), call.body, hashlib.sha256).hexdigest())
            self.assertLess(abs(json.loads(call.body)["time_ms"] / 1000 - time.time()), 60)

    def test_only_what_the_app_wants_is_told(self):
        server = self.begin(hooks='webhooks = ["presence"]')

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("news")
                await a.subscribe("presence-room", {"user_id": "ann"})

        self.play(use())
        eventually(lambda: [event["name"] for event in self.app_server.events()] == ["member_added", "member_removed"])

    def test_a_channel_left_and_entered_at_once_is_not_told(self):
        server = self.begin(set={"realtime.webhook_delay": "1s"})

        async def use():
            for _ in range(5):  # a page that reloads
                async with self.connect(server) as a:
                    await a.subscribe("news")
            async with self.connect(server) as a:
                await a.subscribe("news")
                await asyncio.sleep(1.5)
                self.assertEqual(self.app_server.events(), [{"name": "channel_occupied", "channel": "news"}])

        self.play(use())

    def test_a_call_that_fails_is_tried_again_and_nothing_is_lost_or_out_of_order(self):
        server = self.begin()
        self.app_server.status = 500

        async def use():
            async with self.connect(server) as a:
                for i in range(3):
                    await a.subscribe(f"room-{i}")
                    await asyncio.sleep(0.2)
                await asyncio.get_running_loop().run_in_executor(None, lambda: eventually(
                    lambda: metric(server, "headroom_realtime_webhook_failures_total") >= 1))
                self.app_server.status = 200
                first = json.loads(self.app_server.heard("/hooks")[0].body)["events"]

                def all_told():
                    good = self.app_server.heard("/hooks")[1:]
                    names = [event["channel"] for call in good for event in json.loads(call.body)["events"] if event["name"] == "channel_occupied"]
                    return names == ["room-0", "room-1", "room-2"] and first[0]["channel"] == "room-0"

                await asyncio.get_running_loop().run_in_executor(None, lambda: eventually(all_told, 20))

        self.play(use())
        self.assertGreaterEqual(metric(server, "headroom_realtime_webhook_events_total", outcome="sent"), 3)
        self.assertEqual(metric(server, "headroom_realtime_webhook_events_total", outcome="dropped"), 0)

    def test_many_events_are_told_in_few_calls_at_the_pace_of_the_delay(self):
        server = self.begin(set={"realtime.webhook_delay": "500ms"})

        async def use():
            async with self.connect(server) as a:
                for i in range(60):
                    await a.subscribe(f"room-{i}")
                    await asyncio.sleep(0.02)
                await asyncio.get_running_loop().run_in_executor(None, lambda: eventually(lambda: len(self.app_server.events()) >= 60, 20))
                return time.monotonic()

        began = time.monotonic()
        ended = self.play(use())
        told = [event["channel"] for event in self.app_server.events() if event["name"] == "channel_occupied"]
        self.assertEqual(told, [f"room-{i}" for i in range(60)])
        self.assertLessEqual(len(self.app_server.heard("/hooks")), 2 + (ended - began) / 0.5)

    def test_what_cannot_be_told_in_time_is_dropped_and_counted(self):
        server = self.begin(set={"realtime.webhook_retry": "1s"})
        self.app_server.status = 503

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("news")
                await asyncio.sleep(0.5)

        self.play(use())
        eventually(lambda: metric(server, "headroom_realtime_webhook_events_total", outcome="dropped") >= 1, 20)


class TakenOver(AppScenario):
    _end = Scenario._end  # servers end in the midst of these

    def test_through_a_take_over_the_app_is_told_only_of_who_has_left(self):
        old = self.begin('drain = "2s"\n', set={"server.workers": 2})

        async def stay(client):
            with self.assertRaises(websockets.ConnectionClosed):
                while True:
                    await client.receive(30)

        async def use():
            loop = asyncio.get_running_loop()
            async with self.connect(old) as ann, self.connect(old) as bob:
                for client, user in ((ann, "ann"), (bob, "bob")):
                    await client.subscribe("presence-room", {"user_id": user})
                await bob.subscribe("bobs-own")
                await loop.run_in_executor(None, lambda: eventually(lambda: len(self.app_server.events()) == 4))
                new = await loop.run_in_executor(None, lambda: self.again(arguments=["--take-over"], set={"server.workers": 3}))
                await asyncio.gather(stay(ann), stay(bob))
            async with self.connect(new) as ann:
                await ann.subscribe("presence-room", {"user_id": "ann"})
                await loop.run_in_executor(None, lambda: self.assertEqual(old.wait(40), 0))
                await loop.run_in_executor(None, lambda: eventually(lambda: len(self.app_server.events()) >= 6))
                await asyncio.sleep(0.3)
                self.assertEqual(sorted(map(json.dumps, self.app_server.events()[4:])), sorted(map(json.dumps, [
                    {"name": "member_removed", "channel": "presence-room", "user_id": "bob"}, {"name": "channel_vacated", "channel": "bobs-own"}])))
            return new

        new = self.play(use())
        self.assertEqual(new.stop(), 0)


ASK = """
[realtime.authorization]
url = "{url}/ask"
path = "/broadcasting/auth"
remember = "30s"
"""


class Questions(AppScenario):
    def auth(self, server, socket_id, channel, cookie="session=ann"):
        body = urllib.parse.urlencode({"socket_id": socket_id, "channel_name": channel}).encode()
        return request(server.edge, "POST", "/broadcasting/auth", {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}, body)

    def sign_all(self, fields):
        return 200, {"auth": f"{KEY}:" + sign(f"{fields['socket_id']}:{fields['channel_name']}")}

    def test_a_reconnect_storm_asks_the_app_once_for_a_session_and_channel(self):
        server = self.begin(ASK)
        self.app_server.say = self.sign_all

        async def use():
            for _ in range(10):
                async with self.connect(server) as a:
                    loop = asyncio.get_running_loop()
                    answer = await loop.run_in_executor(None, self.auth, server, a.socket_id, "private-orders")
                    self.assertEqual(answer.status, 200)
                    await a.subscribe("private-orders", auth=json.loads(answer.text())["auth"])

        self.play(use())
        asked = self.app_server.heard("/ask")
        self.assertEqual(len(asked), 1)
        self.assertIn(("cookie", "session=ann"), [(name.lower(), value) for name, value in asked[0].fields])
        self.assertEqual(metric(server, "headroom_realtime_questions_total", outcome="spared"), 9)
        # Another session is another question; so is another channel.
        self.auth(server, "1.1", "private-orders", "session=bob")
        self.auth(server, "1.1", "private-other")
        self.assertEqual(len(self.app_server.heard("/ask")), 3)

    def test_the_apps_addresses_which_may_hold_keys_are_shown_to_nobody(self):
        server = self.begin(ASK.replace("{url}/ask", "{url}/ask?key=between-us"))
        shown = server.api("GET", "/api/v1/config").text()
        self.assertIn("realtime", shown)
        for secret in ("between-us", "/hooks"):
            self.assertNotIn(secret, shown)

    def test_the_hubs_questions_are_signed_and_nobody_else_says_who_a_user_is(self):
        server = self.begin(ASK.replace("[realtime.authorization]\n", '[realtime.authorization]\nsecret = "between-us"\n'))
        self.app_server.say = self.sign_all
        self.assertEqual(self.auth(server, "1.1", "private-orders").status, 200)
        asked = self.app_server.heard("/ask")[0]
        said = dict((name.lower(), value) for name, value in asked.fields)["headroom-signature"]
        at, signature = (part.split("=")[1] for part in said.split(","))
        self.assertEqual(signature, hmac.new(b"between-us", f"{at}.".encode() + asked.body, hashlib.sha256).hexdigest())
        self.assertLess(abs(time.time() - int(at)), 60)
        body = urllib.parse.urlencode({"socket_id": "1.1", "channel_name": "private-ann", "user_id": "ann"}).encode()
        claimed = request(server.edge, "POST", "/broadcasting/auth", {"Content-Type": "application/x-www-form-urlencoded"}, body)
        self.assertEqual(claimed.status, 400)
        for kind, text in (("Application/X-WWW-Form-Urlencoded", body), ("application/json", b'{"user_id":"ann"}'), ("application/json", b'{"user\\u005fid":"ann"}'), (None, body)):
            fields = {"Content-Type": kind} if kind else {}
            self.assertEqual(request(server.edge, "POST", "/broadcasting/auth", fields, text).status, 400, kind)
        # What some framework reads as that name, and what cannot be read.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for more in ("user_id=ann&z=%zz", "user.id=ann", "user%20id=ann", "user[id=ann", "user_id[]=ann", "user_id[a]=ann", "+user_id=ann", "[user_id]=ann", "USER_ID=ann",
                     "user_id%00x=ann", "z=1;user_id=ann", "&".join(f"a{i}=1" for i in range(1500)) + "&user_id=ann"):
            body = f"socket_id=1.1&channel_name=private-ann&{more}".encode()
            self.assertEqual(request(server.edge, "POST", "/broadcasting/auth", form, body).status, 400, more[-40:])
        part = b'--b\r\nContent-Disposition: form-data; name="user\\_id"\r\n\r\nann\r\n--b--\r\n'
        self.assertEqual(request(server.edge, "POST", "/broadcasting/auth", {"Content-Type": "multipart/form-data; boundary=b"}, part).status, 400)
        self.assertEqual(len(self.app_server.heard("/ask")), 1)

    def test_who_needs_an_answer_alone_asks_beside_the_others_not_behind_them(self):
        server = self.begin(ASK)
        at_once, most = [], []

        def say(fields):
            at_once.append(1)
            most.append(len(at_once))
            time.sleep(0.3)
            at_once.pop()
            return 200, {"auth": f"{KEY}:x", "shared_secret": "abc"}
        self.app_server.say = say
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda i: self.auth(server, f"1.{i}", "private-encrypted-orders"), range(1, 13)))
        self.assertEqual([answer.status for answer in answers], [200] * 12)
        self.assertEqual(len(self.app_server.heard("/ask")), 12)
        self.assertGreater(max(most), 3)

    def test_a_no_is_not_remembered_and_who_asks_at_once_asks_once(self):
        server = self.begin(ASK)
        self.app_server.say = lambda fields: (403, {"message": "no"})
        for _ in range(2):
            answer = self.auth(server, "1.1", "private-orders")
            self.assertEqual((answer.status, json.loads(answer.text())), (403, {"message": "no"}))
        self.assertEqual(len(self.app_server.heard("/ask")), 2)
        self.app_server.say, self.app_server.delay = self.sign_all, 0.5
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append((i, self.auth(server, f"1.{i}", "private-orders")))) for i in range(1, 21)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for i, answer in answers:  # each its own signature
            self.assertEqual(json.loads(answer.text())["auth"], f"{KEY}:" + sign(f"1.{i}:private-orders"))
        self.assertEqual(len(self.app_server.heard("/ask")), 3)

    def test_an_app_that_cannot_be_reached_is_no_yes_for_anybody_and_ends_nothing(self):
        server = self.begin(ASK.replace("{url}", "http://127.0.0.1:1"))
        for cookie in ("session=ann", "session=" + "x" * 4000, "a\u0080b"):
            self.assertEqual(self.auth(server, "1.1", "private-orders", cookie).status, 503)
        self.assertEqual(metric(server, "headroom_realtime_questions_total", outcome="failed"), 3)

    def test_presence_data_and_shared_secrets(self):
        server = self.begin(ASK)
        data = json.dumps({"user_id": "ann"})
        self.app_server.say = lambda fields: (200, {"auth": f"{KEY}:" + sign(f"{fields['socket_id']}:{fields['channel_name']}:{data}"), "channel_data": data})
        for i in (1, 2):
            answer = json.loads(self.auth(server, f"1.{i}", "presence-room").text())
            self.assertEqual(answer, {"auth": f"{KEY}:" + sign(f"1.{i}:presence-room:{data}"), "channel_data": data})
        self.assertEqual(len(self.app_server.heard("/ask")), 1)
        self.app_server.say = lambda fields: (200, {"auth": "x", "shared_secret": fields["socket_id"]})
        for i in (1, 2):  # not remembered, not changed
            self.assertEqual(json.loads(self.auth(server, f"1.{i}", "private-encrypted-a").text()), {"auth": "x", "shared_secret": f"1.{i}"})

    def test_anything_else_goes_to_the_app_and_an_app_that_is_gone_is_no_yes(self):
        server = self.begin(ASK)
        self.app_server.say = lambda fields: (422, {"got": fields})
        odd = request(server.edge, "POST", "/broadcasting/auth", {"Content-Type": "application/json"}, b'{"a":1}')
        self.assertEqual(odd.status, 422)
        self.assertEqual(self.app_server.heard("/ask")[0].body, b'{"a":1}')
        self.assertEqual(request(server.edge, "GET", "/broadcasting/auth", {}).body, b"the app's own")
        self.app_server.say = lambda fields: (500, {})
        self.assertEqual(self.auth(server, "1.1", "private-orders").status, 503)
        self.app_server.say = self.sign_all  # and it recovers
        self.assertEqual(self.auth(server, "1.1", "private-orders").status, 200)

    def test_the_plain_faces_ask_for_rooms_by_the_same_endpoint(self):
        server = self.begin(ASK)
        self.app_server.say = lambda fields: (200, None) if fields["channel_name"] == "good" else (403, None)

        async def use():
            import websockets
            host, port = server.edge
            async with websockets.connect(f"ws://{host}:{port}/_headroom/realtime", extra_headers={"Cookie": "session=ann"}) as socket:
                async def said(type_):
                    while True:
                        message = json.loads(await asyncio.wait_for(socket.recv(), 10))
                        if message["type"] == type_:
                            return message

                await socket.send(json.dumps({"type": "subscribe", "channel": "bad"}))
                self.assertEqual((await said("error"))["code"], "unauthorized")
                await socket.send(json.dumps({"type": "subscribe", "channel": "good"}))
                await said("subscribed")
                self.assertEqual(server.api("POST", "/api/v1/realtime/publish", {"type": "n", "data": 1, "channels": ["good"]}).status, 200)
                self.assertEqual((await said("n"))["data"], 1)

        self.play(use())
        asked = self.app_server.heard("/ask")
        self.assertIn(("cookie", "session=ann"), [(name.lower(), value) for name, value in asked[-1].fields])
        refused = request(server.edge, "GET", "/_headroom/realtime/poll?channels=bad", {"Cookie": "session=ann"})
        self.assertEqual(refused.status, 401)


if __name__ == "__main__":
    unittest.main()
