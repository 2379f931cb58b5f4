"""Clients of others through the SQL proxy in transaction mode, with a replica behind: each runs its own small suite, unmodified."""

import asyncio
import os
import subprocess
import unittest

from harness.npm import installed
from harness.postgres import SYNC, SqlScenario, bind, eventually, execute, kinds, parse
from harness.process import ROOT

PACKAGES = {
    "pg": ("8.11.3", "sha512-+9iuvG8QfaaUrrph+kpF24cXkH1YOOUeArRNYIxq1viYHZagBxrTno7cecY1Fa44tJeZvaoG+Djpkc3JwehN5g=="),
    "postgres": ("3.4.4", "sha512-IbyN+9KslkqcXa8AO9fxpk97PA4pzewvpi2B3Dwy9u4zpV32QicaEdgmF3eSQUzdRk7ttDHQejNgAEr4XoeH4A=="),
}


class Clients(SqlScenario):
    replicas = 1

    def setUp(self):
        super().setUp()
        replica = f"127.0.0.1:{self.cluster.port_of('replica1')}"  # for the primary's user and database
        self.server = self.proxy(replicas=replica, pool_size=3, pool_overflow=0)
        eventually(lambda: any(row["usable"] == "yes" for row in self.show(self.server, "REPLICAS")))

    def node(self, client):
        environment = os.environ | {"PACKAGES": str(installed("postgres", PACKAGES)), "CLIENT": client, "URL": self.url(self.server)}
        done = subprocess.run(["node", str(ROOT / "tests/clients/postgres.mjs")], env=environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("ok "), 4, done.stdout)
        self.assertGreater(sum(int(row["reads"]) for row in self.show(self.server, "REPLICAS")), 0)

    def test_node_postgres(self):
        self.node("pg")

    def test_postgres_js(self):
        self.node("postgres")

    def suite(self, command, **environment):
        """A suite of tests/clients; it says "ok" of each of its tests."""
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count("ok "), 9, done.stdout)
        self.assertGreater(sum(int(row["reads"]) for row in self.show(self.server, "REPLICAS")), 0)

    def test_php_pdo(self):
        host, port = self.server.doors["sql"]
        self.suite(["php", str(ROOT / "tests/clients/postgres.php")], DSN=f"pgsql:host={host};port={port};dbname=booking", USER_NAME="booking", PASSWORD=self.cluster.password)

    def test_ruby_pg(self):
        self.suite(["ruby", str(ROOT / "tests/clients/postgres.rb")], URL=self.url(self.server))

    def test_sqlalchemy(self):
        import sqlalchemy as sa
        from sqlalchemy.orm import declarative_base, Session

        engine = sa.create_engine(self.url(self.server).replace("postgresql://", "postgresql+psycopg2://"), pool_size=6, pool_pre_ping=True)
        self.addCleanup(engine.dispose)
        base = declarative_base()

        class Person(base):
            __tablename__ = "people_sqlalchemy"
            id = sa.Column(sa.Integer, primary_key=True)
            name = sa.Column(sa.Text)

        base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add_all([Person(name=name) for name in ("Ada", "Grace")])
            session.commit()
            self.assertEqual([person.name for person in session.query(Person).order_by(Person.id)], ["Ada", "Grace"])
        with Session(engine) as session, session.begin_nested():
            session.add(Person(name="Nobody"))
            session.rollback()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            self.assertEqual(connection.execute(sa.text("SELECT count(*) FROM people_sqlalchemy")).scalar(), 2)

    def test_asyncpg_without_a_statement_cache(self):
        import asyncpg

        async def work():
            connection = await asyncpg.connect(self.url(self.server), statement_cache_size=0)
            await connection.execute("CREATE TABLE people_asyncpg (id serial, name text)")
            for name in ("Ada", "Grace"):
                await connection.execute("INSERT INTO people_asyncpg (name) VALUES ($1)", name)
                self.assertEqual((await connection.fetch("SELECT name FROM people_asyncpg ORDER BY id"))[-1]["name"], name)
            await connection.copy_records_to_table("people_asyncpg", records=[(9, "Joan")])
            count = await connection.fetchval("SELECT count(*) FROM people_asyncpg")
            await connection.close()
            return count

        self.assertEqual(asyncio.run(work()), 3)

    def test_a_prepared_statement_outlives_a_change_of_its_table(self):
        wires = [self.wire(self.server) for _ in range(4)]
        wires[0].query("CREATE TABLE replanned (a int); INSERT INTO replanned VALUES (1)")
        for wire in wires:  # within a transaction: on the primary, and on several connections there
            wire.send_all(parse("all", "SELECT * FROM replanned FOR SHARE"), bind("all"), execute(), SYNC)
            self.assertEqual(kinds(wire.until_ready()), "12DCZ")
        wires[0].query("ALTER TABLE replanned ADD b int DEFAULT 7")
        for wire in wires + wires:
            wire.send_all(bind("all"), (b"D", b"P\0"), execute(), SYNC)
            answer = wire.until_ready()
            self.assertEqual(kinds(answer), "2TDCZ", answer)
            self.assertEqual(answer[2][1][:2], b"\0\2")

    def test_the_seeds_paths_show_hits_and_replication(self):
        self.wire(self.server).values("SELECT count(*) FROM pg_class")
        hits = self.server.api("GET", "/api/v1/database/cache-hit-ratio").json()
        self.assertEqual(hits["status"], "ok")
        self.assertTrue(0 < hits["cache_hit_ratio"] <= 100, hits)
        status = self.server.api("GET", "/api/v1/scaling/replication/status").json()
        self.assertEqual((status["status"], [row["role"] for row in status["primary"] + status["replicas"]]), ("healthy", ["primary", "replica"]))
        self.assertLess(status["lag_seconds"], 10)
        self.cluster.command("stop", "replica1")
        try:
            eventually(lambda: self.server.api("GET", "/api/v1/scaling/replication/status").json()["status"] == "unhealthy")
        finally:
            self.cluster.command("start", "replica1")
        eventually(lambda: self.server.api("GET", "/api/v1/scaling/replication/status").json()["status"] == "healthy", timeout=30)


if __name__ == "__main__":
    unittest.main()
