"""The Faktory door: TLS, and that a take-over hands the job store over with what workers hold."""

import socket
import ssl
import subprocess
import unittest

from harness.edge import EdgeScenario
from harness.faktory import Faktory, trusting


class Tls(EdgeScenario):
    def test_clients_speak_tls_where_there_is_a_certificate(self):
        cert, key = (str(self.directory / name) for name in ("cert.pem", "key.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
        server = self.serve(config=f'[edge]\nenabled = false\n[tasks]\npassword = "p"\n[tasks.tls]\ncert = "{cert}"\nkey = "{key}"\n')
        client = Faktory(server.doors["tasks"], tls=trusting(cert), password="p")
        self.addCleanup(client.close)
        jid = client.push(args=["x" * 100000])
        self.assertEqual((client.fetch()["jid"], client.ack(jid)), (jid, "OK"))
        with socket.create_connection(server.doors["tasks"], timeout=10) as plain:
            plain.sendall(b'HELLO {"v":2}\r\n')
            try:
                self.assertNotIn(b"+", plain.recv(100))
            except ConnectionResetError:
                pass
        with self.assertRaises((ssl.SSLError, OSError)):
            Faktory(server.doors["tasks"], tls=ssl.create_default_context())
        again = Faktory(server.doors["tasks"], tls=trusting(cert), password="p")  # and it goes on
        self.addCleanup(again.close)
        again.push()


class TakeOver(EdgeScenario):
    SETTINGS = '[edge]\nenabled = false\n[tasks]\nfetch_wait = "50ms"\n'

    def setUp(self):
        super().setUp()
        self.ended = []

    def _end(self, server):
        if server in self.ended:
            server.process.stderr.close()
        else:
            super()._end(server)

    def client(self, server, wid):
        made = Faktory(server.doors["tasks"], wid=wid)
        self.addCleanup(made.close)
        return made

    def test_the_new_server_has_the_jobs_and_workers_keep_theirs(self):
        old = self.serve(config=self.SETTINGS)
        worker = self.client(old, "worker-1")
        held, waiting = worker.push(), worker.push()
        self.assertEqual(worker.fetch()["jid"], held)
        same = {f"{section}.listen": "%s:%d" % old.doors[section] for section in ("tasks", "admin")}
        new = self.serve(config=self.SETTINGS, arguments=["--take-over"], set=same, wait=False).wait_ready()
        self.assertEqual(new.doors["tasks"], old.doors["tasks"])
        self.assertEqual(old.wait(20), 0)
        self.ended.append(old)
        with self.assertRaises((ConnectionError, OSError)):
            worker.push()
        self.assertEqual(self.client(new, "worker-2").fetch()["jid"], waiting)
        again = self.client(new, "worker-1")
        self.assertIsNone(again.fetch())
        self.assertEqual(again.ack(held), "OK")
        self.assertEqual(again.info()["faktory"]["total_processed"], 1)


if __name__ == "__main__":
    unittest.main()
