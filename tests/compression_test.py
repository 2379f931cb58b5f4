"""Compression and entity tags at the edge: what is encoded, for whom, and that everybody gets the app's bytes in the end."""

import gzip
import json
import random
import subprocess
import threading
import unittest
import urllib.request
import zlib

import brotli
import zstandard

from harness.edge import EdgeScenario, ask, chunk, eventually, metric, reply

DOCUMENT = json.dumps([{"id": i, "name": f"customer {i}", "city": "Lisbon" if i % 3 else "Porto", "orders": list(range(i % 7))} for i in range(400)]).encode()
JSON = "Content-Type: application/json"


def decoded(answer):
    coding = answer.get("content-encoding")
    if coding is None:
        return answer.body
    if coding == "gzip":
        return gzip.decompress(answer.body)
    if coding == "br":
        return brotli.decompress(answer.body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(answer.body)


def accept(value):
    return f"Accept-Encoding: {value}"


class Compression(EdgeScenario):
    def app(self, body=DOCUMENT, fields=(JSON,), status=200):
        return self.answers(lambda request: reply(status, body, fields))


class Negotiated(Compression):
    def test_each_client_gets_a_coding_that_it_accepts(self):
        server = self.serve(self.app())
        for said, coding in (("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"),
                             ("gzip;q=1.0, br;q=0.5", "gzip"), ("*", "zstd"), ("x-gzip", "gzip"), ("GZIP", "gzip")):
            answer = ask(server.edge, target="/a", fields=[accept(said)])
            self.assertEqual(answer.get("content-encoding"), coding, said)
            self.assertEqual(decoded(answer), DOCUMENT, said)
            self.assertLess(len(answer.body), len(DOCUMENT) / 3)
            self.assertEqual(answer.get("content-length"), str(len(answer.body)))
            self.assertEqual(answer.get("vary"), "Accept-Encoding")
        for coding in ("gzip", "br", "zstd"):
            self.assertGreater(metric(server, "headroom_edge_coded_answers_total", coding=coding), 0)

    def test_who_accepts_none_gets_the_bytes_as_they_are(self):
        server = self.serve(self.app())
        for said in ([], [accept("identity")], [accept("")], [accept("gzip;q=0")], [accept("deflate")], [accept("*;q=0")], [accept("gzip;q=banana")],
                     [accept("identity;q=1, gzip;q=0.5")]):
            answer = ask(server.edge, target="/a", fields=said)
            self.assertEqual((answer.body, answer.has("content-encoding")), (DOCUMENT, False), said)
            self.assertEqual(answer.get("vary"), "Accept-Encoding", said)

    def test_absurd_accept_encoding_is_answered(self):
        server = self.serve(self.app())
        for said in ("gzip," * 5000, ";" * 20000, "gzip;q=0.5;q=0.7", "," * 20000, "gzip\x80", ", ".join(f"x{i};q=0.{i % 10}" for i in range(2000)) + ", gzip"):
            answer = ask(server.edge, target="/a", fields=[accept(said)])
            self.assertEqual(answer.status, 200)
            self.assertEqual(decoded(answer), DOCUMENT)
        many = ask(server.edge, target="/a", fields=[accept("gzip;q=0.1")] * 80 + [accept("br")])
        self.assertEqual(many.get("content-encoding"), "br")
        self.assertEqual(ask(server.edge, target="/a", fields=[accept("gzip," * 20000)]).status, 431)
        self.assert_serves(server)

    def test_what_is_no_use_is_left_alone(self):
        cases = {
            "small": (b"x" * 1023, (JSON,), 200),
            "image": (DOCUMENT, ("Content-Type: image/png",), 200),
            "untyped": (DOCUMENT, (), 200),
            "encoded": (gzip.compress(DOCUMENT), (JSON, "Content-Encoding: gzip"), 200),
            "foreign": (DOCUMENT, (JSON, "Content-Encoding: aes128gcm"), 200),
            "untouchable": (DOCUMENT, (JSON, "Cache-Control: public, No-Transform"), 200),
            "part": (DOCUMENT, (JSON, "Content-Range: bytes 0-99/1000000"), 206),
        }
        app = self.answers(lambda request: reply(cases[request.target[1:]][2], cases[request.target[1:]][0], cases[request.target[1:]][1]))
        server = self.serve(app)
        for name, (body, fields, status) in cases.items():
            answer = ask(server.edge, target="/" + name, fields=[accept("gzip, br, zstd")])
            self.assertEqual((answer.status, answer.body), (status, body), name)
            self.assertEqual(answer.get("content-encoding"), next((f.split(": ")[1] for f in fields if f.startswith("Content-Encoding")), None), name)
            self.assertFalse(answer.has("vary"), name)

    def test_what_does_not_shrink_goes_out_plain(self):
        noise = random.Random(1).randbytes(5000)
        answer = ask(self.serve(self.app(noise)).edge, fields=[accept("gzip")])
        self.assertEqual((answer.body, answer.has("content-encoding"), answer.get("vary")), (noise, False, "Accept-Encoding"))

    def test_errors_are_encoded_too(self):
        answer = ask(self.serve(self.app(status=500)).edge, fields=[accept("gzip")])
        self.assertEqual((answer.status, answer.get("content-encoding"), decoded(answer)), (500, "gzip", DOCUMENT))


class Heads(Compression):
    def test_what_describes_the_bytes_changes_with_them(self):
        fields = (JSON, 'ETag: "v1"', "Vary: Origin", "Vary: X-Tenant", "Accept-Ranges: bytes", "Content-MD5: xyz", "Digest: sha-256=xyz", "X-Mine: 1")
        server = self.serve(self.app(fields=fields))
        coded = ask(server.edge, fields=[accept("gzip")])
        self.assertEqual(coded.get("etag"), 'W/"v1"')
        self.assertEqual(coded.all("vary"), ["Origin, X-Tenant, Accept-Encoding"])
        for name in ("accept-ranges", "content-md5", "digest"):
            self.assertFalse(coded.has(name), name)
        self.assertEqual((coded.get("x-mine"), len(coded.all("content-length")), len(coded.all("etag"))), ("1", 1, 1))
        plain = ask(server.edge)
        self.assertEqual((plain.get("etag"), plain.get("accept-ranges"), plain.get("vary")), ('"v1"', "bytes", "Origin, X-Tenant, Accept-Encoding"))

    def test_head_says_what_get_would(self):
        server = self.serve(self.answers(lambda request: (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"v1\"\r\nContent-Length: 9000\r\n\r\n" if request.method == "HEAD" else reply(200, DOCUMENT, (JSON, 'ETag: "v1"')))))
        coded = ask(server.edge, "HEAD", fields=[accept("gzip")])
        self.assertEqual((coded.get("content-encoding"), coded.get("etag"), coded.has("content-length"), coded.get("vary")), ("gzip", 'W/"v1"', False, "Accept-Encoding"))
        plain = ask(server.edge, "HEAD")
        self.assertEqual((plain.has("content-encoding"), plain.get("etag"), plain.get("content-length")), (False, '"v1"', "9000"))

    def test_http_1_0_clients_are_served(self):
        server = self.serve(self.script(self.pieces([DOCUMENT[:4000], DOCUMENT[4000:]])))
        answer = self.client(server).send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n").answer()
        self.assertEqual((answer.get("content-encoding"), decoded(answer)), ("gzip", DOCUMENT))

    @staticmethod
    def pieces(pieces, fields=(JSON,)):
        def answer(connection):
            while connection.read() is not None:
                connection.send(("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + "".join(f + "\r\n" for f in fields) + "\r\n").encode())
                for piece in pieces:
                    connection.send(chunk(piece))
                connection.send(b"0\r\n\r\n")

        return answer


class Streams(Compression):
    """Bodies that come in pieces."""

    def streaming(self, content_type="text/plain", pieces=None):
        """An app that sends each piece when it is told to."""
        self.go = threading.Semaphore(0)

        def answer(connection):
            while connection.read() is not None:
                connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
                for piece in pieces:
                    if not self.go.acquire(timeout=20):
                        return
                    connection.send(chunk(piece))
                connection.send(b"0\r\n\r\n")

        return self.script(answer)

    def decoder(self, coding):
        return {"gzip": lambda: zlib.decompressobj(31), "br": brotli.Decompressor, "zstd": lambda: zstandard.ZstdDecompressor().decompressobj()}[coding]()

    def follow(self, reader, decoder, upto):
        """Reads chunks until their decoded bytes are at least `upto`."""
        text = b""
        while len(text) < upto:
            size = int(reader.line(), 16)
            self.assertGreater(size, 0, text)
            data = reader.exactly(size + 2)[:-2]
            text += decoder.process(data) if hasattr(decoder, "process") else decoder.decompress(data)
        return text

    def test_each_event_is_out_before_the_next(self):
        events = [f"data: {i}\n\n".encode() for i in range(5)]
        server = self.serve(self.streaming("text/event-stream; charset=utf-8", events))
        for said, coding in (("gzip, br, zstd", "gzip"), ("br", "br"), ("zstd", "zstd")):
            client = self.client(server).request(fields=[accept(said)])
            decoder = None
            for event in events:
                self.go.release()
                if decoder is None:
                    head = client.head()
                    self.assertEqual((head.get("content-encoding"), head.has("content-length")), (coding, False))
                    decoder = self.decoder(coding)
                self.assertEqual(self.follow(client.reader, decoder, len(event)), event)

    def test_other_streams_are_not_held_back_either(self):
        """Nobody writes a byte, and what came before is out all the same."""
        pieces = [b"first words, " * 100, b"then more", b"and the end"]
        server = self.serve(self.streaming("text/html", pieces))
        for coding in ("gzip", "br", "zstd"):
            client = self.client(server).request(fields=[accept(coding)])
            decoder = self.decoder(coding)
            for at, piece in enumerate(pieces):
                self.go.release()
                if at == 0:
                    self.assertEqual(client.head().get("content-encoding"), coding)
                self.assertEqual(self.follow(client.reader, decoder, len(piece)), piece)

    def test_large_bodies_pass_in_constant_memory(self):
        line = b"the same line again and again, with a number: %d\n"
        big = b"".join(line % i for i in range(500_000))  # 25 MB
        server = self.serve(self.app(big, ("Content-Type: text/plain",)))
        before = server.resident_bytes()
        for coding in ("gzip", "br", "zstd"):
            answer = ask(server.edge, fields=[accept(coding)])
            self.assertEqual((answer.get("content-encoding"), decoded(answer) == big), (coding, True))
        self.assert_grows_less(server, before, 16 << 20)

    def test_trailers_pass(self):
        def answer(connection):
            while connection.read() is not None:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 200000) + b"0\r\nX-Sum: 7\r\nContent-Digest: xyz\r\n\r\n")

        answer = ask(self.serve(self.script(answer)).edge, fields=[accept("gzip")])
        self.assertEqual((decoded(answer), answer.trailers), (b"x" * 200000, [("X-Sum", "7")]))

    def test_an_answer_that_breaks_off_is_seen_to_be_short(self):
        def answer(connection):
            request = connection.read()
            if request.target == "/announced":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20000\r\n\r\n" + b"x" * 5000)
            elif request.target == "/stream":
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 5000))
            else:
                connection.send(reply(200, b"fine"))

        server = self.serve(self.script(answer))
        self.assertEqual(ask(server.edge, target="/announced", fields=[accept("gzip")]).status, 502)
        client = self.client(server).request(target="/stream", fields=[accept("gzip")])
        head = client.head()
        self.assertEqual(head.status, 200)
        with self.assertRaises(Exception):
            client.reader.chunked(head)
        self.assert_serves(server)

    def test_more_streams_than_contexts_go_out_plain(self):
        events = [b"data: 1\n\n"] * 1000
        server = self.serve(self.streaming("text/event-stream", events), config="[server]\nworkers = 1\n[edge.compress]\nstreams = 2")
        clients = [self.client(server).request(fields=[accept("gzip")]) for _ in range(4)]
        for _ in clients:
            self.go.release()
        codings = sorted(str(client.head().get("content-encoding")) for client in clients)
        self.assertEqual(codings, ["None", "None", "gzip", "gzip"])


