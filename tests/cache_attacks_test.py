"""What clients try in order to have others get a wrong page from the cache, and what must never be old after a change."""

import threading
import unittest

from harness.edge import ask, eventually, reply
from page_cache_test import Counting

TRUSTING = """
[edge]
trusted_proxies = ["127.0.0.1/32"]
"""
WRITING = """
[[edge.routes]]
path = "/"
set_request_headers = { X-Client = "{client_ip}" }
"""
TWO_ROUTES = """
[[edge.routes]]
path = "/s"
[edge.routes.cache]
strip_query = ["utm_*"]

[[edge.routes]]
path = "/"
"""
COOKIES = """
[[edge.routes]]
path = "/"
[edge.routes.cache]
ignore_cookies = true
"""
KEPT = ("Cache-Control", "max-age=600")


class Poisoning(Counting):
    def poisoned(self, server, *fields, method="GET", target="/p", body=None):
        """Whether a clean client gets what such a request caused."""
        bad = ask(server.edge, method, target, fields=fields, body=body)
        good = ask(server.edge, target=target)
        return good.body == bad.body

    def test_what_apps_read_as_another_target_reaches_no_kept_page(self):
        server = self.serve(self.app([KEPT]))
        names = ("X-Original-URL", "X_Original_URL", "X-Rewrite-URL", "X_HTTP_Method_Override", "X-Forwarded-Prefix", "X_Forwarded_Prefix",
                 "X-Forwarded-Scheme", "X-Override-URL", "X-HTTP-Host-Override", "X-Original-Path", "X-Envoy-Original-Path", "X-Scheme", "Front-End-Https",
                 "X-Script-Name", "Client-IP", "True-Client-IP", "X-Host")
        for number, name in enumerate(names):
            ask(server.edge, target=f"/p{number}", fields=[f"{name}: evil"])
            self.assertNotIn("evil", repr(self.served[-1].fields), name)

    def test_behind_a_trusted_proxy_overrides_stay_out_and_the_way_is_part_of_the_key(self):
        server = self.serve(self.app([KEPT]), config=TRUSTING)
        for name in ("X-Original-URL", "X_Original_URL", "X-HTTP-Method-Override"):
            ask(server.edge, target=f"/{name}", fields=[f"{name}: evil"])
            self.assertNotIn("evil", repr(self.served[-1].fields), name)
        for name in ("X-Forwarded-Prefix", "X-Forwarded-Port", "X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-User"):
            self.assertFalse(self.poisoned(server, f"{name}: 4321", target=f"/{name}"), name)
        ask(server.edge, target="/gopher", fields=["X-Forwarded-Proto: gopher"])
        self.assertEqual(self.served[-1].get("x-forwarded-proto"), "http")

    def test_client_addresses_of_a_trusted_proxy_do_not_split_pages(self):
        server = self.serve(self.app([KEPT]), config=TRUSTING)
        first = ask(server.edge, target="/p", fields=["CF-Connecting-IP: 192.0.2.1"]).body
        self.assertEqual(ask(server.edge, target="/p", fields=["CF-Connecting-IP: 192.0.2.2"]).body, first)

    def test_a_host_told_by_a_trusted_proxy_is_the_pages_host(self):
        server = self.serve(self.app([KEPT]), config=TRUSTING)
        told = ["X-Forwarded-Host: shop.example"]
        first = ask(server.edge, target="/p", fields=told).body
        self.assertEqual(ask(server.edge, target="/p", fields=told).body, first)
        self.assertNotEqual(ask(server.edge, target="/p").body, first)
        self.assertNotEqual(ask(server.edge, target="/p", fields=told, host="other.example").body, first)
        for way in ({"key": "http://shop.example/p"}, {"prefix": "http://shop.example/"}):
            before = ask(server.edge, target="/p", fields=told).body
            server.api("POST", "/api/v1/cache/clear", way)
            self.assertNotEqual(ask(server.edge, target="/p", fields=told).body, before, way)
        ask(server.edge, target="/q", fields=["X-Forwarded-Host: shop.example/x"])
        self.assertEqual(self.served[-1].get("x-forwarded-host"), "test.example")

    def test_a_get_with_a_body_is_kept_for_nobody(self):
        server = self.serve(self.app([KEPT], body=lambda request: request.body or b"nothing"))
        client = self.client(server)
        client.send(b"GET /p HTTP/1.1\r\nHost: test.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n")
        self.assertEqual(client.answer().body, b"evil")
        self.assertEqual(ask(server.edge, target="/p").body, b"nothing")

    def test_what_varies_by_what_is_written_here_is_not_kept(self):
        server = self.serve(self.app(), config=WRITING)
        for number, names in enumerate(("X-Real-IP", "X-Forwarded-For", "Accept-Language, Forwarded", "X-Request-Id", "X-Client")):
            self.fields = [KEPT, ("Vary", names)]
            self.assertFalse(self.poisoned(server, target=f"/{number}"), names)
        self.fields = [KEPT, ("Vary", "Host, Accept-Language")]
        self.assertTrue(self.poisoned(server, target="/same"))

    def test_cookies_of_a_page_for_all_are_nobodys(self):
        server = self.serve(self.app([KEPT, ("Set-Cookie", "sid=1; HttpOnly")]), config=COOKIES)
        answers = [ask(server.edge, target="/p") for _ in range(2)]
        self.assertEqual(answers[0].body, answers[1].body)
        self.assertFalse(answers[0].has("set-cookie") or answers[1].has("set-cookie"))


