"""The sample app leaves its reminders to the task server, and its worker does them."""

import unittest
from datetime import datetime, timedelta

from harness import eventually
from harness.booking import Booking, call, login
from harness.edge import EdgeScenario


class Reminders(EdgeScenario):
    def test_a_booking_leaves_a_job_that_the_worker_does(self):
        server = self.serve(config='[edge]\nenabled = false\n[tasks]\npassword = "sesame"\n')
        app = Booking(self, f"sqlite:///{self.directory}/booking.db", FAKTORY_URL="tcp://:sesame@%s:%d" % server.doors["tasks"])
        app.seed()
        host, _, port = app.serve().removeprefix("http://").partition(":")
        door = (host, int(port))
        worker = app.python("app.worker")
        token = login(door)
        soon = datetime.utcnow() + timedelta(hours=3)  # its reminder is due already
        booked = []
        for staff in range(1, 6):
            answer = call(door, "POST", "/api/bookings", {"staff_id": staff, "service_id": 1, "starts_at": soon.isoformat()}, token)
            booked += [answer.json()["id"]] if answer.status == 201 else []
        self.assertTrue(booked)
        for number in booked:
            eventually(lambda: any(f"reminder: booking {number} at" in line for line in worker), 20, what=worker)
        later = call(door, "POST", "/api/bookings", {"staff_id": 1, "service_id": 1, "starts_at": (soon + timedelta(days=700)).isoformat()}, token)
        self.assertEqual(later.status, 201, later.text())
        stats = server.api("GET", "/api/v1/tasks/stats").json()
        self.assertEqual((stats["done"], stats["scheduled"]), (len(booked), 1))


if __name__ == "__main__":
    unittest.main()
