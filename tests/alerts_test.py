"""Alerts: an incident is told once and resolved once, over restarts and a deaf receiver; silences; recorded series; the same rules in Prometheus."""

import json
import pathlib
import shutil
import sqlite3
import subprocess
import threading
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import run
from harness.client import get
from harness.edge import EdgeScenario, eventually, reply
from harness.scenario import Scenario

HERE = pathlib.Path(__file__).resolve().parent


class Receiver:
    """Takes webhooks; answers with `status`."""

    def __init__(self):
        receiver = self
        self.bodies, self.status, self.tries = [], 200, 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.tries += 1
                if receiver.status == 200:
                    receiver.bodies.append(body)
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def alerts(self, name):
        return [(alert["status"], alert["labels"]["severity"]) for body in self.bodies for alert in body["alerts"] if alert["labels"]["alertname"] == name]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Alerts(EdgeScenario):
    _end = Scenario._end

    def setUp(self):
        super().setUp()
        self.status = 200
        self.app = self.answers(lambda request: reply(self.status, b"x"))
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)

    def begin(self, shape="alertmanager", **options):
        return self.serve(self.app, config=f"""
[monitor.alerting]
standard = false
interval = "1s"
webhook = "{self.receiver.url}"
shape = "{shape}"
[[monitor.alerting.rules]]
name = "errors"
summary = "Requests fail."
metric = "headroom_edge_all_errors_total"
of = "headroom_edge_all_requests_total"
figure = "share"
windows = ["5s"]
critical = 1
for = "2s"
keep_firing = "2s"
[[monitor.alerting.rules]]
name = "symptom"
metric = "headroom_edge_all_errors_total"
figure = "rate"
windows = ["5s"]
warning = 0.1
for = "3s"
keep_firing = "1s"
depends_on = ["errors"]
""", **options)

    def ask(self, server, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            get(server.edge, "/")
            time.sleep(0.05)

    def until(self, server, state, name="errors", timeout=25):
        def now():
            get(server.edge, "/")
            rules = {rule["name"]: rule for rule in server.api("GET", "/api/v1/alerts").json()["rules"]}
            return rules[name]["state"] == state
        eventually(now, timeout, 0.1, f"{name} is {state}")

    def test_an_incident_is_told_once_and_resolved_once_over_a_restart_and_a_deaf_receiver(self):
        server = self.begin()
        self.until(server, "ok")
        self.ask(server, 2)
        self.assertEqual(self.receiver.bodies, [])
        self.receiver.status = 500
        self.status = 500
        self.until(server, "firing")
        eventually(lambda: self.receiver.tries > 1, 20, 0.1)
        self.assertEqual(server.stop(), 0)
        again = self.begin()
        self.until(again, "firing")
        self.receiver.status = 200
        eventually(lambda: self.receiver.alerts("errors"), 40, 0.1)
        self.assertEqual(self.receiver.alerts("errors"), [("firing", "critical")])
        self.assertEqual(self.receiver.alerts("symptom"), [])  # the other one explains it
        self.status = 200
        self.until(again, "ok")
        eventually(lambda: len(self.receiver.alerts("errors")) == 2, 30, 0.1)
        self.assertEqual(self.receiver.alerts("errors")[1][0], "resolved")
        body = self.receiver.bodies[0]
        self.assertEqual((body["version"], body["status"], body["alerts"][0]["annotations"]["summary"]), ("4", "firing", "Requests fail."))
        history = again.api("GET", "/api/v1/alerts").json()["history"]
        self.assertEqual([each["what"] for each in history if each["name"] == "errors"], ["resolved", "fired"])

    def test_a_silenced_alert_is_told_to_nobody_until_the_silence_ends(self):
        server = self.begin(shape="slack")
        self.until(server, "ok")
        self.assertEqual(server.api("POST", "/api/v1/alerts/errors/silence", {"for": "1h"}, token=server.token("viewer")).status, 403)
        self.assertEqual(server.api("POST", "/api/v1/alerts/nothing/silence", {"for": "1h"}).status, 404)
        self.assertEqual(server.api("POST", "/api/v1/alerts/errors/silence", {"for": "a while"}).status, 400)
        self.assertEqual(server.api("POST", "/api/v1/alerts/errors/silence", {"for": "1h"}).status, 200)
        self.status = 500
        self.until(server, "firing")
        self.ask(server, 2)
        self.assertEqual(self.receiver.bodies, [])
        self.assertEqual(server.api("DELETE", "/api/v1/alerts/errors/silence").status, 200)
        eventually(lambda: (self.ask(server, 0.1), self.receiver.bodies)[1], 20, 0.1)
        self.assertIn("*errors* fired (critical): Requests fail.", self.receiver.bodies[0]["text"])

    def test_a_reload_changes_rules_and_routes_and_keeps_what_fires_and_what_is_silenced(self):
        server = self.begin()
        self.until(server, "ok")
        self.status = 500
        self.until(server, "firing")
        eventually(lambda: self.receiver.alerts("errors"), 20, 0.1)
        self.assertEqual(server.api("POST", "/api/v1/alerts/symptom/silence", {"for": "1h"}).status, 200)
        other = Receiver()
        self.addCleanup(other.stop)
        config = (self.directory / "headroom.toml").read_text().replace(self.receiver.url, other.url).replace("Requests fail.", "Said otherwise.")
        self.reload(server, config + '[[monitor.alerting.rules]]\nname = "more"\nmetric = "headroom_edge_all_requests_total"\nfigure = "rate"\nwarning = 0\nfor = "1s"\n')
        self.until(server, "firing", "more")
        eventually(lambda: other.alerts("more"), 20, 0.1)
        rules = {rule["name"]: rule for rule in server.api("GET", "/api/v1/alerts").json()["rules"]}
        self.assertEqual((rules["errors"]["state"], rules["errors"]["summary"]), ("firing", "Said otherwise."))
        self.assertIsNotNone(rules["symptom"]["silenced_until"])
        self.assertEqual((len(self.receiver.alerts("errors")), other.alerts("errors")), (1, []))  # not told again
        self.status = 200
        eventually(lambda: (self.ask(server, 0.1), other.alerts("errors"))[1], 30, 0.1)
        self.assertEqual(other.alerts("errors"), [("resolved", "critical")])
        wrong = config.replace(other.url, "ftp://nowhere")
        self.reload(server, wrong)
        self.assertTrue(any("webhook" in line and "nothing changed" in line for line in server.lines), server.lines[-5:])

    def test_what_fires_before_there_is_a_webhook_is_told_once_there_is_one(self):
        server = self.begin()
        config = (self.directory / "headroom.toml").read_text()
        self.reload(server, config.replace(f'webhook = "{self.receiver.url}"', 'webhook = ""'))
        self.status = 500
        self.until(server, "firing")
        self.assertEqual(self.receiver.bodies, [])
        self.reload(server, config)
        eventually(lambda: (self.ask(server, 0.1), self.receiver.alerts("errors"))[1], 20, 0.1)
        self.assertEqual(self.receiver.alerts("errors"), [("firing", "critical")])

    def test_alerts_that_are_turned_off_are_resolved_for_who_was_told(self):
        for over in ("a reload", "a restart"):
            with self.subTest(over):
                self.receiver.bodies.clear()
                self.status = 500
                server = self.begin()
                self.until(server, "firing")
                eventually(lambda: (self.ask(server, 0.1), self.receiver.alerts("errors"))[1], 20, 0.1)
                off = (self.directory / "headroom.toml").read_text().replace("standard = false", "standard = false\nenabled = false")
                if over == "a reload":
                    self.reload(server, off)
                else:
                    self.assertEqual(server.stop(), 0)
                    server = self.serve(self.app, config=off)
                eventually(lambda: len(self.receiver.alerts("errors")) == 2, 20, 0.1)
                self.assertEqual(self.receiver.alerts("errors")[1][0], "resolved")
                self.assertEqual(server.stop(), 0)

    def test_what_nobody_took_for_a_day_is_dropped_and_the_rest_is_told(self):
        server = self.begin()
        self.assertEqual(server.stop(), 0)
        now = int(time.time())
        with sqlite3.connect(self.state_dir / "alerts.db") as file:
            for name, at in (("old", now - 90000), ("young", now - 60)):
                file.execute("INSERT INTO events(at, name, change, severity, value, began, summary, to_tell) VALUES (?, ?, 0, 2, 1, ?, 'x', 1)", (at, name, at))
        file.close()
        server = self.begin()
        eventually(lambda: self.receiver.alerts("young"), 20, 0.1)
        self.assertEqual(self.receiver.alerts("old"), [])
        self.assertTrue(any("1 alert could not be sent for a day" in line for line in server.lines))

    def test_a_file_of_alerts_that_cannot_be_opened_is_tried_again_and_then_all_is_told(self):
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "alerts.db").mkdir()
        server = self.begin()
        self.assertEqual(get(server.admin, "/readyz").status, 200)
        self.status = 500
        self.ask(server, 3)
        self.assertEqual(server.api("GET", "/api/v1/alerts").status, 503)
        self.assertIn("alerts.db", server.api("GET", "/api/v1/overview").text())
        (self.state_dir / "alerts.db").rmdir()
        eventually(lambda: (self.ask(server, 0.1), self.receiver.alerts("errors"))[1], 30, 0.1)  # and it recovers
        self.assertEqual(self.receiver.alerts("errors"), [("firing", "critical")])

    def test_recorded_series_tell_what_they_should(self):
        for file in sorted((HERE / "alerts").glob("*.json")):
            done = run("alerts", "test", file)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        wrong = self.directory / "wrong.json"
        wrong.write_text(json.dumps({"tests": [{"alert": "cpu", "values": [{"value": 0.99, "times": 100}], "expect": []}]}))
        self.assertEqual(run("alerts", "test", wrong).returncode, 1)
        for text in ("{", '{"tests": [{"alert": "no-such", "values": [], "expect": []}]}', '{"tests": [{"alert": "cpu", "values": ["x"], "expect": []}]}'):
            wrong.write_text(text)
            self.assertEqual(run("alerts", "test", wrong).returncode, 2, text)

    def test_rules_that_could_never_fire_are_refused_by_name(self):
        rule = '[[monitor.alerting.rules]]\nname = "mine"\nwarning = 1\n'
        for text, said in ((rule + 'metric = "headroom_edge_all_erors_total"\n', "there is no metric 'headroom_edge_all_erors_total'"),
                           (rule + 'metric = "headroom_edge_all_errors_total"\nfigure = "p95"\n', "'headroom_edge_all_errors_total' is a counter, which has no p95"),
                           (rule + 'metric = "headroom_edge_requests_total"\nfigure = "rate"\nwhere = ["rout:a"]\n', "has no label 'rout'; it has route, class"),
                           (rule + 'metric = "headroom_edge_request_seconds"\ndepends_on = ["databse-down"]\n', "there is no rule of the name 'databse-down'"),
                           (rule + 'metric = "headroom_edge_request_seconds"\ndepends_on = ["other"]\n' + rule.replace("mine", "other") + 'metric = "headroom_edge_request_seconds"\ndepends_on = ["mine"]\n', "leads back to the rule itself"),
                           ('[monitor.alerting]\noff = ["cpus"]\n', "there is no rule of the name 'cpus'"),
                           ('[[monitor.objectives]]\nname = "mine"\nmost = "1s"\nmetric = "headroom_edge_all_errors_total"\n', "is a counter"),
                           ('[monitor.alerting]\nwebhook = "ftp://me:HOOKPW@nowhere"\n', "expected an http:// or https:// URL")):
            wrong = self.directory / "wrong.toml"
            wrong.write_text(text)
            done = run("check", wrong)
            self.assertEqual(done.returncode, 2, text)
            self.assertIn(said, done.stderr)
            self.assertNotIn("HOOKPW", done.stderr)

    def test_the_webhooks_address_is_shown_to_nobody(self):
        secret = "/services/T0/B0/HOOKSECRET"
        server = self.serve(self.app, config=f'[monitor.alerting]\nwebhook = "{self.receiver.url}{secret}"\n')
        self.reload(server, f'[monitor.alerting]\nwebhook = "{self.receiver.url}{secret}2"\n')
        self.assertTrue(any("monitor.alerting.webhook" in line for line in server.lines))
        shown = server.api("GET", "/api/v1/config", token=server.token("admin")).text() + server.api("GET", "/api/v1/now").text() + "".join(server.lines)
        self.assertIn("monitor.alerting.webhook", shown)
        self.assertNotIn("HOOKSECRET", shown)

    def test_prometheus_takes_rules_whatever_their_texts_hold(self):
        odd = self.directory / "odd.toml"
        odd.write_text("""[[monitor.alerting.rules]]
name = "it's \\"odd\\""
summary = "{{ $labels.route }} isn't: {{nothing}}"
metric = "headroom_edge_requests_total"
where = ['route:a"}) or \\d{1', "class:5xx"]
figure = "rate"
warning = 1
""")
        rules = self.directory / "rules.yml"
        done = run("export", "prometheus-rules", "--config", odd)
        self.assertEqual(done.returncode, 0, done.stderr)
        rules.write_text(done.stdout)
        done = subprocess.run([shutil.which("promtool"), "check", "rules", rules], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_prometheus_takes_the_rules(self):
        rules = self.directory / "rules.yml"
        rules.write_text(run("export", "prometheus-rules").stdout)
        self.assertIn("severity: critical", rules.read_text())
        done = subprocess.run([shutil.which("promtool"), "check", "rules", rules], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