class Tags(Compression):
    def test_an_answer_without_a_tag_gets_one(self):
        app = self.app()
        server = self.serve(app)
        plain, again, coded = ask(server.edge), ask(server.edge), ask(server.edge, fields=[accept("br")])
        self.assertRegex(plain.get("etag"), r'^"[0-9a-f]{16}"$')
        self.assertEqual(plain.get("etag"), again.get("etag"))
        self.assertEqual(coded.get("etag"), "W/" + plain.get("etag"))
        for tag, fields in ((plain.get("etag"), []), (coded.get("etag"), [accept("br")]), (plain.get("etag"), [accept("gzip")]), (f'"x", {plain.get("etag")}', [])):
            same = ask(server.edge, fields=[f"If-None-Match: {tag}", *fields])
            self.assertEqual((same.status, same.body, same.has("content-type")), (304, b"", False))
            self.assertEqual(same.get("etag"), coded.get("etag") if fields else plain.get("etag"))
            self.assertEqual(same.get("vary"), "Accept-Encoding")
        other = ask(server.edge, fields=['If-None-Match: "other"'])
        self.assertEqual((other.status, other.body), (200, DOCUMENT))
        self.assertEqual(metric(server, "headroom_edge_not_modified_total"), 4)

    def test_another_content_is_another_tag(self):
        bodies = iter([b"one", b"two"])
        server = self.serve(self.answers(lambda request: next(bodies)))
        first = ask(server.edge)
        second = ask(server.edge, fields=["If-None-Match: " + first.get("etag")])
        self.assertEqual((second.status, second.body), (200, b"two"))

    def test_a_body_that_comes_in_pieces_is_tagged_when_it_is_whole(self):
        def answer(connection):
            while connection.read() is not None:
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
                connection.send(b"56789")

        answer = ask(self.serve(self.script(answer)).edge)
        self.assertEqual((answer.body, answer.has("etag")), (b"0123456789", True))

    def test_who_has_validators_or_forbids_it_gets_none(self):
        fields = {"/own": ['ETag: "mine"'], "/dated": ["Last-Modified: Sat, 01 Nov 2025 10:00:00 GMT"], "/never": ["Cache-Control: no-store"], "/off/x": []}
        app = self.answers(lambda request: reply(200, DOCUMENT, fields.get(request.target, [])))
        server = self.serve(app, config='[[edge.routes]]\npath = "/"\n[[edge.routes]]\npath = "/off"\netags = false')
        self.assertEqual([ask(server.edge, target=target).get("etag") for target in fields], ['"mine"', None, None, None])
        self.assertFalse(ask(server.edge, "POST", "/post", body=b"x").has("etag"))

    def test_an_app_that_compares_tags_by_the_letter_still_answers_304(self):
        """The client knows the tag as W/"v1", the app as "v1"."""
        app = self.answers(lambda request: reply(304, b"", ('ETag: "v1"',)) if request.get("if-none-match") == '"v1"' else reply(200, DOCUMENT, (JSON, 'ETag: "v1"')))
        server = self.serve(app, config="[edge.cache]\nenabled = false")
        coded = ask(server.edge, fields=[accept("gzip")])
        same = ask(server.edge, fields=[accept("gzip"), "If-None-Match: " + coded.get("etag")])
        self.assertEqual((same.status, same.get("etag"), same.get("vary")), (304, 'W/"v1"', "Accept-Encoding"))

    def test_a_304_of_the_app_keeps_the_tag_weak(self):
        app = self.answers(lambda request: reply(304, b"", ('ETag: "v1"', "Vary: Origin")) if request.has("if-none-match") else reply(200, DOCUMENT, (JSON, 'ETag: "v1"')))
        server = self.serve(app, config="[edge.cache]\nenabled = false")
        same = ask(server.edge, fields=[accept("gzip"), 'If-None-Match: W/"v1"'])
        self.assertEqual((same.status, same.get("etag"), same.get("vary")), (304, 'W/"v1"', "Origin, Accept-Encoding"))
        self.assertEqual(ask(server.edge, fields=['If-None-Match: "v1"']).get("etag"), '"v1"')


