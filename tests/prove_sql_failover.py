"""How long a fail-over takes, and what of it is seen: the primary is killed under load and a replica promoted, over and over.

    tools/prove sql-failover [--rounds 10] [--writers 4] [--readers 4] [--cache both|yes|no] [--output FILE]

Each round has a cluster of its own, whose first replica is synchronous: nothing confirmed may be lost with the primary. It holds when after each promotion
  - writes are confirmed again within a second of the moment when the new primary says that it is one,
  - no read has failed, what the killed primary was executing among them, and none gave less than what had been confirmed to its session before it was sent,
  - no write is in doubt but those sent before that: every other error says that nothing was done,
  - everything confirmed is there.
"""

import argparse
import json
import statistics
import sys
import tempfile
import threading
import time

from harness import eventually
from harness.postgres import Cluster, Wire, error_of
from harness.process import Headroom


class Round:
    def __init__(self, options, cache):
        self.options, self.cache = options, cache
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.confirmed = [0] * options.writers  # of each register
        self.writes = []  # when one was confirmed
        self.reads = []  # when one was answered
        self.gone = None  # when the primary's last process was
        self.doubtful, self.refused, self.cut, self.unread, self.stale = [], [], [], [], []

    def wire(self, register):
        wire = Wire(self.server.doors["sql"], password=self.cluster.password)
        wire.query(f"SET headroom.session = 'r{register}'")
        return wire

    def write(self, register):
        wire = self.wire(register)
        number = 0
        while not self.stop.is_set():
            number += 1
            sent = time.monotonic()
            try:
                wire.values(f"INSERT INTO registers VALUES ({register}, {number})")
                self.confirmed[register] = number
                with self.lock:
                    self.writes.append(time.monotonic())
            except LookupError as error:
                with self.lock:
                    if str(error).startswith("08006"):
                        self.doubtful.append((sent, str(error)))
                    else:
                        self.refused.append(str(error))

    def read(self, reader):
        register = reader % self.options.writers
        wire = self.wire(register)
        while not self.stop.is_set():
            least = self.confirmed[register]
            try:
                got = int(wire.values(f"SELECT coalesce(max(n), 0) FROM registers WHERE id = {register}")[0])
            except (LookupError, OSError) as error:
                (self.cut if str(error).startswith("08006 the connection to the server was lost") else self.unread).append(str(error))
                continue
            if got < least:
                self.stale.append((register, least, got))
            with self.lock:
                self.reads.append(time.monotonic())

    def run(self):
        self.cluster = Cluster(2)
        directory = tempfile.TemporaryDirectory(prefix="headroom-prove.")
        try:
            self.cluster.superuser("CREATE TABLE registers (id int, n int, PRIMARY KEY (id, n)); ALTER TABLE registers OWNER TO booking")
            self.cluster.superuser("ALTER SYSTEM SET synchronous_standby_names = 'replica1'")
            self.cluster.superuser("SELECT pg_reload_conf()")
            settings = {"server.state_dir": directory.name, "sql.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "tasks.listen": "127.0.0.1:0", "edge.enabled": "false",
                        "sql.replicas": ",".join(self.cluster.urls[name] for name in ("replica1", "replica2")), "sql.cache.auto": "true" if self.cache else "false"}
            words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
            self.server = Headroom(["--postgres", self.cluster.urls["primary"], *words], directory.name)
            try:
                self.server.wait_ready()
                return self.measure()
            finally:
                self.stop.set()
                self.server.stop()
        finally:
            self.cluster.remove()
            directory.cleanup()

    def measure(self):
        threads = [threading.Thread(target=self.write, args=(n,)) for n in range(self.options.writers)] + [threading.Thread(target=self.read, args=(n,)) for n in range(self.options.readers)]
        for thread in threads:
            thread.start()
        time.sleep(2)
        killed = time.monotonic()
        self.cluster.kill("primary")
        self.gone = time.monotonic()
        called = time.monotonic()
        self.cluster.superuser("SELECT pg_promote(false)", node="replica1")
        probe = Wire(("127.0.0.1", self.cluster.port_of("replica1")), password=self.cluster.password)
        while probe.values("SELECT pg_is_in_recovery()") != ["f"]:
            time.sleep(0.002)
        promoted = time.monotonic()
        self.cluster.superuser(f"ALTER SYSTEM SET primary_conninfo = 'host={self.cluster.directory}/socket port={self.cluster.port_of('replica1')} user=postgres'", node="replica2")
        self.cluster.superuser("ALTER SYSTEM SET primary_slot_name = ''", node="replica2")
        self.cluster.superuser("SELECT pg_reload_conf()", node="replica2")
        eventually(lambda: any(at > promoted for at in list(self.writes)), 30, what="writes are confirmed again")
        time.sleep(2)
        self.stop.set()
        for thread in threads:
            thread.join()
        there = [int(value) for value in probe.values("SELECT coalesce(max(n), 0) FROM generate_series(0, %d) i LEFT JOIN registers ON id = i GROUP BY i ORDER BY i" % (self.options.writers - 1))]
        first = min(at for at in self.writes if at > promoted)
        around = [at for at in sorted(self.reads) if at > killed - 1]
        return {
            "cache": self.cache,
            "promotion_ms": round(1000 * (promoted - called)),
            "writes_after_promotion_ms": round(1000 * (first - promoted)),
            "writes_after_kill_ms": round(1000 * (first - killed)),
            "longest_without_a_read_ms": round(1000 * max(b - a for a, b in zip(around, around[1:]))),
            "reads": len(self.reads), "writes": len(self.writes),
            "in_doubt": len(self.doubtful), "refused": len(self.refused), "cut_reads": len(self.cut), "failed_reads": len(self.unread), "stale_reads": len(self.stale),
            "in_doubt_later": sum(sent > self.gone for sent, _ in self.doubtful),
            "lost_writes": sum(max(0, confirmed - got) for confirmed, got in zip(self.confirmed, there)),
            "examples": sorted({*self.refused, *self.unread, *self.cut, *map(str, self.stale)})[:5],
        }


