"""Who gets in to the SQL proxy, how, and what the proxy says about itself."""

import os
import re
import socket
import ssl
import struct
import subprocess
import unittest

import psycopg2

from harness import eventually, get, run
from harness.postgres import SqlScenario, Wire, error_of, kinds


class Logins(SqlScenario):
    def certificate(self, name="localhost"):
        key, cert = self.directory / f"{name}.key", self.directory / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                        f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1"], check=True, capture_output=True)
        return cert, key

    def one(self, dsn, sql="SELECT 1"):
        connection = psycopg2.connect(dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchone()[0]
        finally:
            connection.close()

    def test_tls_with_channel_binding_and_at_once(self):
        cert, key = self.certificate()
        server = self.proxy(**{"tls.cert": cert, "tls.key": key, "tls.required": "true"})
        with self.assertRaisesRegex(psycopg2.OperationalError, "TLS is required"):
            self.one(self.dsn(server) + " sslmode=disable")
        # libpq: SCRAM-SHA-256-PLUS, bound to the proxy's certificate, which it verifies.
        self.assertEqual(self.one(self.dsn(server) + f" sslmode=verify-full sslrootcert={cert} channel_binding=require"), 1)
        self.assertEqual([row["tls"] for row in self.show_tls(server)], ["yes"])
        # TLS from the first byte, as PostgreSQL 17's clients may: only with its name by ALPN.
        for name, lets_in in (("postgresql", True), (None, False)):
            context = ssl.create_default_context(cafile=cert)
            if name:
                context.set_alpn_protocols([name])
            raw = socket.create_connection(server.doors["sql"], timeout=10)
            with context.wrap_socket(raw, server_hostname="localhost") as secure:
                wire = Wire.__new__(Wire)
                wire.sock, wire.buffer, wire.parameters, wire.key = secure, b"", {}, None
                if not lets_in:
                    with self.assertRaises((PermissionError, AttributeError, struct.error, TypeError, ssl.SSLError, ConnectionError)):
                        wire.start("booking", "booking", self.cluster.password)
                        self.fail("let in")
                    continue
                wire.start("booking", "booking", self.cluster.password)
                self.assertEqual(wire.values("SELECT 5"), ["5"])

    def show_tls(self, server):
        connection = psycopg2.connect(self.dsn(server, "headroom") + " sslmode=require")
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("SHOW CLIENTS")
        names = [column.name for column in cursor.description]
        rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        connection.close()
        return rows

    def test_tls_towards_the_server(self):
        cert, key = self.certificate()
        subprocess.run(["install", "-m", "600", key, f"{self.cluster.directory}/primary/server.key"], check=True)
        subprocess.run(["install", "-m", "644", cert, f"{self.cluster.directory}/primary/server.crt"], check=True)
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres:postgres", f"{self.cluster.directory}/primary/server.key", f"{self.cluster.directory}/primary/server.crt"], check=True)
        self.cluster.superuser("ALTER SYSTEM SET ssl = on")
        self.cluster.superuser("SELECT pg_reload_conf()")
        self.addCleanup(lambda: (self.cluster.superuser("ALTER SYSTEM RESET ssl"), self.cluster.superuser("SELECT pg_reload_conf()")))
        url = self.cluster.urls["primary"].replace("127.0.0.1", "localhost")
        secure = "SELECT ssl::int::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        eventually(lambda: self.cluster.superuser("SHOW ssl") == "on")
        for mode, wanted in (("disable", "0"), ("prefer", "1"), ("require", "1"), (f"verify-full&sslrootcert={cert}", "1")):
            with self.subTest(mode):
                server = self.headroom(arguments=["--postgres", f"{url}?sslmode={mode}", "--set", "sql.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"],
                                       state_dir=self.directory / mode[:7])
                self.assertEqual(self.wire(server).values(secure), [wanted])
                server.stop()
        other, _ = self.certificate("other")
        server = self.headroom(arguments=["--postgres", f"{url}?sslmode=verify-full&sslrootcert={other}", "--set", "sql.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0",
                                          "--set", "sql.connect_timeout=500ms"])
        with self.assertRaisesRegex(PermissionError, "08001 .*certificate"):
            self.wire(server)

    def test_users_of_a_file_of_the_settings_and_of_the_server(self):
        self.cluster.superuser("DROP ROLE IF EXISTS ada, bert, cleo, dora; CREATE ROLE ada LOGIN PASSWORD 'of ada'; SET password_encryption = md5; CREATE ROLE bert LOGIN PASSWORD 'of bert'; "
                               "SET password_encryption = 'scram-sha-256'; CREATE ROLE cleo LOGIN PASSWORD 'of cleo'; CREATE ROLE dora LOGIN; "
                               "CREATE OR REPLACE FUNCTION public.lookup(name text) RETURNS TABLE (u name, p text) LANGUAGE sql SECURITY DEFINER SET search_path TO pg_catalog "
                               "AS 'SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1'")
        hba = f"{self.cluster.directory}/primary/pg_hba.conf"
        kept = open(hba).read()
        with open(hba, "w") as file:
            file.write("host all bert 127.0.0.1/32 md5\n" + kept)
        self.addCleanup(lambda: open(hba, "w").write(kept))
        self.cluster.superuser("SELECT pg_reload_conf()")
        users = self.directory / "users.txt"
        users.write_text('; as PgBouncer has it\n"ada" "of ada"\n')
        server = self.proxy(users_file=users, auth_query="SELECT u, p FROM public.lookup($1)")
        # Known in clear; by an md5 hash, which the server takes too; by a verifier, where the login shows the keys.
        for user in ("ada", "bert", "cleo"):
            with self.subTest(user):
                wire = self.wire(server, user=user, password=f"of {user}")
                self.assertEqual(wire.values("SELECT current_user"), [user])
                with self.assertRaisesRegex(PermissionError, "28P01"):
                    self.wire(server, user=user, password="wrong")
        for user in ("dora", "eve", "x' OR true --"):
            with self.subTest(user), self.assertRaisesRegex(PermissionError, "28P01"):
                self.wire(server, user=user, password="")
        self.assertEqual(sorted(row["user"] for row in self.show(server, "POOLS")), ["ada", "bert", "booking", "cleo"])

    def test_md5_is_asked_for_where_it_is_set(self):
        server = self.proxy(auth="md5")
        self.assertEqual(self.wire(server).values("SELECT 1"), ["1"])
        with self.assertRaisesRegex(PermissionError, "28P01"):
            self.wire(server, password="wrong")

    def test_the_method_tells_nothing_of_a_name(self):
        self.cluster.superuser("DROP ROLE IF EXISTS hashed; SET password_encryption = md5; CREATE ROLE hashed LOGIN PASSWORD 'x'; SET password_encryption = 'scram-sha-256'; "
                               "CREATE OR REPLACE FUNCTION public.known(name text) RETURNS TABLE (u name, p text) LANGUAGE sql SECURITY DEFINER SET search_path TO pg_catalog "
                               "AS 'SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1'")
        server = self.proxy(auth_query="SELECT u, p FROM public.known($1)")

        def asked(user):
            wire = Wire(server.doors["sql"], startup=False)
            self.addCleanup(wire.close)
            body = struct.pack("!I", 196608) + f"user\0{user}\0database\0booking\0\0".encode()
            wire.sock.sendall(struct.pack("!I", len(body) + 4) + body)
            return struct.unpack("!I", wire.read()[1][:4])[0]

        self.assertEqual(asked("hashed"), 5)
        names = [f"nobody{n}" for n in range(40)]
        methods = [asked(name) for name in names]
        self.assertEqual(set(methods), {5, 10})
        self.assertEqual([asked(name) for name in names], methods)
        for name in ("nobody0", "nobody1", "nobody2", "hashed"):
            with self.assertRaisesRegex(PermissionError, "28P01"):
                self.wire(server, user=name, password="wrong")

    def test_neither_a_restart_nor_a_password_that_is_set_tells_a_name_that_nobody_has(self):
        def salts(server):
            shown = {}
            for user in ("booking", "clear", "nobody"):
                wire = Wire(server.doors["sql"], startup=False)
                body = struct.pack("!I", 196608) + f"user\0{user}\0database\0booking\0\0".encode()
                wire.sock.sendall(struct.pack("!I", len(body) + 4) + body)
                self.assertEqual(wire.read()[1][:4], struct.pack("!I", 10))
                first = b"n,,n=,r=abcdefghijklmnopqrstuvwx"
                wire.send(b"p", b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
                shown[user] = re.search(rb",s=([^,]+),i=4096", wire.read()[1])[1]
                wire.close()
            return shown

        state = self.directory / "kept"
        arguments = ["--postgres", self.cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]
        server = self.headroom(state_dir=state, arguments=arguments)
        before = salts(server)
        self.assertEqual(len(set(before.values())), 3)
        self.assertEqual(server.stop(), 0)
        again = self.headroom(config=self.settings('[[sql.users]]\nname = "clear"\npassword = "set meanwhile"\n'), state_dir=state, arguments=arguments)
        self.assertEqual(salts(again), before)
        self.assertRegex(self.wire(again).values("SELECT current_user")[0], "booking")

    def test_newer_protocols_are_negotiated(self):
        server = self.proxy()
        for asked, negotiated, key in ((3 << 16, None, 4), (3 << 16 | 2, None, 32), (3 << 16 | 9999, 3 << 16 | 2, 32)):
            wire = Wire(server.doors["sql"], startup=False)
            self.addCleanup(wire.close)
            wire.start("booking", "booking", self.cluster.password, protocol=asked)
            self.assertEqual((wire.negotiated, len(wire.key[1])), (negotiated, key))
            wire.send(b"Q", b"SELECT pg_sleep(30)\0")
            # A cancel request that comes before the backend has begun is ignored by it.
            eventually(lambda: self.cluster.superuser("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'PgSleep'") == "1")
            wire.cancel()
            self.assertEqual(kinds(wire.until_ready())[-2:], "EZ")

    def test_a_second_start_up_packet_in_the_midst_of_a_login_ends_it(self):
        server = self.proxy()
        wire = Wire(server.doors["sql"], startup=False)
        self.addCleanup(wire.close)
        body = struct.pack("!I", 196608) + b"user\0booking\0database\0booking\0\0"
        packet = struct.pack("!I", len(body) + 4) + body
        wire.sock.sendall(packet)
        self.assertEqual(wire.read()[0], b"R")
        wire.sock.sendall(packet)
        kind, body = wire.read()
        self.assertIn(kind, (b"E", None))

    def test_more_clients_than_allowed_are_told_so(self):
        server = self.proxy(max_clients=2)
        first, second = self.wire(server), self.wire(server)
        with self.assertRaisesRegex(PermissionError, "53300 no more than 2 clients"):
            self.wire(server)
        first.close()
        self.assertEqual(eventually(lambda: self.again(server)), ["1"])
        self.assertEqual(second.values("SELECT 1"), ["1"])

    def again(self, server):
        try:
            return self.wire(server).values("SELECT 1")
        except PermissionError:
            return None

    def test_settings_that_contradict_themselves_are_refused_at_the_start(self):
        for setting, said in (("sql.postgres=mysql://x@y/z", "postgresql://"), ("sql.postgres=postgresql://me:secret@h/headroom", "the proxy's own"), ("sql.pool_wait=0", "pool_wait"),
                              ("sql.tls.cert=/nowhere.pem", "belong together"), ("sql.users_file=/nowhere", "cannot be read")):
            done = run("serve", "--postgres", "postgresql://me:secret@127.0.0.1:1/x", "--set", f"server.state_dir={self.state_dir}", "--set", "admin.listen=127.0.0.1:0",
                       "--set", "sql.listen=127.0.0.1:0", "--set", setting) if not setting.startswith("sql.postgres") else \
                run("serve", "--set", f"server.state_dir={self.state_dir}", "--set", setting)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("secret", done.stderr)

    def test_the_password_is_in_no_log_and_no_listing(self):
        server = self.proxy(connect_timeout="300ms")
        self.wire(server).values("SELECT 1")
        shown = server.api("GET", "/api/v1/config").text() + str(self.show(server, "CONFIG")) + str(self.show(server, "DATABASES"))
        self.assertIn("***", shown)
        self.assertNotIn(self.cluster.password, shown + "\n".join(server.lines))

    def test_a_url_says_who_its_user_is_for_its_own_database_alone(self):
        url, password = self.cluster.urls["primary"], self.cluster.password
        self.cluster.superuser("CREATE DATABASE hr OWNER booking")
        for first in (url.replace(f":{password}@", "@"), url.replace(f":{password}@", ":otherpw@")):
            server = self.headroom(config=self.settings(f'[sql]\nlisten = "127.0.0.1:0"\n[[sql.databases]]\nname = "shop"\npostgres = "{first}"\n'
                                                        f'[[sql.databases]]\nname = "hr"\npostgres = "{url.rsplit("/", 1)[0]}/hr"\n'), state_dir=self.directory / str(len(first)))
            for wrong in ("", "otherpw", "anything"):
                for database in ("hr", "headroom"):
                    if (wrong, database) == ("otherpw", "headroom") and "otherpw" in first:
                        continue  # that is a password of a URL's user
                    with self.assertRaisesRegex(PermissionError, "28P01", msg=(first, wrong, database)):
                        self.wire(server, database=database, password=wrong)
            self.assertEqual(self.wire(server, database="hr").values("SELECT current_database()"), ["hr"])

    def test_an_empty_password_is_nobodys(self):
        self.cluster.superuser("CREATE ROLE eve LOGIN PASSWORD 'secret'")
        server = self.proxy(users_file=self.file('"eve" ""\n'), admins="eve")
        for database in ("booking", "headroom"):
            for password in ("", "anything", "secret"):
                with self.assertRaisesRegex(PermissionError, "28P01"):
                    self.wire(server, user="eve", password=password, database=database)

    def authority(self, name):
        """A CA: (its certificate, its key)."""
        key, cert = self.directory / f"{name}.key", self.directory / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}"],
                       check=True, capture_output=True)
        return cert, key

    def shown(self, authority, subject, days=2, name="client"):
        """What a client shows: a certificate signed by the CA, as libpq's settings."""
        self.made = getattr(self, "made", 0) + 1
        name = f"{name}{self.made}"
        key, asked, cert = self.directory / f"{name}.key", self.directory / f"{name}.csr", self.directory / f"{name}.pem"
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", asked, "-subj", subject], check=True, capture_output=True)
        ca, ca_key = authority
        subprocess.run(["openssl", "x509", "-req", "-in", asked, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-out", cert, "-days", str(days)], check=True, capture_output=True)
        key.chmod(0o600)
        return f" sslmode=require sslcert={cert} sslkey={key}"

    def test_clients_show_certificates_instead_of_passwords(self):
        cert, key = self.certificate()
        ours, theirs = self.authority("ours"), self.authority("theirs")
        settings = {"auth": "cert", "tls.cert": cert, "tls.key": key, "tls.client_ca": ours[0]}
        server = self.proxy(**settings)
        # The proxy knows the password that the server wants; the client has none.
        dsn = " ".join(word for word in self.dsn(server).split() if not word.startswith("password"))
        self.assertEqual(self.one(dsn + self.shown(ours, "/CN=booking"), "SELECT current_user"), "booking")
        for _ in range(3):  # sessions of TLS are resumed
            self.assertEqual(self.one(dsn + self.shown(ours, "/CN=booking")), 1)
        for shown, why in ((" sslmode=disable", "takes TLS with a certificate"), (" sslmode=require sslcert=/nowhere", "takes TLS with a certificate"),
                           (self.shown(ours, "/CN=somebody"), "certificate authentication failed"), (self.shown(ours, "/O=booking"), "takes TLS with a certificate"),
                           (self.shown(ours, "/CN=booking/CN=ops"), "takes TLS with a certificate"),
                           (self.shown(theirs, "/CN=booking"), "unknown ca|certificate"), (self.shown(ours, "/CN=booking", days=-1), "expired|certificate")):
            with self.assertRaisesRegex(psycopg2.OperationalError, why, msg=shown):
                self.one(dsn + shown)
        # A password does not help, and an unknown user hears nothing else than a known one.
        with self.assertRaisesRegex(psycopg2.OperationalError, 'certificate authentication failed for user "booking"'):
            self.one(self.dsn(server) + self.shown(ours, "/CN=nobody"))
        with self.assertRaisesRegex(psycopg2.OperationalError, 'certificate authentication failed for user "nobody"'):
            self.one(dsn.replace("user=booking", "user=nobody") + self.shown(ours, "/CN=nobody"))
        self.assertEqual(self.one(dsn + self.shown(ours, "/CN=booking")), 1)  # and it recovers

    def test_a_map_says_whose_certificate_is_whose(self):
        cert, key = self.certificate()
        ours = self.authority("ours")
        server = self.proxy(config=self.settings('[sql.tls.client_users]\n"app.internal" = "booking"\n'), **{"auth": "cert", "tls.cert": cert, "tls.key": key, "tls.client_ca": ours[0]})
        dsn = " ".join(word for word in self.dsn(server).split() if not word.startswith("password"))
        self.assertEqual(self.one(dsn + self.shown(ours, "/CN=app.internal")), 1)
        with self.assertRaisesRegex(psycopg2.OperationalError, "certificate authentication failed"):
            self.one(dsn + self.shown(ours, "/CN=booking"))

    def test_only_admins_change_something(self):
        self.cluster.superuser("DROP ROLE IF EXISTS looker; CREATE ROLE looker LOGIN PASSWORD 'looks'")
        server = self.proxy(admins="looker", users_file=self.file('"looker" "looks"\n'))
        looker = self.wire(server, user="looker", password="looks", database="headroom")
        owner = self.wire(server, database="headroom")
        wire = self.wire(server)
        self.assertEqual(wire.values("SELECT 1"), ["1"])
        self.assertEqual(error_of(owner.query("PAUSE")[0][1])[:5], "42501")
        self.assertEqual(kinds(looker.query("PAUSE")), "CZ")
        wire.send(b"Q", b"SELECT 2\0")
        eventually(lambda: [row for row in self.show(server, "POOLS") if row["cl_waiting"] == "1"])
        self.assertEqual(kinds(looker.query("RESUME booking")), "CZ")
        self.assertEqual(kinds(wire.until_ready()), "TDCZ")
        backend = wire.values("SELECT pg_backend_pid()")
        looker.query("RECONNECT")
        self.assertNotEqual(wire.values("SELECT pg_backend_pid()"), backend)
        victim = [row["ptr"] for row in self.show(server, "CLIENTS") if row["database"] == "booking"]
        self.assertEqual(kinds(looker.query(f"KILL {victim[0]}")), "CZ")
        kind, body = wire.read()
        self.assertEqual((kind, error_of(body)[:5]), (b"E", "57P01"))
        self.assertEqual(error_of(looker.query("DROP EVERYTHING")[0][1])[:5], "42601")
        for what in ("POOLS", "CLIENTS", "SERVERS", "STATS", "DATABASES", "CONFIG", "PINS", "VERSION"):
            self.assertEqual(kinds(owner.query(f"show {what};"))[-2:], "CZ", what)

    def test_the_admin_api_and_the_seeds_paths_show_pools_and_slow_queries(self):
        server = self.proxy(pool_size=2, pool_overflow=1)
        wire = self.wire(server)
        wire.values("SELECT 'secret', pg_sleep(0.05)")
        wire.values("SELECT 1")
        queries = server.api("GET", "/api/v1/database/slow-queries?by=mean&limit=1").json()
        self.assertEqual([(row["query"], row["calls"]) for row in queries["slow_queries"]], [("SELECT ?, pg_sleep (?)", 1)])
        self.assertGreaterEqual(queries["slow_queries"][0]["mean_ms"], 50)
        self.assertEqual(server.api("GET", "/api/v1/database/slow-queries?by=colour").status, 400)
        wire.query("BEGIN")
        pools = server.api("GET", "/api/v1/sql/pools").json()
        self.assertEqual([(row["database"], row["user"], row["open"], row["limit"]) for row in pools["pools"]], [("booking", "booking", 1, 3)])
        self.assertAlmostEqual(pools["pools"][0]["use_percent"], 33.33, 2)
        # Before the paths below, some of which ask the database themselves and open a connection for it.
        self.assertIn('headroom_sql_pool_open{database="booking",user="booking"} 1', get(server.admin, "/metrics").text())
        health = server.api("GET", "/api/phase14/scalability/connection-pool/health").json()
        self.assertEqual((health["status"], health["pool"]["max_pool_size"], health["pool"]["in_use"]), ("healthy", 3, 1))
        self.assertGreater(health["response_time_ms"], 0)
        overview = server.api("GET", "/api/phase14/scalability/overview").json()
        self.assertGreater(overview["connection_pool"]["response_time_ms"], 0)
        self.assertAlmostEqual(server.api("GET", "/api/v1/performance/scalability/database").json()["pool_usage"], 33.33, 2)

    def file(self, text):
        path = self.directory / "users.txt"
        path.write_text(text)
        return path


if __name__ == "__main__":
    unittest.main()
