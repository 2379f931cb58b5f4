"""What is too large for the SQL proxy, or for the server behind it: it passes in bounded memory, or is a clear error, and it recovers."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from harness import eventually
from harness.postgres import SYNC, SqlScenario, bind, error_of, execute, kinds, parse

MIB = 1 << 20


class Hostile(SqlScenario):
    replicas = 1

    def start(self, **settings):
        server = self.proxy(replicas=f"127.0.0.1:{self.cluster.port_of('replica1')}", pool_size=2, pool_overflow=0, **settings)
        eventually(lambda: any(row["usable"] == "yes" for row in self.show(server, "REPLICAS")))
        return server

    def recovers(self, server):
        for _ in range(4):
            self.assertEqual(self.wire(server).values("SELECT 42"), ["42"])

    @unittest.skipIf(os.environ.get("HEADROOM_SANITIZED"), "sanitizers keep memory of their own")
    def test_a_gigabyte_passes_in_constant_memory(self):
        server = self.start()
        self.recovers(server)
        before = server.resident_bytes()
        highest = before
        for query, least in (("COPY (SELECT repeat('x', 100000) FROM generate_series(1, 10800)) TO STDOUT", 1 << 30),  # many rows, on a replica
                             ("COPY (SELECT repeat('y', 200000000)) TO STDOUT", 200_000_000)):  # one message
            reader = subprocess.Popen(["psql", "-X", "-q", self.url(server), "-c", query], stdout=subprocess.PIPE)
            count = 0
            while data := reader.stdout.read(MIB):
                count += len(data)
                highest = max(highest, server.resident_bytes())
            self.assertEqual(reader.wait(60), 0)
            reader.stdout.close()
            self.assertGreaterEqual(count, least)
        self.assertLess(highest - before, 16 * MIB)
        self.recovers(server)

    def test_deeply_nested_and_very_long_statements_are_the_servers_to_refuse(self):
        server = self.start()
        wire = self.wire(server)
        for depth in (500, 5_000, 25_000):
            for text in ("SELECT " + "(" * depth + "1" + ")" * depth, "SELECT " + "-" + " -" * depth + " 1", "SELECT 1" + " + 1" * depth, "SELECT " + "ARRAY[" * depth + "1" + "]" * depth,
                         "SELECT " + "(SELECT " * depth + "1" + ")" * depth, "/*" * depth + "*/" * depth + " SELECT 1", "SELECT $x" + "$x" * depth):
                for messages in ([(b"Q", text.encode() + b"\0")], [parse("", text), bind(), execute(), SYNC]):
                    wire.send_all(*messages)
                    answer = wire.until_ready()
                    self.assertEqual(answer[-1][0], b"Z", kinds(answer))
                    for kind, body in answer:
                        if kind == b"E":  # a stack too deep, a syntax error, too many subqueries: the server's own words
                            self.assertIn(error_of(body)[:5], ("54001", "42601", "54023", "54011", "42883", "54000"), error_of(body))
        self.recovers(server)


class FullDisk(SqlScenario):
    def test_a_full_disk_of_the_server_is_its_error_and_it_recovers(self):
        if os.geteuid() != 0:
            self.skipTest("no mounts here")
        disk = pathlib.Path(tempfile.mkdtemp(prefix="headroom-test.", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, disk, True)
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", str(disk)], capture_output=True, check=False)
        if made.returncode != 0:
            self.skipTest("no mounts here: " + made.stderr.decode())
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=False)
        subprocess.run(["chown", "postgres:postgres", str(disk)], check=True)
        # A tablespace for what is sorted and joined.
        server = self.proxy(pool_size=2, pool_overflow=0)
        wire = self.wire(server)
        disk.chmod(0o711)
        self.cluster.superuser(f"CREATE TABLESPACE small LOCATION '{disk}'")
        self.addCleanup(lambda: eventually(lambda: not self.cluster.superuser("SELECT 1 FROM pg_tablespace WHERE spcname = 'small'") or self.cluster.superuser("DROP TABLESPACE small") == ""))
        self.cluster.superuser("GRANT CREATE ON TABLESPACE small TO booking")
        wire.query("BEGIN; SET LOCAL temp_tablespaces = small; SET LOCAL work_mem = '64kB'")
        answer = wire.query("SELECT count(*) FROM (SELECT repeat(n::text, 20) FROM generate_series(1, 200000) n ORDER BY 1) x")
        self.assertEqual(error_of(next(body for kind, body in answer if kind == b"E"))[:5], "53100")
        self.assertEqual(kinds(wire.query("ROLLBACK")), "CZ")
        self.assertEqual(wire.values("SELECT count(*) FROM (SELECT n FROM generate_series(1, 20000) n ORDER BY 1) x"), ["20000"])
        self.assertEqual([self.wire(server).values("SELECT 42") for _ in range(4)], [["42"]] * 4)


if __name__ == "__main__":
    unittest.main()
