"""Servers that die, refuse, hang and come back: no idempotent request fails while one can answer, nothing is sent twice that must not be."""

import signal
import subprocess
import sys
import threading
import unittest

from harness.edge import EdgeScenario, ask, eventually, metric, reply, servers

# An application as a process of its own, to be killed for real.
APP = """
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    def do_GET(self):
        body = b"x" * 500
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
    def log_message(self, *_):
        pass
class Server(ThreadingHTTPServer):
    request_queue_size = 512
server = Server(("127.0.0.1", int(sys.argv[1])), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def group(*upstreams, **options):
    lines = ["[[edge.upstreams]]", 'name = "app"', f"servers = {servers(*upstreams)}"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
    return "\n".join(lines) + "\n"


class Failures(EdgeScenario):
    def process(self, port=0):
        made = subprocess.Popen([sys.executable, "-c", APP, str(port)], stdout=subprocess.PIPE, text=True)
        self.addCleanup(made.stdout.close)
        self.addCleanup(made.wait)
        self.addCleanup(made.kill)
        made.port = int(made.stdout.readline())
        made.url = f"http://127.0.0.1:{made.port}"
        return made

    def test_one_of_three_is_killed_under_load(self):
        apps = [self.process() for _ in range(3)]
        server = self.serve(config=group(*apps, fail_timeout="500ms"))
        load = self.load(server, connections=12)
        load.wait_for(600)
        for i in range(3):
            victim = apps[i]
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            load.wait_for(600)
            apps[i] = self.process(victim.port)
            load.wait_for(600)
        load.stop()
        self.assertEqual(load.failures, [])

    def test_all_down_and_one_comes_back(self):
        apps = [self.answers(lambda request: b"ok") for _ in range(3)]
        server = self.serve(config=group(*apps, fail_timeout="500ms"))
        self.assert_serves(server)
        for app in apps:
            app.stop()
        for _ in range(20):
            answer = ask(server.edge, fields=["Accept: application/json"])
            self.assertIn(answer.status, (502, 503))
            self.assertTrue(answer.has("retry-after") and answer.has("x-request-id"), answer)
            self.assertEqual(answer.get("content-type"), "application/json")
        apps[1].start()
        eventually(lambda: ask(server.edge).status == 200, what="it recovers by itself")
        for _ in range(50):
            self.assert_serves(server)

    def test_a_lone_server_restarts(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app)
        for _ in range(5):
            self.assert_serves(server)
            app.stop()
            self.assertIn(ask(server.edge).status, (502, 503))
            app.start()
            self.assert_serves(server)  # at once: there is nobody else to ask

    def test_a_post_is_never_sent_twice(self):
        """Whatever the server does with it, and on whatever connection."""
        def script(connection):
            while request := connection.read():
                if request.target == "/warm":
                    connection.send(reply(200, b"ok"))
                elif request.target == "/reset":
                    return connection.reset()
                else:
                    return None
            return None

        apps = [self.script(script) for _ in range(3)]
        server = self.serve(config=group(*apps, max_fails=0), set={"server.workers": 1})
        for target in ("/close", "/reset"):
            for method, fields, body in (("POST", (), b"x"), ("PATCH", (), b"x"), ("POST", (), b"x" * 100000), ("WHATEVER", (), None),
                                         ("POST", ("Transfer-Encoding: chunked",), None)):
                for _ in range(3):
                    ask(server.edge, target="/warm")  # so that a kept connection is there
                before = sum(len(app.connections) for app in apps)
                seen = sum(request.method == method for app in apps for request in app.requests)
                client = self.client(server).request(method, target, fields, body)
                if fields:
                    client.send(b"1\r\nx\r\n0\r\n\r\n")
                self.assertEqual(client.answer().status, 502)
                after = sum(request.method == method for app in apps for request in app.requests)
                self.assertEqual(after - seen, 1, (method, target, before))

    def test_idempotent_ones_are(self):
        bad = self.script(lambda connection: connection.read() and None)
        good = self.answers(lambda request: request.body or b"ok")
        server = self.serve(config=group(bad, good, balance="round_robin", max_fails=0, retry_budget=1.0))
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            for _ in range(4):
                answer = ask(server.edge, method, body=b"small" if method == "PUT" else None)
                self.assertEqual(answer.status, 200, method)
                if method == "PUT":
                    self.assertEqual(answer.body, b"small")
        self.assertGreater(len(bad.requests), 5)

    def test_a_refused_connection_is_retried_whatever_the_method(self):
        dead = self.script()
        dead.stop()
        good = self.answers(lambda request: request.body)
        server = self.serve(config=group(dead, good, balance="round_robin", max_fails=0))
        for body in (b"small", b"x" * 300000):
            for _ in range(6):
                answer = ask(server.edge, "POST", body=body)
                self.assertEqual((answer.status, answer.body), (200, body))

    def test_a_kept_connection_that_the_server_has_closed_costs_nothing(self):
        """The server closes idle connections as it likes; POST as well as GET go to a fresh one."""
        def script(connection):
            for _ in range(2):
                request = connection.read()
                if request is None:
                    return
                connection.send(reply(200, b"ok"))

        app = self.script(script)
        server = self.serve(app)
        for i in range(60):
            self.assertEqual(ask(server.edge, "POST" if i % 3 else "GET", body=b"x" if i % 3 else None).status, 200)
            # Until the close can be seen: a request that crosses it on its way is lost, and a POST is not sent again.
            eventually(lambda: all(each.ended.is_set() for each in app.connections if len(each.requests) == 2))

    def test_the_retry_budget_bounds_what_failures_cost(self):
        """When everything fails, servers see 20 % more requests, not three times as many."""
        apps = [self.script(lambda connection: connection.read() and None) for _ in range(3)]
        server = self.serve(config=group(*apps, max_fails=0), set={"server.workers": 1})
        for _ in range(200):
            self.assertEqual(ask(server.edge).status, 502)
        seen = sum(len(app.requests) for app in apps)
        self.assertGreaterEqual(seen, 210)
        self.assertLessEqual(seen, 200 + 200 * 0.2 + 11)

    def test_passive_ejection_and_return(self):
        bad_now = threading.Event()
        bad_now.set()

        def script(connection):
            while request := connection.read():
                if bad_now.is_set():
                    return
                connection.send(reply(200, b"bad is good"))

        bad = self.script(script)
        good = self.answers(lambda request: b"good")
        server = self.serve(config=group(bad, good, balance="round_robin", max_fails=3, fail_timeout="2s", max_fail_timeout="2s", retry_budget=1.0))
        for _ in range(40):
            self.assertEqual(ask(server.edge).status, 200)
        self.assertLess(len(bad.requests), 8)
        states = {each["address"]: each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]}
        self.assertEqual(states, {bad.url: "ejected", good.url: "up"})
        bad_now.clear()
        eventually(lambda: ask(server.edge).body == b"bad is good", what="the server is used again")

    def test_at_most_the_configured_share_is_taken_out(self):
        bad = [self.script(lambda connection: connection.read() and None) for _ in range(3)]
        good = self.answers(lambda request: b"good")
        server = self.serve(config=group(*bad, good, balance="round_robin", max_ejected=0.5, retries=3, retry_budget=10.0))
        for _ in range(100):
            self.assertEqual(ask(server.edge).status, 200)
        states = [each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]]
        self.assertEqual(states.count("ejected"), 2, states)

    def test_clients_cannot_get_a_server_taken_out(self):
        """What a client breaks off, or says wrongly, is no failure of the server's."""
        app = self.script()
        other = self.script()
        server = self.serve(config=group(app, other, max_fails=1))
        for _ in range(5):
            for data in (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
                         b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhello",
                         b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
                client = self.client(server).send(data)
                eventually(lambda: b"hello" in app.received() + other.received())
                client.reset()
        eventually(lambda: app.open() + other.open() == 0)
        states = [each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]]
        self.assertEqual(states, ["up", "up"])
        self.assertEqual(metric(server, "headroom_edge_upstream_failures_total"), 0)


