"""Read-your-writes while replicas lag, and a primary that is lost: who has written reads it, clients stay, writes go to the new primary."""

import os
import pathlib
import shutil
import subprocess
import threading
import time
import unittest

from harness import eventually
from harness.postgres import SYNC, SqlScenario, bind, error_of, execute, kinds, parse

# Stable, so that a replica may run it; each server has its own port.
WHERE = "SELECT current_setting('port')"


class Lagging(SqlScenario):
    """Both replicas replay commits 200 ms late."""

    replicas = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("replica1", "replica2"):
            cls.cluster.superuser("ALTER SYSTEM SET recovery_min_apply_delay = '200ms'", node=name)
            cls.cluster.superuser("SELECT pg_reload_conf()", node=name)
        cls.cluster.superuser("CREATE TABLE written (who text, n int); GRANT ALL ON written TO booking")

    def start(self):
        server = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        self.primary = str(self.cluster.port)
        eventually(lambda: self.wire(server).values(WHERE)[0] != self.primary, what="reads go to replicas")
        return server

    def test_who_has_written_reads_it_at_once_and_is_soon_back_on_a_replica(self):
        server = self.start()
        violations, on_replicas, reads = [], [], []

        def work(number):
            wire = self.wire(server)
            for turn in range(6):
                wire.query(f"INSERT INTO written VALUES ('w{number}', {turn})")
                back = 0
                for _ in range(40):
                    seen, port = wire.values(f"SELECT max(n) || ' ' || current_setting('port') FROM written WHERE who = 'w{number}'")[0].split()
                    reads.append(port)
                    if int(seen) != turn:
                        violations.append((number, turn, seen, port))
                    if port != self.primary:
                        on_replicas.append(port)
                        back += 1
                    if back == 20:
                        break
                    if port == self.primary:
                        stop.wait(0.02)

        stop = threading.Event()
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(violations, [])
        self.assertGreater(len(on_replicas), len(reads) / 2)

    def test_a_session_of_many_connections_reads_what_one_of_them_wrote(self):
        server = self.start()
        wires = [self.wire(server) for _ in range(6)]
        for wire in wires[:5]:
            self.assertEqual(kinds(wire.query("SET headroom.session = 'ann'")), "CZ")
        stale = turn = 0
        while turn < 20 or not stale:
            turn += 1
            self.assertLess(turn, 300, "no read of another session showed that replicas lag")
            wires[turn % 5].query(f"INSERT INTO written VALUES ('ann', {turn})")
            # Who does not belong to it may see less: that is what shows that replicas lag at all.
            stale += wires[5].values("SELECT max(n) FROM written WHERE who = 'ann'") != [str(turn)]
            for wire in wires[:5]:
                self.assertEqual(wire.values("SELECT max(n) FROM written WHERE who = 'ann'"), [str(turn)])
        wires[0].query("RESET headroom.session")
        self.assertNotIn("headroom.session", self.cluster.superuser("SELECT query FROM pg_stat_activity"))

    def test_a_transaction_that_is_tied_by_a_comment_is_forwarded_without_it(self):
        server = self.start()
        wire = self.wire(server)
        comment = "\n/*action='x',traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/"
        text = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        self.assertEqual(wire.values(text + comment), [text])
        wire.send_all(parse("p", text + comment), bind("p"), execute(), SYNC)
        self.assertIn(text.encode(), wire.until_ready()[2][1])
        # One statement, whoever asks: another request's comment does not make another one of it.
        other = self.wire(server)
        other.send_all(parse("q", text + comment.replace("0af7", "1bf8")), bind("q"), execute(), SYNC)
        self.assertEqual(kinds(other.until_ready()), "12DCZ")
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%traceparent%' AND pid <> pg_backend_pid()"), "0")


class Promoting(SqlScenario):
    replicas = 2

    def promote(self, node, follower):
        self.cluster.superuser("SELECT pg_promote(false)", node=node)
        self.cluster.superuser(f"ALTER SYSTEM SET primary_conninfo = 'host={self.cluster.directory}/socket port={self.cluster.port_of(node)} user=postgres'", node=follower)
        self.cluster.superuser("ALTER SYSTEM SET primary_slot_name = ''", node=follower)
        self.cluster.superuser("SELECT pg_reload_conf()", node=follower)


