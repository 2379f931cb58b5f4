"""What the SQL proxy knows of the queries that pass through it: counts, times, plans; and how its pools are."""

import json
import threading
import time
import unittest

from harness import eventually
from harness.postgres import FLUSH, SYNC, SqlScenario, bind, execute, kinds, parse

QUERIES = "/api/v1/database/slow-queries"
POOLS = "/api/v1/sql/pools"


class Insight(SqlScenario):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.superuser("CREATE TABLE things (id int PRIMARY KEY, name text); INSERT INTO things SELECT n, 'thing ' || n FROM generate_series(1, 10000) n; ANALYZE things; GRANT ALL ON things TO booking")

    def queries(self, server, by="total", limit=100):
        return {row["query"]: row for row in server.api("GET", f"{QUERIES}?by={by}&limit={limit}").json()["slow_queries"]}

    def test_each_shape_has_its_calls_rows_bytes_errors_and_times(self):
        server = self.proxy()
        wire = self.wire(server)
        for number in (3, 10):
            self.assertEqual(len(wire.values(f"SELECT name FROM things WHERE id <= {number}")), number)
        wire.query("UPDATE things SET name = name WHERE id BETWEEN 1 AND 50")
        wire.query("SELECT pg_sleep(0.05), 'x' FROM generate_series(1, 2)")
        for statement in ("SELECT 1/0", "SELECT 1/00", "SELECT nothing FROM things", "INSERT INTO things VALUES (1)"):
            self.assertIn("E", kinds(wire.query(statement)))
        self.assertIn("E", kinds(self.exchange(wire, parse("", "SELECT $1::int + nonsense"), SYNC)))
        rows = self.queries(server)
        self.assertEqual([(rows[q]["calls"], rows[q]["rows"], rows[q]["errors_by_class"]) for q in (
            "SELECT name FROM things WHERE id <= ?", "UPDATE things SET name = name WHERE id BETWEEN ? AND ?", "SELECT ? / ?", "SELECT nothing FROM things",
            "INSERT INTO things VALUES (?)", "SELECT ? :: int + nonsense")],
            [(2, 13, {}), (1, 50, {}), (2, 0, {"22": 2}), (1, 0, {"42": 1}), (1, 0, {"23": 1}), (1, 0, {"42": 1})], rows.keys())
        slow = rows["SELECT pg_sleep (?), ? FROM generate_series (?)"]
        self.assertGreaterEqual(slow["mean_ms"], 100)
        self.assertGreaterEqual(slow["p99_ms"], 100)
        self.assertLess(slow["mean_ms"], 10_000)
        select = rows["SELECT name FROM things WHERE id <= ?"]
        # 2 RowDescriptions of 30 bytes, 13 DataRows of 11 and "thing 1" to "thing 10", "SELECT 3" and "SELECT 10", 2 ReadyForQuery.
        self.assertEqual(select["bytes"], 2 * 30 + 13 * 11 + 12 * 7 + 8 + 14 + 15 + 2 * 6)
        self.assertEqual({(row["database"], row["user"]) for row in rows.values()}, {("booking", "booking")})
        first = next(iter(self.queries(server, by="errors", limit=1).values()))
        self.assertEqual(first["query"], "SELECT ? / ?")

    def exchange(self, wire, *messages):
        wire.send_all(*messages)
        return wire.until_ready()

    def test_each_statement_of_a_pipeline_counts_by_itself(self):
        server = self.proxy()
        wire = self.wire(server)
        one, two = "SELECT name FROM things WHERE id = $1::int", "SELECT pg_sleep(0.05), $1::int"
        answer = self.exchange(wire, parse("one", one), parse("two", two), bind("one", values=("1",)), execute(), FLUSH, bind("two", values=("2",)), execute(), FLUSH, bind("one", values=("3",)), execute(), SYNC,
                               bind("one", values=("nonsense",)), execute(), SYNC)
        self.assertEqual(kinds(answer), "112DC2DC2DCZ")
        self.assertEqual(kinds(wire.until_ready()), "EZ")
        rows = self.queries(server)
        first, second = rows["SELECT name FROM things WHERE id = ? :: int"], rows["SELECT pg_sleep (?), ? :: int"]
        self.assertEqual((first["calls"], first["rows"], first["errors_by_class"], second["calls"], second["rows"]), (3, 2, {"22": 1}, 1, 1))
        self.assertGreaterEqual(second["mean_ms"], 50)
        self.assertLess(first["total_ms"], second["total_ms"])
        # A portal read in parts.
        answer = self.exchange(wire, (b"P", b"\0SELECT id FROM things ORDER BY id LIMIT 25\0\0\0"), bind(), execute(rows=10), execute(rows=10), execute(rows=10), SYNC)
        self.assertEqual(kinds(answer).count("D"), 25)
        self.assertEqual(self.queries(server)["SELECT id FROM things ORDER BY id LIMIT ?"]["rows"], 25)

    def test_the_first_row_is_timed_by_itself(self):
        server = self.proxy()
        wire = self.wire(server)
        # Enough bytes before the pause that the server sends them.
        wire.values("SELECT repeat('x', 9000), CASE WHEN n = 20 THEN pg_sleep(0.3) END FROM generate_series(1, 20) n")
        row = next(iter(self.queries(server).values()))
        self.assertGreaterEqual(row["mean_ms"], 300)
        self.assertLess(row["first_row_p50_ms"], 200)
        self.assertGreater(row["first_row_p50_ms"], 0)

    def test_waits_for_a_connection_are_told_apart(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        holder, waiter = self.wire(server), self.wire(server)
        holder.query("BEGIN")
        waiter.send(b"Q", b"SELECT 'waited'\0")
        eventually(lambda: server.api("GET", POOLS).json()["pools"][0]["waiting"] == 1)
        time.sleep(0.1)
        holder.query("COMMIT")
        self.assertEqual(kinds(waiter.until_ready()), "TDCZ")
        row = self.queries(server)["SELECT ?"]
        self.assertEqual((row["calls"], row["waits"]), (1, 1))
        self.assertGreaterEqual(row["wait_ms"], 100)
        self.assertLess(row["mean_ms"], row["wait_ms"])
        self.assertEqual(next(iter(self.queries(server, by="wait", limit=1))), "SELECT ?")

    def test_no_value_is_kept_unless_it_is_asked_for(self):
        server = self.proxy(slow_query="1ms")
        wire = self.wire(server)
        wire.values("SELECT 'hunter2', pg_sleep(0.01)")
        self.exchange(wire, parse("", "SELECT $1::text, pg_sleep(0.01)"), bind(values=("hunter3",)), execute(), SYNC)
        row = self.queries(server)["SELECT ?, pg_sleep (?)"]
        self.assertFalse(row["sampled"])
        one = server.api("GET", f"{QUERIES}/{row['id']}").json()
        self.assertEqual((one["query"], one["sample"]), ("SELECT ?, pg_sleep (?)", None))
        eventually(lambda: any("SELECT ?, pg_sleep (?)" in line for line in server.lines))
        # What is cut, has no end or is too long to be looked at as a whole shows no value either.
        for text in ("SELECT pg_sleep(0.01), 'hunter4 and no end", "SELECT pg_sleep(0.01), '" + "hunter5 " * 1000 + "'", "SELECT pg_sleep(0.01), '" + "hunter6 " * 50_000 + "'", "SELECT pg_sleep(0.01), $x$hunter7"):
            wire.query(text)
        self.assertIn("SELECT pg_sleep (?), ?", self.queries(server))
        eventually(lambda: sum("SELECT pg_sleep (?), ?" in line for line in server.lines) >= 2)
        self.assertNotIn("hunter", "\n".join(server.lines) + json.dumps(self.queries(server)) + json.dumps(one))

    def test_samples_are_the_slowest_and_for_admins_only(self):
        server = self.proxy(samples="values")
        wire = self.wire(server)
        wire.query("SET search_path = public, pg_catalog")
        for pause in ("0.01", "0.06", "0.02"):
            self.exchange(wire, parse("", "SELECT pg_sleep($1::float), $2::text, $3::bytea"), (b"B", bind(values=(pause, "it's"))[1][:-2].replace(b"\0\2\0\0\0\4", b"\0\3\0\0\0\4") + b"\xff\xff\xff\xff\0\0"), execute(), SYNC)
        wire.query("ALTER ROLE booking PASSWORD 'hunter4'")
        self.cluster.superuser(f"ALTER ROLE booking PASSWORD '{self.cluster.password}'")
        self.assertFalse(self.queries(server)["ALTER ROLE booking PASSWORD ?"]["sampled"])
        row = self.queries(server)["SELECT pg_sleep (? :: float), ? :: text, ? :: bytea"]
        self.assertTrue(row["sampled"])
        sample = server.api("GET", f"{QUERIES}/{row['id']}").json()["sample"]
        self.assertEqual((sample["query"], sample["parameters"], sample["search_path"]), ("SELECT pg_sleep($1::float), $2::text, $3::bytea", ["0.06", "it's", None], "public, pg_catalog"))
        self.assertGreaterEqual(sample["ms"], 60)
        for role in ("viewer", "operator"):
            self.assertEqual(server.api("GET", f"{QUERIES}/{row['id']}", token=server.token(role)).status, 403)
            self.assertEqual(server.api("POST", f"{QUERIES}/{row['id']}/explain", token=server.token(role)).status, 403)
        self.assertEqual(server.api("GET", QUERIES, token=server.token("viewer")).status, 200)
        self.assertNotIn("it's", server.api("GET", QUERIES).text())
        for wrong in ("0" * 16, "x", "zzzzzzzzzzzzzzzz"):
            self.assertEqual(server.api("GET", f"{QUERIES}/{wrong}").status, 404)
            self.assertEqual(server.api("POST", f"{QUERIES}/{wrong}/explain").status, 404)

    def test_redacted_samples_hold_sizes_and_no_value(self):
        server = self.proxy(samples="redacted")
        wire = self.wire(server)
        wire.values("SELECT 'hunter2' || 4711")
        self.exchange(wire, parse("", "SELECT $1::text, $2::text, 'hunter3' || $3::text"), (b"B", bind(values=("hunter4", "x"))[1][:-2].replace(b"\0\2\0\0\0\7", b"\0\3\0\0\0\7") + b"\xff\xff\xff\xff\0\0"), execute(), SYNC)
        rows = self.queries(server)
        samples = [server.api("GET", f"{QUERIES}/{rows[shape]['id']}").json()["sample"] for shape in ("SELECT ? || ?", "SELECT ? :: text, ? :: text, ? || ? :: text") if shape in rows]
        self.assertEqual([(each["query"], each["parameters"]) for each in samples], [("SELECT ? || ?", []), ("SELECT ? :: text, ? :: text, ? || ? :: text", ["7 bytes", "1 byte", None])])
        self.assertNotIn("hunter", json.dumps([rows, samples]))
        # Its plan is the shape's.
        wire.values("SELECT name FROM things WHERE id = 42")
        status, plan = self.explain(server, "SELECT name FROM things WHERE id = ?")
        self.assertEqual((status, plan["generic"]), (200, True), plan)

    def explain(self, server, query):
        answer = server.api("POST", f"{QUERIES}/{self.queries(server)[query]['id']}/explain")
        return answer.status, answer.json()

    def test_plans_are_fetched_on_demand_for_samples_and_for_shapes(self):
        for samples in ("none", "values"):
            with self.subTest(samples):
                server = self.proxy(samples=samples)
                wire = self.wire(server)
                wire.values("SELECT name FROM things WHERE id = 42")
                self.exchange(wire, parse("named", "SELECT count(*) FROM things WHERE name = $1 AND id < $2"), bind("named", values=("thing 7", "100")), execute(), SYNC)
                status, plan = self.explain(server, "SELECT name FROM things WHERE id = ?")
                self.assertEqual((status, plan["generic"]), (200, samples == "none"), plan)
                node = plan["plan"][0]["Plan"]
                self.assertEqual((node["Node Type"], node["Index Name"]), ("Index Scan", "things_pkey"))
                self.assertIn("42" if samples == "values" else "$1", node["Index Cond"])
                status, plan = self.explain(server, "SELECT count (*) FROM things WHERE name = ? AND id < ?")
                self.assertEqual(status, 200, plan)
                self.assertIn("thing 7" if samples == "values" else "$1", json.dumps(plan))
                # The pool goes on as before, and nothing of it stays.
                self.assertEqual(wire.values("SELECT count(*) FROM pg_prepared_statements WHERE name = 'headroom_plan'"), ["0"])
                self.assertEqual(wire.values("SHOW transaction_read_only"), ["off"])
                server.stop()

    def test_what_the_proxy_asks_itself_knows_nothing_of_the_last_client(self):
        self.cluster.superuser("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.things (nothing int); GRANT ALL ON SCHEMA elsewhere TO booking; GRANT ALL ON elsewhere.things TO booking; "
                               "CREATE ROLE nobody; GRANT nobody TO booking")
        self.addCleanup(lambda: self.cluster.superuser("DROP SCHEMA elsewhere CASCADE; DROP ROLE nobody"))
        server = self.proxy(pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        wire.values("SELECT name FROM things WHERE id = 42")
        for setting in ("SET search_path = elsewhere", "SET ROLE nobody", "SET statement_timeout = '20ms'"):
            wire.query(setting)
            eventually(lambda: self.explain(server, "SELECT name FROM things WHERE id = ?")[0] != 503)  # the only connection is given back by then
            status, plan = self.explain(server, "SELECT name FROM things WHERE id = ?")
            self.assertEqual((status, plan.get("plan", [{"Plan": {}}])[0]["Plan"].get("Index Name")), (200, "things_pkey"), plan)
            self.assertEqual(server.api("GET", "/api/v1/database/cache-hit-ratio").json()["status"], "ok")
        self.assertEqual(wire.values("SHOW search_path"), ["elsewhere"])  # and it keeps what is its own

    def test_nothing_that_could_have_effects_is_planned(self):
        self.cluster.superuser("CREATE TABLE effects (n int); GRANT ALL ON effects TO booking; "
                               "CREATE FUNCTION really(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO effects VALUES (n); RETURN n; END'; "
                               "CREATE FUNCTION sly(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN really(n); END'; "
                               "CREATE OR REPLACE VIEW hidden AS SELECT * FROM things WHERE id = sly(7); GRANT SELECT ON hidden TO booking")
        self.addCleanup(lambda: self.cluster.superuser("DROP VIEW hidden; DROP FUNCTION sly, really; DROP TABLE effects"))
        for samples in ("none", "values"):
            server = self.proxy(samples=samples)
            wire = self.wire(server)
            cases = {"DELETE FROM things WHERE id = -5": "only single reads", "SELECT 1; SELECT 2": "only single reads", "SELECT * FROM things WHERE id = 1 FOR UPDATE": "only single reads",
                     "SELECT name FROM things WHERE id = sly(3)": "sly", "SELECT name FROM things WHERE id = nowhere": "nowhere"}
            for statement in cases:
                wire.query(statement)
            rows = self.queries(server)
            self.assertEqual(len(rows), len(cases), rows.keys())
            before = self.cluster.superuser("SELECT count(*) FROM effects")
            for query, row in rows.items():
                answer = server.api("POST", f"{QUERIES}/{row['id']}/explain")
                self.assertEqual(answer.status, 409, (query, answer.text()))
                self.assertTrue(any(said in answer.json()["error"]["message"] for said in cases.values()), answer.text())
            self.assertEqual(self.cluster.superuser("SELECT count(*) FROM effects"), before)
            # What a view hides is evaluated in a transaction that only reads: an error, and no effect.
            wire.query("SELECT name FROM hidden")
            after = self.cluster.superuser("SELECT count(*) FROM effects")
            self.assertGreater(int(after), int(before))
            status, said = self.explain(server, "SELECT name FROM hidden")
            self.assertEqual((status, "read-only transaction" in said["error"]["message"]), (409, True), said)
            self.assertEqual(self.cluster.superuser("SELECT count(*) FROM effects"), after)
            self.assertEqual(wire.values("SELECT 1"), ["1"])
            server.stop()

    def test_a_plan_does_not_wait_for_a_full_pool_or_a_lock(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire = self.wire(server)
        wire.values("SELECT name FROM things WHERE id = 42")
        query = "SELECT name FROM things WHERE id = ?"
        locker, other = self.wire(server), self.wire(server)
        locker.query("BEGIN; LOCK TABLE things")
        status, said = self.explain(server, query)
        self.assertEqual((status, "lock timeout" in said["error"]["message"]), (409, True), said)
        other.query("BEGIN")
        status, said = self.explain(server, query)
        self.assertEqual(status, 503, said)
        locker.query("ROLLBACK")
        other.query("ROLLBACK")
        self.assertEqual(self.explain(server, query)[0], 200)

    def test_ever_new_shapes_are_bounded_and_the_newest_are_there(self):
        server = self.proxy()
        wire = self.wire(server)
        for start in range(0, 6000, 200):
            wire.send_all(*[(b"Q", f"SELECT 1 AS c{n}\0".encode()) for n in range(start, start + 200)])
            for _ in range(200):
                self.assertEqual(kinds(wire.until_ready()), "TDCZ")
        answer = server.api("GET", f"{QUERIES}?by=calls").json()
        self.assertLessEqual(answer["shapes"], 2 * answer["shapes_limit"])
        self.assertGreater(answer["forgotten"], 2000)


class Replicas(SqlScenario):
    replicas = 1

    def test_the_share_of_replicas_and_of_the_cache_is_known(self):
        self.cluster.superuser("CREATE TABLE shared (n int); INSERT INTO shared VALUES (1); GRANT ALL ON shared TO booking")
        replica = f"127.0.0.1:{self.cluster.port_of('replica1')}"
        server = self.proxy(replicas=replica, **{"cache.auto": "true"})
        eventually(lambda: any(row["usable"] == "yes" for row in self.show(server, "REPLICAS")))
        wire = self.wire(server)
        asked = 0
        while asked < 200:
            asked += 1
            wire.values("SELECT n FROM shared")
            row = next(r for r in server.api("GET", QUERIES + "?limit=100").json()["slow_queries"] if r["query"] == "SELECT n FROM shared")
            if row["cache_hits"] >= 3:
                break
        self.assertGreaterEqual(row["cache_hits"], 3)
        self.assertEqual(row["calls"], asked)
        for _ in range(10):
            wire.values("SELECT n, now() FROM shared")
        row = next(r for r in server.api("GET", QUERIES + "?limit=100").json()["slow_queries"] if r["query"] == "SELECT n, now () FROM shared")
        self.assertEqual((row["calls"], row["replica_reads"], row["replica_percent"]), (10, 10, 100))


class Pools(SqlScenario):
    def pool(self, server):
        return server.api("GET", POOLS).json()["pools"][0]

    def test_use_and_waits_give_warnings_that_end(self):
        server = self.proxy(pool_size=10, pool_overflow=0)
        wires = [self.wire(server) for _ in range(11)]
        for wire in wires[:8]:
            wire.query("BEGIN")
        pool = self.pool(server)
        self.assertEqual((pool["status"], pool["use_percent"], pool["warnings"]), ("healthy", 80, []))
        wires[8].query("BEGIN")
        pool = self.pool(server)
        self.assertEqual((pool["status"], pool["in_use"], pool["warnings"]), ("warning", 9, [{"level": "warning", "what": "use_percent", "value": 90, "limit": 80}]))
        wires[9].query("BEGIN")
        wires[10].send(b"Q", b"SELECT 1\0")
        eventually(lambda: self.pool(server)["waiting"] == 1)
        pool = self.pool(server)
        self.assertEqual((pool["status"], [(w["level"], w["what"]) for w in pool["warnings"]]), ("critical", [("critical", "use_percent"), ("warning", "waiting")]))
        health = server.api("GET", "/api/phase14/scalability/connection-pool/health").json()
        self.assertEqual((health["status"], health["pool"]["use_percent"]), ("degraded", 100))
        eventually(lambda: self.pool(server)["peak_use_percent"] == 100)
        for wire in wires[:10]:
            wire.query("COMMIT")
        self.assertEqual(kinds(wires[10].until_ready()), "TDCZ")
        eventually(lambda: self.pool(server)["status"] == "healthy")
        eventually(lambda: "eased" in [event["what"] for event in self.pool(server)["events"]])
        self.assertEqual([event["what"] for event in self.pool(server)["events"] if event["what"] in ("full", "filling", "eased")][:2], ["eased", "full"])
        self.assertEqual((self.pool(server)["peak_use_percent"], self.pool(server)["waits"]), (100, 1))
        self.assertGreater(self.pool(server)["wait_ms"], 0)

    def test_idle_connections_are_asked_for_a_sign_of_life_and_a_dead_server_is_seen(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, connect_timeout="500ms", pool_wait="600ms")
        wire = self.wire(server)
        wire.values("SELECT 1")
        eventually(lambda: self.pool(server)["response_time_ms"], 20)
        pool = self.pool(server)
        self.assertTrue(0 < pool["response_time_ms"] < 1000, pool)
        self.assertLess(pool["checked_seconds_ago"], 12)
        gate.mode = "stall"
        eventually(lambda: "check_failed" in [w["what"] for w in self.pool(server)["warnings"]], 30)
        pool = self.pool(server)
        self.assertIn(pool["status"], ("critical", "unhealthy"))
        self.assertGreaterEqual(pool["closes_by"]["unanswered"], 1)
        gate.mode = "open"
        eventually(lambda: kinds(wire.query("SELECT 1")) == "TDCZ", 20)
        eventually(lambda: self.pool(server)["status"] == "healthy", 30)

    def test_the_life_of_connections_is_told(self):
        server = self.proxy(admins="booking", idle_timeout="2s")
        wire = self.wire(server)
        wire.values("SELECT 1")
        admin = self.wire(server, database="headroom")
        for command in ("PAUSE", "RESUME", "RECONNECT"):
            self.assertEqual(kinds(admin.query(command)), "CZ")
        wire.values("SELECT 1")
        self.cluster.superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'booking'")
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'booking'") == "0")
        wire.values("SELECT 1")
        eventually(lambda: self.pool(server)["closes_by"]["idle"] >= 1, 20)
        pool = self.pool(server)
        self.assertEqual((pool["closes_by"]["renewed"], pool["closes_by"]["lost"]), (1, 1))
        told = [event["what"] for event in reversed(pool["events"])]
        self.assertEqual([what for what in told if what in ("paused", "resumed", "renewed")], ["paused", "resumed", "renewed"])
        self.assertGreaterEqual(told.count("connected"), 3)
        self.assertEqual(pool["connects"] - pool["closes"], pool["open"])
        self.assertTrue(all(set(event) == {"at", "what", "detail"} for event in pool["events"]))

    def test_pins_are_told(self):
        server = self.proxy()
        wire = self.wire(server)
        self.assertEqual(server.api("GET", "/api/v1/sql/pins").json()["pins"], [])
        wire.query("CREATE TEMP TABLE t (n int)")
        pins = server.api("GET", "/api/v1/sql/pins").json()["pins"]
        self.assertEqual([(pin["database"], pin["user"], pin["reason"]) for pin in pins], [("booking", "booking", "temporary table")])
        wire.query("DISCARD ALL")
        self.assertEqual(server.api("GET", "/api/v1/sql/pins").json()["pins"], [])


if __name__ == "__main__":
    unittest.main()
