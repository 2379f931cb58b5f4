"""Run from the app's folder: /usr/bin/python3 -m unittest"""

import contextlib
import hashlib
import os
import sqlite3
import unittest
import uuid
from datetime import date, timedelta

from .server import Server, WebSocket

NEXT_YEAR = date.today().year + 1


class AppTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.staff = cls.server.login(1)
        cls.client = cls.server.login(30)

    def call(self, method, path, body=None, token=None, expect=200):
        status, _, data = self.server.request(method, path, body, token)
        self.assertEqual(status, expect, data)
        return data

    # Accounts

    def test_account_is_registered_logged_in_and_logged_out(self):
        account = {"email": f"{uuid.uuid4()}@example.org", "name": "Ny", "password": "long enough"}
        self.call("POST", "/api/accounts/register", account, expect=201)
        self.call("POST", "/api/accounts/register", account, expect=409)
        token = self.call("POST", "/api/accounts/login", account)["token"]
        self.assertEqual(self.call("GET", "/api/accounts/me", token=token)["name"], "Ny")
        self.call("POST", "/api/accounts/logout", token=token, expect=204)
        self.call("GET", "/api/accounts/me", token=token, expect=401)

    def test_wrong_password_and_missing_token_are_refused(self):
        wrong = {"email": "user1@example.com", "password": "guess"}
        self.call("POST", "/api/accounts/login", wrong, expect=401)
        for path in ("/api/accounts/me", "/api/bookings", "/api/tasks", "/api/notes"):
            self.call("GET", path, expect=401)
            self.call("GET", path, token="nonsense", expect=401)

    # Bookings

    def test_booking_is_made_once_cancelled_and_deleted(self):
        wish = {"staff_id": 7, "service_id": 2, "starts_at": f"{NEXT_YEAR}-05-05T10:00:00"}
        made = self.call("POST", "/api/bookings", wish, self.client, expect=201)
        self.call("POST", "/api/bookings", wish, self.staff, expect=409)
        path = f"/api/bookings/{made['id']}"
        self.assertEqual(self.call("GET", path, token=self.client)["status"], "booked")
        self.call("PATCH", path, {"status": "done"}, self.client, expect=403)
        self.call("PATCH", path, {"status": "cancelled"}, self.client)
        self.call("DELETE", path, token=self.client, expect=204)
        self.call("GET", path, token=self.client, expect=404)

    def test_clients_see_only_their_own_bookings(self):
        mine = self.call("GET", "/api/bookings", token=self.client)
        name = self.call("GET", "/api/accounts/me", token=self.client)["name"]
        self.assertEqual({item["client"] for item in mine["items"]} - {name}, set())
        every = self.call("GET", "/api/bookings?per_page=5&page=3", token=self.staff)
        self.assertGreater(every["total"], mine["total"])
        self.assertEqual((every["page"], len(every["items"])), (3, 5))

    def test_availability_lists_free_hours(self):
        free = self.call("GET", f"/api/locations/1/availability?day={NEXT_YEAR}-06-06")
        self.assertTrue(all(8 in member["free_hours"] for member in free["staff"]))
        self.call("GET", "/api/locations/999", expect=404)

    # Tasks, notes, habits

    def test_task_list_follows_every_change(self):
        token = self.new_account()
        task = self.call("POST", "/api/tasks", {"title": "Sweep"}, token, expect=201)
        self.assertEqual(self.call("GET", "/api/tasks", token=token)["total"], 1)
        path = f"/api/tasks/{task['id']}"
        self.assertIsNotNone(self.call("PATCH", path, {"status": "done"}, token)["completed_at"])
        summary = self.call("GET", "/api/tasks/summary", token=token)
        self.assertEqual(summary, {"open": 0, "doing": 0, "done": 1, "overdue": 0})
        self.call("GET", path, token=self.client, expect=404)
        self.call("DELETE", path, token=token, expect=204)
        self.assertEqual(self.call("GET", "/api/tasks", token=token)["total"], 0)

    def test_notes_are_found_by_tag_and_text(self):
        token = self.new_account()
        for title, tags in (("One", ["a", "b"]), ("Two", ["b"])):
            note = {"title": title, "body": f"The text of {title}", "tags": tags}
            self.call("POST", "/api/notes", note, token, expect=201)
        for query, found in (("tag=a", ["One"]), ("tag=b", ["Two", "One"]), ("text=two", ["Two"])):
            items = self.call("GET", f"/api/notes?{query}", token=token)["items"]
            self.assertEqual([item["title"] for item in items], found)

    def test_habit_counts_its_streak(self):
        token = self.new_account()
        habit = self.call("POST", "/api/habits", {"name": "Read"}, token, expect=201)
        for days_ago in (0, 1, 3):
            day = str(date.today() - timedelta(days=days_ago))
            path = f"/api/habits/{habit['id']}/entries"
            self.call("POST", path, {"day": day}, token, expect=201)
        (habit,) = self.call("GET", "/api/habits", token=token)
        self.assertEqual((habit["entries"], habit["streak"]), (3, 2))

    def new_account(self) -> str:
        account = {"email": f"{uuid.uuid4()}@example.org", "name": "New", "password": "password"}
        self.call("POST", "/api/accounts/register", account, expect=201)
        return self.call("POST", "/api/accounts/login", account)["token"]

    # Events, posts, analytics, pages

    def test_event_takes_registrations_until_it_is_full(self):
        event = {"location_id": 1, "title": "Quiz", "starts_at": f"{NEXT_YEAR}-07-07T19:00:00"}
        self.call("POST", "/api/events", event, self.client, expect=403)
        event["capacity"] = 1
        made = self.call("POST", "/api/events", event, self.staff, expect=201)
        path = f"/api/events/{made['id']}/registrations"
        self.assertEqual(self.call("POST", path, token=self.client, expect=201)["places_left"], 0)
        self.call("POST", path, token=self.client, expect=409)
        self.call("POST", path, token=self.staff, expect=409)

    def test_comment_appears_under_its_post(self):
        post = {"title": "What <b>we</b> learned", "body": "A & B"}
        slug = self.call("POST", "/api/posts", post, self.staff, expect=201)["slug"]
        self.call("POST", f"/api/posts/{slug}/comments", {"body": "<i>Hm</i>"}, self.client, 201)
        self.assertEqual(self.call("GET", f"/api/posts/{slug}")["comments"][0]["body"], "<i>Hm</i>")
        html = self.call("GET", f"/blog/{slug}").decode()
        self.assertIn("What &lt;b&gt;we&lt;/b&gt; learned", html)
        self.assertIn("&lt;i&gt;Hm&lt;/i&gt;", html)

    def test_analytics_agree_with_each_other(self):
        overview = self.call("GET", "/api/analytics/overview")
        months = self.call("GET", "/api/analytics/revenue")
        self.assertEqual(sum(row["revenue_cents"] for row in months), overview["revenue_cents"])
        self.assertEqual(sum(row["bookings"] for row in months), overview["bookings_done"])
        spent = [row["spent_cents"] for row in self.call("GET", "/api/analytics/top-clients")]
        self.assertEqual((len(spent), spent), (10, sorted(spent, reverse=True)))
        rates = self.call("GET", "/api/analytics/no-show-rate")
        done = sum(row["bookings"] - row["no_shows"] for row in rates)
        self.assertEqual(done, overview["bookings_done"])
        self.assertEqual(len(self.call("GET", "/api/analytics/staff")), 30)
        hours = self.call("GET", "/api/analytics/busiest-hours")
        self.assertEqual(sum(row["bookings"] for row in hours), overview["bookings"])

    def test_pages_are_html(self):
        paths = ("/", "/locations/1", "/events", "/blog?page=2", "/analytics", "/account", "/docs")
        for path in paths:
            status, headers, body = self.server.request("GET", path)
            self.assertEqual((status, headers.get_content_type()), (200, "text/html"), path)
            self.assertTrue(body.rstrip().endswith(b"</html>"), path)

    def test_health(self):
        self.assertEqual(self.call("GET", "/healthz"), {"status": "ok"})
        self.assertEqual(self.call("GET", "/readyz"), {"status": "ok"})

    # Shapes on the wire

    def test_echo_tells_what_arrived(self):
        status, _, seen = self.server.request(
            "PUT", "/wire/echo?a=1%202", b"12345", headers={"X-Thing": "Yes"}
        )
        self.assertEqual((status, seen["method"], seen["body_bytes"]), (200, "PUT", 5))
        self.assertEqual((seen["path"], seen["query"]), ("/wire/echo", "a=1%202"))
        self.assertIn(["x-thing", "Yes"], seen["headers"])

    def test_stream_is_chunked_and_download_has_a_length(self):
        _, headers, body = self.server.request("GET", "/wire/stream?chunks=5&size=1000")
        self.assertEqual((headers["transfer-encoding"], len(body)), ("chunked", 5000))
        _, headers, body = self.server.request("GET", "/wire/download?size=200001")
        self.assertEqual((headers["content-length"], len(body)), ("200001", 200001))
        status, headers, body = self.server.request("HEAD", "/wire/download?size=200001")
        self.assertEqual((status, headers["content-length"], body), (200, "200001", b""))

    def test_upload_is_counted(self):
        sent = os.urandom(3_000_000)
        whole = self.server.request("POST", "/wire/upload?digest=1", sent)[2]
        self.assertEqual(whole["bytes"], len(sent))
        self.assertEqual(whole["sha256"], hashlib.sha256(sent).hexdigest())
        pieces = iter([sent[:10], sent[10:]])
        self.assertEqual(self.server.request("POST", "/wire/upload", pieces)[2]["bytes"], len(sent))

    def test_events_stream(self):
        _, headers, body = self.server.request("GET", "/wire/events?count=3&interval_ms=1")
        self.assertEqual(headers.get_content_type(), "text/event-stream")
        self.assertEqual(body.count(b"event: tick\n"), 3)

    def test_slow_and_status(self):
        self.assertEqual(self.call("GET", "/wire/slow?ms=1")["slept_ms"], 1)
        self.call("GET", "/wire/status/503", expect=503)
        self.call("GET", "/wire/status/204", expect=204)

    def test_websocket_echoes_text_and_bytes(self):
        client = WebSocket(self.server.port, "/ws/echo")
        self.addCleanup(client.close)
        self.assertEqual(client.status, 101)
        for opcode, payload in ((1, "héllo".encode()), (2, bytes(range(256)) * 100), (1, b"")):
            client.send(opcode, payload)
            self.assertEqual(client.receive(), (opcode, payload))
        client.send(8, b"\x03\xe8")
        self.assertEqual(client.receive(), (8, b"\x03\xe8"))

    # Seeding

    def test_seeding_leaves_a_filled_database_alone(self):
        self.assertIn("not empty", self.server.seed(self.server.environment["DATABASE_URL"]))

    def test_seeding_twice_gives_the_same_rows(self):
        dumps = []
        for name in ("one", "two"):
            path = f"{self.server.folder.name}/{name}.db"
            self.server.seed(f"sqlite:///{path}", "--today", "2026-01-31")
            with contextlib.closing(sqlite3.connect(path)) as connection:
                dumps.append(list(connection.iterdump()))
        self.assertGreater(len(dumps[0]), 6000)
        self.assertEqual(dumps[0], dumps[1])


if __name__ == "__main__":
    unittest.main()
