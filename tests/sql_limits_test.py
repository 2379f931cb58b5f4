"""How many there may be: server connections and clients of a database and of a user, counted over both processes of a take-over; and what an admin
does to those who wait."""

import threading
import time
import unittest

from harness import eventually
from harness.edge import EdgeScenario, metric
from harness.postgres import SqlScenario, Wire, error_of, kinds


class Limits(SqlScenario):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cluster.superuser("CREATE ROLE second LOGIN PASSWORD 'two'; GRANT ALL ON DATABASE booking TO second")

    def second(self):
        path = self.directory / "users"
        path.write_text('"second" "two"\n')
        return path

    def busy(self, server, users, seconds=1.5, sleep=0.01):
        """Clients of these (user, password) that ask over and over; the most server connections that were ever open, by user, and what went wrong."""
        stop, wrong, answered = threading.Event(), [], [0] * len(users)

        def ask(number, user, password):
            wire = self.wire(server, user=user, password=password)
            while not stop.is_set():
                try:
                    wire.values(f"SELECT pg_sleep({sleep})")
                    answered[number] += 1
                except (LookupError, OSError) as error:
                    wrong.append(str(error))

        threads = [threading.Thread(target=ask, args=(number, *who)) for number, who in enumerate(users)]
        for thread in threads:
            thread.start()
        most, until = {}, time.monotonic() + seconds
        while time.monotonic() < until:
            now = dict(line.split("|") for line in self.cluster.superuser("SELECT usename, count(*) FROM pg_stat_activity WHERE usename IN ('booking', 'second') GROUP BY 1").splitlines())
            counted = {**{user: int(number) for user, number in now.items()}, "all": sum(map(int, now.values()))}
            most = {user: max(most.get(user, 0), counted.get(user, 0)) for user in ("booking", "second", "all")}
        stop.set()
        for thread in threads:
            thread.join()
        return most, wrong, answered

    def test_a_databases_connections_are_counted_over_its_users_who_all_get_their_turn(self):
        server = self.proxy(max_db_connections=3, users_file=self.second())
        most, wrong, answered = self.busy(server, [("booking", self.cluster.password)] * 5 + [("second", "two")] * 5, seconds=4)
        self.assertEqual(wrong, [])
        self.assertLessEqual(most["all"], 3)
        self.assertTrue(all(answered), answered)
        # At rest, one user's idle connections do not keep the other from working.
        wires = [self.wire(server) for _ in range(3)]
        threads = [threading.Thread(target=wire.values, args=("SELECT pg_sleep(0.2)",)) for wire in wires]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.wire(server, user="second", password="two").values("SELECT 1"), ["1"])

    def test_a_users_connections_are_counted_over_databases(self):
        config = self.settings(f'[[sql.databases]]\nname = "other"\npostgres = "{self.cluster.urls["primary"]}"\nmax_connections = 1\n')
        server = self.proxy(config=config, max_user_connections=2, pool_wait="1s")
        here, there = [self.wire(server) for _ in range(2)], [self.wire(server, database="other") for _ in range(2)]
        here[0].query("BEGIN")
        there[0].query("BEGIN")
        for wire in (here[1], there[1]):
            with self.assertRaisesRegex(LookupError, "53300 .*all connections of (user booking|database other)"):
                wire.values("SELECT 1")
        there[0].query("COMMIT")
        self.assertEqual(eventually(lambda: there[1].values("SELECT 1")), ["1"])  # and goes on

    def test_pairs_of_database_and_user_that_nobody_uses_make_room(self):
        self.cluster.superuser("DROP ROLE IF EXISTS u1, u2, u3, u4; CREATE ROLE u1 LOGIN PASSWORD 'p'; CREATE ROLE u2 LOGIN PASSWORD 'p'; CREATE ROLE u3 LOGIN PASSWORD 'p'; CREATE ROLE u4 LOGIN PASSWORD 'p'")
        path = self.directory / "many"
        path.write_text("".join(f'"u{n}" "p"\n' for n in range(1, 5)))
        server = self.proxy(users_file=path, max_pools=2, idle_timeout="1s")
        first, second = self.wire(server, user="u1", password="p"), self.wire(server, user="u2", password="p")
        self.assertEqual([wire.values("SELECT current_user") for wire in (first, second)], [["u1"], ["u2"]])
        with self.assertRaisesRegex(PermissionError, "53300 2 pairs of database and user .*sql.max_pools"):
            self.wire(server, user="u3", password="p")
        self.assertEqual(self.wire(server, user="u1", password="p").values("SELECT 1"), ["1"])  # one that is there already
        first.close()
        second.close()

        def let_in(user):
            try:
                return self.wire(server, user=user, password="p")
            except PermissionError:
                return None

        # Once its connections have idled away; and so on for ever, the first ones again among them.
        for user in ("u3", "u4", "u2", "u3"):
            wire = eventually(lambda user=user: let_in(user), timeout=20, what=f"{user} is let in")
            self.assertEqual(wire.values("SELECT current_user"), [user])
            wire.close()

    def test_connections_are_kept_ready_and_renewed(self):
        pids = lambda: set(self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE usename = 'booking'").split())
        server = self.proxy(pool_min=3, idle_timeout="1s", lifetime="3s")
        wire = self.wire(server)
        wire.values("SELECT 1")
        eventually(lambda: len(pids()) >= 3, what="three are kept ready")
        old = pids()
        eventually(lambda: not old & pids() and len(pids()) >= 3, timeout=20, what="others have taken their place at their age")
        self.assertEqual(wire.values("SELECT 42"), ["42"])

    def test_a_connection_that_died_at_rest_is_seen_before_it_is_used(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, pool_size=1, pool_overflow=0, ping_after="100ms", pool_wait="20s")
        wire = self.wire(server)
        self.assertEqual(wire.values("SELECT 1"), ["1"])
        gate.mode = "stall"  # what is sent on connections that are there is not answered
        time.sleep(0.2)
        wire.send(b"Q", b"SELECT 'asked before it is used'\0")
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%asked before%' AND pid <> pg_backend_pid()"), "0")
        gate.cut()
        gate.mode = "open"
        self.assertEqual(kinds(wire.until_ready()), "TDCZ")

    def test_a_client_that_says_nothing_for_too_long_is_ended(self):
        server = self.proxy(client_idle_timeout="500ms")
        silent, busy = self.wire(server), self.wire(server)
        busy.query("BEGIN")
        kind, body = silent.read()
        self.assertEqual((kind, error_of(body)[:5]), (b"E", "57P05"))
        self.assertEqual(silent.read()[0], None)
        self.assertEqual(kinds(busy.query("COMMIT")), "CZ")  # in a transaction it is another time-out's
        self.assertEqual(self.wire(server).values("SELECT 42"), ["42"])

    def test_clients_of_a_user_and_of_a_database_are_counted(self):
        for setting in ("max_user_clients", "max_db_clients"):
            server = self.proxy(**{setting: 2})
            first, _second = self.wire(server), self.wire(server)
            with self.assertRaisesRegex(PermissionError, f"53300 .*sql.{setting}"):
                self.wire(server)
            self.assertTrue(self.show(server, "CLIENTS"))  # the admin database is not counted
            first.close()
            self.assertEqual(eventually(lambda: self.admitted(server)), ["1"])

    def admitted(self, server):
        try:
            return self.wire(server).values("SELECT 1")
        except PermissionError:
            return None

    def test_paused_clients_wait_and_can_be_killed_or_give_up(self):
        server = self.proxy(pool_wait="30s")
        admin, waits, killed, cancelled = self.wire(server, database="headroom"), self.wire(server), self.wire(server), self.wire(server)
        for wire in (waits, killed, cancelled):
            self.assertEqual(wire.values("SELECT 1"), ["1"])
        in_transaction = self.wire(server)
        in_transaction.query("BEGIN")
        self.assertEqual(kinds(admin.query("PAUSE booking")), "CZ")
        self.assertEqual(in_transaction.values("SELECT 2"), ["2"])  # what is open goes on
        in_transaction.query("COMMIT")
        before = {row["ptr"] for row in self.show(server, "CLIENTS") if row["state"] == "waiting"}
        self.assertEqual(before, set())
        killed.send(b"Q", b"SELECT 3\0")
        victim = eventually(lambda: [row["ptr"] for row in self.show(server, "CLIENTS") if row["state"] == "waiting"])
        for wire in (waits, cancelled):
            wire.send(b"Q", b"SELECT 4\0")
        eventually(lambda: [row for row in self.show(server, "POOLS") if row["cl_waiting"] == "3"])
        self.assertEqual(kinds(admin.query(f"KILL {victim[0]}")), "CZ")
        kind, body = killed.read()
        self.assertEqual((kind, error_of(body)[:5]), (b"E", "57P01"))
        cancelled.cancel()
        messages = cancelled.until_ready()
        self.assertEqual((kinds(messages), error_of(messages[0][1])[:5]), ("EZ", "57014"))
        self.assertEqual([row["cl_waiting"] for row in self.show(server, "POOLS") if row["database"] == "booking"], ["1"])
        self.assertEqual(kinds(admin.query("RESUME booking")), "CZ")
        self.assertEqual(kinds(waits.until_ready()), "TDCZ")
        self.assertEqual(cancelled.values("SELECT 5"), ["5"])
        for wrong in ("KILL", "KILL x", "KILL 4294967295", "PAUSE nowhere", "RESUME nowhere", "RECONNECT nowhere", "STOP"):
            self.assertRegex(error_of(admin.query(wrong)[0][1]), "^(22023|3D000|42601)", wrong)

    def test_reload_takes_up_what_can_be_and_says_of_the_rest_that_it_waits_for_a_restart(self):
        config = '[sql]\npool_size = 7\n[edge]\nbody_limit = "1MiB"\n'
        server = self.proxy(config=self.settings(config))
        admin, wire = self.wire(server, database="headroom"), self.wire(server)
        limit = lambda: metric(server, "headroom_sql_pool_limit", database="booking")
        self.assertEqual(wire.values("SELECT 1"), ["1"])
        before = limit()
        self.assertEqual(before, 47)  # with the overflow
        self.settings(config.replace("7", "9").replace("1MiB", "2MiB"))
        self.assertEqual(kinds(admin.query("RELOAD")), "CZ")
        server.wait_for_line(r"reload: edge.body_limit = .*2MiB")
        server.wait_for_line(r"reload: sql.pool_size = 9.*restart")
        self.assertEqual(limit(), before)
        self.settings("[sql]\npool_size = many\n")
        self.assertEqual(kinds(admin.query("RELOAD")), "CZ")
        server.wait_for_line("reload: nothing changed")
        self.assertEqual(wire.values("SELECT 2"), ["2"])


class TakeOver(EdgeScenario, SqlScenario):
    def test_both_processes_of_a_take_over_share_one_limit(self):
        settings = {"sql.listen": "127.0.0.1:0", "sql.pool_size": 4, "sql.pool_overflow": 0, "server.drain_delay": "0s"}
        old = self.headroom(arguments=["--postgres", self.cluster.urls["primary"]], set=settings)
        address = old.doors["sql"]
        stop, wrong, answered, made = threading.Event(), [], [0], [0]

        def ask():
            wire = None
            while not stop.is_set():
                try:
                    if wire is None:
                        wire = Wire(address, password=self.cluster.password)
                        made[0] += 1
                    wire.values("SELECT pg_sleep(0.005)")
                    answered[0] += 1
                except (LookupError, OSError, PermissionError, TypeError, ConnectionError) as error:
                    if not str(error).startswith(("57P01", "57P03", "closed")) and not isinstance(error, (OSError, TypeError)):
                        wrong.append(repr(error))
                    wire = wire and wire.close()

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        most, lock = [0], threading.Event()

        def count():
            while not lock.is_set():
                most[0] = max(most[0], int(self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'booking'")))

        counting = threading.Thread(target=count)
        counting.start()
        try:
            eventually(lambda: answered[0] > 200)
            new = self.headroom(arguments=["--postgres", self.cluster.urls["primary"], "--take-over"], set=settings)
            self.assertEqual(old.wait(30), 0)
            old.stopped = True
            before = answered[0]
            eventually(lambda: answered[0] > before + 400, what="the new one serves")
            self.assertEqual(new.doors["sql"], address)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            lock.set()
            counting.join()
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(made[0], 24)  # all came again
        self.assertEqual(most[0], 4)


if __name__ == "__main__":
    unittest.main()
