"""What one client sets, locks, listens to or prepares is never another's: each found by somebody who looked for it, on a pool of one connection."""

import struct
import unittest

from harness import eventually
from harness.postgres import SYNC, SqlScenario, Wire, bind, error_of, execute, kinds, parse

TENANT = "SELECT coalesce(nullif(current_setting('app.tenant', true), ''), 'none')"


def simple(text):
    return b"Q", text.encode() + b"\0"


class Leaks(SqlScenario):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.superuser("CREATE ROLE alice; GRANT alice TO booking")

    def two(self, **settings):
        server = self.proxy(**{"pool_size": 1, "pool_overflow": 0, "pool_wait": "2s", **settings})
        return server, self.wire(server), self.wire(server)

    def test_settings_of_earlier_transactions_are_not_lost_sight_of(self):
        _server, ours, theirs = self.two()
        ours.query("SET app.tenant = '1'")
        ours.query("SET ROLE alice")
        ours.query("SET work_mem = '7MB'")
        self.assertEqual(theirs.values(TENANT), ["none"])
        self.assertEqual(theirs.values("SELECT current_user"), ["booking"])
        self.assertEqual(ours.values(TENANT) + ours.values("SELECT current_user") + ours.values("SHOW work_mem"), ["1", "alice", "7MB"])

    def test_reset_all_leaves_the_role_and_discard_all_does_not(self):
        _server, ours, theirs = self.two()
        ours.query("SET ROLE alice")
        ours.query("SET app.tenant = '1'")
        ours.query("RESET ALL")
        self.assertEqual((theirs.values("SELECT current_user"), theirs.values(TENANT)), (["booking"], ["none"]))
        self.assertEqual((ours.values("SELECT current_user"), ours.values(TENANT)), (["alice"], ["none"]))
        ours.query("DISCARD ALL")
        self.assertEqual((ours.values("SELECT current_user"), theirs.values("SELECT current_user")), (["booking"], ["booking"]))

    def test_names_in_quotes_are_the_same_names(self):
        for sql in ("SET \"app.tenant\" = '42'", "SET SESSION \"app.tenant\" TO '42'", "SELECT \"set_config\"('app.tenant', '42', false)", "SELECT set_config('app.' || 'tenant', '42', false)",
                    "SELECT set_config('app.tenant', '42', 1 = 2)", "SELECT pg_catalog.set_config('app.tenant', '42', 'f')"):
            server, ours, theirs = self.two()
            self.assertEqual(ours.query(sql)[-1], (b"Z", b"I"), sql)
            self.assertEqual(ours.values(TENANT), ["42"], sql)
            if not self.show(server, "PINS"):
                self.assertEqual(theirs.values(TENANT), ["none"], sql)
        for sql, show, kept in (("SET \"role\" = 'alice'", "SELECT current_user", "booking"), ("UPDATE pg_settings SET setting = '9999' WHERE name = 'work_mem'", "SHOW work_mem", "4MB")):
            _server, ours, theirs = self.two()
            ours.query(sql)
            self.assertEqual(theirs.values(show), [kept], sql)
            self.assertNotEqual(ours.values(show), [kept], sql)

    def locks(self):
        return self.cluster.superuser("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")

    def left_by(self, *messages, **settings):
        """What the next client finds: path, locks, another's temporary table."""
        server = self.proxy(pool_size=1, pool_overflow=1, pool_wait="5s", **settings)
        first = self.wire(server)
        for message in messages:
            first.send_all(*message) if isinstance(message, list) else first.send_all(message)
            for _ in range(len(message) if isinstance(message, list) else 1):
                first.until_ready()

        def found(wire):
            return wire.values("SHOW search_path") + [bool([kind for kind, _ in wire.query("SELECT x FROM leak") if kind == b"D"])]
        beside = found(self.wire(server))
        first.close()
        eventually(lambda: self.locks() == "0", what="the lock is gone")
        after = [found(self.wire(server)) for _ in range(4)]
        self.assertEqual([beside, *after], 5 * [['"$user", public', False]], messages)
        server.stop()

    def test_function_calls_leave_nothing_to_others(self):
        def call(function, *values):
            oid = int(self.cluster.superuser(f"SELECT '{function}'::regprocedure::oid"))
            body = struct.pack("!IHH", oid, 0, len(values)) + b"".join(struct.pack("!i", len(value)) + value for value in values) + struct.pack("!H", 0)
            return b"F", body
        self.left_by(call("set_config(text,text,boolean)", b"search_path", b"evil", b"f"))
        self.left_by(call("pg_advisory_lock(bigint)", b"77"))

    def test_names_in_escapes_leave_nothing_to_others(self):
        self.left_by(simple(r'''SELECT U&"set\005fconfig"('search_path', 'evil', false)'''))
        self.left_by(simple('SELECT u & "n" FROM (SELECT 1 AS u, 1 AS n) q'), simple(r'''SELECT u&"pg\005fadvisory_lock"(5)'''))
        self.left_by(simple(r'''UPDATE U&"pg\005fsettings" SET setting = 'evil' WHERE name = 'search_path' '''))

    def test_what_is_read_by_other_rules_leaves_nothing_to_others(self):
        off = simple("SET standard_conforming_strings = off")
        evil = r"SELECT 'a\'', set_config('search_path', 'evil', false) --'"
        for first in ([off], [simple("BEGIN"), simple("SET LOCAL standard_conforming_strings = off")], [simple("SELECT set_config('standard_conforming_strings', 'off', false)")]):
            self.left_by(*first, simple(evil), *([simple("COMMIT")] if len(first) > 1 else []))
        self.left_by([off, simple(evil)])  # in one piece
        self.left_by(simple("SET standard_conforming_strings = off; " + evil))
        self.left_by(off, simple(r"SELECT 'a\'', pg_advisory_lock(7) --'"))
        self.left_by(off, simple(r"SELECT 'a\'; CREATE TEMP TABLE leak AS SELECT 'secret' AS x --'"))
        self.left_by(off, simple(r"SELECT 'a\'', set_config('search_path', 'evil', false), 'DISCARD' --'"), simple(r"SELECT 'a\'; DISCARD ALL; --'"))
        self.left_by(simple("SET NAMES 'SJIS'"), (b"Q", b"SELECT E'\x83\x5c', set_config('search_path', 'evil', false) --'\0"))

    def test_a_date_style_keeps_nothing_of_another_client_s(self):
        server = self.proxy(pool_size=1, pool_overflow=0, pool_wait="2s")
        styles = ["ISO", "SQL, DMY", "German", "MDY", "Postgres, DMY", "YMD"]
        text = "SELECT to_char(date '01/02/03', 'YYYY-MM-DD') || ' ' || date '2020-01-02'"
        alone = {}
        for style in styles:
            wire = Wire(("127.0.0.1", self.cluster.port), password=self.cluster.password, parameters=[("DateStyle", style)])
            self.addCleanup(wire.close)
            alone[style] = wire.values("SHOW DateStyle") + wire.values(text)
        wires = {style: self.wire(server, parameters=[("DateStyle", style)]) for style in styles}
        for before in styles:
            for style in styles:
                wires[before].query("SELECT 1")
                self.assertEqual(wires[style].values("SHOW DateStyle") + wires[style].values(text), alone[style], f"{style} behind {before}")

    def test_values_beyond_ascii_are_set_by_their_client_s_encoding(self):
        _server, ours, theirs = self.two()
        ours.query("SET client_encoding = 'LATIN1'")
        ours.send(b"Q", "SET my.label = 'café'".encode("latin1") + b"\0")
        ours.until_ready()
        for _ in range(3):
            self.assertEqual(theirs.values("SELECT coalesce(current_setting('my.label', true), 'none')")[0] or "none", "none")
            self.assertEqual(theirs.values("SHOW client_encoding"), ["UTF8"])
            answer = ours.query("SHOW my.label")
            self.assertIn("café".encode("latin1"), b"".join(body for kind, body in answer if kind == b"D"), answer)

    def test_a_role_is_left_before_and_taken_after_all_else(self):
        self.cluster.superuser("GRANT SET ON PARAMETER log_min_duration_statement, session_replication_role TO booking")
        _server, ours, theirs = self.two()
        for sql in ("SET log_min_duration_statement = 77777", "SET session_replication_role = replica", "SET ROLE alice"):
            self.assertEqual(kinds(ours.query(sql))[-1], "Z")
        mine = "SELECT current_user || current_setting('session_replication_role')"
        for _ in range(3):
            self.assertEqual(theirs.values(mine), ["bookingorigin"])
            self.assertEqual(ours.values(mine), ["alicereplica"])

    def test_what_is_sent_behind_a_discard_is_not_discarded(self):
        server, ours, theirs = self.two()
        ours.send_all(simple("DISCARD ALL"), simple("CREATE TEMP TABLE mine (n int)"))
        self.assertEqual(kinds(ours.until_ready()) + kinds(ours.until_ready()), "CZCZ")
        self.assertEqual([row["cause"] if "cause" in row else row for row in self.show(server, "PINS")] != [], True)
        with self.assertRaises(LookupError):
            theirs.values("SELECT count(*) FROM mine")
        self.assertEqual(ours.values("SELECT count(*) FROM mine"), ["0"])
        server, ours, theirs = self.two()
        ours.send_all(simple("UNLISTEN *"), simple("LISTEN ch"))
        self.assertEqual(kinds(ours.until_ready()) + kinds(ours.until_ready()), "CZCZ")
        self.assertTrue(self.show(server, "PINS"))
        server, ours, theirs = self.two()
        ours.send_all(simple("DISCARD ALL"), parse("s1", "SELECT 1"), SYNC)
        self.assertEqual(kinds(ours.until_ready()) + kinds(ours.until_ready()), "CZ1Z")
        ours.send_all(bind("s1"), execute(), SYNC)
        self.assertEqual(kinds(ours.until_ready()), "2DCZ")

    def test_a_pin_ends_only_when_its_end_is_committed(self):
        for end, pinned in (("ROLLBACK", True), ("COMMIT", False)):
            server, ours, _theirs = self.two()
            for sql in ("LISTEN ch", "BEGIN", "UNLISTEN *", end):
                ours.query(sql)
            self.assertEqual(bool(self.show(server, "PINS")), pinned, end)
        server, ours, _theirs = self.two()
        for sql in ("LISTEN ch", "BEGIN", "SAVEPOINT a", "UNLISTEN *", "ROLLBACK TO a", "COMMIT"):
            ours.query(sql)
        self.assertTrue(self.show(server, "PINS"))

    def test_a_copy_that_is_sent_blind(self):
        direct = Wire(("127.0.0.1", self.cluster.port), password=self.cluster.password)
        self.addCleanup(direct.close)
        direct.query("CREATE TABLE copied (n int)")
        _server, ours, theirs = self.two()
        for wire in (direct, ours):
            wire.send_all(parse("", "COPY copied FROM STDIN"), bind(), execute(), SYNC, (b"d", b"1\n"), (b"c", b""), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "12GCZ")
            self.assertEqual(wire.values("SELECT 1"), ["1"])
        wire = ours
        wire.send_all(parse("", "COPY copied FROM STDIN"), bind(), execute(), SYNC, (b"d", b"x\n"), (b"c", b""), SYNC)
        self.assertEqual(kinds(wire.until_ready())[-2:], "EZ")
        self.assertEqual(theirs.values("SELECT count(*) FROM copied"), ["2"])

    def test_a_large_statement_can_be_closed_and_made_again(self):
        _server, ours, _theirs = self.two()
        large = "SELECT 1 /*" + "x" * 300_000 + "*/"
        for _ in range(2):
            ours.send_all(parse("large", large), bind("large"), execute(), (b"C", b"Slarge\0"), SYNC)
            self.assertEqual(kinds(ours.until_ready()), "12DC3Z")

    def test_a_clients_time_out_is_not_meant_for_the_proxy(self):
        _server, ours, theirs = self.two()
        for _ in range(50):
            ours.query("SET statement_timeout = '1ms'")
            self.assertEqual(theirs.values("SHOW statement_timeout"), ["0"])
        with self.assertRaisesRegex(LookupError, "57014"):
            ours.values("SELECT pg_sleep(1)")

    def test_what_is_reset_is_as_the_client_has_begun(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        sessions = self.proxy(pool_size=4, mode="session")
        begins = [("search_path", 'pg_temp, "Odd ""one"'), ("DateStyle", "German"), ("options", "-c work_mem=7MB")]

        def shown(door, writes):
            wire = Wire(door, password=self.cluster.password, parameters=begins)
            self.addCleanup(wire.close)
            rows = []
            for write in writes:
                wire.send_all(*write)
                for _ in range(sum(kind in (b"Q", b"S") for kind, _body in write)):
                    rows += [body[6:] if kind == b"D" else error_of(body)[:5] for kind, body in wire.until_ready() if kind in b"DE"]
            wire.close()
            return rows

        for name in ("search_path", "DateStyle", "work_mem"):
            value = {"search_path": "public", "DateStyle": "SQL", "work_mem": "9MB"}[name]
            sets, show = simple(f"SET {name} = '{value}'"), simple(f"SHOW {name}")
            for reset in ("RESET ALL", f"RESET {name}", f"SET {name} TO DEFAULT", f"SET SESSION {name} = DEFAULT", "DISCARD ALL"):
                extended = [parse("", reset), bind(), execute(), SYNC]
                ways = [[[sets], [simple(reset)], [show]], [[sets, simple(reset), show]], [[sets, *extended, show]], [[simple("LISTEN a")], [sets], [simple(reset)], [show]],
                        [[simple(reset + "; SELECT 1/0")], [show]], [[sets], [simple("SELECT 1/0; " + reset)], [show]]]
                if reset != "DISCARD ALL":
                    # What is set behind it in the same text stays; but a style of dates goes by the order that was before, which is the server's own there (docs/sql.md).
                    if name != "DateStyle":
                        ways.append([[simple("BEGIN")], [simple(f"{reset}; SET {name} = '{value}'")], [show], [simple("COMMIT")], [show]])
                    # No snapshot is taken for it.
                    ways += [[[simple("BEGIN")], [sets], [simple(reset)], [simple("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")], [show], [simple("COMMIT")], [show]],
                             [[sets], [simple("BEGIN")], [parse("", reset), bind(), SYNC], [show], [simple("COMMIT")], [show]]]
                    failed = [simple("BEGIN"), sets, simple("SELECT 1/0"), parse("", "COMMIT"), bind(), SYNC, parse("", reset), bind(), execute(), SYNC, execute(), SYNC]
                    ways += [[failed, [simple("ROLLBACK"), show]], [[simple("BEGIN")], [sets], [simple(reset)], [show], [simple("ROLLBACK")], [show]], [[simple("BEGIN"), sets, simple("SELECT 1/0"), simple(reset), simple("COMMIT"), show]]]
                for way in ways:
                    with self.subTest(name=name, reset=reset, way=way):
                        direct = shown(("127.0.0.1", self.cluster.port), way)
                        self.assertEqual(shown(server.doors["sql"], way), direct)
                        self.assertEqual(shown(sessions.doors["sql"], way), direct)

    def test_a_prepared_text_means_what_its_own_clients_settings_make_of_it(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        texts = ["SELECT extract(epoch FROM timestamptz '2020-01-01 00:00:00')::int", "SELECT date '01/02/2020' - date '2020-01-01'", "SELECT interval '-1 2:03'::text", "SELECT NULL = NULL"]
        kinds_of = [[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")], [("TimeZone", "Asia/Tokyo"), ("DateStyle", "ISO, DMY"), ("IntervalStyle", "sql_standard")], [("options", "-c transform_null_equals=on")]]

        def answers(wire, text, *, sets=None):
            if sets:
                wire.query(sets)
            wire.send_all(parse("s", text), SYNC, bind("s"), execute(), SYNC)
            got = wire.until_ready() + wire.until_ready()
            self.assertEqual(kinds(got), "1Z2DCZ")
            wire.send_all((b"C", b"Ss\0"), SYNC)
            wire.until_ready()
            return got[3][1]

        through, direct = [[Wire(door, password=self.cluster.password, parameters=begins) for begins in kinds_of] for door in (server.doors["sql"], ("127.0.0.1", self.cluster.port))]
        for wire in (*through, *direct):
            self.addCleanup(wire.close)
        for text in texts:
            for turn in (0, 1, 2, 1, 0, 2):
                self.assertEqual(answers(through[turn], text), answers(direct[turn], text), (text, turn))
        for sets in ("BEGIN; SET LOCAL TimeZone = 'Asia/Tokyo'", "ROLLBACK", "SET TimeZone = 'Asia/Tokyo'", "RESET TimeZone"):
            self.assertEqual(answers(through[0], texts[0], sets=sets), answers(direct[0], texts[0], sets=sets), sets)
            if "BEGIN" not in sets:
                self.assertEqual(answers(through[2], texts[0]), answers(direct[2], texts[0]), sets)

    def test_who_asks_the_server_for_users_does_not_ask_as_the_last_client(self):
        self.cluster.superuser("CREATE ROLE asked LOGIN PASSWORD 'asked'; CREATE FUNCTION look(name text) RETURNS TABLE (usename name, passwd text) LANGUAGE sql SECURITY DEFINER AS "
                               "'SELECT usename, passwd FROM pg_catalog.pg_shadow WHERE usename = $1'; REVOKE ALL ON FUNCTION look FROM public; GRANT EXECUTE ON FUNCTION look TO booking", database="booking")
        server, ours, _theirs = self.two(auth_query="SELECT * FROM public.look($1)")
        ours.query("SET ROLE alice")
        self.assertEqual(ours.values("SELECT current_user"), ["alice"])
        asked = eventually(lambda: self.wire(server, user="asked", password="asked"))
        self.assertEqual(asked.values("SELECT current_user"), ["asked"])


if __name__ == "__main__":
    unittest.main()
