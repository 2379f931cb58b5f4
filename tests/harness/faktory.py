"""A client of the Faktory Worker Protocol in a few lines: what the tests say to the task server, byte by byte where they must."""

import hashlib
import json
import socket
import ssl
import uuid

PATIENCE = 20


class Refused(Exception):
    """The server's answer began with '-'."""


class Faktory:
    def __init__(self, address, wid=None, password=None, username=None, hello=True, tls=None, timeout=PATIENCE, source=None):
        self.socket = socket.create_connection(address, timeout=timeout, source_address=(source, 0) if source else None)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.file = self.socket.makefile("rb")
        self.greeting = self.line()
        self.wid = wid
        if hello:
            if self.greeting is None:
                self.close()
                raise ConnectionError("the server has closed the connection")
            said = {"v": 2}
            if wid:
                said |= {"wid": wid, "hostname": "test", "pid": 1, "labels": ["python"]}
            if username:
                said["username"] = username
            offer = json.loads(self.greeting.split(" ", 1)[1])
            if password and "s" in offer:
                said["pwdhash"] = password_hash(password, offer["s"], offer["i"])
            self.ask("HELLO", said)

    def line(self):
        """A line of the server without its end; None when it has closed the connection."""
        line = self.file.readline()
        if not line:
            return None
        assert line.endswith(b"\r\n"), line
        return line[:-2].decode()

    def answer(self):
        line = self.line()
        if line is None:
            raise ConnectionError("the server has closed the connection")
        if line[0] == "+":
            return line[1:]
        if line[0] == "-":
            raise Refused(line[1:])
        assert line[0] == "$", line
        size = int(line[1:])
        if size < 0:
            return None
        text = self.file.read(size + 2)
        assert text.endswith(b"\r\n"), text
        return text[:-2].decode()

    def send(self, verb, argument=None):
        if isinstance(argument, (dict, list)):
            argument = json.dumps(argument)
        self.socket.sendall((verb if argument is None else f"{verb} {argument}").encode() + b"\r\n")

    def ask(self, verb, argument=None):
        self.send(verb, argument)
        return self.answer()

    def push(self, jid=None, queue="default", jobtype="Test", args=(), **more):
        job = {"jid": jid or uuid.uuid4().hex, "queue": queue, "jobtype": jobtype, "args": list(args), **more}
        self.ask("PUSH", job)
        return job["jid"]

    def fetch(self, *queues):
        text = self.ask("FETCH", " ".join(queues or ["default"]))
        return json.loads(text) if text is not None else None

    def ack(self, jid):
        return self.ask("ACK", {"jid": jid})

    def fail(self, jid, errtype="Error", message="it failed", backtrace=()):
        return self.ask("FAIL", {"jid": jid, "errtype": errtype, "message": message, "backtrace": list(backtrace)})

    def beat(self, **more):
        answer = self.ask("BEAT", {"wid": self.wid, **more})
        return json.loads(answer)["state"] if answer.startswith("{") else ""

    def info(self):
        return json.loads(self.ask("INFO"))

    def waiting(self, queue="default"):
        return self.info()["faktory"]["queues"].get(queue, 0)

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def password_hash(password, salt, rounds):
    digest = (password + salt).encode()
    for _ in range(rounds):
        digest = hashlib.sha256(digest).digest()
    return digest.hex()


def trusting(certificate):
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context
