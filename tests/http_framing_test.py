"""A request whose end could be argued about is refused, its connection closes, and no upstream sees a byte of what lay behind it."""

import unittest

from harness.edge import EdgeScenario, answering, ask, eventually

SMUGGLED = b"GET /SMUGGLED HTTP/1.1\r\nHost: a.example\r\n\r\n"
HOST = b"Host: a.example\r\n"


def request(*fields, line=b"POST / HTTP/1.1", host=HOST, body=b""):
    lines = b"".join(field + b"\r\n" for field in fields)
    return line + b"\r\n" + host + lines + b"\r\n" + body


def get(*fields, line=b"GET / HTTP/1.1", host=HOST):
    return request(*fields, line=line, host=host)


def chunked(body, *fields):
    return request(b"Transfer-Encoding: chunked", *fields, body=body)


LENGTHS = {
    "a length and a coding": (request(b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "a coding and a length": (request(b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\n"), 400),
    "two different lengths": (request(b"Content-Length: 5", b"Content-Length: 0", body=b"hello"), 400),
    "two equal lengths": (request(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"), 400),
    "a list of lengths": (request(b"Content-Length: 5, 5", body=b"hello"), 400),
    "an empty length": (request(b"Content-Length:", body=b"hello"), 400),
    "a length with a sign": (request(b"Content-Length: +5", body=b"hello"), 400),
    "a negative length": (request(b"Content-Length: -5", body=b"hello"), 400),
    "a hexadecimal length": (request(b"Content-Length: 0x5", body=b"hello"), 400),
    "a length with a fraction": (request(b"Content-Length: 5.0", body=b"hello"), 400),
    "a length with an underscore": (request(b"Content-Length: 1_0", body=b"hello12345"), 400),
    "a length with a space inside": (request(b"Content-Length: 1 0", body=b"hello12345"), 400),
    "a length beyond 64 bits": (request(b"Content-Length: 18446744073709551621", body=b"hello"), 400),
    "a length beyond 62 bits": (request(b"Content-Length: 9223372036854775807", body=b"hello"), 400),
    "a length with a vertical tab": (request(b"Content-Length: \x0b5", body=b"hello"), 400),
    "a length on GET, then another": (get(b"Content-Length: 0", b"Content-Length: 44"), 400),
    "a length named with a space": (request(b"Content-Length : 5", body=b"hello"), 400),
}

CODINGS = {
    "identity": (request(b"Transfer-Encoding: identity"), 400),
    "chunked twice": (request(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "chunked, chunked": (request(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "a comma before": (request(b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"), 400),
    "a comma behind": (request(b"Transfer-Encoding: chunked,", body=b"0\r\n\r\n"), 400),
    "a parameter": (request(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"), 400),
    "quotes": (request(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), 400),
    "a vertical tab": (request(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400),
    "a byte beyond ASCII": (request(b"Transfer-Encoding: chunked\xa0", body=b"0\r\n\r\n"), 400),
    "another word": (request(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 400),
    "empty": (request(b"Transfer-Encoding:", body=b"0\r\n\r\n"), 400),
    "chunked, then another": (request(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "one we do not have": (request(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "named with a space": (request(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "named with a tab": (request(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"), 400),
    "a null in the name": (request(b"Transfer\x00-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "in HTTP/1.0": (request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0", body=b"0\r\n\r\n"), 400),
    "folded": (request(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), 400),
}

LINES = {
    "a folded field": (get(b"X-A: one\r\n two"), 400),
    "a first field with a space before it": (b"GET / HTTP/1.1\r\n X-A: b\r\n" + HOST + b"\r\n", 400),
    "bare LF behind the first line": (b"GET / HTTP/1.1\n" + HOST + b"\r\n", 400),
    "bare LF behind a field": (b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    "only bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR in a value": (get(b"X-A: b\rX-C: d"), 400),
    "bare CR in the first line": (b"GET /\r HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "CR CR LF": (b"GET / HTTP/1.1\r\r\n" + HOST + b"\r\n", 400),
    "a null in a value": (get(b"X-A: b\x00c"), 400),
    "a control in a value": (get(b"X-A: b\x07c"), 400),
    "a delete in a value": (get(b"X-A: b\x7fc"), 400),
    "an empty name": (get(b": b"), 400),
    "no colon": (get(b"X-A b"), 400),
    "a space before the colon": (get(b"X-A : b"), 400),
    "a name beyond ASCII": (get(b"X-\xe9: b"), 400),
    "a name with brackets": (get(b"X[A]: b"), 400),
    "two empty lines first": (b"\r\n\r\n" + get(), 400),
}

HOSTS = {
    "no Host": (get(host=b""), 400),
    "two Hosts": (get(b"Host: b.example"), 400),
    "two equal Hosts": (get(b"Host: a.example"), 400),
    "an empty Host": (get(host=b"Host:\r\n"), 400),
    "a Host with a user": (get(host=b"Host: me@a.example\r\n"), 400),
    "a Host with a path": (get(host=b"Host: a.example/b\r\n"), 400),
    "a Host with a space": (get(host=b"Host: a.example b\r\n"), 400),
    "a list of Hosts": (get(host=b"Host: a.example, b.example\r\n"), 400),
    "a Host with a bad port": (get(host=b"Host: a.example:x\r\n"), 400),
    "a Host other than the target's": (get(line=b"GET http://b.example/ HTTP/1.1"), 400),
    "a target with a user": (get(line=b"GET http://me@a.example/ HTTP/1.1"), 400),
}

FIRST_LINES = {
    "a fragment": (get(line=b"GET /a#b HTTP/1.1"), 400),
    "a target beyond ASCII": (get(line=b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "a target with a control": (get(line=b"GET /\x01 HTTP/1.1"), 400),
    "a target with a space": (get(line=b"GET /a b HTTP/1.1"), 400),
    "a target with a tab": (get(line=b"GET /a\tb HTTP/1.1"), 400),
    "no target": (get(line=b"GET  HTTP/1.1"), 400),
    "two spaces": (get(line=b"GET  / HTTP/1.1"), 400),
    "a space at the end": (get(line=b"GET / HTTP/1.1 "), 400),
    "a space at the front": (get(line=b" GET / HTTP/1.1"), 400),
    "no slash": (get(line=b"GET a HTTP/1.1"), 400),
    "* with GET": (get(line=b"GET * HTTP/1.1"), 400),
    "a method with a colon": (get(line=b"G:T / HTTP/1.1"), 400),
    "no method": (get(line=b"/ HTTP/1.1"), 400),
    "no version": (b"GET /\r\n", 400),
    "HTTP/2.0": (get(line=b"GET / HTTP/2.0"), 505),
    "HTTP/0.9": (get(line=b"GET / HTTP/0.9"), 505),
    "HTTP/1.2": (get(line=b"GET / HTTP/1.2"), 505),
    "HTTP/1.10": (get(line=b"GET / HTTP/1.10"), 400),
    "HTTP/11": (get(line=b"GET / HTTP/11"), 400),
    "small letters": (get(line=b"GET / http/1.1"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "TLS to the plain door": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n", 400),
    "another scheme": (get(line=b"GET ftp://a.example/ HTTP/1.1"), 400),
    "an encoded null": (get(line=b"GET /a%00b HTTP/1.1"), 400),
    "an encoded slash after dots": (get(line=b"GET /a/..%2fb HTTP/1.1"), 400),
    "encoded dots": (get(line=b"GET /%2e%2e/b HTTP/1.1"), 400),
    "a bad escape": (get(line=b"GET /%zz HTTP/1.1"), 400),
    "above the root": (get(line=b"GET /../b HTTP/1.1"), 400),
}

CONNECTIONS = {
    "an option that is no token": (get(b"Connection: close, a b"), 400),
    "too many options": (get(b"Connection: " + b",".join(b"x%d" % i for i in range(40))), 400),
    "an expectation we do not know": (request(b"Expect: 200-ok", b"Content-Length: 5", body=b"hello"), 417),
}

SIZES = {
    "a line of 9 KiB": (get(line=b"GET /" + b"a" * 9216 + b" HTTP/1.1"), 414),
    "a head of 40 KiB": (get(*(b"X-%d: " % i + b"a" * 1000 for i in range(40))), 431),
    "one field of 40 KiB": (get(b"X-A: " + b"a" * 40960), 431),
    "101 fields": (get(*(b"X-%d: a" % i for i in range(101))), 431),
    "an announced body of 2 KiB": (request(b"Content-Length: 2048", body=b"a" * 2048), 413),
    "an announced body of an exabyte": (request(b"Content-Length: 1000000000000000000"), 413),
}

# These bodies are streamed: the upstream may see the request begin, never its end.
BODIES = {
    "a size with 0x": (chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400),
    "a size with a sign": (chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400),
    "a negative size": (chunked(b"-5\r\nhello\r\n0\r\n\r\n"), 400),
    "a size with an underscore": (chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), 400),
    "a size with a space before it": (chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400),
    "a size with a space behind it": (chunked(b"5 \r\nhello\r\n0\r\n\r\n"), 400),
    "a size that is no number": (chunked(b"hello\r\nhello\r\n0\r\n\r\n"), 400),
    "an empty size": (chunked(b"\r\nhello\r\n0\r\n\r\n"), 400),
    "a size beyond 64 bits": (chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400),
    "a size that would wrap": (chunked(b"fffffffffffffffb\r\nhello\r\n0\r\n\r\n"), 400),
    "many zeros": (chunked(b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n"), 400),
    "bare LF behind the size": (chunked(b"5\nhello\r\n0\r\n\r\n"), 400),
    "bare CR behind the size": (chunked(b"5\rhello\r\n0\r\n\r\n"), 400),
    "bare LF behind the data": (chunked(b"5\r\nhello\n0\r\n\r\n"), 400),
    "no line end behind the data": (chunked(b"5\r\nhello0\r\n\r\n"), 400),
    "more data than its size": (chunked(b"3\r\nhello\r\n0\r\n\r\n"), 400),
    "less data than its size": (chunked(b"7\r\nhello\r\n0\r\n\r\n"), 400),
    "bare LF at the end": (chunked(b"5\r\nhello\r\n0\r\n\n"), 400),
    "a control in an extension": (chunked(b"5;a=\x01\r\nhello\r\n0\r\n\r\n"), 400),
    "bare LF in an extension": (chunked(b"5;a=b\nhello\r\n0\r\n\r\n"), 400),
    "an extension of 64 KiB": (chunked(b"5;a=" + b"b" * 65536 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    "framing in the trailers": (chunked(b"5\r\nhello\r\n0\r\nContent-Length: 44\r\n\r\n"), 400),
    "a coding in the trailers": (chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    "a Host in the trailers": (chunked(b"5\r\nhello\r\n0\r\nHost: b\r\n\r\n"), 400),
    "a folded trailer": (chunked(b"5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"), 400),
    "trailers of 40 KiB": (chunked(b"5\r\nhello\r\n0\r\nX-A: " + b"a" * 40960 + b"\r\n\r\n"), (400, 413, 431)),
    "chunks beyond the limit": (chunked(b"400\r\n" + b"a" * 1024 + b"\r\n1\r\nb\r\n0\r\n\r\n"), 413),
}


class Framing(EdgeScenario):
    def setUp(self):
        super().setUp()
        self.app = self.answers(lambda request: b"hello " + request.body)
        self.server = self.serve(self.app, config='[edge]\nbody_limit = "1KiB"')

    def refuse(self, name, data, status, streamed):
        with self.subTest(name):
            seen = len(self.app.received())
            whole = len(self.app.requests)
            client = self.client(self.server)
            try:
                client.send(data + SMUGGLED)
            except ConnectionError:
                pass  # refused before all of it was sent
            answer = client.answer()
            self.assertIsNotNone(answer, "closed without an answer")
            self.assertIn(answer.status, (status,) if isinstance(status, int) else status, answer)
            self.assertEqual(answer.get("connection"), "close", answer)
            self.assertTrue(client.at_end(), "more than one answer")
            client.close()
            if streamed:
                self.assertEqual(len(self.app.requests), whole, "the upstream was told that the body was whole")
            else:
                self.assertEqual(self.app.received()[seen:], b"")
            self.assertNotIn(b"SMUGGLED", self.app.received())

    def refuse_all(self, table, streamed=False):
        for name, (data, status) in table.items():
            self.refuse(name, data, status, streamed)
        if streamed:
            self.app.wait_closed()  # none of the connections that saw a broken body is used again
        self.assert_serves(self.server)

    def test_lengths(self):
        self.refuse_all(LENGTHS)

    def test_codings(self):
        self.refuse_all(CODINGS)

    def test_lines(self):
        self.refuse_all(LINES)

    def test_hosts(self):
        self.refuse_all(HOSTS)

    def test_first_lines(self):
        self.refuse_all(FIRST_LINES)

    def test_connection_fields(self):
        self.refuse_all(CONNECTIONS)

    def test_sizes(self):
        self.refuse_all(SIZES)

    def test_chunked_bodies(self):
        self.refuse_all(BODIES, streamed=True)

    def test_byte_by_byte(self):
        """What is refused does not depend on how it was cut into packets."""
        for name, (data, status) in {**LENGTHS, **CODINGS, **LINES}.items():
            with self.subTest(name):
                client = self.client(self.server)
                try:
                    for at in range(0, len(data), 7):
                        client.send(data[at:at + 7])
                except ConnectionError:
                    pass
                self.assertEqual(client.answer().status, status)
                self.assertTrue(client.at_end())
                client.close()
        self.assertEqual(self.app.received(), b"")
        self.assert_serves(self.server)


class Methods(EdgeScenario):
    def test_connect_and_trace_are_off(self):
        app = self.script()
        server = self.serve(app)
        for line in (b"CONNECT a.example:443 HTTP/1.1", b"TRACE / HTTP/1.1"):
            answer = self.client(server).send(get(line=line)).answer()
            self.assertEqual(answer.status, 405, answer)
        self.assertEqual(app.received(), b"")

    def test_an_incomplete_request_reaches_nobody(self):
        app = self.script()
        server = self.serve(app)
        for part in (b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", request(b"Content-Length: 5", body=b"hell")):
            client = self.client(server).send(part).finish_writing()
            client.at_end()
            client.close()
        self.assertEqual(app.requests, [])
        self.assert_serves(server)

    def test_a_body_that_was_not_wanted_is_not_the_next_request(self):
        """A refusal that comes before the body closes the connection: the body is not parsed as a request."""
        app = self.script()
        server = self.serve(app, config='[edge]\nbody_limit = "10B"')
        body = b"GET /SMUGGLED HTTP/1.1\r\nHost: a\r\n\r\n"
        client = self.client(server).send(request(b"Content-Length: %d" % len(body), body=body))
        self.assertEqual(client.answer().status, 413)
        self.assertTrue(client.at_end())
        client = self.client(server).send(request(b"Content-Length: %d" % len(body), b"Expect: 100-continue"))
        self.assertEqual(client.answer().status, 413)
        client.sock.close()
        self.assertNotIn(b"SMUGGLED", app.received())

    def test_after_an_early_answer_the_rest_of_the_body_is_not_a_request(self):
        """The app answers without reading the body; what the client sends of it later is no request."""

        def early(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            connection.at_end()

        app = self.script(early)
        server = self.serve(app)
        client = self.client(server).send(request(b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"))
        answer = client.answer()
        self.assertEqual((answer.status, answer.get("connection")), (403, "close"))
        try:
            client.send(SMUGGLED)
        except ConnectionError:
            pass
        self.assertTrue(client.at_end())
        self.assertNotIn(b"SMUGGLED", app.received())
        eventually(lambda: app.open() == 0, what="the upstream's connection is not kept")
        app.script = answering()
        ask(server.edge)


if __name__ == "__main__":
    unittest.main()
