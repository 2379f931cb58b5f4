"""Large bodies in constant memory, whoever is slow; and what ends when one side has gone."""

import threading
import time
import unittest

from harness.edge import SANITIZED, EdgeScenario, Malformed, answering, ask, chunk, eventually, metric, reply

MIB = 1 << 20
BLOCK = bytes(range(256)) * 256  # 64 KiB


class BackPressure(EdgeScenario):
    def test_a_download_of_1_gib(self):
        total = 1024 * MIB

        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            for _ in range(total // (16 * len(BLOCK))):
                connection.send(BLOCK * 16)

        server = self.serve(self.script(script))
        client = self.client(server).request()
        self.assertEqual(client.head().get("content-length"), str(total))
        before = server.resident_bytes()
        left = total - len(client.reader.buffer)
        buffer = bytearray(MIB)
        most = 0
        while left > 0:
            got = client.sock.recv_into(buffer)
            self.assertGreater(got, 0)
            left -= got
            if left % 50 == 0:
                most = max(most, server.resident_bytes())
        self.assertEqual(left, 0)
        self.assertLess(most - before, (64 if SANITIZED else 8) * MIB)

    def upload(self, framing, total, encode, check):
        app = self.script(check)
        server = self.serve(app, config="[edge]\nbody_limit = 0")
        client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        before = server.resident_bytes()
        piece = encode(BLOCK * 16)
        for _ in range(total // (16 * len(BLOCK))):
            client.send(piece)
        client.send(encode(b""))
        self.assertEqual(client.answer().body, str(total).encode())
        self.assert_grows_less(server, before, 8 * MIB)

    @staticmethod
    def count_length(connection):
        request = connection.read_head()
        left = total = int(request.get("content-length"))
        left -= len(connection.reader.buffer)
        buffer = bytearray(MIB)
        while left > 0:
            left -= connection.sock.recv_into(buffer)
        connection.send(reply(200, str(total - left)))

    def test_an_upload_of_512_mib(self):
        total = 512 * MIB
        self.upload(b"Content-Length: %d" % total, total, lambda data: data, self.count_length)

    def test_a_chunked_upload_of_64_mib(self):
        total = 64 * MIB

        def count(connection):
            request = connection.read()
            connection.send(reply(200, str(len(request.body))))

        self.upload(b"Transfer-Encoding: chunked", total, lambda data: chunk(data) if data else b"0\r\n\r\n", count)

    def stuck(self, moved):
        """Until nothing moves any more."""
        last = -1
        while last != moved[0]:
            last = moved[0]
            time.sleep(0.5)
        return last

    def test_a_slow_reader_holds_the_server_back(self):
        sent = [0]

        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.send(chunk(BLOCK))
                sent[0] += len(BLOCK)

        app = self.script(script)
        server = self.serve(app)
        before = server.resident_bytes()
        clients = [self.client(server, receive_buffer=4096).request() for _ in range(20)]
        self.assertLess(self.stuck(sent), 20 * 16 * MIB)  # what the sockets' buffers hold
        self.assert_grows_less(server, before, 20 * MIB // 2)
        for client in clients:
            client.reset()
        app.wait_closed()

    def test_a_slow_server_holds_the_client_back(self):
        ending = threading.Event()
        self.addCleanup(ending.set)
        sent = [0]
        app = self.script(lambda connection: connection.read_head() and ending.wait(30), receive_buffer=4096)
        server = self.serve(app, config="[edge]\nbody_limit = 0")
        before = server.resident_bytes()
        client = self.client(server, patience=1).send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        with self.assertRaises(TimeoutError):  # held back for a second
            while sent[0] < 64 * MIB:
                client.send(chunk(BLOCK))
                sent[0] += len(BLOCK)
        self.assert_grows_less(server, before, 2 * MIB)
        client.reset()

    def test_pipelined_requests_are_not_read_ahead_without_end(self):
        """While one is answered, those behind it stay in the client's hands."""
        release = threading.Event()
        self.addCleanup(release.set)

        def answer(request):
            release.wait(30)
            return b"ok"

        server = self.serve(self.answers(answer))
        before = server.resident_bytes()
        client = self.client(server, patience=1)
        with self.assertRaises(TimeoutError):
            for _ in range(2000):
                client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
        self.assert_grows_less(server, before, 2 * MIB)
        client.reset()


class Gone(EdgeScenario):
    """The client leaves: the server's time is not wasted on it."""

    def test_in_the_middle_of_a_download(self):
        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.send(chunk(BLOCK))

        app = self.script(script)
        server = self.serve(app)
        for leave in (lambda client: client.reset(), lambda client: client.close()):
            client = self.client(server).request()
            self.assertEqual(client.head().status, 200)
            leave(client)
            app.wait_closed()
        app.script = answering()
        self.assert_serves(server)

    def test_while_a_stream_is_silent(self):
        """Server-sent events: nothing comes for long, the client closes its tab; the server hears of it soon."""
        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"data: 1\n\n"))
            connection.at_end()

        app = self.script(script)
        server = self.serve(app)
        client = self.client(server).request()
        self.assertEqual(client.head().status, 200)
        self.assertEqual(client.reader.line(), "9")
        client.close()
        app.wait_closed(10)  # far below idle_timeout

    def test_an_event_stream_passes_event_by_event(self):
        go = threading.Semaphore(0)

        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for i in range(5):
                go.acquire(timeout=10)
                connection.send(chunk(b"data: %d\n\n" % i))
            connection.send(b"0\r\n\r\n")

        server = self.serve(self.script(script))
        client = self.client(server).request()
        client.head()
        for i in range(5):
            go.release()
            self.assertEqual(client.reader.line(), "9")
            self.assertEqual(client.reader.exactly(11), b"data: %d\n\n\r\n" % i)
            if i == 2:
                time.sleep(2.2)  # silence longer than the look at the client
        self.assertEqual(client.reader.line(), "0")

    def test_while_it_waits_for_an_answer(self):
        app = self.script(lambda connection: connection.read() and connection.at_end())
        server = self.serve(app)
        for method, body in (("GET", None), ("POST", b"small"), ("POST", b"x" * 200000)):
            client = self.client(server).request(method, body=body)
            app.wait_requests(len(app.requests) + 1 if not app.requests else len(app.requests))
            eventually(lambda: app.open() == 1)
            client.reset()
            app.wait_closed(10)
        eventually(lambda: metric(server, "headroom_edge_upstream_in_flight") == 0)
        self.assertEqual(metric(server, "headroom_edge_upstream_failures_total"), 0)
        app.script = answering()
        self.assert_serves(server)

    def test_in_the_middle_of_an_upload(self):
        def script(connection):
            try:
                connection.read()
            except Malformed:
                pass  # an upload that is cut must not look whole

        app = self.script(script)
        server = self.serve(app)
        for framing in (b"Content-Length: 1000000", b"Transfer-Encoding: chunked"):
            part = b"x" * 100000 if b"Length" in framing else chunk(b"x" * 100000)
            for leave in ("reset", "close", "finish_writing"):
                client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + part)
                eventually(lambda: app.open() == 1)
                getattr(client, leave)()
                app.wait_closed()
        self.assertEqual(app.requests, [])
        app.script = answering()
        self.assert_serves(server)

    def test_a_pipelined_client_that_leaves(self):
        app = self.answers(lambda request: b"x" * 100000)
        server = self.serve(app)
        for _ in range(10):
            client = self.client(server)
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50)
            client.answer()
            client.reset()
        eventually(lambda: metric(server, "headroom_edge_connections_open") == 0)
        self.assertLess(len(app.requests), 500)
        self.assertEqual(ask(server.edge).status, 200)


if __name__ == "__main__":
    unittest.main()
