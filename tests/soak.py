"""tools/soak: mixed load for as long as asked. Exit code 0 when memory was flat, nothing failed and the end was clean.

Flat: after the first fifth, the straight line through the memory of its own (RssAnon, once a second) rises over the whole rest by less than 3 % of
its mean, or 1 MiB; and descriptors and threads are as many at the end as then. How large the file of trends has become is in the report.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

from harness.edge import metric
from harness.hub import APP
from harness.mixed import SETTINGS, Mixed, app_answer
from harness.postgres import CLUSTER, Cluster
from harness.process import Headroom
from harness.upstream import Upstream

WARM_SHARE = 0.2
GROWTH_SHARE = 0.03
GROWTH_BYTES = 1 << 20
MOST_MORE = 16  # descriptors or threads
TRENDS_EVERY = 10  # seconds


def rise(points):
    """By how much the least-squares line through (time, value) rises from the first to the last."""
    times, values = zip(*points)
    slope = statistics.linear_regression(times, values).slope
    return slope * (times[-1] - times[0])


class Soak:
    def __init__(self, minutes, pause):
        self.seconds = minutes * 60
        self.pause = pause
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="headroom-soak-"))
        self.app = Upstream("app", app_answer)
        self.cluster = Cluster() if CLUSTER.exists() and list(pathlib.Path("/usr/lib/postgresql").glob("*/bin/pg_ctl")) else None
        config = self.directory / "headroom.toml"
        config.write_text(SETTINGS + APP)
        flags = {"server.state_dir": self.directory / "state", "edge.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "sql.listen": "127.0.0.1:0"}
        arguments = ["--config", config, "--app", self.app.url, *(word for name, value in flags.items() for word in ("--set", f"{name}={value}"))]
        if self.cluster:
            arguments += ["--postgres", self.cluster.urls["primary"]]
        self.server = Headroom(arguments, self.directory / "state").wait_ready()

    def close(self):
        if self.server.process.poll() is None:
            self.server.kill()
        self.app.stop()
        if self.cluster:
            self.cluster.remove()
        shutil.rmtree(self.directory, ignore_errors=True)

    def dsn(self):
        if not self.cluster:
            print("soak: PostgreSQL is not installed: without SQL", file=sys.stderr)
            return None
        host, port = self.server.doors["sql"]
        return f"host={host} port={port} user=booking password={self.cluster.password} dbname=booking"

    def look(self):
        """(descriptors, threads)"""
        status = pathlib.Path(f"/proc/{self.server.pid}/status").read_text()
        return len(os.listdir(f"/proc/{self.server.pid}/fd")), int(re.search(r"^Threads:\s+(\d+)", status, re.M)[1])

    def resident_bytes(self):
        """None once it has died."""
        try:
            return self.server.resident_bytes()
        except (OSError, AttributeError, TypeError):
            return None

    def trend_bytes(self, before):
        try:
            return metric(self.server, "headroom_monitor_trend_bytes")
        except (OSError, AttributeError, ValueError):
            return before

    def run(self):
        memory, trends = [], []
        early = late = None
        began = time.monotonic()
        with Mixed(self.server, dsn=self.dsn(), pause=self.pause) as load:
            while (at := time.monotonic() - began) < self.seconds and self.server.process.poll() is None:
                if (now := self.resident_bytes()) is None:
                    break
                if len(memory) % TRENDS_EVERY == 0:
                    trends.append(self.trend_bytes(trends[-1] if trends else 0))
                memory.append((at, now))
                if early is None and at >= self.seconds * WARM_SHARE:
                    early = self.look()
                if len(memory) % 60 == 0:
                    print(f"soak: {at / 60:.0f} min  {now / 2**20:.1f} MiB, file of trends {trends[-1] / 2**20:.1f}  {load.done}  failures {len(load.failures)}", file=sys.stderr)
                time.sleep(1)
            lasted = time.monotonic() - began
            if self.server.process.poll() is None:
                late = self.look()
        warm = [(at, value) for at, value in memory if at >= self.seconds * WARM_SHARE]
        mean = statistics.mean(value for _, value in warm) if warm else 0
        report = {"minutes": round(lasted / 60, 2), "minutes_asked": round(self.seconds / 60, 2), "binary": os.environ["HEADROOM_BINARY"], "done": load.done,
                  "failures_in_all": len(load.failures), "failures": load.failures[:20], "memory_samples": len(warm), "memory_mean_bytes": round(mean),
                  "memory_rise_bytes": round(rise(warm)) if len(warm) > 1 else None, "memory_allowed_rise_bytes": round(max(GROWTH_SHARE * mean, GROWTH_BYTES)),
                  "trend_file_bytes": [round(trends[0]), round(trends[-1])] if trends else None,
                  "descriptors": [early and early[0], late and late[0]], "threads": [early and early[1], late and late[1]],
                  "errors_logged": [line for line in self.server.lines if " error " in line.lower()][:20], "exit_code": self.server.stop(60)}
        return report


def verdict(report):
    """What does not hold."""
    wrong = []
    if report["minutes"] < 0.99 * report["minutes_asked"]:
        wrong.append(f"it ended after {report['minutes']} minutes")
    # One sample a second, but for what a busy machine delays.
    if report["memory_rise_bytes"] is None or report["memory_samples"] < 0.5 * 60 * report["minutes_asked"] * (1 - WARM_SHARE):
        wrong.append("memory was not seen often enough")
    elif report["memory_rise_bytes"] > report["memory_allowed_rise_bytes"]:
        wrong.append("memory grows")
    for what in ("descriptors", "threads"):
        early, late = report[what]
        if early is None or late is None:
            wrong.append(f"{what} were not seen")
        elif late > early + MOST_MORE:
            wrong.append(f"{what} grow")
    wrong += [f"nothing was done: {part}" for part, count in report["done"].items() if count == 0]
    if report["failures"]:
        wrong.append("requests failed")
    if report["errors_logged"]:
        wrong.append("errors were logged")
    if report["exit_code"] != 0:
        wrong.append(f"exit code {report['exit_code']}")
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="tools/soak")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--pause", type=float, default=0.002)
    asked = parser.parse_args()
    if not 0 < asked.minutes <= 24 * 60 or not 0 <= asked.pause <= 10:
        parser.error("--minutes: from above 0 to 1440; --pause: from 0 to 10")
    soak = Soak(asked.minutes, asked.pause)
    try:
        report = soak.run()
    finally:
        soak.close()
    report["wrong"] = verdict(report)
    print(json.dumps(report, indent=1))
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
