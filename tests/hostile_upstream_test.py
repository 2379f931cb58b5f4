"""An upstream that breaks the protocol, breaks off, floods or sleeps: a clear 502 or 504, or an answer visibly cut; never a wrong one.

Each case ends the same way: the connection it happened on is not used again, and the next request is answered.
"""

import threading
import time
import unittest

from harness.edge import EdgeScenario, Malformed, Raw, answering, ask, chunk, eventually, metric, reply

GOOD = reply(200, b"good")

# An answer whose end could be argued about: nothing of it may reach the client.
REFUSED = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two equal lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
    "a length and a coding": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "a length beyond 64 bits": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding in disguise": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded field": b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "bare CR in a value": b"HTTP/1.1 200 OK\r\nX-A: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "a null in a value": b"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\nContent-Length: 0\r\n\r\n",
    "a space before a colon": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
    "an empty name": b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x00\x01\x02\x03" * 100 + b"\r\n\r\n",
    "a text": b"hello\r\n\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00d\r\n\r\n",
    "another version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "a control in the reason": b"HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n",
    "a reason of 64 KiB": b"HTTP/1.1 200 " + b"a" * 65536 + b"\r\nContent-Length: 0\r\n\r\n",
    "a head of 1 MiB": b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(1000)) + b"\r\n",
    "a field of 1 MiB": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000000 + b"\r\nContent-Length: 0\r\n\r\n",
    "10,000 fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10000 + b"Content-Length: 0\r\n\r\n",
    "a 1xx with a body": b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + GOOD,
    "a 1xx with a coding": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GOOD,
    "a 101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfree bytes",
    "a 101 without an upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\nfree bytes",
    "the end before the head": b"HTTP/1.1 200 OK\r\nContent-",
    "the end before anything": b"",
}

# The head is sound, the body is not: what the client gets must be seen to be cut.
CUT = {
    "less than announced": b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
    "a chunk size with 0x": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk size that wraps": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"fffffffffffffffff\r\n",
    "bare LF behind a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
    "the end before the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello"),
    "the end within the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\nX-A: b\r\n",
    "framing in the trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\nContent-Length: 5\r\n\r\n",
    "trailers without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n" + b"X-A: b\r\n" * 20000,
    "an extension without an end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"5;" + b"a" * 100000,
}

# The answer is whole; bytes that nobody asked for follow it. They must never answer somebody else.
EXCESS = {
    "behind a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "behind chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hello") + b"0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "behind 70,000 bytes": b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70000 + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "behind an empty body": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "behind a 204": b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "behind a 304": b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
}


