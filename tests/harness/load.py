"""Requests without a pause on several connections, and a note of each that did not get a good answer.

A client may send an idempotent request again when a connection that has been used before closes without a byte of an answer
(RFC 9112 section 9.3.1): a server may close an idle connection at any time. That is not a failure. All else is: a refused or reset
connection, an answer cut short, a status the scenario did not expect, a wait of more than `timeout`.
"""

import socket
import threading
import time

from .client import Closed, Connection


class Load:
    def __init__(self, address, path="/", connections=4, expect=(200,), keep_alive=True, pause=0.0, timeout=10, method="GET", check=None):
        """`check(answer)` may return a text that says what is wrong with it."""
        self.address = address
        self.path = path
        self.expect = expect
        self.keep_alive = keep_alive
        self.pause = pause
        self.timeout = timeout
        self.method = method
        self.check = check
        self.failures = []  # (seconds since the start, what went wrong)
        self.done = 0
        self.retried = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]
        self._began = time.monotonic()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Lets the requests that are under way end; comes back when none is."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, requests, timeout=20):
        """Until so many more requests have been answered."""
        wanted = self.done + requests
        deadline = time.monotonic() + timeout
        while self.done < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"only {self.done} of {wanted} requests were answered; failures: {self.failures[:5]}")
            time.sleep(0.005)

    def _fail(self, what):
        self.failures.append((round(time.monotonic() - self._began, 3), what))
        time.sleep(0.01)

    def _run(self):
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = Connection(self.address, self.timeout)
                answer = connection.request(self.method, self.path)
                self._judge(answer)
                if not self.keep_alive or (answer.field("Connection") or "").lower() == "close":
                    connection.close()
                    connection = None
            except (Closed, OSError) as error:
                used = connection is not None and connection.answers > 0
                if connection is not None:
                    connection.close()
                connection = None
                nothing_came = isinstance(error, (ConnectionResetError, BrokenPipeError)) or (isinstance(error, Closed) and not error.received)
                if used and nothing_came:
                    self.retried += 1
                else:
                    self._fail(f"{type(error).__name__}: {error}")
            if self.pause:
                time.sleep(self.pause)
        if connection is not None:
            connection.close()

    def _judge(self, answer):
        self.done += 1
        if answer.status not in self.expect:
            self._fail(f"{answer.status}: {answer.text()[:200]}")
        elif self.check:
            wrong = self.check(answer)
            if wrong:
                self._fail(wrong)
