"""Pagination by route rule: Link headers, totals from a header, from a count endpoint, remembered and asked for as the same client."""

import itertools
import json
import re
import time
import unittest

from harness.edge import EdgeScenario, ask, reply

NUMBERS = itertools.count()


def links(answer):
    return {rel: target for target, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.get("link", ""))}


class Pagination(EdgeScenario):
    def serve_lists(self, answer, **settings):
        self.app = self.answers(answer)
        rule = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        return self.serve(self.app, config=f'[[edge.routes]]\npath = "/items"\n[edge.routes.pagination]\nenabled = true\n{rule}[[edge.routes]]\npath = "/"\n',
                          state_dir=self.directory / f"state-{next(NUMBERS)}")

    def test_links_by_the_total_that_the_app_says(self):
        server = self.serve_lists(lambda request: reply(200, b"[]", ["X-Total-Count: 35"]))
        answer = ask(server.edge, target="/items?page=2&limit=10&q=x")
        self.assertEqual(links(answer), {"first": "/items?page=1&limit=10&q=x", "prev": "/items?page=1&limit=10&q=x",
                                         "next": "/items?page=3&limit=10&q=x", "last": "/items?page=4&limit=10&q=x"})
        self.assertEqual(answer.all("x-total-count"), ["35"])
        self.assertNotIn("next", links(ask(server.edge, target="/items?page=4&limit=10")))

    def test_a_total_said_once_is_remembered_for_its_list(self):
        said = lambda request: ["X-Total-Count: 35"] if "page=1" in request.target else []
        server = self.serve_lists(lambda request: reply(200, b"[]", said(request)), total_ttl="1s")
        for _ in range(80):  # every worker remembers for itself
            ask(server.edge, target="/items?page=1&limit=10&q=x")
        self.assertEqual(links(ask(server.edge, target="/items?page=2&limit=10&q=x"))["last"], "/items?page=4&limit=10&q=x")
        self.assertEqual(ask(server.edge, target="/items?page=2&limit=10&q=x").get("x-total-count"), "35")
        for target, fields in (("/items?page=2&limit=10&q=y", []), ("/items?page=2&limit=10&q=x", ["Cookie: who=else"])):
            self.assertNotIn("last", links(ask(server.edge, target=target, fields=fields)))
        time.sleep(1.1)
        self.assertNotIn("last", links(ask(server.edge, target="/items?page=2&limit=10&q=x")))

    def counts(self, body, fields=("Content-Type: application/json",), **settings):
        return self.serve_lists(lambda request: reply(200, body if request.target.startswith("/items/count") else b"[]", list(fields)),
                                count_path="/items/count", **settings)

    def test_the_count_endpoint_is_asked_as_the_client_and_not_again(self):
        server = self.counts(b'{"count": 35}')
        for _ in range(10):
            answer = ask(server.edge, target="/items?page=2&limit=10&q=x", fields=["Authorization: Bearer me"])
            self.assertEqual((links(answer)["last"], answer.get("x-total-count")), ("/items?page=4&limit=10&q=x", "35"))
        asked = [request for request in self.app.requests if request.target.startswith("/items/count")]
        self.assertLessEqual(len(asked), 4, "once for each worker")
        self.assertEqual({(request.method, request.target, request.get("authorization")) for request in asked}, {("GET", "/items/count?q=x", "Bearer me")})

    def test_counts_are_numbers_or_members_or_headers(self):
        for body, settings in ((b"35", {}), (b'{"total": 35}', {"count_field": "total"})):
            server = self.counts(body, **settings)
            self.assertEqual(ask(server.edge, target="/items?page=1&limit=10").get("x-total-count"), "35", body)

    def test_a_count_that_fails_costs_only_the_total(self):
        for body in (b"", b"-3", b'{"count": "x"}', b"1e99", b"[" * 50000, b"x" * 200000):
            server = self.counts(body, total_header="")
            answer = ask(server.edge, target="/items?page=2&limit=10")
            self.assertEqual((answer.status, sorted(links(answer))), (200, ["first", "next", "prev"]), body[:20])

    def test_a_count_that_hangs_is_not_waited_for_long(self):
        server = self.serve_lists(lambda request: time.sleep(6 if "count" in request.target else 0) or b"[]", count_path="/items/count")
        began = time.monotonic()
        self.assertEqual(ask(server.edge, target="/items?page=2&limit=10").status, 200)
        self.assertLess(time.monotonic() - began, 4)

    def test_an_answer_from_memory_has_them_too(self):
        fields = ["Cache-Control: max-age=60", 'ETag: "v1"', "X-Total-Count: 35"]
        server = self.serve_lists(lambda request: reply(200, b"[1, 2]", fields))
        target = "/items?page=2&limit=10"
        asked = [(200, []), (200, []), (304, ['If-None-Match: "v1"']), (206, ["Range: bytes=0-2"])]
        for status, fields_sent in asked:
            answer = ask(server.edge, target=target, fields=fields_sent)
            self.assertEqual((answer.status, len(answer.all("link")), links(answer)),
                             (status, 1, {"first": "/items?page=1&limit=10", "prev": "/items?page=1&limit=10",
                                          "next": "/items?page=3&limit=10", "last": "/items?page=4&limit=10"}))
            self.assertEqual(set(answer.all("x-total-count")) - {"35"}, set())
        self.assertEqual(len(self.app.requests), 1)
        self.assertFalse(ask(server.edge, target=target, fields=["Range: bytes=100-"]).has("link"), "416")

    def test_an_answer_from_memory_has_the_total_that_is_remembered(self):
        server = self.counts(b'{"count": 35}', ("Content-Type: application/json", "Cache-Control: max-age=60"))
        for _ in range(20):
            answer = ask(server.edge, target="/items?page=2&limit=10")
            self.assertEqual((links(answer)["last"], answer.all("x-total-count")), ("/items?page=4&limit=10", ["35"]))
        self.assertEqual(sorted(request.target for request in self.app.requests), ["/items/count", "/items?page=2&limit=10"])

    def test_what_is_no_page_or_has_links_is_left_alone(self):
        server = self.serve_lists(lambda request: reply(int(request.get("x-status", "200")), b"[]", [f"Link: {request.get('x-link')}"] if request.has("x-link") else []))
        self.assertEqual(links(ask(server.edge, target="/items?page=1&limit=10", fields=["X-Link: </own>; rel=\"next\""])), {"next": "/own"})
        for target, fields in (("/items", []), ("/other?page=1&limit=10", []), ("/items?page=0&limit=10", []), ("/items?page=1&limit=10", ["X-Status: 404"])):
            self.assertFalse(ask(server.edge, target=target, fields=fields).has("link"), target)
        self.assertFalse(ask(server.edge, method="POST", target="/items?page=1&limit=10", body=b"x").has("link"))


if __name__ == "__main__":
    unittest.main()