class Health(EdgeScenario):
    def checked(self, script, **options):
        app = self.script(script)
        other = self.answers(lambda request: b"other")
        extra = "".join(f"{name} = {value!r}\n".replace("'", '"') for name, value in options.items())
        config = group(app, other, balance="round_robin") + f'[edge.upstreams.health]\npath = "/health"\ninterval = "100ms"\ntimeout = "500ms"\n{extra}'
        return app, self.serve(config=config)

    def state(self, server):
        return server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]

    def test_checks_take_out_and_bring_back(self):
        status = [200]

        def script(connection):
            while request := connection.read():
                connection.send(reply(status[0] if request.target == "/health" else 200, b"app"))
                if request.get("connection") == "close":
                    return

        app, server = self.checked(script, rise=2, fall=2)
        load = self.load(server, connections=2)
        eventually(lambda: self.state(server)["state"] == "up")
        status[0] = 500
        down = eventually(lambda: self.state(server)["state"] == "down" and self.state(server))
        self.assertIn("500", down["reason"])
        seen = len([request for request in app.requests if request.target == "/"])
        load.wait_for(50)
        self.assertLessEqual(len([request for request in app.requests if request.target == "/"]) - seen, 2)
        status[0] = 204
        eventually(lambda: self.state(server)["state"] == "up")
        seen = len(app.requests)
        eventually(lambda: any(request.target == "/" for request in app.requests[seen:]))
        load.stop()
        self.assertEqual(load.failures, [])
        health = next(request for request in app.requests if request.target == "/health")
        self.assertEqual(health.get("host"), f"127.0.0.1:{app.port}")

    def test_a_check_that_hangs_is_a_bad_one(self):
        ending = threading.Event()
        self.addCleanup(ending.set)

        def script(connection):
            request = connection.read()
            if request and request.target == "/health":
                ending.wait(20)
            connection.send(reply(200, b"app"))

        _, server = self.checked(script, fall=1)
        eventually(lambda: self.state(server)["state"] == "down")
        self.assertEqual(ask(server.edge).body, b"other")

    def test_a_check_that_answers_nonsense_is_a_bad_one(self):
        _, server = self.checked(lambda connection: connection.read() and connection.send(b"\x00" * 100000), fall=1)
        eventually(lambda: self.state(server)["state"] == "down")
        self.assertEqual(ask(server.edge).body, b"other")

    def test_which_status_is_good_is_a_setting(self):
        app, server = self.checked(lambda connection: connection.read() and connection.send(reply(418, b"tea")), status="200,410-420", fall=1)
        app.wait_requests(3)
        self.assertEqual(self.state(server)["state"], "up")

    def test_all_unhealthy_is_not_nobody(self):
        """Below half, checks are doubted: requests still go out."""
        status = [200]
        apps = [self.answers(lambda request: reply(status[0] if request.target == "/health" else 200, b"app")) for _ in range(2)]
        server = self.serve(config=group(*apps) + '[edge.upstreams.health]\npath = "/health"\ninterval = "100ms"\nfall = 1\n')
        status[0] = 500
        eventually(lambda: {each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]} == {"down"})
        self.assert_serves(server)


if __name__ == "__main__":
    unittest.main()
