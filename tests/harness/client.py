"""A small HTTP/1.1 client that hides nothing: what was sent is what you wrote, what came is what you get."""

import json
import socket


class Answer:
    """A whole answer. `fields` keeps order and doubles; field("name") is the first of a name in any case, or None."""

    def __init__(self, status, reason, fields, body):
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body

    def field(self, name):
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.reason}: {self.body[:200]!r}>"


class Closed(Exception):
    """The peer closed before a whole answer; `received` says whether any byte of it had come."""

    def __init__(self, received):
        super().__init__("closed in the middle of an answer" if received else "closed without an answer")
        self.received = received


class Connection:
    """One connection, kept open. `address` is (host, port), or the path of a Unix socket."""

    def __init__(self, address, timeout=10):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout)
            self.socket.connect(address)
            self.host = "localhost"
        else:
            self.socket = socket.create_connection(address, timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.host = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
        self._buffer = b""
        self.answers = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        """Raw bytes."""
        self.socket.sendall(data)

    def request(self, method, path, headers=None, body=None):
        """Sends a request and reads its answer. `headers` wins over what is set here; a value of None leaves a header out."""
        self.send(encode(method, path, self.host, headers, body))
        return self.answer(method)

    def answer(self, method="GET"):
        """Reads one answer, whole; 1xx answers are skipped."""
        while True:
            status, reason, fields = self._head()
            if status >= 200:
                break
        body = self._body(method, status, fields)
        self.answers += 1
        return Answer(status, reason, fields, body)

    def read_all(self):
        """All that comes until the peer closes."""
        while self._more():
            pass
        data, self._buffer = self._buffer, b""
        return data

    def _more(self):
        data = self.socket.recv(65536)
        self._buffer += data
        return bool(data)

    def _until(self, end):
        while end not in self._buffer:
            if not self._more():
                raise Closed(received=bool(self._buffer))
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size):
        while len(self._buffer) < size:
            if not self._more():
                raise Closed(received=True)
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _head(self):
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, reason = (lines[0].split(" ", 2) + [""])[:3]
        if not version.startswith("HTTP/1."):
            raise AssertionError(f"not an HTTP answer: {lines[0]!r}")
        fields = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
        return int(status), reason, fields

    def _body(self, method, status, fields):
        named = {name.lower(): value for name, value in fields}
        if method == "HEAD" or status in (204, 304):
            return b""
        if named.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int(self._until(b"\r\n").split(b";")[0], 16):
                body += self._exactly(size)
                self._exactly(2)
            while self._until(b"\r\n"):
                pass
            return body
        if "content-length" in named:
            return self._exactly(int(named["content-length"]))
        return self.read_all()


def encode(method, path, host, headers=None, body=None):
    """A request as bytes. A dict or list as body is sent as JSON."""
    fields = {"Host": host}
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        fields["Content-Type"] = "application/json"
    if isinstance(body, str):
        body = body.encode()
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def request(address, method, path, headers=None, body=None, timeout=10):
    """One request on a connection of its own."""
    with Connection(address, timeout) as connection:
        return connection.request(method, path, headers, body)


def get(address, path, headers=None, timeout=10):
    return request(address, "GET", path, headers, timeout=timeout)
