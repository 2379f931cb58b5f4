"""What passes through unharmed, and with which framing: pipelining, keep-alive, HTTP/1.0, HEAD, 1xx, trailers, chunks, hop-by-hop fields."""

import threading
import unittest

from harness.edge import EdgeScenario, ask, chunk, eventually, reply, servers

HEAD = b"Host: a.example\r\n"


class Connections(EdgeScenario):
    def test_pipelined_requests_are_answered_in_order(self):
        held = threading.Event()

        def answer(request):
            if request.target == "/0":
                held.wait(10)
            return request.target.encode()

        app = self.answers(answer)
        server = self.serve(app)
        client = self.client(server)
        client.send(b"".join(b"GET /%d HTTP/1.1\r\n%s\r\n" % (i, HEAD) for i in range(50)))
        app.wait_requests(1)
        held.set()
        for i in range(50):
            self.assertEqual(client.answer().body, b"/%d" % i)
        self.assertEqual([request.target for request in app.requests], [f"/{i}" for i in range(50)])

    def test_pipelined_bodies_of_all_kinds(self):
        app = self.answers(lambda request: request.method.encode() + b" " + request.body)
        server = self.serve(app)
        client = self.client(server)
        client.send(b"POST /1 HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\n\r\nfirst"
                    b"POST /2 HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3;x=\"y\"\r\nond\r\n0\r\n\r\n"
                    b"GET /3 HTTP/1.1\r\n" + HEAD + b"\r\n"
                    b"\r\nPUT /4 HTTP/1.1\r\n" + HEAD + b"Content-Length: 0\r\n\r\n"
                    b"GET /5 HTTP/1.1\r\n" + HEAD + b"Content-Length: 4\r\n\r\nbody"
                    b"DELETE /6 HTTP/1.1\r\n" + HEAD + b"\r\n")
        bodies = [client.answer().body for _ in range(6)]
        self.assertEqual(bodies, [b"POST first", b"POST second", b"GET ", b"PUT ", b"GET body", b"DELETE "])
        self.assertEqual([request.get("content-length") for request in app.requests], ["5", None, None, "0", "4", None])

    def test_one_connection_carries_many_requests_and_so_does_the_upstreams(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, set={"server.workers": 1})
        client = self.client(server)
        for _ in range(200):
            self.assertEqual(client.ask().status, 200)
        self.assertEqual(len(app.connections), 1)

    def test_an_answer_that_takes_a_while_does_not_cost_its_connection(self):
        held = threading.Event()

        def answer(request):
            if request.target == "/slow":
                held.wait(10)
            return b"ok"

        app = self.answers(answer)
        server = self.serve(app, set={"server.workers": 1})
        client = self.client(server).request(target="/slow")
        app.wait_requests(1)
        held.wait(2.5)  # longer than Headroom's look at whether the client is still there
        held.set()
        self.assertEqual(client.answer().status, 200)
        self.assertEqual(client.ask().status, 200)
        self.assertEqual(len(app.connections), 1)

    def test_the_client_decides_to_close(self):
        app = self.script()
        server = self.serve(app)
        client = self.client(server).request(fields=["Connection: close"])
        answer = client.answer()
        self.assertEqual(answer.get("connection"), "close")
        self.assertTrue(client.at_end())

    def test_the_app_decides_to_close_only_its_own_connection(self):
        app = self.answers(lambda request: reply(200, b"bye", ["Connection: close"]))
        server = self.serve(app)
        client = self.client(server)
        for _ in range(3):
            answer = client.ask()
            self.assertEqual((answer.status, answer.get("connection")), (200, None))
        eventually(lambda: len(app.connections) == 3)

    def test_half_closed_clients_get_their_answers(self):
        app = self.answers(lambda request: request.target.encode())
        server = self.serve(app)
        client = self.client(server).send(b"GET /1 HTTP/1.1\r\n" + HEAD + b"\r\nGET /2 HTTP/1.1\r\n" + HEAD + b"\r\n").finish_writing()
        self.assertEqual(client.answer().body, b"/1")
        self.assertEqual(client.answer().body, b"/2")
        self.assertTrue(client.at_end())

    def test_http_1_0(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app)
        client = self.client(server).send(b"GET / HTTP/1.0\r\n\r\n")
        answer = client.answer()
        self.assertEqual((answer.status, answer.body, answer.get("content-length")), (200, b"ok", "2"))
        self.assertTrue(client.at_end())
        client = self.client(server)
        for _ in range(2):
            answer = client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").answer()
            self.assertEqual((answer.status, answer.get("connection")), (200, "keep-alive"))
        self.assertEqual({request.version for request in app.requests}, {"HTTP/1.1"})
        self.assertTrue(all(request.get("host") for request in app.requests))

    def test_http_1_0_gets_no_chunks(self):
        def stream(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"hel") + chunk(b"lo") + b"0\r\nX-T: 1\r\n\r\n")

        app = self.script(stream)
        server = self.serve(app)
        client = self.client(server).send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = client.answer()
        self.assertEqual((answer.body, answer.get("transfer-encoding"), answer.get("connection")), (b"hello", None, "close"))

    def test_an_http_1_0_app(self):
        def old(connection):
            connection.read()
            connection.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")

        app = self.script(old)
        server = self.serve(app)
        client = self.client(server)
        for _ in range(2):
            answer = client.ask()
            self.assertEqual((answer.status, answer.body, answer.version), (200, b"until the end", "HTTP/1.1"))
        self.assertEqual(answer.get("transfer-encoding"), "chunked")
        self.assertTrue(app.requests[0].get("via", "").startswith("1.1 "))


