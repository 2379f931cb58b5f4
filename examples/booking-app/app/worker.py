"""Sends the reminders: `python3 -m app.worker`, as many of it as one likes. It goes on by itself when the job server was away."""

import json
import os
import signal
import sys
import time
import uuid

from . import jobs
from .database import Session
from .models import Booking

BEAT_S = 15


def send_reminder(booking_id: int) -> None:
    with Session() as session:
        booking = session.get(Booking, booking_id)
        if booking is not None and booking.status == "booked":
            print(f"reminder: booking {booking.id} at {booking.starts_at}", flush=True)


KNOWN = {"SendReminder": send_reminder}


def serve(client: jobs.Client, wid: str) -> None:
    beaten = 0.0
    while True:
        if time.monotonic() - beaten > BEAT_S:
            answer = client.ask("BEAT", {"wid": wid})
            if answer.startswith("{"):  # quiet or terminate
                return
            beaten = time.monotonic()
        text = client.ask("FETCH", jobs.QUEUE)
        if text is None:
            continue
        job = json.loads(text)
        try:
            KNOWN[job["jobtype"]](*job["args"])
        except Exception as error:  # whatever a job does, the worker goes on
            client.ask("FAIL", {"jid": job["jid"], "errtype": type(error).__name__, "message": str(error)})
        else:
            client.ask("ACK", {"jid": job["jid"]})


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    wid = uuid.uuid4().hex[:13]
    while True:
        try:
            client = jobs.Client(wid)
            print(f"worker {wid} (process {os.getpid()}) waits for jobs", flush=True)
            serve(client, wid)
            return
        except (OSError, ValueError) as error:
            print(f"the job server is away: {error}", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    main()
