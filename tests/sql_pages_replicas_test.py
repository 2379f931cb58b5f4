"""Pages made of what replicas say: none brings back what a write, from anywhere, has just dropped, though replicas lag."""

import time
import unittest

from harness import eventually, request
from sql_sessions_test import App, Sessions as Lagging

CONFIG = """
[edge.cache]
sql_tags = true

[[edge.routes]]
name = "reads"
path = "/read"
[edge.routes.cache]
ttl_class = "semi_dynamic"

[[edge.routes]]
name = "rest"
path = "/"
"""


class PagesFromReplicas(Lagging):
    pass


# Only what is below, not the tests of sessions.
for name in [name for name in dir(Lagging) if name.startswith("test_")]:
    setattr(PagesFromReplicas, name, None)
del Lagging


class Pages(PagesFromReplicas):
    def begin(self):
        server, app = self.start(config=CONFIG)
        # The stream of changes must have begun, else no page is kept.
        self.kept(server, "/read/begun")
        return server, app

    def page(self, server, path):
        """(number, port, whether it came from memory)."""
        answer = request(server.edge, "GET", path)
        self.assertEqual(answer.status, 200, answer.text())
        number, port = answer.text().split()
        return int(number), port, "; hit" in (answer.field("Cache-Status") or "")

    def kept(self, server, path):
        eventually(lambda: self.page(server, path)[2], 20)

    def test_a_write_around_everything_is_on_the_next_page_and_stays_there(self):
        server, _app = self.begin()
        stale, ports = [], set()
        for turn in range(6):
            self.cluster.superuser(f"INSERT INTO numbers VALUES ('a', {turn})")
            time.sleep(0.05)
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                for path in ("/read/a", f"/read/a?turn={turn}", f"/read/a?at={time.monotonic_ns()}"):
                    number, port, _hit = self.page(server, path)
                    ports.add(port)
                    if number != turn:
                        stale.append((turn, path, number, port))
        self.assertEqual(stale, [])
        self.assertGreater(len(ports - {self.primary}), 0, "no page was made from a replica")

    def test_a_write_through_the_proxy_is_on_everybodys_next_page_at_once(self):
        server, _app = self.begin()
        stale = []
        for turn in range(15):
            self.assertEqual(request(server.edge, "POST", f"/write/t/{turn}").text(), "written")
            for path in ("/read/t", f"/read/t?turn={turn}"):
                for _ in range(2):
                    number, port, _hit = self.page(server, path)
                    if number != turn:
                        stale.append((turn, path, number, port))
            time.sleep(0.02 * turn)
        self.assertEqual(stale, [])

    def test_pages_of_tables_that_rest_are_made_from_replicas_while_others_are_written(self):
        self.cluster.superuser("CREATE TABLE IF NOT EXISTS others (n int)")
        server, _app = self.begin()
        eventually(lambda: self.page(server, f"/read/r?at={time.monotonic_ns()}")[1] != self.primary)
        from_replicas = 0
        for turn in range(20):
            self.cluster.superuser(f"INSERT INTO others VALUES ({turn})")
            from_replicas += self.page(server, f"/read/r?turn={turn}")[1] != self.primary
        self.assertGreater(from_replicas, 15)


del PagesFromReplicas

if __name__ == "__main__":
    unittest.main()
