"""The dashboard in Debian's Chromium: signing in, numbers that move, every act and its refusal to a viewer, no accessibility violations."""

import base64
import json
import os
import pathlib
import sqlite3
import subprocess
import time
import unittest

from harness.browser import Browser
from harness.client import get, request
from harness.edge import EdgeScenario, eventually, reply
from harness.faktory import Faktory
from harness.hub import APP, publish, stalled_reader
from harness.npm import installed
from harness.postgres import Cluster
from harness.raw import Raw

AXE = {"axe-core": ("4.10.3", "sha512-Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg==")}
PAGES = ("overview", "traffic", "cache", "limits", "sql", "realtime", "tasks", "alerts", "system", "settings", "logs", "audit")
CONFIG = """
[[edge.routes]]
name = "shop"
path = "/"
[edge.routes.cache]
ttl_class = "semi_dynamic"
[[limit.rules]]
name = "each-address"
rate = "100000/min"
[monitor.alerting]
interval = "1s"
[[monitor.alerting.rules]]
name = "jobs-waiting"
summary = "Jobs wait for a worker."
metric = "headroom_tasks_jobs"
where = ["state:waiting"]
figure = "max"
windows = ["5s"]
warning = 0.5
for = "0s"
"""


class Browsing(EdgeScenario):
    """A Headroom (`begin`) and a browser to look at its dashboard with."""

    def setUp(self):
        super().setUp()
        self.server = self.begin()
        self.browser = Browser(self.directory)
        self.addCleanup(self.browser.stop)
        self.url = f"http://{self.server.admin[0]}:{self.server.admin[1]}"

    def page(self, token=None):
        page = self.browser.page(alone=True)
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

    def button(self, page, label):
        """Presses a button outside of tables, and says yes if it asks."""
        self.until(page, f"[...document.querySelectorAll('main button')].some(b => b.textContent === {json.dumps(label)} && !b.disabled)")
        page.run(f"[...document.querySelectorAll('main button')].find(b => b.textContent === {json.dumps(label)}).click()")
        time.sleep(0.1)
        page.run("const sure = document.querySelector('main .ask .danger'); if (sure) sure.click()")

    def rows(self, page, label):
        """The text of each row of a table."""
        return page.run(f"return [...document.querySelectorAll('[aria-label={json.dumps(label)}] tbody tr')].map(tr => tr.innerText)")


