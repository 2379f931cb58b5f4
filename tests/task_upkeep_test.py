"""Upkeep of the app's databases by the task server's own recurring tasks: what they find, and that they change nothing unless told to."""

import contextlib
import unittest

import psycopg2

from harness.postgres import SqlScenario, eventually


class Upkeep(SqlScenario):
    def run_now(self, server, name):
        """The same job as its schedule makes; what it says it did."""
        jid = server.api("POST", "/api/v1/tasks", {"jobtype": name, "queue": "headroom", "args": [], "custom": {"track": 1}}).json()["jid"]
        answer = server.api("GET", f"/api/v1/tasks/jobs/{jid}/result?wait=9s")
        self.assertEqual((answer.status, answer.json()["state"]), (200, "success"), answer.text())
        return answer.json()["result"]

    @contextlib.contextmanager
    def cursor(self, server):
        connection = psycopg2.connect(self.dsn(server))
        connection.autocommit = True
        try:
            yield connection.cursor()
        finally:
            connection.close()

    def test_indexes_that_are_invalid_unused_or_there_twice_are_named(self):
        server = self.proxy()
        names = {schedule["name"]: schedule for schedule in server.api("GET", "/api/v1/tasks/schedules").json()["schedules"]}
        self.assertIn("headroom-index-check", names)
        self.assertIn("headroom-statistics", names)
        with self.cursor(server) as sql:
            sql.execute("CREATE TABLE looked_at (id int PRIMARY KEY, a int, b int); INSERT INTO looked_at SELECT i, 1, i FROM generate_series(1, 50) i")
            sql.execute("CREATE INDEX first_of_two ON looked_at (b); CREATE INDEX second_of_two ON looked_at (b); CREATE INDEX other_way ON looked_at (b DESC)")
            with self.assertRaises(psycopg2.Error):
                sql.execute("CREATE UNIQUE INDEX CONCURRENTLY never_whole ON looked_at (a)")
        said = self.run_now(server, "headroom-index-check")
        self.assertIn("1 invalid (public.never_whole)", said)
        self.assertIn("1 duplicate (public.second_of_two)", said)
        for name in ("first_of_two", "second_of_two", "other_way"):
            self.assertIn(f"public.{name}", said)
        self.assertNotIn("looked_at_pkey", said)

    def changed(self, sql, table):
        """A table that nobody has analyzed, and nobody will but us."""
        sql.execute(f"CREATE TABLE {table} (id int) WITH (autovacuum_enabled = false); INSERT INTO {table} SELECT generate_series(1, 1000)")

    def analyzed(self, sql, table):
        sql.execute(f"SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = '{table}'")
        return sql.fetchone() == (True,)

    def test_old_statistics_are_named_and_left_alone(self):
        server = self.proxy()
        with self.cursor(server) as sql:
            self.changed(sql, "left_alone")
            eventually(lambda: "public.left_alone" in self.run_now(server, "headroom-statistics"))
            self.assertIn("tasks.analyze", self.run_now(server, "headroom-statistics"))
            self.assertFalse(self.analyzed(sql, "left_alone"))

    def test_old_statistics_are_refreshed_when_that_is_asked_for(self):
        config = self.directory / "analyze.toml"
        config.write_text("[tasks]\nanalyze = true\n")
        server = self.proxy(config=config)
        with self.cursor(server) as sql:
            self.changed(sql, "refreshed")
            eventually(lambda: "refreshed" in self.run_now(server, "headroom-statistics") and self.analyzed(sql, "refreshed"))
            eventually(lambda: "public.refreshed" not in self.run_now(server, "headroom-statistics"))

    def test_a_database_that_is_away_is_a_failure_that_says_so_and_it_recovers(self):
        gate = self.gate()
        server = self.proxy(port=gate.port)
        gate.mode = "stall"
        jid = server.api("POST", "/api/v1/tasks", {"jobtype": "headroom-index-check", "queue": "headroom", "args": [], "retry": -1, "custom": {"track": 1}}).json()["jid"]
        eventually(lambda: server.api("GET", f"/api/v1/tasks/jobs/{jid}/result?wait=9s").json()["state"] == "dead", 60)
        self.assertIn("booking", server.api("GET", f"/api/v1/tasks/jobs/{jid}").json()["job"]["failure"]["message"])
        gate.mode = "open"
        eventually(lambda: "booking" in self.run_now(server, "headroom-index-check"), 30)


if __name__ == "__main__":
    unittest.main()
