"""The hub by hand: the Pusher protocol's channels, presence, users and events."""

import asyncio
import json
import unittest

import websockets

from harness.edge import eventually, metric
from harness.hub import KEY, HubScenario, call, channel_auth, publish, sign


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
                for same in ("7", 7.0):  # a second connection of the same user changes nothing
                    async with self.connect(server) as again:
                        joined = await again.subscribe("presence-room", {"user_id": same, "user_info": "other"})
                        self.assertEqual(json.loads(joined["data"])["presence"]["count"], 2)
                self.assertIsNone(await a.silence())
                users = json.loads(call(server, "GET", "channels/presence-room/users").text())
                self.assertEqual(users, {"users": [{"id": "7"}, {"id": "ann"}]})
                for other in (9007199254740993.0, 1.5, 99999999999999999999):  # another's, once read
                    async with self.connect(server) as again:
                        await again.subscribe("presence-room", {"user_id": other}, wait=False)
                        await again.event("pusher:subscription_error")
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
                told, members = [], set()
                while (more := await watcher.silence()) is not None:
                    user = json.loads(more["data"])["user_id"]
                    told.append(user)
                    (members.add if more["event"] == "pusher_internal:member_added" else members.discard)(user)
                self.assertEqual(members, {f"user-{i}" for i in range(40)})  # what a client's list has become
                self.assertEqual(sorted(set(told) - {"flicker"}), sorted(members))
                self.assertEqual(len(told) - told.count("flicker"), 40)  # each once
                self.assertLess(told.count("flicker"), 10)  # ten times it came or went
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


if __name__ == "__main__":
    unittest.main()