class Hostile(EdgeScenario):
    def setUp(self):
        super().setUp()
        self.bad = b""

        def script(connection):
            while request := connection.read():
                if request.target.startswith("/good") or request.target == "/still-there":
                    connection.send(GOOD)
                else:
                    connection.send(self.bad)
                    if not request.target.startswith("/keep"):
                        return

        self.app = self.script(script)
        self.server = self.serve(self.app, set={"server.workers": 1})

    def test_malformed_heads_are_answered_with_502(self):
        for name, self.bad in REFUSED.items():
            with self.subTest(name):
                client = self.client(self.server)
                answer = client.ask(target="/bad")
                self.assertIsNotNone(answer, "closed without an answer")
                interim_only = name == "the end before the head"
                self.assertEqual((answer.status, answer.has("x-a")), (502, False), (answer, interim_only))
                self.assertTrue(answer.has("retry-after"))
                self.assertNotIn(b"hello", answer.body)
                self.assertEqual(client.ask(target="/good").body, b"good")  # the client's connection is sound
                client.close()
        self.app.wait_requests(1)

    def test_malformed_bodies_are_seen_to_be_cut(self):
        for name, self.bad in CUT.items():
            for version in ("1.1", "1.0"):
                with self.subTest(name, version=version):
                    client = self.client(self.server)
                    client.send(f"GET /bad HTTP/{version}\r\nHost: a\r\n\r\n")
                    with self.assertRaises((Malformed, ConnectionError)):
                        client.answer()
                    self.assertTrue(client.reader.received.startswith(b"HTTP/1.1 200 OK"))
                    client.close()
        self.assertEqual(ask(self.server.edge, target="/good").body, b"good")

    def test_what_follows_an_answer_is_nobodys_answer(self):
        for name, self.bad in EXCESS.items():
            with self.subTest(name):
                client = self.client(self.server)
                client.request(target="/keep")
                first = client.answer()
                self.assertLess(first.status, 400)
                for _ in range(3):
                    self.assertEqual(client.ask(target="/good").body, b"good")
                client.close()

    def test_what_follows_an_answer_a_little_later_is_nobodys_answer(self):
        """The bytes come with the answer's end, or when the connection is at rest."""
        sent = threading.Event()

        def script(connection):
            while request := connection.read():
                if request.target == "/good":
                    connection.send(GOOD)
                    continue
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                time.sleep(float(request.target[1:]))
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                sent.set()

        self.app.script = script
        for delay, rest in ((0.0, 0.0), (0.0, 0.02), (0.01, 0.02), (0.05, 0.02)):
            with self.subTest(delay=delay):
                client = self.client(self.server)
                for _ in range(3):
                    sent.clear()
                    self.assertEqual(client.ask(target=f"/{delay}").body, b"hello")
                    self.assertTrue(sent.wait(10))  # what comes behind the next request would be its answer: no one can tell
                    time.sleep(rest)
                    self.assertEqual(client.ask(target="/good").body, b"good")
                client.close()

    def test_a_close_without_an_answer(self):
        for name, how in (("a close", lambda connection: None), ("a reset", lambda connection: connection.reset())):
            with self.subTest(name):
                def script(connection):
                    request = connection.read()
                    if request.target == "/good":
                        connection.send(GOOD)
                    else:
                        how(connection)

                self.app.script = script
                for method in ("GET", "POST"):
                    self.assertEqual(ask(self.server.edge, method, "/bad").status, 502)
                self.assertEqual(ask(self.server.edge, target="/good").body, b"good")