class CutOff(Promoting):
    """What the killed primary was executing."""

    def functions_known(self, server):
        """The catalogue has been read since."""
        time.sleep(0.2)
        return True

    def test_a_read_that_the_killed_primary_was_executing_is_answered_by_another(self):
        server = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        eventually(lambda: len([row for row in self.show(server, "REPLICAS") if row["usable"] == "yes"]) == 2)
        simple, extended, writer, ended, doubtful = [self.wire(server) for _ in range(5)]
        simple.query("CREATE TABLE cut_off (n int)")
        for node in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_pause()", node=node)
        for n, wire in enumerate((simple, extended, writer, ended, doubtful)):
            wire.query(f"INSERT INTO cut_off VALUES ({n})")  # so that its reads are for the primary
        slow = "SELECT count(*) || ' ' || coalesce(pg_sleep(2)::text, '') FROM cut_off"
        # What an administrator ends is ended, and not begun anew on another server.
        ended.send(b"Q", b"SELECT pg_sleep(20)\0")
        pid = eventually(lambda: self.cluster.superuser("SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%sleep(20)%'"))
        self.cluster.superuser(f"SELECT pg_terminate_backend({pid}, 5000)")
        answer = ended.until_ready()
        self.assertEqual((kinds(answer), error_of(answer[0][1])[:5]), ("EZ", "57P01"))
        self.assertEqual(ended.values("SELECT 42"), ["42"])
        # What calls functions of users' own may do more than it says: it is in doubt, as a write is.
        doubtful.query("CREATE FUNCTION said_stable() RETURNS text LANGUAGE sql STABLE AS 'SELECT pg_sleep(2)::text'")
        eventually(lambda: self.functions_known(server))
        doubtful.send(b"Q", b"SELECT said_stable()\0")
        simple.send(b"Q", slow.encode() + b"\0")
        extended.send_all(parse("", slow), bind(), execute(), SYNC)
        writer.send(b"Q", b"INSERT INTO cut_off SELECT 100 FROM pg_sleep(2)\0")
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND usename = 'booking'") == "4")
        self.cluster.kill("primary")
        for node in ("replica1", "replica2"):
            self.cluster.superuser("SELECT pg_wal_replay_resume()", node=node)
        self.promote("replica1", "replica2")
        for wire in (writer, doubtful):
            answer = wire.until_ready()  # never sent again
            self.assertEqual((kinds(answer), error_of(answer[0][1])[:5]), ("EZ", "08006"))
        for wire, wanted in ((simple, "TDCZ"), (extended, "12DCZ")):
            answer = wire.until_ready()
            self.assertEqual(kinds(answer), wanted, answer)
            self.assertEqual([body[6:].strip() for kind, body in answer if kind == b"D"], [b"5"])
        eventually(lambda: simple.values("SELECT count(*) FROM cut_off") == ["5"])


class Failover(Promoting):
    """The primary is killed and a replica promoted."""

    def test_writes_go_to_the_new_primary_and_clients_stay(self):
        server = self.proxy(replicas=",".join(self.cluster.urls[name] for name in ("replica1", "replica2")))
        primary = lambda: [row["port"] for row in self.show(server, "REPLICAS") if row["primary"] == "yes"]
        usable = lambda: {row["port"] for row in self.show(server, "REPLICAS") if row["usable"] == "yes"}
        eventually(lambda: len(usable()) == 2)
        writer, reader, idle = self.wire(server), self.wire(server), self.wire(server)
        writer.query("CREATE TABLE kept (n int)")
        idle.query("SELECT 1")
        eventually(lambda: reader.values("SELECT current_setting('port') FROM kept FULL JOIN (SELECT 1) x ON true")[0] != str(self.cluster.port))
        confirmed, doubtful, unread, stop = [], [], [], threading.Event()

        def write():
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    writer.values(f"INSERT INTO kept VALUES ({number})")
                    confirmed.append(number)
                except LookupError as error:
                    doubtful.append((number, str(error)))

        def read():
            while not stop.is_set():
                try:
                    reader.values("SELECT count(*) FROM kept")
                except LookupError as error:
                    unread.append(str(error))

        threads = [threading.Thread(target=write), threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(confirmed) > 50)
        # What has been confirmed must have reached the replica, else the fail-over itself would lose it.
        self.cluster.kill("primary")
        before = len(confirmed)
        self.promote("replica1", "replica2")
        eventually(lambda: len(confirmed) > before + 50, what="writes are confirmed again")
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(primary(), [str(self.cluster.port_of("replica1"))])
        self.assertEqual(unread, [])
        # In doubt is what was being executed, and nothing else is reported.
        self.assertLessEqual(len([error for _, error in doubtful if error.startswith("08006")]), 1, doubtful)
        self.assertTrue(all(error[:5] in ("08006", "25006") for _, error in doubtful), doubtful)
        self.assertLessEqual(len(doubtful), 2, doubtful)
        self.assertEqual(idle.values("SELECT 42"), ["42"])
        # The other replica follows, and gets reads again; who has written reads it there.
        eventually(lambda: usable() == {str(self.cluster.port_of("replica2"))}, timeout=30)
        got = int(writer.values("SELECT count(DISTINCT n) FROM kept")[0])
        self.assertGreaterEqual(got, len(confirmed[before:]))
        eventually(lambda: writer.values("SELECT current_setting('port') FROM kept LIMIT 1") == [str(self.cluster.port_of("replica2"))])


