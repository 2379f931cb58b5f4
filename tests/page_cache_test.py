"""The shared HTTP cache at the edge: what is kept, for whom, how it is validated, and what drops it."""

import concurrent.futures
import threading
import time
import unittest

from harness.edge import EdgeScenario, Malformed, ask, chunk, eventually, metric, reply

SHARED = """
[[edge.routes]]
path = "/shared"
[edge.routes.cache]
ttl_class = "realtime"
ignore_cookies = true
tags = ["all"]
strip_query = ["utm_*"]
browser = "public, max-age=5"
"""


class Counting(EdgeScenario):
    """An app that numbers its answers; `fields` and `status` say what they look like."""

    def app(self, fields=(), body=None, delay=0.0):
        self.served = []
        self.fields = fields
        self.status = 200

        def answer(connection):
            while True:
                request = connection.read()
                if request is None:
                    return
                self.served.append(request)
                if delay:
                    time.sleep(delay)
                content = body(request) if body else str(len(self.served)).encode()
                fields = self.fields(request) if callable(self.fields) else self.fields
                connection.send(reply(self.status, content, [f"{name}: {value}" for name, value in fields]))

        return self.script(answer)


class Kept(Counting):
    def test_what_says_so_is_answered_from_memory(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60"), ("ETag", '"v1"'), ("Surrogate-Key", "a b")]))
        first = ask(server.edge, target="/page")
        second = ask(server.edge, target="/page")
        self.assertEqual((first.body, second.body), (b"1", b"1"))
        self.assertEqual(len(self.served), 1)
        self.assertIn("fwd=uri-miss", first.get("cache-status"))
        self.assertIn("stored", first.get("cache-status"))
        self.assertIn("hit", second.get("cache-status"))
        self.assertTrue(second.has("age"))
        self.assertFalse(second.has("surrogate-key"))
        self.assertNotEqual(first.get("x-request-id"), second.get("x-request-id"))
        self.assertEqual(metric(server, "headroom_cache_hits_total", space="http"), 1)

    def test_what_says_nothing_is_not_kept(self):
        server = self.serve(self.app())
        self.assertEqual([ask(server.edge, target="/p").body for _ in range(3)], [b"1", b"2", b"3"])

    def test_conditions_parts_and_head_are_answered_from_memory(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60"), ("ETag", '"v1"')], body=lambda r: b"0123456789"))
        ask(server.edge, target="/p")
        same = ask(server.edge, target="/p", fields=["If-None-Match" + ": " + '"v1"'])
        self.assertEqual((same.status, same.body), (304, b""))
        part = ask(server.edge, target="/p", fields=["Range" + ": " + "bytes=2-4"])
        self.assertEqual((part.status, part.body, part.get("content-range")), (206, b"234", "bytes 2-4/10"))
        beyond = ask(server.edge, target="/p", fields=["Range" + ": " + "bytes=20-"])
        self.assertEqual((beyond.status, beyond.get("content-range")), (416, "bytes */10"))
        head = ask(server.edge, "HEAD", "/p")
        self.assertEqual((head.status, head.get("content-length")), (200, "10"))
        self.assertEqual(len(self.served), 1)

    def test_an_expired_answer_is_validated(self):
        def fields(request):
            return [("Cache-Control", "max-age=1"), ("ETag", '"v1"')]

        app = self.app(fields)
        server = self.serve(app)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        time.sleep(2.1)
        self.status = 304
        again = ask(server.edge, target="/p")
        self.assertEqual((again.status, again.body), (200, b"1"))
        self.assertEqual(self.served[1].get("if-none-match"), '"v1"')
        self.assertIn("fwd=stale; fwd-status=304", again.get("cache-status"))
        self.assertIn("hit", ask(server.edge, target="/p").get("cache-status"))

    def test_a_renewed_answer_keeps_its_tags(self):
        """A 304 need not repeat them, and clients never see them."""
        app = self.app(lambda request: [("Cache-Control", "max-age=1"), ("ETag", '"v1"')] + ([("Surrogate-Key", "news")] if self.status == 200 else []))
        server = self.serve(app)
        ask(server.edge, target="/p")
        time.sleep(2.1)
        self.status = 304
        self.fields = [("Cache-Control", "max-age=60"), ("ETag", '"v1"')]
        self.assertIn("fwd-status=304", ask(server.edge, target="/p").get("cache-status"))
        self.assertIn("hit", ask(server.edge, target="/p").get("cache-status"))
        self.status = 200
        self.assertEqual(server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}).status, 200)
        self.assertNotIn("hit", ask(server.edge, target="/p").get("cache-status"))

    def test_an_expired_answer_is_served_while_one_asks(self):
        app = self.app([("Cache-Control", "max-age=1, stale-while-revalidate=60")])
        server = self.serve(app)
        ask(server.edge, target="/p")
        time.sleep(2.1)
        held = threading.Event()
        self.addCleanup(held.set)
        self.fields = lambda request: held.wait(20) and [("Cache-Control", "max-age=60")]
        self.assertEqual(ask(server.edge, target="/p").body, b"1")  # not held up
        eventually(lambda: len(self.served) == 2)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        held.set()
        eventually(lambda: ask(server.edge, target="/p").body == b"2")

    def test_answers_vary_by_what_they_say(self):
        app = self.app([("Cache-Control", "max-age=60"), ("Vary", "Accept-Language")], body=lambda r: r.get("accept-language", "").encode())
        server = self.serve(app)
        for _ in range(2):
            for language in ("de", "en"):
                self.assertEqual(ask(server.edge, target="/p", fields=["Accept-Language: " + language]).body, language.encode())
        self.assertEqual(len(self.served), 2)

    def test_large_answers_stream_to_all_while_they_grow(self):
        go = threading.Event()
        self.addCleanup(go.set)
        begun = []

        def answer(connection):
            while (request := connection.read()) is not None:
                begun.append(request)
                connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"a" * 100000))
                go.wait(20)
                connection.send(chunk(b"b" * 100000) + b"0\r\n\r\n")

        server = self.serve(self.script(answer))
        first = self.client(server).request(target="/large")
        head = first.head()
        self.assertEqual(head.status, 200)
        second = self.client(server).request(target="/large")
        self.assertEqual(second.head().status, 200)  # before the answer is whole
        go.set()
        for client in (first, second):
            client.reader.chunked(head)
            self.assertEqual(head.body, b"a" * 100000 + b"b" * 100000)
        self.assertEqual(ask(server.edge, target="/large").body, b"a" * 100000 + b"b" * 100000)
        self.assertEqual(len(begun), 1)


