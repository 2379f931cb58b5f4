"""The cache of results: answered from memory, and never older than what was committed through the proxy, nor than 50 ms of what was committed around it."""

import struct
import subprocess
import threading
import time
import unittest

from harness.edge import metric
from harness.postgres import SYNC, SqlScenario, Wire, bind, error_of, eventually, execute, kinds, parse
from harness.process import run

DESCRIBE_PORTAL = (b"D", b"P\0")


class Cached(SqlScenario):
    def setUp(self):
        super().setUp()
        self.cluster.superuser("DROP SCHEMA IF EXISTS t CASCADE; CREATE SCHEMA t AUTHORIZATION booking")
        self.direct("CREATE TABLE t.rooms (id int PRIMARY KEY, name text); INSERT INTO t.rooms SELECT n, 'room ' || n FROM generate_series(1, 10) n")

    def direct(self, sql):
        """Around the proxy, as the same user."""
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", self.cluster.urls["primary"], "-c", sql], capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def cached(self, port=None, **settings):
        server = self.proxy(port, **{"cache.auto": "true", **settings})
        eventually(lambda: self.stream(server)["what"].split()[0] != "0", what="the catalogue is read")
        return server

    def stream(self, server):
        return next(row for row in self.show(server, "CACHE") if row["kind"] == "stream")

    def line(self, server, words):
        return next((row for row in self.show(server, "CACHE") if row["kind"] == "query" and words in row["what"]), None)

    def hits(self, server, words):
        line = self.line(server, words)
        return int(line["hits"]) if line else 0

    def hot(self, server, wire, sql):
        """Asks until some answer came from the cache."""
        def total():
            return sum(int(row["hits"]) for row in self.show(server, "CACHE") if row["kind"] == "query")
        before = total()
        eventually(lambda: (wire.values(sql), total() > before)[1], what=f"a hit of {sql}")

    def warm(self, server, wire, sql, words=None):
        """Asks until it is answered from the cache; gives the answer."""
        words = words or sql.split(" WHERE")[0]
        before = self.hits(server, words)

        def asked():
            answer = wire.values(sql)
            return (answer,) if self.hits(server, words) > before else None

        return eventually(asked, what=f"a hit: {self.line(server, words)}")[0]


