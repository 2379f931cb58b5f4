"""The proof of the cache of results: registers that only grow, written through the proxy and around it, directly, by trigger, cascade, function and
partition; read on every path. A read must not give less than what was confirmed through the proxy before it was sent, nor than what was committed around
it 50 ms before. Meanwhile the stream of changes, the proxy, the server and a replica are stopped and killed (kill -9).

    tools/prove sql-cache [--reads N] [--seconds N] [--seed N] [--kills yes|no] [--faults NAME,...] [--phases pages,replicas] [--set NAME=VALUE]

An app stands beside the proxy, and pages that are made of registers are read through the edge ([edge.cache] sql_tags), too; queries are read in both protocols,
prepared, and within transactions. In phase `replicas` what is not answered from the cache may run on a replica: each register is a session of its own
(SET headroom.session), so that the first promise holds there as well; what is written around the proxy may be older there by max_lag, but not in a page.
Each promise is counted by itself. Exit code 1: a violation, or too few reads from the cache, the pages or the replica to mean something.
`--faults "stop the stream" --set sql.cache.behind=10s` must give violations: so the checker sees them.
"""

import argparse
import collections
import ctypes
import http.client
import http.server
import math
import multiprocessing
import os
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time

from harness.postgres import Cluster, SYNC, Wire, bind, error_of, execute, parse
from harness.process import Headroom

BEHIND = 0.05  # sql.cache.behind
PAUSE = 0.08   # between two writes around the proxy of one register
ROUND = 0.6    # of so long a register is written or left alone
MAX_LAG = 1.0  # sql.max_lag
LATE = math.ceil((MAX_LAG + 0.5) / PAUSE)  # writes around the proxy that a replica may lack, at most

SCHEMA = """
DROP SCHEMA IF EXISTS p CASCADE; CREATE SCHEMA p;
CREATE TABLE p.plain (id int PRIMARY KEY, v bigint);
CREATE TABLE p.source (id int PRIMARY KEY, v bigint);
CREATE TABLE p.traced (id int PRIMARY KEY, v bigint);
CREATE FUNCTION p.trace() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN UPDATE p.traced SET v = NEW.v WHERE id = NEW.id; RETURN NEW; END$$;
CREATE TRIGGER trace AFTER UPDATE ON p.source FOR EACH ROW EXECUTE FUNCTION p.trace();
CREATE TABLE p.head (id int, v bigint, UNIQUE (v), PRIMARY KEY (id));
CREATE TABLE p.tail (id int PRIMARY KEY, v bigint REFERENCES p.head (v) ON UPDATE CASCADE);
CREATE TABLE p.made (id int PRIMARY KEY, v bigint);
CREATE FUNCTION p.make(int, bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN UPDATE p.made SET v = $2 WHERE id = $1; RETURN $2; END$$;
CREATE TABLE p.parts (id int, v bigint, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE p.low PARTITION OF p.parts FOR VALUES FROM (0) TO (4);
CREATE TABLE p.high PARTITION OF p.parts FOR VALUES FROM (4) TO (1000);
CREATE VIEW p.seen AS SELECT id, v FROM p.plain;
"""
# What is written, what is read, and the offset that keeps unique values apart.
WAYS = {
    "plain": ("UPDATE p.plain SET v = {v} WHERE id = {id}", ["SELECT v FROM p.plain WHERE id = {id}", "SELECT v FROM p.seen WHERE id = {id}", "SELECT max(v) FROM p.plain WHERE id = {id}"]),
    "in a transaction": ("BEGIN; UPDATE p.plain SET v = {v} WHERE id = {id}; COMMIT", ["SELECT v FROM p.plain WHERE id = {id}", "SELECT s.v FROM p.seen s JOIN p.made m ON m.id = s.id WHERE s.id = {id}"]),
    "trigger": ("UPDATE p.source SET v = {v} WHERE id = {id}", ["SELECT v FROM p.traced WHERE id = {id}"]),
    "cascade": ("UPDATE p.head SET v = {v} + {id}::bigint * 1000000000 WHERE id = {id}", ["SELECT v - {id}::bigint * 1000000000 FROM p.tail WHERE id = {id}"]),
    "function": ("SELECT p.make({id}, {v})", ["SELECT v FROM p.made WHERE id = {id}"]),
    "block": ("DO $$BEGIN UPDATE p.made SET v = {v} WHERE id = {id}; END$$", ["SELECT v FROM p.made WHERE id = {id}"]),
    "partition": ("UPDATE p.parts SET v = {v} WHERE id = {id}", ["SELECT v FROM p.parts WHERE id = {id}", "SELECT v FROM p.low WHERE id = {id} UNION ALL SELECT v FROM p.high WHERE id = {id}"]),
}
# How it is read: simple, extended, prepared; in a transaction; as a page; in a form that is never cached, for replicas to answer.
WITHIN, PAGE, FRESH = 3, 4, 5
MODES = [0, 1, 2, 0, 1, 2, WITHIN, PAGE, PAGE]
TABLES = {"plain": ["plain"], "in a transaction": ["plain"], "trigger": ["source", "traced"], "cascade": ["head", "tail"], "function": ["made"], "block": ["made"], "partition": ["parts"]}


