"""Read-your-writes per browser: a write by one request is seen by the browser's next, whatever connection and replica the app reads it through."""

import base64
import contextlib
import secrets
import sys
import threading
import time
import unittest

from harness import eventually, request
from harness.edge import EdgeScenario
from harness.postgres import Cluster, SqlScenario
from harness.process import ROOT
from harness.scripted import reply

sys.path.insert(0, str(ROOT / "clients" / "python"))
import headroom_trace  # noqa: E402

headroom_trace.install()
import psycopg2  # noqa: E402

COOKIE = "headroom_reads"


class Browser:
    """Keeps the cookies it is given, as one does."""

    def __init__(self, server, headers=()):
        self.server = server
        self.headers = dict(headers)
        self.cookies = {}
        self.set = []  # every Set-Cookie that came

    def ask(self, method, path):
        headers = dict(self.headers)
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = request(self.server.edge, method, path, headers)
        for name, value in answer.fields:
            if name.lower() == "set-cookie":
                self.set.append(value)
                pair = value.split(";")[0]
                self.cookies[pair.split("=", 1)[0]] = pair.split("=", 1)[1]
        return answer


class App:
    """An app with a table of numbers, behind the edge and before the SQL proxy; each request has a connection of its own. As its framework and driver
    would with the drop-in, it passes traceparent on."""

    def __init__(self, scenario, traced=True):
        self.dsn = None
        self.traced = traced
        self.seen = []  # the Cookie of each request
        self.late = threading.Event()
        self.committed = threading.Event()
        self.upstream = scenario.answers(self.answer)

    @contextlib.contextmanager
    def cursor(self, request, autocommit=True):
        headroom_trace.current.set(request.get("traceparent") if self.traced else None)
        connection = psycopg2.connect(self.dsn)
        connection.autocommit = autocommit
        try:
            yield connection.cursor(), connection
        finally:
            connection.close()

    def answer(self, request):
        self.seen.append(request.get("cookie"))
        _, what, who, *number = request.target.split("?")[0].split("/")
        number = int(number[0]) if number else 0
        if what == "late":
            return self.write_late(request, who, number)
        if what == "page":
            return reply(200, "a page", ["Cache-Control: public, max-age=60"])
        with self.cursor(request) as (cursor, _connection):
            if what in ("write", "visit"):
                cursor.execute("INSERT INTO numbers VALUES (%s, %s)", (who, number))
                return reply(200, "written", ["Cache-Control: max-age=60"] if number == 99 else [])
            cursor.execute("SELECT coalesce(max(n), -1), current_setting('port') FROM numbers WHERE who = %s", (who,))
            n, port = cursor.fetchone()
            return reply(200, f"{n} {port}")

    def write_late(self, request, who, number):
        """The answer leaves first, then the transaction is committed, as some frameworks do."""
        ready = threading.Event()

        def work():
            with self.cursor(request, autocommit=False) as (cursor, connection):
                cursor.execute("INSERT INTO numbers VALUES (%s, %s)", (who, number))
                ready.set()
                self.late.wait(10)
                connection.commit()
                self.committed.set()

        threading.Thread(target=work, daemon=True).start()
        ready.wait(10)
        return reply(200, "soon")


