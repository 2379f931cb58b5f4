"""The real-time hub by hand: channels, private and presence, client events, the HTTP API, typed events, batches."""

import asyncio
import json
import unittest

import websockets

from harness.client import request
from harness.edge import ask, eventually, metric
from harness.hub import ID, KEY, HubScenario, call, channel_auth, publish, sign, signed


class Channels(HubScenario):
    def test_subscribers_get_what_is_published_and_others_do_not(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b, self.connect(server) as c:
                await a.subscribe("news")
                await b.subscribe("news")
                await c.subscribe("other")
                publish(server, "news", "headline", {"n": 1})
                for client in (a, b):
                    self.assertEqual(await client.event("headline"), {"event": "headline", "channel": "news", "data": '{"n": 1}'})
                self.assertIsNone(await c.silence())
                await a.send("pusher:unsubscribe", {"channel": "news"})
                await a.send("pusher:ping")
                await a.event("pusher:pong")
                publish(server, "news", "headline", "two")
                self.assertEqual((await b.event("headline"))["data"], "two")
                self.assertIsNone(await a.silence())

        self.play(use())
        self.assertEqual(metric(server, "headroom_realtime_delivered_total"), 3)

    def test_messages_keep_their_order_on_every_worker(self):
        """Clients of all workers, two publishers at once: each sees one order, and it is the same for all."""
        server = self.hub(set={"server.workers": 4})
        clients, messages = 12, 300

        async def use():
            connections = [self.connect(server) for _ in range(clients)]
            everyone = [await connection.__aenter__() for connection in connections]
            for client in everyone:
                await client.subscribe("order")
            loop = asyncio.get_running_loop()
            first = loop.run_in_executor(None, lambda: [publish(server, "order", "n", f"a{i}") for i in range(messages)])
            second = loop.run_in_executor(None, lambda: [publish(server, "order", "n", f"b{i}") for i in range(messages)])
            seen = [[(await client.event("n", timeout=30))["data"] for _ in range(2 * messages)] for client in everyone]
            await asyncio.gather(first, second)
            for one in seen:
                self.assertEqual(one, seen[0])
            for publisher in "ab":
                self.assertEqual([each for each in seen[0] if each[0] == publisher], [f"{publisher}{i}" for i in range(messages)])
            for connection in connections:
                await connection.__aexit__(None, None, None)

        self.play(use())
        eventually(lambda: metric(server, "headroom_realtime_connections_open") == 0)

    def test_a_publisher_that_names_its_socket_does_not_get_its_own_message(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                await a.subscribe("news")
                await b.subscribe("news")
                publish(server, "news", "moved", "x", socket_id=a.socket_id)
                await b.event("moved")
                self.assertIsNone(await a.silence())

        self.play(use())

    def test_private_channels_need_the_apps_signature_for_this_connection(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                await a.subscribe("private-orders")
                for auth in ("", "x", f"{KEY}:", f"{KEY}:{'0' * 64}", channel_auth(a.socket_id, "private-orders"),
                             channel_auth(b.socket_id, "private-other"), "other:" + sign(f"{b.socket_id}:private-orders")):
                    await b.subscribe("private-orders", auth=auth, wait=False)
                    refused = await b.event("pusher:subscription_error")
                    self.assertEqual((refused["channel"], refused["data"]["status"]), ("private-orders", 401))
                publish(server, "private-orders", "new", "1")
                await a.event("new")
                self.assertIsNone(await b.silence())
                await b.subscribe("private-orders")  # and it recovers

        self.play(use())

    def test_presence_tells_who_is_there_who_comes_and_who_goes(self):
        server = self.hub(set={"server.workers": 3})

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                joined = await a.subscribe("presence-room", {"user_id": "ann", "user_info": {"name": "Ann"}})
                self.assertEqual(json.loads(joined["data"]), {"presence": {"ids": ["ann"], "hash": {"ann": {"name": "Ann"}}, "count": 1}})
                joined = await b.subscribe("presence-room", {"user_id": 7})
                self.assertEqual(json.loads(joined["data"])["presence"]["ids"], ["7", "ann"])
                added = await a.event("pusher_internal:member_added")
                self.assertEqual(json.loads(added["data"]), {"user_id": "7"})
                async with self.connect(server) as again:  # a second connection of the same user changes nothing
                    joined = await again.subscribe("presence-room", {"user_id": "7", "user_info": "other"})
                    self.assertEqual(json.loads(joined["data"])["presence"]["count"], 2)
                self.assertIsNone(await a.silence())
                users = json.loads(call(server, "GET", "channels/presence-room/users").text())
                self.assertEqual(users, {"users": [{"id": "7"}, {"id": "ann"}]})
                await b.send("pusher:unsubscribe", {"channel": "presence-room"})
                removed = await a.event("pusher_internal:member_removed")
                self.assertEqual(json.loads(removed["data"]), {"user_id": "7"})
                self.assertEqual(a.log[-1]["channel"], "presence-room")

        self.play(use())

    def test_a_full_presence_channel_refuses_and_has_room_again(self):
        server = self.hub("[realtime]\npresence_members = 2\n")

        async def use():
            async with self.connect(server) as a, self.connect(server) as b, self.connect(server) as c:
                await a.subscribe("presence-room", {"user_id": "a"})
                await b.subscribe("presence-room", {"user_id": "b"})
                await c.subscribe("presence-room", {"user_id": "c"}, wait=False)
                refused = await c.event("pusher:subscription_error")
                self.assertEqual(refused["data"]["type"], "LimitReached")
                await b.send("pusher:unsubscribe", {"channel": "presence-room"})
                await a.event("pusher_internal:member_removed")
                await c.subscribe("presence-room", {"user_id": "c"})

        self.play(use())

    def test_in_large_rooms_joins_and_leaves_are_told_together_and_flickers_not_at_all(self):
        server = self.hub("[realtime]\npresence_members = 1000\npresence_batch = 5\n", set={"server.workers": 2})

        async def use():
            async with self.connect(server) as watcher:
                await watcher.subscribe("presence-hall", {"user_id": "watcher"})
                others = []
                for i in range(40):
                    connection = self.connect(server)
                    client = await connection.__aenter__()
                    await client.subscribe("presence-hall", {"user_id": f"user-{i}"})
                    others.append((connection, client))  # both are kept
                for _ in range(5):  # a page that reloads
                    async with self.connect(server) as flicker:
                        joined = await flicker.subscribe("presence-hall", {"user_id": "flicker"})
                        self.assertEqual(json.loads(joined["data"])["presence"]["count"], 42)
                await asyncio.sleep(2.2)
                seen = [json.loads(message["data"])["user_id"] for message in [await watcher.receive() for _ in range(40)]]
                self.assertEqual(sorted(set(seen) - {"flicker"}), sorted(f"user-{i}" for i in range(40)))
                while (more := await watcher.silence()) is not None:
                    seen.append(json.loads(more["data"])["user_id"])
                self.assertLess(seen.count("flicker"), 10)  # ten times it came or went
                self.assertEqual(seen.count("flicker") % 2, 0)
                for _, client in others:  # who has not read what came cannot close in order
                    client.socket.transport.abort()
                gone = {json.loads((await watcher.event("pusher_internal:member_removed"))["data"])["user_id"] for _ in range(40)}
                self.assertEqual(gone, {f"user-{i}" for i in range(40)})
                users = json.loads(call(server, "GET", "channels/presence-hall/users").text())
                self.assertEqual(users, {"users": [{"id": "watcher"}]})

        self.play(use())

    def test_client_events_go_to_the_others_of_a_channel_with_the_senders_name(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b, self.connect(server) as c:
                await a.subscribe("presence-room", {"user_id": "ann"})
                await b.subscribe("presence-room", {"user_id": "bob"})
                await a.send("client-typing", {"on": True}, channel="presence-room", user_id="somebody else")
                got = await b.event("client-typing")
                self.assertEqual(got, {"event": "client-typing", "channel": "presence-room", "data": {"on": True}, "user_id": "ann"})
                # Not from who is not in the channel, nor to a public one.
                await c.send("client-typing", {}, channel="presence-room")
                await c.event("pusher:error")
                await c.subscribe("open")
                await c.send("client-typing", {}, channel="open")
                await c.event("pusher:error")
                for _ in range(30):
                    await a.send("client-typing", {}, channel="presence-room")
                self.assertEqual((await a.event("pusher:error"))["data"]["code"], 4301)

        self.play(use())

    def test_users_sign_in_are_sent_to_and_can_be_ended(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                user = json.dumps({"id": "ann"})
                await a.send("pusher:signin", {"auth": f"{KEY}:" + sign(f"{a.socket_id}::user::{user}"), "user_data": user})
                await a.event("pusher:signin_success")
                await a.subscribe("#server-to-user-ann")
                await b.subscribe("#server-to-user-ann", wait=False)
                self.assertEqual((await b.event("pusher:subscription_error"))["data"]["status"], 401)
                publish(server, "#server-to-user-ann", "for-you", "x")
                await a.event("for-you")
                self.assertEqual(call(server, "POST", "users/ann/terminate_connections", {}).status, 200)
                with self.assertRaises(websockets.ConnectionClosed) as closed:
                    await a.receive()
                self.assertEqual(closed.exception.rcvd.code, 4009)
                self.assertIsNone(await b.silence())

        self.play(use())

    def test_cache_channels_give_the_last_event_to_who_comes_later(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                await a.subscribe("cache-score")
                await a.event("pusher:cache_miss")
                publish(server, "cache-score", "score", "1:0")
                publish(server, "cache-score", "score", "2:0")
                await b.subscribe("cache-score")
                self.assertEqual((await b.event("score"))["data"], "2:0")
                self.assertIsNone(await b.silence())

        self.play(use())


class Api(HubScenario):
    def test_only_signed_calls_are_answered(self):
        server = self.hub()
        body = json.dumps({"name": "n", "channel": "c", "data": "d"}).encode()
        path = f"/apps/{ID}/events"

        def post(target, data=body):
            return request(server.edge, "POST", target, {}, data).status

        self.assertEqual(post(signed("POST", path, body)), 200)
        self.assertEqual(post(path), 401)
        self.assertEqual(post(signed("POST", path, body, secret="other")), 401)
        self.assertEqual(post(signed("POST", path, body, at=1)), 401)
        self.assertEqual(post(signed("GET", path, body)), 401)
        self.assertEqual(post(signed("POST", f"/apps/{ID}/batch_events", body).replace("batch_events", "events")), 401)
        self.assertEqual(post(signed("POST", path, body), body.replace(b'"d"', b'"e"')), 401)
        self.assertEqual(post(signed("POST", path, body)), 200)
        self.assertEqual(metric(server, "headroom_realtime_api_calls_total", outcome="unauthorized"), 6)

    def test_bad_events_are_refused_whole(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as client:
                await client.subscribe("good")
                event = {"name": "n", "channel": "good", "data": "d"}
                bad = [{**event, "name": ""}, {**event, "name": "n" * 201}, {**event, "channel": "no spaces"}, {**event, "channels": ["c"] * 100},
                       {**event, "channel": "", "channels": []}, {**event, "data": {"not": "text"}}, {**event, "socket_id": "x"},
                       {**event, "priority": "high"}, {"name": "n"}]
                for each in bad:
                    self.assertEqual(call(server, "POST", "events", each).status, 400, each)
                self.assertEqual(call(server, "POST", "events", {**event, "data": "x" * 10241}).status, 413)
                self.assertEqual(call(server, "POST", "batch_events", {"batch": [event, bad[0]]}).status, 400)
                self.assertEqual(call(server, "POST", "batch_events", {"batch": [event] * 51}).status, 400)
                self.assertEqual(call(server, "POST", "nothing", event).status, 404)
                self.assertIsNone(await client.silence())
                self.assertEqual(call(server, "POST", "batch_events", {"batch": [event, {**event, "name": "m"}]}).text(), '{"batch":[]}')
                await client.event("n")
                await client.event("m")

        self.play(use())

    def test_channels_and_their_counts_are_told(self):
        server = self.hub(set={"server.workers": 3})

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                for client, user in ((a, "ann"), (b, "bob")):
                    await client.subscribe("open")
                    await client.subscribe("presence-room", {"user_id": user})
                await a.subscribe("private-one")

                def get(path, **query):
                    return json.loads(call(server, "GET", path, query=query).text())

                self.assertEqual(get("channels"), {"channels": {"open": {}, "presence-room": {}, "private-one": {}}})
                self.assertEqual(get("channels", filter_by_prefix="presence-", info="user_count"), {"channels": {"presence-room": {"user_count": 2}}})
                self.assertEqual(get("channels/open", info="subscription_count"), {"occupied": True, "subscription_count": 2})
                self.assertEqual(get("channels/nobody"), {"occupied": False})
                self.assertEqual(publish(server, ["open", "presence-room"], "n", "d", info="subscription_count,user_count"),
                                 {"channels": {"open": {"subscription_count": 2}, "presence-room": {"user_count": 2, "subscription_count": 2}}})

        self.play(use())
        eventually(lambda: json.loads(call(server, "GET", "channels").text()) == {"channels": {}})


class Schemas(HubScenario):
    def test_data_that_is_not_what_its_schema_says_is_refused_on_every_way_in(self):
        schema = self.directory / "order.json"
        schema.write_text('{"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}')
        server = self.hub(f'[[realtime.schemas]]\nevent = "order-*"\nfile = "{schema}"\n[[realtime.schemas]]\nevent = "client-order"\nfile = "{schema}"\n')

        async def use():
            async with self.connect(server) as a, self.connect(server) as b:
                for client in (a, b):
                    await client.subscribe("private-room")
                for data in ('{"id": "x"}', "{}", "no JSON"):
                    answer = call(server, "POST", "events", {"name": "order-new", "channel": "private-room", "data": data})
                    self.assertEqual(answer.status, 400)
                    self.assertIn("order-new", answer.text())
                self.assertEqual(server.api("POST", "/api/v1/realtime/publish", {"type": "order-new", "data": {}, "channels": ["a"]}).status, 400)
                await a.send("client-order", {"id": "x"}, channel="private-room")
                await a.event("pusher:error")
                self.assertIsNone(await b.silence())
                await a.send("client-order", {"id": 3}, channel="private-room")
                await b.event("client-order")
                publish(server, "private-room", "order-new", {"id": 7})
                publish(server, "private-room", "other", "anything")
                await b.event("order-new")
                await b.event("other")

        self.play(use())
        self.assertEqual(metric(server, "headroom_realtime_data_refused_total"), 5)

    def test_a_schema_that_is_none_is_refused_at_the_start_and_at_a_reload(self):
        schema = self.directory / "order.json"
        schema.write_text('{"type": "object"}')
        config = f'[[realtime.schemas]]\nevent = "order"\nfile = "{schema}"\n'
        server = self.hub(config)
        schema.write_text('{"type": 7}')
        self.reload(server)
        self.assertTrue(any("reload: nothing changed" in line and "schemas" in line for line in server.lines), server.lines[-5:])
        self.assertEqual(call(server, "POST", "events", {"name": "order", "channel": "c", "data": "{}"}).status, 200)


class Doors(HubScenario):
    def test_all_that_is_not_the_hubs_is_the_apps(self):
        server = self.hub()
        for target in ("/app/other-key", f"/app/{KEY}", "/app", "/apps", "/apps/other/events", "/application"):
            self.assertEqual(ask(server.edge, target=target).body, b"the app's own", target)
        self.assertEqual(ask(server.edge, target=f"/apps/{ID}/channels").status, 401)

    def test_pages_of_other_origins_may_not_connect_unless_allowed(self):
        server = self.hub('[realtime]\nallowed_origins = ["https://shop.example"]\n')
        host, port = server.edge

        async def use():
            for origin in (None, f"http://{host}:{port}", "https://shop.example"):
                async with self.connect(server, origin=origin):
                    pass
            for origin in ("null", "http://shop.example", "https://evil.example", f"https://{host}:{port}", f"http://{host}"):
                with self.assertRaises(websockets.InvalidStatusCode) as refused:
                    async with self.connect(server, origin=origin):
                        pass
                self.assertEqual(refused.exception.status_code, 403)

        self.play(use())

    def test_what_is_wrong_with_a_client_is_said_by_the_protocols_codes(self):
        server = self.hub("[realtime]\nmax_connections = 2\n")

        async def closed(query="protocol=7"):
            async with self.connect(server, query, hello=False) as client:
                error = await client.event("pusher:error")
                with self.assertRaises(websockets.ConnectionClosed) as ended:
                    await client.receive()
                self.assertEqual(ended.exception.rcvd.code, error["data"]["code"])
                return error["data"]["code"]

        async def use():
            self.assertEqual(await closed(""), 4008)
            self.assertEqual(await closed("protocol=x"), 4006)
            self.assertEqual(await closed("protocol=8"), 4007)
            async with self.connect(server), self.connect(server):
                self.assertEqual(await closed(), 4100)
            async with self.connect(server):  # and it recovers
                pass

        eventually(lambda: self.play(use()) is None)

    def test_a_silent_client_is_pinged_and_then_closed(self):
        server = self.hub('[realtime]\nheartbeat = "1s"\npong_timeout = "1s"\n')
        alive = self.client(server)
        silent = self.client(server)
        for client in (alive, silent):
            client.send(b"GET /app/" + KEY.encode() + b"?protocol=7 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
        eventually(lambda: metric(server, "headroom_realtime_connections_open") == 2)

        def pong():
            alive.send(b"\x8a\x80\0\0\0\0")
            return metric(server, "headroom_realtime_connections_open") == 1

        eventually(pong, 10, every=0.3)
        self.assertEqual(metric(server, "headroom_realtime_refused_total", reason="silent"), 1)

    def test_bad_frames_end_only_their_own_connection(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as good:
                await good.subscribe("news")
                for bytes_ in (b"\xff\xff\xff\xff", b"\x81\x05hello", b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", b"\x82\x80\0\0\0\0",
                               b"\x81\x81\0\0\0\0\xff", b"\x81\x84\0\0\0\0null", b"\x81\x82\0\0\0\0[]", b"\x81\x82\0\0\0\0{}"):
                    bad = await self.connect(server, hello=False).__aenter__()
                    bad.socket.transport.write(bytes_)
                    try:
                        while await asyncio.wait_for(bad.socket.recv(), 0.3):
                            pass
                    except (websockets.ConnectionClosed, asyncio.TimeoutError):
                        pass
                    bad.socket.transport.abort()
                publish(server, "news", "still", "there")
                await good.event("still")

        self.play(use())
        eventually(lambda: metric(server, "headroom_realtime_connections_open") == 0)


class Batches(HubScenario):
    def test_the_first_message_leaves_at_once_and_those_behind_it_together(self):
        server = self.hub('[realtime]\nbatch_delay = "2s"\n')

        async def use():
            async with self.connect(server) as a:
                await a.subscribe("busy")
                await asyncio.sleep(2.1)  # it was written to
                began = asyncio.get_running_loop().time()
                publish(server, "busy", "n", "0")
                await a.event("n")
                for i in range(1, 6):
                    publish(server, "busy", "n", str(i))
                before = metric(server, "headroom_realtime_writes_total")
                self.assertEqual([(await a.event("n"))["data"] for _ in range(5)], ["1", "2", "3", "4", "5"])
                self.assertGreater(asyncio.get_running_loop().time() - began, 1.5)
                self.assertEqual(metric(server, "headroom_realtime_writes_total"), before + 1)
                # Fifty do not wait, nor does what is critical.
                publish(server, "busy", "first", "")
                await a.event("first", timeout=5)
                for i in range(50):
                    publish(server, "busy", "n", str(i))
                self.assertEqual([(await a.event("n", timeout=1))["data"] for _ in range(50)], [str(i) for i in range(50)])
                publish(server, "busy", "late", "")
                publish(server, "busy", "alarm", "", priority="critical")
                self.assertEqual((await a.receive(1))["event"], "alarm")
                self.assertEqual((await a.receive(5))["event"], "late")

        self.play(use())


class Compressed(HubScenario):
    def test_clients_that_offer_it_get_compressed_messages_and_the_others_the_same_plain(self):
        server = self.hub("[realtime]\ndeflate = true\n", set={"server.workers": 2})

        async def use():
            async with self.connect(server) as small, self.connect(server, compression=None) as plain:
                self.assertEqual([each.name for each in small.socket.extensions], ["permessage-deflate"])
                self.assertEqual(plain.socket.extensions, [])
                for client in (small, plain):
                    await client.subscribe("private-news")
                data = "again and again " * 200
                publish(server, "private-news", "n", data)
                for client in (small, plain):
                    self.assertEqual((await client.event("n"))["data"], data)
                await small.send("client-n", {"text": data}, channel="private-news")  # and the other way
                self.assertEqual((await plain.event("client-n"))["data"], {"text": data})

        self.play(use())

    def test_without_the_setting_nothing_is_compressed(self):
        server = self.hub()

        async def use():
            async with self.connect(server) as client:
                self.assertEqual(client.socket.extensions, [])

        self.play(use())


if __name__ == "__main__":
    unittest.main()
