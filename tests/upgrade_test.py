"""WebSocket through Headroom: a real client and a real server (Debian's python3-websockets), then the edges of the upgrade by hand."""

import asyncio
import threading
import unittest

import websockets

from harness.edge import EdgeScenario, answering, ask, eventually, metric, reply

ASK = (b"GET /ws HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
AGREE = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
         b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")


class Library:
    """A websockets server in a thread of its own."""

    def __init__(self, handler):
        self.loop = asyncio.new_event_loop()
        started = threading.Event()

        async def main():
            self.ending = asyncio.Event()
            async with websockets.serve(handler, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
                self.port = server.sockets[0].getsockname()[1]
                started.set()
                await self.ending.wait()

        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(main()), daemon=True)
        self.thread.start()
        started.wait(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.loop.call_soon_threadsafe(self.ending.set)
        self.thread.join(10)
        self.loop.close()


async def echo(socket):
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosed:
        pass


class WebSocket(EdgeScenario):
    def library(self, handler):
        made = Library(handler)
        self.addCleanup(made.stop)
        return made

    def run_client(self, server, use, **options):
        async def main():
            host, port = server.edge
            async with websockets.connect(f"ws://{host}:{port}/socket?x=1", max_size=None, ping_interval=None, **options) as socket:
                return await asyncio.wait_for(use(socket), 30)

        return asyncio.run(main())

    def test_messages_of_all_sizes(self):
        server = self.serve(self.library(echo))

        async def use(socket):
            for size in (0, 1, 125, 126, 65535, 65536, 1000000):
                for message in ("x" * size, b"\x00\xff" * (size // 2)):
                    await socket.send(message)
                    self.assertEqual(await socket.recv(), message)
            await (await socket.ping())

        self.run_client(server, use)
        self.assertEqual(metric(server, "headroom_edge_upgrades_total"), 1)

    def test_many_at_once_both_ways(self):
        """Both directions full: neither waits for the other."""

        async def flood(socket):
            async def push():
                for i in range(300):
                    await socket.send(b"%d" % i + b"s" * 20000)

            sending = asyncio.ensure_future(push())
            received = 0
            async for _ in socket:
                received += 1
                if received == 300:
                    break
            await sending
            await socket.send(str(received))

        server = self.serve(self.library(flood))

        async def use(socket):
            async def push():
                for i in range(300):
                    await socket.send(b"%d" % i + b"c" * 20000)

            sending = asyncio.ensure_future(push())
            for i in range(300):
                message = await socket.recv()
                self.assertTrue(message.startswith(b"%ds" % i))
            await sending
            self.assertEqual(await socket.recv(), "300")

        self.run_client(server, use)

    def test_closing_codes_pass(self):
        async def closes(socket):
            await socket.close(4001, "enough")

        server = self.serve(self.library(closes))

        async def use(socket):
            with self.assertRaises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            return closed.exception.rcvd.code, closed.exception.rcvd.reason

        self.assertEqual(self.run_client(server, use), (4001, "enough"))

    def test_subprotocols_and_extensions_are_the_ends_affair(self):
        made = Library(echo)
        self.addCleanup(made.stop)
        server = self.serve(made)

        async def use(socket):
            self.assertIsNotNone(socket.response_headers.get("Sec-WebSocket-Extensions"))
            await socket.send("a" * 10000)
            self.assertEqual(await socket.recv(), "a" * 10000)

        self.run_client(server, use, compression="deflate")

    def test_a_silent_one_ends_and_a_busy_one_does_not(self):
        server = self.serve(self.library(echo), config='[edge]\nupgrade_idle_timeout = "1s"')

        async def use(socket):
            for i in range(15):  # longer than the limit in all
                await asyncio.sleep(0.15)
                await socket.send(str(i))
                self.assertEqual(await socket.recv(), str(i))
            with self.assertRaises(websockets.ConnectionClosed):
                await socket.recv()

        self.run_client(server, use)

    def test_a_reload_does_not_touch_it(self):
        library = self.library(echo)
        server = self.serve(config=f'[edge]\napp = ["{library.url}"]')
        other = self.script()

        async def use(socket):
            await socket.send("before")
            self.assertEqual(await socket.recv(), "before")
            await asyncio.get_running_loop().run_in_executor(None, self.reload, server, f'[edge]\napp = ["{other.url}"]')
            self.assertEqual(ask(server.edge).body, b"ok")
            await socket.send("after")
            self.assertEqual(await socket.recv(), "after")

        self.run_client(server, use)


class ByHand(EdgeScenario):
    def test_bytes_right_behind_the_handshake(self):
        """Both ends may speak before the other has seen the handshake; not a byte is lost or held back."""

        def script(connection):
            request = connection.read_head()
            connection.keep(request)
            connection.send(AGREE + b"early server bytes")
            connection.send(b"<" + connection.reader.exactly(18) + b">")
            connection.at_end()

        app = self.script(script)
        server = self.serve(app)
        client = self.client(server).send(ASK + b"early client bytes")
        answer = client.head()
        self.assertEqual((answer.status, answer.get("upgrade"), answer.get("connection").lower()), (101, "websocket", "upgrade"))
        self.assertEqual(answer.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(client.reader.exactly(18 + 20), b"early server bytes<early client bytes>")
        request = app.requests[0]
        self.assertEqual((request.get("upgrade"), request.get("connection").lower()), ("websocket", "upgrade"))
        self.assertEqual(request.get("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==")

    def test_a_refused_upgrade_leaves_http(self):
        """Raw bytes pass only after the upstream's 101."""
        app = self.answers(lambda request: reply(200, b"no sockets here"))
        server = self.serve(app)
        client = self.client(server)
        for _ in range(2):
            answer = client.send(ASK).answer()
            self.assertEqual((answer.status, answer.body), (200, b"no sockets here"))
        self.assertEqual(client.ask().status, 200)
        answer = client.send(ASK + b"\x81\x85aaaahello\r\n").answer()  # frames are no HTTP
        self.assertEqual(answer.status, 200)
        self.assertEqual(client.answer().status, 400)
        self.assertTrue(client.at_end())
        self.assertNotIn(b"\x81\x85", app.received())

    def test_another_protocol_than_asked_for(self):
        app = self.script(lambda connection: connection.read() and connection.send(AGREE.replace(b"websocket", b"tls/1.0") + b"bytes"))
        server = self.serve(app)
        answer = self.client(server).send(ASK).answer()
        self.assertEqual(answer.status, 502)
        self.assertNotIn(b"bytes", answer.body)

    def test_each_end_may_close_first(self):
        seen = []

        def script(connection):
            connection.read_head()
            connection.send(AGREE)
            if connection.reader.line() == "you first":
                connection.at_end()
                seen.append("end")
                connection.send(b"after your end")
            else:
                connection.send(b"goodbye")

        app = self.script(script)
        server = self.serve(app)
        client = self.client(server).send(ASK + b"you first\r\n").finish_writing()
        self.assertEqual(client.head().status, 101)
        self.assertEqual(client.reader.exactly(14), b"after your end")  # half-closed: the other way goes on
        self.assertTrue(client.at_end())
        client = self.client(server).send(ASK + b"me first\r\n")
        self.assertEqual(client.head().status, 101)
        self.assertEqual(client.reader.exactly(7), b"goodbye")
        self.assertTrue(client.at_end())
        client.close()
        app.wait_closed()
        self.assertEqual(seen, ["end"])

    def test_a_reset_at_one_end_ends_the_other(self):
        def script(connection):
            connection.read_head()
            connection.send(AGREE)
            if connection.reader.line() == "reset":
                connection.reset()
            else:
                connection.at_end()

        app = self.script(script)
        server = self.serve(app)
        client = self.client(server).send(ASK)
        self.assertEqual(client.head().status, 101)
        client.send(b"stay\r\n")
        client.reset()
        app.wait_closed()
        client = self.client(server).send(ASK)
        self.assertEqual(client.head().status, 101)
        client.send(b"reset\r\n")
        self.assertTrue(client.at_end())

    def test_a_slow_reader_holds_the_sender_back(self):
        sent = [0]

        def script(connection):
            connection.read_head()
            connection.send(AGREE)
            while True:
                connection.send(b"x" * 65536)
                sent[0] += 65536

        app = self.script(script)
        server = self.serve(app)
        client = self.client(server, receive_buffer=4096).send(ASK)
        self.assertEqual(client.head().status, 101)
        before = server.resident_bytes()
        last = -1
        while last != sent[0]:  # until nothing moves any more
            last = sent[0]
            threading.Event().wait(0.5)
        self.assertLess(sent[0], 32 << 20)
        self.assert_grows_less(server, before, 4 << 20)
        client.reset()
        app.wait_closed()

    def test_other_requests_do_not_mind(self):
        app = self.script(lambda connection: (connection.read_head(), connection.send(AGREE), connection.at_end()))
        server = self.serve(app)
        sockets = [self.client(server).send(ASK) for _ in range(50)]
        for each in sockets:
            self.assertEqual(each.head().status, 101)
        app.script = answering()
        self.assert_serves(server)
        for each in sockets:
            each.close()
        eventually(lambda: metric(server, "headroom_edge_upstream_in_flight") == 0)


if __name__ == "__main__":
    unittest.main()