class Personal(Compression):
    """BREACH: a secret and what another site makes a browser send, in one answer, must not tell by its size."""

    COOKIE = "Cookie: session=1"

    def codings(self, server, *fields):
        answer = ask(server.edge, fields=[accept("gzip"), *fields])
        self.assertEqual(decoded(answer), DOCUMENT)
        return answer.get("content-encoding"), answer.has("x-padding")

    def test_guarded_is_the_default(self):
        server = self.serve(self.app())
        self.assertEqual(self.codings(server), ("gzip", False))
        self.assertEqual(self.codings(server, "Authorization: Bearer abc", "Sec-Fetch-Site: cross-site"), ("gzip", False))
        for secret in (self.COOKIE, "Authorization: Basic YTpi"):
            self.assertEqual(self.codings(server, secret, "Sec-Fetch-Site: same-origin"), ("gzip", False))
            self.assertEqual(self.codings(server, secret, "Sec-Fetch-Site: cross-site"), (None, False))
            self.assertEqual(self.codings(server, secret, "Sec-Fetch-Site: cross-site", "Sec-Fetch-User: ?1"), ("gzip", True))
            self.assertEqual(self.codings(server, secret), ("gzip", True))
            self.assertEqual(self.codings(server, secret, "Sec-Fetch-Site: same-site"), ("gzip", True))

    def test_an_answer_that_sets_a_cookie_is_personal(self):
        self.assertEqual(self.codings(self.serve(self.app(fields=(JSON, "Set-Cookie: csrf=1")))), ("gzip", True))

    def test_a_users_kept_page_is_personal(self):
        config = '[[edge.routes]]\npath = "/"\n[edge.routes.cache]\nper_user = ["cookie:session"]\n'
        server = self.serve(self.app(fields=(JSON, "Cache-Control: private, max-age=60")), config=config)
        for _ in range(4):
            self.assertEqual(self.codings(server, self.COOKIE), ("gzip", True))
        self.assertEqual(self.codings(server, self.COOKIE, "Sec-Fetch-Site: cross-site"), (None, False))
        self.assertEqual(self.codings(server, self.COOKIE, "Sec-Fetch-Site: same-origin"), ("gzip", False))
        self.assertGreater(metric(server, "headroom_cache_hits_total", space="http"), 3)

    def test_padding_is_random(self):
        server = self.serve(self.app())
        sizes = {len(ask(server.edge, fields=[accept("gzip"), self.COOKIE]).get("x-padding")) for _ in range(40)}
        self.assertGreater(len(sizes), 5)

    def test_a_route_decides_for_itself(self):
        config = "".join(f'[[edge.routes]]\npath = "/{mode}"\n[edge.routes.compress]\npersonal = "{mode}"\n' for mode in ("off", "on")) + \
            '[[edge.routes]]\npath = "/never"\n[edge.routes.compress]\nenabled = false\n[[edge.routes]]\npath = "/tiny"\n[edge.routes.compress]\nleast = "64KiB"\n'
        server = self.serve(self.app(), config=config)
        for target, fields, coding in (("/off", [self.COOKIE], None), ("/off", [], "gzip"), ("/on", [self.COOKIE, "Sec-Fetch-Site: cross-site"], "gzip"),
                                       ("/never", [], None), ("/tiny", [], None)):
            answer = ask(server.edge, target=target, fields=[accept("gzip"), *fields])
            self.assertEqual((answer.get("content-encoding"), answer.has("x-padding")), (coding, False), target)