class Dashboard(Browsing):
    def begin(self):
        self.apps = [self.answers(self.answer) for _ in range(2)]
        return self.serve(*self.apps, config=CONFIG)

    @staticmethod
    def answer(request):
        tag = request.target.strip("/").split("/")[0] or "none"
        if tag == "cookies":
            return reply(200, request.get("cookie", "").encode(), ["Cache-Control: no-store"])
        if tag == "slow":
            time.sleep(0.2)
        if tag == "broken":
            return reply(500, b"no", ["Cache-Control: no-store"])
        return reply(200, b"hello " + request.target.encode(), ["Cache-Control: max-age=600", f"Surrogate-Key: {tag}", "Content-Type: text/plain"])

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

    def test_a_session_that_cannot_be_ended_is_said_to_go_on_and_can_be_ended_later(self):
        page = self.page(self.server.token("viewer"))
        held = sqlite3.connect(self.state_dir / "tokens.db", isolation_level=None)
        self.addCleanup(held.close)
        held.execute("BEGIN IMMEDIATE")  # as a disk that hangs
        sign_out = "[...document.querySelectorAll('button')].find(b => b.textContent === 'Sign out').click()"
        page.run(sign_out)
        self.until(page, "document.querySelector('[role=alert]')?.textContent.includes('still signed in')", 40)
        self.assertEqual(page.run("return (await fetch('/api/v1/overview')).status"), 200)
        held.execute("ROLLBACK")
        page.run(sign_out)
        self.until(page, "document.querySelector('#token')")  # and it recovers
        self.assertEqual(page.run("return (await fetch('/api/v1/overview')).status"), 401)

    def test_a_token_that_is_revoked_ends_the_page_that_is_open(self):
        page = self.page(self.server.token("viewer", "victor"))
        self.until(page, "document.querySelector('.verdict')")
        self.assertEqual(self.server.api("DELETE", "/api/v1/tokens/victor").status, 200)
        self.until(page, "document.querySelector('#token')")

    def test_signing_out_ends_the_session_for_whoever_has_its_cookie_in_every_process(self):
        def cookie():
            answer = request(self.server.admin, "POST", "/api/v1/session", body={"token": token})
            self.assertEqual(answer.status, 201)
            return answer.field("Set-Cookie").split(";")[0]

        def status(server, value):
            return get(server.admin, "/api/v1/overview", {"Cookie": value}).status

        token = self.server.token("operator", "otto")
        stolen, other = cookie(), cookie()
        self.assertEqual((status(self.server, stolen), status(self.server, other)), (200, 200))
        answer = request(self.server.admin, "DELETE", "/api/v1/session", {"Cookie": stolen})
        self.assertEqual((answer.status, "Max-Age=0" in answer.field("Set-Cookie")), (200, True))
        self.assertEqual((status(self.server, stolen), status(self.server, other)), (401, 200))
        self.assertEqual(request(self.server.admin, "DELETE", "/api/v1/session", {"Cookie": stolen}).status, 200)  # nothing to end
        self.assertEqual(self.server.stop(), 0)
        after = self.serve(*self.apps, config=CONFIG)
        self.assertEqual((status(after, stolen), status(after, other)), (401, 200))
        noted = after.api("GET", "/api/v1/audit", token=after.token("admin")).json()["entries"]
        self.assertIn(("otto", "DELETE", "/api/v1/session"), [(each["who"], each["method"], each["path"]) for each in noted])

    def test_numbers_move_under_load_and_acts_act(self):
        page = self.page(self.server.token("operator"))
        page.run("window.before = Number(document.body.innerText.match(/([0-9,]+) requests;/)?.[1].replace(',', '') ?? 0)")
        self.load(3)
        self.until(page, "Number(document.body.innerText.match(/([0-9,]+) requests;/)?.[1].replace(',', '') ?? 0) > 20")
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
        with self.subTest("what was done is told on the overview"):
            self.show(page, "overview")
            self.until(page, f"document.body.innerText.includes('gives a server no new requests (app {address})') && document.body.innerText.includes('drops what has one of the tags (news)')")

    def test_a_plot_falls_to_no_0_at_its_end_where_nothing_has_been_measured_yet(self):
        page = self.page(self.server.token("viewer"))
        self.show(page, "system")
        page.run("""
            const real = window.fetch
            window.fetch = (path, init) => String(path).includes('headroom_edge_all_requests_total')
              ? Promise.resolve(new Response(JSON.stringify({ metric: 'x', kind: 'counter', from: 1700000000, step: 3, points: 6, series: [{ labels: {}, rate: [null, 5, null, 9, 7, null] }] })))
              : String(path).includes('headroom_edge_all_errors_total')
              ? Promise.resolve(new Response(JSON.stringify({ metric: 'x', kind: 'counter', from: 1700000000, step: 3, points: 6, series: [{ labels: {}, rate: [null, null, null, null, null, null] }] })))
              : real(path, init)""")
        self.show(page, "overview")
        self.until(page, "[...document.querySelectorAll('[role=img]')].some(each => each.getAttribute('aria-label').includes('requests: 7 now; errors: 0 now'))")
        self.until(page, "[...document.querySelectorAll('.u-legend')].some(each => each.textContent.replace(/\\s+/g, ' ').match(/requests:? ?7 ?errors:? ?0/))")

    def jobs(self, *names):
        """Dead ones."""
        with Faktory(self.server.doors["tasks"], wid="dashboard-test") as worker:
            for name in names:
                worker.push(name, jobtype="Invoice", args=[{"customer": 4711}], retry=-1)
                worker.fetch("default")
                worker.fail(name, errtype="Timeout", message="the bank is away")

    def state(self, job):
        answer = self.server.api("GET", f"/api/v1/tasks/jobs/{job}")
        return answer.json()["state"] if answer.status == 200 else None

    def test_jobs_are_read_retried_removed_and_their_schedules_paused(self):
        page = self.page(self.server.token("operator"))
        self.jobs("dead-one", "dead-two", "dead-three", "dead-four")
        self.server.api("PUT", "/api/v1/tasks/schedules/digest", {"cron": "* * * * * *", "job": {"jobtype": "Digest", "args": [], "queue": "letters"}})
        self.show(page, "tasks")
        self.until(page, "document.body.innerText.includes('Timeout: the bank is away') && document.body.innerText.includes('4711')")
        self.press(page, "dead-one", "Retry")
        eventually(lambda: self.state("dead-one") == "waiting")
        for name in ("dead-two", "dead-three"):
            page.run(f"document.querySelector('input[aria-label=\"choose {name}\"]').click()")
        self.button(page, "Retry chosen")
        eventually(lambda: (self.state("dead-two"), self.state("dead-three"), self.state("dead-four")) == ("waiting", "waiting", "dead"))
        self.button(page, "Remove all")
        eventually(lambda: self.state("dead-four") is None)
        self.until(page, "[...document.querySelectorAll('main tr')].some(tr => /^digest/.test(tr.textContent) && !tr.textContent.includes('never'))")
        self.press(page, "digest", "Pause")
        eventually(lambda: next(each for each in self.server.api("GET", "/api/v1/tasks/schedules").json()["schedules"] if each["name"] == "digest")["schedule"]["paused"])

    def test_schedules_beyond_the_first_page_are_reached(self):
        page = self.page(self.server.token("operator"))
        for i in range(30):  # 60 KB each: an answer has a MiB of them
            self.server.api("PUT", f"/api/v1/tasks/schedules/later-{i:02}", {"cron": "0 0 1 1 *", "job": {"jobtype": "Later", "args": ["x" * 60_000]}})
        self.show(page, "tasks")
        rows = "[...document.querySelectorAll('[aria-label=\"Schedules\"] tr')].map(tr => tr.textContent).join()"
        self.until(page, f"{rows}.includes('later-00') && !{rows}.includes('later-29')")
        self.button(page, "More")
        self.until(page, f"{rows}.includes('later-29') && !{rows}.includes('later-00')")
        self.button(page, "Previous")
        self.until(page, f"{rows}.includes('later-00')")

    def test_an_alert_is_silenced_and_heard_again(self):
        page = self.page(self.server.token("operator"))
        with Faktory(self.server.doors["tasks"]) as client:
            client.push("waits-long")
        self.show(page, "alerts")
        self.until(page, "[...document.querySelectorAll('main tr')].some(tr => tr.textContent.includes('jobs-waiting') && tr.textContent.includes('fires'))")
        rule = lambda: next(each for each in self.server.api("GET", "/api/v1/alerts").json()["rules"] if each["name"] == "jobs-waiting")  # noqa: E731
        page.run("const long = [...document.querySelectorAll('main select')].find(s => s.value === '1h'); long.value = '8h'; long.dispatchEvent(new Event('change', {bubbles: true}))")
        self.press(page, "jobs-waiting", "Silence")
        eventually(lambda: (rule()["silenced_until"] or 0) > time.time() + 7 * 3600)
        self.press(page, "jobs-waiting", "End silence")
        eventually(lambda: rule()["silenced_until"] is None)
        self.until(page, "document.querySelector('[aria-label=\"History\"]')?.textContent.includes('jobs-waiting')")

    def test_the_overview_says_in_words_what_the_figures_mean(self):
        page = self.page(self.server.token("viewer"))
        for _ in range(20):
            self.assertEqual(get(self.server.edge, "/broken").status, 500)
        for _ in range(8):
            self.assertEqual(get(self.server.edge, "/slow").status, 200)
        self.until(page, "/The slowest route is shop: its p99 of \\d+ ms is \\d\\d+ % the app.s own time to its first byte/.test(document.body.innerText)")
        self.until(page, "document.body.innerText.includes('20 of 28 requests have failed; 20 of them on route shop, answered 5xx.')")
        self.show(page, "traffic")
        self.until(page, "[...document.querySelectorAll('main tr')].some(tr => tr.textContent.startsWith('shop') && tr.textContent.includes('71.43 %'))")

    def test_the_audit_log_tells_who_did_what_and_what_was_refused(self):
        if "/api/v1/audit" not in get(self.server.admin, "/openapi.json").text():
            self.skipTest("this server keeps no audit log yet")
        self.server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}, token=self.server.token("operator", "otto"))
        self.assertEqual(self.server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}, token=self.server.token("viewer", "vera")).status, 403)
        page = self.page(self.server.token("admin"))
        self.show(page, "audit")
        for who, result in (("otto", "done (200)"), ("vera", "refused (403)")):
            eventually(lambda: any(who in row and "/api/v1/cache/clear-tags" in row and result in row for row in self.rows(page, "Audit log")), 20, 0.2)
        other = self.page(self.server.token("operator"))
        self.assertEqual(other.run("return (await fetch('/api/v1/audit')).status"), 403)

    def test_who_comes_back_again_and_again_finds_plots_each_time(self):
        self.load(1)
        page = self.page(self.server.token("viewer"))
        for _ in range(9):  # more than a browser has connections for one address
            page.go("about:blank")
            page.go(self.url + "/")
            self.until(page, "document.querySelectorAll('.chart canvas').length >= 2", 10)

    def test_the_keyboard_is_enough(self):
        page = self.page(self.server.token("operator"))
        self.load(0.3)

        def key(name, code):
            for kind in ("keyDown", "keyUp"):
                self.browser.ask("Input.dispatchKeyEvent", page.session, type=kind, key=name, code=name, windowsVirtualKeyCode=code, **({"text": "\r"} if name == "Enter" and kind == "keyDown" else {}))
        focus = lambda: page.run("return document.activeElement.textContent.trim()")  # noqa: E731
        key("Tab", 9)
        self.assertEqual(focus(), "Skip to the page")
        key("Enter", 13)
        self.assertEqual(page.run("return document.activeElement.id"), "main")
        page.run("document.activeElement.blur(); window.getSelection().removeAllRanges()")
        page.run("document.querySelector('.skip').focus()")
        for _ in range(2):
            key("Tab", 9)
        self.assertEqual(focus(), "Traffic")
        self.assertNotEqual(page.run("return getComputedStyle(document.activeElement).outlineStyle"), "none")
        key("Enter", 13)
        self.until(page, "[...document.querySelectorAll('main button')].some(b => b.textContent === 'Drain')")
        page.run("document.getElementById('main').focus()")
        for _ in range(12):
            key("Tab", 9)
            if focus() == "Drain":
                break
        self.assertEqual(focus(), "Drain")
        key("Enter", 13)
        self.until(page, "document.activeElement.textContent === 'Yes'")
        key("Enter", 13)
        eventually(lambda: "draining" in [each["state"] for each in self.server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]])

    def test_a_viewer_is_refused_each_act(self):
        page = self.page(self.server.token("viewer"))
        self.load(0.5)
        self.show(page, "traffic")
        self.until(page, "[...document.querySelectorAll('main button')].some(b => b.textContent === 'Drain')")
        self.assertTrue(page.run("return [...document.querySelectorAll('main button')].every(b => b.disabled)"))
        self.jobs("dead-one")
        for name, label in (("cache", "Purge"), ("tasks", "Retry"), ("tasks", "Retry all"), ("alerts", "Silence")):
            with self.subTest(name, label=label):
                self.show(page, name)
                self.until(page, f"[...document.querySelectorAll('main button')].some(b => b.textContent === {json.dumps(label)})")
                self.assertTrue(page.run("return [...document.querySelectorAll('main button, main input[type=checkbox]')].every(b => b.disabled)"))
        for name in ("settings", "logs", "audit"):
            self.show(page, name)
            self.until(page, "document.querySelector('main').innerText.includes('role')")
        for method, path, body in (("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}), ("POST", "/api/v1/upstreams/drain", {"group": "app", "server": "x"}),
                                   ("POST", "/api/v1/tasks/jobs/dead-one/retry", {}), ("POST", "/api/v1/tasks/sweep", {"act": "remove", "set": "dead"}), ("POST", "/api/v1/alerts/cpu/silence", {"for": "1h"}),
                                   ("DELETE", "/api/v1/alerts/cpu/silence", None), ("GET", "/api/v1/config", None), ("GET", "/api/v1/logs", None), ("POST", "/api/v1/reload", {})):
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

    def test_the_app_never_sees_the_session_though_browsers_send_it(self):
        session = "headroom_session=abc.def-1=="
        for sent, seen in ((f"a=1; {session}; b=2", "a=1; b=2"), (f"{session}; b=2", "b=2"), (f"a=1;{session}", "a=1"), (f"a=1;{session};b=2;c", "a=1;b=2;c"), (session, ""), (f"{session};{session}", ""),
                           (f" a=1 ;  {session} ; x_headroom_session=3", "a=1; x_headroom_session=3"), ("a=1; b=2", "a=1; b=2"), ("a=headroom_session=1", "a=headroom_session=1")):
            with self.subTest(sent):
                answer = get(self.server.edge, "/cookies/x", {"Cookie": sent, "Cache-Control": "no-store"})
                self.assertEqual(answer.status, 200)
                self.assertEqual(answer.text().replace("; ", ";"), seen.replace("; ", ";"))
        body = [{"path": "/cookies/y"}]
        self.assertNotIn("headroom_session", request(self.server.edge, "POST", "/_headroom/batch", {"Cookie": f"a=1; {session}"}, body).text())

    def test_every_page_is_accessible_and_loads_nothing_from_elsewhere(self):
        axe = (installed("axe", AXE) / "node_modules/axe-core/axe.min.js").read_text()
        self.load(1)
        self.jobs("dead-one")
        for name in ("waits-one", "waits-two"):
            self.server.api("POST", "/api/v1/tasks", {"jid": name, "jobtype": "Invoice", "args": [1]})
        page = self.page(self.server.token("admin"))
        self.browser.ask("Runtime.evaluate", page.session, expression=axe)
        page.run("window.broken = []; document.addEventListener('securitypolicyviolation', e => broken.push(e.violatedDirective))")
        for scheme in ("light", "dark"):
            self.browser.ask("Emulation.setEmulatedMedia", page.session, features=[{"name": "prefers-color-scheme", "value": scheme}])
            for name in PAGES:
                with self.subTest(name, scheme=scheme):
                    self.show(page, name)
                    time.sleep(0.4)
                    self.screenshot(page, f"{name}-{scheme}")
                    found = page.run("return (await axe.run(document, {resultTypes: ['violations']})).violations.map(v => [v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary).slice(0, 3)])")
                    self.assertEqual(found, [])
        self.assertEqual(page.run("return broken"), [])
        self.assertEqual(page.run("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith(location.origin)).map(e => e.name)"), [])
        page.run("const inline = document.createElement('script'); inline.textContent = 'window.evil = 1'; document.body.append(inline); new Image().src = 'http://example.com/x'")
        self.until(page, "broken.length === 2")
        self.assertIsNone(page.run("return window.evil"))
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


class Database(Browsing):
    def begin(self):
        self.cluster = Cluster(1)
        self.addCleanup(self.cluster.remove)
        server = self.headroom([self.upstream()], arguments=["--postgres", self.cluster.urls["primary"], "--replica", self.cluster.urls["replica1"], "--set", "sql.listen=127.0.0.1:0"])
        self.sql = self.cluster.urls["primary"].replace(f":{self.cluster.port}/", ":%d/" % server.doors["sql"][1])
        return server

    def psql(self, *statements):
        subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.sql, *[part for each in statements for part in ("-c", each)]], check=True, capture_output=True, timeout=30)

    def test_pools_servers_and_the_plan_of_a_slow_query_are_read(self):
        self.psql("CREATE TABLE shelf (id int PRIMARY KEY, title text)", "INSERT INTO shelf SELECT n, 'book ' || n FROM generate_series(1, 2000) n", "SELECT pg_sleep(0.2)",
                  "SELECT count(*) FROM shelf WHERE title = 'book 7'")
        viewer = self.page(self.server.token("viewer"))
        self.show(viewer, "sql")
        for label, wanted in (("Pools", "nobody waits"), ("Servers", "replica"), ("Slow queries", "pg_sleep")):
            with self.subTest(label):
                eventually(lambda: any(wanted in row for row in self.rows(viewer, label)), 20, 0.2)
        if "/api/v1/database/slow-queries/{id}/explain" not in get(self.server.admin, "/openapi.json").text():
            self.skipTest("this server has no plans yet")
        found = lambda: next(each for each in self.server.api("GET", "/api/v1/database/slow-queries").json()["slow_queries"] if "shelf" in each["query"] and "count" in each["query"])  # noqa: E731
        path = f"/api/v1/database/slow-queries/{found()['id']}/explain"
        self.until(viewer, "[...document.querySelectorAll('main button')].some(b => b.textContent === 'Plan')")
        self.assertTrue(viewer.run("return [...document.querySelectorAll('main button')].filter(b => b.textContent === 'Plan').every(b => b.disabled)"))
        self.assertEqual(viewer.run(f"return (await fetch({json.dumps(path)}, {{method: 'POST'}})).status"), 403)
        admin = self.page(self.server.token("admin"))
        self.show(admin, "sql")
        self.press(admin, "FROM shelf WHERE", "Plan")
        self.until(admin, "document.querySelector('main pre')?.textContent.includes('Seq Scan on shelf')")
        self.assertEqual(found()["calls"], 1, "a plan runs nothing")

    def test_a_page_of_a_database_that_is_away_says_so_and_it_recovers(self):
        self.psql("SELECT 1")
        page = self.page(self.server.token("viewer"))
        self.show(page, "sql")
        eventually(lambda: self.rows(page, "Servers"), 20, 0.2)
        self.cluster.kill("replica1")
        eventually(lambda: any("nothing" in row for row in self.rows(page, "Servers")), 30, 0.3)
        self.psql("SELECT 2")


