"""Who may ask the admin API what: Host and Origin, tokens, roles, methods, and a rate limit for guesses."""

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import time
import unittest

from harness import Connection, Scenario, eventually, get, request
from harness.edge import metric
from harness.faktory import Faktory

SECRET = "a secret of the app, of 32 bytes or more"


def jwt(claims, secret=SECRET, algorithm="HS256"):
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = part(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()) + b"." + part(json.dumps(claims).encode())
    return (text + b"." + part(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()


class AdminSecurity(Scenario):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()

    def start(self, **settings):
        self.server = self.headroom([self.upstream()], set=settings)
        return self.server

    def ask(self, method, path, token=None, body=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        return request(self.server.admin, method, path, named, body)

    def test_connections_without_a_request_do_not_keep_probes_out(self):
        self.start()
        for begun in (b"", b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"):
            waiting = [Connection(self.server.admin) for _ in range(400)]
            try:
                for each in waiting:
                    if begun:
                        try:
                            each.send(begun)
                        except OSError:
                            pass  # it has made room
                for _ in range(20):
                    self.assertEqual(get(self.server.admin, "/livez").status, 200)
            finally:
                for each in waiting:
                    each.close()

    def test_a_name_that_is_not_ours_is_refused(self):
        self.start(**{"admin.hosts": "headroom.internal"})
        for host in ["127.0.0.1", "127.0.0.1:9090", "localhost:1", "[::1]:9090", "10.0.0.9", "headroom.internal:9090", "HEADROOM.internal"]:
            self.assertEqual(self.ask("GET", "/livez", Host=host).status, 200, host)
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "headroom.internal.evil.example"]:
            answer = self.ask("GET", "/livez", Host=host)
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (403, "forbidden"), host)

    def test_a_page_of_another_site_cannot_change_anything(self):
        admin = self.start().token("admin")
        body = {"group": "app", "server": self.drainable()}
        for headers in [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{self.server.admin[1] + 1}"},
                        {"Sec_Fetch_Site": "cross-site"}, {"Content_Type": "text/plain"}, {"Content_Type": "application/x-www-form-urlencoded"}]:
            self.assertEqual(self.ask("POST", "/api/v1/upstreams/drain", admin, body, **headers).status, 403, headers)
        own = f"http://127.0.0.1:{self.server.admin[1]}"
        for headers in [{}, {"Origin": own}, {"Origin": own, "Sec_Fetch_Site": "same-origin"}]:
            self.assertEqual(self.ask("POST", "/api/v1/upstreams/drain", admin, body, **headers).status, 200, headers)

    def drainable(self):
        return self.server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]["address"]

    def test_roles_allow_what_the_contract_says(self):
        server = self.start()
        tokens = {role: server.token(role) for role in ("viewer", "operator", "admin")}
        drain = {"group": "app", "server": self.drainable()}
        rows = [  # method, path, body, then what viewer, operator and admin get
            ("GET", "/api/v1/overview", None, 200, 200, 200),
            ("GET", "/api/v1/upstreams", None, 200, 200, 200),
            ("GET", "/api/v1/routes", None, 200, 200, 200),
            ("GET", "/api/performance-stats", None, 200, 200, 200),
            ("POST", "/api/v1/upstreams/undrain", drain, 403, 200, 200),
            ("POST", "/api/phase14/scalability/cache/warm", None, 403, 409, 409),
            ("GET", "/api/v1/config", None, 403, 403, 200),
            ("POST", "/api/v1/reload", None, 403, 403, 200),
            ("GET", "/api/v1/tokens", None, 403, 403, 200),
            ("POST", "/api/v1/tokens", {"name": "made", "role": "viewer"}, 403, 403, 201),
            ("DELETE", "/api/v1/tokens/made", None, 403, 403, 200),
        ]
        for method, path, body, *wanted in rows:
            self.assertEqual(self.ask(method, path, None, body).status, 401, path)
            got = [self.ask(method, path, tokens[role], body).status for role in ("viewer", "operator", "admin")]
            self.assertEqual(got, wanted, (method, path))

    def test_what_needs_no_token_needs_none(self):
        self.start()
        for path in ["/livez", "/readyz", "/startupz", "/metrics", "/openapi.json", "/health", "/api/phase14/scalability/health",
                     "/api/v1/scaling/health/liveness", "/api/v1/scaling/health/readiness", "/api/v1/scaling/health/deep"]:
            self.assertEqual(self.ask("GET", path).status, 200, path)

    def test_probes_say_what_has_failed_and_not_where_it_is(self):
        server = self.headroom([self.upstream()], arguments=["--postgres", "postgres://inneruser:pw@127.0.0.1:1/innerbase", "--set", "sql.listen=127.0.0.1:0"])
        psql = ["psql", f"postgres://inneruser:pw@127.0.0.1:{server.doors['sql'][1]}/innerbase?connect_timeout=5", "-c", "SELECT 1"]
        self.assertNotEqual(subprocess.run(psql, capture_output=True, timeout=60).returncode, 0)
        eventually(lambda: get(server.admin, "/readyz").status == 503, 20)
        self.assertEqual(get(server.admin, "/readyz").text(), "unavailable: database has failed\n")
        for path in ("/readyz", "/health", "/api/phase14/scalability/health", "/api/v1/scaling/health/readiness", "/api/v1/scaling/health/deep"):
            text = get(server.admin, path).text()
            for inner in ("inneruser", "innerbase", "127.0.0.1:1", "refused"):
                self.assertNotIn(inner, text, path)
        self.assertIn("Connection refused", server.api("GET", "/api/v1/overview").text())  # with a token

    def test_errors_have_one_form_and_name_no_secret(self):
        self.start()
        wrong = "hr_" + "A" * 48
        for method, path, token, status, code in [("GET", "/api/v1/overview", None, 401, "unauthorized"),
                                                  ("GET", "/api/v1/overview", wrong, 401, "unauthorized"),
                                                  ("GET", "/nothing", None, 404, "not_found"),
                                                  ("GET", "/api/v1/overview/", None, 404, "not_found"),
                                                  ("DELETE", "/livez", None, 405, "method_not_allowed"),
                                                  ("PUT", "/api/v1/tokens", None, 405, "method_not_allowed")]:
            answer = self.ask(method, path, token)
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (status, code), path)
            self.assertIsInstance(answer.json()["error"]["message"], str)
            self.assertNotIn(wrong, answer.text())
            self.assertEqual(answer.field("Content-Type"), "application/json")
            self.assertEqual(answer.field("Cache-Control"), "no-store")
        self.assertEqual(self.ask("GET", "/api/v1/overview").field("WWW-Authenticate"), 'Bearer realm="headroom"')
        self.assertEqual(self.ask("DELETE", "/livez").field("Allow"), "GET, HEAD")
        self.assertEqual(self.ask("PUT", "/api/v1/tokens").field("Allow"), "GET, HEAD, POST")

    def test_head_answers_as_get_without_the_body(self):
        self.start()
        answer = self.ask("HEAD", "/livez")
        self.assertEqual((answer.status, answer.body, answer.field("Content-Length")), (200, b"", "3"))

    def test_who_guesses_must_wait_and_nobody_else(self):
        server = self.start()
        good = server.token("viewer")
        statuses = [self.ask("GET", "/api/v1/overview", "hr_" + "B" * 46 + f"{n:02}").status for n in range(12)]
        self.assertEqual(statuses[0], 401)
        self.assertEqual(statuses[-1], 429)
        blocked = self.ask("GET", "/api/v1/overview", "hr_" + "C" * 48)
        self.assertEqual(blocked.status, 429)
        self.assertGreater(int(blocked.field("Retry-After")), 0)
        self.assertEqual(self.ask("GET", "/api/v1/overview", good).status, 200)  # whose neighbour guesses is not kept out
        self.assertEqual(self.ask("GET", "/livez").status, 200)
        self.assertIn('headroom_server_refused_total{reason="rate"}', self.ask("GET", "/metrics").text())

    def test_a_field_that_stands_twice_is_refused(self):
        server = self.start()
        token = server.token("viewer")
        with Connection(server.admin) as connection:
            connection.send(f"GET /api/v1/overview HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
                            f"Authorization: Bearer x\r\n\r\n".encode())
            self.assertEqual(connection.answer().status, 400)

    def test_bodies_are_bounded_and_checked(self):
        admin = self.start().token("admin")
        self.assertEqual(self.ask("POST", "/api/v1/tokens", admin, '{"name": "' + "x" * 70000 + '"}', Content_Type="application/json").status, 413)
        for body in ["", "{", "[]", '{"name": "a"}', '{"name": "a", "role": "king"}', '{"name": "a", "role": "viewer", "more": 1}']:
            answer = self.ask("POST", "/api/v1/tokens", admin, body, Content_Type="application/json")
            self.assertEqual((answer.status, answer.json()["error"]["code"]), (400, "invalid"), body)

    def test_answers_that_nobody_reads_are_bounded_and_small_ones_still_come(self):
        self.start()
        viewer = self.server.token("viewer")
        jobs = Faktory(self.server.doors["tasks"])
        self.addCleanup(jobs.close)
        for _ in range(20):
            jobs.push(queue="big", args=["x" * 200_000])
        path = "/api/v1/tasks?set=waiting&queue=big&limit=1000"
        long = self.ask("GET", path, viewer)
        self.assertEqual(long.status, 200)
        fit = (64 << 20) // len(long.body)
        waiting = []
        try:
            for _ in range(fit + 10):
                each = socket.socket()
                waiting.append(each)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                each.settimeout(60)
                each.connect(self.server.admin)
                each.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {viewer}\r\n\r\n".encode())
            heads = [each.recv(300) for each in waiting]
            refused = [head for head in heads if head.startswith(b"HTTP/1.1 503")]
            self.assertEqual(len(refused), 10)
            self.assertTrue(all(b"Retry-After: 1\r\n" in head for head in refused))
            self.assertEqual(metric(self.server, "headroom_server_refused_total", reason="answers"), 10)
            self.assertEqual(self.ask("GET", "/readyz").status, 200)
        finally:
            for each in waiting:
                each.close()
        eventually(lambda: self.ask("GET", path, viewer).status == 200)

    def test_the_apps_own_jwts_are_honoured(self):
        path = self.settings(f'[admin.jwt]\nsecret = "{SECRET}"\nroles = {{ super_admin = "admin", staff = "viewer" }}\n')
        self.server = self.headroom([self.upstream()], config=path)
        claims = {"sub": "ann", "role": "super_admin", "exp": int(time.time()) + 600}
        self.assertEqual(self.ask("GET", "/api/v1/config", jwt(claims)).status, 200)
        self.assertEqual(self.ask("GET", "/api/v1/overview", jwt({**claims, "role": "staff"})).status, 200)
        self.assertEqual(self.ask("GET", "/api/v1/config", jwt({**claims, "role": "staff"})).status, 403)
        self.assertEqual(self.ask("GET", "/api/v1/overview", jwt({**claims, "role": "guest"})).status, 403)
        self.assertEqual(self.ask("GET", "/api/v1/overview", jwt({**claims, "exp": 1})).status, 401)
        self.assertEqual(self.ask("GET", "/api/v1/overview", jwt(claims, "another secret of 32 bytes or more...")).status, 401)
        self.assertEqual(self.ask("GET", "/api/v1/overview", jwt(claims, algorithm="none")).status, 401)
        self.assertNotIn(SECRET, self.ask("GET", "/api/v1/config", jwt(claims)).text())

    def watching(self, path, **headers):
        """A stream that has begun; its connection."""
        connection = Connection(self.server.admin, timeout=30)
        self.addCleanup(connection.close)
        connection.send(("GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % path + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode())
        self.assertIn(b"200 OK", connection._until(b"\r\n\r\n"))
        return connection

    def test_a_stream_ends_when_who_reads_it_may_no_longer(self):
        self.start()
        admin = self.server.token("admin", "ada")
        spy = self.server.token("admin", "spy")
        for path in ("/api/v1/live", "/api/v1/realtime/watch?channel=*"):
            by_token = self.watching(path, Authorization=f"Bearer {spy}")
            cookie = self.ask("POST", "/api/v1/session", body={"token": admin}).field("Set-Cookie").split(";")[0]
            by_session = self.watching(path, Cookie=cookie)
            goes_on = self.watching(path, Authorization=f"Bearer {admin}")
            self.assertEqual(self.ask("DELETE", "/api/v1/tokens/spy", admin).status, 200)
            self.assertTrue(by_token.read_all().endswith(b"0\r\n\r\n"))  # whole; else the time is up
            self.assertEqual(self.ask("DELETE", "/api/v1/session", Cookie=cookie).status, 200)
            self.assertTrue(by_session.read_all().endswith(b"0\r\n\r\n"))
            spy = self.server.token("admin", "spy")
            goes_on.socket.setblocking(False)
            with self.assertRaises(BlockingIOError):  # all that has come is read, and it has not ended
                goes_on.read_all()

    def test_who_waits_for_a_jobs_result_gets_none_once_their_token_is_revoked(self):
        self.start()
        admin, spy = self.server.token("admin"), self.server.token("viewer", "spy")
        jid = self.ask("POST", "/api/v1/tasks", admin, {"jobtype": "Sum", "args": [], "custom": {"track": 1}}).json()["jid"]
        with Connection(self.server.admin, timeout=70) as waiting:
            waiting.send((f"GET /api/v1/tasks/jobs/{jid}/result?wait=60s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {spy}\r\n\r\n").encode())
            self.assertEqual(self.ask("GET", f"/api/v1/tasks/jobs/{jid}/result?wait=1s", admin).status, 202)  # by now the other one waits too
            self.assertEqual(self.ask("DELETE", "/api/v1/tokens/spy", admin).status, 200)
            self.assertEqual(waiting.answer().status, 401)

    def test_a_configured_token_is_honoured(self):
        digest = hashlib.sha256(b"hr_anything").hexdigest()
        made = self.headroom([]).token("viewer")
        digest = hashlib.sha256(made.encode()).hexdigest()
        path = self.settings(f'[[admin.tokens]]\nname = "ci"\nrole = "operator"\nsecret = "sha256:{digest}"\n')
        self.server = self.headroom([], config=path, state_dir=self.directory / "other")
        self.assertEqual(self.ask("GET", "/api/v1/overview", made).status, 200)
        self.assertEqual(self.ask("GET", "/api/v1/tokens", made).status, 403)


class OnEdge(Scenario):
    def test_the_edge_answers_the_seeds_paths_only_when_told(self):
        app = self.upstream()
        off = self.headroom([app])
        self.assertEqual(get(off.edge, "/health").text(), "app\n")
        self.assertEqual(get(off.edge, "/readyz").text(), "app\n")
        off.stop()
        on = self.headroom([app], set={"admin.on_edge": "true"})
        self.assertEqual(get(on.edge, "/health", {"Host": "shop.example"}).json()["status"], "healthy")
        self.assertEqual(get(on.edge, "/api/performance-stats", {"Host": "shop.example"}).status, 401)
        token = on.token("viewer")
        self.assertEqual(get(on.edge, "/api/performance-stats", {"Authorization": f"Bearer {token}"}).status, 200)
        self.assertEqual(get(on.edge, "/api/v1/overview", {"Authorization": f"Bearer {token}"}).text(), "app\n")
        self.assertEqual(get(on.edge, "/anything").text(), "app\n")


if __name__ == "__main__":
    unittest.main()