class Sessions(EdgeScenario, SqlScenario):
    """Two replicas, which replay commits 200 ms late."""

    replicas = 2

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.replicas)
        cls.addClassCleanup(cls.cluster.remove)
        cls.cluster.superuser("CREATE TABLE numbers (who text, n int); GRANT ALL ON numbers TO booking")
        for name in ("replica1", "replica2"):
            eventually(lambda name=name: cls.cluster.superuser("SELECT count(*) FROM pg_class WHERE relname = 'numbers'", node=name) == "1")
            cls.cluster.superuser("ALTER SYSTEM SET recovery_min_apply_delay = '200ms'", node=name)
            cls.cluster.superuser("SELECT pg_reload_conf()", node=name)

    def start(self, traced=True, config="", replicas=("replica1", "replica2"), **settings):
        app = App(self, traced)
        values = {"sql.listen": "127.0.0.1:0", "sql.admins": "booking", **settings}
        if replicas:
            values["sql.replicas"] = ",".join(self.cluster.urls[name] for name in replicas)
        server = self.headroom([app.upstream], config=self.settings(config), arguments=["--postgres", self.cluster.urls["primary"]], set=values)
        app.dsn = self.dsn(server)
        self.primary = str(self.cluster.port)
        if replicas:
            eventually(lambda: self.read(Browser(server), secrets.token_hex(4))[1] != self.primary, what="reads go to replicas")  # each time a page that nobody keeps
        return server, app

    def read(self, browser, who):
        answer = browser.ask("GET", f"/read/{who}")
        self.assertEqual(answer.status, 200, answer.text())
        number, port = answer.text().split()
        return int(number), port

    def write(self, browser, who, number):
        self.assertEqual(browser.ask("POST", f"/write/{who}/{number}").text(), "written")

    def test_a_browser_reads_what_it_wrote_and_is_soon_back_on_replicas(self):
        server, _app = self.start()
        violations, ports, lock = [], [], threading.Lock()

        def work(number):
            browser = Browser(server)
            for turn in range(4):
                self.write(browser, f"w{number}", turn)
                back = 0
                while back < 12:
                    seen, port = self.read(browser, f"w{number}")
                    back += port != self.primary
                    with lock:
                        ports.append(port)
                        if seen != turn:
                            violations.append((number, turn, seen, port))
                    if port == self.primary:
                        time.sleep(0.02)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(violations, [])
        self.assertGreater(sum(port != self.primary for port in ports), len(ports) / 2)

    def test_another_browser_is_not_held_up(self):
        server, _app = self.start()
        writer, other = Browser(server), Browser(server)
        stale = 0
        for turn in range(8):
            self.write(writer, "mine", turn)
            # Who has not written may see less, on a replica, at once: that also shows that replicas lag at all.
            seen, port = self.read(other, "mine")
            self.assertNotEqual(port, self.primary)
            stale += seen != turn
            self.assertEqual(self.read(writer, "mine")[0], turn)
        self.assertGreater(stale, 0)
        self.assertEqual(other.set, [])

    def test_a_commit_behind_its_answer_is_waited_for(self):
        server, app = self.start()
        browser = Browser(server)
        for turn in range(4):
            app.late.clear()
            app.committed.clear()
            self.assertEqual(browser.ask("POST", f"/late/late/{turn}").text(), "soon")
            self.assertEqual(self.read(browser, "late"), (turn - 1, self.primary))  # it may be committed at any moment
            app.late.set()
            self.assertTrue(app.committed.wait(10))
            self.assertEqual(self.read(browser, "late")[0], turn)
        eventually(lambda: self.read(browser, "late")[1] != self.primary)

    def test_a_get_that_writes_counts_too_but_what_a_cache_may_share_carries_no_cookie(self):
        server, _app = self.start()
        browser = Browser(server)
        answer = browser.ask("GET", "/visit/g/1")
        self.assertEqual((len(browser.set), answer.field("Cache-Control")), (1, "private"))
        self.assertEqual(self.read(browser, "g")[0], 1)
        other = Browser(server)
        answer = other.ask("GET", "/visit/g/99")
        self.assertEqual((answer.text(), other.set, answer.field("Cache-Control")), ("written", [], "max-age=60"))

    def test_the_cookie_is_for_browsers_alone(self):
        config = '[edge]\ntrusted_proxies = ["127.0.0.1"]\n[[edge.routes]]\nname = "pages"\npath = "/page"\n[edge.routes.cache]\nenabled = true\n[[edge.routes]]\nname = "rest"\npath = "/"\n'
        server, app = self.start(config=config)
        browser = Browser(server)
        self.write(browser, "c", 1)
        self.assertRegex(browser.set[0], r"^headroom_reads=[A-Za-z0-9_.-]+; Path=/; Max-Age=60; HttpOnly; SameSite=Lax$")
        secure = Browser(server, {"X-Forwarded-Proto": "https"})
        self.write(secure, "c", 2)
        self.assertRegex(secure.set[0], "; SameSite=Lax; Secure$")
        # Neither the app nor the shared cache sees it: who has it gets the page that was kept for who has none, and the other way round.
        browser.cookies["theirs"] = "kept"
        browser.ask("GET", "/read/c")
        self.assertEqual(app.seen[-1], "theirs=kept")
        del browser.cookies["theirs"]
        browser.ask("GET", "/read/c")
        self.assertIsNone(app.seen[-1])
        before = len(browser.set)
        self.assertEqual(browser.ask("GET", "/page/one/1").text(), "a page")
        for who in (browser, Browser(server), browser):
            answer = who.ask("GET", "/page/one/1")
            self.assertIn("; hit", answer.field("Cache-Status"))
            self.assertIsNone(answer.field("Set-Cookie"))
        self.assertEqual(len(browser.set), before)

    def test_a_forged_or_foreign_cookie_is_as_if_it_were_not_there(self):
        server, _app = self.start()
        genuine = Browser(server)
        self.write(genuine, "f", 1)
        value = genuine.cookies[COOKIE]
        far = base64.urlsafe_b64encode(b"0" * 32 + b" 1/1/18446744073709551615").decode().rstrip("=")
        for forged in ("", "x", value[:-1] + ("A" if value[-1] != "A" else "B"), far + value[value.index("."):], "." * 300, "a" * 5000):
            browser = Browser(server)
            browser.cookies[COOKIE] = forged
            self.assertNotEqual(self.read(browser, "f")[1], self.primary)
            self.write(browser, "f", 2)
            self.assertEqual(self.read(browser, "f")[0], 2)
            self.assertNotEqual(browser.cookies[COOKIE], forged)
        # Beside a forged one of the same name (a neighbour domain may set that), the genuine one counts.
        both = Browser(server, {"Cookie": f"{COOKIE}=forged; a=1; {COOKIE}={genuine.cookies[COOKIE]}"})
        self.write(genuine, "f", 3)
        both.headers["Cookie"] = f"{COOKIE}=forged; a=1; {COOKIE}={genuine.cookies[COOKIE]}"
        self.assertEqual(self.read(both, "f")[0], 3)

    def test_a_restart_and_another_node_with_the_same_keys_know_the_browser(self):
        keys = {"edge.session.keys": "k" * 32}
        first, _app = self.start(**keys)
        self.state_dir = self.directory / "second"
        second, _other = self.start(**keys)
        here, there = Browser(first), Browser(second)
        for turn in range(4):
            self.write(here, "n", turn)
            there.cookies = dict(here.cookies)
            self.assertEqual(self.read(there, "n")[0], turn)

    def test_the_key_outlives_the_process(self):
        server, _app = self.start()
        key = (self.state_dir / "session.key")
        self.assertEqual((key.stat().st_mode & 0o777, key.stat().st_size), (0o600, 64))
        kept = key.read_text()
        server.stop()
        self.start()
        self.assertEqual(key.read_text(), kept)

    def test_without_replicas_or_when_turned_off_there_is_no_cookie(self):
        for settings in ({"replicas": ()}, {"edge.session.enabled": "false"}):
            server, _app = self.start(**settings)
            browser = Browser(server)
            self.write(browser, "o", 1)
            self.assertEqual(browser.set, [])
            server.stop()

    def test_an_app_that_passes_nothing_on_is_served_as_before(self):
        server, _app = self.start(traced=False)
        browser = Browser(server)
        self.write(browser, "u", 1)
        # Each connection for itself: a fresh one may see less for a moment, and soon sees it.
        eventually(lambda: self.read(browser, "u")[0] == 1)


