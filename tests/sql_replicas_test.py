"""Reads on replicas: which statements go there, what a client sees of it (nothing), and what becomes of it while servers come and go."""

import pathlib
import threading
import unittest

from harness import eventually
from harness.edge import metric
from harness.postgres import FLUSH, SYNC, SqlScenario, bind, error_of, execute, kinds, parse

# Stable, so that a replica may run it; each server has its own port.
WHERE = "SELECT current_setting('port')"


class Replicas(SqlScenario):
    replicas = 2

    def setUp(self):
        super().setUp()
        self.ports = {name: url.rsplit(":", 1)[1].split("/")[0] for name, url in self.cluster.urls.items()}
        self.replica_ports = {self.ports["replica1"], self.ports["replica2"]}

    def start(self, **settings):
        server = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")), **settings)
        self.ready(server)
        return server

    def ready(self, server, usable=2):
        eventually(lambda: sum(row["usable"] == "yes" for row in self.show(server, "REPLICAS")) == usable, what="the replicas are watched")
        # Functions are known a moment later.
        wire = self.wire(server)
        eventually(lambda: usable == 0 or wire.values(WHERE)[0] in self.replica_ports, what="reads go to replicas")

    def begin_on_a_replica(self, wire):
        """On a slow machine both may be out of use for a moment."""

        def begun():
            wire.query("BEGIN READ ONLY")
            if wire.values(WHERE)[0] in self.replica_ports:
                return True
            wire.query("ROLLBACK")
            return False

        eventually(begun, what="a transaction on a replica")

    def test_reads_go_to_replicas_and_everything_else_to_the_primary(self):
        server = self.start()
        wire = self.wire(server)
        seen = {wire.values(WHERE)[0] for _ in range(40)}
        self.assertEqual(seen, self.replica_ports)
        primary = self.ports["primary"]
        wire.query("CREATE TABLE IF NOT EXISTS routed (n int); CREATE SEQUENCE IF NOT EXISTS routed_n")
        for sql in (f"{WHERE} FROM (SELECT pg_advisory_xact_lock(1)) x", f"/* headroom:primary */ {WHERE}", f"{WHERE} FROM pg_stat_activity LIMIT 1",
                    f"WITH x AS (INSERT INTO routed VALUES (1) RETURNING *) {WHERE} FROM x", f"{WHERE} FROM (SELECT nextval('routed_n')) x", f"{WHERE} FROM pg_class LIMIT 1 FOR UPDATE OF pg_class"):
            got = [value for value in self.first_column(wire, sql)]
            self.assertIn(got, ([primary], []), sql)
        wire.query("BEGIN")
        self.assertEqual(wire.values(WHERE), [primary])
        wire.query("COMMIT")

    @staticmethod
    def first_column(wire, sql):
        try:
            return wire.values(sql)
        except LookupError:
            return []

    def test_the_extended_protocol_is_routed_alike(self):
        server = self.start()
        wire = self.wire(server)

        def run(*messages):
            wire.send_all(*messages)
            answer = wire.until_ready()
            return kinds(answer), [body[6:].decode() for kind, body in answer if kind == b"D"]

        for name in ("", "named"):
            self.assertEqual(run(parse(name, WHERE), (b"D", b"S" + name.encode() + b"\0"), SYNC)[0], "1tTZ")
            for _ in range(5):
                kind, rows = run(bind(name), execute(), SYNC)
                self.assertEqual(kind, "2DCZ")
                self.assertIn(rows[0], self.replica_ports)
        # Prepared and asked for in pieces, as asyncpg does.
        wire.send_all(parse("", WHERE), (b"D", b"S\0"), FLUSH)
        self.assertEqual([wire.read()[0] for _ in range(3)], [b"1", b"t", b"T"])
        kind, rows = run(bind(), execute(), SYNC)
        self.assertEqual(kind, "2DCZ")
        self.assertIn(rows[0], self.replica_ports)
        # A write behind a read in one pipeline goes to the primary, the read's answer stays.
        wire.query("CREATE TABLE IF NOT EXISTS piped (n int); TRUNCATE piped")
        eventually(lambda: run(parse("", WHERE), bind(), execute(), SYNC)[1][0] in self.replica_ports)
        kind, rows = run(parse("", WHERE), bind(), execute(), parse("", "INSERT INTO piped VALUES (1)"), bind(), execute(), SYNC)
        self.assertEqual(kind, "12DC12CZ")
        self.assertIn(rows[0], self.replica_ports)
        self.assertEqual(wire.values("SELECT count(*) FROM piped"), ["1"])

    def test_what_a_replica_refuses_the_primary_runs_unseen_and_it_is_remembered(self):
        self.cluster.superuser("""
            DROP TABLE IF EXISTS hidden CASCADE; CREATE TABLE hidden (n int); GRANT ALL ON hidden TO booking;
            CREATE OR REPLACE FUNCTION writes() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN EXECUTE ''INSERT INTO hidden VALUES (1)''; RETURN 7; END';
            CREATE OR REPLACE FUNCTION writes_oddly() RETURNS int LANGUAGE plpgsql STABLE AS 'BEGIN RETURN writes_inside(); END';
            CREATE OR REPLACE FUNCTION writes_inside() RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN INSERT INTO hidden VALUES (1); RETURN 7; END'""")
        server = self.start()
        wire = self.wire(server)
        retries = lambda: metric(server, "headroom_sql_replica_retries_total", database="booking", user="booking")
        # Said to be stable, it writes all the same: a replica answers 25006.
        before = retries()
        self.assertEqual(wire.values("SELECT writes_oddly() + 1"), ["8"])
        self.assertEqual(retries(), before + 1)
        self.assertEqual(wire.values("SELECT writes_oddly() + 2"), ["9"])
        self.assertEqual(retries(), before + 1)
        wire.send_all(parse("p", "SELECT writes_oddly() * 2"), bind("p"), execute(), SYNC)
        answer = wire.until_ready()
        self.assertEqual(kinds(answer), "12DCZ", answer)
        wire.send_all(bind("p"), execute(), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "2DCZ")
        self.assertEqual(retries(), before + 2)
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM hidden"), "4")
        # Errors come from the primary alone, and no read is lost for what is only there.
        wire.query("CREATE TABLE IF NOT EXISTS newer (n int); INSERT INTO newer VALUES (1)")
        self.assertEqual(self.wire(server).values("SELECT count(*) > 0 FROM newer"), ["t"])
        with self.assertRaisesRegex(LookupError, "22012"):
            wire.values("SELECT 1 / (n - n) FROM newer")
        self.assertEqual(wire.values("SELECT 42"), ["42"])

    def test_settings_and_statements_follow_a_client_to_replicas_and_back(self):
        server = self.start()
        wire = self.wire(server)
        wire.query("SET search_path = information_schema; SET app.tenant = 'seven'; CREATE TABLE IF NOT EXISTS public.follows (n int)")
        for _ in range(5):
            self.assertEqual(wire.values("SELECT current_setting('search_path') || current_setting('app.tenant')"), ["information_schemaseven"])
            wire.query("INSERT INTO public.follows VALUES (1)")
        eventually(lambda: wire.values("SELECT current_setting('port') || current_setting('app.tenant')")[0][:-5] in self.replica_ports)

    def test_read_only_transactions_run_whole_on_a_replica(self):
        server = self.start()
        wire = self.wire(server)
        for begin in ("BEGIN READ ONLY", "begin transaction isolation level read committed, read only;", "START TRANSACTION READ ONLY /*traceparent='x'*/"):
            wire.query(begin)
            ports = {wire.values(WHERE)[0] for _ in range(5)}
            wire.send_all(parse("", WHERE), bind(), execute(), SYNC)
            ports.add([body[6:].decode() for kind, body in wire.until_ready() if kind == b"D"][0])
            self.assertEqual(len(ports), 1)
            self.assertLessEqual(ports, self.replica_ports, begin)
            now = wire.values("SELECT now()")
            self.assertEqual(wire.values("SELECT now()"), now)
            self.assertEqual(kinds(wire.query("COMMIT")), "CZ")
        wire.query("SET default_transaction_read_only = on")
        wire.query("BEGIN")
        self.assertIn(wire.values(WHERE)[0], self.replica_ports)
        wire.query("ROLLBACK")
        wire.query("BEGIN READ WRITE")
        self.assertEqual(wire.values(WHERE), [self.ports["primary"]])
        wire.query("ROLLBACK; RESET default_transaction_read_only")
        for begin in ("BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", "BEGIN READ ONLY /* headroom:primary */"):
            wire.query(begin)
            self.assertEqual(wire.values(WHERE), [self.ports["primary"]], begin)
            wire.query("ROLLBACK")
        off = self.start(read_only_transactions="false")
        wire = self.wire(off)
        wire.query("BEGIN READ ONLY")
        self.assertEqual(wire.values(WHERE), [self.ports["primary"]])

    def test_a_read_only_transaction_that_wants_more_than_plain_reads_goes_on_at_the_primary(self):
        server = self.start()
        self.wire(server).query("CREATE TABLE IF NOT EXISTS more (n int); CREATE SEQUENCE IF NOT EXISTS more_n; TRUNCATE more")
        primary = self.ports["primary"]
        port = "(current_setting('port'))"
        for sql in (f"SELECT {port} FROM (SELECT pg_advisory_xact_lock(7)) x", "SAVEPOINT a", "SET LOCAL work_mem = '8MB'", "DECLARE c CURSOR FOR SELECT 1", "LOCK TABLE more IN ACCESS SHARE MODE",
                    f"SELECT {port} FROM pg_stat_activity LIMIT 1", "SELECT pg_export_snapshot()", "SHOW port"):
            wire = self.wire(server)
            wire.query("BEGIN READ ONLY")
            self.assertIn(wire.values(WHERE)[0], self.replica_ports)
            answer = wire.query(sql)
            self.assertNotIn("E", kinds(answer), (sql, answer))
            self.assertEqual(answer[-1], (b"Z", b"T"))
            self.assertEqual(wire.values(WHERE), [primary], sql)
            self.assertEqual(wire.values("SHOW transaction_read_only"), ["on"])
            self.assertEqual(kinds(wire.query("COMMIT")), "CZ")
            eventually(lambda wire=wire: wire.values(WHERE)[0] in self.replica_ports)
        # What a READ ONLY transaction may not do, it may not do anywhere; then only its end is heard.
        wire = self.wire(server)
        for sql in ("INSERT INTO more VALUES (1)", "SELECT nextval('more_n')", "SELECT 1 FROM more FOR UPDATE"):
            wire.query("BEGIN READ ONLY")
            self.assertIn(wire.values(WHERE)[0], self.replica_ports)
            with self.assertRaisesRegex(LookupError, "25006"):
                wire.values(sql)
            with self.assertRaisesRegex(LookupError, "25P02"):
                wire.values("SELECT 1")
            self.assertEqual(wire.query("ROLLBACK")[-1], (b"Z", b"I"))
        wire.query("BEGIN READ ONLY")
        with self.assertRaisesRegex(LookupError, "22012"):
            wire.values("SELECT 1 / (n - n) FROM (VALUES (1)) x(n)")
        with self.assertRaisesRegex(LookupError, "25P02"):
            wire.values("SELECT pg_advisory_lock(1)")
        wire.query("COMMIT")
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM more"), "0")
        # Behind its end in the same text there may be anything; and all of it in one packet.
        wire.query("BEGIN READ ONLY")
        with self.assertRaisesRegex(LookupError, "22012"):
            wire.values("SELECT 1 / (n - n) FROM (VALUES (1)) x(n)")
        self.assertEqual(wire.query("ROLLBACK; INSERT INTO more VALUES (1)")[-1], (b"Z", b"I"))
        texts = ("BEGIN READ ONLY", "SAVEPOINT a", "SELECT 1", "COMMIT", "INSERT INTO more VALUES (2)", "BEGIN READ ONLY", WHERE, "COMMIT", "INSERT INTO more VALUES (3)")
        wire.send_all(*[(b"Q", text.encode() + b"\0") for text in texts])
        self.assertEqual("".join(kinds(wire.until_ready()) for _ in texts), "CZCZTDCZCZCZCZTDCZCZCZ")
        self.assertEqual(self.cluster.superuser("SELECT string_agg(n::text, ',' ORDER BY n) FROM more"), "1,2,3")
        # A cursor of the protocol lives as long as its transaction.
        wire = self.wire(server)
        wire.query("BEGIN READ ONLY")
        self.assertIn(wire.values(WHERE)[0], self.replica_ports)
        wire.send_all(parse("", "SELECT current_setting('port') FROM generate_series(1, 3)"), SYNC)
        wire.until_ready()
        wire.send_all(bind("", "cursor"), execute("cursor", 1), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "2DsZ")
        wire.query("SET LOCAL work_mem = '8MB'")
        wire.send_all(execute("cursor", 0), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "DDCZ")
        wire.query("COMMIT")

    def test_what_was_written_is_seen_in_a_read_only_transaction(self):
        server = self.start()
        wire, other = self.wire(server), self.wire(server)
        wire.query("CREATE TABLE IF NOT EXISTS seen (n int); TRUNCATE seen; SET headroom.session = 'seen'")
        wire.query("SET headroom.session = 'seen'")
        other.query("SET headroom.session = 'seen'")
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=name)
        try:
            other.query("BEGIN READ ONLY")
            self.assertEqual(wire.query("INSERT INTO seen VALUES (1)")[-1], (b"Z", b"I"))
            self.assertEqual(other.values("SELECT count(*) FROM seen"), ["1"])  # begun before, on whichever server
            other.query("COMMIT")
            wire.query("BEGIN READ ONLY")
            self.assertEqual(wire.values("SELECT count(*) FROM seen"), ["1"])
            wire.query("COMMIT")
        finally:
            for name in ("replica1", "replica2"):
                self.cluster.superuser("SELECT pg_wal_replay_resume()", node=name)

    def test_sequences_are_read_where_they_are_counted(self):
        server = self.start()
        self.wire(server).query("CREATE SEQUENCE counted")
        self.cluster.superuser("SELECT pg_switch_wal()")
        server = self.start()  # which has read the catalogue since
        wire = self.wire(server)
        self.assertEqual(wire.values("SELECT nextval('counted')"), ["1"])
        other = self.wire(server)
        for sql in ("SELECT last_value FROM counted", "SELECT last_value FROM pg_sequences WHERE sequencename = 'counted'"):
            self.assertEqual({other.values(sql)[0] for _ in range(10)}, {"1"}, sql)

    def test_what_a_view_writes_is_read_back(self):
        self.cluster.superuser("""
            CREATE TABLE viewed (n int); INSERT INTO viewed VALUES (0); GRANT ALL ON viewed TO booking;
            CREATE FUNCTION bump() RETURNS int LANGUAGE sql VOLATILE AS 'UPDATE viewed SET n = n + 1 RETURNING n';
            CREATE VIEW bumps AS SELECT bump() AS n; GRANT SELECT ON bumps TO booking""")
        server = self.start()
        wire = self.wire(server)
        for node in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=node)
        try:
            wire.send_all(parse("bump", "SELECT n FROM bumps"), SYNC)
            wire.until_ready()
            for turn in range(1, 6):
                wire.send_all(bind("bump"), execute(), SYNC)
                self.assertEqual(kinds(wire.until_ready()), "2DCZ")
                self.assertEqual(wire.values("SELECT n FROM viewed"), [str(turn)])
        finally:
            for node in ("replica1", "replica2"):
                self.cluster.superuser("SELECT pg_wal_replay_resume()", node=node)

    def test_read_only_transactions_of_the_extended_protocol_run_on_a_replica_too(self):
        server = self.start()
        wire = self.wire(server)
        wire.query("CREATE TABLE IF NOT EXISTS beginning (n int); TRUNCATE beginning; CREATE SEQUENCE IF NOT EXISTS beginning_n")
        eventually(lambda: wire.values(f"{WHERE} FROM beginning RIGHT JOIN (SELECT 1) x ON true")[0] in self.replica_ports)

        def run(*messages):
            wire.send_all(*messages)
            answer = wire.until_ready()
            return kinds(answer), [body[6:].decode() for kind, body in answer if kind == b"D"]

        begin = "BEGIN READ ONLY"
        for name in ("", "S_1"):
            # As JDBC does: BEGIN and the first statement in one exchange.
            kind, rows = run(parse(name, begin), bind(name), execute(), parse("", WHERE), (b"D", b"S\0"), bind(), execute(), SYNC)
            self.assertEqual(kind, "12C1tT2DCZ")
            self.assertIn(rows[0], self.replica_ports)
            self.assertEqual(run(parse("", WHERE), bind(), execute(), SYNC)[1], rows)
            self.assertEqual(wire.values("SHOW transaction_read_only"), ["on"])  # for the primary, where it goes on
            self.assertEqual(run(parse("", WHERE), bind(), execute(), SYNC)[1], [self.ports["primary"]])
            self.assertEqual(run(parse("", "COMMIT"), bind(), execute(), SYNC)[0], "12CZ")
        # By itself, with the next exchange already on its way.
        wire.send_all(bind("S_1"), execute(), SYNC, parse("", WHERE), bind(), execute(), SYNC, parse("", "COMMIT"), bind(), execute(), SYNC)
        answers = [wire.until_ready() for _ in range(3)]
        self.assertEqual([kinds(each) for each in answers], ["2CZ", "12DCZ", "12CZ"])
        self.assertEqual([each[-1][1] for each in answers], [b"T", b"T", b"I"])
        self.assertIn(answers[1][2][1][6:].decode(), self.replica_ports)
        # What a replica cannot run, in the same exchange: all of it is the primary's, and READ ONLY there as well.
        port = "(current_setting('port'))"
        kind, rows = run(bind("S_1"), execute(), parse("", f"SELECT {port} FROM (SELECT pg_advisory_xact_lock(7)) x"), bind(), execute(), SYNC)
        self.assertEqual((kind, rows), ("2C12DCZ", [self.ports["primary"]]))
        self.assertEqual(wire.query("ROLLBACK")[-1], (b"Z", b"I"))
        for wrong, code in (("INSERT INTO beginning VALUES (1)", "25006"), ("SELECT nextval('beginning_n')", "25006"), ("SELECT 1/(n-n) FROM (VALUES (1)) x(n)", "22012")):
            wire.send_all(bind("S_1"), execute(), parse("", wrong), bind(), execute(), SYNC)
            answer = wire.until_ready()
            self.assertIn(code, error_of(next(body for kind, body in answer if kind == b"E")), wrong)
            self.assertEqual(answer[-1], (b"Z", b"E"))
            with self.assertRaisesRegex(LookupError, "25P02"):
                wire.values("SELECT 1")
            self.assertEqual(wire.query("ROLLBACK")[-1], (b"Z", b"I"))
        # Who wants the answer to BEGIN at once has it from the primary, where anything may follow.
        wire.send_all(bind("S_1"), execute(), FLUSH)
        self.assertEqual([wire.read()[0] for _ in range(2)], [b"2", b"C"])
        kind, rows = run(parse("", f"SELECT {port} FROM (SELECT pg_advisory_xact_lock(7)) x"), bind(), execute(), SYNC)
        self.assertEqual((kind, rows), ("12DCZ", [self.ports["primary"]]))
        self.assertEqual(wire.query("COMMIT")[-1], (b"Z", b"I"))
        # In pieces, with a pause behind BEGIN.
        wire.send_all(bind("S_1"), execute())
        wire.send_all(parse("", "INSERT INTO beginning VALUES (1)"), bind(), execute())
        wire.send_all(SYNC)
        self.assertEqual(kinds(wire.until_ready()), "2C12EZ")
        wire.query("ROLLBACK")
        self.assertEqual(wire.values("SELECT count(*) FROM beginning"), ["0"])
        eventually(lambda: wire.values(WHERE)[0] in self.replica_ports)

    def test_what_does_more_than_it_says_is_for_the_primary(self):
        self.cluster.superuser("""
            CREATE FUNCTION quiet(a int, b int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN a; END';
            CREATE OPERATOR <+> (leftarg = int, rightarg = int, function = quiet);
            CREATE FUNCTION look(t text) RETURNS bool LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN true; END';
            CREATE DOMAIN looked AS text CHECK (look(value));
            CREATE TABLE guarded (n int, t text); INSERT INTO guarded VALUES (1, 'a'); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
            CREATE POLICY p ON guarded USING (look(t));
            CREATE TABLE plain (n int, t text); INSERT INTO plain VALUES (1, 'a');
            CREATE VIEW quietly AS SELECT quiet(n, n) AS n FROM plain; CREATE VIEW above AS SELECT n + 1 AS n FROM quietly; CREATE VIEW harmless AS SELECT n FROM plain;
            CREATE VIEW monitored AS SELECT count(*) AS n FROM pg_stat_activity;
            CREATE SEQUENCE viewed_n; CREATE VIEW numbers AS SELECT last_value AS n FROM viewed_n;
            CREATE VIEW domained AS SELECT t::looked AS t FROM plain;
            CREATE VIEW "in two
                         lines" AS SELECT quiet(n, n) AS n FROM plain;
            CREATE DOMAIN looked_again AS looked; CREATE TABLE holds (t looked_again);
            CREATE FUNCTION asks(t looked_again) RETURNS text LANGUAGE plpgsql STABLE AS 'BEGIN RETURN t; END';
            CREATE FUNCTION gives() RETURNS looked LANGUAGE plpgsql STABLE AS 'BEGIN RETURN chr(97); END';
            CREATE VIEW domained_again AS SELECT t::looked_again AS t FROM plain;
            CREATE TYPE pair AS (a int, b int); CREATE FUNCTION pair_of(t text) RETURNS pair LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN (1, 2)::pair; END';
            CREATE CAST (text AS pair) WITH FUNCTION pair_of(text);
            GRANT SELECT ON ALL TABLES IN SCHEMA public TO booking""")
        server = self.start()
        wire = self.wire(server)
        port = "current_setting('port')"
        for sql in (f"SELECT {port} FROM plain", f"SELECT {port} FROM plain WHERE n + 1 = 2 AND t::text = 'a'", f"SELECT {port} FROM harmless"):
            eventually(lambda sql=sql: wire.values(sql)[0] in self.replica_ports, what=sql)
        for sql in (f"SELECT {port} WHERE 1 <+> 2 = 1", f"SELECT {port} FROM plain WHERE t::looked = 'a'", f"SELECT {port} FROM plain ORDER BY n OPERATOR(public.<+>) 1", f"SELECT {port} FROM guarded",
                    f"SELECT {port} FROM quietly", f"SELECT {port} FROM above", f"SELECT {port} FROM domained", f"SELECT {port} FROM domained_again",
                    f'SELECT {port} FROM "in two\n                         lines"', f"SELECT {port} FROM plain WHERE t::looked_again = 'a'", f"SELECT {port} FROM plain WHERE (array[t]::looked[])[1] = 'a'",
                    f"SELECT {port} FROM plain WHERE row(t)::holds IS NOT NULL", f"SELECT {port} FROM plain WHERE asks(t) = 'a'", f"SELECT {port} FROM plain WHERE gives() = 'a'", f"SELECT {port} FROM monitored", f"SELECT {port} FROM numbers", f"SELECT {port} FROM plain WHERE ('x'::text)::pair IS NOT NULL"):
            self.assertEqual({wire.values(sql)[0] for _ in range(4)}, {self.ports["primary"]}, sql)
        for name, wanted in (("in_hot_standby", "off"), ("transaction_read_only", "off")):
            self.assertEqual({wire.values(f"SELECT current_setting('{name}')")[0] for _ in range(6)}, {wanted})
        eventually(lambda: wire.values(WHERE)[0] in self.replica_ports, what="and plain reads go to replicas again")
        # A cast that nobody writes may be in any read.
        self.cluster.superuser("CREATE FUNCTION pair_number(p pair) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1; END'; CREATE CAST (pair AS int) WITH FUNCTION pair_number(pair) AS IMPLICIT")
        self.addCleanup(self.cluster.superuser, "DROP CAST (pair AS int)")
        again = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        eventually(lambda: sum(row["usable"] == "yes" for row in self.show(again, "REPLICAS")) == 2)
        wire = self.wire(again)
        self.assertEqual({wire.values(f"SELECT {port} FROM plain")[0] for _ in range(20)}, {self.ports["primary"]})

    def test_a_function_that_is_written_as_a_column_is_one(self):
        self.cluster.superuser("""
            CREATE TABLE bumped (n int); INSERT INTO bumped VALUES (0); GRANT ALL ON bumped TO booking;
            CREATE FUNCTION raised(bumped) RETURNS int LANGUAGE sql VOLATILE AS 'UPDATE bumped SET n = n + 1 RETURNING n'""")
        gate = self.gate()
        server = self.proxy(port=gate.port, replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        self.ready(server)
        wire = self.wire(server)
        for node in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=node)
        try:
            turn = 0
            for sql in ("SELECT bumped.raised FROM bumped", "SELECT (bumped).raised FROM bumped", "SELECT (b).raised FROM bumped b", "SELECT bumped.raised::text FROM bumped"):
                for begin in ("BEGIN", ""):
                    turn += 1
                    for text in (begin, sql, "COMMIT" if begin else ""):
                        self.assertNotIn("E", kinds(wire.query(text)))
                    self.assertEqual(wire.values("SELECT n FROM bumped"), [str(turn)], sql)
            # The primary is lost when it has done it, and before that is heard: in doubt, and not done twice.
            gate.delay = 0.5
            wire.send(b"Q", b"SELECT bumped.raised FROM bumped\0")
            eventually(lambda: self.cluster.superuser("SELECT n FROM bumped") == str(turn + 1))
            gate.delay = 0
            gate.cut()
            self.assertEqual(kinds(wire.until_ready()), "EZ")
            self.assertEqual(self.cluster.superuser("SELECT n FROM bumped"), str(turn + 1))
        finally:
            for node in ("replica1", "replica2"):
                self.cluster.superuser("SELECT pg_wal_replay_resume()", node=node)

    def test_what_is_sent_behind_the_end_of_a_failed_transaction_is_looked_at_when_that_has_ended(self):
        server = self.start()
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        port = "(current_setting('port'))"
        rollback = [parse("", "ROLLBACK"), bind(), execute()]
        lock = [parse("", f"SELECT {port} FROM (SELECT pg_advisory_lock(4711)) x"), bind(), execute(), SYNC]
        for first, then in (([(b"Q", b"ROLLBACK\0")], [(b"Q", f"SELECT {port} FROM (SELECT pg_advisory_lock(4711)) x\0".encode())]), ([*rollback, SYNC], lock),
                            ([(b"Q", b"ROLLBACK\0")], lock), ([*rollback, SYNC], [(b"Q", f"SELECT {port} FROM (SELECT pg_advisory_lock(4711)) x\0".encode())])):
            wire = self.wire(server)
            self.begin_on_a_replica(wire)
            self.assertIn("E", kinds(wire.query("SELECT 1/(n-n) FROM (VALUES (1)) x(n)")))
            wire.send_all(*first, *then)
            self.assertEqual(wire.until_ready()[-1], (b"Z", b"I"))
            answer = wire.until_ready()
            self.assertEqual([body[6:].decode() for kind, body in answer if kind == b"D"], [self.ports["primary"]], answer)
            self.assertEqual([self.cluster.superuser(locks, node=node) for node in ("primary", "replica1", "replica2")], ["1", "0", "0"])
            wire.close()
            eventually(lambda: self.cluster.superuser(locks) == "0")
        # In one exchange with the end of it, too.
        wire = self.wire(server)
        self.begin_on_a_replica(wire)
        self.assertIn("E", kinds(wire.query("SELECT 1/(n-n) FROM (VALUES (1)) x(n)")))
        wire.send_all(*rollback, *lock)
        answer = wire.until_ready()
        self.assertEqual(kinds(answer), "12C12DCZ")
        self.assertEqual([body[6:].decode() for kind, body in answer if kind == b"D"], [self.ports["primary"]], answer)
        self.assertEqual([self.cluster.superuser(locks, node=node) for node in ("primary", "replica1", "replica2")], ["1", "0", "0"])

    def test_what_is_said_of_one_transaction_is_not_carried_to_a_replica(self):
        server = self.start(pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        wire.query("SET TRANSACTION READ ONLY")  # of which PostgreSQL keeps transaction_read_only = off as the session's own
        wire.query("SET work_mem = '7MB'")
        eventually(lambda: wire.values(WHERE)[0] in self.replica_ports)
        self.assertEqual(wire.values("SHOW work_mem"), ["7MB"])

    def test_a_pipeline_that_prepares_a_read_and_then_a_write_is_answered_in_full(self):
        server = self.start()
        wire = self.wire(server)
        wire.query("CREATE TABLE IF NOT EXISTS batched (n int)")
        for turn in range(10):
            eventually(lambda: wire.values(WHERE)[0] in self.replica_ports)
            wire.send_all(parse(f"r{turn}", f"SELECT {turn}"), (b"D", f"Sr{turn}\0".encode()), parse(f"w{turn}", f"INSERT INTO batched VALUES ({turn})"), (b"D", f"Sw{turn}\0".encode()), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "1tT1tnZ")
            wire.send_all(bind(f"r{turn}"), execute(), bind(f"w{turn}"), execute(), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "2DC2CZ")
            eventually(lambda: wire.values(WHERE)[0] in self.replica_ports)
            wire.send_all(parse("", WHERE), parse(f"x{turn}", f"INSERT INTO batched VALUES ({turn} + 100)"), bind(f"x{turn}"), execute(), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "112CZ")
        self.assertEqual(wire.values("SELECT count(*) FROM batched"), ["20"])

    def test_the_catalogue_is_read_again_only_when_it_has_changed(self):
        server = self.start()
        wire = self.wire(server)
        self.cluster.superuser("CREATE PROCEDURE called() LANGUAGE sql AS 'SELECT 1'")
        self.cluster.superuser("ALTER SYSTEM SET log_statement = 'all'")
        self.addCleanup(lambda: (self.cluster.superuser("ALTER SYSTEM RESET log_statement"), self.cluster.superuser("SELECT pg_reload_conf()")))
        self.cluster.superuser("SELECT pg_reload_conf()")
        log = pathlib.Path(self.cluster.directory) / "primary.log"
        looks, reads = (lambda text=text: log.read_text(errors="replace").count(text) for text in ("newest FROM pg_catalog.pg_proc", "WITH RECURSIVE f AS MATERIALIZED"))
        wire.query("CALL called()")
        eventually(lambda: reads() >= 1, what="the procedure is new")
        before, looked = reads(), looks()
        while looks() < looked + 3:  # what may have changed anything, over and over
            for sql in ("CALL called()", "DO 'BEGIN END'", "CREATE TEMP TABLE IF NOT EXISTS passing (n int)", "CREATE TABLE IF NOT EXISTS passed (n int)"):
                self.assertNotIn("E", kinds(wire.query(sql)))
        self.assertEqual(reads(), before)
        wire.query("CREATE FUNCTION fresh() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'")
        eventually(lambda: reads() == before + 1, what="it is read again")

    def test_what_an_administrator_ends_on_a_replica_is_ended(self):
        server = self.start()
        wire = self.wire(server)
        wire.send(b"Q", b"SELECT pg_sleep(20)\0")
        running = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%sleep(20)%'"
        where = eventually(lambda: next((node for node in ("replica1", "replica2") if self.cluster.superuser(running, node=node)), None))
        self.cluster.superuser(f"SELECT pg_terminate_backend(({running}), 5000)", node=where)
        answer = wire.until_ready()
        self.assertEqual((kinds(answer), error_of(answer[0][1])[:5]), ("EZ", "57P01"))
        for node in ("primary", "replica1", "replica2"):
            self.assertEqual(self.cluster.superuser(running, node=node), "")
        eventually(lambda: wire.values(WHERE)[0] in self.replica_ports)

    def test_a_query_that_is_wrong_is_said_once_where_nothing_is_newer_on_the_primary(self):
        server = self.start()
        wire = self.wire(server)
        retries = lambda: metric(server, "headroom_sql_replica_retries_total", database="booking", user="booking")

        def wrong(sql, state):
            before = retries()
            with self.assertRaisesRegex(LookupError, state):
                wire.values(sql)
            return retries() == before

        # Autovacuum and checkpoints write too; at rest the replicas have it all.
        for sql, state in (("SELECT * FROM nowhere", "42P01"), ("SELECT nothing", "42703"), ("SELECT 1 / (n - n) FROM (VALUES (1)) x(n)", "22012")):
            eventually(lambda sql=sql, state=state: wrong(sql, state))
        # Made through the proxy a moment ago, and not yet replayed: the primary has the last word.
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=name)
        try:
            self.wire(server).query("CREATE TABLE fresh (n int)")
            self.assertEqual(self.wire(server).values("SELECT count(*) FROM fresh"), ["0"])
        finally:
            for name in ("replica1", "replica2"):
                self.cluster.superuser("SELECT pg_wal_replay_resume()", node=name)
            self.wire(server).query("DROP TABLE IF EXISTS fresh")

    def test_a_replica_that_dies_is_not_noticed_and_comes_back(self):
        server = self.start()
        wrong, stop = [], threading.Event()

        def read(number):
            wire = self.wire(server)
            turn = 0
            while not stop.is_set():
                turn += 1
                try:
                    if wire.values(f"SELECT {number} * 1000 + {turn} FROM (SELECT pg_sleep(0.002)) x") != [str(number * 1000 + turn)]:
                        wrong.append((number, turn))
                except Exception as problem:  # pylint: disable=broad-except
                    wrong.append((number, turn, repr(problem)))
                    return

        threads = [threading.Thread(target=read, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        try:
            for name in ("replica1", "replica2"):
                self.cluster.kill(name)
                eventually(lambda: sum(row["usable"] == "yes" for row in self.show(server, "REPLICAS")) == 1)
                self.cluster.command("start", name)
                eventually(lambda: sum(row["usable"] == "yes" for row in self.show(server, "REPLICAS")) == 2, timeout=30)
            # None left: the primary.
            self.cluster.command("stop", "replica1", "replica2")
            eventually(lambda: sum(row["usable"] == "yes" for row in self.show(server, "REPLICAS")) == 0)
            self.assertEqual(self.wire(server).values(WHERE), [self.ports["primary"]])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            self.cluster.command("start", "replica1", "replica2")
        self.assertEqual(wrong, [])
        self.ready(server)

    def test_a_replica_that_lags_gets_no_reads_until_it_has_caught_up(self):
        server = self.start(max_lag="300ms")
        self.cluster.superuser("CREATE TABLE IF NOT EXISTS lagging (n int); INSERT INTO lagging VALUES (1)")
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=name)
        self.cluster.superuser("INSERT INTO lagging VALUES (2)")
        eventually(lambda: all(row["usable"] == "no" for row in self.show(server, "REPLICAS") if row["role"] == "replica"))
        rows = [row for row in self.show(server, "REPLICAS") if row["role"] == "replica"]
        self.assertTrue(all(float(row["lag_ms"]) > 300 and int(row["lag_bytes"]) > 0 for row in rows), rows)
        self.assertEqual(self.wire(server).values(WHERE), [self.ports["primary"]])
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_resume()", node=name)
        self.ready(server)

    def test_one_that_lagged_before_the_proxy_was_there_gets_no_reads_until_it_has_caught_up(self):
        """What was confirmed by a proxy that was killed is read from the one after it, though it has not seen how old that is."""
        wire = self.wire(self.start())
        wire.query("CREATE TABLE IF NOT EXISTS late (n int)")
        wire.query("TRUNCATE late")
        wire.query("INSERT INTO late VALUES (0)")
        eventually(lambda: all(self.cluster.superuser("SELECT count(*) FROM late", database="booking", node=node) == "1" for node in ("replica1", "replica2")))
        self.addCleanup(wire.query, "DROP TABLE late")
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=name)
            self.addCleanup(self.cluster.superuser, "SELECT CASE WHEN pg_is_wal_replay_paused() THEN pg_wal_replay_resume() END", node=name)
        wire.query("UPDATE late SET n = 1")
        server = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        reader = self.wire(server)
        turn = 1

        def known():
            """How far each server is has been seen, and once more after more was written."""
            nonlocal turn
            for _ in range(20):
                self.assertGreaterEqual(int(reader.values("SELECT n FROM late")[0]), 1)
            turn += 1
            wire.query(f"UPDATE late SET n = {turn}")
            return [row["role"] for row in self.show(server, "REPLICAS")].count("replica") == 2

        def reads():
            """An assertion that fails is no answer."""
            try:
                return known()
            except AssertionError as error:
                raise LookupError(str(error)) from error

        eventually(reads)
        for _ in range(10):
            reads()
        self.assertEqual([row["usable"] for row in self.show(server, "REPLICAS") if row["role"] == "replica"], ["no", "no"])
        for name in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_resume()", node=name)
        self.ready(server)

    def test_a_query_on_a_replica_can_be_cancelled(self):
        server = self.start()
        wire = self.wire(server)
        wire.send(b"Q", b"SELECT pg_sleep(30), current_setting('port')\0")
        eventually(lambda: any(self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30), current%' AND usename = 'booking'", node=name) == "1"
                               for name in ("replica1", "replica2")))
        wire.cancel()
        messages = wire.until_ready()
        self.assertEqual((kinds(messages)[-2:], error_of(messages[-2][1])[:5]), ("EZ", "57014"))
        self.assertIn(wire.values(WHERE)[0], self.replica_ports)


if __name__ == "__main__":
    unittest.main()
