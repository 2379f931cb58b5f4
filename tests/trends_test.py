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


class Objectives(EdgeScenario):
    _end = Scenario._end

    def test_a_target_is_mapped_to_routes_and_met_or_missed_and_a_reload_maps_it_anew(self):
        app = self.answers(lambda request: (time.sleep(0.3 if "slow" in request.target else 0), reply(200, b"x"))[1])
        routes = "".join(f'[[edge.routes]]\nname = "{name}"\npath = "/{name}"\n' for name in ("login", "slow"))
        objectives = '[[monitor.objectives]]\nname = "authentication"\nroutes = ["%s"]\n[[monitor.objectives]]\nname = "mine"\nmost = "50ms"\nfigure = "mean"\nwindow = "1m"\n'
        server = self.serve(app, config=routes + objectives % "login")

        def found():
            return {each["name"]: each for each in server.api("GET", "/api/v1/objectives").json()["objectives"]}

        self.assertEqual((found()["authentication"]["objective"], found()["authentication"]["value"], found()["authentication"]["met"]), (200, None, None))
        self.assertEqual((found()["bookings"]["objective"], found()["bookings"]["routes"]), (500, []))  # there to be mapped
        for _ in range(3):
            get(server.edge, "/login")
            get(server.edge, "/slow")
        eventually(lambda: found()["authentication"]["met"] is True, 20, 0.2)
        eventually(lambda: found()["mine"]["value"] and found()["mine"]["met"] is False, 20, 0.2)  # all routes
        now = {each["name"]: each for each in server.api("GET", "/api/v1/now").json()["objectives"]}
        self.assertEqual((now["authentication"]["met"], now["authentication"]["routes"]), (True, ["login"]))
        self.reload(server, routes + objectives % "slow")
        eventually(lambda: found()["authentication"]["met"] is False, 20, 0.2)
        self.assertGreater(found()["authentication"]["value"], 290)

    def test_an_objective_without_a_target_is_refused(self):
        server = self.headroom(config=self.settings('[[monitor.objectives]]\nname = "mine"\n'), wait=False)
        self.assertEqual(server.wait(), 2)
        self.assertTrue(any("'most'" in line for line in server.lines), server.lines)


if __name__ == "__main__":
    unittest.main()
