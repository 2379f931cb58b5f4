"""Published Faktory clients against the task server: npm's faktory-worker, producing and working."""

import json
import pathlib
import shutil
import subprocess
import threading
import unittest

from datetime import datetime, timedelta

from harness import eventually
from harness.booking import Booking, Lines, call, login
from harness.edge import EdgeScenario
from harness.process import ROOT, environment

VERSION = "4.7.1"
PLACE = ROOT / "build" / f"faktory-worker-{VERSION}"


def fetch():
    """The package with what it needs, from npm, once."""
    if (PLACE / "ready").exists():
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    (PLACE / "package.json").write_text('{"private": true}')
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--save-exact", f"faktory-worker@{VERSION}"],
                          cwd=PLACE, capture_output=True, text=True, timeout=100)
    if done.returncode != 0:
        raise AssertionError(f"npm: {done.stdout}{done.stderr}")
    (PLACE / "ready").touch()


class FaktoryWorker(EdgeScenario):
    def run_client(self, url):
        fetch()
        script = pathlib.Path(__file__).parent / "clients" / "faktory_worker.js"
        done = subprocess.run(["node", script, PLACE], env=environment(FAKTORY_URL=url), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_it_produces_and_works(self):
        server = self.serve(config='[edge]\nenabled = false\n[tasks]\npassword = "sesame"\n')
        host, port = server.doors["tasks"]
        said = self.run_client(f"tcp://:sesame@{host}:{port}")
        self.assertEqual(said, {"refusals": 0, "queued": 101, "distinct": 100, "done": 100, "failed": 1, "later": 1, "processed": 101, "failures": 1})

    def test_it_works_the_sample_app_s_reminders(self):
        fetch()
        server = self.serve(config='[edge]\nenabled = false\n[tasks]\npassword = "sesame"\n')
        url = "tcp://:sesame@%s:%d" % server.doors["tasks"]
        app = Booking(self, f"sqlite:///{self.directory}/booking.db", FAKTORY_URL=url)
        app.seed()
        host, _, port = app.serve().removeprefix("http://").partition(":")
        door = (host, int(port))
        token = login(door)
        soon = datetime.utcnow() + timedelta(hours=3)  # its reminder is due already
        booked = []
        for staff in range(1, 6):
            answer = call(door, "POST", "/api/bookings", {"staff_id": staff, "service_id": 1, "starts_at": soon.isoformat()}, token)
            booked += [answer.json()["id"]] if answer.status == 201 else []
        self.assertTrue(booked)
        script = pathlib.Path(__file__).parent / "clients" / "faktory_reminders.js"
        worker = subprocess.Popen(["node", script, PLACE], env=environment(FAKTORY_URL=url), stdout=subprocess.PIPE, text=True)
        lines = Lines()
        reader = threading.Thread(target=lambda: lines.extend(iter(worker.stdout.readline, "")))
        reader.start()

        def end():
            worker.terminate()
            worker.wait(timeout=20)
            reader.join()
            worker.stdout.close()

        self.addCleanup(end)
        eventually(lambda: sorted(map(int, lines)) == sorted(booked), 30, what=lines)
        eventually(lambda: server.api("GET", "/api/v1/tasks/stats").json()["done"] == len(booked))


if __name__ == "__main__":
    unittest.main()