class Settings(Compression):
    def test_the_order_of_codings_and_further_types_are_settings(self):
        server = self.serve(self.app(fields=("Content-Type: application/x-Thing; v=1",)), config='[edge.compress]\ncodings = ["gzip", "br"]\ntypes = ["application/x-thing"]')
        self.assertEqual(ask(server.edge, fields=[accept("br, gzip, zstd")]).get("content-encoding"), "gzip")
        self.assertEqual(ask(server.edge, fields=[accept("zstd")]).get("content-encoding"), None)

    def test_a_reload_turns_it_off_and_on(self):
        server = self.serve(self.app(), config="[edge.compress]\nenabled = false")
        self.assertFalse(ask(server.edge, fields=[accept("gzip")]).has("content-encoding"))
        self.reload(server, "[edge.compress]\nenabled = true")
        self.assertTrue(ask(server.edge, fields=[accept("gzip")]).has("content-encoding"))

    def test_the_app_can_be_asked_for_plain_answers(self):
        app = self.answers(lambda request: reply(200, DOCUMENT, (JSON, "X-Asked: " + ",".join(request.all("accept-encoding")))))
        server = self.serve(app, config='[[edge.routes]]\npath = "/"\n[[edge.routes]]\npath = "/plain"\n[edge.routes.compress]\nplain_from_app = true')
        plain = ask(server.edge, target="/plain", fields=[accept("gzip")])
        self.assertEqual((plain.get("x-asked"), plain.get("content-encoding")), ("identity", "gzip"))
        self.assertEqual(ask(server.edge, target="/x", fields=[accept("gzip")]).get("x-asked"), "gzip")