class Hits(Cached):
    def test_a_read_is_answered_from_memory_and_is_what_the_server_said(self):
        server = self.cached()
        wire = self.wire(server)
        first = wire.query("SELECT id, name FROM t.rooms WHERE id < 4 ORDER BY id")
        self.warm(server, wire, "SELECT id, name FROM t.rooms WHERE id < 4 ORDER BY id")
        self.assertEqual(wire.query("SELECT id, name FROM t.rooms WHERE id < 4 ORDER BY id"), first)

    def test_the_extended_protocol_is_answered_too_by_values_and_formats(self):
        server = self.cached()
        wire = self.wire(server)
        one = (parse("", "SELECT name FROM t.rooms WHERE id = $1::int"), bind(values=["1"]), DESCRIBE_PORTAL, execute(), SYNC)
        wire.send_all(*one)
        first = wire.until_ready()
        self.assertEqual(kinds(first), "12TDCZ")

        def hit():
            wire.send_all(*one)
            self.assertEqual(wire.until_ready(), first)
            return self.hits(server, "SELECT name FROM t.rooms") > 2

        eventually(hit)
        wire.send_all(parse("", "SELECT name FROM t.rooms WHERE id = $1::int"), bind(values=["2"]), DESCRIBE_PORTAL, execute(), SYNC)
        self.assertIn(b"room 2", wire.until_ready()[3][1])
        for value in ("today", " TOMORROW ", "now"):  # says another time each time
            for _ in range(3):
                wire.send_all(parse("", "SELECT count(*) FROM t.rooms WHERE $1::date > '2020-01-01'"), bind(values=[value]), execute(), SYNC)
                self.assertEqual(kinds(wire.until_ready()), "12DCZ")
        self.assertIn("means the time", self.line(server, "> ?")["state"])
        # The statement without a name is there after a hit, and a named one is answered by its text.
        wire.send_all(*one)
        wire.until_ready()
        wire.send_all(bind(values=["3"]), execute(), SYNC)
        self.assertIn(b"room 3", wire.until_ready()[1][1])
        wire.send_all(parse("mine", "SELECT name FROM t.rooms WHERE id = $1::int"), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "1Z")
        before = self.hits(server, "SELECT name FROM t.rooms")

        def named():
            wire.send_all(bind("mine", values=["3"]), execute(), SYNC)
            answer = wire.until_ready()
            self.assertEqual(kinds(answer), "2DCZ")
            self.assertIn(b"room 3", answer[1][1])
            return self.hits(server, "SELECT name FROM t.rooms") > before

        eventually(named)

    def test_a_hit_is_the_same_however_its_bytes_come(self):
        server = self.cached()
        wire = self.wire(server)
        hot = "SELECT name FROM t.rooms WHERE id = 1"
        self.warm(server, wire, hot)
        whole = wire.query(hot)

        def frame(sql):
            return b"Q" + struct.pack("!I", len(sql) + 5) + sql.encode() + b"\0"

        for cut in range(1, len(frame(hot))):
            wire.sock.sendall(frame(hot)[:cut])
            time.sleep(0.001)
            wire.sock.sendall(frame(hot)[cut:])
            self.assertEqual(wire.until_ready(), whole)
        # Several at once among misses, in their order, with the next one begun.
        for turn in range(20):
            cold = [f"SELECT {turn} + id FROM t.rooms WHERE id = {n}" for n in (2, 3)]
            wire.sock.sendall(3 * frame(hot) + frame(cold[0]) + frame(hot) + frame(cold[1])[:turn])
            wire.sock.sendall(frame(cold[1])[turn:])
            answers = [wire.until_ready() for _ in range(6)]
            self.assertEqual([answers[i] for i in (0, 1, 2, 4)], 4 * [whole])
            self.assertEqual([answers[i][1][1][6:] for i in (3, 5)], [str(turn + n).encode() for n in (2, 3)])
        before = self.hits(server, "SELECT name FROM t.rooms")
        wire.sock.sendall(frame(hot) + b"X\0\0\0\4")  # a goodbye behind it
        self.assertEqual(wire.until_ready(), whole)
        self.assertEqual(wire.sock.recv(1), b"")
        self.assertEqual(self.hits(server, "SELECT name FROM t.rooms"), before + 1)

    def test_who_is_answered_from_memory_is_not_idle_and_is_ended_as_soon_as_it_is(self):
        server = self.cached(client_idle_timeout="1s")
        wire = self.wire(server)
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")
        for _ in range(8):
            time.sleep(0.25)
            self.assertEqual(wire.values("SELECT name FROM t.rooms WHERE id = 1"), ["room 1"])
        self.assertIn("57P05", error_of(wire.read()[1]))

    def test_a_prepared_statement_s_answer_is_kept_with_its_rows(self):
        server = self.cached()
        asker, other = self.wire(server), self.wire(server)
        for wire in (asker, other):
            wire.send_all(parse("mine", "SELECT name FROM t.rooms WHERE id > $1::int ORDER BY id"), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "1Z")

        def hit():
            before = self.hits(server, "SELECT name FROM t.rooms WHERE id >")
            for wire in (asker, other):
                wire.send_all(bind("mine", values=["7"]), execute(), SYNC)
                answer = wire.until_ready()
                if kinds(answer) != "2DDDCZ" or b"room 8" not in answer[1][1]:
                    raise LookupError(answer)
            return self.hits(server, "SELECT name FROM t.rooms WHERE id >") > before + 1

        eventually(hit)
        # And where the answer is asked for again unseen, as the plan is of yesterday's table, it is there once.
        for turn in range(3):
            self.direct(f"ALTER TABLE t.rooms ALTER COLUMN name TYPE varchar({100 + turn})")
            eventually(hit)

    def test_many_who_ask_at_once_cost_one_query(self):
        server = self.cached()
        wires = [self.wire(server) for _ in range(20)]
        for round in range(10):
            self.warm(server, wires[0], "SELECT name FROM t.rooms WHERE id = 1")  # so the stream is current
            # One of a kind each round, and slow.
            sql = f"SELECT count(*) AS n{round} FROM " + ", ".join(f"t.rooms r{n}" for n in range(6))
            for wire in wires:
                wire.send(b"Q", sql.encode() + b"\0")
            for wire in wires:
                self.assertEqual(wire.until_ready()[1][1][6:], b"1000000")
            line = self.line(server, f"AS n{round} ")
            if line["passed_by"] == "0":  # else the stream was not current for a moment
                self.assertEqual((line["misses"], line["hits"]), ("1", "19"))
                return
        self.fail("the stream was never current")

    def test_each_refusal_is_explained(self):
        server = self.cached()
        wire = self.wire(server)
        self.direct("CREATE UNLOGGED TABLE t.fast (n int); CREATE FUNCTION t.f() RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM t.rooms'; "
                    "CREATE FUNCTION t.price(t.rooms) RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM t.fast'; "
                    "CREATE VIEW t.recent AS SELECT id, now() AS at FROM t.rooms")
        eventually(lambda: self.stream(server)["state"] == "current" or wire.values("SELECT count(*) FROM t.rooms") is None)
        for sql, why in (("SELECT now(), id FROM t.rooms", "now() depends on the moment"), ("SELECT random(), id FROM t.rooms", "random() is volatile"),
                         ("SELECT CURRENT_DATE, id FROM t.rooms", "depends on the time"), ("SELECT id FROM t.rooms FOR UPDATE", "it locks rows"),
                         ("SELECT n FROM t.fast", "an unlogged table"), ("SELECT relname FROM pg_class", "a system catalogue"), ("SELECT t.f(), id FROM t.rooms", "f() is a function that may"),
                         ("SELECT at FROM t.recent", "the view recent calls now"), ("SELECT 1", "it reads no table"), ("UPDATE t.rooms SET name = name", "it is no read (write)"),
                         ("SELECT r.price FROM t.rooms r", "it may call a function as a column"),
                         ("SELECT id FROM t.rooms TABLESAMPLE system (100)", "TABLESAMPLE")):
            with self.subTest(sql):
                def refused():
                    wire.query(sql)
                    return [row for row in self.show(server, "CACHE") if row["kind"] == "query" and why in row["state"]]
                eventually(refused, what=(why, sql))

    def test_roles_search_paths_and_formats_do_not_share_results(self):
        server = self.cached()
        self.direct("CREATE TABLE t.at (moment timestamptz); INSERT INTO t.at VALUES ('2026-01-01 12:00+00'); DROP SCHEMA IF EXISTS u CASCADE; CREATE SCHEMA u; "
                    "CREATE TABLE u.rooms (id int, name text); INSERT INTO u.rooms VALUES (1, 'other')")
        wire = self.wire(server)
        for _ in range(2):
            for zone, hour in (("UTC", "12"), ("Asia/Tokyo", "21")):
                wire.query(f"SET TimeZone = '{zone}'")
                self.assertIn(f" {hour}:", self.warm(server, wire, "SELECT moment FROM t.at")[0])
            for schema, name in (("t", "room 1"), ("u", "other")):
                wire.query(f"SET search_path = {schema}")
                self.assertEqual(self.warm(server, wire, "SELECT name FROM rooms WHERE id = 1"), [name])
        self.direct("DROP SCHEMA u CASCADE")

    def test_without_rules_or_auto_nothing_is_cached_and_a_rule_names_what_is(self):
        config = self.settings('[[sql.cache.rules]]\nquery = "SELECT name FROM t.rooms*"\n\n[[sql.cache.rules]]\nquery = "SELECT id*"\ncache = false\n')
        server = self.proxy(config=config)
        wire = self.wire(server)
        eventually(lambda: self.stream(server)["what"].split()[0] != "0")
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")
        for sql, why in (("SELECT id FROM t.rooms", "a rule says so"), ("SELECT DISTINCT id FROM t.rooms", "no rule names it")):
            wire.values(sql)
            self.assertEqual(self.line(server, sql)["state"], why)

    def test_a_result_lives_to_its_ttl_and_a_count_to_its_own(self):
        """Nothing is written: what has to be asked for again while its neighbour of the same table stays has come to the end of its time."""
        queries = {"result": "SELECT name FROM t.rooms", "count": "SELECT count (*) FROM t.rooms"}
        for short, long in (("result", "count"), ("count", "result")):
            server = self.cached(**{"cache.ttl": "1s" if short == "result" else "1h", "cache.count_ttl": "1s" if short == "count" else "1h"})
            wire = self.wire(server)
            for sql in queries.values():
                self.warm(server, wire, sql)

            def asked_for(kind):
                wire.values(queries[kind])
                return int(self.line(server, queries[kind])["misses"])

            def runs_out():
                """In one look: the one was dropped, the other was not."""
                before = {kind: asked_for(kind) for kind in queries}
                eventually(lambda: asked_for(short) > before[short], what=f"the {short} is asked for again")
                return asked_for(long) == before[long]

            eventually(runs_out, what=f"the {short} runs out and the {long} stays")

    def test_it_is_off_unless_it_is_asked_for(self):
        server = self.proxy()
        self.assertEqual(self.wire(server).values("SELECT name FROM t.rooms WHERE id = 1"), ["room 1"])
        self.assertIn("off", self.stream(server)["state"])


