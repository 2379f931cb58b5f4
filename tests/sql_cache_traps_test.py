"""The cache of results where others go wrong: DDL, roles, inheritance, policies, portals, memory, a stream of changes that stands still, is lost, or is not there."""

import subprocess
import time
import unittest

from harness.postgres import SYNC, bind, eventually, execute, kinds, parse
from harness.process import ROOT
from sql_cache_test import Cached


class Traps(Cached):
    def refused(self, server, wire, sql, why):
        def asked():
            wire.query(sql)
            return any(why in row["state"] for row in self.show(server, "CACHE") if row["kind"] == "query")
        eventually(asked, what=lambda: (sql, why, self.show(server, "CACHE")))

    def test_ddl_in_one_transaction_with_rows_is_known_at_once_with_the_event_trigger_that_ships(self):
        self.cluster.superuser((ROOT / "deploy/postgres/schema-events.sql").read_text())
        self.addCleanup(self.cluster.superuser, "DROP EVENT TRIGGER headroom_schema; DROP EVENT TRIGGER headroom_schema_drop; DROP FUNCTION headroom_schema()")
        server = self.cached()
        wire = self.wire(server)
        self.direct("CREATE VIEW t.v AS SELECT 'zero' AS it FROM t.rooms LIMIT 1")
        for turn in range(5):
            self.warm(server, wire, "SELECT it FROM t.v")
            flushes = self.stream(server)["what"]
            self.direct(f"BEGIN; CREATE OR REPLACE VIEW t.v AS SELECT 'turn {turn}' AS it FROM t.rooms LIMIT 1; INSERT INTO t.rooms VALUES ({800 + turn}, 'x'); COMMIT")
            time.sleep(0.05)
            self.assertEqual(wire.values("SELECT it FROM t.v"), [f"turn {turn}"])
            self.assertNotEqual(self.stream(server)["what"], flushes)

    def two_schemas(self):
        self.direct("DROP SCHEMA IF EXISTS u CASCADE; CREATE SCHEMA u; CREATE TABLE u.rooms (id int, name text); INSERT INTO u.rooms VALUES (1, 'other')")
        self.addCleanup(self.cluster.superuser, "DROP SCHEMA IF EXISTS u CASCADE")

    def moves(self, server, sql):
        """Names mean the tables of u now: within a second or so; then nothing is stale, whoever writes, and results are kept again."""
        wire = self.wire(server)
        eventually(lambda: wire.values(sql) == ["other"], 10)
        for turn in range(6):
            if turn >= 4:
                self.warm(server, wire, sql, "FROM rooms WHERE id = ?")
            for _ in range(3):
                wire.values(sql)
            if turn % 2:
                self.direct(f"UPDATE u.rooms SET name = 'turn {turn}'")
            else:
                wire.query(f"UPDATE rooms SET name = 'turn {turn}'")
            time.sleep(0.05)
            for _ in range(3):
                self.assertEqual(wire.values(sql), [f"turn {turn}"])
        self.assertEqual(self.direct("SELECT name FROM u.rooms"), "turn 5")

    def test_after_alter_role_or_database_names_mean_what_they_mean_to_new_connections(self):
        self.two_schemas()
        sql = "SELECT name FROM rooms WHERE id = 1"
        for whose in ("ROLE booking", "DATABASE booking", "ROLE booking IN DATABASE booking"):
            with self.subTest(whose):
                self.direct("UPDATE u.rooms SET name = 'other'")
                self.cluster.superuser(f"ALTER {whose} SET search_path = t")
                self.addCleanup(self.cluster.superuser, f"ALTER {whose} RESET search_path")
                server = self.cached()
                wire = self.wire(server)
                self.assertEqual(self.warm(server, wire, sql), ["room 1"])
                self.cluster.superuser(f"ALTER {whose} SET search_path = u")
                self.moves(server, sql)
                self.cluster.superuser(f"ALTER {whose} RESET search_path")
                eventually(lambda: b"42P01" in b"".join(body for kind, body in wire.query(sql) if kind == b"E"), 10)
                server.kill()

    def test_after_a_reload_of_the_configuration_too(self):
        self.two_schemas()
        sql = "SELECT name FROM rooms WHERE id = 1"
        self.cluster.superuser("ALTER SYSTEM SET search_path = t")
        self.cluster.superuser("SELECT pg_reload_conf()")
        self.addCleanup(self.cluster.superuser, "SELECT pg_reload_conf()")
        self.addCleanup(self.cluster.superuser, "ALTER SYSTEM RESET search_path")
        server = self.cached()
        self.assertEqual(self.warm(server, self.wire(server), sql), ["room 1"])
        self.cluster.superuser("ALTER SYSTEM SET search_path = u")
        self.cluster.superuser("SELECT pg_reload_conf()")
        time.sleep(1.2)
        self.moves(server, sql)

    def test_what_another_role_begins_with_is_no_matter(self):
        self.cluster.superuser("CREATE ROLE stranger")
        self.addCleanup(self.cluster.superuser, "DROP ROLE stranger")
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        self.warm(server, wire, sql)
        backend = wire.values("SELECT pg_backend_pid()")
        self.cluster.superuser("ALTER ROLE stranger SET work_mem = '8MB'")
        time.sleep(0.2)
        self.warm(server, wire, sql)
        self.assertEqual(wire.values("SELECT pg_backend_pid()"), backend)

    def test_what_roles_say_of_themselves_that_nobody_is_here_by_drops_nothing(self):
        self.two_schemas()
        self.cluster.superuser("CREATE ROLE stranger LOGIN PASSWORD 'strange'; GRANT USAGE ON SCHEMA t, u TO stranger; GRANT SELECT ON ALL TABLES IN SCHEMA t, u TO stranger")
        self.cluster.superuser("CREATE DATABASE elsewhere")
        self.addCleanup(self.cluster.superuser, "DROP DATABASE elsewhere")
        self.addCleanup(self.cluster.superuser, "DROP OWNED BY stranger; DROP ROLE stranger")
        users = self.directory / "users"
        users.write_text('"stranger" "strange"\n')
        server = self.cached(users_file=users)
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"

        def flushes():
            return int(self.stream(server)["what"].split(" flushes")[0].split()[-1])

        def says_much():
            """Longer than the catalogue is not looked at, while the cache is used."""
            self.warm(server, wire, sql)
            before = flushes()
            for turn in range(6):
                self.cluster.superuser(f"ALTER ROLE stranger SET search_path = {'ut'[turn % 2]}")
                self.cluster.superuser(f"ALTER DATABASE elsewhere SET work_mem = '{turn + 1}MB'")
                self.cluster.superuser(f"ALTER ROLE stranger IN DATABASE elsewhere SET work_mem = '{turn + 1}MB'")
                self.cluster.superuser(f"CREATE ROLE passer{turn}; GRANT passer{turn} TO stranger")
                self.cluster.superuser(f"ALTER ROLE passer{turn} NOINHERIT BYPASSRLS; DROP ROLE passer{turn}")
                for _ in range(10):
                    wire.values(sql)
                    time.sleep(0.02)
            return flushes() == before

        eventually(says_much, 60)
        # It is known all the same: who comes by it begins as it says last, and hears of what it says from then on.
        self.cluster.superuser("ALTER ROLE stranger SET search_path = t")
        stranger = self.wire(server, user="stranger", password="strange")
        of_path = "SELECT name FROM rooms WHERE id = 1"
        self.assertEqual(self.warm(server, stranger, of_path, "FROM rooms WHERE id = ?"), ["room 1"])
        before = flushes()
        self.cluster.superuser("ALTER ROLE stranger SET search_path = u")
        eventually(lambda: self.wire(server, user="stranger", password="strange").values(of_path) == ["other"])
        self.assertGreater(flushes(), before)

    def test_who_may_see_more_or_less_by_another_role_sees_it(self):
        for role in ("reader LOGIN PASSWORD 'reads'", "team", "middle", "keeper"):
            self.cluster.superuser(f"CREATE ROLE {role}")
            self.addCleanup(self.cluster.superuser, f"DROP OWNED BY {role.split()[0]}; DROP ROLE {role.split()[0]}")
        self.cluster.superuser("GRANT USAGE ON SCHEMA t TO reader, keeper; GRANT CREATE ON SCHEMA t TO keeper; GRANT SELECT ON t.rooms TO reader, keeper; "
                               "ALTER TABLE t.rooms ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t.rooms TO team USING (id = 1); "
                               "CREATE VIEW t.seen AS SELECT name FROM t.rooms; ALTER VIEW t.seen OWNER TO keeper; GRANT SELECT ON t.seen TO reader")
        users = self.directory / "users"
        users.write_text('"reader" "reads"\n')
        server = self.cached(users_file=users)
        reader = self.wire(server, user="reader", password="reads")
        table, view = "SELECT name FROM t.rooms", "SELECT name FROM t.seen"
        steps = [("GRANT team TO middle", [], []), ("GRANT middle TO reader", ["room 1"], []), ("GRANT team TO keeper", ["room 1"], ["room 1"]),
                 ("ALTER ROLE reader NOINHERIT", [], ["room 1"]), ("ALTER ROLE keeper NOINHERIT", [], []), ("ALTER ROLE reader INHERIT", ["room 1"], []),
                 ("REVOKE team FROM middle", [], []), ("ALTER ROLE reader BYPASSRLS", [f"room {n}" for n in range(1, 11)], []), ("ALTER ROLE reader NOBYPASSRLS", [], [])]
        for step, of_table, of_view in steps:
            self.warm(server, reader, table)
            self.warm(server, reader, view)
            self.cluster.superuser(step)
            with self.subTest(step):
                eventually(lambda: (sorted(reader.values(table)), reader.values(view)) == (sorted(of_table), of_view), 10)

    def test_a_text_that_another_session_reads_otherwise_is_not_planned_as_that_was(self):
        server = self.cached(**{"cache.behind": "10s"})
        wire, escaping = self.wire(server), self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        escaping.query("SET standard_conforming_strings = off")
        self.warm(server, wire, sql)
        walsender = self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
        subprocess.run(["kill", "-STOP", walsender], check=True)  # nothing but the proxy's own drop
        try:
            text = r"SELECT '\' , '; UPDATE t.rooms SET name = $$mine$$ WHERE id = 1; --'"
            for _ in range(8):  # on each worker
                self.assertEqual(kinds(self.wire(server).query(text)), "TDCZ")
            self.assertEqual(wire.values(sql), ["room 1"])
            self.assertEqual(kinds(escaping.query(text)).lstrip("N"), "TDCCZ")  # with a warning of its escapes
            self.assertEqual(wire.values(sql), ["mine"])
        finally:
            subprocess.run(["kill", "-CONT", walsender], check=True)
        self.assertEqual(self.warm(server, wire, sql), ["mine"])  # and it recovers

    def test_inherited_rows_drop_their_parents_results(self):
        server = self.cached()
        wire = self.wire(server)
        self.direct("CREATE TABLE t.parent (n int); CREATE TABLE t.heir (extra int) INHERITS (t.parent); CREATE TABLE t.grandchild () INHERITS (t.heir)")
        for turn in range(4):
            self.hot(server, wire, "SELECT max(n) FROM t.parent")
            self.direct(f"INSERT INTO t.grandchild VALUES ({turn}, 0)")
            time.sleep(0.05)
            self.assertEqual(wire.values("SELECT max(n) FROM t.parent"), [str(turn)])
            self.hot(server, wire, "SELECT max(n) FROM t.parent")
            wire.query(f"UPDATE t.parent SET n = {turn} + 100")
            self.assertEqual(wire.values("SELECT max(n) FROM t.parent"), [str(turn + 100)])
            wire.query("DELETE FROM t.parent")

    def test_row_level_security_by_columns_is_cached_for_each_role_and_by_functions_it_is_not(self):
        server = self.cached()
        self.direct("CREATE TABLE t.mine (who text, v int); INSERT INTO t.mine VALUES ('booking', 1), ('other', 2); ALTER TABLE t.mine ENABLE ROW LEVEL SECURITY; ALTER TABLE t.mine FORCE ROW LEVEL SECURITY; "
                    "CREATE POLICY p ON t.mine USING (v < 2); CREATE TABLE t.session (v int); ALTER TABLE t.session ENABLE ROW LEVEL SECURITY; ALTER TABLE t.session FORCE ROW LEVEL SECURITY; "
                    "CREATE POLICY p ON t.session USING (v::text = current_setting('app.user', true))")
        wire = self.wire(server)
        self.assertEqual(self.warm(server, wire, "SELECT v FROM t.mine"), ["1"])
        self.refused(server, wire, "SELECT v FROM t.session", "row-level security")
        self.direct("DROP POLICY p ON t.mine; CREATE POLICY p ON t.mine USING (true)")
        eventually(lambda: wire.values("SELECT v FROM t.mine ORDER BY v") == ["1", "2"], timeout=1.5)

    def test_analyze_and_a_lock_of_a_row_cost_a_look_at_the_catalogue_and_no_result(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        self.warm(server, wire, sql)
        stored = int(self.line(server, "FROM t.rooms")["stored"])
        for turn in range(5):
            self.direct("ANALYZE t.rooms")
            self.direct("BEGIN; SELECT * FROM t.rooms WHERE id = 2 FOR UPDATE; COMMIT")
        self.warm(server, wire, sql)
        self.assertEqual(int(self.line(server, "FROM t.rooms")["stored"]), stored)

    def test_cursors_and_partly_fetched_portals_are_not_stored(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT id FROM t.rooms ORDER BY id"
        self.hot(server, wire, "SELECT count(*) FROM t.rooms")  # the stream is current
        for _ in range(3):
            wire.send_all(parse("", sql), bind(), (b"E", b"\0" + (3).to_bytes(4, "big")), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "12DDDsZ")
        wire.send_all(parse("", sql), bind(), execute(), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "12" + "D" * 10 + "CZ")
        for _ in range(2):
            messages = wire.query("BEGIN; DECLARE c CURSOR FOR SELECT id FROM t.rooms ORDER BY id; FETCH 2 FROM c; COMMIT")
            self.assertEqual(kinds(messages).count("D"), 2)
        self.assertEqual(len(self.wire(server).values(sql)), 10)

    def test_results_in_text_and_in_binary_are_two(self):
        server = self.cached()
        wire = self.wire(server)
        sql = "SELECT id FROM t.rooms WHERE id = 7"
        binary = (b"B", b"\0\0" + (0).to_bytes(2, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big") + (1).to_bytes(2, "big"))
        for _ in range(30):
            for message, wanted in ((bind(), b"7"), (binary, (7).to_bytes(4, "big"))):
                wire.send_all(parse("", sql), message, execute(), SYNC)
                self.assertEqual(wire.until_ready()[2][1][6:], wanted)
        self.assertGreater(self.hits(server, "SELECT id FROM t.rooms"), 0)


class Pressure(Cached):
    def test_many_results_stay_within_the_memory_and_the_proxy_goes_on(self):
        server = self.cached(config=self.settings('[cache]\nmemory_limit = "8MiB"\n'))
        self.direct("CREATE TABLE t.large AS SELECT n AS id, repeat(md5(n::text), 600) AS what FROM generate_series(1, 1500) n; ALTER TABLE t.large ADD PRIMARY KEY (id)")
        wire = self.wire(server)
        for n in range(1, 1500):  # 19 KB each, 28 MB in all
            self.assertEqual(len(wire.values(f"SELECT what FROM t.large WHERE id = {n}")[0]), 19200)
        said = server.api("GET", "/api/v1/sql/cache").json()
        self.assertEqual(said["limit_bytes"], 8 << 20)
        self.assertTrue(0 < said["bytes"] <= 8 << 20, said["bytes"])
        self.assertGreater(said["fills"], 500)
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")  # and it recovers

    def test_plans_of_many_texts_and_of_long_search_paths_stay_within_their_memory(self):
        server = self.cached()
        wire = self.wire(server)
        wire.query("SET search_path = t" + ", pg_temp" * 5000)  # 45 KB, a part of each plan's name
        self.warm(server, wire, "SELECT name FROM rooms WHERE id = 1")
        before = server.resident_bytes()
        for n in range(3000):  # 135 MB of names
            self.assertEqual(len(wire.values(f"SELECT name FROM rooms WHERE id = 1 OR id = -{n}")), 1)
        self.assertLess(server.resident_bytes() - before, 60 << 20)
        wire.query("SET search_path = t")
        for n in range(6000):
            wire.send(b"Q", f"SELECT count(*) FROM rooms WHERE id = {n}".encode() + b"\0")
            if n % 100 == 99:
                for _ in range(100):
                    wire.until_ready()
        self.assertLess(server.resident_bytes() - before, 60 << 20)
        self.warm(server, wire, "SELECT name FROM rooms WHERE id = 1")  # and it recovers

    def test_an_answer_that_a_dying_server_cuts_is_never_stored(self):
        gate = self.gate()
        server = self.cached(gate.port)
        wire = self.wire(server)
        self.warm(server, wire, "SELECT name FROM t.rooms WHERE id = 1")
        cuts = 0
        for attempt in range(40):
            sql = f"SELECT string_agg(name, ',') FROM t.rooms, generate_series(1, {3000 + attempt})"
            other = self.wire(server)
            gate.cut_after = 100_000  # of 230,000, unless another connection's answers use it up
            other.send(b"Q", sql.encode() + b"\0")
            try:
                cuts += "C" not in kinds(other.until_ready())
            except (OSError, ConnectionError, TypeError):
                cuts += 1  # in the middle of a row
            gate.cut_after = None
            whole = self.direct(sql)
            # And it recovers: whole answers only, from the server or from memory.
            for _ in range(3):
                eventually(lambda: self.wire(server).values(sql) == [whole], 20)
            if cuts == 3:
                return
        self.fail(f"only {cuts} answers were cut")


class Faults(Cached):
    def test_a_stream_that_stands_still_is_passed_by_and_one_that_is_lost_comes_back(self):
        gate = self.gate()
        server = self.cached(gate.port)
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        for turn in range(3):
            self.warm(server, wire, sql)
            walsender = self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender'")
            subprocess.run(["kill", "-STOP", walsender], check=True)
            try:
                time.sleep(0.06)
                self.direct(f"UPDATE t.rooms SET name = 'still {turn}' WHERE id = 1")
                time.sleep(0.05)
                for _ in range(5):
                    self.assertEqual(wire.values(sql), [f"still {turn}"])
            finally:
                subprocess.run(["kill", "-CONT", walsender], check=True)
            self.warm(server, wire, sql)
            self.cluster.superuser(f"SELECT pg_terminate_backend({walsender})")
            time.sleep(0.06)
            self.direct(f"UPDATE t.rooms SET name = 'lost {turn}' WHERE id = 1")
            time.sleep(0.05)
            for _ in range(5):
                self.assertEqual(wire.values(sql), [f"lost {turn}"])
        self.warm(server, wire, sql)
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM pg_replication_slots"), "1")
        server.kill()
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_replication_slots") == "0", what="no slot is left")


class Blind(Cached):
    """A server whose log cannot be decoded."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.command("stop")
        cls.cluster.configure("postgresql.conf", "wal_level = replica")
        cls.cluster.command("start")

    def test_it_says_so_and_keeps_nothing(self):
        server = self.proxy(**{"cache.auto": "true"})
        wire = self.wire(server)
        eventually(lambda: "wal_level is not logical" in self.stream(server)["state"])
        for _ in range(5):
            self.assertEqual(wire.values("SELECT name FROM t.rooms WHERE id = 1"), ["room 1"])
        self.assertEqual(self.hits(server, "FROM t.rooms"), 0)

    def test_with_a_short_life_that_was_asked_for_writes_through_the_proxy_still_drop(self):
        server = self.cached(**{"cache.blind_ttl": "1s"})
        wire = self.wire(server)
        sql = "SELECT name FROM t.rooms WHERE id = 1"
        for turn in range(3):
            self.warm(server, wire, sql)
            wire.query(f"UPDATE t.rooms SET name = 'through {turn}' WHERE id = 1")
            self.assertEqual(wire.values(sql), [f"through {turn}"])
            self.warm(server, wire, sql)
            wire.query(f"DO $$BEGIN UPDATE t.rooms SET name = 'block {turn}' WHERE id = 1; END$$")
            self.assertEqual(wire.values(sql), [f"block {turn}"])
        self.warm(server, wire, sql)
        self.direct("UPDATE t.rooms SET name = 'around' WHERE id = 1")
        eventually(lambda: wire.values(sql) == ["around"], timeout=1.5)


if __name__ == "__main__":
    unittest.main()
