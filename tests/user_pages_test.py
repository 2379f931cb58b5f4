"""Pages kept for each user alone: by token, by cookie, by header; what an unsafe request drops; and that nobody sees another's."""

import unittest

from harness.edge import ask
from harness.process import run

from page_cache_test import Counting

ROUTES = """
[[edge.routes]]
path = "/mine"
[edge.routes.cache]
ttl_class = "realtime"
per_user = ["authorization", "cookie:session", "header:X-Api-Key"]
tags = ["tasks:{user}", "tasks"]
invalidates = ["tasks:{user}"]

[[edge.routes]]
path = "/admin"
[edge.routes.cache]
invalidates = ["tasks"]
"""


class PerUser(Counting):
    def setUp(self):
        super().setUp()
        self.server = self.serve(self.app(), config=ROUTES)

    def get(self, *fields, target="/mine"):
        return ask(self.server.edge, target=target, fields=fields)

    def body(self, *fields, target="/mine"):
        return self.get(*fields, target=target).body

    def post(self, *fields, target="/mine"):
        return ask(self.server.edge, "POST", target, fields=fields, body=b"x")

    def test_each_user_gets_their_own_page_from_memory(self):
        self.fields = [("Cache-Control", "private, max-age=60")]
        for shown in ("Authorization: Bearer {}", "Cookie: theme=dark; session={}", "X-Api-Key: {}"):
            ann, bob = self.body(shown.format("ann")), self.body(shown.format("bob"))
            self.assertNotEqual(ann, bob)
            self.assertEqual(self.body(shown.format("ann")), ann)
            self.assertEqual(self.body(shown.format("bob")), bob)
        self.assertEqual(len(self.served), 6)

    def test_nobody_gets_a_page_without_showing_whose(self):
        self.fields = [("Cache-Control", "private, max-age=60")]
        ann = self.body("Authorization: Bearer ann")
        self.assertNotEqual(self.body(), ann)
        self.assertNotEqual(self.body("Authorization: Bearer an"), ann)
        self.assertNotEqual(self.body("Cookie: session=Bearer ann"), ann)
        self.assertNotEqual(self.body("X-Api-Key: Bearer ann"), ann)
        self.assertNotEqual(self.body(), self.body())

    def test_what_else_a_request_carries_counts_as_ever(self):
        self.fields = [("Cache-Control", "max-age=60")]
        for fields in (("Authorization: Bearer ann", "Cookie: other=1"), ("Cookie: session=a; session=b",), ("Cookie: session=a", "Cookie: session=b"),
                       ("Authorization: Bearer ann", "Authorization: Bearer bob")):
            self.assertNotEqual(self.body(*fields), self.body(*fields), fields)

    def test_two_credentials_are_not_one_of_either(self):
        self.fields = [("Cache-Control", "private, max-age=60")]
        both = self.body("Authorization: Bearer ann", "Cookie: session=s")
        self.assertEqual(self.body("Authorization: Bearer ann", "Cookie: session=s"), both)
        self.assertNotEqual(self.body("Authorization: Bearer ann"), both)
        self.assertNotEqual(self.body("Authorization: Bearer bob", "Cookie: session=s"), both)

    def test_an_unsafe_request_drops_what_its_user_sees_and_no_more(self):
        ann, bob = "Authorization: Bearer ann", "Authorization: Bearer bob"
        pages = {who: (self.body(who), self.body(who, target="/mine?page=2")) for who in (ann, bob)}
        self.post(ann)
        self.assertNotEqual(self.body(ann), pages[ann][0])
        self.assertNotEqual(self.body(ann, target="/mine?page=2"), pages[ann][1])
        self.assertEqual(self.body(bob, target="/mine?page=2"), pages[bob][1])
        # The target itself is everybody's: RFC 9111 4.4 drops it for all.
        self.assertNotEqual(self.body(bob), pages[bob][0])

    def test_an_unsafe_request_elsewhere_drops_the_tag_for_all(self):
        ann, bob = "Authorization: Bearer ann", "Authorization: Bearer bob"
        before = self.body(ann), self.body(bob)
        self.post(target="/admin/close")
        self.assertNotEqual((self.body(ann), self.body(bob)), before)

    def test_a_refused_unsafe_request_drops_nothing(self):
        before = self.body("Authorization: Bearer ann")
        self.status = 403
        self.post("Authorization: Bearer ann")
        self.status = 200
        self.assertEqual(self.body("Authorization: Bearer ann"), before)

    def test_a_wrong_setting_is_refused_with_what_is_accepted(self):
        done = run("check", self.settings('[[edge.routes]]\npath = "/"\n[edge.routes.cache]\nper_user = ["session"]\n', "wrong.toml"))
        self.assertEqual(done.returncode, 2)
        self.assertIn("wrong.toml:4", done.stderr)
        self.assertIn("authorization, cookie:session or header:X-Api-Key", done.stderr)


if __name__ == "__main__":
    unittest.main()