class Promises(Cached):
    def test_who_reads_after_a_commit_through_the_proxy_never_sees_less(self):
        server = self.cached()
        writer, reader = self.wire(server), self.wire(server)
        self.direct("CREATE TABLE t.child (id int REFERENCES t.rooms ON DELETE CASCADE, n int); CREATE TABLE t.log (n serial, what text); CREATE TABLE t.months (d date, n int) PARTITION BY RANGE (d); "
                    "CREATE TABLE t.january PARTITION OF t.months FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); CREATE VIEW t.names AS SELECT name FROM t.rooms; "
                    "CREATE FUNCTION t.logs() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO t.log (what) VALUES (NEW.name); RETURN NEW; END$$; "
                    "CREATE FUNCTION t.adds(int) RETURNS int LANGUAGE plpgsql AS $$BEGIN INSERT INTO t.months VALUES ('2026-01-07', $1); RETURN $1; END$$")
        ways = [("INSERT INTO t.rooms VALUES ({n}, 'x{n}')", "SELECT name FROM t.rooms ORDER BY id DESC LIMIT 1", "x{n}"),
                ("BEGIN; UPDATE t.rooms SET name = 'y{n}' WHERE id = 1; COMMIT", "SELECT name FROM t.names WHERE name LIKE 'y%'", "y{n}"),
                ("INSERT INTO t.january VALUES ('2026-01-03', {n})", "SELECT max(n) FROM t.months", "{n}"),
                ("INSERT INTO t.months VALUES ('2026-01-04', {n})", "SELECT max(n) FROM t.january", "{n}"),
                ("SELECT t.adds({n})", "SELECT max(n) FROM t.months", "{n}"),
                ("DO $$BEGIN INSERT INTO t.months VALUES ('2026-01-04', {n}); END$$", "SELECT max(n) FROM t.january", "{n}"),
                ("WITH w AS (INSERT INTO t.months VALUES ('2026-01-05', {n}) RETURNING n) SELECT n FROM w", "SELECT max(n) FROM t.january", "{n}"),
                ("COPY (SELECT 1) TO STDOUT; INSERT INTO t.child VALUES (2, {n})", "SELECT max(n) FROM t.child", "{n}"),
                ("TRUNCATE t.child; INSERT INTO t.child VALUES (2, {n})", "SELECT max(n) FROM t.child", "{n}")]
        for turn in range(6):
            for number, (write, read, wanted) in enumerate(ways):
                n = 1000 + turn * 100 + number
                self.hot(server, reader, read)
                messages = writer.query(write.format(n=n))
                self.assertNotIn("E", kinds(messages), [error_of(body) for kind, body in messages if kind == b"E"])
                self.assertEqual(reader.values(read), [wanted.format(n=n)], write)
        # Cascades and triggers.
        self.direct("CREATE TRIGGER logs AFTER UPDATE ON t.rooms FOR EACH ROW EXECUTE FUNCTION t.logs()")
        for turn in range(10):
            writer.query(f"INSERT INTO t.rooms VALUES ({turn + 5000}, 'gone'); INSERT INTO t.child VALUES ({turn + 5000}, {turn + 90000})")
            self.assertEqual(reader.values("SELECT max(n) FROM t.child"), [str(turn + 90000)])
            reader.values("SELECT max(n) FROM t.child")
            writer.query(f"DELETE FROM t.rooms WHERE id = {turn + 5000}")
            self.assertLess(int(reader.values("SELECT max(n) FROM t.child")[0]), 90000)
            reader.values("SELECT what FROM t.log ORDER BY n DESC LIMIT 1")
            writer.query(f"UPDATE t.rooms SET name = 'z{turn}' WHERE id = 1")
            self.assertEqual(reader.values("SELECT what FROM t.log ORDER BY n DESC LIMIT 1"), [f"z{turn}"])

    def test_what_is_committed_around_the_proxy_is_seen_within_50_ms(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        for turn in range(20):
            self.warm(server, wire, sql)
            self.direct(f"UPDATE t.rooms SET name = 'turn {turn}' WHERE id = 1")
            done = time.monotonic()
            time.sleep(max(0, done + 0.05 - time.monotonic()))
            self.assertEqual(wire.values(sql), [f"turn {turn}"])

    def test_what_is_written_too_often_is_not_looked_up_until_the_writes_have_ended(self):
        server = self.cached()
        self.direct("CREATE TABLE t.busy AS SELECT n AS id, 0 AS v FROM generate_series(1, 1000) n")
        stop = threading.Event()

        def write():
            wire = Wire(server.doors["sql"], password=self.cluster.password)
            turn = 0
            while not stop.is_set():
                turn += 1
                wire.query(f"UPDATE t.busy SET v = {turn} WHERE id = 1")
            wire.close()

        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(lambda: (stop.set(), writer.join()))
        reader, turn = self.wire(server), 0

        def rests():
            nonlocal turn
            for _ in range(100):
                turn += 1
                self.assertEqual(len(reader.values(f"SELECT v FROM t.busy WHERE id = {turn % 1000 + 1}")), 1)
            return "written too often" in self.line(server, "SELECT v FROM t.busy")["state"]

        eventually(rests, 20, what=lambda: self.line(server, "SELECT v FROM t.busy"))
        self.assertRegex(self.line(server, "SELECT v FROM t.busy")["state"], r"\d+ hits in \d+ look-ups, \d+ drops; it is tried again in \d+ s")
        # Another query is none the worse, and when the writes have ended this one is looked up again.
        self.warm(server, reader, "SELECT name FROM t.rooms WHERE id = 1")
        stop.set()
        writer.join()
        last = self.direct("SELECT v FROM t.busy WHERE id = 1")
        self.assertEqual(self.warm(server, reader, "SELECT v FROM t.busy WHERE id = 1"), [last])

    def test_what_tables_are_may_change(self):
        server = self.cached()
        wire = self.wire(server)
        self.warm(server, wire, "SELECT * FROM t.rooms WHERE id = 1")
        self.direct("ALTER TABLE t.rooms RENAME COLUMN name TO label")
        eventually(lambda: b"label" in wire.query("SELECT * FROM t.rooms WHERE id = 1")[0][1], timeout=0.5)
        wire.query("ALTER TABLE t.rooms RENAME COLUMN label TO name")
        self.assertIn(b"name", wire.query("SELECT * FROM t.rooms WHERE id = 1")[0][1])
        self.direct("CREATE VIEW t.v AS SELECT 'one' AS it FROM t.rooms LIMIT 1")
        eventually(lambda: self.warm(server, wire, "SELECT it FROM t.v"))
        self.direct("CREATE OR REPLACE VIEW t.v AS SELECT 'two' AS it FROM t.rooms LIMIT 1")
        eventually(lambda: wire.values("SELECT it FROM t.v") == ["two"], timeout=0.5)
        # DDL and DML in one transaction leave no trace of the DDL in the log: the catalogue's fingerprint tells within a second.
        self.warm(server, wire, "SELECT it FROM t.v")
        self.direct("BEGIN; CREATE OR REPLACE VIEW t.v AS SELECT 'three' AS it FROM t.rooms LIMIT 1; INSERT INTO t.rooms VALUES (777, 'x'); COMMIT")
        eventually(lambda: wire.values("SELECT it FROM t.v") == ["three"], timeout=1.5)
        self.direct("CREATE MATERIALIZED VIEW t.m AS SELECT count(*) AS n FROM t.rooms")
        before = eventually(lambda: self.warm(server, wire, "SELECT n FROM t.m"))[0]
        self.direct("INSERT INTO t.rooms VALUES (778, 'x')")
        wire.query("REFRESH MATERIALIZED VIEW t.m")
        self.assertEqual(wire.values("SELECT n FROM t.m"), [str(int(before) + 1)])

    def test_a_transaction_that_has_written_reads_its_own_rows_and_a_rolled_back_one_leaves_none(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        self.warm(server, wire, sql)
        wire.query("BEGIN")
        wire.query("UPDATE t.rooms SET name = 'mine' WHERE id = 1")
        self.assertEqual(wire.values(sql), ["mine"])
        wire.query("ROLLBACK")
        for _ in range(3):
            self.assertEqual(wire.values(sql), ["room 1"])

    def test_a_transaction_that_only_reads_is_answered_from_memory_too(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        self.warm(server, wire, sql)
        for begin, cached in (("BEGIN", True), ("BEGIN ISOLATION LEVEL READ COMMITTED", True), ("BEGIN ISOLATION LEVEL REPEATABLE READ", False), ("BEGIN; SELECT id FROM t.rooms FOR UPDATE", False),
                              ("BEGIN; SET LOCAL search_path = u", False), ("BEGIN; SELECT set_config('TimeZone', 'UTC', true)", False)):
            with self.subTest(begin):
                for _ in range(20):
                    self.warm(server, wire, sql)
                    wire.query(begin)
                    before = self.hits(server, "FROM t.rooms WHERE id = ?")
                    messages = wire.query(sql)
                    self.assertEqual((kinds(messages), messages[-1][1]), ("TDCZ", b"T"))
                    wire.query("COMMIT")
                    hit = self.hits(server, "FROM t.rooms WHERE id = ?") > before
                    self.assertTrue(cached or not hit)
                    if hit == cached:
                        break
                self.assertEqual(hit, cached)

    def test_a_slot_that_waits_for_an_open_transaction_says_for_whom(self):
        holder = Wire(("127.0.0.1", self.cluster.port), password=self.cluster.password)
        self.addCleanup(holder.close)
        holder.query("BEGIN")
        pid = holder.values("SELECT pg_backend_pid()")[0]
        holder.query("INSERT INTO t.rooms VALUES (500, 'open')")
        server = self.proxy(**{"cache.auto": "true"})
        wire = self.wire(server)
        eventually(lambda: f"open: pid {pid}" in self.stream(server)["state"], what="the cause and its pid")
        wire.values("SELECT name FROM t.rooms WHERE id = 1")
        self.assertIn("catalogue", self.line(server, "SELECT name FROM t.rooms")["state"])
        holder.query("COMMIT")
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")


class Cancelled(Cached):
    """Who waits for another's query is cancelled: what then comes of it is for no other statement."""

    def setUp(self):
        super().setUp()
        self.direct("CREATE TABLE t.other (id int PRIMARY KEY, name text); INSERT INTO t.other SELECT n, 'other ' || n FROM generate_series(1, 10) n")
        self.server = self.cached()
        self.holder = Wire(("127.0.0.1", self.cluster.port), password=self.cluster.password)
        self.addCleanup(self.holder.close)

    def cancelled(self, turn, begin=None, leaves=False):
        """(the waiting one, after it was cancelled; what both have asked)."""
        filling, waiting = self.wire(self.server), self.wire(self.server)
        self.warm(self.server, filling, "SELECT id FROM t.other WHERE id = 1")  # the stream is current
        if begin:
            waiting.query(begin)
        sql = f"SELECT name, {turn} FROM t.rooms WHERE id = 1"
        self.holder.query("BEGIN; LOCK TABLE t.rooms IN ACCESS EXCLUSIVE MODE")
        for wire in (filling, waiting):
            wire.send(b"Q", sql.encode() + b"\0")
            time.sleep(0.1)
        time.sleep(0.1 + turn * 0.013)
        waiting.cancel()
        if leaves:
            filling.close()
        time.sleep(0.01)
        self.holder.query("ROLLBACK")
        ended = waiting.until_ready()
        if not leaves:
            self.assertEqual(kinds(filling.until_ready()), "TDCZ")
        return waiting, sql, ended

    def test_the_next_query_has_its_own_answer(self):
        for turn in range(4):
            waiting, sql, _ended = self.cancelled(turn)
            self.assertEqual(waiting.values("SELECT name FROM t.other WHERE id = 2"), ["other 2"])
            self.assertEqual(self.wire(self.server).values(sql), ["room 1"])

    def test_the_next_query_is_not_stored_for_the_one_that_was_cancelled(self):
        for turn in range(6):
            waiting, sql, _ended = self.cancelled(turn, leaves=True)
            self.assertEqual(waiting.values("SELECT name, 9 FROM t.other WHERE id = 2"), ["other 2"])
            for _ in range(3):
                self.assertEqual(self.wire(self.server).values(sql), ["room 1"])

    def test_the_next_write_is_executed(self):
        for turn in range(6):
            waiting, _sql, _ended = self.cancelled(turn)
            self.assertEqual(kinds(waiting.query(f"UPDATE t.other SET name = 'turn {turn}' WHERE id = 3")), "CZ")
            self.assertEqual(self.direct("SELECT name FROM t.other WHERE id = 3"), f"turn {turn}")

    def test_in_a_transaction_it_is_answered_and_the_transaction_goes_on(self):
        for turn in range(3):
            waiting, _sql, ended = self.cancelled(turn, begin="BEGIN")
            self.assertEqual((kinds(ended), ended[-1][1]), ("TDCZ", b"T"))
            self.assertEqual(waiting.values("SELECT name FROM t.other WHERE id = 2"), ["other 2"])
            self.assertEqual(waiting.query("COMMIT")[-1][1], b"I")


class Told(Cached):
    def test_show_cache_the_api_and_the_metrics_agree(self):
        server = self.cached(**{"cache.max_result": "1KiB"})
        wire = self.wire(server)
        self.direct("CREATE TABLE t.wide AS SELECT repeat('x', 2000) AS what")
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")
        for sql in ("SELECT random(), id FROM t.rooms", "SELECT now(), id FROM t.rooms", "SELECT 1"):
            wire.query(sql)
        eventually(lambda: wire.query("SELECT what FROM t.wide") and "larger than" in self.line(server, "t.wide")["state"])
        said = eventually(lambda: wire.query("SELECT 1") and (now := server.api("GET", "/api/v1/sql/cache").json())["status"] == "ok" and now)
        rows = [row for row in self.show(server, "CACHE") if row["kind"] == "query"]
        for name in ("hits", "misses"):
            self.assertEqual(said[name], sum(int(row[name]) for row in rows))
            self.assertEqual(said[name], metric(server, "headroom_sql_cache_lookups_total", outcome={"hits": "hit", "misses": "miss"}[name]))
        reasons = {each["reason"]: each["count"] for each in said["refused"]}
        self.assertEqual(reasons["function"], 2)
        self.assertGreaterEqual(reasons["statement"], 2)
        self.assertGreaterEqual(reasons["size"], 1)
        for reason, count in reasons.items():
            self.assertEqual(count, metric(server, "headroom_sql_cache_refused_total", reason=reason))
        self.assertEqual((said["status"], said["reason"], said["fills"]), ("ok", "", metric(server, "headroom_sql_cache_fills_total", outcome="stored")))
        self.assertGreaterEqual(said["entries"], 1)
        self.assertTrue(0 < said["bytes"] < said["limit_bytes"])
        query = next(each for each in said["queries"] if each["query"].startswith("SELECT name FROM t.rooms"))
        self.assertEqual((query["state"], query["database"]), ("cached", "booking"))
        before = said["drops"]
        wire.query("UPDATE t.rooms SET name = 'told' WHERE id = 1")
        self.assertGreater(server.api("GET", "/api/v1/sql/cache").json()["drops"], before)
        walsender = self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
        subprocess.run(["kill", "-STOP", walsender], check=True)
        try:
            self.direct("UPDATE t.rooms SET name = 'away' WHERE id = 2")  # a log that has not grown is known to its end

            def bypassed():
                wire.query("SELECT name FROM t.rooms WHERE id = 1")
                now = server.api("GET", "/api/v1/sql/cache").json()
                return now["bypassed_s"] > 0.2 and now["stream_lag_ms"] > 100
            eventually(bypassed)
        finally:
            subprocess.run(["kill", "-CONT", walsender], check=True)
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")  # and it recovers

    def test_without_a_proxy_and_without_the_cache_it_says_so(self):
        without = self.headroom(arguments=["--set", "sql.enabled=false"], state_dir=self.directory / "without")
        self.assertEqual(without.api("GET", "/api/v1/sql/cache").json()["status"], "not_configured")
        self.assertEqual(self.proxy().api("GET", "/api/v1/sql/cache").json()["status"], "off")


class Warmed(Cached):
    LISTED = """
[[sql.warm]]
query = "SELECT name FROM t.rooms WHERE id = 1"
%s

[[sql.warm]]
query = "SELECT name FROM t.nowhere"

[[sql.warm]]
query = "SELECT random(), id FROM t.rooms"
"""

    def status(self, server):
        return server.api("GET", "/api/v1/sql/cache/warm").json()

    def test_what_is_listed_lies_in_the_cache_before_the_first_client_asks(self):
        server = self.cached(config=self.settings(self.LISTED % ""))
        done = eventually(lambda: (now := self.status(server))["status"] == "done" and now, 20)
        self.assertEqual([done[name] for name in ("total", "done", "stored", "not_stored", "failed")], [3, 3, 1, 1, 1])
        told = {each["query"]: each["why"] for each in done["problems"]}
        self.assertIn("nowhere", told["SELECT name FROM t.nowhere"])
        self.assertIn("random() is volatile", told["SELECT random (), id FROM t.rooms"])
        wire = self.wire(server)
        eventually(lambda: self.stream(server)["state"] == "current")
        self.assertEqual(wire.values("SELECT name FROM t.rooms WHERE id = 1"), ["room 1"])
        line = self.line(server, "SELECT name FROM t.rooms")
        self.assertEqual((line["misses"], line["stored"]), ("1", "1"))
        # Once more by hand: what is there is fresh, what was written is fetched again.
        self.assertEqual(server.api("POST", "/api/v1/sql/cache/warm").status, 202)
        eventually(lambda: (now := self.status(server))["runs"] == 2 and now["status"] == "done" and now["fresh"] + now["stored"] == 1)
        wire.query("UPDATE t.rooms SET name = 'warm' WHERE id = 1")
        server.api("POST", "/api/v1/sql/cache/warm")
        eventually(lambda: (now := self.status(server))["runs"] == 3 and now["status"] == "done" and now["stored"] == 1)
        self.assertEqual(wire.values("SELECT name FROM t.rooms WHERE id = 1"), ["warm"])
        self.assertEqual(metric(server, "headroom_sql_warm_queries_total", outcome="failed"), 3)

    def test_on_a_schedule_it_is_renewed_and_with_settings_it_is_for_those_who_have_them(self):
        server = self.cached(config=self.settings(self.LISTED % 'every = "1s"\nsettings = { TimeZone = "Asia/Tokyo" }'))
        wire = self.wire(server)
        eventually(lambda: self.status(server)["runs"] >= 1, 20)
        eventually(lambda: self.status(server)["runs"] >= 3, 20)
        for turn in range(3):
            wire.query(f"UPDATE t.rooms SET name = 'turn {turn}' WHERE id = 1")
            runs = self.status(server)["runs"]
            eventually(lambda: self.status(server)["runs"] >= runs + 2, 20)
        before = self.line(server, "SELECT name FROM t.rooms")
        tokyo = self.wire(server, parameters=[("TimeZone", "Asia/Tokyo")])
        self.assertEqual(tokyo.values("SELECT name FROM t.rooms WHERE id = 1"), ["turn 2"])
        after = self.line(server, "SELECT name FROM t.rooms")
        if after["passed_by"] == before["passed_by"]:  # else the stream was not current for a moment
            self.assertEqual(after["misses"], before["misses"])

    def test_what_is_no_query_or_of_no_database_is_refused_with_its_line(self):
        for wrong, why in (('query = "DELETE FROM t.rooms"', "expected one SELECT"), ('query = "SELECT 1; SELECT 2"', "expected one SELECT"), ('query = "SELECT 1"\nevery = "10ms"', "every"),
                           ('query = "SELECT 1"\ndatabase = "nowhere"', "no such database")):
            done = run("check", self.settings(f'[sql]\npostgres = "{self.cluster.urls["primary"]}"\n[[sql.warm]]\n{wrong}\n'))
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(why, done.stderr)


if __name__ == "__main__":
    unittest.main()
