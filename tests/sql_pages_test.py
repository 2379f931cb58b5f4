"""Pages know which tables they were made from: the sample app, as it is, behind the edge and the SQL proxy; whoever writes a table drops its pages."""

import json
import socket
import subprocess
import threading
import time
import unittest

from harness import eventually, request
from harness.booking import Booking, login
from harness.edge import EdgeScenario
from harness.postgres import Cluster

# The app says nothing of caching; the rules here name no tag.
CONFIG = """
[edge.cache]
sql_tags = true

[[edge.routes]]
name = "posts"
path = "/api/posts"
[edge.routes.cache]
ttl_class = "semi_dynamic"

[[edge.routes]]
name = "events"
path = "/api/events"
[edge.routes.cache]
ttl_class = "semi_dynamic"
"""


class Pages(EdgeScenario):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(0)
        cls.addClassCleanup(cls.cluster.remove)
        Booking(cls, cls.cluster.urls["primary"]).seed()

    def psql(self, sql):
        """Around everything."""
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", self.cluster.urls["primary"], "-c", sql], capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    def start(self, traced):
        config = self.settings(CONFIG)
        # The app needs the SQL proxy's address, the edge the app's: the app's port is taken first.
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = self.headroom(app=[f"http://127.0.0.1:{port}"], config=config,
                               arguments=["--postgres", self.cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0", "--set", "sql.admins=booking"])
        url = self.cluster.urls["primary"].replace(f":{self.cluster.port}/", ":%d/" % server.doors["sql"][1])
        Booking(self, url, traced).serve(port)
        eventually(lambda: request(server.edge, "GET", "/api/posts?limit=1").status == 200, 20)
        return server

    def get(self, server, path):
        answer = request(server.edge, "GET", path)
        self.assertEqual(answer.status, 200, answer.text())
        return answer.json(), answer.field("Cache-Status") or ""

    def hit(self, server, path):
        """The page, once it comes from memory."""
        def asked():
            page, status = self.get(server, path)
            return (page,) if "; hit" in status else None
        return eventually(asked, what=lambda: self.get(server, path)[1])[0]

    def stays(self, server, path):
        """It is still in memory; on a busy machine the stream may be behind for a moment, and the page passed by."""
        def asked():
            status = self.get(server, path)[1]
            if "miss" in status or "stored" in status:
                raise LookupError(f"{path} was dropped: {status}")
            return "; hit" in status
        eventually(asked)

    def drops(self, server):
        first = self.hit(server, "/api/posts?limit=3")
        title = f"By psql at {time.monotonic_ns()}"
        # Two browsers, a write by psql around everything; 50 ms later the next page of both is new.
        slug = first["items"][0]["slug"]
        self.psql(f"UPDATE posts SET title = '{title}' WHERE slug = '{slug}'")
        time.sleep(0.05)
        for _ in range(2):
            page, _status = self.get(server, "/api/posts?limit=3")
            self.assertEqual(page["items"][0]["title"], title)
        # The author's name is of another table that the page has read.
        self.hit(server, "/api/posts?limit=3")
        author = self.psql(f"SELECT author_id FROM posts WHERE slug = '{slug}'")
        self.psql(f"UPDATE users SET name = 'N{title}' WHERE id = {author}")
        time.sleep(0.05)
        self.assertEqual(self.get(server, "/api/posts?limit=3")[0]["items"][0]["author"], f"N{title}")

    def test_a_write_by_psql_drops_the_pages_that_read_the_table(self):
        server = self.start(traced=True)
        self.drops(server)

    def test_a_page_that_did_not_read_the_table_stays(self):
        server = self.start(traced=True)
        self.hit(server, "/api/events?limit=3")
        self.psql("UPDATE comments SET body = body || '.' WHERE id = 1")
        time.sleep(0.2)
        for _ in range(3):
            self.stays(server, "/api/events?limit=3")

    def test_queries_of_other_requests_at_that_moment_do_not_count(self):
        server = self.start(traced=True)
        stop = threading.Event()

        def load(number):
            turn = 0
            while not stop.is_set():
                turn += 1
                request(server.edge, "GET", f"/api/posts?limit=5&x={number}-{turn}")

        threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for limit in range(3, 8):
                self.hit(server, f"/api/events?limit={limit}")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.psql("UPDATE posts SET body = body || '.' WHERE id = 1")
        time.sleep(0.2)
        for limit in range(3, 8):
            self.stays(server, f"/api/events?limit={limit}")

    def test_an_app_that_passes_nothing_on_gets_the_coarse_form(self):
        server = self.start(traced=False)
        self.drops(server)

    def test_a_write_through_the_app_is_on_the_next_page_at_once(self):
        server = self.start(traced=True)
        token = login(server.edge)
        slug = self.hit(server, "/api/posts?limit=3")["items"][0]["slug"]
        for turn in range(5):
            before = self.hit(server, f"/api/posts/{slug}")
            answer = request(server.edge, "POST", f"/api/posts/{slug}/comments", {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}, json.dumps({"body": f"turn {turn}"}).encode())
            self.assertEqual(answer.status, 201, answer.text())
            after, _status = self.get(server, f"/api/posts/{slug}")
            self.assertEqual(len(after["comments"]), len(before["comments"]) + 1)

    def test_while_the_stream_is_away_pages_come_from_the_app(self):
        server = self.start(traced=True)
        self.hit(server, "/api/posts?limit=3")
        walsender = self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
        subprocess.run(["kill", "-STOP", walsender], check=True)
        try:
            self.psql("UPDATE posts SET title = 'while away'")
            time.sleep(0.05)
            for _ in range(3):
                page, status = self.get(server, "/api/posts?limit=3")
                self.assertEqual(page["items"][0]["title"], "while away")
                self.assertNotIn("; hit", status)
        finally:
            subprocess.run(["kill", "-CONT", walsender], check=True)
        self.hit(server, "/api/posts?limit=3")


if __name__ == "__main__":
    unittest.main()
