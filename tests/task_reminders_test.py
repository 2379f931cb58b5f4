"""The sample app leaves its reminders to the task server, and its worker does them."""

import json
import os
import re
import subprocess
import sys
import threading
import unittest
from datetime import datetime, timedelta

from harness import eventually, request
from harness.edge import EdgeScenario
from harness.process import ROOT

APP = ROOT / "examples" / "booking-app"


class Reminders(EdgeScenario):
    def python(self, environment, *arguments):
        """A process of the app; gives its lines as they come."""
        lines = []
        process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=APP, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")), daemon=True)
        reader.start()

        def end():
            process.terminate()
            process.wait(timeout=20)
            reader.join()
            process.stdout.close()

        self.addCleanup(end)
        return lines

    def test_a_booking_leaves_a_job_that_the_worker_does(self):
        server = self.serve(config='[edge]\nenabled = false\n[tasks]\npassword = "sesame"\n')
        environment = {**os.environ, "DATABASE_URL": f"sqlite:///{self.directory}/booking.db", "PYTHONDONTWRITEBYTECODE": "1",
                       "FAKTORY_URL": "tcp://:sesame@%s:%d" % server.doors["tasks"]}
        subprocess.run([sys.executable, "-m", "app.seed", "--rows", "small"], cwd=APP, env=environment, check=True, capture_output=True)
        app = self.python(environment, "uvicorn", "app.main:app", "--port", "0", "--no-access-log")
        worker = self.python(environment, "app.worker")
        port = int(eventually(lambda: re.search(r"running on http://127\.0\.0\.1:(\d+)", "".join(app)), 30)[1])

        def call(method, path, body=None, token=None):
            headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
            return request(("127.0.0.1", port), method, path, headers, json.dumps(body).encode() if body is not None else b"")

        token = call("POST", "/api/accounts/login", {"email": "user50@example.com", "password": "password"}).json()["token"]
        soon = datetime.utcnow() + timedelta(hours=3)  # its reminder is due already
        booked = []
        for staff in range(1, 6):
            answer = call("POST", "/api/bookings", {"staff_id": staff, "service_id": 1, "starts_at": soon.isoformat()}, token)
            booked += [answer.json()["id"]] if answer.status == 201 else []
        self.assertTrue(booked)
        for number in booked:
            eventually(lambda: any(f"reminder: booking {number} at" in line for line in worker), 20, what="".join(worker))
        later = call("POST", "/api/bookings", {"staff_id": 1, "service_id": 1, "starts_at": (soon + timedelta(days=700)).isoformat()}, token)
        self.assertEqual(later.status, 201, later.text())
        stats = server.api("GET", "/api/v1/tasks/stats").json()
        self.assertEqual((stats["done"], stats["scheduled"]), (len(booked), 1))


if __name__ == "__main__":
    unittest.main()
