"""20,000 requests, each broken a little, through sockets: the process lives, every connection ends, and good requests are still answered.
The same for 5,000 answers of an upstream: a client gets a sound answer or sees that it is cut.

Seeded: a failure repeats. HEADROOM_MUTATIONS sets how many, HEADROOM_SEED another beginning.
"""

import os
import random
import select
import socket
import threading
import unittest

from harness.edge import EdgeScenario, Malformed, Raw, ask, chunk, eventually, metric, reply

COUNT = int(os.environ.get("HEADROOM_MUTATIONS", "20000"))
SEED = int(os.environ.get("HEADROOM_SEED", "1"))

WHOLE = [
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /a/b/c?x=1&y=%20z HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nCookie: a=b; c=d\r\nUser-Agent: x\r\n\r\n",
    b"HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nContent-Type: text/plain\r\n\r\nhello world",
    b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5;a=\"b\"\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
    b"PUT /p HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET http://a.example/abs?q HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, X-Hop\r\nUpgrade: websocket\r\nX-Hop: 1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n",
    b"DELETE /d HTTP/1.1\r\nHost: [::1]:80\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nForwarded: for=\"[::1]:80\";by=x, for=1.2.3.4\r\nTE: trailers\r\n\r\n",
    b"PATCH /p HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70000,
]
TOKENS = [b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"\t", b"\x00", b"\xff", b"%", b"%00", b"..", b"/", b"#", b";", b",", b'"', b"0", b"-1", b"+", b"0x",
          b"ffffffffffffffff", b"99999999999999999999", b"chunked", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n",
          b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"GET ", b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"0\r\n\r\n", b"A" * 9000, b"X: y\r\n" * 120]


ANSWERS = [
    reply(200, b"hello world", ["Content-Type: text/plain", "Set-Cookie: a=b"]),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n" + chunk(b"hello") + chunk(b" world") + b"0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + reply(404, b"nothing"),
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\nuntil the end",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes",
    reply(200, b"x" * 70000),
]


def mutate(rng, whole):
    data = bytearray(rng.choice(whole))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(min(len(data), 400) + 1) if len(data) < 1000 or rng.random() < 0.9 else rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at:at] = rng.choice(TOKENS)
        elif kind == 3:
            del data[at:at + rng.choice((1, 1, 2, 10, 1000))]
        elif kind == 4:
            data[at:at] = data[at:at + rng.choice((1, 5, 30))]
        elif kind == 5:
            del data[at:]
        else:
            other = rng.choice(whole)
            data[at:] = other[rng.randrange(len(other)):]
    return bytes(data) or b"\r\n"


class Probe:
    """One connection: some mutated requests behind one another, sent as they fit, answers thrown away, until the end of either side."""

    def __init__(self, at, data, rng):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(at)
        self.all = data
        self.data = memoryview(data)
        self.cut = rng.random() < 0.3  # in small pieces
        self.rude = rng.random() < 0.1  # leaves without reading

    def step(self, readable, writable):
        """False when it is over."""
        try:
            if writable and self.data:
                sent = self.sock.send(self.data[:7 if self.cut and len(self.data) < 2000 else 65536])
                self.data = self.data[sent:]
                if not self.data:
                    if self.rude:
                        return False
                    self.sock.shutdown(socket.SHUT_WR)
            if readable and not self.sock.recv(1 << 20):
                return False
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True


