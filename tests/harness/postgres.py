"""PostgreSQL for scenarios: a private cluster, a raw client of its protocol, and a gate for faults between us and it."""

import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

from .process import ROOT
from .scenario import Scenario, eventually

CLUSTER = ROOT / "tools/postgres-cluster"
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """What starters of daemons leave behind becomes this process's own, which can wait for it wherever process 1 does not."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Cluster:
    """A primary with `replicas`, on free loopback ports, owned by an unprivileged user."""

    def __init__(self, replicas=0):
        adopt_orphans()
        self.directory = tempfile.mkdtemp(prefix="headroom-test.", dir="/var/tmp")
        try:
            urls = self.command("create", str(replicas))
        except Exception:
            self.remove()
            raise
        self.urls = dict(line.split(" ", 1) for line in urls.splitlines())
        self.password = urllib.parse.urlsplit(self.urls["primary"]).password
        self.port = urllib.parse.urlsplit(self.urls["primary"]).port

    def command(self, name, *arguments):
        done = subprocess.run([str(CLUSTER), name, self.directory, *arguments], capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise AssertionError(f"postgres-cluster {name}: {done.stderr}")
        return done.stdout

    def port_of(self, node):
        return urllib.parse.urlsplit(self.urls[node]).port

    def kill(self, node):
        """SIGKILL to a node's server, which its children do not survive; returns once all are gone."""
        server = int((pathlib.Path(self.directory) / node / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{server}/task/{server}/children").read_text().split()
        os.kill(server, signal.SIGKILL)
        for pid in [server, *map(int, children)]:
            with contextlib.suppress(ChildProcessError):  # one that had ended before
                os.waitpid(pid, 0)

    def superuser(self, sql, database="booking", node="primary"):
        """As the superuser, around the proxy; the rows as text."""
        socket_dir = pathlib.Path(self.directory) / "socket"
        command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", str(socket_dir), "-p", str(self.port_of(node)), "-U", "postgres", "-d", database, "-c", sql]
        if shutil.which("setpriv") and pathlib.Path("/proc/self").owner() == "root":
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd="/")
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return done.stdout.strip()

    def configure(self, name, lines, node="primary"):
        """Appends to a configuration file of a node."""
        path = pathlib.Path(self.directory) / node / name
        with path.open("a") as file:
            file.write(lines + "\n")

    def remove(self):
        self.command("remove")


class Gate:
    """A TCP gate in front of a server, for faults: `mode` is open, refuse or stall; `cut_after` bytes from the server ends a connection."""

    def __init__(self, port):
        self.to = ("127.0.0.1", port)
        self.mode = "open"
        self.cut_after = None
        self.delay = 0
        self._pairs = []
        self._stopped = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while not self._stopped.is_set():
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.mode == "refuse":
                client.close()
                continue
            try:
                server = socket.create_connection(self.to, timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            threading.Thread(target=self._carry, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, True), daemon=True).start()

    def _carry(self, source, sink, from_server):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                while self.mode == "stall" and not self._stopped.wait(0.01):
                    pass
                if self.delay:
                    self._stopped.wait(self.delay)
                if from_server and self.cut_after is not None:
                    sink.sendall(data[:self.cut_after])
                    self.cut_after = max(0, self.cut_after - len(data))
                    if self.cut_after == 0:
                        self.cut_after = None
                        break
                else:
                    sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        """Ends every connection."""
        for client, server in self._pairs:
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()
        self._pairs.clear()

    def stop(self):
        self._stopped.set()
        self._listening.close()
        self.cut()


class Wire:
    """A raw client of the protocol: what is sent and received, message by message."""

    def __init__(self, address, user="booking", database="booking", password=None, parameters=(), startup=True):
        self.sock = socket.create_connection(address, timeout=20)
        self.buffer = b""
        self.parameters = {}
        self.key = None
        if startup:
            try:
                self.start(user, database, password, parameters)
            except Exception:
                self.close()
                raise

    def start(self, user, database, password, parameters=(), protocol=196608):
        pairs = [("user", user), ("database", database), *parameters]
        body = struct.pack("!I", protocol) + b"".join(n.encode() + b"\0" + v.encode() + b"\0" for n, v in pairs) + b"\0"
        self.sock.sendall(struct.pack("!I", len(body) + 4) + body)
        self.negotiated = None
        while True:
            kind, body = self.read()
            if kind == b"R":
                code = struct.unpack("!I", body[:4])[0]
                if code == 5:
                    import hashlib
                    inner = hashlib.md5(password.encode() + user.encode()).hexdigest()
                    self.send(b"p", b"md5" + hashlib.md5(inner.encode() + body[4:8]).hexdigest().encode() + b"\0")
                elif code == 10:
                    self._scram(user, password)
                elif code != 0:
                    raise AssertionError(f"authentication {code}")
            elif kind == b"S":
                name, value = body[:-1].split(b"\0")
                self.parameters[name.decode()] = value.decode()
            elif kind == b"K":
                self.key = (struct.unpack("!I", body[:4])[0], body[4:])
            elif kind == b"v":
                self.negotiated = struct.unpack("!I", body[:4])[0]
            elif kind == b"E":
                raise PermissionError(error_of(body))
            elif kind == b"Z":
                return

    def _scram(self, user, password):
        import base64, hashlib, hmac, os
        nonce = base64.b64encode(os.urandom(18)).decode()
        bare = f"n=,r={nonce}"
        first = ("n,," + bare).encode()
        self.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        kind, body = self.read()
        if kind == b"E":
            raise PermissionError(error_of(body))
        server_first = body[4:].decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c=biws,r={fields['r']}"
        message = f"{bare},{server_first},{without}".encode()
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature))).decode()
        self.send(b"p", f"{without},p={proof}".encode())
        kind, body = self.read()
        if kind == b"E":
            raise PermissionError(error_of(body))
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), message, "sha256")
        if body[4:] != b"v=" + base64.b64encode(expected):
            raise AssertionError("the proxy has not proven itself")

    def send(self, kind, body=b""):
        self.sock.sendall(kind + struct.pack("!I", len(body) + 4) + body)

    def send_all(self, *messages):
        self.sock.sendall(b"".join(kind + struct.pack("!I", len(body) + 4) + body for kind, body in messages))

    def read(self):
        """(type, body) of the next message; (None, b"") at the end."""
        while len(self.buffer) < 5 or len(self.buffer) < 1 + struct.unpack("!I", self.buffer[1:5])[0]:
            data = self.sock.recv(65536)
            if not data:
                return None, b""
            self.buffer += data
        size = 1 + struct.unpack("!I", self.buffer[1:5])[0]
        message, self.buffer = self.buffer[:size], self.buffer[size:]
        return message[:1], message[5:]

    def until_ready(self):
        """The messages up to ReadyForQuery, it among them."""
        messages = []
        while True:
            kind, body = self.read()
            messages.append((kind, body))
            if kind in (b"Z", None):
                return messages

    def query(self, sql):
        self.send(b"Q", sql.encode() + b"\0")
        return self.until_ready()

    def values(self, sql):
        """The first column of each row; an error is raised as its SQLSTATE and message."""
        rows = []
        for kind, body in self.query(sql):
            if kind == b"E":
                raise LookupError(error_of(body))
            if kind == b"D":
                size = struct.unpack("!i", body[2:6])[0]
                rows.append(None if size < 0 else body[6:6 + size].decode())
            if kind is None:
                raise ConnectionError("closed")
        return rows

    def cancel(self):
        """A cancel request for this client, on a connection of its own, to its end."""
        with socket.create_connection(self.sock.getpeername(), timeout=10) as other:
            other.sendall(struct.pack("!III", 12 + len(self.key[1]), 80877102, self.key[0]) + self.key[1])
            other.recv(1)

    def close(self):
        self.sock.close()


