"""The faults that other poolers have had (each named by its CVE), tried on ours; and bytes at random by the hundred thousand."""

import os
import random
import socket
import ssl
import struct
import subprocess
import threading
import unittest

from harness import eventually
from harness.postgres import SYNC, SqlScenario, Wire, bind, error_of, execute, kinds, parse

SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)


def startup(*pairs, protocol=196608):
    body = struct.pack("!I", protocol) + b"".join(text.encode() + b"\0" for pair in pairs for text in pair) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


class Impostor(threading.Thread):
    """A server that says what it is told to: to each connection, behind its start-up packet."""

    def __init__(self, answers):
        super().__init__(daemon=True)
        self.answers = answers
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.heard = []
        self.start()

    def run(self):
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            try:
                for answer in self.answers:
                    self.heard.append(client.recv(4096))
                    client.sendall(answer(self.heard[-1]) if callable(answer) else answer)
                client.settimeout(5)
                while client.recv(4096):
                    pass
            except OSError:
                pass
            client.close()

    def stop(self):
        self.listening.close()


def message(kind, body):
    return kind + struct.pack("!I", len(body) + 4) + body


class Attacks(SqlScenario):
    def recovers(self, server):
        self.assertEqual(self.wire(server).values("SELECT 42"), ["42"])

    def raw(self, server):
        sock = socket.create_connection(server.doors["sql"], timeout=10)
        self.addCleanup(sock.close)
        return sock

    def all_of(self, sock):
        data = b""
        try:
            while piece := sock.recv(4096):
                data += piece
        except ConnectionError:
            pass
        return data

    def certificate(self):
        key, cert = self.directory / "key", self.directory / "pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
        return cert, key

    def test_what_lies_in_clear_behind_a_request_for_encryption_is_nobodys(self):
        """CVE-2021-23214, CVE-2021-3935, CVE-2021-43766."""
        cert, key = self.certificate()
        server = self.proxy(**{"tls.cert": cert, "tls.key": key})
        hello = startup(("user", "booking"), ("database", "booking"))
        for request in (SSL_REQUEST, GSS_REQUEST):
            for behind in (hello, b"x", request):
                sock = self.raw(server)
                sock.sendall(request + behind)
                said = self.all_of(sock)
                self.assertNotIn(said[:1], (b"S", b"N", b"R"))
                self.assertIn(b"08P01", said)
        # And TLS itself begins where the answer was read, as it should.
        sock = self.raw(server)
        sock.sendall(SSL_REQUEST)
        self.assertEqual(sock.recv(10), b"S")
        with ssl.create_default_context(cafile=cert).wrap_socket(sock, server_hostname="localhost") as secure:
            secure.sendall(hello)
            self.assertEqual(secure.recv(1), b"R")
        self.recovers(server)

    def test_a_server_that_adds_bytes_in_clear_to_its_consent_is_not_believed(self):
        """CVE-2021-23222, CVE-2021-43767."""
        impostor = Impostor([b"S" + message(b"R", struct.pack("!I", 0)) + message(b"Z", b"I")])
        self.addCleanup(impostor.stop)
        url = f"postgresql://booking:{self.cluster.password}@127.0.0.1:{impostor.port}/booking?sslmode=require"
        server = self.headroom(arguments=["--postgres", url, "--set", "sql.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0", "--set", "sql.connect_timeout=500ms"])
        with self.assertRaisesRegex(PermissionError, "08001"):
            self.wire(server)
        self.assertEqual(impostor.heard[0], SSL_REQUEST)

    def test_a_server_is_held_to_the_protocol_while_it_is_logged_in_to(self):
        """CVE-2026-6669 (iterations without end), CVE-2026-6665 (a nonce without end), CVE-2026-6666 (an error without SQLSTATE), CVE-2026-107348 (sizes)."""
        sasl = message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")

        def nonce(heard):
            return heard[heard.index(b"r=") + 2:]

        cases = {
            "iterations": [sasl, lambda heard: message(b"R", struct.pack("!I", 11) + b"r=" + nonce(heard) + b"x,s=QUFBQQ==,i=2000000000")],
            "nonce": [sasl, lambda heard: message(b"R", struct.pack("!I", 11) + b"r=" + nonce(heard) + b"x" * 60_000 + b",s=QUFBQQ==,i=4096")],
            "error without a code": [message(b"E", b"SFATAL\0Mno code\0\0")],
            "error without an end": [message(b"E", b"C")],
            "empty error": [message(b"E", b"")],
            "length 3": [b"R\0\0\0\3"],
            "length -1": [b"R\xff\xff\xff\xff"],
            "length 2 GiB": [b"R\x7f\xff\xff\xff"],
            "welcome at once": [message(b"R", struct.pack("!I", 12) + b"v=x")],
        }
        for name, answers in cases.items():
            with self.subTest(name):
                impostor = Impostor(answers)
                server = self.headroom(arguments=["--postgres", f"postgresql://booking:pw@127.0.0.1:{impostor.port}/booking", "--set", "sql.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0",
                                                  "--set", "sql.connect_timeout=500ms"], state_dir=self.directory / name.replace(" ", "-"))
                before = server.resident_bytes()
                with self.assertRaisesRegex(PermissionError, "[0-9A-Z]{5} "):
                    self.wire(server, password="pw")
                self.assertLess(server.resident_bytes() - before, 32 << 20)
                impostor.stop()
                server.stop()

    def test_a_start_up_packet_is_read_once_and_options_have_an_end(self):
        """CVE-2026-107350 (a second start-up packet in the midst of SCRAM), CVE-2026-107349 (an option without a name), CVE-2026-19888 (no nonce)."""
        server = self.proxy(login_timeout="2s")
        for options in ("-c", "-c ", "--", "--=", "-c =", "-c =x", "--=x", "-", " - -c", "-c a", "\\", "-c x\\", "-c" * 2000):
            with self.subTest(options), self.assertRaises((PermissionError, AssertionError)):
                self.wire(server, parameters=[("options", options)]).values("SELECT 1")
                raise AssertionError("taken as if it said nothing")
        for name in ("", "=", " "):
            sock = self.raw(server)
            sock.sendall(startup(("user", "booking"), ("database", "booking"), (name, "x")))
            sock.shutdown(socket.SHUT_WR)
            self.all_of(sock)
        for first in (b"", b"n,,", b"n,,n=,r=", b"n,,n=booking", b"n", b"y,,r=a"):
            sock = self.raw(server)
            sock.sendall(startup(("user", "booking"), ("database", "booking")))
            sock.recv(4096)
            sock.sendall(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            self.assertIn(b"08P01", self.all_of(sock), first)
        sock = self.raw(server)
        hello = startup(("user", "booking"), ("database", "booking"))
        sock.sendall(hello)
        sock.recv(4096)
        sock.sendall(startup(("user", "postgres"), ("database", "headroom")))
        self.assertIn(b"08P01", self.all_of(sock))
        self.recovers(server)

    def test_lengths_that_wrap_around_make_no_second_message(self):
        """CVE-2024-27304, CVE-2026-6664, CVE-2026-6668."""
        server = self.proxy(login_timeout="2s")
        for length in (0, 3, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFB):
            sock = self.raw(server)
            sock.sendall(struct.pack("!I", length) + b"x" * 20)
            self.assertNotIn(b"R", self.all_of(sock)[:1])
            if length == 0x7FFFFFFF:
                continue  # as long as that a message may be, and the rest of it is waited for
            wire = self.wire(server)
            wire.sock.sendall(b"Q" + struct.pack("!I", length) + b"SELECT 1\0")
            self.assertIn(b"08P01", self.all_of(wire.sock), length)
        # A Bind whose statement's name grows on its way to the server keeps its length.
        wire = self.wire(server)
        wire.send_all(parse("s", "SELECT length($1::text)"), SYNC)
        wire.until_ready()
        for size in (0, 1, 65535, 65536, 1 << 20):
            wire.send_all(bind("s", values=["x" * size]), execute(), SYNC)
            answer = wire.until_ready()
            self.assertEqual((kinds(answer), answer[1][1][6:]), ("2DCZ", str(size).encode()))
        # A count of parameters that the message does not hold is the server's to refuse.
        wire.sock.sendall(message(b"B", b"\0s\0" + struct.pack("!HH", 0, 65535)) + message(*SYNC))
        self.assertEqual(kinds(wire.until_ready()), "EZ")
        self.recovers(server)

    def test_a_client_cannot_turn_the_question_for_its_password(self):
        """CVE-2025-12819 (search_path of the client), CVE-2025-2291 (VALID UNTIL), CVE-2025-46801."""
        self.cluster.superuser("""
            CREATE ROLE mallory LOGIN PASSWORD 'of mallory'; CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT ALL ON DATABASE booking TO mallory;
            CREATE TABLE evil.happened (n int); GRANT ALL ON evil.happened TO PUBLIC;
            CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN INSERT INTO evil.happened VALUES (1); RETURN pg_catalog.lower($1); END';
            CREATE TABLE evil.pg_shadow (usename name, passwd text, valuntil timestamptz); INSERT INTO evil.pg_shadow VALUES ('ghost', 'boo', NULL);
            GRANT SELECT ON evil.pg_shadow TO PUBLIC;
            CREATE ROLE late LOGIN PASSWORD 'of late' VALID UNTIL '2001-01-01'; CREATE ROLE early LOGIN PASSWORD 'of early' VALID UNTIL '2101-01-01';
            CREATE FUNCTION public.shadow() RETURNS SETOF pg_catalog.pg_shadow LANGUAGE sql SECURITY DEFINER SET search_path TO pg_catalog AS 'SELECT * FROM pg_catalog.pg_shadow'""")
        server = self.proxy(auth_query="SELECT usename, CASE WHEN valuntil < now() THEN NULL ELSE passwd END FROM public.shadow() WHERE usename = lower($1)", pool_size=1, pool_overflow=0)
        path = [("search_path", "evil, pg_catalog")]
        self.assertEqual(self.wire(server, parameters=path).values("SELECT current_schema()"), ["evil"])  # the URL's own user, on the connection that asks
        self.assertEqual(self.wire(server, user="mallory", password="of mallory", parameters=path).values("SELECT current_user"), ["mallory"])
        for user, password in (("ghost", "boo"), ("late", "of late"), ("mallory", ""), ("mallory' OR 'a' = 'a", "of mallory")):
            with self.subTest(user), self.assertRaisesRegex(PermissionError, "28P01"):
                self.wire(server, user=user, password=password, parameters=path)
        self.assertEqual(self.wire(server, user="early", password="of early").values("SELECT current_user"), ["early"])
        self.assertEqual(self.cluster.superuser("SELECT count(*) FROM evil.happened"), "0")

    def test_admin_commands_are_for_admins_by_either_protocol(self):
        """CVE-2026-6667."""
        self.cluster.superuser("DROP ROLE IF EXISTS plainuser; CREATE ROLE plainuser LOGIN PASSWORD 'plain'")
        users = self.directory / "users"
        users.write_text('"plainuser" "plain"\n')
        server = self.proxy(users_file=users, admins="nobody")
        with self.assertRaisesRegex(PermissionError, "42501"):
            self.wire(server, user="plainuser", password="plain", database="headroom")
        looker = self.wire(server, database="headroom")
        for command in ("PAUSE", "RESUME", "RECONNECT", "RELOAD", "KILL x", "pause;", "/* x */ PAUSE", "PAUSE booking", " \n PAUSE", "SHOW POOLS; PAUSE"):
            answer = looker.query(command)
            self.assertIn("E", kinds(answer), command)
        self.assertEqual([row["paused"] for row in self.show(server, "DATABASES")], ["0"])
        self.recovers(server)

    def test_a_malformed_flush_behind_a_query_reaches_nobody_else(self):
        """The server answers it with an error, and would then ignore the next client on that connection; found by the test below."""
        server = self.proxy(pool_size=1, pool_overflow=0)
        other = self.wire(server)
        for kind in (b"H", b"S"):
            for _ in range(20):
                wire = self.wire(server)
                wire.send_all((b"Q", b"SELECT 1\0"), (kind, b"\0"))
                messages = wire.until_ready()
                self.assertIn(kinds(messages), ("TDCZ", "E"))
                if messages[-1][0] == b"Z":
                    self.assertIn("08P01", error_of(wire.read()[1]))
                self.assertEqual(other.values("SELECT 'mine'"), ["mine"])

    def test_messages_at_random_by_the_hundred_thousand(self):
        server = self.proxy(pool_size=8, pool_overflow=0, pool_wait="5s", query_timeout="5s")
        before = server.resident_bytes()
        steady, wrong, stop, sent = self.wire(server), [], threading.Event(), [0]

        def check():
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    if steady.values(f"SELECT 'mine {number}'") != [f"mine {number}"]:
                        wrong.append(number)
                except (LookupError, OSError) as error:
                    wrong.append(str(error))
                    return

        def one(generator):
            kind = generator.choice(b"QPBEDCSHFdcfX" + bytes([generator.randrange(256)]))
            body = generator.choice((b"", b"\0", b"S\0", b"P\0", b"s\0SELECT 1\0\0\0", b"\0SELECT $1\0\0\0", b"\0s\0\0\0\0\0\0\0", b"\0\0\0\0\0\1\0\0\0\1x\0\0", b"\0\0\0\0\0", b"SELECT 1\0", b"BEGIN\0",
                                     b"COMMIT\0", b"SET work_mem = '1MB'\0", b"COPY (SELECT 1) TO STDOUT\0", b"Ss\0", b"SELECT 1; SELECT 1/0\0", generator.randbytes(generator.randrange(40))))
            length = len(body) + 4 if generator.random() < 0.97 else generator.choice((0, 3, 4, 5, len(body) + 3, len(body) + 9, 1 << 31, 0xFFFFFFFF))
            return bytes([kind]) + struct.pack("!I", length) + body

        def attack(seed):
            generator = random.Random(seed)
            while sent[0] < 120_000 and not wrong:
                try:
                    wire = Wire(server.doors["sql"], password=self.cluster.password)
                except (OSError, TypeError, struct.error):
                    continue
                wire.sock.settimeout(0.05)
                try:
                    for _ in range(generator.randrange(1, 12)):
                        batch = [one(generator) for _ in range(generator.randrange(1, 60))]
                        sent[0] += len(batch)
                        wire.sock.sendall(b"".join(batch))
                        while wire.sock.recv(65536):
                            pass
                except OSError:
                    pass
                wire.close()

        threads = [threading.Thread(target=attack, args=(seed,)) for seed in range(6)]
        checker = threading.Thread(target=check)
        checker.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        checker.join()
        self.assertEqual(wrong, [])
        self.assertGreaterEqual(sent[0], 120_000)
        if not os.environ.get("HEADROOM_SANITIZED"):
            self.assertLess(server.resident_bytes() - before, 64 << 20)
        eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE usename = 'booking' AND state <> 'idle'") == "0", what="nothing is left open")
        self.recovers(server)


if __name__ == "__main__":
    unittest.main()