class Floods(EdgeScenario):
    def test_1xx_without_an_end(self):
        """The flood is cut long before any time limit."""
        sent = [0]

        def flood(connection):
            while request := connection.read():
                if request.target == "/good":
                    connection.send(GOOD)
                    continue
                for i in range(1000000):
                    connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 10)
                    sent[0] += 10

        app = self.script(flood)
        server = self.serve(app)
        for method, body in (("GET", None), ("POST", b"x" * 200000)):
            client = self.client(server).request(method, "/flood", body=body)
            answer = client.answer()
            self.assertEqual(answer.status, 502)
            self.assertLess(len(answer.interim), 200)
            client.close()
        app.wait_closed()
        self.assertLess(sent[0], 200000)
        self.assertEqual(ask(server.edge, target="/good").body, b"good")

    def test_an_endless_answer_goes_to_one_client_and_no_memory(self):
        def endless(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.send(chunk(b"a" * 65536) * 4)

        app = self.script(endless)
        server = self.serve(app)
        client = self.client(server).request()
        self.assertEqual(client.head().status, 200)
        taken = 0
        before = server.resident_bytes()
        while taken < 100 << 20:
            taken += len(client.sock.recv(1 << 20))
        self.assert_grows_less(server, before, 16 << 20)
        client.close()
        app.wait_closed()
        app.script = answering()
        self.assert_serves(server)


class Slow(EdgeScenario):
    CONFIG = """
        [[edge.upstreams]]
        name = "app"
        servers = ["{url}"]
        retries = 0
        max_fails = 0
        connect_timeout = "1s"
        first_byte_timeout = "1s"
        idle_timeout = "1s"
    """

    def serve_slow(self, script):
        app = self.script(script)
        return app, self.serve(config=self.CONFIG.format(url=app.url))

    def test_never_answers(self):
        app, server = self.serve_slow(lambda connection: connection.read() and connection.at_end())
        for method, body in (("GET", None), ("POST", b"small"), ("POST", b"x" * 200000)):
            answer = ask(server.edge, method, body=body)
            self.assertEqual((answer.status, answer.has("retry-after"), answer.has("x-request-id")), (504, True, True))
        app.wait_closed()
        self.assertEqual(len(app.requests), 3)
        app.script = answering()
        self.assert_serves(server)

    def test_accepts_and_reads_nothing(self):
        ending = threading.Event()
        self.addCleanup(ending.set)
        app, server = self.serve_slow(lambda connection: ending.wait(60))
        for method, body in (("GET", None), ("POST", b"small")):
            self.assertEqual(ask(server.edge, method, body=body).status, 504)
        ending.set()
        app.wait_closed()
        app.script = answering()
        self.assert_serves(server)

    def test_does_not_take_the_body(self):
        """The socket buffers are full, nobody reads: a 504 after idle_timeout, not a hang."""
        ending = threading.Event()
        self.addCleanup(ending.set)
        app, server = self.serve_slow(lambda connection: connection.read_head() and ending.wait(60))
        client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n")
        client.sock.settimeout(None)

        def push():
            try:
                client.sock.sendall(b"x" * 10000000)
            except OSError:
                pass

        threading.Thread(target=push, daemon=True).start()
        eventually(lambda: metric(server, "headroom_edge_requests_total") + 1, 1)
        client.sock.settimeout(20)
        answer = client.answer()
        self.assertEqual(answer.status, 504)
        ending.set()
        app.wait_closed()
        app.script = answering()
        self.assert_serves(server)

    def test_a_head_that_drips(self):
        def drip(connection):
            connection.read()
            for byte in b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 1000:
                connection.send(bytes([byte]))
                time.sleep(0.05)

        app, server = self.serve_slow(drip)
        began = time.monotonic()
        self.assertEqual(ask(server.edge).status, 504)
        self.assertLess(time.monotonic() - began, 15)
        app.wait_closed()
        app.script = answering()
        self.assert_serves(server)

    def test_a_body_that_stops(self):
        def stop(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
            connection.at_end()

        app, server = self.serve_slow(stop)
        with self.assertRaises((Malformed, ConnectionError)):
            ask(server.edge)
        app.wait_closed()
        app.script = answering()
        self.assert_serves(server)

    def test_a_body_that_drips_is_passed_on(self):
        def drip(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for byte in b"slowly":
                time.sleep(0.4)  # more than idle_timeout in all, less each
                connection.send(bytes([byte]))

        _, server = self.serve_slow(drip)
        self.assertEqual(ask(server.edge).body, b"slowly")

    def test_a_backlog_that_is_full(self):
        """Connecting takes longer than it may: 504, and not a long wait."""
        import socket
        listening = socket.socket()
        self.addCleanup(listening.close)
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = []
        for _ in range(4):  # connects that the kernel accepts until the queue is full
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listening.getsockname())
            fillers.append(filler)
            self.addCleanup(filler.close)
        server = self.serve(config=self.CONFIG.format(url=f"http://127.0.0.1:{listening.getsockname()[1]}"))
        answer = ask(server.edge)
        self.assertEqual(answer.status, 504)


class Uploads(EdgeScenario):
    """A request whose body the upstream takes slowly, refuses early, or does not live to see the end of."""

    def test_an_upstream_that_pauses_while_it_takes_a_body(self):
        """Longer than Headroom's look at the client, shorter than idle_timeout."""

        def pauses(connection):
            request = connection.read_head()
            time.sleep(2.5)
            connection.read_body(request)
            connection.send(reply(200, str(len(request.body))))

        app = self.script(pauses, receive_buffer=65536)
        server = self.serve(app)
        body = b"x" * 8000000
        answer = ask(server.edge, "POST", body=body)
        self.assertEqual((answer.status, answer.body), (200, b"8000000"))

    def test_an_early_refusal_is_passed_on(self):
        def refuse(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            connection.at_end()

        app = self.script(refuse)
        server = self.serve(app)
        client = self.client(server)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100000)
        answer = client.answer()
        self.assertEqual((answer.status, answer.body, answer.get("connection")), (413, b"big", "close"))
        self.assertTrue(client.at_end())
        app.wait_closed()

    def test_a_break_in_the_middle_of_an_upload(self):
        def breaks(connection):
            connection.read_head()
            connection.reader.exactly(1000)
            connection.reset()

        app = self.script(breaks)
        server = self.serve(app)
        client = self.client(server)
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100000)
        answer = client.answer()
        self.assertEqual(answer.status, 502)
        self.assertEqual(len(app.connections), 1, "a body that has begun is not sent again")
        app.script = answering()
        self.assert_serves(server)


if __name__ == "__main__":
    unittest.main()