class Channels(Browsing):
    def begin(self):
        return self.serve(self.answers(lambda request: reply(200, b"app")), config=APP)

    def test_an_admin_watches_a_channel_as_it_is_published_on(self):
        page = self.page(self.server.token("admin"))
        self.show(page, "realtime")
        reader = stalled_reader(self, self.server, "orders")
        self.until(page, "[...document.querySelectorAll('main tr')].some(tr => tr.textContent.includes('orders'))")
        self.press(page, "orders", "Inspect")
        self.button(page, "Watch")
        self.until(page, "document.querySelector('main [role=status]')?.textContent.includes('watching')")
        publish(self.server, "orders", "paid", {"order": 4711})
        self.until(page, "document.querySelector('[aria-label=Messages] tbody')?.textContent.includes('4711')")
        self.button(page, "Stop")
        publish(self.server, "orders", "paid", {"order": 4712})
        reader.close()
        time.sleep(0.3)
        self.assertNotIn("4712", page.run("return document.querySelector('main').innerText"))
        for role in ("viewer", "operator"):
            other = self.page(self.server.token(role))
            self.show(other, "realtime")
            self.until(other, "document.querySelector('main').innerText.includes('needs the role admin')")
            self.assertEqual(other.run("return (await fetch('/api/v1/realtime/watch?app=shop&channel=orders')).status"), 403)


if __name__ == "__main__":
    unittest.main()
