"""X-Headroom-Debug: an operator is told why a request was answered as it was; nobody else is, and no app sees the token."""

import unittest

from harness.edge import ask
from page_cache_test import Counting

LIMITED = """
[[limit.rules]]
name = "api"
subject = "address"
rate = "3/h"
"""


class Explained(Counting):
    def ask_why(self, server, token, target="/p", **options):
        return ask(server.edge, target=target, fields=[f"X-Headroom-Debug: {token}"], **options)

    def test_an_operator_is_told_route_cache_limits_and_server(self):
        server = self.serve(self.app([("Cache-Control", "max-age=60")]), config=LIMITED)
        token = server.token("operator")
        missed, hit = (self.ask_why(server, token).get("x-headroom-debug") for _ in range(2))
        for part in ('route="default"', 'client="127.0.0.1"', "fwd=uri-miss", "explicit (RFC 9111 3)", 'key="http://test.example/p"', "api: 2 left of 3",
                     'upstream="http://127.0.0.1:', "least_connections of 1 in group app, attempt 1", "first byte"):
            self.assertIn(part, missed)
        self.assertIn('cache="Headroom; hit', hit)
        self.assertNotIn("upstream", hit)
        self.ask_why(server, token)
        refused = self.ask_why(server, token)
        self.assertEqual(refused.status, 429)
        self.assertIn("api: refused, 0 left of 3", refused.get("x-headroom-debug"))
        self.assertFalse(ask(server.edge, target="/other").has("x-headroom-debug"))

    def test_why_an_answer_is_not_kept(self):
        server = self.serve(self.app([("Cache-Control", "private")]))
        self.assertIn("private (RFC 9111 5.2.2.7)", self.ask_why(server, server.token("operator")).get("x-headroom-debug"))

    def test_the_app_never_sees_the_token(self):
        server = self.serve(self.app())
        token = server.token("operator")
        self.ask_why(server, token)
        ask(server.edge, target="/p", fields=[f"X_Headroom_Debug: {token}"])
        self.assertEqual(len(self.served), 2)
        for request in self.served:
            self.assertNotIn(token, repr(request.fields))

    def test_nobody_else_is_told_anything(self):
        server = self.serve(self.app())
        for token in ("", "wrong", server.token("viewer"), "Bearer " + server.token("operator")):
            answer = self.ask_why(server, token)
            self.assertEqual(answer.status, 403, token)
            self.assertFalse(answer.has("x-headroom-debug"))
            self.assertIn(b"no_operator", answer.body)
        self.assertEqual(self.served, [])

    def test_who_guesses_is_told_nothing_and_holds_up_nobody(self):
        server = self.serve(self.app())
        token = server.token("operator")
        client = self.client(server)  # one connection, so one worker
        for i in range(11):
            self.assertEqual(client.ask(fields=[f"X-Headroom-Debug: guess{i}"]).status, 403)
        answer = client.ask(fields=[f"X-Headroom-Debug: {token}"])  # from the same address
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.has("x-headroom-debug"))
        self.assertEqual(client.ask(fields=["X-Headroom-Debug: guess"]).status, 403)
        self.assertEqual(client.ask().status, 200)


if __name__ == "__main__":
    unittest.main()
