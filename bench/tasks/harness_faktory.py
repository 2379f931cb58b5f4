"""A word with the Faktory door, for the benchmark."""

import json
import socket
import time


def await_port(port, patience_s=20):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        except OSError:
            time.sleep(0.005)
    raise TimeoutError(f"nobody listens on {port}")


def waiting(port):
    """How many jobs wait; returns once the server answers."""
    with await_port(port, 60) as connection, connection.makefile("rb") as answers:
        answers.readline()
        connection.sendall(b'HELLO {"v":2}\r\nINFO\r\n')
        answers.readline()
        size = int(answers.readline()[1:])
        return json.loads(answers.read(size))["faktory"]["total_enqueued"]
