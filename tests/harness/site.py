"""A site with every room at work, for what people look at: the sample app twice on PostgreSQL with a replica, watchers, jobs of which some fail, limits, an alert.

    site = Site(self)
    with site.visitors():
        ...
    site.server, site.apps, site.sql
"""

import asyncio
import contextlib
import json
import random
import threading

from .booking import APP, Booking, login
from .client import get, request
from .faktory import Faktory
from .hub import APP as HUB_APP
from .hub import Connection, free_port, publish
from .postgres import Cluster
from .scenario import eventually

RULES = """
[sql.cache]
auto = true

[[limit.rules]]
name = "sign-in"
preset = "auth"
path = "/api/accounts/login"
methods = ["POST"]

[[limit.rules]]
name = "each-address"
subject = "address"
rate = "500/s"

[[limit.rules]]
name = "half-of-that"
subject = "address"
mode = "shadow"
rate = "40/s"

[monitor.prices]
vcpu_hour = 0.04
gib_hour = 0.005

[[monitor.alerting.rules]]
name = "jobs-waiting"
summary = "Jobs wait for a worker."
metric = "headroom_tasks_jobs"
where = ["state:waiting"]
figure = "max"
windows = ["10s"]
warning = 5
critical = 1000
for = "1s"
"""
PATHS = ("/", "/", "/api/posts?limit=10", "/api/events?limit=10", "/api/events?limit=10", "/api/posts?limit=5&x={n}", "/api/locations/{p}/availability?x={n}", "/api/locations", "/api/analytics/overview",
         "/nowhere/{p}")


class Site:
    def __init__(self, test, **options):
        self.test = test
        self.cluster = Cluster(1)
        test.addCleanup(self.cluster.remove)
        primary = self.cluster.urls["primary"]
        ports = [free_port(), free_port()]
        config = test.settings((APP / "headroom.toml").read_text() + RULES + HUB_APP, "site.toml")
        self.server = test.headroom([f"http://127.0.0.1:{port}" for port in ports], config=config, arguments=[
            "--postgres", primary, "--replica", self.cluster.urls["replica1"], "--set", "sql.listen=127.0.0.1:0", "--set", "sql.admins=booking", "--set", "sql.pool_size=4",
            "--set", "sql.pool_overflow=2", "--set", "sql.slow_query=50ms"], **options)
        self.sql = primary.replace(f":{self.cluster.port}/", ":%d/" % self.server.doors["sql"][1])
        self.apps = [Booking(test, self.sql, traced=True, FAKTORY_URL="tcp://%s:%d" % self.server.doors["tasks"]) for _ in ports]
        Booking(test, primary).seed()
        for app, port in zip(self.apps, ports):
            app.serve(port)
        eventually(lambda: get(self.server.edge, "/api/posts?limit=1").status == 200, 20)
        self._stop = threading.Event()

    @contextlib.contextmanager
    def visitors(self, pace=0.01):
        """Pages, queries, messages and jobs, until the end of the block."""
        self._stop.clear()
        threads = [threading.Thread(target=part, args=(pace,), daemon=True) for part in (self._pages, self._pages, self._jobs, self._messages)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(20)

    def _pages(self, pace):
        chance, n = random.Random(7), 0
        token = login(self.server.edge)
        while not self._stop.wait(pace):
            n += 1
            path = chance.choice(PATHS).format(n=n, p=chance.randint(1, 3))
            get(self.server.edge, path)
            if n % 10 == 0:
                get(self.server.edge, "/api/bookings", {"Authorization": f"Bearer {token}"})
            if n % 100 == 0:
                request(self.server.edge, "POST", "/api/accounts/login", {"Content-Type": "application/json"}, json.dumps({"email": "nobody@example.com", "password": "wrong"}).encode())

    def _jobs(self, pace):
        with Faktory(self.server.doors["tasks"], wid="mailer-1") as worker:
            n = 0
            while not self._stop.wait(pace * 5):
                n += 1
                worker.push(f"mail-{n:05}", queue="mail", jobtype="SendMail", args=[n, "welcome"])
                job = worker.fetch("mail")
                if job and n % 40 == 0:
                    worker.fail(job["jid"], errtype="SMTPError", message="550 mailbox unavailable")
                elif job:
                    worker.ack(job["jid"])

    def _messages(self, pace):
        async def watch():
            async with Connection(self.server) as client:
                for room in ("bookings", "chat"):
                    await client.subscribe(room)
                while not self._stop.is_set():
                    publish(self.server, "chat", "said", {"text": "hello"})
                    publish(self.server, "bookings", "booked", {"id": 7})
                    await asyncio.sleep(pace * 10)

        asyncio.run(watch())
