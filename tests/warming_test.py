"""[[edge.warm]]: a fresh process has its pages before the first client asks, and fetches them again when told."""

import threading
import time
import unittest

from harness.client import get
from harness.edge import EdgeScenario, ask, eventually, metric, reply
from harness.process import run

LIST = """
[[edge.warm]]
origin = "http://test.example"
urls = ["/a", "/b?x=1"]
[[edge.warm]]
urls = ["http://test.example/lang"]
headers = { "Accept-Language" = "de | en" }
"""


class Warming(EdgeScenario):
    def app(self, answer=None):
        self.served = []
        self.go = threading.Event()
        self.go.set()
        self.addCleanup(self.go.set)
        lock = threading.Lock()
        self.at_once = self.most_at_once = 0

        def script(connection):
            while (request := connection.read()) is not None:
                with lock:
                    self.served.append(request)
                    self.at_once += 1
                    self.most_at_once = max(self.most_at_once, self.at_once)
                self.go.wait(30)
                body = (request.target + request.get("accept-language", "")).encode()
                answered = (answer and answer(request)) or reply(200, body, ["Cache-Control: max-age=60", "Vary: Accept-Language"])
                with lock:
                    self.at_once -= 1
                connection.send(answered)

        return self.script(script)

    def progress(self, server):
        answer = server.api("GET", "/api/v1/cache/warm")
        self.assertEqual(answer.status, 200)
        return answer.json()

    def done(self, server, runs=1):
        eventually(lambda: (now := self.progress(server))["status"] == "done" and now["runs"] == runs, 20)
        return self.progress(server)


class AtStart(Warming):
    def test_pages_are_there_before_the_first_client(self):
        server = self.serve(self.app(), config=LIST)
        done = self.done(server)
        self.assertEqual([done[key] for key in ("total", "done", "stored", "fresh", "not_stored", "failed", "problems")], [4, 4, 4, 0, 0, 0, []])
        self.assertRegex(done["began"], r"^20\d\d-")
        self.assertEqual(metric(server, "headroom_edge_warm_requests_total", outcome="stored"), 4)
        for target, fields in (("/a", []), ("/b?x=1", []), ("/lang", ["Accept-Language: en"]), ("/lang", ["Accept-Language: de"])):
            answer = ask(server.edge, target=target, fields=fields)
            self.assertIn("Headroom; hit", answer.get("cache-status"), target)
            self.assertEqual(answer.body, (target + "".join(fields).removeprefix("Accept-Language: ")).encode())
        self.assertEqual(len(self.served), 4)

    def test_it_can_be_left_to_operators(self):
        server = self.serve(self.app(), config="[edge.warming]\nat_start = false\n" + LIST)
        now = self.progress(server)
        self.assertEqual((now["status"], now["total"], now["runs"], now["began"]), ("idle", 4, 0, None))
        self.assertEqual(self.served, [])

    def test_readyz_waits_for_it_and_not_longer_than_set(self):
        app = self.app()
        self.go.clear()
        server = self.headroom([app], config=self.settings('[edge.warming]\nready_after = "30s"\n' + LIST), wait=False)
        server.wait_for_line("^headroom: admin listening")
        eventually(lambda: len(self.served) == 3)
        said = get(server.admin, "/readyz")
        self.assertEqual(said.status, 503)
        self.assertIn("warmed", said.text())
        self.assertEqual([get(server.admin, path).status for path in ("/livez", "/startupz", "/health")], [200, 200, 200])
        self.go.set()
        eventually(lambda: get(server.admin, "/readyz").status == 200, 10)
        self.assertEqual(self.progress(server)["stored"], 4)

    def test_readyz_gives_up_waiting(self):
        app = self.app()
        self.go.clear()
        server = self.headroom([app], config=self.settings('[edge.warming]\nready_after = "2s"\n' + LIST), wait=False)
        server.wait_for_line("^headroom: admin listening")
        eventually(lambda: get(server.admin, "/readyz").status == 503)
        eventually(lambda: get(server.admin, "/readyz").status == 200, 10)
        self.assertEqual(self.progress(server)["status"], "running")

    def test_what_fails_is_tried_again_and_told(self):
        failures = []

        def answer(request):
            if request.target == "/a" and len(failures) < 2:
                failures.append(request)
                return reply(503, b"not yet")
            return reply(503, b"never") if request.target == "/b?x=1" else None

        server = self.serve(self.app(answer), config=LIST)
        done = self.done(server)
        self.assertEqual([done[key] for key in ("done", "stored", "failed")], [4, 3, 1])
        self.assertEqual([(problem["url"], problem["outcome"], problem["why"]) for problem in done["problems"]],
                         [("http://test.example/b?x=1", "failed", "status 503")])

    def test_what_is_not_kept_is_told(self):
        server = self.serve(self.app(lambda request: reply(200, b"x" * 300000, ["Cache-Control: no-store"]) if request.target == "/a" else None), config=LIST)
        done = self.done(server)
        self.assertEqual([done[key] for key in ("stored", "not_stored", "failed")], [3, 1, 0])
        self.assertIn("no-store", done["problems"][0]["why"])

    def test_no_more_at_once_than_set(self):
        urls = ", ".join(f'"/p{i}"' for i in range(20))
        server = self.serve(self.app(), config=f'[edge.warming]\nat_once = 3\n[[edge.warm]]\norigin = "http://test.example"\nurls = [{urls}]')
        self.assertEqual(self.done(server)["stored"], 20)
        self.assertLessEqual(self.most_at_once, 3)

    def test_no_rate_limit_counts_it(self):
        server = self.serve(self.app(), config=LIST + '[[limit.rules]]\nname = "one"\nrate = "1/h"\nsubject = "address"')
        self.assertEqual(self.done(server)["stored"], 4)
        self.assertEqual(ask(server.edge, target="/a").status, 200)
        self.assertEqual(ask(server.edge, target="/a").status, 429)

    def test_a_shutdown_does_not_wait_for_it(self):
        app = self.app()
        server = self.serve(app, config=LIST)
        eventually(lambda: len(self.served) == 4)
        self.go.clear()  # the end of the scenario stops it
        self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"prefix": "http://"}).status, 200)
        self.assertEqual(server.api("POST", "/api/v1/cache/warm").status, 202)
        eventually(lambda: len(self.served) == 7)