def holds(result):
    return result["writes_after_promotion_ms"] < 1000 and not any(result[fault] for fault in ("in_doubt_later", "cut_reads", "failed_reads", "stale_reads", "lost_writes"))


def main():
    parser = argparse.ArgumentParser()
    for name, standard in (("rounds", 10), ("writers", 4), ("readers", 4)):
        parser.add_argument(f"--{name}", type=int, default=standard)
    parser.add_argument("--cache", choices=("both", "yes", "no"), default="both")
    parser.add_argument("--output")
    options = parser.parse_args()
    results = []
    for number in range(options.rounds):
        results.append(Round(options, number % 2 == 1 if options.cache == "both" else options.cache == "yes").run())
        print(json.dumps(results[-1]), flush=True)
    for cache in sorted({result["cache"] for result in results}):
        of = [result for result in results if result["cache"] == cache]
        times = [result["writes_after_promotion_ms"] for result in of]
        print(f"{'with' if cache else 'without'} the result cache, {len(of)} fail-overs: writes again {statistics.median(times):.0f} ms after the promotion (at most {max(times)}), "
              f"{sum(r['in_doubt'] for r in of)} in doubt, {sum(r['cut_reads'] for r in of)} of {sum(r['reads'] for r in of)} reads cut off with it, {sum(r['failed_reads'] for r in of)} failed (longest pause {max(r['longest_without_a_read_ms'] for r in of)} ms), "
              f"{sum(r['stale_reads'] for r in of)} stale, {sum(r['lost_writes'] for r in of)} confirmed writes lost")
    if options.output:
        with open(options.output, "w") as file:
            json.dump(results, file, indent=1)
    if not all(holds(result) for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
