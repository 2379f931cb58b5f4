"""Random frames of the protocol are answered through the proxy as PostgreSQL answers them directly: alone, and with a replica beside it."""

import contextlib
import os
import unittest

from harness import eventually
from harness.postgres import SqlScenario, Wire, bind, error_of, execute, kinds, parse, SYNC
from harness.sql_frames import clients, difference, shrunk, told_of

CLIENTS = int(os.environ.get("FRAMES_CLIENTS", "60"))  # of each kind
SEED = int(os.environ.get("FRAMES_SEED", "41"))


class Frames(SqlScenario):
    replicas = 1

    def setUp(self):
        super().setUp()
        self.cluster.superuser("DROP TABLE IF EXISTS frames; CREATE TABLE frames (a int); GRANT ALL ON frames TO booking")

    def direct(self):
        return Wire(("127.0.0.1", self.cluster.port), password=self.cluster.password)

    def compare_one(self, server, *writes):
        """Chosen frames, as the random ones: behind each write a Sync and a ROLLBACK."""
        exchanges = [[*frames, SYNC, (b"Q", b"ROLLBACK\0")] for frames in writes]
        told = difference(self.direct, lambda: Wire(server.doors["sql"], password=self.cluster.password), exchanges)
        self.assertIsNone(told, told and told_of(exchanges, told))

    def compare(self, server, seed, mixed):
        proxied = lambda: Wire(server.doors["sql"], password=self.cluster.password)
        for number, exchanges in zip(range(CLIENTS), clients(seed, mixed)):
            told = difference(self.direct, proxied, exchanges)
            if told:
                differs = lambda fewer: difference(self.direct, proxied, fewer)
                fewer = shrunk(differs, exchanges) if differs(exchanges) else exchanges
                self.fail(f"client {number} of seed {seed}: {told_of(fewer, differs(fewer) or told)}")

    def with_replica(self, **settings):
        server = self.proxy(replicas=self.cluster.urls["replica1"], **settings)
        eventually(lambda: [row["usable"] for row in self.show(server, "REPLICAS")].count("yes") == 1)
        return server

    def test_a_server_alone(self):
        server = self.proxy(pool_size=1, pool_overflow=1)
        self.compare(server, SEED, mixed=False)
        self.compare(server, SEED + 1, mixed=True)

    def test_nobody_finds_the_statement_without_a_name_of_another(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        first, second = self.wire(server), self.wire(server)
        for turn in range(3):
            first.send_all(parse("", f"SELECT 'theirs {turn}'"), bind(), execute(), SYNC)
            self.assertEqual(kinds(first.until_ready()), "12DCZ")
            second.send_all(bind(), execute(), SYNC)
            self.assertEqual([error_of(body)[:5] for kind, body in second.until_ready() if kind == b"E"], ["26000"])

    def test_the_end_of_a_failed_transaction_is_bound_twice_before_it_is_executed(self):
        server = self.with_replica()
        fails = [(b"Q", b"BEGIN READ ONLY\0"), (b"Q", b"SELECT 1/0\0")]
        for last in ([], [execute()], [execute(), bind("end"), execute()]):
            with self.subTest(last=last):
                self.compare_one(server, [*fails, parse("end", "COMMIT"), SYNC, bind("end"), bind("end"), *last])

    def test_what_ends_a_copy_and_its_connection_is_told(self):
        server = self.proxy()
        for connect in (self.direct, lambda: self.wire(server)):
            for behind in ([], [SYNC]):
                with self.subTest(connect=connect, behind=behind), contextlib.closing(connect()) as wire:
                    wire.send_all(parse("", "COPY frames FROM STDIN"), bind(), execute(), *behind)
                    self.assertEqual(b"".join(wire.read()[0] for _ in range(3)), b"12G")
                    wire.send_all((b"Q", b"SELECT 1\0"))
                    told = [wire.read(), wire.read()]
                    self.assertEqual([(kind, error_of(body)[:5]) for kind, body in told], [(b"E", "08P01"), (b"E", "08P01")])
                    self.assertIn(b"FATAL", told[1][1])
                    self.assertIsNone(wire.read()[0])
        self.assertEqual(self.wire(server).values("SELECT 1"), ["1"])

    def test_a_sync_alone_in_a_transaction_that_moves_to_the_primary_says_that_it_goes_on(self):
        server = self.with_replica()
        self.compare_one(server, [(b"Q", b"BEGIN READ ONLY\0"), SYNC, parse("", "SELECT 7"), bind(), parse("", "SET TRANSACTION READ ONLY")])

    def test_a_portal_is_executed_behind_what_is_not_for_the_replica_that_has_it(self):
        server = self.with_replica(pool_size=1, pool_overflow=0)
        replica = Wire(("127.0.0.1", self.cluster.port_of("replica1")), password=self.cluster.password)
        self.addCleanup(replica.close)
        connections = lambda: replica.values("SELECT pid FROM pg_stat_activity WHERE usename = 'booking' AND pid <> pg_backend_pid() ORDER BY 1")
        with contextlib.closing(self.wire(server)) as wire:
            self.assertEqual(wire.values("SELECT 1"), ["1"])
        before = connections()
        for begin in ([], [(b"Q", b"BEGIN READ ONLY\0")], [parse("", "BEGIN READ ONLY"), bind(), execute()], [parse("", "BEGIN READ ONLY"), bind(), execute(), SYNC]):
            for opened in ([parse("read", "SELECT 7"), bind("read")], [parse("", "SELECT 7"), bind()], [parse("", "SELECT 7"), bind(), execute("", 1)]):
                with self.subTest(begin=begin, opened=opened):
                    self.compare_one(server, [*begin, *opened, parse("write", "INSERT INTO frames VALUES (1)"), execute()])
                    self.compare_one(server, [*begin, *opened, SYNC], [*begin, bind("read"), parse("write", "ROLLBACK"), execute()])
        self.assertEqual(connections(), before, "a connection to the replica was closed")

    def test_a_replica_beside_it(self):
        server = self.with_replica()
        self.compare(server, SEED + 2, mixed=False)
        self.compare(server, SEED + 3, mixed=True)
        # A pipeline in a READ ONLY transaction goes on at the primary with what is not for a replica.
        for begin in ([(b"Q", b"BEGIN READ ONLY\0")], [parse("", "BEGIN READ ONLY"), bind(), execute()]):
            for last, answer in (("SELECT pg_export_snapshot() <> ''", "12DC12DCZ"), ("INSERT INTO frames VALUES (1)", "12DC12EZ")):
                with self.subTest(begin=begin, last=last):
                    wire = self.wire(server)
                    wire.send_all(*begin, parse("", "SELECT 1"), bind(), execute(), parse("", last), bind(), execute(), SYNC)
                    told = kinds(wire.until_ready())
                    told = told + kinds(wire.until_ready()) if told == "CZ" else told
                    self.assertTrue(told.endswith(answer), told)
                    self.assertEqual(kinds(wire.query("ROLLBACK")), "CZ")
        reads = {row["port"]: int(row["reads"]) for row in self.show(server, "REPLICAS")}
        self.assertGreater(reads[str(self.cluster.port_of("replica1"))], CLIENTS)


if __name__ == "__main__":
    unittest.main()
