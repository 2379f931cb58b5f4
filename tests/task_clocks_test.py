"""The task server while the wall clock jumps back and forth: nothing is lost, nothing runs twice, recurring tasks and leases go on."""

import subprocess
import unittest

from harness import eventually
from harness.edge import SANITIZED
from harness.process import ROOT
from harness.tasks import TaskScenario

DAY = 86400
SHIFTS = (DAY * 365, 0, -DAY * 30, 3600, -3600, 0)


@unittest.skipIf(SANITIZED, "the sanitizers' own libraries must be loaded first")
class Clocks(TaskScenario):
    def setUp(self):
        super().setUp()
        library = self.directory / "clock_shift.so"
        subprocess.run(["clang-19", "-shared", "-fPIC", "-O1", "-o", library, ROOT / "tests" / "harness" / "clock_shift.c"], check=True)
        self.shift = self.directory / "shift"
        self.set(0)
        self.server = self.tasks('[tasks]\nfetch_wait = "50ms"\n', env={"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self.shift)})
        self.worker = self.client(self.server, wid="worker-1")

    def set(self, seconds):
        new = self.shift.with_suffix(".new")
        new.write_text(str(seconds))
        new.rename(self.shift)

    def sets(self):
        return self.worker.info()["faktory"]["sets"]

    def test_jobs_are_neither_lost_nor_doubled(self):
        held = self.worker.push()
        self.assertEqual(self.worker.fetch()["jid"], held)
        pushed, done = set(), []
        for n, seconds in enumerate(SHIFTS):
            self.set(seconds)
            pushed |= {self.worker.push(f"now-{n}-{i:05}") for i in range(20)}
            failing = self.worker.push(f"failing-{n}", queue="failing", retry=-1)
            self.assertEqual(self.worker.fetch("failing")["jid"], failing)
            self.worker.fail(failing)
            while (job := self.worker.fetch()) is not None:
                done.append(job["jid"])
                self.worker.ack(job["jid"])
        self.assertEqual((len(done), set(done)), (len(pushed), pushed))
        self.assertEqual(self.sets(), {"scheduled": 0, "retries": 0, "dead": len(SHIFTS), "working": 1})  # its lease is still the worker's
        self.assertEqual(self.worker.ack(held), "OK")
        self.assertEqual(self.sets()["working"], 0)

    def test_what_is_due_later_comes_once(self):
        jid = self.worker.push(at="2099-01-01T00:00:00Z")
        self.set(-DAY * 30)
        self.assertIsNone(self.worker.fetch())
        self.assertEqual(self.sets()["scheduled"], 1)
        self.set(DAY * 365 * 100)
        job = eventually(self.worker.fetch)
        self.set(0)
        self.assertEqual(job["jid"], jid)
        self.worker.ack(jid)
        self.assertIsNone(self.worker.fetch())

    def test_a_recurring_task_goes_on_and_each_slot_makes_one_job(self):
        answer = self.server.api("PUT", "/api/v1/tasks/schedules/tick", {"cron": "* * * * * *", "job": {"jobtype": "Tick", "args": [], "queue": "ticks"}})
        self.assertEqual(answer.status, 200, answer.text())
        seen = []

        def ticks():
            job = self.worker.fetch("ticks")
            if job is not None:
                seen.append(job["jid"])
                self.worker.ack(job["jid"])
            return job

        for seconds in (DAY * 365, 0, -DAY * 30, 0):  # of less than a day it waits for the clock to come there again
            self.set(seconds)
            before = len(seen)
            eventually(lambda: ticks() and len(seen) >= before + 3, 30)
        self.assertEqual(len(seen), len(set(seen)), "a slot ran twice")


if __name__ == "__main__":
    unittest.main()