class NeverOld(Counting):
    def changed_meanwhile(self, change, fields=(KEPT, ("Vary", "Accept-Language"))):
        """A page is asked for, changed while its old content is on its way, and asked for again."""
        gate, asked = threading.Event(), threading.Event()
        self.state = b"old"

        def answer(connection):
            while (request := connection.read()) is not None:
                content = self.state
                if request.first_line.startswith("POST"):
                    self.state = content = b"new"
                elif not asked.is_set():
                    asked.set()
                    gate.wait(10)
                connection.send(reply(200, content, [f"{name}: {value}" for name, value in fields]))

        server = self.serve(self.script(answer))
        first = threading.Thread(target=lambda: ask(server.edge, target="/p"))
        first.start()
        self.assertTrue(asked.wait(10))
        change(server)
        self.state = b"new"
        gate.set()
        first.join(10)
        self.assertEqual([ask(server.edge, target="/p").body for _ in range(3)], [b"new"] * 3)

    def test_an_unsafe_request_overtakes_an_answer_that_varies(self):
        self.changed_meanwhile(lambda server: ask(server.edge, "POST", "/p", body=b"x"))

    def cleared_meanwhile(self, way):
        self.changed_meanwhile(lambda server: self.assertEqual(server.api("POST", "/api/v1/cache/clear", way).status, 200))

    def test_a_page_is_cleared_by_any_spelling_of_its_url_and_the_answer_says_whether_it_was_there(self):
        server = self.serve(self.app([KEPT]))
        clear = lambda key: server.api("POST", "/api/v1/cache/clear", {"key": key}).json()["cleared"]
        for target, key in (("/p", "HTTP://Test.EXAMPLE:80/p"), ("/?q", "http://test.example?q")):
            ask(server.edge, target=target)
            self.assertEqual((clear(key), clear(key)), (1, 0), key)

    def test_a_clearing_by_key_overtakes_an_answer_that_varies(self):
        self.cleared_meanwhile({"key": "http://test.example/p"})

    def test_a_clearing_by_prefix_overtakes_an_answer_that_varies(self):
        self.cleared_meanwhile({"prefix": "http://test.example/"})

    def test_a_clearing_by_tag_overtakes_an_answer_that_varies(self):
        self.changed_meanwhile(lambda server: self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"tags": ["t"]}).status, 200),
                               (KEPT, ("Vary", "Accept-Language"), ("Surrogate-Key", "t")))

    def test_an_unsafe_request_that_nobody_waited_for_drops_the_page(self):
        def answer(connection):
            while (request := connection.read()) is not None:
                self.count += 1
                if request.first_line.startswith("POST"):
                    dropped.wait(30)  # no answer before
                connection.send(reply(200, str(self.count).encode(), ["Cache-Control: max-age=600"]))

        self.count = 0
        dropped = threading.Event()
        self.addCleanup(dropped.set)
        server = self.serve(self.script(answer))
        before = ask(server.edge, target="/p").body
        client = self.client(server)
        client.send(b"POST /p HTTP/1.1\r\nHost: test.example\r\nContent-Length: 1\r\n\r\nx")
        eventually(lambda: self.count > 1, what="the app has it")
        client.reset()
        eventually(lambda: ask(server.edge, target="/p").body != before, what="the page is asked for anew")

    def test_a_location_is_dropped_by_its_own_routes_rules_and_whatever_was_asked(self):
        def answer(connection):
            while (request := connection.read()) is not None:
                self.count += 1
                fields = ["Cache-Control: max-age=600"]
                if request.first_line.startswith("POST"):
                    fields.append("Location: /s/x?a=1&utm_q=2")
                connection.send(reply(200, str(self.count).encode(), fields))

        self.count = 0
        server = self.serve(self.script(answer), config=TWO_ROUTES)
        for target in ("/w", '/w?x="|y'):
            before = ask(server.edge, target="/s/x?a=1").body
            self.assertEqual(ask(server.edge, target="/s/x?a=1&utm_q=3").body, before)
            ask(server.edge, "POST", target, body=b"x")
            self.assertNotEqual(ask(server.edge, target="/s/x?a=1").body, before, target)


class LargeParts(Counting):
    def test_a_part_of_a_large_page_comes_from_memory(self):
        whole = bytes(range(256)) * 1200
        server = self.serve(self.app([KEPT, ("ETag", '"v"')], body=lambda request: whole))
        self.assertEqual(ask(server.edge, target="/p").body, whole)
        eventually(lambda: "hit" in ask(server.edge, target="/p").get("cache-status"), what="it is kept")
        asked = len(self.served)
        for first, last in ((0, 0), (5, 70000), (65535, 65537), (200000, 307199), (307199, 307199)):
            part = ask(server.edge, target="/p", fields=[f"Range: bytes={first}-{last}"])
            self.assertEqual((part.status, part.get("content-range")), (206, f"bytes {first}-{last}/{len(whole)}"))
            self.assertEqual(part.body, whole[first:last + 1])
        self.assertEqual(ask(server.edge, target="/p", fields=["Range: bytes=-5"]).body, whole[-5:])
        self.assertEqual(ask(server.edge, target="/p", fields=["Range: bytes=400000-"]).status, 416)
        self.assertEqual(ask(server.edge, target="/p").body, whole)
        self.assertEqual(len(self.served), asked)


if __name__ == "__main__":
    unittest.main()
