"""The sample app's processes: its database filled, its server and its worker on free ports, ended with the test.

    app = Booking(self, f"sqlite:///{self.directory}/booking.db", FAKTORY_URL=...)
    app.seed()
    url = app.serve()
    worker = app.python("app.worker")        # its lines as they come
    token = app.login(server.edge)
"""

import json
import os
import re
import subprocess
import sys
import threading

from .client import request
from .process import ROOT
from .scenario import eventually

APP = ROOT / "examples" / "booking-app"
CLIENT = ROOT / "clients" / "python"  # on PYTHONPATH it ties queries to their requests


class Lines(list):
    """What a process has written so far."""

    def __str__(self):
        return "".join(self)


class Booking:
    def __init__(self, test, database_url, traced=False, **environment):
        self.test = test
        self.environment = {**os.environ, "DATABASE_URL": database_url, "PYTHONDONTWRITEBYTECODE": "1", **({"PYTHONPATH": str(CLIENT)} if traced else {}), **environment}

    def seed(self, rows="small"):
        subprocess.run([sys.executable, "-m", "app.seed", "--rows", rows], cwd=APP, env=self.environment, check=True, capture_output=True)

    def python(self, *arguments):
        """A process of the app; gives its lines as they come."""
        lines = Lines()
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=APP, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)
        reader.start()

        def end():
            process.terminate()
            process.wait(timeout=20)
            reader.join()
            process.stdout.close()

        self.test.addCleanup(end)
        return lines

    def serve(self, port=0):
        """The server's URL, once it listens; `log` are its lines."""
        self.log = self.python("uvicorn", "app.main:app", "--port", str(port), "--no-access-log")
        return "http://127.0.0.1:" + eventually(lambda: re.search(r"running on http://127\.0\.0\.1:(\d+)", str(self.log)), 30, what=self.log)[1]


def call(address, method, path, body=None, token=None):
    """A request of the app's API, straight or through Headroom."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return request(address, method, path, headers, json.dumps(body).encode() if body is not None else b"")


def login(address, user=50):
    return call(address, "POST", "/api/accounts/login", {"email": f"user{user}@example.com", "password": "password"}).json()["token"]