class OverAPromotion(EdgeScenario, SqlScenario):
    replicas = 2

    start, read, write = Sessions.start, Sessions.read, Sessions.write

    def test_a_browser_reads_what_it_wrote_after_a_promotion(self):
        self.cluster.superuser("CREATE TABLE numbers (who text, n int); GRANT ALL ON numbers TO booking")
        server, _app = self.start()
        browser = Browser(server)
        self.write(browser, "p", 1)
        ports = {str(self.cluster.port_of(name)) for name in ("replica1", "replica2")}
        for name in ("replica1", "replica2"):  # what is lost with the primary no cookie brings back
            eventually(lambda name=name: self.cluster.superuser("SELECT max(n) FROM numbers", node=name) == "1")
        self.cluster.kill("primary")
        self.cluster.superuser("SELECT pg_promote(false)", node="replica1")
        self.cluster.superuser(f"ALTER SYSTEM SET primary_conninfo = 'host={self.cluster.directory}/socket port={self.cluster.port_of('replica1')} user=postgres'", node="replica2")
        self.cluster.superuser("ALTER SYSTEM SET primary_slot_name = ''", node="replica2")
        self.cluster.superuser("ALTER SYSTEM SET recovery_min_apply_delay = '200ms'", node="replica2")
        self.cluster.superuser("SELECT pg_reload_conf()", node="replica2")
        eventually(lambda: [row["port"] for row in self.show(server, "REPLICAS") if row["primary"] == "yes"] == [str(self.cluster.port_of("replica1"))])
        self.assertEqual(self.read(browser, "p")[0], 1)
        for turn in range(2, 6):
            eventually(lambda: browser.ask("POST", f"/write/p/{turn}").text() == "written")
            for _ in range(3):
                seen, port = self.read(browser, "p")
                self.assertEqual(seen, turn)
                self.assertIn(port, ports)
        replica2 = str(self.cluster.port_of("replica2"))
        eventually(lambda: self.read(browser, "p") == (5, replica2), timeout=30)


if __name__ == "__main__":
    unittest.main()
