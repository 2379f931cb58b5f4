"""The ways to reach a server: Unix sockets, https:// with its certificate checked, names looked up again, and what Host it sees."""

import socket
import ssl
import subprocess
import unittest

from harness.edge import EdgeScenario, ask, eventually, servers


def group(*upstreams, tls="", **options):
    lines = ["[[edge.upstreams]]", 'name = "app"', f"servers = {servers(*upstreams)}"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
    return "\n".join(lines) + "\n" + (f"[edge.upstreams.tls]\n{tls}\n" if tls else "")


class Kinds(EdgeScenario):
    def certificate(self, name, *alternatives):
        """A self-signed one for these names; paths of certificate and key."""
        cert, key = str(self.directory / f"{name}.pem"), str(self.directory / f"{name}.key")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", f"/CN={name}", "-addext", "subjectAltName=" + ",".join(alternatives), "-keyout", key, "-out", cert],
                       check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return cert, context

    def test_unix_sockets(self):
        app = self.answers(lambda request: request.get("host").encode() + b" " + request.body, unix=str(self.directory / "app.sock"))
        server = self.serve(app)
        client = self.client(server)
        self.assertEqual(client.ask(host="a.example").body, b"a.example ")
        self.assertEqual(client.ask("POST", body=b"x" * 200000, host="a").body, b"a " + b"x" * 200000)
        app.stop()
        self.assertIn(ask(server.edge).status, (502, 503))
        app.start()
        self.assert_serves(server)

    def test_https(self):
        cert, context = self.certificate("app", "IP:127.0.0.1")
        app = self.answers(lambda request: request.body or b"secure", tls=context)
        server = self.serve(config=group(app, tls=f'ca = "{cert}"'), set={"server.workers": 1})
        client = self.client(server)
        for _ in range(5):
            self.assertEqual(client.ask().body, b"secure")
        self.assertEqual(client.ask("POST", body=b"x" * 300000).body, b"x" * 300000)
        self.assertEqual(len(app.connections), 1)
        self.assertEqual(app.requests[0].get("x-forwarded-proto"), "http")  # how the client came

    def test_https_with_a_wrong_certificate_is_a_502_or_503(self):
        _, context = self.certificate("app", "DNS:other.example")
        trusted, _ = self.certificate("trusted", "IP:127.0.0.1")
        app = self.answers(lambda request: b"secure", tls=context)
        for number, tls in enumerate((f'ca = "{trusted}"', f'ca = "{self.directory}/app.pem"')):
            server = self.serve(config=group(app, tls=tls), state_dir=self.directory / str(number))
            self.assertIn(ask(server.edge).status, (502, 503))
        self.assertEqual(app.requests, [])
        named = self.serve(config=group(app, tls=f'ca = "{self.directory}/app.pem"\nserver_name = "other.example"'), state_dir=self.directory / "named")
        self.assertEqual(ask(named.edge).body, b"secure")
        blind = self.serve(config=group(app, tls="verify = false"), state_dir=self.directory / "blind")
        self.assertEqual(ask(blind.edge).body, b"secure")

    def test_an_https_server_that_cuts_its_answer(self):
        """The end of a TLS stream is its close_notify: without one an answer that ends with the connection may have been cut."""
        cert, context = self.certificate("app", "IP:127.0.0.1")

        def script(connection):
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            raw = socket.socket(fileno=connection.sock.detach())  # the bare TCP connection ends
            raw.close()

        app = self.script(script, tls=context)
        server = self.serve(config=group(app, tls=f'ca = "{cert}"'))
        with self.assertRaises(Exception):
            ask(server.edge)

    def test_plain_http_to_a_tls_server_and_the_other_way_round(self):
        _, context = self.certificate("app", "IP:127.0.0.1")
        secure = self.answers(lambda request: b"secure", tls=context)
        plain = self.answers(lambda request: b"plain")
        server = self.serve(config=group(f"http://127.0.0.1:{secure.port}"))
        self.assertEqual(ask(server.edge).status, 502)
        other = self.serve(config=group(f"https://127.0.0.1:{plain.port}", tls="verify = false", connect_timeout="1s"), state_dir=self.directory / "other")
        self.assertIn(ask(other.edge).status, (502, 503, 504))
        self.assertEqual(plain.requests, [])

    def test_names(self):
        app = self.answers(lambda request: b"by name")
        server = self.serve(config=group(f"http://localhost:{app.port}"))
        self.assertEqual(ask(server.edge).body, b"by name")
        other = self.answers(lambda request: b"another")
        self.reload(server, group(f"http://localhost:{other.port}"))
        self.assertEqual(ask(server.edge).body, b"another")  # known at once, or the reload would lose requests

    def test_a_name_that_nobody_knows(self):
        app = self.answers(lambda request: b"known")
        server = self.serve(config=group("http://nobody.invalid:80", app))
        for _ in range(10):
            self.assertEqual(ask(server.edge).body, b"known")
        states = [each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]]
        self.assertEqual(states, ["unresolved", "up"])
        self.reload(server, group("http://nobody.invalid:80"))
        answer = ask(server.edge)
        self.assertEqual((answer.status, answer.has("retry-after")), (503, True))

    def test_ipv6(self):
        self.assertTrue(socket.has_ipv6)
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
        self.addCleanup(listening.close)
        port = listening.getsockname()[1]
        server = self.serve(config=group(f"http://[::1]:{port}", host="upstream"))
        client = self.client(server).request()
        sock, _ = listening.accept()
        self.addCleanup(sock.close)
        self.assertIn(f"\r\nHost: [::1]:{port}\r\n".encode(), sock.recv(65536))
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6")
        self.assertEqual(client.answer().body, b"v6")

    def test_which_host_the_server_sees(self):
        app = self.answers(lambda request: request.get("host").encode())
        server = self.serve(config=group(app))
        for host, seen in (("preserve", b"shop.example"), ("upstream", f"127.0.0.1:{app.port}".encode()), ("fixed.example", b"fixed.example")):
            self.reload(server, group(app, host=host))
            self.assertEqual(ask(server.edge, host="shop.example").body, seen)

    def test_idle_connections_are_given_back(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(config=group(app, keep_alive_timeout="1s"))
        for _ in range(3):
            self.assert_serves(server)
        self.assertGreater(app.open(), 0)
        eventually(lambda: app.open() == 0, 15, what="no connection rests for longer than keep_alive_timeout")
        self.assert_serves(server)

    def test_keep_alive_can_be_off(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(config=group(app, keep_alive=0))
        client = self.client(server)
        for _ in range(5):
            client.ask()
        self.assertEqual(len(app.connections), 5)


if __name__ == "__main__":
    unittest.main()
