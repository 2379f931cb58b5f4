"""The app as a real process on a free port, and small clients for it."""

import base64
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading

FOLDER = pathlib.Path(__file__).resolve().parent.parent


class Server:
    """One seeded worker; BOOKING_TEST_DATABASE_URL replaces its SQLite file."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        url = os.environ.get("BOOKING_TEST_DATABASE_URL")
        url = url or f"sqlite:///{self.folder.name}/booking.db"
        self.environment = {**os.environ, "DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
        self.seed(url)
        command = "-m uvicorn app.main:app --port 0 --no-access-log".split()
        self.process = subprocess.Popen(
            [sys.executable, *command],
            cwd=FOLDER,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = self._announced_port()

    def seed(self, url: str, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "app.seed", "--rows", "small", *arguments],
            cwd=FOLDER,
            env={**self.environment, "DATABASE_URL": url},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def _announced_port(self) -> int:
        lines = []
        for line in self.process.stderr:
            lines.append(line)
            if found := re.search(r"running on http://127\.0\.0\.1:(\d+)", line):
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return int(found[1])
        raise RuntimeError("the app did not start:\n" + "".join(lines))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)
        self.folder.cleanup()

    def request(self, method: str, path: str, body=None, token=None, headers=None):
        """Returns status, headers and body, the latter decoded when it is JSON."""
        headers = dict(headers or {})
        if token:
            headers["authorization"] = f"Bearer {token}"
        if isinstance(body, (dict, list)):
            headers["content-type"] = "application/json"
            body = json.dumps(body)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if data and answer.headers.get_content_type() == "application/json":
            data = json.loads(data)
        return answer.status, answer.headers, data

    def login(self, number: int) -> str:
        body = {"email": f"user{number}@example.com", "password": "password"}
        status, _, data = self.request("POST", "/api/accounts/login", body)
        assert status == 200, data
        return data["token"]


class WebSocket:
    """As much of RFC 6455 as a test needs: whole frames of up to 64 KiB."""

    def __init__(self, port: int, path: str):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            "\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline().strip():
            pass

    def send(self, opcode: int, payload: bytes) -> None:
        mask = os.urandom(4)
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload))
        self.socket.sendall(bytes([0x80 | opcode]) + length + mask + masked)

    def receive(self):
        first, size = self.stream.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.stream.read(2))
        return first & 0x0F, self.stream.read(size)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()
