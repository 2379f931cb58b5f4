"""Metrics over time, through the admin API: they move with the load, survive restarts and take-overs, and tell of the machine."""

import time
import unittest

from harness.client import get
from harness.edge import EdgeScenario, eventually, metric, reply
from harness.scenario import Scenario


class Trends(EdgeScenario):
    _end = Scenario._end  # servers end in the midst of these

    def begin(self, **options):
        return self.serve(self.app, config="[server]\nworkers = 2\n", **options)

    def setUp(self):
        super().setUp()
        self.app = self.answers(lambda request: reply(200, b"hello"))

    def total(self, server, name, **more):
        query = "&".join([f"metric={name}", "from=-10m", "step=1", *(f"{key}={value}" for key, value in more.items())])
        answer = server.api("GET", f"/api/v1/metrics/query?{query}")
        self.assertEqual(answer.status, 200, answer.text())
        found = answer.json()
        return round(sum(rate for series in found["series"] for rate in series["rate"] if rate) * found["step"])

    def ask(self, server, count):
        for _ in range(count):
            self.assertEqual(get(server.edge, "/a").status, 200)

    def test_requests_show_in_the_trends_and_survive_a_restart(self):
        server = self.begin()
        self.ask(server, 30)
        eventually(lambda: self.total(server, "headroom_edge_requests_total", by="none") == 30, 15, 0.3)
        self.assertEqual(self.total(server, "headroom_edge_requests_total", where="class:2xx"), 30)
        self.assertEqual(self.total(server, "headroom_edge_requests_total", where="class:5xx"), 0)
        summary = server.api("GET", "/api/v1/summary?minutes=5").json()
        self.assertEqual((summary["requests"]["total"], summary["requests"]["errors"]), (30, 0))
        self.assertEqual(sum(route["requests"] for route in summary["routes"]), 30)
        self.assertGreater(summary["requests"]["latency_ms"]["p99"], 0)
        self.assertEqual(server.stop(), 0)
        again = self.begin()
        self.assertEqual(self.total(again, "headroom_edge_requests_total", by="none"), 30)
        self.ask(again, 5)
        eventually(lambda: self.total(again, "headroom_edge_requests_total", by="none") == 35, 15, 0.3)
        seed = again.api("GET", "/api/v1/performance/scalability/trends?minutes=10").json()
        self.assertEqual(seed["trends"]["requests"]["total"], 35)

    def test_a_killed_server_loses_ten_seconds_at_most(self):
        server = self.begin()
        self.ask(server, 10)
        eventually(lambda: self.total(server, "headroom_edge_requests_total", by="none") == 10, 15, 0.3)
        eventually(lambda: metric(server, "headroom_monitor_trend_bytes") > 0, 20, 0.3)
        time.sleep(11)
        server.kill()
        again = self.begin()
        self.assertEqual(self.total(again, "headroom_edge_requests_total", by="none"), 10)
        self.assertEqual(again.stop(), 0)

    def test_a_server_that_takes_over_goes_on_with_them(self):
        old = self.begin()
        self.ask(old, 12)
        eventually(lambda: self.total(old, "headroom_edge_requests_total", by="none") == 12, 15, 0.3)
        new = self.begin(arguments=["--take-over"])
        self.assertEqual(old.wait(40), 0)
        self.ask(new, 3)
        eventually(lambda: self.total(new, "headroom_edge_requests_total", by="none") == 15, 15, 0.3)
        self.assertEqual(new.stop(), 0)

    def test_the_machine_is_measured(self):
        server = self.begin()
        eventually(lambda: metric(server, "headroom_monitor_system_cpu_limit") > 0, 10, 0.2)
        self.assertGreater(metric(server, "headroom_monitor_system_memory_limit_bytes"), metric(server, "headroom_monitor_system_memory_bytes"))
        self.assertGreater(metric(server, "headroom_monitor_system_disk_bytes"), 0)
        names = eventually(lambda: server.api("GET", "/api/v1/metrics/names").json()["metrics"], 5, 0.2)
        self.assertIn("headroom_monitor_system_memory_ratio", names)

    def test_a_query_that_makes_no_sense_is_told_why(self):
        server = self.begin()
        eventually(lambda: server.api("GET", "/api/v1/metrics/names").json()["metrics"], 5, 0.2)
        name = "metric=headroom_edge_all_requests_total"
        for query, status in (("", 400), ("metric=nothing", 404), (f"{name}&from=x", 400), (f"{name}&step=0", 400), (f"{name}&from=-1h&to=-2h", 400),
                              (f"{name}&where=x", 400), (f"{name}&colour=red", 400), (f"{name}&from=-9999999999999999999s", 400), (f"{name}&from=0&step=1", 400)):
            answer = server.api("GET", f"/api/v1/metrics/query?{query}")
            self.assertEqual(answer.status, status, (query, answer.text()))
        self.assertEqual(server.api("GET", "/api/v1/summary?minutes=0").status, 400)
        self.assertEqual(get(server.admin, f"/api/v1/metrics/query?{name}").status, 401)


if __name__ == "__main__":
    unittest.main()