class Private(Counting):
    """One user's page is never another's."""

    def test_cookies_and_authorization(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")]))
        for name in ("Cookie", "Authorization"):
            bodies = {ask(server.edge, target="/p", fields=[f"{name}: user={i}"]).body for i in range(3)}
            self.assertEqual(len(bodies), 3, name)
        anonymous = ask(server.edge, target="/p").body
        self.assertEqual(anonymous, str(len(self.served)).encode())

    def test_for_all_is_for_all(self):
        server = self.serve(self.app([("Cache-Control", "public, max-age=60")]))
        bodies = {ask(server.edge, target="/p", fields=["Cookie" + ": " + f"user={i}"]).body for i in range(3)}
        self.assertEqual(bodies, {b"1"})

    def test_set_cookie_is_nobody_elses(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60"), ("Set-Cookie", "session=secret")]))
        self.assertEqual([ask(server.edge, target="/p").body for _ in range(2)], [b"1", b"2"])

    def test_private_and_no_store(self):
        said = ["private, max-age=60", "no-store", "max-age=60, private"]
        app = self.app(lambda request: [("Cache-Control", said[int(request.target[-1])])], body=lambda r: str(len(self.served)).encode())
        server = self.serve(app)
        for i in range(len(said)):
            first, second = (ask(server.edge, target=f"/p{i}").body for _ in range(2))
            self.assertNotEqual(first, second, said[i])

    def test_fields_outside_the_key_do_not_reach_the_app(self):
        """What no key holds must not decide what others get."""
        app = self.app([("Cache-Control", "max-age=60")], body=lambda r: repr([f for f in r.fields if f[1] == "evil"]).encode())
        server = self.serve(app)
        names = ("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Forwarded-Host", "X-Host", "X-Forwarded-Scheme", "X-Forwarded-Prefix", "X-Forwarded-Uri")
        answer = ask(server.edge, target="/p", fields=[f"{name}: evil" for name in names])
        self.assertEqual(answer.body, b"[]")


class Rules(Counting):
    def test_a_class_keeps_what_says_nothing(self):
        server = self.serve(self.app(), config=SHARED)
        answers = [ask(server.edge, target="/shared/p" + query, fields=["Cookie" + ": " + f"a={i}"]) for i, query in enumerate(("?a=1&utm_source=x", "?a=1", "?utm_x=1&a=1"))]
        self.assertEqual([answer.body for answer in answers], [b"1"] * 3)
        self.assertEqual(answers[2].get("cache-control"), "public, max-age=5")
        self.assertEqual(ask(server.edge, target="/shared/p?a=2").body, b"2")
        self.assertEqual(ask(server.edge, target="/other").body, b"3")
        self.assertEqual(ask(server.edge, target="/other").body, b"4")

    def test_unsafe_requests_invalidate(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")]))
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        self.status = 500
        ask(server.edge, "POST", "/p", body=b"x")
        self.status = 200
        self.assertEqual(ask(server.edge, target="/p").body, b"1")  # it failed: nothing has changed
        ask(server.edge, "POST", "/p", body=b"x")
        self.assertEqual(ask(server.edge, target="/p").body, b"4")

    def test_what_makes_no_difference_makes_none_for_invalidation(self):
        server = self.serve(self.app(), config=SHARED)
        self.assertEqual(ask(server.edge, target="/shared/p?a=1").body, b"1")
        ask(server.edge, "POST", "/shared/p?a=1&utm_source=x", body=b"x")
        self.assertEqual(ask(server.edge, target="/shared/p?a=1").body, b"3")

    def test_an_unknown_class_is_refused(self):
        from harness.process import run
        path = self.settings(SHARED.replace("realtime", "real_time"))
        done = run("check", path)
        self.assertEqual(done.returncode, 2)
        self.assertIn("real_time", done.stderr)
        self.assertIn("realtime", done.stderr)


class Cleared(Counting):
    """By operators, over the admin API."""

    def test_by_each_name(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60"), ("Surrogate-Key", "one two"), ("Vary", "Accept-Language")]))
        url = f"http://test.example/p"
        ways = [{"key": url}, {"prefix": "http://test.example/"}, {"pattern": "*/p*"}, {"tags": ["two"]}, {"entity": "one"}]
        for i, way in enumerate(ways):
            before = ask(server.edge, target="/p").body
            self.assertEqual(ask(server.edge, target="/p").body, before)
            self.assertEqual(server.api("POST", "/api/v1/cache/clear", way).status, 200, way)
            self.assertNotEqual(ask(server.edge, target="/p").body, before, way)
        for path, body in (("/api/v1/cache/clear-tags", {"tags": ["one"]}), ("/api/phase14/scalability/cache/clear/two", None)):
            before = ask(server.edge, target="/p").body
            self.assertEqual(server.api("POST", path, body).status, 200, path)
            self.assertNotEqual(ask(server.edge, target="/p").body, before, path)

    def test_the_figures_move(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")]))
        for _ in range(4):
            ask(server.edge, target="/p")
        eventually(lambda: server.api("GET", "/api/v1/cache/stats").json()["hits"] == 3)
        stats = server.api("GET", "/api/v1/cache/stats").json()
        self.assertEqual((stats["status"], stats["entries"], stats["misses"], stats["hit_ratio"]), ("ok", 1, 1, 0.75))
        self.assertGreater(stats["memory_bytes"], 0)
        self.assertEqual(server.api("GET", "/api/phase14/scalability/cache/stats").json()["hit_rate"], 75)
        self.assertEqual(server.api("GET", "/api/v1/performance/scalability/cache").json()["entries"], 1)

    def test_what_is_wrong_is_said(self):
        server = self.serve(self.app())
        for body in ({}, {"key": "a", "prefix": "b"}, {"keys": "a"}, {"tags": [str(i) for i in range(257)]}, {"tags": "a"}):
            self.assertEqual(server.api("POST", "/api/v1/cache/clear", body).status, 400, body)
        self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"key": "a"}).status, 200)


class Together(Counting):
    def test_what_is_too_large_to_keep_reaches_all_who_wait_for_it(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")], body=lambda r: bytes(range(256)) * 40000), config='[cache]\nmemory_limit = "16MiB"')
        clients = [self.client(server).request(target="/large") for _ in range(3)]
        # At once: the slowest of them sets the pace.
        with concurrent.futures.ThreadPoolExecutor() as pool:
            bodies = list(pool.map(lambda client: client.answer().body, clients))
        self.assertEqual(bodies, [bytes(range(256)) * 40000] * 3)
        self.assertEqual(ask(server.edge, target="/large").status, 200)

    def test_many_who_miss_one_page_cost_one_request(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")], delay=0.3))
        clients = [self.client(server).request(target="/hot") for _ in range(200)]
        bodies = {client.answer().body for client in clients}
        self.assertEqual(bodies, {b"1"})
        self.assertEqual(len(self.served), 1)

    def test_the_first_one_may_leave(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")], delay=1.5))
        leader = self.client(server).request(target="/hot")
        eventually(lambda: len(self.served) == 1)
        others = [self.client(server).request(target="/hot") for _ in range(3)]
        time.sleep(0.2)
        leader.reset()
        self.assertEqual({client.answer().body for client in others}, {b"1"})
        self.assertEqual(len(self.served), 1)

    def test_uncacheable_answers_do_not_queue(self):
        """Three at once wait for one another at most once; then everybody goes alone."""
        server = self.serve(self.app(delay=0.2))
        ask(server.edge, target="/dynamic")
        began = time.monotonic()
        clients = [self.client(server).request(target="/dynamic") for _ in range(20)]
        for client in clients:
            self.assertNotIn("hit", client.answer().get("cache-status"))
        self.assertEqual(len(self.served), 21)
        self.assertLess(time.monotonic() - began, 10)


class Failing(Counting):
    def test_an_expired_answer_stands_in_for_a_failing_app(self):
        app = self.app([("Cache-Control", "max-age=1")])
        server = self.serve(app)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        time.sleep(2.1)
        self.status = 503
        stale = ask(server.edge, target="/p")
        self.assertEqual((stale.status, stale.body), (200, b"1"))
        self.assertIn("stale-if-error", stale.get("cache-status"))
        self.status = 200  # and it recovers
        self.assertEqual(ask(server.edge, target="/p").status, 200)
        eventually(lambda: ask(server.edge, target="/p").body != b"1")

    def test_a_body_that_breaks_off_is_not_kept(self):
        whole = []

        def answer(connection):
            while connection.read() is not None:
                if whole:
                    connection.send(reply(200, b"whole", ["Cache-Control: max-age=60"]))
                    continue
                connection.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 200000\r\n\r\n" + b"x" * 1000)
                return

        server = self.serve(self.script(answer))
        with self.assertRaises((Malformed, ConnectionError)):
            ask(server.edge, target="/p")
        whole.append(True)
        self.assertEqual(ask(server.edge, target="/p").body, b"whole")  # and it recovers


if __name__ == "__main__":
    unittest.main()