class Register:
    """One row that only grows, by one writer: `around` the proxy or through it."""

    def __init__(self, number, way, around):
        self.number, self.way, self.around = number, way, around
        self.write, self.reads = WAYS[way]


REGISTERS = [Register(n, way, around) for n, (way, around) in enumerate((way, around) for way in WAYS for around in (False, True))]


class Shared:
    """What is confirmed: of each register the value, and when."""

    def __init__(self):
        count = len(REGISTERS)
        self.value = multiprocessing.RawArray(ctypes.c_longlong, count)
        self.since = multiprocessing.RawArray(ctypes.c_double, [math.inf] * count)
        self.port = multiprocessing.RawValue(ctypes.c_int, 0)
        self.edge = multiprocessing.RawValue(ctypes.c_int, 0)
        self.app = multiprocessing.RawValue(ctypes.c_int, 0)
        self.replicas = multiprocessing.RawValue(ctypes.c_int, 0)
        self.stop = multiprocessing.RawValue(ctypes.c_int, 0)
        self.reads = multiprocessing.RawArray(ctypes.c_longlong, 64)  # of each reader

    def confirm(self, number, value):
        self.since[number] = math.inf
        self.value[number] = value
        self.since[number] = time.monotonic()

    def floor(self, register, now, kind="query"):
        """What a read that is sent now must give at least. Pages are as new with replicas as without."""
        since, value = self.since[register.number], self.value[register.number]
        if since == math.inf or self.since[register.number] != since:
            return 0
        return floor(value, now - since, register.around, self.replicas.value and kind != "page")


def floor(value, age, around, replicas):
    """The least that a read may give when `value` was confirmed so long before it was sent."""
    if not around:
        return value
    if replicas:
        return value - 1 - LATE
    return value if age >= BEHIND else value - 1


def is_written(register, seed, now):
    """Of three rounds one is without writes, for results and pages to live and be read, and one has only those around the proxy, so that nothing but the
    stream of changes can tell of them (a function or a block through the proxy puts everything in doubt). Of the rest about every second register is written."""
    turn = int(now / ROUND)
    if turn % 3 == 0 or (turn % 3 == 1 and not register.around):
        return False
    return random.Random(f"{seed} {turn} {register.number}").random() < 0.5


def writer(shared, register, direct, password, seed):
    """Writes 1, 2, 3, ...; after a failure it looks, around the proxy, how far it has come."""
    generator = random.Random(seed)
    wire, value, doubt = None, 0, True
    while not shared.stop.value:
        if not doubt and not is_written(register, seed, time.monotonic()):
            time.sleep(0.03)
            continue
        try:
            if wire is None:
                wire = Wire(("127.0.0.1", direct if register.around else shared.port.value), password=password)
                if not register.around:
                    wire.query(f"SET headroom.session = 'r{register.number}'")
            if doubt:
                look = Wire(("127.0.0.1", direct), password=password)
                value = max(value, int(look.values(register.reads[0].format(id=register.number))[0]))
                look.close()
                doubt = False
            value += 1
            doubt = True
            wire.values(register.write.format(id=register.number, v=value))
            doubt = False
            shared.confirm(register.number, value)
            time.sleep(PAUSE + generator.random() * 0.1 if register.around else generator.random() * 0.1)
        except (OSError, LookupError, PermissionError, ConnectionError, TypeError, IndexError, AssertionError):
            if wire is not None:
                wire.close()
            wire = None
            time.sleep(0.05)


