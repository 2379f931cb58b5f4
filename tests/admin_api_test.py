"""What the admin API says and does: overview, upstreams and draining, tokens, probes, the OpenAPI document, the seeds' paths."""

import time
import unittest

from harness import Load, Reply, Scenario, eventually, get, request


class AdminApi(Scenario):
    def setUp(self):
        super().setUp()
        self.apps = [self.upstream("one"), self.upstream("two")]
        self.server = self.headroom(self.apps)

    def read(self, path):
        answer = self.server.api("GET", path)
        self.assertEqual((answer.status, answer.field("Content-Type")), (200, "application/json"), path)
        return answer.json()

    def load(self, requests=200, path="/"):
        with Load(self.server.edge, path) as load:
            load.wait_for(requests)
        self.assert_no_failures(load)
        return load.done

    def test_overview(self):
        done = self.load()
        seen = self.read("/api/v1/overview")
        self.assertEqual((seen["stage"], seen["ready"], seen["state"]), ("serving", True, "ok"))
        self.assertEqual((seen["requests"]["total"], seen["requests"]["errors"]), (done, 0))
        latency = seen["requests"]["latency_ms"]
        self.assertLessEqual(0 < latency["p50"], latency["p90"] <= latency["p95"] <= latency["p99"])
        self.assertEqual([(group["name"], group["servers"], group["up"]) for group in seen["upstreams"]], [("app", 2, 2)])
        eventually(lambda: self.read("/api/v1/overview")["requests"]["per_second"] > 0, timeout=4, every=0.3)

    def test_routes_have_four_phases_and_what_became_of_their_requests(self):
        done = self.load()
        route = self.read("/api/v1/routes")["routes"][0]
        self.assertEqual((route["requests"], route["by_status"]["2xx"], route["error_rate"]), (done, done, 0))
        self.assertGreater(route["bytes_out"], 0)
        self.assertEqual(set(route["latency_ms"]), {"queue", "connect", "first_byte", "total"})
        for phase in route["latency_ms"].values():
            self.assertEqual(set(phase), {"mean", "p50", "p90", "p95", "p99"})

    def servers(self):
        return {server["address"]: server for server in self.read("/api/v1/upstreams")["groups"][0]["servers"]}

    def test_a_drained_server_gets_nothing_until_it_is_undrained(self):
        first, second = self.servers()
        path = f"/api/v1/upstreams/app/{first}"
        self.assertEqual(self.server.api("POST", path + "/drain").json(), {"group": "app", "server": first, "draining": True})
        self.assertEqual(self.servers()[first]["state"], "draining")
        before = self.apps[0].count
        self.load(100)
        self.assertEqual(self.apps[0].count, before)
        self.assertEqual(self.server.api("POST", path + "/undrain").status, 200)
        self.load(100)
        self.assertGreater(self.apps[0].count, before)
        # The same by body, and with the address escaped in the path.
        for answer in [self.server.api("POST", "/api/v1/upstreams/drain", {"group": "app", "server": second}),
                       self.server.api("POST", "/api/v1/upstreams/app/" + second.replace(":", "%3A").replace("/", "%2F") + "/drain")]:
            self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.servers()[second]["state"], "draining")

    def test_draining_what_does_not_exist_answers_404(self):
        for path in ["/api/v1/upstreams/app/http://127.0.0.1:1/drain", "/api/v1/upstreams/none/x/drain"]:
            answer = self.server.api("POST", path)
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (404, "not_found"), path)

    def test_tokens_are_made_listed_and_revoked(self):
        made = self.server.api("POST", "/api/v1/tokens", {"name": "robot", "role": "operator", "expires_in": "1h"})
        self.assertEqual(made.status, 201)
        token = made.json()["token"]

        def ask():
            return get(self.server.admin, "/api/v1/overview", {"Authorization": f"Bearer {token}"}).status

        self.assertEqual(ask(), 200)
        listed = {row["name"]: row for row in self.read("/api/v1/tokens")["tokens"]}
        self.assertEqual((listed["robot"]["role"], listed["robot"]["revoked"]), ("operator", None))
        self.assertIsNotNone(listed["robot"]["expires"])
        self.assertNotIn(token, str(listed))
        self.assertEqual(self.server.api("POST", "/api/v1/tokens", {"name": "robot", "role": "viewer"}).status, 409)
        self.assertEqual(self.server.api("DELETE", "/api/v1/tokens/robot").status, 200)
        self.assertEqual(ask(), 401)
        self.assertEqual(self.server.api("DELETE", "/api/v1/tokens/robot").status, 404)

    def test_probes_say_no_when_they_mean_it(self):
        self.assertEqual(get(self.server.admin, "/readyz").text(), "ok\n")
        for app in self.apps:
            app.stop()
        for _ in range(12):
            get(self.server.edge, "/")
        self.assertEqual(get(self.server.admin, "/livez").status, 200)
        self.assertEqual(get(self.server.admin, "/startupz").status, 200)

    def test_openapi_is_complete_and_well_formed(self):
        document = get(self.server.admin, "/openapi.json").json()
        self.assertEqual(document["openapi"], "3.1.0")
        self.assertTrue(document["info"]["title"] and document["info"]["version"])
        ids = set()
        for path, operations in document["paths"].items():
            self.assertTrue(path.startswith("/"))
            for method, operation in operations.items():
                self.assertIn(method, ("get", "post", "put", "delete"))
                self.assertNotIn(operation["operationId"], ids)
                ids.add(operation["operationId"])
                named = [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"]
                self.assertEqual(sorted(named), sorted(part[1:-1] for part in path.split("/") if part.startswith("{")))
                self.assertTrue(operation["summary"] and operation["responses"])
                self.assertEqual(operation["security"], [{"token": []}] if "x-role" in operation else [])
        for path in ["/livez", "/metrics", "/api/v1/overview", "/api/v1/upstreams/{group}/{server}/drain", "/api/v1/tokens/{name}"]:
            self.assertIn(path, document["paths"])

    def test_config_shows_every_setting_with_its_origin(self):
        rows = {row["name"]: row for row in self.read("/api/v1/config")["settings"]}
        self.assertEqual(rows["edge.app"]["origin"], "--app")
        for name in ["server.workers", "admin.listen", "edge.header_timeout", "monitor.enabled"]:
            self.assertIn(name, rows)


class Seeds(Scenario):
    def test_their_fields_hold_real_numbers(self):
        app = self.upstream(answer=lambda request: Reply(status=500 if request.path == "/bad" else 200))
        server = self.headroom([app])
        for path in ["/"] * 6 + ["/bad"] * 2:
            get(server.edge, path)
        metrics = server.api("GET", "/api/phase14/scalability/performance/metrics").json()
        self.assertEqual((metrics["total_requests"], metrics["error_rate"], metrics["cache_hit_rate"]), (8, 25.0, 0))
        self.assertGreater(metrics["avg_response_time"], 0)
        overview = server.api("GET", "/api/phase14/scalability/overview").json()
        self.assertEqual(overview["performance"]["total_requests"], 8)
        self.assertEqual((overview["cache"]["hit_rate"], overview["cache"]["status"]), (0, "healthy"))
        self.assertIsNone(overview["connection_pool"]["response_time_ms"])
        config = server.api("GET", "/api/phase14/scalability/config").json()
        self.assertIn("max_pool_size", config["connection_pool"])
        self.assertEqual(config["cache_ttl"], {"static": 3600, "semi_dynamic": 600, "analytics": 1800, "statistics": 120, "realtime": 30})
        performance = server.api("GET", "/api/performance-stats").json()
        self.assertEqual(performance["total_requests"], 8)
        self.assertEqual(performance["endpoints"][0]["requests"], 8)
        self.assertGreater(performance["p95_response_time_ms"], 0)

    def test_health_says_which_component_is_ill(self):
        app = self.upstream()
        server = self.headroom([app], set={"edge.app": app.url})
        for path in ["/health", "/api/phase14/scalability/health", "/api/v1/scaling/health/deep"]:
            answer = get(server.admin, path)
            self.assertEqual((answer.status, answer.json()["status"]), (200, "healthy"), path)
            self.assertEqual(answer.json()["components"]["edge.upstreams.app"]["status"], "healthy")
        self.assertEqual(get(server.admin, "/api/v1/scaling/health/liveness").json()["status"], "alive")
        self.assertEqual(get(server.admin, "/api/v1/scaling/health/readiness").json()["status"], "ready")

    def test_what_has_no_engine_says_so(self):
        server = self.headroom([self.upstream()], set={"cache.enabled": "false", "monitor.trends.enabled": "false"})
        for path in ["/api/v1/cache/stats", "/api/v1/database/slow-queries", "/api/v1/scaling/replication/status", "/api/usage-summary",
                     "/api/phase14/scalability/cache/stats", "/api/v1/performance/scalability/trends"]:
            answer = server.api("GET", path)
            self.assertEqual((answer.status, answer.json()["status"]), (200, "not_configured"), path)
            self.assertEqual({value for name, value in answer.json().items() if name != "status"}, {None}, path)
        cleared = server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["a"]})
        self.assertEqual((cleared.status, cleared.json()["error"]["code"]), (409, "not_configured"))
        for method, path in [("POST", "/api/phase14/scalability/cache/clear/events"),
                             ("POST", "/api/phase14/scalability/database/cleanup-sessions?days=90"),
                             ("DELETE", "/api/phase14/scalability/cache/cleanup")]:
            answer = server.api(method, path)
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (409, "not_configured"), path)


class NotReady(Scenario):
    def test_while_it_drains_probes_tell_balancers_and_supervisors_apart(self):
        server = self.headroom([self.upstream()], set={"server.drain_delay": "800ms"})
        server.process.terminate()
        eventually(lambda: get(server.admin, "/readyz").status == 503, timeout=2)
        answer = get(server.admin, "/readyz")
        self.assertEqual(answer.text(), "unavailable: draining\n")
        self.assertEqual(get(server.admin, "/livez").status, 200)
        self.assertEqual(request(server.edge, "GET", "/").status, 200)
        began = time.monotonic()
        self.assertEqual(server.wait(), 0)
        self.assertLess(time.monotonic() - began, 5)


if __name__ == "__main__":
    unittest.main()
