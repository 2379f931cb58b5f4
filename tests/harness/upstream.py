"""Applications to put behind Headroom: threads of this process, on a free port or a Unix socket."""

import json
import os
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler


class Reply:
    """What an upstream answers. `raw` bytes are sent as they are and the connection is closed."""

    def __init__(self, status=200, body=b"ok\n", headers=None, delay=0.0, raw=None):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.headers = headers or {}
        self.delay = delay
        self.raw = raw


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self):
        if self.server.address_family == socket.AF_UNIX:
            self.disable_nagle_algorithm = False
        super().setup()

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError, ValueError):
            self.close_connection = True

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.request_body = self.rfile.read(length) if length else b""
        upstream = self.server.upstream
        with upstream.lock:
            upstream.requests.append((self.command, self.path, dict(self.headers.items())))
            upstream.count += 1
            del upstream.requests[:-1000]
        reply = upstream.answer(self)
        if reply.delay:
            time.sleep(reply.delay)
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.wfile.flush()
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": "text/plain", "Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer

    def log_message(self, *_):
        pass


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, *_):
        pass


class _UnixServer(_TcpServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        self.socket.bind(self.server_address)


class Upstream:
    """`answer(request)` gets the handler (.command, .path, .headers, .request_body) and gives a Reply; by default the upstream's name."""

    def __init__(self, name="app", answer=None, port=0, unix_path=None):
        self.name = name
        self.answer = answer or (lambda request: Reply(body=name + "\n", headers={"X-Upstream": name}))
        self.requests = []  # the last 1000: (method, path, headers)
        self.count = 0
        self.lock = threading.Lock()
        self.unix_path = unix_path
        if unix_path:
            self._server = _UnixServer(unix_path, _Handler)
        else:
            self._server = _TcpServer(("127.0.0.1", port), _Handler)
        self._server.upstream = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def port(self):
        return self._server.server_address[1]

    @property
    def url(self):
        return f"unix:{self.unix_path}" if self.unix_path else f"http://127.0.0.1:{self.port}"

    def stop(self):
        """Accepts no more; connections that are open end with their client."""
        self._server.shutdown()
        self._server.server_close()
        if self.unix_path and os.path.exists(self.unix_path):
            os.unlink(self.unix_path)


def echo(request):
    """An answer that tells what the upstream received."""
    body = json.dumps({"method": request.command, "path": request.path, "headers": list(request.headers.items()),
                       "body": request.request_body.decode("latin-1")})
    return Reply(body=body, headers={"Content-Type": "application/json"})