def ask(wire, sql, mode, prepared):
    if mode == 0:
        return wire.values(sql)
    if mode == 1:
        wire.send_all(parse("", sql), bind(), execute(), SYNC)
    else:
        name = prepared.setdefault(sql, f"s{len(prepared)}")
        if name not in prepared:
            prepared[name] = True
            wire.send_all(parse(name, sql), SYNC)
            wire.until_ready()
        wire.send_all(bind(name), execute(), SYNC)
    rows = []
    for kind, body in wire.until_ready():
        if kind == b"E":
            raise LookupError(error_of(body))
        if kind is None:
            raise ConnectionError("closed")
        if kind == b"D":
            rows.append(body[6:].decode())
    return rows


def ask_within(wire, sql):
    """In a transaction that only reads."""
    wire.query("BEGIN")
    rows = wire.values(sql)
    wire.query("COMMIT")
    return rows


def page_of(shared, connection, register, which):
    """Of the edge: what the app has made of one query."""
    if connection is None:
        connection = http.client.HTTPConnection("127.0.0.1", shared.edge.value, timeout=10)
    connection.request("GET", f"/{register.number}/{which}")
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ConnectionError(f"{answer.status}")
    return connection, int(body), "; hit" in (answer.getheader("Cache-Status") or "")


def serve_app(shared, password):
    """Pages of one register each; whose queries they are it tells by the traceparent it is given."""
    local = threading.local()

    class Page(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            number, which = map(int, self.path.strip("/").split("/"))
            register = REGISTERS[number]
            sql = register.reads[which % len(register.reads)].format(id=number) + f"\n/*traceparent='{self.headers.get('traceparent', '')}'*/"
            try:
                if getattr(local, "wire", None) is None:
                    local.wire = Wire(("127.0.0.1", shared.port.value), password=password)
                body, status = local.wire.values(sql)[0].encode(), 200
            except (OSError, LookupError, PermissionError, ConnectionError, TypeError, IndexError, AssertionError):
                local.wire = None
                body, status = b"no", 503
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "public, max-age=60" if status == 200 else "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    class App(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, address):
            pass  # a connection that a killed proxy has left

    server = App(("127.0.0.1", 0), Page)
    shared.app.value = server.server_address[1]
    server.serve_forever()


def reader(shared, number, password, seed, answers):
    generator = random.Random(seed)
    wire, prepared, connection, session = None, {}, None, None
    reads, bad, failed, hits, wrong = collections.Counter(), collections.Counter(), 0, 0, []
    left = 0
    while not shared.stop.value:
        try:
            if left == 0:  # the same is read a few times, as one hot row is: a hit needs a read before it
                register = REGISTERS[generator.randrange(len(REGISTERS))]
                which = generator.randrange(len(register.reads))
                mode = generator.choice([*MODES, FRESH] if shared.replicas.value else MODES)
                left = generator.randrange(1, 13)
            left -= 1
            kind = "page" if mode == PAGE else "in transaction" if mode == WITHIN else "query"
            if mode != PAGE and wire is None:
                wire, prepared, session = Wire(("127.0.0.1", shared.port.value), password=password), {}, None
            if mode != PAGE and shared.replicas.value and session != register.number:
                wire.query(f"SET headroom.session = 'r{register.number}'")
                session = register.number
            sql = register.reads[which].format(id=register.number) + (" AND now() IS NOT NULL" if mode == FRESH else "")
            sent = time.monotonic()
            least = shared.floor(register, sent, kind)
            if mode == PAGE:
                connection, got, hit = page_of(shared, connection, register, which)
                hits += hit
            else:
                rows = ask_within(wire, sql) if mode == WITHIN else ask(wire, sql, 0 if mode == FRESH else mode, prepared)
                got = int(rows[0]) if rows else -1  # each register has its row: an answer without it is wrong
            promise = ("around" if register.around else "through", kind, register.way)
            reads[promise] += 1
            shared.reads[number] += 1
            if got < least:
                bad[promise] += 1
                wrong.append((promise, sql, mode, got, least, round((time.monotonic() - shared.since[register.number]) * 1000, 1)))
        except (OSError, LookupError, PermissionError, ConnectionError, TypeError, IndexError, ValueError, http.client.HTTPException):
            failed += 1
            for each in (wire, connection):
                if each is not None:
                    each.close()
            wire, connection = None, None
            time.sleep(0.02)
    answers.put((dict(reads), dict(bad), failed, hits, wrong[:50]))


FAULTS = ["stop the stream", "stop the stream", "end the stream", "end the stream", "kill the stream", "kill the proxy", "kill the server", "kill the replica", "kill the replica"]


class Killer:
    """Stops and kills what the promises depend on, one after the other."""

    def __init__(self, cluster, start, generator, replicas, faults):
        self.cluster, self.start, self.generator = cluster, start, generator
        self.acts = [act for act in faults or FAULTS if replicas or act != "kill the replica"]
        self.done = collections.Counter()
        self.server = start()

    def walsender(self):
        return self.cluster.superuser("SELECT active_pid FROM pg_replication_slots WHERE slot_type = 'logical' AND active LIMIT 1")

    def once(self):
        act = self.generator.choice(self.acts)
        try:
            if act == "stop the stream":
                pid = self.walsender()
                if not pid:
                    return
                subprocess.run(["kill", "-STOP", pid], check=False)
                time.sleep(0.1 + self.generator.random() * 0.9)
                subprocess.run(["kill", "-CONT", pid], check=False)
            elif act == "end the stream":
                self.cluster.superuser("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_type = 'logical'")
            elif act == "kill the stream":  # upon which the server ends all its sessions and recovers
                pid = self.walsender()
                if not pid:
                    return
                subprocess.run(["kill", "-KILL", pid], check=False)
            elif act == "kill the replica":
                self.cluster.kill("replica1")
                time.sleep(self.generator.random())
                self.cluster.command("start", "replica1")
            elif act == "kill the proxy":
                self.server.kill()
                self.server = self.start()
            else:
                self.cluster.command("crash", "primary")
                self.cluster.command("start", "primary")
        except AssertionError as error:
            print("fault:", act, str(error)[:200], flush=True)
            return
        self.done[act] += 1


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--reads", type=int, default=1_000_000)
    options.add_argument("--seconds", type=float, default=1500, help="at most; what was read until then is reported")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--kills", choices=("yes", "no"), default="yes")
    options.add_argument("--faults", type=lambda names: names.split(","), help="of these alone: " + ", ".join(dict.fromkeys(FAULTS)))
    options.add_argument("--readers", type=int, default=3)
    options.add_argument("--phases", default="pages,replicas")
    options.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="of the proxy: sql.cache.behind=10s must give violations")
    o = options.parse_args()
    print(f"seed {o.seed}", flush=True)
    phases = o.phases.split(",")
    o.reads, o.seconds = o.reads // len(phases), o.seconds / len(phases)
    cluster = Cluster(1 if "replicas" in phases else 0)
    directory = tempfile.TemporaryDirectory(prefix="headroom-prove-")
    servers = []
    code, reads, bad = 0, collections.Counter(), collections.Counter()
    try:
        for phase in phases:
            print(f"phase {phase}:", flush=True)
            code = max(code, prove(o, phase, cluster, directory.name, servers, reads, bad))
        for way, kind in sorted(reads):
            print(f"{way:8} {kind:14} {reads[way, kind]:9} reads, {bad[way, kind]} violations")
        print(f"{sum(reads.values())} reads checked, {sum(bad.values())} violations")
        return code
    finally:
        for server in servers:
            server.kill()
        cluster.remove()


