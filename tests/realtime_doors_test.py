"""The hub's sockets by hand: whose paths they are, origins, codes, silence, bad frames; batches and compression."""

import asyncio
import unittest

import websockets

from harness.edge import ask, eventually, metric
from harness.hub import ID, KEY, HubScenario, publish


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
