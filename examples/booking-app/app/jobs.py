"""Reminders of bookings, as jobs: a Faktory client in a few lines. Without FAKTORY_URL there are none."""

import hashlib
import json
import logging
import os
import socket
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

BEFORE = timedelta(hours=24)
QUEUE = "reminders"

url = os.environ.get("FAKTORY_URL", "")


class Client:
    def __init__(self, wid=None):
        server = urlsplit(url)
        self.socket = socket.create_connection((server.hostname, server.port or 7419), timeout=10)
        self.lines = self.socket.makefile("rb")
        offer = json.loads(self.lines.readline().split(b" ", 1)[1])
        hello = {"v": 2, "hostname": socket.gethostname(), "pid": os.getpid(), "labels": ["python"]}
        if wid:
            hello["wid"] = wid
        if "s" in offer:
            digest = ((server.password or "") + offer["s"]).encode()
            for _ in range(offer["i"]):
                digest = hashlib.sha256(digest).digest()
            hello["pwdhash"] = digest.hex()
        self.ask("HELLO", hello)

    def ask(self, verb, argument):
        text = argument if isinstance(argument, str) else json.dumps(argument)
        self.socket.sendall(f"{verb} {text}\r\n".encode())
        line = self.lines.readline().decode().rstrip()
        if line.startswith("$"):
            size = int(line[1:])
            return None if size < 0 else self.lines.read(size + 2)[:-2].decode()
        if not line.startswith("+"):
            raise OSError(line or "the job server has gone")
        return line[1:]

    def close(self):
        self.lines.close()
        self.socket.close()


def remind(booking) -> None:
    """A job for the day before, or for now. A booking is worth more than its reminder: a failure is only logged."""
    if not url:
        return
    job = {"jid": uuid.uuid4().hex, "queue": QUEUE, "jobtype": "SendReminder", "args": [booking.id],
           "at": (booking.starts_at - BEFORE).isoformat(timespec="seconds") + "Z"}
    try:
        client = Client()
        client.ask("PUSH", job)
        client.close()
    except (OSError, ValueError) as error:
        logging.getLogger("uvicorn.error").warning("no reminder for booking %s: %s", booking.id, error)
