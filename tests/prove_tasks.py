"""The task server's proof: kill -9 at random moments under load, again and again on one store; then everything is counted.

    tools/prove tasks [--kills 200] [--seed N]

It holds when no push that was answered is lost, no job whose acknowledgement was answered is handed out again, no job is held by two workers
of one life, and of a schedule that runs each second every slot has made one job.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

from harness.faktory import Faktory, Refused
from harness.process import Headroom

GONE = (OSError, AssertionError, ValueError, AttributeError)  # what a client sees of a killed server


class Ledger:
    """What clients were told, over all lives of the server."""

    def __init__(self):
        self.lock = threading.Lock()
        self.pushed, self.offered = set(), set()  # answered; sent
        self.done, self.unsure = set(), set()  # acknowledgement answered; sent
        self.held = set()  # in this life
        self.wrong = []
        self.counter = 0

    def name(self):
        with self.lock:
            self.counter += 1
            jid = f"job-{self.counter:08}"
            self.offered.add(jid)
            return jid

    def took(self, jid):
        with self.lock:
            if jid in self.done:
                self.wrong.append(f"{jid} was acknowledged and came again")
            if jid in self.held:
                self.wrong.append(f"{jid} is held twice")
            if jid not in self.offered and not jid.startswith("cron-"):
                self.wrong.append(f"{jid} was never pushed")
            self.held.add(jid)

    def ends(self, jid):
        with self.lock:
            self.held.discard(jid)
            self.unsure.add(jid)

    def ended(self, jid):
        with self.lock:
            self.done.add(jid)


def produce(address, ledger, stop):
    try:
        client = Faktory(address, timeout=10)
        while not stop.is_set():
            jid = ledger.name()
            client.push(jid, priority=random.randrange(10))
            with ledger.lock:
                ledger.pushed.add(jid)
    except GONE + (Refused,):
        return


def work(address, ledger, stop, wid):
    try:
        client = Faktory(address, wid=wid, timeout=10)
        while not stop.is_set():
            job = client.fetch("default")
            if job is None:
                continue
            jid = job["jid"]
            ledger.took(jid)
            if random.random() < 0.05:
                continue  # it forgets one: the next life has it
            ledger.ends(jid)
            client.ack(jid)
            ledger.ended(jid)
    except GONE + (Refused,):
        return


class Proof:
    def __init__(self, options):
        self.random = random.Random(options.seed)
        self.kills = options.kills
        self.ledger = Ledger()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="headroom-prove-tasks-"))

    def start(self):
        settings = {"server.state_dir": self.directory / "state", "edge.enabled": "false", "admin.listen": "127.0.0.1:0", "tasks.fetch_wait": "20ms"}
        flags = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        server = Headroom(flags, self.directory / "state")
        server.wait_for_line("^headroom: admin listening", 60)
        return server

    def end(self, server):
        server.process.kill()
        server.process.wait()
        server.process.stderr.close()

    def life(self, server):
        """Clients at work, and the end at a moment they do not know."""
        address, stop = server.doors["tasks"], threading.Event()
        self.ledger.held.clear()
        threads = [threading.Thread(target=produce, args=(address, self.ledger, stop)) for _ in range(3)]
        threads += [threading.Thread(target=work, args=(address, self.ledger, stop, f"worker-{n}")) for n in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(self.random.uniform(0.02, 0.5))
        self.end(server)
        stop.set()
        for thread in threads:
            thread.join()

    def drain(self, server):
        self.ledger.held.clear()
        client = Faktory(server.doors["tasks"], wid="last", timeout=60)
        while (job := client.fetch("default")) is not None:
            self.ledger.took(job["jid"])
            client.ack(job["jid"])
            self.ledger.ended(job["jid"])

    def check_slots(self):
        """Each second between the first and the last slot that was seen has made one job."""
        slots = sorted(int(jid.rsplit("-", 1)[1]) for jid in self.ledger.done | self.ledger.unsure if jid.startswith("cron-"))
        if not slots:
            self.ledger.wrong.append("the schedule never ran")
        elif slots != list(range(slots[0], slots[-1] + 1)):
            self.ledger.wrong.append(f"slots are missing between {slots[0]} and {slots[-1]}: {len(slots)} ran")
        return len(slots)

    def run(self):
        server = self.start()
        schedule = {"cron": "* * * * * *", "catch_up": "all", "catch_up_limit": 1000, "job": {"jobtype": "Tick", "args": [], "priority": 9}}
        answer = server.api("PUT", "/api/v1/tasks/schedules/tick", schedule)
        assert answer.status == 200, answer.text()
        for number in range(self.kills):
            self.life(server)
            server = self.start()
            if sys.stderr.isatty():
                print(f"\rprove tasks: {number + 1} of {self.kills} kills, {len(self.ledger.done)} jobs", end="", file=sys.stderr)
        server.api("DELETE", "/api/v1/tasks/schedules/tick")
        self.drain(server)
        self.end(server)
        ledger = self.ledger
        lost = ledger.pushed - ledger.done - ledger.unsure
        ledger.wrong += [f"{jid} was pushed and is lost" for jid in sorted(lost)]
        slots = self.check_slots()
        shutil.rmtree(self.directory, ignore_errors=True)
        print(f"prove tasks: {self.kills} kills, {len(ledger.pushed)} pushes answered, {len(ledger.done)} acknowledgements answered, {slots} slots of a schedule: "
              f"{len(ledger.wrong)} wrong")
        for each in ledger.wrong[:20]:
            print("  " + each)
        return 1 if ledger.wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(Proof(parser.parse_args()).run())
