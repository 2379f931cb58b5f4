"""Stored answers asked for anew in the background: clients do not wait for it, and nothing of theirs goes into it but what answers vary by."""

import threading
import time
import unittest

from harness.edge import EdgeScenario, ask, eventually, metric, reply
from harness.scenario import Scenario

STALE = 1.15  # seconds after which what was max-age=1 is stale


class Refreshing(EdgeScenario):
    """An app that numbers its answers. `hold()` makes it answer only after `go`."""

    def app(self, fields=("Cache-Control: max-age=1, stale-while-revalidate=60",), status=200):
        self.fields, self.status = list(fields), status
        self.served, self.ended = [], []
        self.go = threading.Event()
        self.go.set()
        self.addCleanup(self.go.set)
        self.lock = threading.Lock()

        def answer(connection):
            while (request := connection.read()) is not None:
                with self.lock:
                    self.served.append(request)
                    number = len(self.served)
                self.go.wait(30)
                status = self.status(request) if callable(self.status) else self.status
                connection.send(reply(status, b"" if status == 304 else b"%d" % number, self.fields))
                self.ended.append(request)

        return self.script(answer)

    def stale_page(self, server, target="/p", fields=()):
        self.assertEqual(ask(server.edge, target=target, fields=fields).status, 200)
        time.sleep(STALE)

    def outcome(self, server, name):
        return metric(server, "headroom_edge_refreshes_total", outcome=name)


class Background(Refreshing):
    def test_nobody_waits_and_one_request_refreshes(self):
        server = self.serve(self.app())
        self.stale_page(server)
        self.go.clear()
        answers = [ask(server.edge, target="/p") for _ in range(20)]  # each waits for the one before: none waits for the app
        self.assertEqual({answer.body for answer in answers}, {b"1"})
        self.assertIn("Headroom; hit; ttl=", answers[0].get("cache-status"))
        self.assertIn("stale-while-revalidate (RFC 5861 3), refresh begun", answers[0].get("cache-status"))
        for answer in answers[1:]:
            self.assertIn("stale-while-revalidate", answer.get("cache-status"))
            self.assertNotIn("begun", answer.get("cache-status"))
        eventually(lambda: len(self.served) == 2)
        self.go.set()
        eventually(lambda: ask(server.edge, target="/p").body == b"2")
        self.assertEqual(len(self.served), 2)
        self.assertEqual((self.outcome(server, "renewed"), self.outcome(server, "failed")), (1, 0))

    def test_a_validated_answer_is_renewed(self):
        app = self.app(["Cache-Control: max-age=1, stale-while-revalidate=60", 'ETag: "v1"'])
        server = self.serve(app)
        self.stale_page(server)
        self.status, self.fields = 304, ["Cache-Control: max-age=60", 'ETag: "v1"']
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: self.outcome(server, "renewed") == 1)
        self.assertEqual(self.served[1].get("if-none-match"), '"v1"')
        after = ask(server.edge, target="/p")
        self.assertEqual(after.body, b"1")
        self.assertNotIn("stale", after.get("cache-status"))

    def test_it_carries_what_answers_vary_by_and_no_credentials(self):
        app = self.app(["Cache-Control: public, max-age=1, stale-while-revalidate=60", "Vary: Accept-Language"])
        server = self.serve(app)
        user = ["Accept-Language: de", "Cookie: session=secret", "Authorization: Bearer secret", "X-Secret: secret", "User-Agent: secret"]
        self.stale_page(server, fields=user)
        self.assertEqual(ask(server.edge, target="/p", fields=user).body, b"1")
        eventually(lambda: self.outcome(server, "renewed") == 1)
        asked = self.served[1]
        self.assertEqual(asked.get("accept-language"), "de")
        self.assertEqual(asked.get("host"), self.served[0].get("host"))
        self.assertNotIn("secret", repr(asked.fields))
        self.assertEqual(ask(server.edge, target="/p", fields=user).body, b"2")

    def test_what_varies_by_credentials_is_asked_for_by_their_owner(self):
        app = self.app(["Cache-Control: public, max-age=1, stale-while-revalidate=60", "Vary: Cookie"])
        server = self.serve(app)
        self.stale_page(server, fields=["Cookie: a=1"])
        answer = ask(server.edge, target="/p", fields=["Cookie: a=1"])
        self.assertEqual(answer.body, b"2")
        self.assertEqual(self.served[1].get("cookie"), "a=1")

    def test_behind_a_trusted_proxy_the_page_is_the_same_one(self):
        server = self.serve(self.app(), config='[edge]\ntrusted_proxies = ["127.0.0.0/8", "::1"]')
        said = ["X-Forwarded-Host: shop.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7"]
        self.stale_page(server, fields=said)
        self.assertEqual(ask(server.edge, target="/p", fields=said).body, b"1")
        eventually(lambda: self.outcome(server, "renewed") == 1)
        self.assertEqual([self.served[1].get(name) for name in ("x-forwarded-host", "x-forwarded-proto")], ["shop.example", "https"])
        self.assertEqual(ask(server.edge, target="/p", fields=said).body, b"2")
        self.assertEqual(len(self.served), 2)

    def test_it_costs_no_client_of_its_rate(self):
        rules = '[[limit.rules]]\nname = "few"\nrate = "4/h"\nsubject = "address"'
        server = self.serve(self.app(), config=rules)
        self.stale_page(server)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: self.outcome(server, "renewed") == 1)
        self.assertEqual([ask(server.edge, target="/p").status for _ in range(3)], [200, 200, 429])

    def test_off_means_that_a_client_waits(self):
        server = self.serve(self.app(), config="[edge.cache]\nbackground_refreshes = 0")
        self.stale_page(server)
        self.assertEqual(ask(server.edge, target="/p").body, b"2")

    def test_a_page_about_to_expire_is_refreshed_before_it_does(self):
        app = self.app(["Cache-Control: max-age=8"])
        server = self.serve(app, config="[cache]\nearly_refresh = 100")
        self.go.clear()
        first = self.client(server).request(target="/p")
        eventually(lambda: len(self.served) == 1)
        time.sleep(0.3)  # what it takes to load: the measure of how early
        self.go.set()
        first.answer()
        answers = []
        eventually(lambda: answers.append(ask(server.edge, target="/p")) or len(self.served) > 1, 7)
        self.assertTrue(all(" hit" in answer.get("cache-status") for answer in answers))
        self.assertTrue(any("early refresh begun" in answer.get("cache-status") for answer in answers))
        self.assertFalse(any("ttl=-" in answer.get("cache-status") for answer in answers))


