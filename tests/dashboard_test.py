"""The dashboard in Debian's Chromium: signing in, numbers that move, every act and its refusal to a viewer, no accessibility violations."""

import base64
import json
import os
import pathlib
import threading
import time
import unittest

from harness.browser import Browser
from harness.client import get
from harness.edge import EdgeScenario, eventually, reply
from harness.faktory import Faktory
from harness.npm import installed
from harness.raw import Raw

AXE = {"axe-core": ("4.10.3", "sha512-Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg==")}
PAGES = ("overview", "traffic", "cache", "limits", "sql", "realtime", "tasks", "alerts", "system", "settings", "logs")
CONFIG = """
[[edge.routes]]
name = "shop"
path = "/"
[edge.routes.cache]
ttl_class = "semi_dynamic"
[[limit.rules]]
name = "each-address"
rate = "100000/min"
"""


class Dashboard(EdgeScenario):
    def setUp(self):
        super().setUp()
        self.apps = [self.answers(self.answer) for _ in range(2)]
        self.server = self.serve(*self.apps, config=CONFIG)
        self.browser = Browser(self.directory)
        self.addCleanup(self.browser.stop)
        self.url = f"http://{self.server.admin[0]}:{self.server.admin[1]}"

    @staticmethod
    def answer(request):
        tag = request.target.strip("/").split("/")[0] or "none"
        return reply(200, b"hello " + request.target.encode(), ["Cache-Control: max-age=600", f"Surrogate-Key: {tag}", "Content-Type: text/plain"])

    def page(self, token=None):
        page = self.browser.page()
        self.browser.ask("Emulation.setDeviceMetricsOverride", page.session, width=1280, height=900, deviceScaleFactor=1, mobile=False)
        page.go(self.url + "/")
        self.until(page, "document.querySelector('#token')")
        if token:
            self.sign_in(page, token)
            self.until(page, "document.querySelector('nav')")
        return page

    def sign_in(self, page, token):
        page.run(f"document.querySelector('#token').value = {json.dumps(token)}; document.querySelector('form').requestSubmit()")

    def until(self, page, condition, timeout=20):
        return eventually(lambda: page.run(f"return !!({condition})"), timeout, 0.05, condition)

    def show(self, page, name):
        page.run(f"location.hash = '#/{name}'")
        self.until(page, f"document.querySelector('nav [aria-current]')?.getAttribute('href') === '#/{name}'")
        self.until(page, "document.querySelector('main .card')")

    def press(self, page, row, label):
        """Presses a button in the table row that holds `row`, and says yes if it asks."""
        script = f"""return [...document.querySelectorAll('main tr')].find(tr => tr.textContent.includes({json.dumps(row)}) && [...tr.querySelectorAll('button')].some(b => b.textContent === {json.dumps(label)}))"""
        self.until(page, f"(() => {{ {script} }})()")
        page.run(f"const row = (() => {{ {script} }})(); const button = [...row.querySelectorAll('button')].find(b => b.textContent === {json.dumps(label)}); if (button.disabled) throw new Error('disabled'); button.click()")
        time.sleep(0.1)
        page.run("const sure = document.querySelector('main .ask .danger'); if (sure) sure.click()")

    def load(self, seconds):
        end = time.monotonic() + seconds
        count = 0
        while time.monotonic() < end:
            for path in ("/news/1", "/news/2", "/shop/1"):
                self.assertEqual(get(self.server.edge, path).status, 200)
                count += 1
        return count

    def screenshot(self, page, name):
        """Into the folder named by HEADROOM_SCREENSHOTS, if it is."""
        place = os.environ.get("HEADROOM_SCREENSHOTS")
        if place:
            data = self.browser.ask("Page.captureScreenshot", page.session, format="png")["data"]
            pathlib.Path(place, f"{name}.png").write_bytes(base64.b64decode(data))

    def test_signing_in_takes_a_token_for_a_cookie_that_no_script_reads(self):
        page = self.page()
        self.sign_in(page, "wrong")
        self.until(page, "document.querySelector('[role=alert]')")
        self.sign_in(page, self.server.token("viewer"))
        self.until(page, "document.querySelector('.who')?.textContent.includes('viewer')")
        self.assertEqual(page.run("return document.cookie"), "")
        self.assertEqual(page.run("return (await fetch('/api/v1/overview')).status"), 200)
        self.until(page, "document.querySelector('.verdict.good')")
        page.run("[...document.querySelectorAll('button')].find(b => b.textContent === 'Sign out').click()")
        self.until(page, "document.querySelector('#token')")
        self.assertEqual(page.run("return (await fetch('/api/v1/overview')).status"), 401)

    def test_numbers_move_under_load_and_acts_act(self):
        page = self.page(self.server.token("operator"))
        page.run("window.before = Number(document.body.innerText.match(/of ([0-9,]+) requests/)?.[1].replace(',', '') ?? 0)")
        self.load(3)
        self.until(page, "Number(document.body.innerText.match(/of ([0-9,]+) requests/)?.[1].replace(',', '') ?? 0) > 20")
        self.until(page, "document.querySelectorAll('.chart canvas').length >= 2")
        with self.subTest("purge a tag"):
            self.show(page, "cache")
            self.press(page, "news", "Purge")
            eventually(lambda: next(tag for tag in self.server.api("GET", "/api/v1/cache/stats").json()["tags"] if tag["tag"] == "news")["invalidations"] == 1)
        with self.subTest("drain a server"):
            self.show(page, "traffic")
            address = self.server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]["address"]
            self.press(page, address, "Drain")
            state = lambda: self.server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]["state"]  # noqa: E731
            eventually(lambda: state() == "draining")
            self.press(page, address, "Undrain")
            eventually(lambda: state() == "up")
        with self.subTest("retry a dead job"):
            with Faktory(self.server.doors["tasks"], wid="dashboard-test") as worker:
                worker.push("dead-one", retry=-1)
                worker.fetch("default")
                worker.fail("dead-one", message="it broke")
            self.show(page, "tasks")
            self.press(page, "dead-one", "Retry")
            eventually(lambda: self.server.api("GET", "/api/v1/tasks/jobs/dead-one").json()["state"] == "waiting")

    def test_a_viewer_is_refused_each_act(self):
        page = self.page(self.server.token("viewer"))
        self.load(0.5)
        self.show(page, "traffic")
        self.until(page, "[...document.querySelectorAll('main button')].some(b => b.textContent === 'Drain')")
        self.assertTrue(page.run("return [...document.querySelectorAll('main button')].every(b => b.disabled)"))
        for method, path, body in (("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}), ("POST", "/api/v1/upstreams/drain", {"group": "app", "server": "x"}),
                                   ("POST", "/api/v1/tasks/jobs/x/retry", {}), ("GET", "/api/v1/config", None), ("GET", "/api/v1/logs", None), ("POST", "/api/v1/reload", {})):
            init = {"method": method} | ({"headers": {"Content-Type": "application/json"}, "body": json.dumps(body)} if body is not None else {})
            self.assertEqual(page.run(f"return (await fetch({json.dumps(path)}, {json.dumps(init)})).status"), 403, path)

    def test_a_cookie_is_no_use_to_other_sites(self):
        page = self.page(self.server.token("admin"))
        cookies = self.browser.ask("Network.getCookies", page.session, urls=[self.url])["cookies"]
        self.assertEqual([(each["httpOnly"], each["sameSite"]) for each in cookies], [(True, "Strict")])
        header = f"Cookie: {cookies[0]['name']}={cookies[0]['value']}\r\nHost: {self.server.admin[0]}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        for more, status in (("Origin: http://evil.example\r\n", 403), ("Sec-Fetch-Site: cross-site\r\n", 403), ("", 200)):
            connection = Raw(self.server.admin)
            self.addCleanup(connection.close)
            answer = connection.send(f"POST /api/v1/reload HTTP/1.1\r\n{header}{more}\r\n{{}}".encode()).answer()
            self.assertEqual(answer.status, status, (more, answer))
        changed = cookies[0]["value"][:-2] + ("aa" if not cookies[0]["value"].endswith("aa") else "bb")
        self.assertEqual(get(self.server.admin, "/api/v1/overview", {"Cookie": f"{cookies[0]['name']}={changed}"}).status, 401)

    def test_every_page_is_accessible_and_loads_nothing_from_elsewhere(self):
        axe = (installed("axe", AXE) / "node_modules/axe-core/axe.min.js").read_text()
        self.load(1)
        page = self.page(self.server.token("admin"))
        self.browser.ask("Runtime.evaluate", page.session, expression=axe)
        for scheme in ("light", "dark"):
            self.browser.ask("Emulation.setEmulatedMedia", page.session, features=[{"name": "prefers-color-scheme", "value": scheme}])
            for name in PAGES:
                with self.subTest(name, scheme=scheme):
                    self.show(page, name)
                    time.sleep(0.4)
                    self.screenshot(page, f"{name}-{scheme}")
                    found = page.run("return (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary).slice(0, 3)])")
                    self.assertEqual(found, [])
        self.assertEqual(page.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).map(e => e.name)"), [])
        self.browser.ask("Emulation.setDeviceMetricsOverride", page.session, width=390, height=844, deviceScaleFactor=2, mobile=True)
        for name in ("overview", "traffic", "tasks"):
            with self.subTest(name, width=390):
                self.show(page, name)
                time.sleep(0.4)
                self.screenshot(page, f"{name}-phone")
                self.assertLessEqual(page.run("return document.documentElement.scrollWidth"), 390)

    def test_the_page_says_what_it_may_load(self):
        answer = get(self.server.admin, "/", {"Accept": "text/html", "Accept-Encoding": "gzip"})
        self.assertIn("default-src 'none'", answer.field("Content-Security-Policy"))
        self.assertEqual(answer.field("Content-Encoding"), "gzip")
        self.assertIn("/livez", get(self.server.admin, "/").text())
        self.assertEqual(get(self.server.admin, "/dashboard/app.js").status, 406)

    def test_watchers_are_limited_and_those_who_go_make_room(self):
        token = self.server.token("viewer")
        watching = []
        for _ in range(64):
            connection = Raw(self.server.admin)
            self.addCleanup(connection.close)
            connection.send(f"GET /api/v1/live HTTP/1.1\r\nHost: {self.server.admin[0]}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            watching.append(connection)
        eventually(lambda: self.server.api("GET", "/api/v1/live", token=token).status == 503, 10, 0.2)
        for connection in watching:
            connection.close()

        def watches():
            connection = Raw(self.server.admin)
            connection.send(f"GET /api/v1/live HTTP/1.1\r\nHost: {self.server.admin[0]}\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            try:
                return b" 200 " in connection.sock.recv(4096).split(b"\r\n")[0]
            finally:
                connection.close()
        eventually(watches, 20, 0.3)


if __name__ == "__main__":
    unittest.main()
