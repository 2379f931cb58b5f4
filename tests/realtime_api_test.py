"""The hub's HTTP API by hand: signatures, bad events, counts; and what schemas refuse."""

import json
import unittest

from harness.client import request
from harness.edge import eventually, metric
from harness.hub import ID, HubScenario, call, publish, signed


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


if __name__ == "__main__":
    unittest.main()
