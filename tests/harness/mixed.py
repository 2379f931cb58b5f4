"""A load on every room at once: pages that are kept and pages that are not, SQL, channels, jobs. Used by the dashboard's test and by tools/soak.

    with Mixed(server, dsn=dsn) as load:
        time.sleep(10)
    load.done        # {"pages": 812, "queries": 400, ...}
    load.failures    # ["pages: 503: ...", ...]
"""

import asyncio
import collections
import itertools
import json
import threading
import time

from .client import Connection
from .faktory import Faktory
from .hub import Connection as HubConnection
from .hub import publish
from .upstream import Reply

SETTINGS = """
[cache]
memory_limit = "32MiB"
[[limit.rules]]
name = "everybody"
rate = "100000/s"
"""
BACK_BY = 60  # seconds after a first failure a job is handed out again at the latest


def app_answer(handler):
    """An app: /kept/N may be kept for two seconds, all else never; answers of 2 KiB."""
    kept = handler.path.startswith("/kept/")
    return Reply(body=(handler.path + " ").encode() * 128 + b"\n", headers={"Cache-Control": "max-age=2" if kept else "no-store"})


class Mixed:
    """Each part goes round until the end, with `pause` seconds between."""

    def __init__(self, server, dsn=None, pause=0.005):
        self.server = server
        self.dsn = dsn
        self.pause = pause
        self.done = {"pages": 0, "jobs": 0, "published": 0, "heard": 0, **({"queries": 0} if dsn else {})}
        self.failures = []
        self._failed = collections.deque()  # when
        self._stop = threading.Event()
        parts = [self.pages, self.jobs, self.publishing, self.listening, *([self.queries] if dsn else [])]
        self._threads = [threading.Thread(target=self._run, args=(part,), daemon=True) for part in parts]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, part):
        while not self._stop.is_set():
            try:
                part()
            except Exception as error:  # what a part met is a finding, whatever it was; it begins anew
                self.failures.append(f"{part.__name__}: {type(error).__name__}: {error}")
                self._stop.wait(0.5)

    def _rounds(self):
        for i in itertools.count():
            if self._stop.wait(self.pause):
                return
            yield i

    def pages(self):
        with Connection(self.server.edge) as connection:
            for i in self._rounds():
                path = f"/kept/{i % 500}" if i % 4 else f"/fresh/{i}"
                answer = connection.request("GET", path)
                if answer.status != 200 or not answer.body.startswith(path.encode()):
                    raise AssertionError(f"{path}: {answer}")
                self.done["pages"] += 1
                if i % 1000 == 999:
                    return  # a new connection now and then

    def jobs(self):
        with Faktory(self.server.doors["tasks"], wid="mixed") as client:
            for i in self._rounds():
                client.push(jobtype="greet", args=[i], queue="mixed")
                job = client.fetch("mixed")
                if job is None:
                    raise AssertionError("a job was pushed and none is handed out")
                if i % 50 == 0:
                    client.fail(job["jid"])
                    self._failed.append(time.monotonic())
                else:
                    client.ack(job["jid"])
                self.done["jobs"] += 1
                self._take_a_second_trial(client)
                if i % 1000 == 999:
                    return  # a new worker, as its deployment would be

    def _take_a_second_trial(self, client):
        """What failed is in the queue again by now: one more is taken, or the queue would grow for ever."""
        if self._failed and time.monotonic() - self._failed[0] > BACK_BY:
            self._failed.popleft()
            if job := client.fetch("mixed"):
                client.ack(job["jid"])

    def publishing(self):
        for i in self._rounds():
            publish(self.server, f"news-{i % 10}", "headline", {"number": i})
            self.done["published"] += 1

    def listening(self):
        asyncio.run(self._listen())

    async def _listen(self):
        async with HubConnection(self.server) as client:
            for i in range(10):
                await client.subscribe(f"news-{i}")
            while not self._stop.is_set():
                try:
                    message = await client.receive(0.2)
                except asyncio.TimeoutError:
                    continue
                finally:
                    client.log.clear()
                if message["event"] == "pusher:ping":
                    await client.send("pusher:pong", {})
                self.done["heard"] += message["event"] == "headline"

    def queries(self):
        import psycopg2

        connection = psycopg2.connect(self.dsn)
        connection.autocommit = True
        try:
            cursor = connection.cursor()
            cursor.execute("CREATE TABLE IF NOT EXISTS mixed (id int PRIMARY KEY, body text)")
            for i in self._rounds():
                if i % 10 == 0:
                    cursor.execute("INSERT INTO mixed VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET body = excluded.body", (i % 100, json.dumps(i)))
                else:
                    cursor.execute("SELECT body FROM mixed WHERE id = %s", (i % 100,))
                    cursor.fetchall()
                self.done["queries"] += 1
                if i % 1000 == 999:
                    return
        finally:
            connection.close()