class RealClients(Compression):
    def test_curl_decodes_what_it_asked_for(self):
        server = self.serve(self.app(), config="[edge.cache]\nenabled = false")
        url = f"http://{server.edge[0]}:{server.edge[1]}/"
        for said in ([], ["-H", "Accept-Encoding: br"], ["-H", "Accept-Encoding: zstd"], ["-H", "Accept-Encoding: gzip"]):
            got = subprocess.run(["curl", "-sS", "--compressed", *said, url], capture_output=True, check=True)
            self.assertEqual(got.stdout, DOCUMENT, said)
        self.assertGreater(metric(server, "headroom_edge_coded_answers_total"), 3)

    def test_node_fetch_decodes_it(self):
        server = self.serve(self.app())
        script = "const r = await fetch(process.argv[1]); process.stdout.write(r.headers.get('content-encoding') + '\\n' + await r.text())"
        got = subprocess.run(["node", "--input-type=module", "-e", script, f"http://{server.edge[0]}:{server.edge[1]}/"], capture_output=True, check=True)
        coding, _, body = got.stdout.partition(b"\n")
        self.assertIn(coding, (b"gzip", b"br"))
        self.assertEqual(body, DOCUMENT)

    def test_python_zlib_decodes_a_stream(self):
        server = self.serve(self.app(DOCUMENT * 20))
        with urllib.request.urlopen(urllib.request.Request(f"http://{server.edge[0]}:{server.edge[1]}/", headers={"Accept-Encoding": "gzip"})) as answer:
            self.assertEqual(gzip.decompress(answer.read()), DOCUMENT * 20)


