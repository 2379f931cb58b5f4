"""A CDN in front of pages that know their tables: a committed write, by whomever, purges there what read the table; what a write has overtaken it is not to keep."""

import re
import subprocess
import threading
import unittest

from cdn_test import Fronted
from harness.edge import ask, eventually, reply
from harness.postgres import Cluster, Wire

FIELDS = ["Cache-Control: public, max-age=60"]


class Tables(Fronted):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(0)
        cls.addClassCleanup(cls.cluster.remove)
        cls.psql("CREATE TABLE posts (id int PRIMARY KEY, title text); INSERT INTO posts VALUES (1, 'first'); CREATE TABLE users (id int, name text); INSERT INTO users VALUES (1, 'ann')")

    @classmethod
    def psql(cls, sql):
        """Around everything."""
        return subprocess.run(["psql", "-X", "-q", "-A", "-t", cls.cluster.urls["primary"], "-c", sql], capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    def start(self):
        """An app of two pages, each of one table; `between` is called with the page's content read and not yet sent."""
        self.between = lambda target: None

        def page(request):
            wire = Wire(self.server.doors["sql"], password=self.cluster.password)
            table, column = ("posts", "title") if request.target.startswith("/posts") else ("users", "name")
            rows = wire.values(f"SELECT {column} FROM {table} WHERE id = 1\n/*traceparent='{request.get('traceparent')}'*/")
            wire.close()
            self.between(request.target)
            return reply(200, rows[0], FIELDS)

        app = self.answers(page)
        config = "[edge.cache]\nsql_tags = true\n" + self.cloudflare()
        self.server = self.serve(app, config=config, arguments=["--postgres", self.cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0"])
        eventually(lambda: "; hit" in (self.get("/posts").get("cache-status") or ""), 20)
        eventually(lambda: "; hit" in (self.get("/users").get("cache-status") or ""), 20)
        eventually(lambda: self.status(self.server)["waiting"] == 0)  # what was purged at the start, as nobody knows what the CDN had before
        self.calls.clear()
        return self.server

    def get(self, target):
        return ask(self.server.edge, target=target)

    def tags(self, target):
        """As the CDN is given them."""
        return (self.get(target).get("cache-tag") or "").split(",")

    def purged(self):
        return {tag for body in self.bodies() for tag in body.get("tags", [])}

    def test_a_write_around_the_proxy_purges_the_pages_of_its_table_and_no_others(self):
        self.start()
        posts, users = set(self.tags("/posts")), set(self.tags("/users"))
        self.assertIn("site", posts)
        own = posts - users
        self.assertTrue(own and all(re.fullmatch("headroom-[0-9a-f]{16}", tag) for tag in own), posts)  # neither the database's name nor its oids
        self.psql("UPDATE posts SET title = 'second' WHERE id = 1")
        eventually(lambda: own & self.purged(), what=lambda: self.bodies())
        self.assertFalse((users - posts) & self.purged())
        self.assertNotIn("site", self.purged())
        self.assertEqual(self.get("/posts").body, b"second")

    def test_a_write_through_the_proxy_does_too_and_a_table_that_no_page_has_read_costs_no_call(self):
        server = self.start()
        wire = Wire(server.doors["sql"], password=self.cluster.password)
        self.addCleanup(wire.close)
        wire.query("CREATE TABLE IF NOT EXISTS quiet (n int)")
        eventually(lambda: "; hit" in (self.get("/posts").get("cache-status") or ""), 20)  # DDL flushes
        eventually(lambda: self.status(server)["waiting"] == 0)
        self.calls.clear()
        for n in range(20):
            wire.query(f"INSERT INTO quiet VALUES ({n})")
        own = set(self.tags("/posts")) - set(self.tags("/users"))
        wire.query("UPDATE posts SET title = 'third' WHERE id = 1")
        eventually(lambda: own & self.purged(), what=lambda: self.bodies())
        self.assertLessEqual(len(self.purged()), 2)
        self.assertEqual(self.get("/posts").body, b"third")

    def test_an_answer_that_a_write_has_overtaken_is_not_for_the_cdn_to_keep(self):
        self.start()
        first = self.psql("UPDATE posts SET title = 'old' WHERE id = 1 RETURNING title")
        self.assertEqual(first, "old")
        eventually(lambda: self.get("/posts").body == b"old")
        eventually(lambda: self.purged() and self.status(self.server)["waiting"] == 0, what="the first write has been told")
        self.calls.clear()
        wrote = threading.Event()

        def between(target):
            if target == "/posts?slow" and not wrote.is_set():
                wrote.set()
                self.psql("UPDATE posts SET title = 'new' WHERE id = 1")
                eventually(lambda: self.purged(), what="the second has been told")

        self.between = between
        self.assertEqual(self.get("/posts").body, b"old")
        late = self.get("/posts?slow")
        self.assertEqual((late.body, late.get("cache-control")), (b"old", "no-store"))
        self.assertFalse(late.has("cache-tag"))
        # Kept again, as soon as nothing is in doubt any more.
        again = eventually(lambda: (answer := self.get("/posts?slow")).body == b"new" and answer.get("cache-control") == "public, max-age=60" and answer)
        self.assertTrue(again.has("cache-tag"))


if __name__ == "__main__":
    unittest.main()
