"""A raw HTTP/1.1 client: it sends exactly the bytes it is told to, and reads answers strictly.

What it reads is held to RFC 9112: an answer with two framings, a bare LF or a bad chunk is an error of the server under test, so every
scenario that uses this client also checks what Headroom writes.
"""

import socket
import struct

PATIENCE = 15  # seconds; only ever waited for when something is broken


class Malformed(Exception):
    """The peer broke the protocol, or went away in the middle of a message."""


class Message:
    """A head with its body: a request as an upstream received it, or an answer as a client did."""

    def __init__(self, first_line, fields):
        self.first_line = first_line
        self.fields = fields  # (name, value) in order, as received
        self.body = b""
        self.trailers = []
        self.chunks = None  # sizes, when chunked

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    def has(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return f"{self.first_line!r} {self.fields!r} + {len(self.body)} bytes"


class Answer(Message):
    def __init__(self, first_line, fields):
        super().__init__(first_line, fields)
        self.version, status, *reason = first_line.split(" ", 2)
        self.status = int(status)
        self.reason = reason[0] if reason else ""
        self.interim = []  # the 1xx answers before it


class Request(Message):
    def __init__(self, first_line, fields):
        super().__init__(first_line, fields)
        self.method, self.target, self.version = first_line.split(" ")


class Reader:
    """Messages from a socket. `received` is every byte that ever came."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.received = bytearray()
        self.ended = False

    def fill(self, most=65536):
        if self.ended:
            return False
        data = self.sock.recv(most)
        if not data:
            self.ended = True
            return False
        self.buffer += data
        self.received += data
        return True

    def line(self):
        while b"\n" not in self.buffer:
            if not self.fill():
                raise Malformed(f"the end in the middle of a line: {self.buffer[:200]!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise Malformed(f"a line that does not end in CRLF: {line[:200]!r}")
        return line[:-1].decode("latin-1")

    def exactly(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                raise Malformed(f"the end {size - len(self.buffer)} bytes before the end of a body")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def fields(self):
        fields = []
        while line := self.line():
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip() or any(c in name for c in ' "(),/;<=>?@[\\]{}'):
                raise Malformed(f"a field line {line!r}")
            fields.append((name, value.strip(" \t")))
        return fields

    def head(self, kind):
        """The next head, or None at the end of the stream."""
        while not self.buffer:
            if not self.fill():
                return None
        return kind(self.line(), self.fields())

    def chunked(self, message):
        message.chunks = []
        parts = []
        while True:
            digits = self.line().split(";", 1)[0]
            if not digits or any(c not in "0123456789abcdefABCDEF" for c in digits):
                raise Malformed(f"a chunk size {digits!r}")
            size = int(digits, 16)
            if size == 0:
                message.trailers = self.fields()
                break
            message.chunks.append(size)
            parts.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise Malformed("no CRLF behind a chunk")
        message.body = b"".join(parts)

    def body(self, message, until_end):
        """The body that follows `message`; until_end: without a framing it ends with the stream."""
        lengths, codings = message.all("content-length"), message.all("transfer-encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise Malformed(f"ambiguous framing: {message.fields}")
        if codings:
            if codings != ["chunked"]:
                raise Malformed(f"a transfer coding {codings}")
            self.chunked(message)
        elif lengths:
            if not lengths[0].isdigit():
                raise Malformed(f"a length {lengths}")
            message.body = self.exactly(int(lengths[0]))
        elif until_end:
            while self.fill():
                pass
            message.body, self.buffer = self.buffer, b""


class Raw:
    """One client connection. `at` is (host, port) or a Unix path."""

    def __init__(self, at, patience=PATIENCE, source=None, receive_buffer=None, tls=None, server_name="localhost"):
        if isinstance(at, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket()
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if source:
                self.sock.bind((source, 0))
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(patience)
        self.sock.connect(at)
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname=server_name)
        self.reader = Reader(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))
        return self

    def request(self, method="GET", target="/", fields=(), body=None, host="test.example"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def head(self):
        """The next head, 1xx ones too; None at the end of the stream."""
        return self.reader.head(Answer)

    def answer(self, method="GET"):
        """The next final answer with its body; None when the connection ended instead."""
        interim = []
        while True:
            answer = self.head()
            if answer is None:
                return None
            if answer.status >= 200 or answer.status == 101:
                break
            interim.append(answer)
        answer.interim = interim
        if method != "HEAD" and answer.status not in (101, 204, 304):
            self.reader.body(answer, until_end=True)
        return answer

    def ask(self, method="GET", target="/", fields=(), body=None, host="test.example"):
        return self.request(method, target, fields, body, host).answer(method)

    def at_end(self):
        """Waits for the peer to close; whether nothing more came before it did. A reset counts as closed."""
        try:
            while self.reader.fill():
                pass
        except ConnectionError:
            self.reader.ended = True
        return not self.reader.buffer

    def finish_writing(self):
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def ask(at, method="GET", target="/", fields=(), body=None, host="test.example", **options):
    """One request on a connection of its own."""
    with Raw(at, **options) as client:
        return client.request(method, target, [*fields, "Connection: close"], body, host).answer(method)