class Bodies(EdgeScenario):
    def test_head_and_bodiless_answers(self):
        def answer(request):
            return {
                "/head": b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-A: b\r\n\r\n",
                "/chunked-head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "/204": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
                "/304": b'HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: "x"\r\n\r\n',
            }[request.target]

        app = self.answers(answer)
        server = self.serve(app)
        client = self.client(server)
        for _ in range(2):
            answer = client.ask("HEAD", "/head")
            self.assertEqual((answer.status, answer.get("content-length"), answer.get("x-a")), (200, "1000", "b"))
            answer = client.ask("HEAD", "/chunked-head")
            self.assertEqual((answer.status, answer.get("content-length")), (200, None))
            answer = client.ask("GET", "/204")
            self.assertEqual((answer.status, answer.has("content-length"), answer.has("transfer-encoding")), (204, False, False))
            answer = client.ask("GET", "/304")
            self.assertEqual((answer.status, answer.get("etag"), answer.has("transfer-encoding")), (304, '"x"', False))
        self.assertEqual(client.reader.buffer, b"")

    def test_head_of_our_own_answers(self):
        app = self.script()
        server = self.serve(app)
        app.stop()
        client = self.client(server)
        for _ in range(2):
            answer = client.ask("HEAD", "/")
            self.assertIn(answer.status, (502, 503))
        answer = client.ask("GET", "/")
        self.assertIn(answer.status, (502, 503))
        self.assertGreater(len(answer.body), 0)

    def test_a_204_never_carries_a_length(self):
        """A client that believed it would take the next answer for this one's body."""
        app = self.answers(lambda request: b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello" if request.target == "/bad" else b"ok")
        server = self.serve(app)
        client = self.client(server)
        answer = client.ask(target="/bad")
        self.assertEqual((answer.status, answer.has("content-length")), (204, False))
        self.assertEqual(client.ask(target="/good").body, b"ok")

    def test_small_chunks_that_came_together_pass_as_few(self):
        """Else a client makes a system call to the server of every six bytes it sends."""
        app = self.answers(lambda request: request.body)
        client = self.client(self.serve(app))
        for size, each in ((2000, 1), (3, 4096), (500, 100), (2, 70000), (1, 5)):
            body = bytes(i % 251 for i in range(size * each))
            pieces = b"".join(chunk(body[at:at + each]) for at in range(0, len(body), each))
            request = b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\nX-Sum: 1\r\n\r\n"
            client.send(request * 2)
            for _ in range(2):
                self.assertEqual(client.answer().body, body)
            got = app.requests[-1]
            self.assertEqual(got.body, body)
            self.assertEqual(got.trailers, [("X-Sum", "1")])
            if each < 1000:
                self.assertLess(len(got.chunks), 2 + len(pieces) // 1000)

    def test_chunks_pass_both_ways_as_they_come(self):
        go_on = threading.Event()

        def echo(connection):
            request = connection.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"begun"))
            connection.read_body(request)
            connection.keep(request)
            go_on.set()
            connection.send(chunk(request.body) + b"0\r\n\r\n")

        app = self.script(echo)
        server = self.serve(app)
        client = self.client(server).send(b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"one"))
        answer = client.head()  # before the request is whole
        self.assertEqual(answer.status, 200)
        self.assertEqual(client.reader.line(), "5")
        self.assertEqual(client.reader.exactly(7), b"begun\r\n")
        client.send(chunk(b"two") + b"0\r\n\r\n")
        client.reader.chunked(answer)
        self.assertEqual(answer.body, b"onetwo")
        self.assertEqual(app.requests[0].get("transfer-encoding"), "chunked")

    def test_every_size_around_the_buffers(self):
        app = self.answers(lambda request: request.body)
        server = self.serve(app)
        client = self.client(server)
        for size in (0, 1, 100, 16383, 16384, 16385, 32768, 65535, 65536, 65537, 200000):
            body = bytes(i * 7 & 255 for i in range(size))
            self.assertEqual(client.ask("POST", "/", body=body).body, body)
            client.send(b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            for at in range(0, size, 5000):
                client.send(chunk(body[at:at + 5000]))
            self.assertEqual(client.send(b"0\r\n\r\n").answer().body, body)

    def test_trailers_pass_both_ways(self):
        def answer(request):
            return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag, X-Checksum\r\n\r\n" + chunk(request.body) +
                    b'0\r\nETag: "late"\r\nX-Checksum: 42\r\nConnection: x\r\nContent-Type: text/evil\r\n\r\n')

        app = self.answers(answer)
        server = self.serve(app)
        client = self.client(server)
        client.send(b"POST / HTTP/1.1\r\n" + HEAD + b"TE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" +
                    chunk(b"hello") + b"0\r\nX-Sum: 7\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        answer = client.answer()
        self.assertEqual(answer.body, b"hello")
        self.assertEqual(answer.trailers, [("ETag", '"late"'), ("X-Checksum", "42")])
        self.assertEqual(app.requests[0].trailers, [("X-Sum", "7")])

    def test_expect_continue(self):
        app = self.answers(lambda request: request.body)
        server = self.serve(app)
        for framing, body in ((b"Content-Length: 5", b"hello"), (b"Transfer-Encoding: chunked", chunk(b"hello") + b"0\r\n\r\n")):
            client = self.client(server).send(b"POST / HTTP/1.1\r\n" + HEAD + framing + b"\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(client.head().status, 100)
            answer = client.send(body).answer()
            self.assertEqual((answer.status, answer.body, answer.interim), (200, b"hello", []))
            self.assertEqual(client.ask().status, 200)

    def test_expect_continue_with_the_body_right_behind(self):
        app = self.answers(lambda request: request.body)
        server = self.serve(app)
        client = self.client(server).send(b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"
                                          b"GET /next HTTP/1.1\r\n" + HEAD + b"\r\n")
        self.assertEqual(client.answer().body, b"hello")
        self.assertEqual(client.answer().status, 200)
        self.assertEqual([request.target for request in app.requests], ["/", "/next"])

    def test_expect_continue_is_not_answered_when_there_is_nobody_to_continue_to(self):
        app = self.script()
        server = self.serve(config=f'[[edge.upstreams]]\nname = "app"\nservers = {servers(app)}\n[[edge.routes]]\npath = "/app"\n')
        client = self.client(server).send(b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
        self.assertEqual(answer.status, 404)
        self.assertEqual(answer.interim, [])
        self.assertEqual(answer.get("connection"), "close")

    def test_early_hints_are_relayed(self):
        def hints(connection):
            while connection.read():
                for i in range(3):
                    connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </%d.css>; rel=preload\r\nConnection: x\r\n\r\n" % i)
                connection.send(b"HTTP/1.1 102 Processing\r\n\r\n" + reply(200, b"ok"))

        app = self.script(hints)
        server = self.serve(app)
        client = self.client(server)
        for _ in range(2):
            answer = client.ask()
            self.assertEqual([each.status for each in answer.interim], [103, 103, 103, 102])
            self.assertEqual(answer.interim[1].fields, [("Link", "</1.css>; rel=preload")])
            self.assertEqual(answer.body, b"ok")
        answer = self.client(server).send(b"GET / HTTP/1.0\r\n\r\n").answer()
        self.assertEqual((answer.status, answer.interim), (200, []))

    def test_odd_answers(self):
        """Statuses and reasons that nobody has registered."""
        texts = [b"HTTP/1.1 299 Fine, thanks", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 599 \xe9", b"HTTP/1.1 418 I'm a teapot"]
        turn = iter(texts)
        app = self.answers(lambda request: next(turn) + b"\r\nContent-Length: 2\r\n\r\nok")
        server = self.serve(app)
        client = self.client(server)
        for text in texts:
            answer = client.ask()
            self.assertEqual((answer.status, answer.body), (int(text[9:12]), b"ok"))


class Fields(EdgeScenario):
    def test_fields_of_one_hop_stay_there(self):
        app = self.answers(lambda request: reply(200, b"ok", [
            "Connection: keep-alive, X-Hop-Answer", "Keep-Alive: timeout=5", "X-Hop-Answer: 1", "Proxy-Authenticate: Basic", "Proxy-Connection: x",
            "Upgrade: h2c", "X-End: 1"]))
        server = self.serve(app)
        answer = ask(server.edge, fields=[
            "Connection: X-Hop, X-Also", "X-Hop: 1", "X-Also: 1", "Keep-Alive: timeout=5", "Proxy-Authorization: Basic eA==", "Proxy-Connection: x",
            "TE: trailers, gzip", "Upgrade: websocket", "HTTP2-Settings: AAMAAABkAAQAAP__", "X-End: 1"])
        received = {name.lower() for name, _ in app.requests[0].fields}
        self.assertEqual(received & {"x-hop", "x-also", "keep-alive", "proxy-authorization", "proxy-connection", "upgrade", "http2-settings",
                                     "connection"}, set())
        self.assertIn("x-end", received)
        sent = {name.lower() for name, _ in answer.fields}
        self.assertEqual(sent & {"x-hop-answer", "keep-alive", "proxy-authenticate", "proxy-connection", "upgrade"}, set())
        self.assertIn("x-end", sent)

    def test_connection_cannot_name_fields_that_matter(self):
        """Else a client could hide from the app who it is."""
        app = self.script()
        server = self.serve(app)
        ask(server.edge, fields=["Connection: X-Forwarded-For, X-Real-IP, Host, Authorization, Content-Length, Cookie, X-Forwarded-Proto",
                                 "Authorization: Bearer x", "Cookie: a=b"])
        request = app.requests[0]
        for name in ("host", "authorization", "cookie", "x-forwarded-for", "x-real-ip", "x-forwarded-proto"):
            self.assertTrue(request.has(name), name)

    def test_clear_text_http_2_cannot_be_smuggled_in(self):
        app = self.script()
        server = self.serve(app)
        for value in ("h2c", "H2C", "websocket, h2c"):
            ask(server.edge, fields=["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {value}", "HTTP2-Settings: AAMAAABkAAQAAP__"])
        with self.client(server) as client:
            client.send(b"GET / HTTP/1.1\r\n" + HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n").answer()
        self.assertEqual([request.has("upgrade") for request in app.requests], [False] * 4)

    def test_order_and_doubles_are_kept(self):
        app = self.answers(lambda request: reply(200, b"ok", ["Set-Cookie: a=1", "X-A: 1", "Set-Cookie: b=2", "X-A: 2"]))
        server = self.serve(app)
        answer = ask(server.edge, fields=["X-A: 1", "X-B: 2", "X-A: 3", "X-Empty:", "X-Text: \xe9"])
        self.assertEqual([value for name, value in app.requests[0].fields if name.startswith("X-") and len(name) == 3], ["1", "2", "3"])
        self.assertEqual(app.requests[0].get("x-empty"), "")
        self.assertEqual(app.requests[0].get("x-text"), "\xe9")
        self.assertEqual(answer.all("set-cookie"), ["a=1", "b=2"])
        self.assertEqual(answer.all("x-a"), ["1", "2"])

    def test_targets_pass_as_they_are(self):
        app = self.answers(lambda request: request.target.encode())
        server = self.serve(app)
        client = self.client(server)
        for target in ("/", "/a//b", "/a/./b", "/a/../b", "/%41?x=%00&y=a/../b", "/?", "/a;b=c", "/a?b?c", "/%7Euser"):
            self.assertEqual(client.ask(target=target).body, target.encode())
        self.assertEqual(client.send(b"GET http://a.example/x?y HTTP/1.1\r\n" + HEAD + b"\r\n").answer().body, b"/x?y")
        self.assertEqual(client.send(b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n").answer().body, b"*")
        self.assertEqual(app.requests[-2].get("host"), "a.example")


if __name__ == "__main__":
    unittest.main()