class Mutations(EdgeScenario):
    def test_20000_mutations(self):
        rng = random.Random(SEED)

        def script(connection):
            while request := connection.read():
                if request.has("upgrade") and rng.random() < 0.5:
                    connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw bytes")
                    return
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" if rng.random() < 0.5 else reply(200, b"hello"))

        app = self.script(script)
        server = self.serve(app, config='[edge]\nheader_timeout = "2s"\nbody_timeout = "2s"\nbody_limit = "60KiB"\n'
                                        "trusted_proxies = [\"127.0.0.0/8\"]\nmax_connections = 0")
        poll = select.epoll()
        probes = {}
        self.addCleanup(lambda: [probe.sock.close() for probe in probes.values()])
        made = 0
        while made < COUNT or probes:
            while made < COUNT and len(probes) < 200:
                behind = rng.choice((1, 1, 2, 5))
                probe = Probe(server.edge, b"".join(mutate(rng, WHOLE) for _ in range(behind)), rng)
                made += behind
                probes[probe.sock.fileno()] = probe
                poll.register(probe.sock, select.EPOLLIN | select.EPOLLOUT)
            events = poll.poll(60)
            if not events:
                hanging = [(probe.all[-300:], len(probe.data)) for probe in probes.values()]
                self.fail(f"{len(probes)} connections hang, after sending {hanging[:3]}")
            for fd, what in events:
                probe = probes[fd]
                if not probe.step(what & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR), what & select.EPOLLOUT):
                    poll.unregister(fd)
                    probe.sock.close()
                    del probes[fd]
                elif not probe.data:
                    poll.modify(fd, select.EPOLLIN)
            if made % 1000 < 5:
                self.assertIsNone(server.process.poll(), f"died after {made}")
        self.assertGreaterEqual(made, COUNT)
        self.assert_serves(server)
        eventually(lambda: metric(server, "headroom_edge_connections_open") <= 1, 30, what="every connection has ended")
        eventually(lambda: metric(server, "headroom_edge_upstream_in_flight") == 0)
        # What reached the app was whole and unambiguous: the scripted upstream is as strict as any.
        ambiguous = [problem for problem in app.problems if "the end" not in problem]
        self.assertEqual(ambiguous, [])
        self.assertGreater(len(app.requests), COUNT / 50)
        for request in app.requests:
            self.assertEqual(request.version, "HTTP/1.1")
            self.assertLessEqual(request.has("content-length") + request.has("transfer-encoding"), 1)
            self.assertEqual(len(request.all("host")), 1)
            for one in ("x-real-ip", "forwarded", "x-forwarded-for", "x-request-id", "via"):
                self.assertEqual(len(request.all(one)), 1, one)
        self.assertEqual(ask(server.edge).status, 200)


class Answers(EdgeScenario):
    def test_5000_mutated_answers(self):
        rng = random.Random(SEED)
        lock = threading.Lock()
        left = [COUNT // 4]
        judged = {"sound": 0, "refused": 0, "cut": 0}

        def script(connection):
            while request := connection.read():
                if request.target != "/bad":
                    connection.send(reply(200, b"good"))
                    continue
                with lock:
                    data, close = mutate(rng, ANSWERS), rng.random() < 0.7
                connection.send(data)
                if close:
                    return
                connection.sock.settimeout(0.2)  # leaves what is not whole hanging, but not for long

        app = self.script(script)
        server = self.serve(config=f"[[edge.upstreams]]\nname = \"app\"\nservers = [\"{app.url}\"]\nmax_fails = 0\nretries = 0\n")

        def ask_on():
            client = None
            while left[0] > 0:
                left[0] -= 1
                client = client or Raw(server.edge)
                kind = "cut"
                try:
                    answer = client.request(target="/bad").answer()
                    kind = "refused" if answer is not None and answer.status == 502 else "sound" if answer is not None else "cut"
                    if answer is not None and client.ask(target="/good").body != b"good":
                        raise AssertionError(f"a wrong answer behind {answer}")
                except (Malformed, ConnectionError) as problem:
                    if not str(problem).startswith("the end ") and isinstance(problem, Malformed):
                        wrong.append(str(problem))
                    client.close()
                    client = None
                except (AssertionError, AttributeError, TimeoutError) as problem:
                    wrong.append(repr(problem))
                    return
                with lock:
                    judged[kind] += 1
            if client:
                client.close()

        wrong = []
        threads = [threading.Thread(target=ask_on) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertGreater(min(judged.values()), COUNT // 100, judged)
        self.assert_serves(server)


if __name__ == "__main__":
    unittest.main()
