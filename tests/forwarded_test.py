"""What the app is told about its client: rewritten for everyone, believed only from trusted proxies; the PROXY protocol in and out."""

import socket
import struct
import unittest

from harness.edge import EdgeScenario, Upstream, ask, eventually, servers

SPOOFED = ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7, 8.8.8.8", "X-Real-IP: 6.6.6.6", "X-Forwarded-Proto: https",
           "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 443", "Forwarded: for=6.6.6.6;proto=https;host=evil.example",
           "X-Request-Id: chosen-by-the-client", "Via: 1.1 somebody"]

V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def v2(source, destination, source_port, port, command=1, more=b""):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", source_port, port) + more
    return V2 + bytes([0x20 | command, 0x11]) + struct.pack("!H", len(addresses)) + addresses


class Client(EdgeScenario):
    def told(self, app):
        request = app.requests[-1]
        return {name: request.all(name) for name in ("X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
                                                     "Forwarded", "Via")}

    def test_a_stranger_is_not_believed(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app)
        answer = ask(server.edge, fields=SPOOFED, host="app.example:8080")
        self.assertEqual(self.told(app), {
            "X-Forwarded-For": ["127.0.0.1"], "X-Real-IP": ["127.0.0.1"], "X-Forwarded-Proto": ["http"], "X-Forwarded-Host": ["app.example:8080"],
            "X-Forwarded-Port": ["8080"], "Forwarded": ['for=127.0.0.1;host="app.example:8080";proto=http'], "Via": ["1.1 somebody, 1.1 headroom"]})
        ids = app.requests[0].all("x-request-id")
        self.assertEqual(len(ids), 1)
        self.assertNotEqual(ids[0], "chosen-by-the-client")
        self.assertEqual(answer.all("x-request-id"), ids)
        self.assertEqual(answer.all("via"), ["1.1 headroom"])
        self.assertEqual(app.requests[0].all("host"), ["app.example:8080"])

    def test_a_trusted_proxy_is(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[edge]\ntrusted_proxies = ["127.0.0.0/8", "10.0.0.0/8"]')
        ask(server.edge, fields=["X-Forwarded-For: 1.2.3.4, 5.6.7.8", "X-Forwarded-For: 10.1.1.1", "X-Forwarded-Proto: https",
                                 "X-Forwarded-Host: shop.example", "Forwarded: for=5.6.7.8", "X-Request-Id: from-the-proxy"])
        told = self.told(app)
        # 10.1.1.1 is a trusted hop, 5.6.7.8 the first that is not; what it claimed (1.2.3.4) is passed on, not believed
        self.assertEqual(told["X-Real-IP"], ["5.6.7.8"])
        self.assertEqual(told["X-Forwarded-For"], ["1.2.3.4, 5.6.7.8, 10.1.1.1, 127.0.0.1"])
        self.assertEqual((told["X-Forwarded-Proto"], told["X-Forwarded-Host"]), (["https"], ["shop.example"]))
        self.assertEqual(told["Forwarded"], ['for=5.6.7.8, for=127.0.0.1;host=test.example;proto=http'])
        self.assertEqual(app.requests[0].all("x-request-id"), ["from-the-proxy"])

    def test_names_that_an_application_could_take_for_ours_are_dropped(self):
        """WSGI and CGI read X_Real_IP and X-Real-IP as one variable."""
        app = self.answers(lambda request: b"ok")
        server = self.serve(config=f'''[[edge.upstreams]]
name = "app"
servers = {servers(app)}
[[edge.routes]]
path = "/"
[[edge.routes]]
path = "/set"
set_request_headers = {{ X-User-Name = "{{client_ip}}", X-Api-Key = "ours" }}
''')
        spoofed = ["X_Forwarded_For: 6.6.6.6", "X-Forwarded_Proto: https", "x_real_ip: 6.6.6.6", "X_Request_Id: theirs", "Transfer_Encoding: chunked",
                   "Content_Length: 7", "X_User-Name: root", "X_Api_Key: theirs", "Its_Own: kept"]
        for path, kept in (("/", {"x_user-name", "x_api_key", "its_own"}), ("/set", {"its_own"})):
            self.assertEqual(ask(server.edge, target=path, fields=spoofed).status, 200)
            self.assertEqual({name.lower() for name, _ in app.requests[-1].fields if "_" in name}, kept)
        self.assertEqual(app.requests[-1].all("x-user-name"), ["127.0.0.1"])

    def test_the_port(self):
        app = self.answers(lambda request: b"ok")
        stranger = self.serve(app)
        believing = self.serve(app, config='[edge]\ntrusted_proxies = ["127.0.0.1"]', state_dir=self.directory / "believing")
        proto, host, port = "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example:4443", "X-Forwarded-Port: 8443"
        for server, asked, fields, told in [
            (stranger, "a", [], "80"), (stranger, "a:81", [], "81"), (stranger, "[::1]", [], "80"), (stranger, "[::1]:82", [], "82"),
            (stranger, "a:83", [proto, host, port], "83"),
            (believing, "a:84", [], "84"), (believing, "a", [proto], "443"), (believing, "a", [proto, host], "4443"),
            (believing, "a", [proto, host, port], "8443"), (believing, "a", [port], "8443"),
            (believing, "a", ["X-Forwarded-Port: 0"], "80"), (believing, "a", ["X-Forwarded-Port: 65536"], "80"),
            (believing, "a", ["X-Forwarded-Port: 443, 80"], "80"), (believing, "a", ["X-Forwarded-Port: x"], "80"),
        ]:
            with self.subTest(asked=asked, fields=fields):
                self.assertEqual(ask(server.edge, fields=fields, host=asked).status, 200)
                self.assertEqual(app.requests[-1].all("x-forwarded-port"), [told])

    def test_a_trusted_proxy_that_says_nonsense(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[edge]\ntrusted_proxies = ["127.0.0.1"]')
        for value in ("", "unknown", "1.2.3.4:99999, x", ", , ,", "1.2.3.4, <script>", "a" * 5000, "1.2.3.4," * 500):
            answer = ask(server.edge, fields=[f"X-Forwarded-For: {value}", f"Forwarded: for={value}", 'Forwarded: for="[::1', "X-Request-Id: \xff bad id"])
            self.assertEqual(answer.status, 200)
        self.assertEqual(len(app.requests), 7)
        self.assertEqual({request.get("x-real-ip") for request in app.requests} - {"127.0.0.1", "1.2.3.4"}, set())

    def test_ipv6_clients(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, set={"edge.listen": "[::1]:0"})
        client = socket.create_connection(server.edge)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        while client.recv(65536):
            pass
        client.close()
        told = self.told(app)
        self.assertEqual((told["X-Forwarded-For"], told["X-Real-IP"]), (["::1"], ["::1"]))
        self.assertEqual(told["Forwarded"], ['for="[::1]";host=a;proto=http'])


class ProxyProtocolIn(EdgeScenario):
    CONFIG = '[edge]\nproxy_protocol = true\ntrusted_proxies = ["127.0.0.1"]'

    def setUp(self):
        super().setUp()
        self.app = self.answers(lambda request: b"ok")

    def test_v1_and_v2(self):
        server = self.serve(self.app, config=self.CONFIG)
        headers = {
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\r\n": "1.2.3.4",
            b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n": "2001:db8::1",
            b"PROXY UNKNOWN\r\n": "127.0.0.1",
            v2("1.2.3.5", "5.6.7.8", 1111, 80): "1.2.3.5",
            v2("1.2.3.6", "5.6.7.8", 1111, 80, more=b"\x04\x00\x03abc"): "1.2.3.6",
            v2("1.2.3.7", "5.6.7.8", 1111, 80, command=0): "127.0.0.1",  # LOCAL: the proxy's own health check
        }
        for header, client_ip in headers.items():
            with self.subTest(header):
                client = self.client(server)
                for at in range(len(header)):  # cut anywhere
                    client.send(header[at:at + 1])
                self.assertEqual(client.ask().status, 200)
                self.assertEqual(client.ask(fields=["X-Forwarded-For: 6.6.6.6", "X-Real-IP: 6.6.6.6"]).status, 200)
                request = self.app.requests[-1]
                self.assertEqual(request.get("x-real-ip"), client_ip)
                if client_ip != "127.0.0.1":
                    self.assertEqual(request.all("x-forwarded-for"), [client_ip])
                client.close()

    def test_what_is_no_header_is_not_served(self):
        server = self.serve(self.app, config=self.CONFIG)
        for bad in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 80\n",
                    b"PROXY TCP4 1.2.3.4.5 5.6.7.8 1111 80\r\n", b"PROXY " + b"a" * 200, V2 + b"\x31\x11\x00\x0c" + bytes(12),
                    V2 + b"\x21\x11\x00\x02ab", V2[:-1] + b"x" + bytes(20), b"\x00" * 100):
            with self.subTest(bad):
                client = self.client(server)
                try:
                    client.send(bad + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                except ConnectionError:
                    pass
                client.at_end()
                self.assertEqual(bytes(client.reader.received), b"")
                client.close()
        self.assertEqual(self.app.requests, [])
        self.assertEqual(self.client(server).send(b"PROXY UNKNOWN\r\n").ask().status, 200)

    def test_a_stranger_cannot_choose_its_address(self):
        server = self.serve(self.app, config='[edge]\nproxy_protocol = true\ntrusted_proxies = ["10.9.9.9"]')
        client = self.client(server).send(b"PROXY TCP4 10.9.9.9 5.6.7.8 1111 80\r\n")
        self.assertEqual(client.ask(fields=["X-Forwarded-For: 6.6.6.6"]).status, 200)
        self.assertEqual(self.app.requests[0].all("x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(self.app.requests[0].get("x-real-ip"), "127.0.0.1")


class ProxyProtocolOut(EdgeScenario):
    def test_v1_and_v2_to_the_upstream(self):
        """Each connection begins with who the client is, and carries that client's requests only."""
        headers = []

        def script(connection):
            while len(connection.reader.buffer) < 16:
                connection.reader.fill()
            if connection.reader.buffer.startswith(V2):
                connection.reader.exactly(14)
                headers.append(connection.reader.exactly(struct.unpack("!H", connection.reader.exactly(2))[0]))
            else:
                headers.append(connection.reader.line())
            while request := connection.read():
                connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        app: Upstream = self.script(script)
        for version in ("v1", "v2"):
            headers.clear()
            server = self.serve(config=f'[[edge.upstreams]]\nname = "app"\nservers = {servers(app)}\nproxy_protocol = "{version}"\n',
                                state_dir=self.directory / version)
            client = self.client(server)
            for _ in range(2):
                self.assertEqual(client.ask().status, 200)
            port = client.sock.getsockname()[1]
            eventually(lambda: len(headers) == 2, what="a connection for each request")
            if version == "v1":
                self.assertEqual(headers, [f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {server.edge[1]}"] * 2)
            else:
                wanted = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", port, server.edge[1])
                self.assertEqual([header[:12] for header in headers], [wanted] * 2)


if __name__ == "__main__":
    unittest.main()
