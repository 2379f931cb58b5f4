"""Where Headroom listens when no address is given: everywhere, and an IPv4 client is an IPv4 client."""

import json
import re
import socket
import unittest

from harness import run
from harness.edge import EdgeScenario, Raw, ask

HAS_V6 = socket.has_dualstack_ipv6()


class Doors(EdgeScenario):
    def everywhere(self, *app, config="", **settings):
        server = self.serve(*app, config=config, set={"edge.listen": ":0", **settings})
        return server, server.edge[1]

    def v6(self, port):
        sock = socket.create_connection(("::1", port))
        sock.settimeout(15)
        self.addCleanup(sock.close)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))

    def test_both_versions_are_served(self):
        app = self.answers(lambda request: b"ok")
        server, port = self.everywhere(app, **{"admin.listen": ":0"})
        server.wait_for_line(rf"^headroom: edge listening on {re.escape('[::]' if HAS_V6 else '0.0.0.0')}:{port}$")
        self.assertEqual(ask(("127.0.0.1", port)).status, 200)
        self.assertEqual(app.requests[-1].all("x-forwarded-for"), ["127.0.0.1"])
        self.assertEqual(app.requests[-1].get("x-real-ip"), "127.0.0.1")
        self.assertTrue(app.requests[-1].get("forwarded").startswith("for=127.0.0.1;"))
        self.assertEqual(ask(server.admin, target="/livez", host="127.0.0.1").status, 200)
        if HAS_V6:
            self.assertIn(b" 200 ", self.v6(port)[:15])
            self.assertEqual(app.requests[-1].all("x-forwarded-for"), ["::1"])

    def test_an_ipv4_client_is_believed_and_limited_as_such(self):
        app = self.answers(lambda request: b"ok")
        server, port = self.everywhere(app, config='[edge]\ntrusted_proxies = ["127.0.0.1"]\nmax_connections_per_address = 2\n'
                                                   '[limit]\nenabled = true\n[[limit.rules]]\nname = "few"\nrate = "2/min"\n')
        at = ("127.0.0.1", port)
        self.assertEqual(ask(at, fields=["X-Forwarded-For: 9.8.7.6"]).status, 200)
        self.assertEqual(app.requests[-1].get("x-real-ip"), "9.8.7.6")
        other = [Raw(at, source="127.0.0.2") for _ in range(2)]
        for each in other:
            self.addCleanup(each.close)
            self.assertEqual(each.ask().status, 200)
        third = Raw(at, source="127.0.0.2")
        self.addCleanup(third.close)
        self.assertTrue(third.at_end())
        self.assertEqual(other[0].ask().status, 429)  # its own two requests, not those of 127.0.0.1
        self.assertEqual(ask(at).status, 200)

    def test_the_proxy_header_tells_ipv4(self):
        lines = []

        def script(connection):
            lines.append(connection.reader.line())
            connection.read()
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        app = self.script(script)
        server, port = self.everywhere(config=f'[[edge.upstreams]]\nname = "app"\nservers = {json.dumps([app.url])}\nproxy_protocol = "v1"\n')
        self.assertEqual(ask(("127.0.0.1", port)).status, 200)
        self.assertRegex(lines[0], rf"^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ {port}$")

    def test_a_port_that_another_program_has_on_ipv4_is_taken(self):
        with socket.create_server(("0.0.0.0", 0)) as taken:
            done = run("serve", "--app", "http://127.0.0.1:1", "--set", f"edge.listen=:{taken.getsockname()[1]}",
                       "--set", "admin.listen=127.0.0.1:0", "--set", f"server.state_dir={self.state_dir}")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "edge: listen on .*: Address already in use")


if __name__ == "__main__":
    unittest.main()
