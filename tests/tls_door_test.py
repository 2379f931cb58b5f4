"""Clients that come with TLS: the same promises as on the plain door, and handshakes that are slow, wrong or cut."""

import asyncio
import socket
import ssl
import subprocess
import threading
import time
import unittest

import websockets

from harness.edge import EdgeScenario, Raw, answering, chunk, eventually, metric, reply


class TlsDoor(EdgeScenario):
    def setUp(self):
        super().setUp()
        self.cert, self.key = self.certificate("localhost", "DNS:localhost,IP:127.0.0.1")
        self.trust = ssl.create_default_context(cafile=self.cert)

    def certificate(self, name, alternatives):
        cert, key = str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName={alternatives}", "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        return cert, key

    def serve_tls(self, app, edge="", tls=""):
        return self.serve(app, config=f'[edge]\n{edge}\n[edge.tls]\nlisten = "127.0.0.1:0"\ncert = "{self.cert}"\nkey = "{self.key}"\n{tls}')

    def secure(self, server, **options):
        made = Raw(server.doors["edge.tls"], tls=self.trust, **options)
        self.addCleanup(made.close)
        return made

    def test_bodies_of_all_sizes_both_ways(self):
        app = self.answers(lambda request: request.body)
        server = self.serve_tls(app)
        client = self.secure(server)
        for size in (0, 1, 16383, 16384, 16385, 65536, 1000000):
            body = bytes(i * 7 & 255 for i in range(size))
            self.assertEqual(client.ask("POST", body=body).body, body)
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + (chunk(body) if body else b"") + b"0\r\n\r\n")
            self.assertEqual(client.answer().body, body)
        self.assertEqual(app.requests[0].get("x-forwarded-proto"), "https")
        self.assertIn("proto=https", app.requests[0].get("forwarded"))
        self.assertEqual(app.requests[0].get("x-forwarded-port"), "443")

    def test_pipelined_requests(self):
        app = self.answers(lambda request: request.target.encode())
        client = self.secure(self.serve_tls(app))
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(500)))
        for i in range(500):
            self.assertEqual(client.answer().body, b"/%d" % i)

    def test_both_directions_at_once(self):
        """The app answers while the body still comes: reading and writing one TLS stream at the same time."""
        def echo(connection):
            connection.read_head()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while size := int(connection.reader.line(), 16):
                connection.send(chunk(connection.reader.exactly(size + 2)[:-2]))
            connection.reader.fields()
            connection.send(b"0\r\n\r\n")

        client = self.secure(self.serve_tls(self.script(echo)))
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = bytes(range(256)) * 100
        answer = None
        for i in range(200):
            client.send(chunk(piece))
            answer = answer or client.head()
        client.send(b"0\r\n\r\n")
        client.reader.chunked(answer)
        self.assertEqual(answer.body, piece * 200)

    def test_web_sockets(self):
        loop_ready = threading.Event()
        ends = {}

        async def main():
            async def echo(socket):
                async for message in socket:
                    await socket.send(message)

            ends["loop"], ends["end"] = asyncio.get_running_loop(), asyncio.Event()
            async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
                ends["port"] = server.sockets[0].getsockname()[1]
                loop_ready.set()
                await ends["end"].wait()

        thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        thread.start()
        loop_ready.wait(10)
        self.addCleanup(lambda: (ends["loop"].call_soon_threadsafe(ends["end"].set), thread.join(10)))
        server = self.serve_tls(f"http://127.0.0.1:{ends['port']}")

        async def use():
            host, port = server.doors["edge.tls"]
            async with websockets.connect(f"wss://{host}:{port}/", ssl=self.trust, max_size=None) as socket:
                for size in (0, 1, 20000, 1000000):
                    await socket.send("x" * size)
                    self.assertEqual(await socket.recv(), "x" * size)

        asyncio.run(use())

    def test_a_client_that_leaves_frees_the_server(self):
        app = self.script(lambda connection: connection.read() and connection.at_end())
        server = self.serve_tls(app)
        client = self.secure(server).request()
        app.wait_requests(1)
        client.close()
        app.wait_closed(10)
        client = self.secure(server).request()
        app.wait_requests(2)
        client.reset()
        app.wait_closed(10)
        app.script = answering()
        self.assertEqual(self.secure(server).ask().status, 200)

    def test_an_answer_that_is_cut_is_seen_to_be(self):
        app = self.script(lambda connection: connection.read() and connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"))
        client = self.secure(self.serve_tls(app))
        with self.assertRaises(Exception):
            client.ask()

    def test_a_slow_reader_holds_the_server_back(self):
        sent = [0]

        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                connection.send(chunk(b"x" * 65536))
                sent[0] += 65536

        app = self.script(script)
        server = self.serve_tls(app)
        client = self.secure(server, receive_buffer=4096).request()
        self.assertEqual(client.head().status, 200)
        before = server.resident_bytes()
        last = -1
        while last != sent[0]:
            last = sent[0]
            time.sleep(0.5)
        self.assertLess(sent[0], 16 << 20)
        self.assert_grows_less(server, before, 2 << 20)
        client.reset()
        app.wait_closed(10)

    def test_handshakes_that_go_wrong(self):
        server = self.serve_tls(self.script(), 'header_timeout = "1s"')
        at = server.doors["edge.tls"]
        quiet = [socket.create_connection(at) for _ in range(20)]  # say nothing
        slow = socket.create_connection(at)
        slow.sendall(b"\x16\x03\x01\x02\x00\x01")  # stop in the middle
        for bad in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00" * 100, b"\x16\x03\x01\xff\xff" + b"a" * 70000, b"\x80\x80" * 50):
            with socket.create_connection(at) as each:
                each.settimeout(10)
                try:
                    each.sendall(bad)
                    while data := each.recv(1000):
                        self.assertFalse(data.startswith(b"HTTP/1.1 200"), data)
                except ConnectionError:
                    pass
        self.assertEqual(self.secure(server).ask().status, 200)
        for each in [*quiet, slow]:
            each.settimeout(10)
            try:
                while each.recv(1000):
                    pass
            except ConnectionError:
                pass
            each.close()
        old = ssl.create_default_context(cafile=self.cert)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with Raw(at, tls=old) as client:
            self.assertEqual(client.ask().status, 200)
        eventually(lambda: metric(server, "headroom_edge_connections_open") <= 2)

    def test_redirects_and_hsts(self):
        app = self.answers(lambda request: reply(200, b"ok"))
        server = self.serve_tls(app, tls='[[edge.routes]]\npath = "/"\nredirect_https = true\nhsts = "300s"\n')
        answer = self.client(server).ask(target="/x?y", host="shop.example:8080")
        self.assertEqual(answer.status, 308)
        self.assertRegex(answer.get("location"), r"^https://shop\.example(:\d+)?/x\?y$")
        self.assertEqual(self.secure(server).ask().get("strict-transport-security"), "max-age=300")

    def test_a_new_certificate_by_reload(self):
        server = self.serve_tls(self.answers(lambda request: b"ok"))
        kept = self.secure(server)
        self.assertEqual(kept.ask().status, 200)
        first = self.secure(server).sock.getpeercert()["serialNumber"]
        self.certificate("localhost", "DNS:localhost,IP:127.0.0.1")
        self.reload(server)
        self.trust = ssl.create_default_context(cafile=self.cert)
        again = self.secure(server)
        self.assertNotEqual(again.sock.getpeercert()["serialNumber"], first)
        self.assertEqual(again.ask().status, 200)
        self.assertEqual(kept.ask().status, 200)

    def test_the_first_certificate_opens_the_door_and_the_last_one_closes_it(self):
        plain = f'[edge]\napp = ["{self.answers(lambda request: b"ok").url}"]\n'
        with_tls = plain + f'[edge.tls]\nlisten = "127.0.0.1:0"\ncert = "{self.cert}"\nkey = "{self.key}"\n'
        server = self.serve(config=plain)
        self.assertNotIn("edge.tls", server.doors)
        self.reload(server, with_tls)
        first = server.doors["edge.tls"]
        kept = self.secure(server)
        self.assertEqual(kept.ask().status, 200)
        self.reload(server, plain)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(first)
        self.assertEqual(kept.ask().status, 200)
        self.assertEqual(self.client(server).ask().status, 200)
        for _ in range(3):
            self.reload(server, with_tls)
            self.assertEqual(self.secure(server).ask().status, 200)
            self.reload(server, plain)

    def test_the_door_moves(self):
        server = self.serve_tls(self.answers(lambda request: b"ok"))
        first = server.doors["edge.tls"]
        text = (self.directory / "headroom.toml").read_text()
        self.reload(server, text.replace("127.0.0.1:0", "127.0.0.2:0"))
        self.assertEqual(server.doors["edge.tls"][0], "127.0.0.2")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(first)
        with socket.create_connection(server.doors["edge.tls"]) as sock, self.trust.wrap_socket(sock, server_hostname="localhost"):
            pass

    def test_a_door_that_cannot_open_changes_nothing(self):
        plain = f'[edge]\napp = ["{self.answers(lambda request: b"ok").url}"]\n'
        server = self.serve(config=plain)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
            self.reload(server, f'{plain}header_timeout = "3s"\n[edge.tls]\nlisten = "{listen}"\ncert = "{self.cert}"\nkey = "{self.key}"\n')
            server.wait_for_line("reload: nothing changed: edge.tls: listen on " + listen)
        self.assertEqual(self.client(server).ask().status, 200)


if __name__ == "__main__":
    unittest.main()
