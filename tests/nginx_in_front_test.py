"""nginx kept in front, by the file that ships: nginx takes it, requests and sockets go through it, the client's address arrives."""

import os
import shutil
import socket
import subprocess
import unittest

from harness import Connection, Scenario, eventually, get, request
from harness.process import ROOT

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as door:
        return door.getsockname()[1]


class NginxInFront(Scenario):
    def nginx(self, edge):
        """nginx with the shipped file, but for its addresses."""
        text = (ROOT / "deploy/nginx/headroom.conf").read_text()
        port = free_port()
        for name, (shipped, here) in {"door": ("listen 80;", f"listen 127.0.0.1:{port};"), "server": ("server 127.0.0.1:8080", f"server 127.0.0.1:{edge[1]}")}.items():
            self.assertIn(shipped, text, name)
            text = text.replace(shipped, here)
        place = self.directory / "nginx"
        place.mkdir()
        (place / "headroom.conf").write_text(text)
        temporary = "\n".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        main = f"daemon off;\npid {place}/pid;\nerror_log {place}/error.log;\nworker_processes 1;\nevents {{}}\nhttp {{ access_log off; {temporary} include {place}/headroom.conf; }}\n"
        if os.geteuid() == 0:
            main = "user root;\n" + main
        (place / "nginx.conf").write_text(main)
        command = [NGINX, "-c", str(place / "nginx.conf"), "-p", str(place)]
        checked = subprocess.run([*command, "-t", "-q"], capture_output=True, text=True, timeout=20)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)
        door = ("127.0.0.1", port)
        eventually(lambda: socket.create_connection(door, timeout=1).close() or True)
        return door

    def test_requests_go_through_it_and_the_client_is_known(self):
        app = self.upstream()
        server = self.headroom([app], set={"edge.trusted_proxies": "127.0.0.1"})
        door = self.nginx(server.edge)
        answer = get(door, "/hello", {"Host": "shop.example", "X-Forwarded-For": "203.0.113.9"})
        self.assertEqual(answer.status, 200)
        fields = {name.lower(): value for name, value in app.requests[-1][2].items()}
        self.assertEqual(fields["host"], "shop.example")
        # What a client says of itself is overwritten by nginx; Headroom hands on what nginx saw.
        self.assertNotIn("203.0.113.9", fields["x-forwarded-for"])
        self.assertTrue(fields["x-forwarded-for"].startswith("127.0.0.1"), fields)
        body = b"x" * 3_000_000
        self.assertEqual(request(door, "POST", "/upload", {}, body).status, 200)

    def test_connections_to_headroom_are_kept(self):
        server = self.headroom([self.upstream()])
        door = self.nginx(server.edge)
        for _ in range(20):
            self.assertEqual(get(door, "/").status, 200)
        text = get(server.admin, "/metrics").text()
        (accepted,) = [line.split()[1] for line in text.splitlines() if line.startswith("headroom_edge_connections_total ")]
        self.assertEqual(float(accepted), 1)

    def test_an_upgrade_goes_through_it(self):
        server = self.headroom([], set={"realtime.enabled": "true"}, config=self.settings(
            '[[realtime.apps]]\nid = "1"\nkey = "shop"\nsecret = "a secret of the shop"\n[edge]\napp = ["http://127.0.0.1:1"]\n'))
        door = self.nginx(server.edge)
        with Connection(door) as connection:
            connection.send(b"GET /app/shop?protocol=7 HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            said = b""
            while b"pusher:connection_established" not in said:
                said += connection.socket.recv(4096)
            self.assertTrue(said.startswith(b"HTTP/1.1 101"), said)

    def test_headroom_restarted_behind_it_and_it_recovers(self):
        app = self.upstream()
        server = self.headroom([app])
        door = self.nginx(server.edge)
        self.assertEqual(get(door, "/").status, 200)
        server.kill()
        self.assertEqual(get(door, "/").status, 502)
        self.headroom([app], set={"edge.listen": "127.0.0.1:%d" % server.edge[1]})
        eventually(lambda: get(door, "/").status == 200)


if __name__ == "__main__":
    unittest.main()
