"""Statements that clients prepare: what they may take, and what becomes of them when something fails."""

import unittest

from harness import eventually
from harness.edge import metric
from harness.postgres import FLUSH, SYNC, SqlScenario, bind, error_of, execute, kinds, parse


def close(name):
    return b"C", b"S" + name.encode() + b"\0"


def error_in(messages):
    return next((error_of(body) for kind, body in messages if kind == b"E"), None)


class Prepared(SqlScenario):
    def run_(self, wire, *messages):
        wire.send_all(*messages)
        return wire.until_ready()

    def test_what_an_error_skips_has_not_happened(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire = self.wire(server)
        for turn in range(20):
            self.assertEqual(kinds(self.run_(wire, parse("k", f"SELECT {turn}"), parse("same", f"SELECT {turn}"), SYNC)), "11Z")
            # The Close and the Parse lie behind the error: the server skips both, and k lives on as it was.
            self.assertEqual(kinds(self.run_(wire, parse("", "SELECT 1/0"), bind(), execute(), close("k"), parse("k", "SELECT 'new'"), close("same"), SYNC))[-2:], "EZ")
            answer = self.run_(wire, bind("k"), execute(), SYNC)
            self.assertEqual((kinds(answer), answer[1][1][6:]), ("2DCZ", str(turn).encode()))
            self.assertEqual(kinds(self.run_(wire, bind("same"), execute(), SYNC)), "2DCZ")
            # Before the error it has happened.
            self.assertEqual(kinds(self.run_(wire, close("k"), parse("", "SELECT 1/0"), bind(), execute(), SYNC))[0], "3")
            self.assertIn("26000", error_in(self.run_(wire, bind("k"), execute(), SYNC)))
            # A failed Parse takes away its own name, not that of another statement of the same text.
            self.assertEqual(kinds(self.run_(wire, parse("", "SELECT 1/0"), bind(), execute(), parse("other", f"SELECT {turn}"), SYNC))[-2:], "EZ")
            self.assertEqual(kinds(self.run_(wire, bind("same"), execute(), close("same"), SYNC)), "2DC3Z")

    def test_a_name_that_is_used_again_behind_an_error_is_the_second_one(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire = self.wire(server)
        for turn in range(10):
            name = f"s{turn}"
            wire.send_all(execute("nothing"), parse(name, "SELECT 'a'"), SYNC, parse(name, "SELECT 'b'"), SYNC)
            self.assertEqual([kinds(wire.until_ready()) for _ in range(2)], ["EZ", "1Z"])
            answer = self.run_(wire, bind(name), execute(), SYNC)
            self.assertEqual((kinds(answer), answer[1][1][6:]), ("2DCZ", b"b"))
            # A query within an exchange that has failed is ignored up to the Sync, by the server and by us.
            wire.send_all(parse("", "no statement"), (b"Q", b"DEALLOCATE ALL\0"), parse(name + "x", "SELECT 1"), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "EZ")
            self.assertEqual(kinds(self.run_(wire, parse(name + "x", "SELECT 1"), SYNC)), "1Z")
            self.assertEqual(kinds(self.run_(wire, bind(name), execute(), SYNC)), "2DCZ")

    def test_deallocate_in_a_transaction_that_has_failed_does_nothing(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        self.run_(wire, parse("k", "SELECT 7"), SYNC)
        wire.query("BEGIN")
        wire.query("SELECT 1/0")
        self.assertIn("25P02", error_in(wire.query("DEALLOCATE k")))
        wire.query("ROLLBACK")
        self.assertEqual(kinds(self.run_(wire, bind("k"), execute(), SYNC)), "2DCZ")
        # In one packet with what fails before it.
        wire.send_all((b"Q", b"BEGIN\0"), (b"Q", b"SELECT 1/0\0"), (b"Q", b"DEALLOCATE k\0"), (b"Q", b"ROLLBACK\0"))
        self.assertEqual("".join(kinds(wire.until_ready()) for _ in range(4)), "CZEZEZCZ")
        self.assertEqual(kinds(self.run_(wire, bind("k"), execute(), SYNC)), "2DCZ")
        self.assertEqual(kinds(wire.query("DEALLOCATE k")), "CZ")
        self.assertIn("26000", error_in(self.run_(wire, bind("k"), execute(), SYNC)))

    def test_what_nobody_has_prepared_costs_an_error_and_no_connection(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        pid = wire.values("SELECT pg_backend_pid()")
        for ask in ([bind("nobodys"), execute()], [(b"D", b"Snobodys\0")], [(b"Q", b"EXECUTE nobodys\0")], [(b"Q", b"DEALLOCATE nobodys\0")], [bind(""), execute()]):
            with self.subTest(ask=ask):
                answer = self.run_(wire, *ask, *[] if ask[0][0] == b"Q" else [SYNC])
                self.assertEqual((kinds(answer), error_in(answer)[:5]), ("EZ", "26000"))
                self.assertEqual(wire.values("SELECT pg_backend_pid()"), pid)

    def test_an_end_of_all_that_is_bound_and_not_executed_ends_nothing(self):
        server = self.proxy(pool_size=1, pool_overflow=0, pool_wait="1s")
        wire = self.wire(server)
        for end in ("DISCARD ALL", "DEALLOCATE ALL"):
            with self.subTest(end=end):
                self.assertEqual(kinds(self.run_(wire, parse("k", "SELECT 7"), parse("end", end), SYNC)), "11Z")
                self.assertEqual(kinds(self.run_(wire, bind("end"), SYNC)), "2Z")
                self.assertEqual(kinds(self.run_(wire, bind("k"), execute(), SYNC)), "2DCZ")
                self.assertIn("42P05", error_in(self.run_(wire, parse("k", "SELECT 8"), SYNC)))
                self.assertEqual(kinds(self.run_(wire, bind("end"), execute(), SYNC)), "2CZ")
                self.assertIn("26000", error_in(self.run_(wire, bind("k"), execute(), SYNC)))
        # Of several portals the one that is executed ends it.
        self.run_(wire, parse("k", "SELECT 7"), parse("end", "DEALLOCATE ALL"), SYNC)
        self.assertEqual(kinds(self.run_(wire, bind("end", "one"), bind("k", "two"), execute("one"), execute("two"), SYNC)), "22CDCZ")
        other = self.wire(server)
        self.assertEqual(kinds(self.run_(other, parse("k", "SELECT 7"), SYNC)), "1Z")
        other.query("BEGIN")
        self.assertEqual(kinds(self.run_(other, bind("k"), execute(), SYNC)), "2DCZ")
        other.query("COMMIT")
        self.assertIn("26000", error_in(self.run_(wire, bind("k"), execute(), SYNC)))
        # Nor a pin.
        wire.query("CREATE TEMP TABLE mine (n int)")
        self.run_(wire, parse("", "DISCARD ALL"), bind(), SYNC)
        with self.assertRaisesRegex(LookupError, "53300"):
            self.wire(server).values("SELECT 1")
        self.assertEqual(wire.values("SELECT count(*) FROM mine"), ["0"])

    def test_their_number_and_memory_are_bounded_and_the_client_goes_on(self):
        server = self.proxy(max_prepared=3, max_prepared_bytes="300KiB", max_prepared_memory="1MiB")
        refused = lambda limit: metric(server, "headroom_sql_prepared_refused_total", limit=limit)
        large = lambda number: f"SELECT {number} /*{'x' * 100_000}*/"
        wire = self.wire(server)
        self.assertEqual(kinds(self.run_(wire, *[parse(f"s{n}", f"SELECT {n}") for n in range(3)], SYNC)), "111Z")
        # The error comes at its place, its transaction fails as by any other, and everything goes on.
        wire.query("BEGIN")
        answer = self.run_(wire, bind("s1"), execute(), parse("s3", "SELECT 3"), bind("s3"), execute(), SYNC)
        self.assertEqual(kinds(answer), "2DCEZ")
        self.assertRegex(error_in(answer), "53400 more than 3 prepared statements .sql.max_prepared.")
        self.assertEqual(answer[-1], (b"Z", b"E"))
        self.assertEqual(kinds(wire.query("ROLLBACK")), "CZ")
        self.assertIn("26000", error_in(self.run_(wire, bind("s3"), execute(), SYNC)))
        self.assertEqual(kinds(self.run_(wire, close("s1"), parse("s3", "SELECT 3"), bind("s3"), execute(), SYNC)), "312DCZ")
        other = self.wire(server)
        self.assertEqual(kinds(self.run_(other, parse("a", large(1)), SYNC)), "1Z")
        self.assertIn("sql.max_prepared_bytes", error_in(self.run_(other, parse("b", large(2)), SYNC)))
        self.assertEqual(kinds(self.run_(other, bind("a"), execute(), SYNC)), "2DCZ")
        many = [self.wire(server) for _ in range(8)]
        errors = [error_in(self.run_(each, parse("a", large(10 + n)), SYNC)) for n, each in enumerate(many)]
        self.assertIsNone(errors[0])
        self.assertIn("53400", errors[-1])
        self.assertIn("sql.max_prepared_memory", errors[-1])
        # Equal ones count once; and what is closed makes room.
        self.assertIsNone(error_in(self.run_(many[-1], parse("a", large(10)), close("a"), SYNC)))
        full = metric(server, "headroom_sql_prepared_bytes")
        self.assertLessEqual(full, 1 << 20)
        self.assertGreater(full, 600_000)
        for each in many[:3]:
            self.run_(each, close("a"), SYNC)
        self.assertIsNone(error_in(self.run_(many[-1], parse("a", large(99)), SYNC)))
        for each in (wire, other, *many):
            each.close()
        eventually(lambda: metric(server, "headroom_sql_prepared_bytes") == 0, what="the memory is free again")
        self.assertEqual((refused("number"), refused("client")), (1, 1))
        self.assertGreater(refused("all"), 0)
        self.assertEqual(self.wire(server).values("SELECT 42"), ["42"])

    def test_what_is_sent_behind_a_statement_whose_table_has_changed_runs_once(self):
        server = self.proxy()
        wire = self.wire(server)
        wire.query("CREATE TABLE changing (n int); CREATE TABLE counted (n int)")
        for turn in range(10):
            self.assertEqual(kinds(self.run_(wire, parse(f"c{turn}", "SELECT * FROM changing"), bind(f"c{turn}"), execute(), SYNC)), "12CZ")
            self.cluster.superuser(f"ALTER TABLE changing ADD column c{turn} int")
            wire.send_all(bind(f"c{turn}"), execute(), SYNC, (b"Q", f"INSERT INTO counted VALUES ({turn})\0".encode()))
            self.assertIn(kinds(wire.until_ready()), ("2CZ", "EZ"))
            self.assertEqual(kinds(wire.until_ready()), "CZ")
            # Alone it is prepared anew, unseen.
            self.assertEqual(kinds(self.run_(wire, bind(f"c{turn}"), execute(), SYNC)), "2CZ")
        self.assertEqual(wire.values("SELECT count(*) FROM counted"), ["10"])

    def test_large_objects_pass_in_pieces_by_function_calls_and_by_queries(self):
        import psycopg2
        server = self.proxy(pool_size=2, pool_overflow=0)
        before = server.resident_bytes()
        connection = psycopg2.connect(self.dsn(server))
        self.addCleanup(connection.close)
        made = connection.lobject(0, "wb")  # by the protocol's FunctionCall
        oid, piece = made.oid, bytes(range(256)) * 4096
        for _ in range(40):
            made.write(piece)
        made.close()
        connection.commit()
        read = connection.lobject(oid, "rb")
        for _ in range(40):
            self.assertEqual(read.read(len(piece)), piece)
        self.assertEqual(read.read(1), b"")
        read.close()
        connection.commit()
        # Another client has it as well, on whichever connection.
        self.assertEqual(self.wire(server).values(f"SELECT length(lo_get({oid}))"), [str(40 * len(piece))])
        self.assertLess(server.resident_bytes() - before, 16 << 20)

    def test_who_asks_for_answers_in_pieces_gets_the_error_of_a_limit_too(self):
        server = self.proxy(max_prepared=1)
        wire = self.wire(server)
        self.run_(wire, parse("a", "SELECT 1"), SYNC)
        wire.send_all(parse("b", "SELECT 2"), FLUSH)
        kind, body = wire.read()
        self.assertEqual((kind, error_of(body)[:5]), (b"E", "53400"))
        wire.send_all(bind("b"), execute(), SYNC)
        self.assertEqual(kinds(wire.until_ready()), "Z")
        self.assertEqual(kinds(self.run_(wire, bind("a"), execute(), SYNC)), "2DCZ")


if __name__ == "__main__":
    unittest.main()