def kinds(messages):
    return b"".join(kind for kind, _ in messages if kind).decode()


def error_of(body):
    fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
    return f"{fields[b'C']} {fields[b'M']}"


def parse(name, sql, types=()):
    return b"P", name.encode() + b"\0" + sql.encode() + b"\0" + struct.pack("!H", len(types)) + b"".join(struct.pack("!I", t) for t in types)


def bind(statement="", portal="", values=()):
    body = portal.encode() + b"\0" + statement.encode() + b"\0" + struct.pack("!HH", 0, len(values))
    for value in values:
        body += struct.pack("!i", len(value.encode())) + value.encode()
    return b"B", body + struct.pack("!H", 0)


def execute(portal="", rows=0):
    return b"E", portal.encode() + b"\0" + struct.pack("!I", rows)


SYNC = (b"S", b"")
FLUSH = (b"H", b"")


class SqlScenario(Scenario):
    """One cluster for all tests of the class, a proxy for each."""

    replicas = 0

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.replicas)
        cls.addClassCleanup(cls.cluster.remove)

    def gate(self):
        gate = Gate(self.cluster.port)
        self.addCleanup(gate.stop)
        return gate

    def proxy(self, port=None, config=None, **settings):
        """`headroom serve` in front of the primary, or of `port`."""
        url = self.cluster.urls["primary"]
        if port is not None:
            url = url.replace(f":{self.cluster.port}/", f":{port}/")
        values = {"sql.listen": "127.0.0.1:0", "sql.admins": "booking", "admin.listen": "127.0.0.1:0", **{f"sql.{name}": value for name, value in settings.items()}}
        # One after the other, each has a state of its own.
        self.proxies = getattr(self, "proxies", 0) + 1
        state = None if self.proxies == 1 else self.directory / f"state-{self.proxies}"
        return self.headroom(config=config, state_dir=state, arguments=["--postgres", url] + [word for name, value in values.items() for word in ("--set", f"{name}={value}")])

    def wire(self, server, **options):
        wire = Wire(server.doors["sql"], **{"password": self.cluster.password, **options})
        self.addCleanup(wire.close)
        return wire

    def dsn(self, server, database="booking", user="booking"):
        host, port = server.doors["sql"]
        return f"host={host} port={port} user={user} password={self.cluster.password} dbname={database}"

    def url(self, server, database="booking"):
        host, port = server.doors["sql"]
        return f"postgresql://booking:{self.cluster.password}@{host}:{port}/{database}"

    def show(self, server, what):
        """The rows of SHOW, each a dict."""
        import psycopg2
        import psycopg2.extras

        connection = psycopg2.connect(self.dsn(server, "headroom"))
        connection.autocommit = True
        try:
            cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
            cursor.execute(f"SHOW {what}")
            return [dict(row) for row in cursor.fetchall()]
        finally:
            connection.close()


__all__ = ["Cluster", "FLUSH", "Gate", "SYNC", "SqlScenario", "Wire", "bind", "error_of", "eventually", "execute", "kinds", "parse", "re"]
