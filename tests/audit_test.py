"""The audit log: who changed what from where with which result, over restarts, for admins alone, without a secret; a disk that refuses loses nothing."""

import signal
import socket
import sqlite3
import unittest

from harness.client import Connection, get
from harness.edge import EdgeScenario, eventually, reply
from harness.scenario import Scenario


class AuditLog(EdgeScenario):
    _end = Scenario._end  # servers end in the midst of these

    def begin(self, **options):
        self.app = self.answers(lambda request: reply(200, b"x"))
        return self.serve(self.app, config="[edge]\n", **options)

    def entries(self, server, query=""):
        answer = server.api("GET", "/api/v1/audit" + query)
        self.assertEqual(answer.status, 200, answer.text())
        return answer.json()["entries"]

    def test_what_people_change_is_there_with_who_role_where_and_result_also_after_a_restart(self):
        server = self.begin()
        operator = server.token("operator", "olga")
        viewer = server.token("viewer", "victor")
        server.api("POST", "/api/v1/upstreams/app/no-such/drain", token=operator)
        self.assertEqual(server.api("POST", "/api/v1/alerts/cpu/silence", {"for": "1h"}, token=operator).status, 200)
        self.assertEqual(server.api("DELETE", "/api/v1/alerts/cpu/silence", token=viewer).status, 403)
        self.assertEqual(server.api("GET", "/api/v1/overview", token=viewer).status, 200)  # reads are not noted
        secret = server.api("POST", "/api/v1/tokens", {"name": "by-api", "role": "viewer"}).json()["token"]
        server.signal(signal.SIGHUP)
        eventually(lambda: self.entries(server)[0]["who"] == "SIGHUP", 20)
        rows = [(each["who"], each["role"], each["method"], each["path"], each["status"]) for each in self.entries(server)]
        for wanted in (("olga", "operator", "POST", "/api/v1/upstreams/app/no-such/drain", 404), ("olga", "operator", "POST", "/api/v1/alerts/cpu/silence", 200),
                       ("victor", "viewer", "DELETE", "/api/v1/alerts/cpu/silence", 403), ("SIGHUP", "", "", "reload", 200)):
            self.assertEqual(rows.count(wanted), 1, rows)
        self.assertEqual([row[3:] for row in rows if row[2] == "POST" and row[3] == "/api/v1/tokens"], [("/api/v1/tokens", 201)])
        self.assertTrue(any(row[3] == "token create olga" for row in rows), rows)
        self.assertFalse([row for row in rows if row[2] == "GET"])
        self.assertEqual({each["from"] for each in self.entries(server) if each["method"]}, {"127.0.0.1"})
        before = self.entries(server)
        self.assertNotIn(secret, str(before))
        self.assertNotIn(operator, str(before))
        self.assertEqual(server.stop(), 0)
        again = self.begin()
        after = self.entries(again, "?limit=1000")
        self.assertEqual([each for each in after if each["id"] <= before[0]["id"]], before)

    def test_it_is_for_admins_and_is_read_page_by_page(self):
        server = self.begin()
        for role in ("viewer", "operator"):
            self.assertEqual(server.api("GET", "/api/v1/audit", token=server.token(role)).status, 403)
        for _ in range(5):
            server.api("POST", "/api/v1/reload")
        first = server.api("GET", "/api/v1/audit?limit=3").json()
        second = server.api("GET", f"/api/v1/audit?limit=3&before={first['next']}").json()
        ids = [each["id"] for each in first["entries"] + second["entries"]]
        self.assertEqual(ids, sorted(ids, reverse=True))
        self.assertEqual(len(set(ids)), 6)
        for wrong in ("limit=0", "limit=1001", "limit=x", "before=x", "other=1"):
            self.assertEqual(server.api("GET", "/api/v1/audit?" + wrong).status, 400, wrong)
        self.assertEqual(get(server.admin, "/api/v1/audit").status, 401)

    def test_a_sign_in_is_noted_and_a_failed_one_too_without_its_token(self):
        server = self.begin()
        good = server.token("operator", "olga")
        self.assertEqual(server.api("POST", "/api/v1/session", {"token": good}, headers={"Content-Type": "application/json"}).status, 201)
        self.assertEqual(server.api("POST", "/api/v1/session", {"token": "wrong-wrong-wrong"}, headers={"Content-Type": "application/json"}).status, 401)
        def noted():
            return [(each["who"], each["status"]) for each in self.entries(server) if each["path"] == "/api/v1/session"]

        eventually(lambda: noted() == [("", 401), ("olga", 201)], 20, what=noted)
        self.assertNotIn("wrong-wrong", str(self.entries(server)))

    def test_a_flood_of_bad_sign_ins_is_noted_up_to_the_limit_of_its_address_alone(self):
        server = self.begin()
        admin = server.token("admin", "ada")
        statuses = [server.api("POST", "/api/v1/session", {"token": f"wrong-{n}"}, token="", headers={"Content-Type": "application/json"}).status for n in range(200)]
        self.assertEqual(set(statuses), {401, 429})
        self.assertEqual(server.api("POST", "/api/v1/reload", token=admin).status, 200)
        eventually(lambda: any(each["path"] == "/api/v1/reload" for each in self.entries(server)), 20)
        noted = [each for each in self.entries(server, "?limit=1000") if each["path"] == "/api/v1/session"]
        self.assertEqual(len(noted), statuses.count(401))
        self.assertLess(len(noted), 100)

    def test_the_same_bad_token_again_and_again_is_noted_once_and_pushes_no_refusal_out(self):
        server = self.begin()
        self.assertEqual(server.api("POST", "/api/v1/reload", token=server.token("viewer", "victor")).status, 403)
        with Connection(server.admin) as stranger:
            for _ in range(1300):
                self.assertEqual(stranger.request("POST", "/api/v1/session", body={"token": "wrong"}).status, 401)
        server.api("POST", "/api/v1/reload")
        entries = [entry for page in self.pages(server) for entry in page]
        self.assertEqual([each["status"] for each in entries if each["who"] == "victor"], [403])
        self.assertEqual(sum(each["path"] == "/api/v1/session" for each in entries), 1)

    def test_what_comes_in_while_the_disk_hangs_is_bounded_counted_and_pushes_no_change_out(self):
        server = self.begin()
        viewer = server.token("viewer", "victor")
        self.assertEqual(server.api("POST", "/api/v1/reload").status, 200)
        held = sqlite3.connect(self.state_dir / "audit.db", isolation_level=None)
        self.addCleanup(held.close)
        held.execute("BEGIN IMMEDIATE")  # a writer that does not end
        sent = 1500
        self.flood(server, sent)
        server.signal(signal.SIGHUP)  # the control thread hangs: it is not forgotten
        self.flood(server, sent, first=sent)
        self.assertEqual(server.api("POST", "/api/v1/reload", token=viewer).status, 403)
        held.execute("ROLLBACK")

        def noted():
            entries = [entry for page in self.pages(server) for entry in page]
            return {"SIGHUP", "victor", "headroom"} <= {each["who"] for each in entries} and entries
        entries = eventually(noted, 40, 0.3)  # and it recovers
        self.assertEqual({each["who"]: each["status"] for each in entries if each["who"] in ("SIGHUP", "victor")}, {"SIGHUP": 200, "victor": 403})
        lost = sum(int(each["path"].split()[0]) for each in entries if each["who"] == "headroom")
        self.assertGreater(lost, 2 * sent - 2001)  # a thousand wait, a thousand are being written
        self.assertIn(f"headroom_server_audit_lost_total {lost}", get(server.admin, "/metrics").text())

    def flood(self, server, number, first=0):
        """Bad sign-ins, each of another address so that none is beyond its limit."""
        for at in range(first, first + number):
            with socket.create_connection(server.admin, timeout=20, source_address=(f"127.{1 + at // 62500}.{at // 250 % 250}.{1 + at % 250}", 0)) as connection:
                body = b'{"token":"wrong-%d"}' % at
                connection.sendall(b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                self.assertTrue(connection.recv(100).startswith(b"HTTP/1.1 401"))

    def pages(self, server):
        before = ""
        while True:
            page = server.api("GET", f"/api/v1/audit?limit=1000{before}").json()
            yield page["entries"]
            if len(page["entries"]) < 1000:
                return
            before = f"&before={page['next']}"

    def test_a_file_that_cannot_be_opened_stops_nobody_and_what_happened_meanwhile_is_written_later(self):
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "audit.db").mkdir()
        server = self.begin()
        self.assertEqual(server.api("POST", "/api/v1/reload").status, 200)
        self.assertEqual(server.api("GET", "/api/v1/audit").status, 503)
        eventually(lambda: "audit log" in server.api("GET", "/api/v1/overview").text(), 20)
        self.assertEqual(get(server.admin, "/readyz").status, 200)
        (self.state_dir / "audit.db").rmdir()
        eventually(lambda: any(each["path"] == "/api/v1/reload" for each in self.entries(server)), 20)  # and it recovers
        self.assertNotIn("audit log", server.api("GET", "/api/v1/overview").text())


if __name__ == "__main__":
    unittest.main()
