"""The SQL proxy's proof: random cancel requests while connections, the server and the proxy itself are killed in turn; then everything is counted.

    tools/prove sql [--cancels 100000] [--clients 200] [--servers 20] [--kills 20] [--seed N]
    tools/prove sql --regress [...]     PostgreSQL's own regression tests instead (prove_sql_regress.py)

Half of the clients are cancelled at random, the others never. It holds when no query of the others is ever cancelled, every answer is the
asker's own, nothing but a cancellation, or a lost connection around a kill, is an error, and at the end all connections are idle and one more query runs.
Kills: three backends by pg_terminate_backend; SIGKILL to the server, which is started again; SIGKILL to the proxy, another of which takes its place.
"""

import argparse
import random
import struct
import socket
import sys
import tempfile
import threading
import time

from harness.postgres import Cluster, Wire, error_of, kinds
from harness.process import Headroom


class Count:
    def __init__(self):
        self.lock = threading.Lock()
        self.queries = self.hit = self.lost = self.sent = 0
        self.wrong = []

    def add(self, **counts):
        with self.lock:
            for name, number in counts.items():
                setattr(self, name, getattr(self, name) + number)

    def problem(self, *what):
        with self.lock:
            self.wrong.append(what)


class Client(Wire):
    """One whose login fails at the end of its stream, and is tried again until there is a proxy and a server."""

    in_login = True

    def read(self):
        kind, body = super().read()
        if kind is None and self.in_login:
            raise ConnectionError("closed")
        return kind, body


def connect(address, password, stop):
    while not stop.is_set():
        try:
            client = Client(address, password=password)
            client.in_login = False
            return client
        except OSError:  # PermissionError, what the server or the proxy says no with, is one
            time.sleep(0.1)
    return None


def client(number, wires, address, password, count, stop):
    cancelled = number % 2 == 0
    generator = random.Random(number)
    wire = wires[number]
    turn = 0
    while not stop.is_set():
        turn += 1
        mine = f"{number}-{turn}"
        try:
            messages = wire.query(f"SELECT '{mine}' FROM pg_sleep({generator.random() * 0.004:.4f})")
        except OSError:
            messages = [(None, b"")]
        kind = kinds(messages)
        count.add(queries=1)
        if kind == "TDCZ":
            if messages[1][1][6:].decode() != mine:
                count.problem("another's answer", mine, messages[1][1])
        elif "E" in kind:
            error = error_of(next(body for each, body in messages if each == b"E"))
            if error.startswith("57014"):
                count.add(hit=1)
                if not cancelled:
                    count.problem("cancelled, and not asked for", mine)
            elif error[:5] in ("08006", "08001", "57P01", "57P02", "57P03"):
                count.add(lost=1)
            else:
                count.problem("error", mine, error)
        elif None in [each for each, _ in messages]:
            count.add(lost=1)
        else:
            count.problem("answer", mine, kind)
        if not messages or messages[-1][0] is None:
            wire.close()
            wire = connect(address, password, stop)
            if wire is None:
                return
            wires[number] = wire


def storm(wires, wanted, count, seed, stop):
    generator = random.Random(seed)
    numbers = range(0, len(wires), 2)
    while not stop.is_set() and count.sent < wanted:
        wire = wires[generator.choice(numbers)]
        try:
            with socket.create_connection(wire.sock.getpeername(), timeout=10) as other:
                other.sendall(struct.pack("!III", 12 + len(wire.key[1]), 80877102, wire.key[0]) + wire.key[1])
                other.recv(1)
            count.add(sent=1)
        except OSError:
            continue


class Killed:
    """The server and the proxy, and what is killed of them."""

    def __init__(self, options):
        self.cluster = Cluster(0)
        self.options = options
        self.directory = tempfile.TemporaryDirectory(prefix="headroom-prove.")
        self.generator = random.Random(options.seed)
        self.address = ("127.0.0.1", 0)
        self.start()

    def start(self):
        settings = {"sql.listen": f"127.0.0.1:{self.address[1]}", "admin.listen": "127.0.0.1:0", "tasks.listen": "127.0.0.1:0", "sql.pool_size": self.options.servers, "sql.pool_overflow": 0,
                    "edge.enabled": "false"}
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        self.server = Headroom(["--postgres", self.cluster.urls["primary"], *words], self.directory.name)
        self.server.wait_ready()
        self.address = self.server.doors["sql"]

    def kill(self, number):
        if number % 3 == 0:
            self.cluster.superuser(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'booking' ORDER BY hashint4(pid + {self.generator.randrange(1000)}) LIMIT 3")
        elif number % 3 == 1:
            self.cluster.kill("primary")
            self.cluster.command("start", "primary")
        else:
            self.server.kill()
            self.start()

    def stop(self):
        self.server.stop()
        self.cluster.remove()
        self.directory.cleanup()


def main():
    if "--regress" in sys.argv:
        import prove_sql_regress
        return prove_sql_regress.main([word for word in sys.argv[1:] if word != "--regress"])
    parser = argparse.ArgumentParser()
    for name, standard in (("cancels", 100_000), ("clients", 200), ("servers", 20), ("kills", 20), ("seed", 7)):
        parser.add_argument(f"--{name}", type=int, default=standard)
    options = parser.parse_args()
    count, stop = Count(), threading.Event()
    world = Killed(options)
    cluster, address = world.cluster, world.address
    try:
        wires = [connect(address, cluster.password, stop) for _ in range(options.clients)]
        threads = [threading.Thread(target=client, args=(n, wires, address, cluster.password, count, stop)) for n in range(options.clients)]
        storms = [threading.Thread(target=storm, args=(wires, options.cancels, count, options.seed + n, stop)) for n in range(4)]
        for thread in threads + storms:
            thread.start()
        for kill in range(options.kills):
            goal = options.cancels * (kill + 1) // (options.kills + 1)
            while count.sent < goal and not count.wrong:
                time.sleep(0.01)
            world.kill(kill)
        for thread in storms:
            thread.join()
        stop.set()
        for thread in threads:
            thread.join()
        last = connect(address, cluster.password, threading.Event())
        if last.values("SELECT 42") != ["42"]:
            count.problem("no recovery")
        deadline = time.monotonic() + 10
        while cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'booking' AND state <> 'idle'") != "0":
            if time.monotonic() > deadline:
                count.problem("a connection is still busy")
                break
            time.sleep(0.05)
    finally:
        stop.set()
        world.stop()
    print(f"{count.sent} cancel requests, {count.queries} queries: {count.hit} cancelled, {count.lost} lost to {options.kills} kills, {len(count.wrong)} wrong")
    for wrong in count.wrong[:20]:
        print(*wrong)
    if count.wrong or count.hit == 0:
        sys.exit(1)


if __name__ == "__main__":
    main()
