"""Upstream servers that do as they are told: well, badly, or with malice.

An Upstream runs a script, a function of one connection, in a thread for each connection it accepts. `answering(f)` makes a script of a
function from a request to an answer. Everything that came is kept: `requests` (whole ones, in order) and `received()` (every byte).
"""

import http
import os
import socket
import ssl
import struct
import threading

from .raw import PATIENCE, Malformed, Reader, Request
from .scenario import eventually


def reply(status=200, body=b"", fields=(), reason=None, version="HTTP/1.1"):
    """A whole answer with a Content-Length."""
    if reason is None:
        reason = http.HTTPStatus(status).phrase if status in http.HTTPStatus._value2member_map_ else "Whatever"
    if isinstance(body, str):
        body = body.encode()
    lines = [f"{version} {status} {reason}", *fields]
    if not (status < 200 or status in (204, 304)):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Connection:
    """One accepted connection."""

    def __init__(self, upstream, sock, number):
        self.upstream = upstream
        self.sock = sock
        self.number = number
        self.reader = Reader(sock)
        self.requests = []
        self.ended = threading.Event()  # the script has returned and the connection is closed

    def read_head(self):
        """The next request without its body; None at the end."""
        return self.reader.head(Request)

    def read_body(self, request):
        self.reader.body(request, until_end=False)
        return request

    def read(self):
        """The next whole request; None at the end of the stream."""
        request = self.read_head()
        if request is None:
            return None
        if request.get("expect"):
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.read_body(request)
        self.keep(request)
        return request

    def keep(self, request):
        request.connection = self
        self.requests.append(request)
        with self.upstream.lock:
            self.upstream.requests.append(request)

    def send(self, data):
        self.sock.sendall(data)

    def at_end(self):
        """Waits for the other side to close; True also when it resets."""
        try:
            while self.reader.fill():
                pass
        except ConnectionError:
            self.reader.ended = True
        return True

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        # shutdown() tells the peer at once, also while another thread is reading
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def answering(answer=lambda request: b"ok"):
    """A script that answers each request: the function returns a body, or a whole answer from reply()."""

    def script(connection):
        while (request := connection.read()) is not None:
            result = answer(request)
            connection.send(result if result.startswith(b"HTTP/1.") else reply(200, result))
            if request.get("connection", "").lower() == "close":
                return

    return script


class Upstream:
    """Listens on a free port of `host`, or on a Unix path. `tls` is an ssl.SSLContext."""

    def __init__(self, script=None, host="127.0.0.1", port=0, unix=None, tls=None, receive_buffer=None):
        self.script = script or answering()
        self.host, self.port, self.unix, self.tls = host, port, unix, tls
        self.receive_buffer = receive_buffer
        self.lock = threading.Lock()
        self.requests = []
        self.connections = []
        self.problems = []  # what scripts raised
        self.listening = None
        self.start()

    @property
    def url(self):
        if self.unix:
            return f"unix:{self.unix}"
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def start(self):
        """Listens (again, on the same port)."""
        if self.unix:
            if os.path.exists(self.unix):
                os.unlink(self.unix)
            self.listening = socket.socket(socket.AF_UNIX)
            self.listening.bind(self.unix)
        else:
            self.listening = socket.socket()
            self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.receive_buffer:
                self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            self.listening.bind((self.host, self.port))
            self.port = self.listening.getsockname()[1]
        self.listening.listen(1024)
        threading.Thread(target=self._accept, args=(self.listening,), daemon=True).start()
        return self

    def _accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            if not self.unix:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = Connection(self, sock, len(self.connections))
                self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.tls:
                connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
                connection.reader.sock = connection.sock
            self.script(connection)
        except (ConnectionError, ssl.SSLError, OSError):
            pass
        except Malformed as problem:
            self.problems.append(str(problem))
        finally:
            connection.close()
            connection.ended.set()

    def received(self):
        """Every byte that ever came, over all connections."""
        with self.lock:
            return b"".join(bytes(connection.reader.received) for connection in self.connections)

    def open(self):
        """How many connections are open."""
        with self.lock:
            return sum(not connection.ended.is_set() for connection in self.connections)

    def wait_requests(self, count, within=PATIENCE):
        eventually(lambda: len(self.requests) >= count, within, what=f"{count} requests came")
        return self.requests

    def wait_connections(self, count, within=PATIENCE):
        eventually(lambda: len(self.connections) >= count, within, what=f"{count} connections came")
        return self.connections

    def wait_closed(self, within=PATIENCE):
        """Until no connection is open."""
        eventually(lambda: self.open() == 0, within, what="no connection is open")

    def stop(self):
        """Refuses new connections and resets the open ones."""
        if self.listening is not None:
            listening, self.listening = self.listening, None
            try:
                listening.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            listening.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            connection.close()