class Joined(Refreshing):
    def test_who_may_not_have_the_stale_page_waits_for_the_refresh_under_way(self):
        server = self.serve(self.app(["Cache-Control: max-age=1, stale-while-revalidate=1"]))
        self.stale_page(server)
        self.go.clear()
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: len(self.served) == 2)
        time.sleep(1.1)  # now it may be served no more
        clients = [self.client(server).request(target="/p") for _ in range(5)]
        time.sleep(0.2)
        self.go.set()
        self.assertEqual({client.answer().body for client in clients}, {b"2"})
        self.assertEqual(len(self.served), 2)


class Bounded(Refreshing):
    def test_no_more_at_once_than_are_set(self):
        server = self.serve(self.app(), config="[server]\nworkers = 1\n[edge.cache]\nbackground_refreshes = 2")
        for i in range(6):
            ask(server.edge, target=f"/p{i}")
        time.sleep(STALE)
        self.go.clear()
        self.assertEqual([ask(server.edge, target=f"/p{i}").status for i in range(6)], [200] * 6)
        eventually(lambda: len(self.served) == 8)
        time.sleep(0.2)
        self.assertEqual(len(self.served), 8)
        self.assertEqual(self.outcome(server, "refused"), 4)
        self.go.set()  # and the others have their turn
        eventually(lambda: len({request.target for request in self.served[6:] if ask(server.edge, target=request.target)}) >= 2)
        for i in range(6):
            eventually(lambda: int(ask(server.edge, target=f"/p{i}").body) > 6)

    def test_one_that_takes_too_long_is_given_up(self):
        server = self.serve(self.app(), config='[edge.cache]\nrefresh_timeout = "500ms"')
        self.stale_page(server)
        self.go.clear()
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: self.outcome(server, "failed") == 1)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        self.go.set()  # and it recovers
        eventually(lambda: ask(server.edge, target="/p").body != b"1")


class Failing(Refreshing):
    def test_a_failure_leaves_the_page_and_is_not_repeated_at_once(self):
        server = self.serve(self.app())
        self.stale_page(server)
        for status in (503, 401, 302, 429):
            self.status = status
            before = len(self.served)
            failures = self.outcome(server, "failed")
            eventually(lambda: ask(server.edge, target="/p").body == b"1" and self.outcome(server, "failed") > failures, 5, what=f"{status} is a failure")
            for _ in range(30):
                self.assertEqual(ask(server.edge, target="/p").body, b"1")
            self.assertLessEqual(len(self.served) - before, 2)
        self.status = 200  # and it recovers
        eventually(lambda: ask(server.edge, target="/p").body != b"1", 5)

    def test_without_any_server_the_page_stays(self):
        app = self.app()
        server = self.serve(app)
        self.stale_page(server)
        app.stop()
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: self.outcome(server, "failed") == 1)
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        app.start()  # and it recovers
        eventually(lambda: ask(server.edge, target="/p").body != b"1", 30)

    def test_a_page_that_may_be_kept_no_longer_goes(self):
        server = self.serve(self.app())
        self.stale_page(server)
        self.fields = ["Cache-Control: no-store"]
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: self.outcome(server, "not_stored") == 1)
        self.assertEqual([ask(server.edge, target="/p").body for _ in range(2)], [b"3", b"4"])


class Ending(Refreshing):
    def _end(self, server):
        if server.process.poll() is None:
            super()._end(server)
        else:
            Scenario._end(self, server)  # the test has ended it

    def test_a_reload_lets_it_end(self):
        server = self.serve(self.app())
        self.stale_page(server)
        self.go.clear()
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: len(self.served) == 2)
        self.reload(server)
        self.go.set()
        eventually(lambda: ask(server.edge, target="/p").body == b"2")
        self.assertEqual(len(self.served), 2)

    def test_a_shutdown_does_not_wait_for_it(self):
        server = self.serve(self.app())
        self.stale_page(server)
        self.go.clear()
        self.assertEqual(ask(server.edge, target="/p").body, b"1")
        eventually(lambda: len(self.served) == 2)
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 15)  # not the 30 s that a refresh may take

    def test_a_take_over_does_not_wait_for_it_either(self):
        app = self.app()
        old = self.serve(app)
        self.stale_page(old)
        self.go.clear()
        self.assertEqual(ask(old.edge, target="/p").body, b"1")
        eventually(lambda: len(self.served) == 2)
        doors = {f"{section}.listen": "{}:{}".format(*old.doors[section]) for section in ("edge", "admin")}
        new = self.headroom([app], arguments=["--take-over"], set=doors, wait=False)
        self.assertEqual(old.wait(15), 0)
        self.go.set()
        self.assertEqual(ask(new.wait_ready().edge, target="/p").body, b"3")


if __name__ == "__main__":
    unittest.main()
