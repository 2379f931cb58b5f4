"""The SQL proxy in transaction mode: many clients on few server connections, which is who they were and what they said before."""

import contextlib
import socket
import subprocess
import threading
import time
import unittest

import psycopg2

from harness.postgres import FLUSH, SYNC, SqlScenario, bind, error_of, eventually, execute, kinds, parse


class Pooling(SqlScenario):
    def test_clients_share_server_connections_and_each_gets_its_own_answers(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        backends, wrong = set(), []

        def work(number):
            wire = self.wire(server)
            for turn in range(50):
                mine = f"{number}-{turn}"
                got = wire.values(f"SELECT '{mine}' || ':' || pg_backend_pid()")[0]
                if not got.startswith(mine + ":"):
                    wrong.append((mine, got))
                backends.add(got.split(":")[1])

        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertLessEqual(len(backends), 2)

    def test_a_transaction_keeps_its_connection_and_others_wait_for_it(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        first, second = self.wire(server), self.wire(server)
        self.assertEqual(kinds(first.query("BEGIN")), "CZ")
        second.send(b"Q", b"SELECT 1\0")
        eventually(lambda: [row for row in self.show(server, "POOLS") if row["cl_waiting"] == "1"], what="one waits")
        self.assertEqual(kinds(first.query("COMMIT")), "CZ")
        self.assertEqual(kinds(second.until_ready()), "TDCZ")

    def test_who_waits_too_long_gets_a_clear_error_and_may_try_again(self):
        server = self.proxy(pool_size=1, pool_overflow=0, pool_wait="200ms")
        first, second = self.wire(server), self.wire(server)
        first.query("BEGIN")
        with self.assertRaisesRegex(LookupError, "53300 no server connection became free within 200 ms: 1 of 1 are in use"):
            second.values("SELECT 1")
        # Extended protocol: all up to the Sync is ignored.
        second.send_all(parse("", "SELECT 1"), bind(), execute(), SYNC)
        self.assertEqual(kinds(second.until_ready()), "EZ")
        first.query("COMMIT")
        self.assertEqual(second.values("SELECT 2"), ["2"])

    def test_a_client_that_goes_away_while_it_waits_leaves_its_place(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        first, second, third = self.wire(server), self.wire(server), self.wire(server)
        first.query("BEGIN")
        second.send(b"Q", b"SELECT 1\0")
        eventually(lambda: [row for row in self.show(server, "POOLS") if row["cl_waiting"] == "1"])
        second.close()
        eventually(lambda: [row for row in self.show(server, "POOLS") if row["cl_waiting"] == "0"])
        first.query("COMMIT")
        self.assertEqual(third.values("SELECT 3"), ["3"])

    def test_connections_beyond_the_base_are_closed_when_the_burst_is_over(self):
        server = self.proxy(pool_size=1, pool_overflow=3)
        wires = [self.wire(server) for _ in range(4)]
        for wire in wires:
            wire.query("BEGIN")
        self.assertEqual(self.show(server, "POOLS")[0]["sv_active"], "4")
        for wire in wires:
            wire.query("COMMIT")
        eventually(lambda: self.show(server, "POOLS")[0]["sv_idle"] == "1", what="one is kept")

    def test_an_abandoned_transaction_is_rolled_back_and_the_connection_kept(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        self.wire(server).query("CREATE TABLE IF NOT EXISTS abandoned (n int); TRUNCATE abandoned")
        gone = self.wire(server)
        backend = gone.values("SELECT pg_backend_pid()")[0]
        gone.query("BEGIN")
        gone.query("INSERT INTO abandoned VALUES (1)")
        gone.send(b"Q", b"SELECT pg_sleep(60)\0")
        time.sleep(0.2)
        gone.close()
        after = self.wire(server)
        began = time.monotonic()
        self.assertEqual(after.values("SELECT count(*) || ':' || pg_backend_pid() FROM abandoned"), ["0:" + backend])
        self.assertLess(time.monotonic() - began, 10)

    def test_a_portal_lives_on_between_flushes_and_goes_with_its_client(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire, other = self.wire(server), self.wire(server)
        wire.send_all(parse("", "SELECT generate_series(1, 5)"), bind(), execute("", 2), FLUSH)
        self.assertEqual([wire.read()[0] for _ in range(5)], [b"1", b"2", b"D", b"D", b"s"])
        self.assertEqual(other.values("SELECT 42"), ["42"])  # by another connection
        wire.send_all(execute("", 2), FLUSH)
        self.assertEqual([wire.read()[0] for _ in range(3)], [b"D", b"D", b"s"])
        wire.send_all(execute("", 2), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "DCZ")
        # Who leaves in the midst of it leaves nothing behind.
        wire.query("CREATE TABLE IF NOT EXISTS half (n int); TRUNCATE half")
        wire.send_all(parse("", "INSERT INTO half VALUES (1)"), bind(), execute(), FLUSH)
        self.assertEqual([wire.read()[0] for _ in range(3)], [b"1", b"2", b"C"])
        wire.close()
        eventually(lambda: self.show(server, "POOLS")[0]["sv_active"] == "0")
        for _ in range(4):
            self.assertEqual(other.values("SELECT count(*) FROM half WHERE (SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%' AND usename = 'booking') = 0"),
                             other.values("SELECT count(*) FROM half"))

    def test_what_was_sent_before_a_polite_goodbye_is_done(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        first = self.wire(server)
        first.query("CREATE TABLE IF NOT EXISTS goodbye (n int); TRUNCATE goodbye")
        inserted = lambda: {int(n) for n in self.wire(server).values("SELECT n FROM goodbye")}
        insert = lambda n: (b"Q", b"INSERT INTO goodbye SELECT %d FROM pg_sleep(0.1)\0" % n)
        polite = self.wire(server)
        polite.send_all(insert(1), (b"X", b""))
        polite.close()
        eventually(lambda: inserted() == {1}, what="it is done")
        # Also where it waits for a connection, for what was sent before it, or for a server that takes it all.
        first.query("BEGIN")
        waits = self.wire(server)
        waits.send_all(insert(2), (b"X", b""))
        eventually(lambda: self.show(server, "POOLS")[0]["cl_waiting"] == "1", what="it waits")
        waits.close()
        self.assertEqual(kinds(first.query("COMMIT")), "CZ")
        eventually(lambda: inserted() == {1, 2}, what="it is done once there is a connection")
        large = b"INSERT INTO goodbye SELECT 5 FROM (SELECT '" + b"x" * 3_000_000 + b"') x\0"
        one_by_one = self.wire(server)
        one_by_one.send_all((b"Q", b"SELECT pg_advisory_unlock_all(), pg_sleep(0.1)\0"), insert(3), insert(4), (b"Q", large), (b"X", b""))
        one_by_one.sock.shutdown(socket.SHUT_WR)
        while one_by_one.read() != (None, b""):
            pass
        eventually(lambda: inserted() == {1, 2, 3, 4, 5}, what="they are done in turn")
        # Nobody takes its answer, and that does not stop what comes behind.
        loud = self.wire(server)
        loud.send_all((b"Q", b"SELECT repeat('x', 1000) FROM generate_series(1, 50000)\0"), insert(6), (b"X", b""))
        loud.close()
        eventually(lambda: inserted() == {1, 2, 3, 4, 5, 6}, what="it is done behind an answer that nobody takes")
        # Nor does what has no Sync, and is undone.
        open_ended = self.wire(server)
        open_ended.send_all(insert(7), parse("", "INSERT INTO goodbye VALUES (8)"), bind(), execute(), (b"X", b""))
        open_ended.close()
        eventually(lambda: inserted() == {1, 2, 3, 4, 5, 6, 7}, what="it is done, and nothing else")
        eventually(lambda: {row["state"] for row in self.show(server, "CLIENTS") if row["database"] == "booking"} == {"idle"}, what="none of them is left")

    def test_a_goodbye_in_the_midst_of_a_copy_ends_it(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        self.wire(server).query("CREATE TABLE IF NOT EXISTS copied (n int); TRUNCATE copied")
        copy, data, select, done, fail, bye = (b"Q", b"COPY copied FROM STDIN\0"), (b"d", b"1\n"), (b"Q", b"SELECT 1\0"), (b"c", b""), (b"f", b"no\0"), (b"X", b"")
        unsent = [[copy], [copy, data], [copy, SYNC, SYNC], [select, done, copy], [select, fail, copy, data],
                  [parse("", "COPY copied FROM STDIN"), bind(), execute(), SYNC], [(b"Q", b"SELECT pg_advisory_unlock_all(); COPY copied FROM STDIN\0"), data]]
        for number, frames in enumerate(unsent):
            for at_once in (True, False):
                with self.subTest(number=number, at_once=at_once):
                    gone = self.wire(server)
                    gone.send_all(*frames, *([bye] if at_once else []))
                    if not at_once:
                        while gone.read()[0] != b"G":
                            pass
                        gone.send_all(bye)
                    gone.close()
                    self.assertEqual(self.wire(server).values("SELECT n FROM copied"), [])
        whole = self.wire(server)
        whole.send_all(copy, data, done, bye)
        whole.close()
        eventually(lambda: self.wire(server).values("SELECT n FROM copied") == ["1"], what="what was ended is done")

    def test_what_has_no_sync_is_undone_when_its_client_goes(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        first = self.wire(server)
        first.query("CREATE TABLE IF NOT EXISTS undone (n int); TRUNCATE undone")
        backend = first.values("SELECT pg_backend_pid()")
        for goodbye in ([], [(b"X", b"")]):
            for begin in ([], [parse("", "BEGIN"), bind(), execute()]):
                with self.subTest(goodbye=goodbye, begin=begin):
                    gone = self.wire(server)
                    gone.send_all(*begin, parse("", "INSERT INTO undone VALUES (1)"), bind(), execute(), FLUSH)
                    while gone.read() != (b"C", b"INSERT 0 1\0"):
                        pass
                    if goodbye:
                        gone.send_all(*goodbye)
                    gone.close()
                    self.assertEqual(first.values("SELECT n FROM undone"), [])
        self.assertEqual(first.values("SELECT pg_backend_pid()"), backend)

    def test_session_mode_keeps_one_connection_and_cleans_it_behind_each_client(self):
        server = self.proxy(mode="session", pool_size=1, pool_overflow=0)
        first = self.wire(server)
        first.query("CREATE TEMP TABLE mine (n int); SET work_mem = '9MB'")
        self.assertEqual(first.values("SELECT count(*) FROM mine"), ["0"])
        first.close()
        second = self.wire(server)
        self.assertEqual(second.values("SELECT count(*) FROM pg_class WHERE relname = 'mine'"), ["0"])
        self.assertEqual(second.values("SHOW work_mem"), ["4MB"])


class Sessions(SqlScenario):
    """Transaction mode feels like a session: with one server connection between two clients all state would show."""

    def setUp(self):
        super().setUp()
        self.server = self.proxy(pool_size=1, pool_overflow=0)

    def test_settings_follow_their_client_and_no_other(self):
        a, b = self.wire(self.server), self.wire(self.server)
        a.query("SET work_mem = '7MB'; SET search_path TO \"$user\", pg_catalog")
        a.query("SET myapp.tenant = 'it''s \\ a'")
        self.assertEqual(b.values("SHOW work_mem"), ["4MB"])
        self.assertEqual(b.values("SELECT current_setting('myapp.tenant', true)"), [""])
        self.assertEqual(a.values("SHOW work_mem"), ["7MB"])
        self.assertEqual(a.values("SHOW search_path"), ['"$user", pg_catalog'])
        self.assertEqual(a.values("SELECT current_setting('myapp.tenant')"), ["it's \\ a"])
        b.query("SELECT 1")
        a.query("RESET ALL")
        self.assertEqual(a.values("SHOW work_mem"), ["4MB"])

    def test_a_rolled_back_setting_is_as_it_was(self):
        a, b = self.wire(self.server), self.wire(self.server)
        a.query("SET statement_timeout = '1h'")
        a.query("BEGIN")
        a.query("SET statement_timeout = '2h'")
        a.query("SET LOCAL lock_timeout = '3h'")
        a.query("ROLLBACK")
        b.values("SELECT 1")
        self.assertEqual(a.values("SHOW statement_timeout"), ["1h"])
        self.assertEqual(a.values("SHOW lock_timeout"), ["0"])
        a.query("BEGIN")
        a.query("RESET ALL")
        a.query("ROLLBACK")
        b.values("SELECT 1")
        self.assertEqual(a.values("SHOW statement_timeout"), ["1h"])

    def test_set_config_is_a_setting_too(self):
        a, b = self.wire(self.server), self.wire(self.server)
        a.values("SELECT set_config('application_name', 'from set_config', false), set_config('work_mem', '5MB', true)")
        b.values("SELECT 1")
        self.assertEqual(a.values("SHOW application_name"), ["from set_config"])
        self.assertNotEqual(b.values("SHOW application_name"), ["from set_config"])

    def test_every_start_up_parameter_is_accepted_and_reset_returns_to_it(self):
        a = self.wire(self.server, parameters=[("DateStyle", "german"), ("options", "-c statement_timeout=5000 --lock-timeout=6s"), ("application_name", "early")])
        b = self.wire(self.server)
        self.assertEqual(a.parameters["DateStyle"], "German, DMY")
        self.assertEqual(a.parameters["application_name"], "early")
        self.assertEqual(b.parameters["DateStyle"], "ISO, MDY")
        b.values("SELECT 1")
        self.assertEqual(a.values("SELECT '2026-11-21'::date"), ["21.11.2026"])
        self.assertEqual(a.values("SHOW lock_timeout"), ["6s"])
        a.query("SET DateStyle = 'sql'")
        a.query("RESET DateStyle")
        self.assertEqual(a.values("SHOW DateStyle"), ["German, DMY"])
        self.assertEqual(b.values("SHOW DateStyle"), ["ISO, MDY"])
        with self.assertRaisesRegex(PermissionError, "22023 .*invalid value for parameter \"TimeZone\""):
            self.wire(self.server, parameters=[("TimeZone", "Nowhere/Land")])

    def test_roles_follow_their_client(self):
        self.cluster.superuser("DROP ROLE IF EXISTS clerk; CREATE ROLE clerk; GRANT clerk TO booking")
        a, b = self.wire(self.server), self.wire(self.server)
        a.query("SET ROLE clerk")
        self.assertEqual(b.values("SELECT current_user"), ["booking"])
        self.assertEqual(a.values("SELECT current_user"), ["clerk"])
        a.query("RESET ROLE")
        self.assertEqual(a.values("SELECT current_user"), ["booking"])

    def test_prepared_statements_are_each_clients_own_and_follow_it(self):
        a, b = self.wire(self.server), self.wire(self.server)
        for wire, text in ((a, "SELECT 'a' || $1::text"), (b, "SELECT 'b' || $1::text")):
            wire.send_all(parse("s", text), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "1Z")
        for _ in range(3):
            for wire, letter in ((a, b"a"), (b, b"b")):
                wire.send_all(bind("s", values=["x"]), execute(), SYNC)
                messages = wire.until_ready()
                self.assertEqual(kinds(messages), "2DCZ")
                self.assertIn(letter + b"x", messages[1][1])
        a.send_all((b"C", b"Ss\0"), SYNC)
        self.assertEqual(kinds(a.until_ready()), "3Z")
        a.send_all(bind("s", values=["x"]), execute(), SYNC)
        messages = a.until_ready()
        self.assertEqual((kinds(messages), error_of(messages[0][1])[:5]), ("EZ", "26000"))
        b.send_all(bind("s", values=["y"]), execute(), SYNC)
        self.assertEqual(kinds(b.until_ready()), "2DCZ")

    def test_a_name_twice_is_refused_and_the_first_stays(self):
        a = self.wire(self.server)
        a.send_all(parse("twice", "SELECT 1"), parse("twice", "SELECT 2"), bind("twice"), execute(), SYNC)
        messages = a.until_ready()
        self.assertEqual((kinds(messages), error_of(messages[1][1])[:5]), ("1EZ", "42P05"))
        a.send_all(bind("twice"), execute(), SYNC)
        self.assertEqual(kinds(a.until_ready()), "2DCZ")

    def test_a_failed_parse_leaves_no_statement(self):
        a = self.wire(self.server)
        a.send_all(parse("bad", "SELEC 1"), bind("bad"), execute(), SYNC)
        self.assertEqual(kinds(a.until_ready()), "EZ")
        a.send_all(parse("bad", "SELECT 1"), bind("bad"), execute(), SYNC)
        self.assertEqual(kinds(a.until_ready()), "12DCZ")
        # Skipped after an error in the same pipeline: not prepared either.
        a.send_all(parse("", "SELECT 1/0"), bind(), execute(), parse("skipped", "SELECT 5"), SYNC, parse("skipped", "SELECT 6"), bind("skipped"), execute(), SYNC)
        self.assertEqual(kinds(a.until_ready()), "1EZ")
        messages = a.until_ready()
        self.assertEqual(kinds(messages), "12DCZ")

    def test_the_statement_without_a_name_outlives_its_sync(self):
        a, b = self.wire(self.server), self.wire(self.server)
        a.send_all(parse("", "SELECT 'unnamed of a'"), (b"D", b"S\0"), SYNC)
        self.assertEqual(kinds(a.until_ready()), "1tTZ")
        b.send_all(parse("", "SELECT 'unnamed of b'"), bind(), execute(), SYNC)
        self.assertEqual(kinds(b.until_ready()), "12DCZ")
        a.send_all(bind(), execute(), SYNC)
        messages = a.until_ready()
        self.assertEqual(kinds(messages), "2DCZ")
        self.assertIn(b"unnamed of a", messages[1][1])

    def test_pipelines_with_several_syncs_are_answered_in_order(self):
        a = self.wire(self.server)
        messages = []
        for n in range(200):
            messages += [parse(f"p{n % 7}_{n}", f"SELECT {n}"), bind(f"p{n % 7}_{n}"), execute(), (b"C", f"Sp{n % 7}_{n}\0".encode()), SYNC]
        threading.Thread(target=a.send_all, args=messages, daemon=True).start()
        for n in range(200):
            got = a.until_ready()
            self.assertEqual(kinds(got), "12DC3Z", n)
            self.assertTrue(got[2][1].endswith(str(n).encode()))
        self.assertEqual(self.wire(self.server).values("SELECT 1"), ["1"])

    def test_copy_in_and_out_simple_and_extended(self):
        a, b = self.wire(self.server), self.wire(self.server)
        a.query("CREATE TABLE IF NOT EXISTS copied (n int); TRUNCATE copied")
        a.send(b"Q", b"COPY copied FROM STDIN\0")
        self.assertEqual(a.read()[0], b"G")
        a.send_all(*[(b"d", b"%d\n" % n) for n in range(1000)], (b"c", b""))
        self.assertEqual(kinds(a.until_ready()), "CZ")
        # libpq sends Sync with the Execute, and another one behind CopyDone.
        a.send_all(parse("", "COPY copied FROM STDIN"), bind(), execute(), SYNC)
        self.assertEqual([a.read()[0] for _ in range(3)], [b"1", b"2", b"G"])
        a.send_all((b"d", b"5000\n"), (b"c", b""), SYNC)
        self.assertEqual(kinds(a.until_ready()), "CZ")
        self.assertEqual(b.values("SELECT count(*) FROM copied"), ["1001"])
        got = b.query("COPY copied TO STDOUT")
        self.assertEqual(sum(kind == b"d" for kind, _ in got), 1001)
        # A COPY that fails: what is still on its way is nobody's.
        a.send(b"Q", b"COPY copied FROM STDIN\0")
        self.assertEqual(a.read()[0], b"G")
        a.send(b"d", b"not a number\n")
        self.assertEqual(kinds(a.until_ready()), "EZ")
        a.send_all((b"d", b"7\n"), (b"c", b""))
        self.assertEqual(a.values("SELECT count(*) FROM copied"), ["1001"])

    def test_what_cannot_be_carried_over_pins_and_shows_why(self):
        a = self.wire(self.server)
        for statement, cause, undo in (("LISTEN news", "LISTEN", "UNLISTEN *"),
                                       ("CREATE TEMP TABLE t (n int)", "temporary table", "DISCARD TEMP"),
                                       ("SELECT pg_advisory_lock(7)", "session advisory lock", "SELECT pg_advisory_unlock_all()"),
                                       ("PREPARE p AS SELECT 1", "PREPARE", "DEALLOCATE ALL"),
                                       ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", "cursor WITH HOLD", "CLOSE ALL")):
            with self.subTest(statement):
                a.query(statement)
                self.assertEqual([row["cause"] for row in self.show(self.server, "PINS")], [cause])
                a.query(undo)
                self.assertEqual(self.show(self.server, "PINS"), [])
        a.query("BEGIN; CREATE TEMP TABLE t2 (n int) ON COMMIT DROP; COMMIT")
        self.assertEqual(self.show(self.server, "PINS"), [])

    def test_notifications_reach_who_listens(self):
        self.server.stop()
        server = self.proxy(pool_size=2, pool_overflow=0)
        a, b = self.wire(server), self.wire(server)
        a.query("LISTEN news")
        b.query("NOTIFY news, 'hello'")
        kind, body = a.read()
        self.assertEqual((kind, body[4:]), (b"A", b"news\0hello\0"))


class Clients(SqlScenario):
    """Other people's clients."""

    def test_psql_and_pgbench_in_every_mode(self):
        server = self.proxy(pool_size=4, pool_overflow=0)
        url = self.url(server)

        def run(*command):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        run("pgbench", "-i", "-q", "-s", "1", url)
        # pgbench waits for a Prepare in the thread that holds other clients' transactions: no more clients than connections there.
        for mode, clients, turns in (("simple", 12, 25), ("extended", 12, 25), ("prepared", 4, 75)):
            out = run("pgbench", "-n", "-c", str(clients), "-j", "2", "-t", str(turns), "-M", mode, url)
            self.assertIn("number of transactions actually processed: 300/300", out)
            self.assertIn("number of failed transactions: 0", out)
        self.assertEqual(run("psql", "-X", "-A", "-t", url, "-c", "SELECT count(*) FROM pgbench_history").strip(), "900")
        self.assertIn("pgbench_accounts", run("psql", "-X", url, "-c", "\\d"))
        out = run("pgbench", "-n", "-C", "-S", "-c", "4", "-t", "20", url)
        self.assertIn("80/80", out)

    def test_psycopg2(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        with contextlib.closing(psycopg2.connect(self.dsn(server))) as one, contextlib.closing(psycopg2.connect(self.dsn(server))) as other:
            with one, one.cursor() as cursor:
                cursor.execute("CREATE TABLE IF NOT EXISTS people (name text)")
                cursor.execute("TRUNCATE people")
                cursor.executemany("INSERT INTO people VALUES (%s)", [("Ada",), ("Grace",)])
            with other, other.cursor() as cursor:
                cursor.execute("SELECT name FROM people ORDER BY 1")
                self.assertEqual(cursor.fetchall(), [("Ada",), ("Grace",)])
            with one, one.cursor("named") as cursor:
                cursor.itersize = 1
                cursor.execute("SELECT generate_series(1, 5)")
                self.assertEqual([row[0] for row in cursor], [1, 2, 3, 4, 5])
            one.set_session(isolation_level="SERIALIZABLE", readonly=True)
            with self.assertRaises(psycopg2.errors.ReadOnlySqlTransaction), one, one.cursor() as cursor:
                cursor.execute("INSERT INTO people VALUES ('Eve')")

    def test_asyncpg_with_its_statement_cache_and_pool(self):
        import asyncio

        import asyncpg

        server = self.proxy(pool_size=2, pool_overflow=0)

        async def work():
            pool = await asyncpg.create_pool(self.url(server), min_size=5, max_size=5)

            async def one(n):
                async with pool.acquire() as connection:
                    async with connection.transaction():
                        return await connection.fetchval("SELECT $1::int + 1", n)

            got = await asyncio.gather(*[one(n) for n in range(100)])
            async with pool.acquire() as connection:
                rows = [row["n"] async for row in self.cursor(connection)]
            await pool.close()
            return got, rows

        got, rows = asyncio.run(work())
        self.assertEqual(got, [n + 1 for n in range(100)])
        self.assertEqual(rows, list(range(1, 201)))

    @staticmethod
    async def cursor(connection):
        async with connection.transaction():
            async for row in connection.cursor("SELECT generate_series(1, 200) AS n", prefetch=10):
                yield row


if __name__ == "__main__":
    unittest.main()