class Fencing(SqlScenario):
    """A primary that runs on although another one has been promoted."""

    replicas = 1

    def start(self, **settings):
        server = self.proxy(replicas=self.cluster.urls["replica1"], **settings)
        eventually(lambda: len(self.roles(server)) == 2 and "away" not in self.roles(server).values())
        return server

    def roles(self, server):
        return {row["port"]: row["role"] for row in self.show(server, "REPLICAS")}

    def numbers(self, node):
        return set(map(int, self.cluster.superuser("SELECT n FROM fenced", node=node).split()))

    def rejoin(self, node, primary):
        """As a replica of `primary`, from a copy of it."""
        directory = pathlib.Path(self.cluster.directory)
        self.cluster.command("stop", node)
        shutil.rmtree(directory / node)
        copy = [shutil.which("pg_basebackup") or max(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup")), "-D", directory / node, "-c", "fast", "-X", "stream", "-R", "--no-sync",
                "-d", f"host={directory}/socket port={self.cluster.port_of(primary)} user=postgres"]
        as_owner = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if os.geteuid() == 0 else []
        subprocess.run([*as_owner, *map(str, copy)], check=True, capture_output=True, timeout=60, cwd="/")
        self.cluster.command("start", node)

    def test_the_old_primary_gets_nothing_until_it_follows(self):
        server = self.start(pool_wait="2s")
        old, new = str(self.cluster.port), str(self.cluster.port_of("replica1"))
        writer, open_there, pinned = self.wire(server), self.wire(server), self.wire(server)
        writer.query("CREATE TABLE fenced (n int)")
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_class WHERE relname = 'fenced'", node="replica1") == "1")
        open_there.query("BEGIN")
        open_there.query("INSERT INTO fenced VALUES (-1)")
        pinned.query("CREATE TEMP TABLE mine (n int)")
        self.cluster.superuser("SELECT pg_promote()", node="replica1")
        eventually(lambda: self.roles(server) == {old: "fenced", new: "primary"})
        server.wait_for_line(f"127.0.0.1:{old} runs on as a primary on timeline 1, but the cluster is on timeline 2")
        # What was open on the old one is broken off there.
        for wire in (open_there, pinned):
            self.assertEqual([kind and error_of(body)[:5] for kind, body in wire.until_ready()], ["08006", None])
        for number in range(50):
            writer.values(f"INSERT INTO fenced VALUES ({number})")
        self.assertEqual((self.numbers("primary"), self.numbers("replica1")), (set(), set(range(50))))
        self.assertIn('"fenced"', server.api("GET", "/api/v1/scaling/replication/status").text())
        self.assertIn("degraded", server.api("GET", "/api/v1/scaling/health/deep").text())
        # While the new one is away, the old one still gets nothing.
        self.cluster.command("crash", "replica1")
        eventually(lambda: self.roles(server)[new] == "away")
        with self.assertRaisesRegex(LookupError, "^08001"):
            self.wire(server).values("INSERT INTO fenced VALUES (100)")
        self.cluster.command("start", "replica1")
        eventually(lambda: kinds(self.wire(server).query("INSERT INTO fenced VALUES (101)")) == "CZ", timeout=60)
        self.assertEqual(self.numbers("primary"), set())
        # A proxy that has just started does not know either, and asks first.
        second = self.proxy(replicas=self.cluster.urls["replica1"], **{"cache.auto": "false"})
        self.wire(second).values("INSERT INTO fenced VALUES (102)")
        self.assertEqual((self.numbers("primary"), self.numbers("replica1")), (set(), {*range(50), 101, 102}))
        # It comes back as a replica, and is read from.
        self.rejoin("primary", "replica1")
        eventually(lambda: self.roles(server) == {old: "replica", new: "primary"}, timeout=60)
        server.wait_for_line(f"127.0.0.1:{old} is no longer fenced")
        eventually(lambda: self.wire(server).values(WHERE) == [old])
        self.assertEqual(eventually(lambda: self.numbers("primary")), {*range(50), 101, 102})


if __name__ == "__main__":
    unittest.main()