class OnDemand(Warming):
    def test_an_operator_and_the_seeds_paths_begin_it(self):
        server = self.serve(self.app(), config=LIST)
        self.done(server)
        for run, path in enumerate(("/api/v1/cache/warm", "/api/phase14/scalability/cache/warm", "/api/v1/performance/scalability/warm-cache"), 2):
            self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"prefix": "http://test.example/"}).status, 200)
            begun = server.api("POST", path)
            self.assertEqual((begun.status, begun.json()["status"], begun.json()["message"], begun.json()["total"]), (202, "started", "cache warming has begun", 4))
            self.assertEqual(self.done(server, run)["stored"], 4)
        self.assertEqual(server.api("POST", "/api/v1/cache/warm").status, 202)
        self.assertEqual(self.done(server, 5)["fresh"], 4)
        self.assertEqual(len(self.served), 16)

    def test_one_at_a_time(self):
        server = self.serve(self.app(), config=LIST)
        self.done(server)
        server.api("POST", "/api/v1/cache/clear", {"prefix": "http://test.example/"})
        self.go.clear()
        self.assertEqual(server.api("POST", "/api/v1/cache/warm").json()["status"], "started")
        eventually(lambda: len(self.served) == 7)  # whether /lang varies is known with its first answer
        time.sleep(2.5)  # longer than clients wait for one another
        self.assertEqual(server.api("POST", "/api/v1/cache/warm").json()["status"], "running")
        now = self.progress(server)
        self.assertEqual((now["status"], now["done"], now["total"]), ("running", 0, 4))
        self.go.set()
        self.assertEqual(self.done(server, 2)["stored"], 4, self.progress(server))

    def test_a_reload_changes_the_list(self):
        server = self.serve(self.app(), config=LIST)
        self.done(server)
        self.reload(server, LIST.replace('"/b?x=1"', '"/c", "/d"'))
        self.assertEqual(server.api("POST", "/api/v1/cache/warm").json()["total"], 5)
        done = self.done(server, 2)
        self.assertEqual((done["stored"], done["fresh"]), (2, 3))

    def test_who_may(self):
        server = self.serve(self.app(), config=LIST)
        viewer = server.token("viewer")
        self.assertEqual(server.api("GET", "/api/v1/cache/warm", token=viewer).status, 200)
        self.assertEqual(server.api("POST", "/api/v1/cache/warm", token=viewer).status, 403)

    def says_that_there_is_nothing(self, config):
        server = self.serve(self.app(), config=config)
        said = server.api("POST", "/api/v1/cache/warm")
        self.assertEqual((said.status, said.json()["error"]["code"]), (409, "not_configured"))
        self.assertEqual(self.progress(server)["status"], "not_configured")

    def test_without_a_list_it_says_so(self):
        self.says_that_there_is_nothing("")

    def test_without_a_cache_it_says_so(self):
        self.says_that_there_is_nothing("[cache]\nenabled = false\n" + LIST)

    def test_what_is_wrong_is_refused(self):
        for wrong, reason in (('urls = ["/a"]', "origin"), ('urls = ["ftp://a/"]', "ftp://a/"), ('urls = ["http://a/"]\nheaders = { "Host" = "b" }', "Host")):
            done = run("check", self.settings("[[edge.warm]]\n" + wrong))
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(reason, done.stderr)


if __name__ == "__main__":
    unittest.main()
