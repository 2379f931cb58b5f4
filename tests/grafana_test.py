"""The Grafana dashboard: a real Prometheus scrapes a real Headroom under load, and every query of every panel returns data."""

import json
import math
import re
import shutil
import subprocess
import time
import unittest
import urllib.parse

from harness import eventually, get
from harness.hub import APP, HubScenario, free_port
from harness.mixed import SETTINGS, Mixed, app_answer
from harness.postgres import SqlScenario
from harness.process import ROOT

DASHBOARD = json.loads((ROOT / "deploy/grafana/headroom.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


class Shape(unittest.TestCase):
    def test_it_is_as_grafana_wants_shared_dashboards(self):
        self.assertIsNone(DASHBOARD["id"])
        self.assertEqual((DASHBOARD["uid"], DASHBOARD["editable"]), ("headroom", False))
        source, *labels = DASHBOARD["templating"]["list"]
        self.assertEqual((source["name"], source["label"], source["type"]), ("datasource", "Data Source", "datasource"))
        self.assertEqual([each["name"] for each in labels], ["job", "instance"])
        numbers = [panel["id"] for panel in DASHBOARD["panels"]]
        self.assertEqual(len(numbers), len(set(numbers)))
        for panel in PANELS:
            self.assertTrue(panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"], panel["title"])
            for target in panel["targets"]:
                for selector in re.findall(r"headroom_\w+(\{[^}]*\})?", target["expr"]):
                    self.assertIn('job=~"$job",instance=~"$instance"', selector, panel["title"])
                self.assertEqual(re.findall(r"\[(?!\$__rate_interval)[^\]]*\]", target["expr"]), [], panel["title"])

    def test_no_panel_lies_upon_another(self):
        taken = set()
        for panel in DASHBOARD["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            self.assertLessEqual(place["x"] + place["w"], 24)
            self.assertEqual(taken & cells, set(), panel["title"])
            taken |= cells


class Data(SqlScenario, HubScenario):
    def prometheus(self, admin):
        port = free_port()
        config = self.directory / "prometheus.yml"
        config.write_text("global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs:\n  - job_name: headroom\n"
                          f"    static_configs: [{{ targets: ['{admin[0]}:{admin[1]}'] }}]\n")
        process = subprocess.Popen([shutil.which("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={self.directory}/tsdb",
                                    f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        door = ("127.0.0.1", port)
        eventually(lambda: get(door, "/-/ready").status == 200, 30)
        return door

    def asked(self, door, expression):
        """The finite values that a query answers for now."""
        answer = get(door, "/api/v1/query?" + urllib.parse.urlencode({"query": expression})).json()
        self.assertEqual(answer["status"], "success", answer)
        return [value for series in answer["data"]["result"] if math.isfinite(value := float(series["value"][1]))]

    def test_every_query_of_every_panel_returns_data(self):
        app = self.upstream(answer=app_answer)
        server = self.headroom([app], config=self.settings(SETTINGS + APP), arguments=["--postgres", self.cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0"])
        door = self.prometheus(server.admin)
        queries = {}
        for panel in PANELS:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "10s").replace("$job", ".+").replace("$instance", ".+")
                queries[f"{panel['title']}: {target['refId']}"] = expression
        with Mixed(server, dsn=self.dsn(server), pause=0.01) as load:
            until = time.monotonic() + 40
            without = dict(queries)
            while without and time.monotonic() < until:
                without = {name: expression for name, expression in without.items() if not self.asked(door, expression)}
                time.sleep(0.5)
        self.assertEqual(without, {})
        self.assertEqual(load.failures, [])
        self.assertGreater(min(load.done.values()), 0, load.done)


if __name__ == "__main__":
    unittest.main()
