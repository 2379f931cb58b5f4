"""Jobs that are POSTed to a URL: signed, acknowledged by 2xx, tried again as the server asks, and never sent where they must not go."""

import contextlib
import datetime
import hashlib
import hmac
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

from harness import eventually, request, run
from harness.hub import free_port
from harness.process import environment
from harness.tasks import TaskScenario

SECRET = "a secret of the two"

# What an app does with its jobs, on uvicorn.
ASGI_APP = """
import hashlib, hmac, json, os

jobs, wrong = [], 0

async def app(scope, receive, send):
    global wrong
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    status, answer = 204, b""
    if scope["method"] == "GET":
        status, answer = 200, json.dumps({"jobs": jobs, "wrong": wrong}).encode()
    else:
        said = dict(each.split("=") for each in dict(scope["headers"])[b"headroom-signature"].decode().split(","))
        wanted = hmac.new(os.environ["SECRET"].encode(), said["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        if hmac.compare_digest(wanted, said["v1"]):
            jobs.append(json.loads(body)["jid"])
        else:
            wrong += 1
            status = 401
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", str(len(answer)).encode())]})
    await send({"type": "http.response.body", "body": answer})
"""


class App:
    """A web server of Python's library: answers by `answer(job, request)`: (status, headers)."""

    def __init__(self, answer=lambda job, request: (200, {}), tls=None):
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.body = self.rfile.read(int(self.headers["Content-Length"]))
                with app.lock:
                    app.requests.append(self)
                status, headers = app.answer(json.loads(self.body), self)
                self.send_response(status)
                for name, value in ({"Content-Length": "0"} | headers).items():
                    self.send_header(name, value)
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.answer, self.requests, self.lock = answer, [], threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # who asked may have gone
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def jobs(self):
        with self.lock:
            return [json.loads(request.body) for request in self.requests]

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Push(TaskScenario):
    def app(self, *arguments, **options):
        made = App(*arguments, **options)
        self.addCleanup(made.stop)
        return made

    def start(self, url, more="", allow='["127.0.0.1"]'):
        config = f'[[tasks.push]]\nqueue = "web"\nurl = "{url}"\nsecret = "{SECRET}"\nallow = {allow}\n{more}\n[[tasks.backoffs]]\njobtype = "*"\nbase = "10ms"\nlimit = "50ms"\n'
        self.server = self.tasks(config)
        return self.client(self.server)

    def job(self, jid):
        return self.server.api("GET", f"/api/v1/tasks/jobs/{jid}")

    def test_a_job_is_posted_signed_and_a_2xx_acknowledges_it(self):
        app = self.app()
        client = self.start(f"http://127.0.0.1:{app.port}/jobs?from=headroom")
        jid = client.push(queue="web", jobtype="Mail", args=[{"to": "x"}, "ü"])
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1)
        request, = app.requests
        self.assertEqual((request.path, request.headers["Headroom-Job"], request.headers["Headroom-Job-Type"], request.headers["Headroom-Attempt"]),
                         ("/jobs?from=headroom", jid, "Mail", "1"))
        at, signature = (part.split("=")[1] for part in request.headers["Headroom-Signature"].split(","))
        self.assertLess(abs(int(at) - time.time()), 60)
        self.assertEqual(signature, hmac.new(SECRET.encode(), at.encode() + b"." + request.body, hashlib.sha256).hexdigest())
        self.assertEqual(json.loads(request.body)["args"], [{"to": "x"}, "ü"])
        self.assertNotIn(SECRET, "\n".join(self.server.lines))
        self.assertNotIn(SECRET, self.server.api("GET", "/api/v1/config").text())

    def test_an_app_on_a_real_web_server_checks_the_signature_and_works_the_jobs(self):
        (self.directory / "jobs_app.py").write_text(ASGI_APP)
        port = free_port()
        server = subprocess.Popen([sys.executable, "-m", "uvicorn", "jobs_app:app", "--port", str(port), "--log-level", "warning"], cwd=self.directory,
                                  env=environment(SECRET=SECRET, PYTHONDONTWRITEBYTECODE="1"))

        def end():
            server.terminate()
            server.wait(20)

        self.addCleanup(end)
        client = self.start(f"http://127.0.0.1:{port}/jobs", "at_once = 8")
        jids = {client.push(queue="web", args=[n, "\u00fc" * n]) for n in range(100)}
        eventually(lambda: self.server.api("GET", "/api/v1/tasks/stats").json()["done"] == len(jids), 30)
        done = request(("127.0.0.1", port), "GET", "/done").json()
        self.assertEqual((len(done["jobs"]), set(done["jobs"])), (len(jids), jids))
        self.assertEqual(done["wrong"], 0)

    def test_a_thousand_jobs_come_each_and_not_more_at_once_than_wanted(self):
        now, most, lock = [0], [0], threading.Lock()

        def answer(job, request):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            time.sleep(0.001)
            with lock:
                now[0] -= 1
            return 204, {}

        app = self.app(answer)
        client = self.start(f"http://127.0.0.1:{app.port}/", more="at_once = 4")
        client.ask("PUSHB", [{"jid": f"job-number-{n}", "jobtype": "T", "args": [], "queue": "web"} for n in range(1000)])
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1000, 60)
        self.assertEqual(len({job["jid"] for job in app.jobs()}), 1000)
        self.assertLessEqual(most[0], 4)

    def test_what_fails_is_tried_again_and_retry_after_is_honoured(self):
        answers = [(500, {}), (302, {"Location": "/elsewhere"}), (200, {})]
        app = self.app(lambda job, request: answers.pop(0) if job["jobtype"] == "Flaky" else (429, {"Retry-After": "600"}))
        client = self.start(f"http://127.0.0.1:{app.port}/")
        flaky, busy = client.push(queue="web", jobtype="Flaky"), client.push(queue="web", jobtype="Busy")
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1, 20)
        self.assertEqual([request.headers["Headroom-Attempt"] for request in app.requests if request.headers["Headroom-Job"] == flaky], ["1", "2", "3"])
        self.assertEqual({request.path for request in app.requests}, {"/"})  # the redirect was not followed
        shown = self.job(busy).json()
        self.assertEqual(shown["state"], "retrying")
        due = datetime.datetime.fromisoformat(shown["due"]) - datetime.datetime.now(datetime.timezone.utc)
        self.assertGreater(due.total_seconds(), 500)
        self.assertIn("429", shown["job"]["failure"]["message"])

    def test_private_addresses_are_not_reached_unless_allowed(self):
        app = self.app()
        client = self.start(f"http://localhost:{app.port}/", allow="[]")
        jid = client.push(queue="web", retry=-1)
        eventually(lambda: self.job(jid).json()["state"] == "dead")
        self.assertIn("not public", self.job(jid).json()["job"]["failure"]["message"])
        self.assertEqual(app.requests, [])

    def test_an_app_that_is_away_or_silent_or_talks_nonsense_gets_the_job_once_it_is_well(self):
        hanging = threading.Event()
        ill = [True]

        def answer(job, request):
            if ill[0] and job["jobtype"] == "Silent":
                hanging.wait(30)
            if ill[0] and job["jobtype"] == "Nonsense":
                request.wfile.write(b"\x00\x01 nonsense\r\n\r\n")
                request.connection.close()
            return 200, {}

        app = self.app(answer)
        self.addCleanup(hanging.set)
        client = self.start(f"http://127.0.0.1:{app.port}/", more='timeout = "200ms"')
        jids = [client.push(queue="web", jobtype=kind) for kind in ("Silent", "Nonsense", "Good")]
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1 and all('"failure"' in self.job(jid).text() for jid in jids[:2]))
        ill[0] = False
        hanging.set()
        eventually(lambda: client.info()["faktory"]["total_processed"] == 3, 30)

    def test_an_answer_that_never_ends_holds_up_nobody(self):
        ended = threading.Event()
        self.addCleanup(ended.set)

        def answer(job, request):
            head = b"HTTP/1.1 %d Whatever\r\nTransfer-Encoding: chunked\r\n\r\n"
            try:
                request.wfile.write(head % (200 if job["jobtype"] == "Good" else 500))
                while not ended.wait(0.05):
                    request.wfile.write(b"1\r\nx\r\n")
            except OSError:
                pass  # it has heard enough
            return 200, {}

        app = self.app(answer)
        client = self.start(f"http://127.0.0.1:{app.port}/", more='timeout = "500ms"\nat_once = 1')
        bad = client.push(queue="web", jobtype="Bad", retry=-1)
        good = client.push(queue="web", jobtype="Good")
        eventually(lambda: self.job(bad).json()["state"] == "dead")
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1)
        self.assertEqual(self.job(good).status, 404)

    def test_https_is_verified(self):
        cert, key = (str(self.directory / name) for name in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                        "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
        app = self.app(tls=(cert, key))
        client = self.start(f"https://localhost:{app.port}/", more=f'ca = "{cert}"\n[[tasks.push]]\nqueue = "unknown"\nurl = "https://localhost:{app.port}/"\nallow = ["127.0.0.1"]',
                            allow='["127.0.0.1", "::1"]')
        good, wrong = client.push(queue="web"), client.push(queue="unknown", retry=-1)
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1)
        eventually(lambda: self.job(wrong).json()["state"] == "dead")
        self.assertEqual([job["jid"] for job in app.jobs()], [good])

    def test_a_cancelled_job_is_cut_off_and_the_others_go_on(self):
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        app = self.app(lambda job, request: (200, {"Waited": str(job["jobtype"] == "Long" and hanging.wait(30))}))
        client = self.start(f"http://127.0.0.1:{app.port}/", more="at_once = 1")
        long = client.push(queue="web", jobtype="Long")
        eventually(lambda: self.job(long).json()["state"] == "running")
        client.push(queue="web")
        self.assertEqual(self.server.api("DELETE", f"/api/v1/tasks/jobs/{long}").status, 200)
        eventually(lambda: client.info()["faktory"]["total_processed"] == 1)

    def test_a_kill_in_the_midst_delivers_again_what_was_not_answered(self):
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        app = self.app(lambda job, request: (200, {"Waited": str(hanging.wait(30))}))
        url = f"http://127.0.0.1:{app.port}/"
        client = self.start(url)
        self._config = (self.directory / "headroom.toml").read_text().split("\n", 2)[2]
        jid = client.push(queue="web")
        eventually(lambda: len(app.requests) == 1)
        self.server = self.kill_and_start(self.server)
        hanging.set()
        eventually(lambda: self.job(jid).status == 404)
        self.assertGreaterEqual(len(app.requests), 2)
        self.assertEqual({job["jid"] for job in app.jobs()}, {jid})

    def held(self):
        """An app that answers once `free` is set."""
        free = threading.Event()
        self.addCleanup(free.set)
        return self.app(lambda job, request: (200, {"Waited": str(free.wait(30))})), free

    def test_an_end_of_the_server_lets_what_it_delivers_end(self):
        app, free = self.held()
        client = self.start(f"http://127.0.0.1:{app.port}/", more="at_once = 1")
        self._config = (self.directory / "headroom.toml").read_text().split("\n", 2)[2]
        first, second = client.push(queue="web"), client.push(queue="web")
        eventually(lambda: len(app.requests) == 1)
        self.server.process.terminate()
        self.server.wait_for_line("1 push deliver", timeout=20)
        free.set()
        self.assertEqual(self.server.process.wait(20), 0)
        self.has_ended(self.server)
        self.server = self.tasks(self._config)
        eventually(lambda: self.job(second).status == 404)
        self.assertEqual([job["jid"] for job in app.jobs()], [first, second])

    def test_a_take_over_lets_what_the_old_server_delivers_end(self):
        app, free = self.held()
        client = self.start(f"http://127.0.0.1:{app.port}/", more="at_once = 1")
        config = '[edge]\nenabled = false\n' + (self.directory / "headroom.toml").read_text().split("\n", 2)[2]
        first, second = client.push(queue="web"), client.push(queue="web")
        eventually(lambda: len(app.requests) == 1)
        old = self.server
        same = {f"{section}.listen": "%s:%d" % old.doors[section] for section in ("tasks", "admin")}
        new = self.serve(config=config, arguments=["--take-over"], set=same, wait=False)
        old.wait_for_line("1 push deliver", timeout=20)
        free.set()
        new.wait_ready()
        self.assertEqual(old.process.wait(20), 0)
        self.has_ended(old)
        self.server = new
        eventually(lambda: self.job(second).status == 404)
        self.assertEqual([job["jid"] for job in app.jobs()], [first, second])

    def test_an_app_that_only_says_wait_is_a_failure(self):
        def serve(listening):
            with contextlib.suppress(OSError):
                while True:
                    connection = listening.accept()[0]
                    with connection, contextlib.suppress(OSError):
                        while True:
                            connection.sendall(b"HTTP/1.1 102 Processing\r\n\r\n" * 100)

        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        self.addCleanup(lambda: (listening.shutdown(socket.SHUT_RDWR), listening.close(), thread.join()))
        client = self.start(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        jid = client.push(queue="web", retry=0 - 1)
        eventually(lambda: self.job(jid).json()["state"] == "dead")
        self.assertIn("over and over", self.job(jid).json()["job"]["failure"]["message"])

    def test_wrong_settings_are_refused_without_showing_the_secret(self):
        for wrong, word in (('url = "ftp://x/"', "http"), ('url = "https://user:pw@x/"', "user data"), ('url = "https://x/"\nallow = ["300.1.1.1"]', "allow"), ("", "'url' is required"), ('url = "https://x/"\n[[tasks.push]]\nqueue = "q"\nurl = "https://y/"', "has a url already")):
            done = run("check", self.settings(f'[edge]\nenabled = false\n[[tasks.push]]\nqueue = "q"\nsecret = "{SECRET}"\n{wrong}\n'))
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(word, done.stderr)
            self.assertNotIn(SECRET, done.stderr)
            self.assertNotIn("user:pw", done.stderr)


if __name__ == "__main__":
    unittest.main()
