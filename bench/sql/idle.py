"""bench/sql --idle: memory of idle clients. 1,000, 5,000 and 9,000 log in, ask once and stay; what each further one costs the proxy, beside PgBouncer.

Memory is RssAnon: what the process has made itself; the kernel's part of a socket is the same for both.
"""

import hashlib
import pathlib
import re
import resource
import socket
import struct

STEPS = (1000, 5000, 9000)


def anonymous_bytes(pid):
    return 1024 * int(re.search(r"^RssAnon:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


class Client:
    """Logs in by md5, which costs the bench little."""

    def __init__(self, port, password):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        body = struct.pack("!I", 196608) + b"user\0booking\0database\0booking\0\0"
        self.sock.sendall(struct.pack("!I", len(body) + 4) + body)
        kind, body = self.read()
        assert (kind, body[:4]) == (b"R", b"\0\0\0\5"), (kind, body)
        inner = hashlib.md5(password.encode() + b"booking").hexdigest().encode()
        self.send(b"p", b"md5" + hashlib.md5(inner + body[4:8]).hexdigest().encode() + b"\0")
        self.until_ready()

    def send(self, kind, body):
        self.sock.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            assert more, "closed"
            data += more
        return data

    def read(self):
        head = self.exactly(5)
        return head[:1], self.exactly(struct.unpack("!I", head[1:])[0] - 4)

    def until_ready(self):
        while True:
            kind, body = self.read()
            assert kind != b"E", body
            if kind == b"Z":
                return

    def ask(self):
        self.send(b"Q", b"SELECT 1\0")
        self.until_ready()


def run(server, start):
    """For each proxy: bytes at each step, and the slope between the first and the last."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    rows = {}
    for name in ("headroom", "pgbouncer"):
        proxy = start(name)
        try:
            clients, sizes = [], {}
            for step in STEPS:
                while len(clients) < step:
                    clients.append(Client(proxy.port, server.password))
                    clients[-1].ask()
                sizes[step] = anonymous_bytes(proxy.process.pid)
            slope = (sizes[STEPS[-1]] - sizes[STEPS[0]]) / (STEPS[-1] - STEPS[0])
            rows[name] = {"anonymous_bytes": sizes, "bytes_per_client": slope}
            print(f"{name}: " + ", ".join(f"{step} clients {size / 1e6:.1f} MB" for step, size in sizes.items()) + f"; {slope:.0f} bytes for each further one", flush=True)
            for client in clients:
                client.sock.close()
        finally:
            proxy.stop()
    return rows
