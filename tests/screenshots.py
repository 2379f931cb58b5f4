"""tools/screenshots: the dashboard's pages of a busy site as PNGs; with --first-plots how soon the first plots stand."""

import argparse
import base64
import json
import pathlib
import shutil
import subprocess
import sys
import time
import unittest

from harness.browser import Browser
from harness.edge import EdgeScenario, eventually
from harness.faktory import Faktory
from harness.process import ROOT
from harness.site import Site

PAGES = ("overview", "traffic", "cache", "limits", "sql", "realtime", "tasks", "alerts", "system", "settings", "logs", "audit")
KEPT = {"overview-light": "dashboard", "sql-light": "dashboard-sql", "tasks-dark": "dashboard-tasks", "overview-phone": "dashboard-phone"}
FIRST_PLOTS_MS = 300


class Pictures(EdgeScenario):
    """One scenario, started by main() as a test so that all it starts ends with it."""

    arguments = None

    def runTest(self):
        self.site = Site(self)
        self.server = self.site.server
        self.browser = Browser(self.directory)
        self.addCleanup(self.browser.stop)
        self.url = f"http://{self.server.admin[0]}:{self.server.admin[1]}/"
        self.token = self.server.token("admin", "ada")
        with self.site.visitors():
            if self.arguments.first_plots:
                time.sleep(3)
                self.first_plots()
            else:
                self.happen()
                time.sleep(self.arguments.seconds)
                self.take()

    def page(self, **metrics):
        page = self.browser.page()
        self.browser.ask("Emulation.setDeviceMetricsOverride", page.session, **metrics)
        return page

    def sign_in(self, page):
        page.go(self.url)
        eventually(lambda: page.run("return !!document.querySelector('#token, nav')"))
        page.run(f"const token = document.querySelector('#token'); if (token) {{ token.value = {json.dumps(self.token)}; document.querySelector('form').requestSubmit() }}")
        eventually(lambda: page.run("return !!document.querySelector('nav')"))

    def happen(self):
        """Something on every page: dead and waiting jobs, a schedule, a silence, a drained server, purged pages, a reload."""
        api, operator = self.server.api, self.server.token("operator", "otto")
        with Faktory(self.server.doors["tasks"], wid="clerk-1") as clerk:
            for n in range(3):
                clerk.push(f"invoice-{n:02}", queue="billing", jobtype="Invoice", args=[{"customer": 4711 + n, "amount": 12.5}], retry=-1)
                clerk.fetch("billing")
                clerk.fail(f"invoice-{n:02}", errtype="Timeout", message="the bank did not answer within 30 s")
            for n in range(9):
                clerk.push(f"report-{n:02}", queue="reports", jobtype="MonthlyReport", args=[2026, n + 1])
        api("PUT", "/api/v1/tasks/schedules/nightly-digest", {"cron": "0 3 * * *", "zone": "Europe/Berlin", "job": {"jobtype": "Digest", "args": []}}, token=operator)
        address = api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][1]["address"]
        api("POST", "/api/v1/upstreams/drain", {"group": "app", "server": address}, token=operator)
        api("POST", "/api/v1/cache/clear-tags", {"tags": ["posts"]}, token=operator)
        api("POST", "/api/v1/reload", {})
        eventually(lambda: any(rule["name"] == "jobs-waiting" and rule["state"] == "firing" for rule in api("GET", "/api/v1/alerts").json()["rules"]), 60, 1)
        api("POST", "/api/v1/upstreams/undrain", {"group": "app", "server": address}, token=operator)
        self.sleeper = subprocess.Popen(["psql", "-X", "-q", self.site.sql, "-c", "LISTEN news", "-c", "SELECT pg_sleep(0.2)", "-c", "SELECT count(*) FROM users a, users b", "-c", "SELECT pg_sleep(1000)"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(self.sleeper.wait)
        self.addCleanup(self.sleeper.terminate)

    def take(self):
        self.made = []
        page = self.page(width=1280, height=900, deviceScaleFactor=1, mobile=False)
        self.sign_in(page)
        wanted = [name.split("-")[0] for name in KEPT] if not self.arguments.all else PAGES
        for scheme in ("light", "dark"):
            self.browser.ask("Emulation.setEmulatedMedia", page.session, features=[{"name": "prefers-color-scheme", "value": scheme}])
            for name in PAGES if self.arguments.all else wanted:
                self.shoot(page, name, scheme)
        self.browser.ask("Emulation.setEmulatedMedia", page.session, features=[{"name": "prefers-color-scheme", "value": "light"}])
        self.browser.ask("Emulation.setDeviceMetricsOverride", page.session, width=390, height=844, deviceScaleFactor=1, mobile=True)
        for name in PAGES if self.arguments.all else wanted:
            self.shoot(page, name, "phone")

    def shoot(self, page, name, kind):
        kept = KEPT.get(f"{name}-{kind}")
        if not self.arguments.all and not kept:
            return
        page.run(f"location.hash = '#/{name}'")
        eventually(lambda: page.run(f"return document.querySelector('nav [aria-current]')?.getAttribute('href') === '#/{name}' && !!document.querySelector('main .card')"), what=name)
        time.sleep(1.5)
        size = {}
        if self.arguments.whole:
            height = page.run("return document.documentElement.scrollHeight")
            size = {"captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": page.run("return innerWidth"), "height": min(height, 4000), "scale": 1}}
        data = base64.b64decode(self.browser.ask("Page.captureScreenshot", page.session, format="png", **size)["data"])
        path = self.arguments.out / f"{kept if kept and not self.arguments.all else f'{name}-{kind}'}.png"
        path.write_bytes(data)
        if shutil.which("pngquant"):
            subprocess.run(["pngquant", "--force", "--skip-if-larger", "--strip", "--output", path, "128", path], check=False)
        print(f"{path}: {path.stat().st_size // 1024} KiB")

    def first_plots(self):
        """From the beginning of the page's load, in a browser that is signed in, to the first plot with a line; median of five."""
        page = self.page(width=1280, height=900, deviceScaleFactor=1, mobile=False)
        self.sign_in(page)
        times = []
        for _ in range(5):
            page.go("about:blank")
            page.go(self.url)
            eventually(lambda: page.run("return performance.getEntriesByName('first-plot').length > 0"))
            times.append(page.run("return performance.getEntriesByName('first-plot')[0].startTime"))
        times.sort()
        print(json.dumps({"first_plot_ms": {"median": round(times[2], 1), "all": [round(each, 1) for each in times]}, "aim_ms": FIRST_PLOTS_MS}))
        self.assertLess(times[2], FIRST_PLOTS_MS)


def main():
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--out", type=pathlib.Path, default=ROOT / "docs/images")
    read.add_argument("--all", action="store_true", help="every page, light, dark and on a phone")
    read.add_argument("--whole", action="store_true", help="pages in their whole length")
    read.add_argument("--seconds", type=float, default=20, help="how long visitors come before")
    read.add_argument("--first-plots", action="store_true", help="measure instead")
    Pictures.arguments = read.parse_args()
    Pictures.arguments.out.mkdir(parents=True, exist_ok=True)
    sys.exit(not unittest.TextTestRunner(verbosity=0).run(Pictures()).wasSuccessful())


if __name__ == "__main__":
    main()
