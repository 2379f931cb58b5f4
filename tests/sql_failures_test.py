"""The SQL proxy while servers, networks and clients fail: clear errors, nothing crossed, and it recovers."""

import os
import random
import signal
import struct
import threading
import time
import unittest

from harness import eventually
from harness.edge import metric
from harness.postgres import SYNC, SqlScenario, Wire, bind, error_of, execute, kinds, parse


class Failures(SqlScenario):
    def recovers(self, server, wire=None):
        wire = wire or self.wire(server)
        self.assertEqual(eventually(lambda: wire.values("SELECT 42")), ["42"])

    def test_a_server_that_is_away_for_a_moment_is_waited_for(self):
        gate = self.gate()
        server = self.proxy(port=gate.port)
        wire = self.wire(server)
        self.assertEqual(wire.values("SELECT 1"), ["1"])
        gate.mode = "refuse"
        gate.cut()
        threading.Timer(1, lambda: setattr(gate, "mode", "open")).start()
        self.assertEqual(wire.values("SELECT 2"), ["2"])

    def test_a_server_that_stays_away_is_a_clear_error_and_the_client_stays(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, connect_timeout="500ms")
        wire = self.wire(server)
        gate.mode = "refuse"
        gate.cut()
        with self.assertRaisesRegex(LookupError, "08001 cannot connect to the server"):
            eventually(lambda: wire.values("SELECT 1") is None)
        self.assertEqual(self.show(server, "POOLS")[0]["last_error"] != "", True)
        with self.assertRaisesRegex(PermissionError, "08001"):
            self.wire(server, parameters=[("DateStyle", "sql")])
        gate.mode = "open"
        self.recovers(server, wire)

    def test_a_server_that_takes_a_connection_and_says_nothing_is_away_not_full(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, connect_timeout="500ms")
        wire = self.wire(server)
        gate.cut()
        gate.mode = "stall"
        with self.assertRaisesRegex(LookupError, "08001 cannot connect to the server"):
            wire.values("SELECT 1")
        gate.mode = "open"
        self.recovers(server, wire)

    def test_a_connection_lost_outside_of_a_transaction_costs_one_query(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        wire.send(b"Q", b"SELECT pg_sleep(30)\0")
        eventually(lambda: self.show(server, "CLIENTS") and any(row["state"] == "active" for row in self.show(server, "CLIENTS")))
        gate.cut()
        messages = wire.until_ready()
        self.assertEqual(kinds(messages), "EZ")
        self.assertRegex(error_of(messages[0][1]), "08006 the connection to the server was lost; the outcome .* is unknown")
        self.recovers(server, wire)

    def test_a_connection_lost_in_a_transaction_ends_the_client(self):
        gate = self.gate()
        server = self.proxy(port=gate.port)
        wire = self.wire(server)
        wire.query("BEGIN")
        gate.cut()
        messages = eventually(lambda: wire.until_ready())
        self.assertEqual(kinds(messages), "E")
        self.assertIn(b"FATAL", messages[0][1])
        self.recovers(server)

    def test_an_answer_cut_in_the_middle_is_never_taken_for_a_whole_one(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, pool_size=1, pool_overflow=0)
        for cut in (1, 6, 40, 3000, 70000):
            with self.subTest(cut):
                wire = self.wire(server)
                wire.values("SELECT 1")
                gate.cut_after = cut
                messages = wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 200)")
                kind = kinds(messages)
                self.assertNotIn("C", kind)
                self.recovers(server)

    def test_the_server_ends_and_kills_backends(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire = self.wire(server)
        self.assertEqual(wire.values("SELECT 1"), ["1"])
        self.cluster.superuser("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'booking'")
        # Idle ones are seen to be dead before they are used.
        self.assertEqual(wire.values("SELECT 2"), ["2"])
        wire.send(b"Q", b"SELECT pg_sleep(30)\0")
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND usename = 'booking'") == "1")
        self.cluster.superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'booking'")
        messages = wire.until_ready()
        self.assertEqual(kinds(messages)[-2:], "EZ")
        self.assertRegex(error_of(messages[-2][1]), "08006 .*outcome.*unknown: terminating connection due to administrator command")
        self.recovers(server, wire)

    def test_a_server_that_stalls_is_a_timeout_and_its_connection_is_not_reused(self):
        gate = self.gate()
        server = self.proxy(port=gate.port, query_timeout="1s", pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        wire.values("SELECT 1")
        gate.mode = "stall"
        messages = wire.query("SELECT 2")
        self.assertEqual((kinds(messages), error_of(messages[0][1])[:5]), ("E", "57014"))
        gate.mode = "open"
        self.recovers(server)

    def test_who_idles_in_a_transaction_is_ended_and_its_locks_are_free(self):
        server = self.proxy(idle_in_transaction_timeout="500ms")
        wire = self.wire(server)
        wire.query("CREATE TABLE IF NOT EXISTS locked (n int)")
        wire.query("BEGIN; LOCK TABLE locked")
        messages = wire.until_ready()
        self.assertEqual((kinds(messages), error_of(messages[0][1])[:5]), ("E", "25P03"))
        self.assertEqual(self.wire(server).values("SELECT count(*) FROM locked"), ["0"])  # waits for no lock of a client that is gone

    def test_a_transaction_without_a_sync_counts_as_one(self):
        for setting, state in (("idle_in_transaction_timeout", "25P03"), ("transaction_timeout", "25P04")):
            server = self.proxy(pool_size=1, pool_overflow=0, **{setting: "500ms"})
            wire = self.wire(server)
            wire.send_all(parse("", "BEGIN"), bind(), execute(), (b"H", b""))
            messages = wire.until_ready()
            self.assertEqual((kinds(messages), error_of(messages[-2][1])[:5]), ("12CE", state))
            self.assertEqual(eventually(lambda server=server: self.wire(server).values("SELECT 1")), ["1"])

    def test_cancel_reaches_the_running_query_and_a_wrong_key_reaches_nothing(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        wire, other = self.wire(server), self.wire(server)
        for turn in range(3):
            wire.send(b"Q", b"SELECT pg_sleep(30)\0")
            eventually(lambda: any(row["state"] == "active" for row in self.show(server, "CLIENTS")))
            forged = Wire(server.doors["sql"], startup=False)
            forged.sock.sendall(struct.pack("!IIII", 16, 80877102, wire.key[0], 12345))
            self.assertEqual(forged.read(), (None, b""))  # it has been looked at
            forged.close()
            refused = eventually(lambda turn=turn: (counted := metric(server, "headroom_sql_clients_refused_total", reason="cancel")) > turn and counted)
            self.assertEqual(refused, turn + 1)
            self.assertTrue(any(row["state"] == "active" for row in self.show(server, "CLIENTS")))
            wire.cancel()
            messages = wire.until_ready()
            self.assertEqual((kinds(messages)[-2:], error_of(messages[-2][1])[:5]), ("EZ", "57014"))
        # Who waits for a connection can be cancelled, too; and a late request disturbs nobody.
        other.query("BEGIN")
        wire.send(b"Q", b"SELECT 1\0")
        eventually(lambda: any(row["state"] == "waiting" for row in self.show(server, "CLIENTS")))
        wire.cancel()
        messages = wire.until_ready()
        self.assertEqual((kinds(messages), error_of(messages[0][1])[:5]), ("EZ", "57014"))
        wire.cancel()
        other.query("COMMIT")
        self.recovers(server, wire)
        self.recovers(server, other)

    def test_a_storm_of_cancel_requests_reaches_nobody_else(self):
        server = self.proxy(pool_size=4, pool_overflow=0)
        wrong, done, hits, stop = [], [], [], threading.Event()

        def work(number):
            # The even ones are cancelled all the time, the odd ones never.
            cancelled = number % 2 == 0
            wire = self.wire(server)
            wires[number] = wire
            for turn in range(60):
                messages = wire.query(f"SELECT {number * 1000 + turn} FROM pg_sleep(0.005)")
                kind = kinds(messages)
                if "E" in kind:
                    code = error_of(next(body for each, body in messages if each == b"E"))[:5]
                    hits.append(number)
                    if code != "57014" or not cancelled:
                        wrong.append((number, turn, code))
                elif kind != "TDCZ" or not messages[1][1].endswith(str(number * 1000 + turn).encode()):
                    wrong.append((number, turn, kind))
            done.append(number)

        def storm(numbers):
            generator = random.Random(7)
            while not stop.is_set():
                wire = wires.get(generator.choice(numbers))
                if wire is not None:
                    wire.cancel()
                    stop.wait(generator.random() * 0.004)

        wires = {}
        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        storms = [threading.Thread(target=storm, args=([n for n in range(16) if n % 2 == 0],)) for _ in range(3)]
        for thread in threads + storms:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        for thread in storms:
            thread.join()
        self.assertEqual((wrong, len(done)), ([], 16))
        self.assertGreater(len(hits), 10)
        self.recovers(server)

    def test_wrong_passwords_unknown_users_and_databases(self):
        server = self.proxy()
        for user, database, password, code in (("booking", "booking", "wrong", "28P01"), ("nobody", "booking", "wrong", "28P01"), ("nobody", "nowhere", "wrong", "28P01"),
                                               ("booking", "nowhere", self.cluster.password, "3D000")):
            with self.subTest(user=user, database=database), self.assertRaisesRegex(PermissionError, code):
                self.wire(server, user=user, database=database, password=password)
        self.recovers(server)

    def test_bytes_that_are_no_protocol(self):
        server = self.proxy(login_timeout="1s")
        for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\0", b"\0\0\0\7\0\3\0\0", b"\xff\xff\xff\xff", b"\x16\3\1\0\0", b"\0\0\0\x08\x04\xd2\x16\x2fX", b"\0\0\0\x09\0\3\0\0\0",
                       struct.pack("!IIIII", 20, 80877102, 1, 2, 3), b"\0\0\x27\x10" + b"\0\3\0\0" + b"a" * 20):
            with self.subTest(bytes_):
                wire = Wire(server.doors["sql"], startup=False)
                wire.sock.sendall(bytes_)
                while wire.sock.recv(4096):
                    pass
                wire.close()
        wire = self.wire(server)
        for message in ((b"Q", b""), (b"!", b"x"), (b"P", b"no end"), (b"D", b"X\0")):
            with self.subTest(message):
                wire = self.wire(server)
                wire.send(*message)
                kind = kinds(wire.until_ready())
                self.assertIn(kind, ("E", "EZ", "IZ"))
        self.recovers(server)

    def test_a_large_result_passes_in_constant_memory_and_a_slow_reader_holds_up_nobody(self):
        server = self.proxy(pool_size=2, pool_overflow=0)
        slow, fast = self.wire(server), self.wire(server)
        before = server.resident_bytes()
        slow.send(b"Q", b"SELECT repeat('x', 100000) FROM generate_series(1, 2000)\0")
        eventually(lambda: self.cluster.superuser("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'ClientWrite'"), 20, what="the server is held up")
        for _ in range(20):
            self.assertEqual(fast.values("SELECT 1"), ["1"])
        rows = 0
        for _ in range(4000):
            kind, _ = slow.read()
            rows += kind == b"D"
            if kind == b"Z":
                break
        self.assertEqual(rows, 2000)
        self.assertLess(server.resident_bytes() - before, 32 << 20)

    @unittest.skipIf(os.environ.get("HEADROOM_SANITIZED"), "sanitizers keep memory of their own")
    def test_an_idle_client_takes_at_most_4_kib(self):
        server = self.proxy(pool_size=4)
        for wire in [self.wire(server) for _ in range(50)]:  # what is made once
            wire.values("SELECT 1")
        before = server.resident_bytes()
        many = [self.wire(server) for _ in range(1000)]
        for wire in many:
            self.assertEqual(wire.values("SELECT 1"), ["1"])
        self.assertLessEqual((server.resident_bytes() - before) / len(many), 4096)

    def test_a_large_parameter_and_a_large_statement_pass(self):
        server = self.proxy(pool_size=1, pool_overflow=0)
        wire = self.wire(server)
        wire.send_all(parse("big", "SELECT length($1::text)"), bind("big", values=["x" * 3_000_000]), execute(), SYNC)
        messages = wire.until_ready()
        self.assertEqual(kinds(messages), "12DCZ")
        self.assertTrue(messages[2][1].endswith(b"3000000"))
        text = "SELECT " + "+".join(["1"] * 25_000)
        messages = wire.query(text)
        self.assertIn(kinds(messages), ("TDCZ", "EZ"))
        messages = wire.query("SELECT length('" + "y" * 2_000_000 + "')")
        self.assertTrue(messages[1][1].endswith(b"2000000"))
        self.recovers(server)

    def test_shutdown_ends_idle_clients_and_lets_transactions_finish(self):
        server = self.proxy()
        idle, busy = self.wire(server), self.wire(server)
        busy.query("BEGIN")
        server.signal(signal.SIGTERM)
        kind, body = idle.read()
        self.assertEqual((kind, error_of(body)[:5]), (b"E", "57P01"))
        self.assertEqual(kinds(busy.query("SELECT 1")), "TDCZ")
        self.assertEqual(kinds(busy.query("COMMIT"))[:2], "CZ")
        self.assertEqual(server.wait(), 0)

    def test_a_take_over_loses_no_transaction_and_the_door_stays_open(self):
        server = self.proxy()
        busy = self.wire(server)
        busy.query("BEGIN")
        url = self.cluster.urls["primary"]
        port = server.doors["sql"][1]
        after = self.headroom(arguments=["--take-over", "--postgres", url, "--set", f"sql.listen=127.0.0.1:{port}", "--set", f"admin.listen=127.0.0.1:{server.admin[1]}"], wait=False)
        after.wait_for_line("take-over: done")
        self.assertEqual(after.doors["sql"][1], port)
        self.assertEqual(self.wire(after).values("SELECT 1"), ["1"])
        self.assertEqual(kinds(busy.query("SELECT 2")), "TDCZ")
        self.assertEqual(kinds(busy.query("COMMIT"))[:2], "CZ")
        self.assertEqual(server.wait(), 0)
        self.recovers(after)


if __name__ == "__main__":
    unittest.main()