class Stored(Compression):
    """The plain answer is kept once; its encodings are made once, behind the requests, and go with it."""

    KEPT = (JSON, "Cache-Control: max-age=60", 'ETag: "v1"', "Accept-Ranges: bytes", "Surrogate-Key: all")

    def made(self, server, coding="gzip"):
        return metric(server, "headroom_edge_encodings_total", coding=coding, outcome="made")

    def warm(self, server, coding="gzip", target="/p", count=1):
        """Asks until the encoding is there."""
        for _ in range(3):
            ask(server.edge, target=target, fields=[accept(coding)])
        eventually(lambda: self.made(server, coding) == count, what="the encoding is made")

    def test_encodings_are_made_once_and_are_smaller(self):
        app = self.app(fields=self.KEPT)
        server = self.serve(app)
        for coding in ("gzip", "br", "zstd"):
            first = ask(server.edge, target="/p", fields=[accept(coding)])
            self.assertEqual((first.get("content-encoding"), decoded(first)), (coding, DOCUMENT))
            self.warm(server, coding)
            sizes = set()
            for _ in range(5):
                answer = ask(server.edge, target="/p", fields=[accept(coding)])
                self.assertEqual((decoded(answer), answer.get("etag"), answer.get("vary"), answer.has("accept-ranges")), (DOCUMENT, 'W/"v1"', "Accept-Encoding", False))
                self.assertIn("hit", answer.get("cache-status"))
                sizes.add(len(answer.body))
            self.assertEqual(len(sizes), 1)
            self.assertLess(sizes.pop(), len(first.body))
            self.assertEqual(self.made(server, coding), 1)
        self.assertEqual(len(app.requests), 1)
        plain = ask(server.edge, target="/p")
        self.assertEqual((plain.body, plain.get("etag"), plain.get("accept-ranges")), (DOCUMENT, '"v1"', "bytes"))

    def test_conditions_parts_and_head_of_what_is_encoded(self):
        server = self.serve(self.app(fields=self.KEPT))
        self.warm(server)
        for tag in ('W/"v1"', '"v1"'):
            same = ask(server.edge, target="/p", fields=[accept("gzip"), "If-None-Match: " + tag])
            self.assertEqual((same.status, same.get("etag"), same.get("vary"), same.has("content-encoding")), (304, 'W/"v1"', "Accept-Encoding", False))
        self.assertEqual(ask(server.edge, target="/p", fields=['If-None-Match: W/"v1"']).get("etag"), '"v1"')
        part = ask(server.edge, target="/p", fields=[accept("gzip"), "Range: bytes=2-9"])
        self.assertEqual((part.status, part.body, part.has("content-encoding"), part.get("etag")), (206, DOCUMENT[2:10], False, '"v1"'))
        whole = ask(server.edge, target="/p", fields=[accept("gzip"), "Range: bytes=2-9", 'If-Range: W/"v1"'])
        self.assertEqual((whole.status, decoded(whole)), (200, DOCUMENT))
        head, get = (ask(server.edge, method, "/p", fields=[accept("gzip")]) for method in ("HEAD", "GET"))
        self.assertEqual([head.get(name) for name in ("content-encoding", "content-length", "etag")], [get.get(name) for name in ("content-encoding", "content-length", "etag")])

    def test_encodings_count_and_go_with_the_answer(self):
        server = self.serve(self.app(fields=self.KEPT))
        ask(server.edge, target="/p")
        before = metric(server, "headroom_cache_bytes")
        self.warm(server)
        size = len(ask(server.edge, target="/p", fields=[accept("gzip")]).body)
        grown = metric(server, "headroom_cache_bytes") - before
        self.assertTrue(size <= grown <= size + 64, (size, grown))
        for way in ({"tags": ["all"]}, {"prefix": "http://test.example/"}, {"key": "http://test.example/p"}):
            self.assertEqual(server.api("POST", "/api/v1/cache/clear", way).status, 200)
            answer = ask(server.edge, target="/p", fields=[accept("gzip")])
            self.assertNotIn("hit", answer.get("cache-status"), way)
            self.assertNotEqual(len(answer.body), size, way)  # encoded anew, while the client waits
            self.warm(server, count=self.made(server) + 1)

    def test_a_renewed_answer_keeps_its_encodings(self):
        app = self.answers(lambda request: reply(304, b"", ("Cache-Control: max-age=60",)) if request.get("if-none-match") == '"v1"' else reply(200, DOCUMENT, (JSON, "Cache-Control: max-age=1", 'ETag: "v1"')))
        server = self.serve(app)
        self.warm(server)
        size = len(ask(server.edge, target="/p", fields=[accept("gzip")]).body)
        threading.Event().wait(2.1)
        renewed = ask(server.edge, target="/p", fields=[accept("gzip")])
        self.assertIn("fwd-status=304", renewed.get("cache-status"))
        self.assertEqual((len(renewed.body), renewed.get("etag"), decoded(renewed)), (size, 'W/"v1"', DOCUMENT))
        self.assertEqual(self.made(server), 1)

    def test_large_answers_are_encoded_too(self):
        big = DOCUMENT * 40
        app = self.answers(lambda request: reply(200, big, (JSON, "Cache-Control: max-age=60")))
        server = self.serve(app)
        first = ask(server.edge, target="/big", fields=[accept("br")])
        self.assertEqual((decoded(first) == big, first.has("content-length")), (True, False))
        self.warm(server, "br", "/big")
        stored = ask(server.edge, target="/big", fields=[accept("br")])
        self.assertEqual((decoded(stored) == big, stored.get("content-length")), (True, str(len(stored.body))))
        self.assertEqual((ask(server.edge, target="/big").body == big, len(app.requests)), (True, 1))

    def test_what_is_too_large_is_encoded_as_it_is_sent(self):
        big = DOCUMENT * 40
        server = self.serve(self.app(big, (JSON, "Cache-Control: max-age=60")), config='[edge.compress]\nstored_limit = "1MiB"')
        for _ in range(4):
            answer = ask(server.edge, target="/big", fields=[accept("gzip")])
            self.assertEqual((answer.get("content-encoding"), decoded(answer) == big), ("gzip", True))
        self.assertEqual(metric(server, "headroom_edge_encodings_total"), 0)

    def test_what_does_not_shrink_is_tried_once(self):
        noise = random.Random(1).randbytes(5000)
        server = self.serve(self.app(noise, self.KEPT))
        for _ in range(6):
            self.assertEqual(ask(server.edge, target="/p", fields=[accept("gzip")]).body, noise)
        eventually(lambda: metric(server, "headroom_edge_encodings_total", outcome="useless") == 1)
        for _ in range(3):
            self.assertEqual(ask(server.edge, target="/p", fields=[accept("gzip")]).body, noise)
        self.assertEqual(metric(server, "headroom_edge_encodings_total"), 1)

    def test_what_the_app_encodes_is_kept_by_what_clients_accept(self):
        """Its Vary: Accept-Encoding makes keys of normalised values."""

        def answer(request):
            said = request.get("accept-encoding", "")
            fields = [JSON, "Cache-Control: max-age=60", "Vary: Accept-Encoding"]
            return reply(200, gzip.compress(DOCUMENT), [*fields, "Content-Encoding: gzip"]) if "gzip" in said else reply(200, DOCUMENT, fields)

        app = self.answers(answer)
        server = self.serve(app)
        for said in ("gzip", "gzip;q=0.9", "deflate, gzip", "gzip, x-other"):
            self.assertEqual(decoded(ask(server.edge, target="/p", fields=[accept(said)])), DOCUMENT)
        self.assertEqual(len(app.requests), 1)
        zstd = ask(server.edge, target="/p", fields=[accept("zstd")])  # the app has none, we do
        self.assertEqual((zstd.get("content-encoding"), decoded(zstd), zstd.all("vary")), ("zstd", DOCUMENT, ["Accept-Encoding"]))
        plain = ask(server.edge, target="/p")
        self.assertEqual((plain.body, plain.has("content-encoding"), len(app.requests)), (DOCUMENT, False, 3))

    def test_a_kept_answer_without_a_tag_gets_one(self):
        app = self.app(fields=(JSON, "Cache-Control: max-age=1"))
        server = self.serve(app)
        first, hit = (ask(server.edge, target="/p", fields=[accept("gzip")]) for _ in range(2))
        self.assertRegex(first.get("etag"), r'^W/"[0-9a-f]{16}"$')
        self.assertEqual(hit.get("etag"), first.get("etag"))
        self.assertEqual(ask(server.edge, target="/p").get("etag"), first.get("etag")[2:])
        same = ask(server.edge, target="/p", fields=[accept("gzip"), "If-None-Match: " + first.get("etag")])
        self.assertEqual((same.status, same.get("etag")), (304, first.get("etag")))
        threading.Event().wait(2.1)
        again = ask(server.edge, target="/p", fields=["If-None-Match: " + first.get("etag")])
        self.assertEqual(again.status, 304)  # fetched again, and it is the same
        self.assertEqual([request.has("if-none-match") for request in app.requests], [False, False])  # the app does not know the tag

    def test_others_are_answered_while_a_large_one_is_encoded(self):
        big = random.Random(2).randbytes(3 << 20).hex().encode()
        app = self.answers(lambda request: reply(200, big if request.target == "/big" else DOCUMENT, self.KEPT))
        server = self.serve(app, config="[server]\nworkers = 1\n[edge.compress]\nstored_br_level = 9")
        for _ in range(3):
            ask(server.edge, target="/big", fields=[accept("br")])
        for _ in range(20):  # seconds of work are under way
            self.assertEqual(decoded(ask(server.edge, target="/p", fields=[accept("gzip")])), DOCUMENT)
        self.assertEqual(self.made(server, "br"), 0)


class Bombs(Compression):
    def test_a_bomb_of_the_app_is_carried_not_opened(self):
        bomb = gzip.compress(gzip.compress(bytes(100 << 20)))
        fields = ("Content-Type: text/html", "Content-Encoding: gzip", "Cache-Control: max-age=60")
        server = self.serve(self.app(bomb, fields))
        before = server.resident_bytes()
        for said in ([accept("gzip")], [accept("br")], []):
            answer = ask(server.edge, fields=said)
            self.assertEqual((answer.body, answer.get("content-encoding")), (bomb, "gzip"))
        self.assert_grows_less(server, before, 8 << 20)
        self.assert_serves(server)


if __name__ == "__main__":
    unittest.main()