def prove(o, phase, cluster, directory, servers, all_reads, all_bad):
    def run(sql):
        wire = Wire(("127.0.0.1", cluster.port), password=cluster.password)
        messages = wire.query(sql)
        wire.close()
        errors = [error_of(body) for kind, body in messages if kind == b"E"]
        assert not errors, errors

    run(SCHEMA)
    for register in REGISTERS:
        for table in TABLES[register.way]:
            offset = register.number * 1_000_000_000 if register.way == "cascade" else 0
            run(f"INSERT INTO p.{table} VALUES ({register.number}, {offset}) ON CONFLICT DO NOTHING")
    for register in REGISTERS:  # what the join of "in a transaction" needs
        run(f"INSERT INTO p.made VALUES ({register.number}, 0) ON CONFLICT DO NOTHING")

    shared = Shared()
    shared.replicas.value = int(phase == "replicas")
    app = multiprocessing.Process(target=serve_app, args=(shared, cluster.password), daemon=True)
    app.start()
    while not shared.app.value:
        time.sleep(0.02)

    def start():
        state = os.path.join(directory, f"state{len(servers)}")
        values = {"server.state_dir": state, "sql.cache.auto": "true", "sql.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "tasks.enabled": "false",
                  "edge.listen": "127.0.0.1:0", "edge.cache.sql_tags": "true"}
        beside = ["--app", f"http://127.0.0.1:{shared.app.value}", *(["--replica", cluster.urls["replica1"]] if phase == "replicas" else [])]
        server = Headroom(["--postgres", cluster.urls["primary"], *beside, *(word for name, value in values.items() for word in ("--set", f"{name}={value}")), *(word for value in o.set for word in ("--set", value))], state)
        servers.append(server)
        server.wait_ready(30)
        shared.port.value = server.doors["sql"][1]
        shared.edge.value = server.edge[1]
        return server

    generator = random.Random(o.seed)
    killer = Killer(cluster, start, generator, phase == "replicas", o.faults)
    answers = multiprocessing.Queue()
    work = [multiprocessing.Process(target=writers, args=(shared, part, cluster.port, cluster.password, o.seed)) for part in (REGISTERS[::2], REGISTERS[1::2])]
    readers = [multiprocessing.Process(target=reader, args=(shared, n, cluster.password, o.seed + n, answers)) for n in range(o.readers)]
    for each in work + readers:
        each.start()
    begun = time.monotonic()
    hits_before = on_replicas = 0

    def replica_reads():
        try:
            wire = Wire(killer.server.doors["sql"], database="headroom", password=cluster.password)
            rows = [fields(body) for kind, body in wire.query("SHOW REPLICAS") if kind == b"D"]
            wire.close()
        except (OSError, PermissionError, TypeError):
            return 0
        return sum(int(row[11]) for row in rows if row[4] == "no")

    def hits():
        """From the cache, by the proxy that runs now."""
        try:
            wire = Wire(killer.server.doors["sql"], database="headroom", password=cluster.password)
            rows = [fields(body) for kind, body in wire.query("SHOW CACHE") if kind == b"D"]
            wire.close()
        except (OSError, PermissionError, TypeError):
            return 0
        return sum(int(row[4]) for row in rows if row[1] == "query")

    next_kill = begun + 5
    while time.monotonic() - begun < o.seconds and sum(shared.reads) < o.reads:
        time.sleep(0.2)
        if o.kills == "yes" and time.monotonic() > next_kill:
            server, last, there = killer.server, hits(), replica_reads()
            killer.once()
            hits_before += last if killer.server is not server else 0
            on_replicas += there if killer.server is not server else 0
            next_kill = time.monotonic() + 1 + generator.random() * 4
    hits_all = hits_before + hits()
    on_replicas += replica_reads()
    shared.stop.value = 1
    total, bad, failed, pages, wrong = collections.Counter(), collections.Counter(), 0, 0, []
    for _ in readers:
        reads, its_bad, its_failed, its_pages, its_wrong = answers.get(timeout=60)
        pages += its_pages
        total.update(reads)
        bad.update(its_bad)
        failed += its_failed
        wrong += its_wrong
    for each in work + readers:
        each.join(30)
        if each.is_alive():
            each.terminate()
    killer.server.kill()
    app.terminate()
    app.join(10)
    written = {register.number: shared.value[register.number] for register in REGISTERS}
    print(f"{sum(total.values())} reads checked in {time.monotonic() - begun:.0f} s, {hits_all} results and {pages} pages from the cache, {on_replicas} run on the replica, {failed} failed by faults; faults: {dict(killer.done)}")
    for (way, kind, by), count in sorted(total.items()):
        writes = sum(written[r.number] for r in REGISTERS if r.way == by and r.around == (way == "around"))
        all_reads[way, kind] += count
        all_bad[way, kind] += bad[way, kind, by]
        print(f"  {way:8} {kind:14} {by:17} {count:8} reads, {writes:6} writes, {bad[way, kind, by]} violations")
    for each in wrong[:20]:
        print("  violation:", each)
    enough = hits_all > 500 and pages > 100 and (phase != "replicas" or on_replicas > 20)
    if not enough:
        print("too few reads came from the cache, the pages or the replica for this to mean anything")
    return 0 if not bad and enough else 1


def writers(shared, registers, direct, password, seed):
    threads = [threading.Thread(target=writer, args=(shared, register, direct, password, seed + register.number), daemon=True) for register in registers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fields(body):
    (count,), at, row = struct.unpack("!H", body[:2]), 2, []
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at:at + 4])
        at += 4
        row.append("" if size < 0 else body[at:at + size].decode())
        at += max(size, 0)
    return row


if __name__ == "__main__":
    sys.exit(main())
