"""Clients that are slow, many, or never finish: they get 408 or are closed in time, and nobody else notices."""

import socket
import threading
import time
import unittest

from harness.edge import SANITIZED, EdgeScenario, ask, descriptors, eventually, metric


class SlowClients(EdgeScenario):
    def test_1000_slow_heads_do_not_disturb_others(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[edge]\nheader_timeout = "2s"')
        slow = []
        for i in range(1000):
            each = socket.create_connection(server.edge)
            each.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nX-%d: " % i)
            self.addCleanup(each.close)
            slow.append(each)
        load = self.load(server, connections=4)
        ending = threading.Event()

        def drip():
            while not ending.wait(0.1):
                for each in slow:
                    try:
                        each.send(b"a")
                    except OSError:
                        pass

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        load.wait_for(1000, timeout=60)
        # Each is refused at its deadline though bytes keep coming.
        for each in slow:
            each.settimeout(20)
            try:
                self.assertTrue(each.recv(100).startswith(b"HTTP/1.1 408 "))
            except ConnectionResetError:
                pass  # it was dripping while the answer came
        ending.set()
        dripping.join()
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertNotIn(b"/slow", app.received())
        eventually(lambda: metric(server, "headroom_edge_connections_open") == 0)
        self.assertGreater(metric(server, "headroom_edge_bad_requests_total", status="408"), 900)

    def test_connections_that_say_nothing_end(self):
        server = self.serve(self.script(), config='[edge]\nkeep_alive_timeout = "1s"\nheader_timeout = "1s"')
        silent = [self.client(server) for _ in range(20)]
        served = self.client(server)
        served.ask()
        for each in [*silent, served]:
            self.assertTrue(each.at_end())

    def test_a_slow_body(self):
        """Below the least rate on average: 408. Above it, or within the grace: fine, however unevenly it comes."""
        app = self.answers(lambda request: str(len(request.body)).encode())
        server = self.serve(app, config='[edge]\nheader_timeout = "1s"\nbody_rate = "100B"\nbody_timeout = "10s"\nbody_buffer = "4KiB"')
        for size in (1000, 100000):  # stored first; streamed
            client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            ending = threading.Event()

            def drip(client=client, ending=ending):
                while not ending.wait(0.1):
                    try:
                        client.send(b"x")
                    except OSError:
                        return

            threading.Thread(target=drip, daemon=True).start()
            began = time.monotonic()
            answer = client.answer()
            ending.set()
            self.assertEqual((answer.status, answer.get("connection")), (408, "close"))
            self.assertLess(time.monotonic() - began, 8)
            client.close()
        app.wait_closed()
        self.assertEqual(app.requests, [])
        client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(4):
            client.send(b"x" * 500)
            time.sleep(0.6)
        self.assertEqual(client.answer().body, b"2000")

    def test_a_body_that_stops(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[edge]\nbody_timeout = "500ms"')
        for framing, part in ((b"Content-Length: 10", b"hello"), (b"Content-Length: 1000000", b"hello" * 1000), (b"Transfer-Encoding: chunked", b"5\r\nhel")):
            client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + part)
            self.assertEqual(client.answer().status, 408)
            self.assertTrue(client.at_end())
        app.wait_closed()
        self.assertEqual(app.requests, [])

    def test_a_slow_upload_holds_no_server_while_it_is_small(self):
        app = self.answers(lambda request: request.body)
        server = self.serve(app)
        client = self.client(server).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n" + b"x" * 9999)
        self.assert_serves(server)
        self.assertEqual(len(app.requests), 1)
        self.assertEqual(client.send(b"x").answer().body, b"x" * 10000)

    def test_a_reader_that_stops_is_cut_off(self):
        app = self.answers(lambda request: b"x" * 50000000 if request.target == "/big" else b"ok")
        server = self.serve(app, config='[edge]\nwrite_timeout = "1s"')
        client = self.client(server, receive_buffer=4096).request(target="/big")
        self.assertEqual(client.head().status, 200)
        app.wait_closed(20)
        eventually(lambda: metric(server, "headroom_edge_connections_open") == 0)
        self.assert_serves(server)

    def test_a_reader_that_is_slow_but_steady_gets_all(self):
        app = self.answers(lambda request: b"x" * 6000000)
        server = self.serve(app, config='[edge]\nwrite_timeout = "1s"')
        client = self.client(server, receive_buffer=65536).request()
        answer = client.head()
        left = int(answer.get("content-length")) - len(client.reader.buffer)
        while left > 0:
            data = client.sock.recv(200000)
            self.assertTrue(data, "cut off")
            left -= len(data)
            time.sleep(0.05)
        self.assertEqual(left, 0)


class Caps(EdgeScenario):
    def test_connections_in_all(self):
        server = self.serve(self.script(), config="[edge]\nmax_connections = 50")
        held = [self.client(server) for _ in range(50)]
        for each in held:
            self.assertEqual(each.ask().status, 200)
        for _ in range(5):
            extra = self.client(server)
            self.assertTrue(extra.at_end())
            self.assertEqual(bytes(extra.reader.received), b"")
        self.assertEqual(metric(server, "headroom_edge_connections_refused_total"), 5)
        for each in held:
            self.assertEqual(each.ask().status, 200)
        for each in held[:10]:
            each.close()
        eventually(lambda: metric(server, "headroom_edge_connections_open") == 40)
        for _ in range(10):
            self.assertEqual(self.client(server).ask().status, 200)

    def test_connections_of_one_address(self):
        server = self.serve(self.script(), config="[edge]\nmax_connections_per_address = 5")
        held = [self.client(server) for _ in range(5)]
        for each in held:
            self.assertEqual(each.ask().status, 200)
        self.assertTrue(self.client(server).at_end())
        others = [self.client(server, source=f"127.0.0.{i}") for i in range(2, 8)]
        for each in others:
            self.assertEqual(each.ask().status, 200)
        held[0].close()
        eventually(lambda: metric(server, "headroom_edge_connections_open") == 10)
        self.assertEqual(self.client(server).ask().status, 200)

    @unittest.skipIf(SANITIZED, "the sanitizers' own checks need descriptors")
    def test_without_descriptors_it_waits_and_recovers(self):
        """Running out is nobody's fault but ours: no server is taken out for it."""
        import resource
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, set={"server.workers": 2})
        base = descriptors(server)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (base + 40, base + 40))
        held = []
        for _ in range(100):
            each = socket.create_connection(server.edge)
            each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.addCleanup(each.close)
            held.append(each)
        eventually(lambda: descriptors(server) >= base + 39)
        for each in held:
            each.close()
        eventually(lambda: ask(server.edge).status == 200, 20, what="it recovers")
        for _ in range(20):
            self.assert_serves(server)
        state = server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]
        self.assertEqual((state["state"], state["failures"]), ("up", 0))


if __name__ == "__main__":
    unittest.main()
