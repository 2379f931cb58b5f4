"""The application half of bench/tasks: one Node process that pushes jobs and works on them, by three libraries and their servers."""

import importlib.util
import json
import os
import pathlib
import subprocess
import tempfile
import time

import harness
from harness import median
from harness_faktory import await_port

CLIENTS = pathlib.Path(__file__).parent / "clients"
CONCURRENCY = (1, 20, 100)
PACKAGES = {
    "faktory-worker": ("4.7.1", "sha512-4nca5nkeiuJTamtTBbM7ukyqbqNCaYQYAI6t/SKqjr6GyzAm0m06RGxlJaZ2PsP+DXhsuNoogDO7cgKHQETrKg=="),
    "bullmq": ("6.7.0", "sha512-+LnKsqZ+PRV/Iul7T84qEZYOewsgtnnmTc3/TjXZk6dSaOeK68AuR/p8uzQ6WIQ8Jvf/GjitjsUrmTaRV2cfsQ=="),
    "ioredis": ("5.9.3", "sha512-VI5tMCdeoxZWU5vjHWsiE/Su76JGhBvWF1MJnV9ZtGltHk9BmD48oDq8Tj8haZ85aceXZMxLNDQZRVo5QKNgXA=="),
    "graphile-worker": ("0.17.3", "sha512-5vX/nDit7vXDw6JauGE7CpE4uYWu8XLTDkcL3msqwVRwrtxBqawL1C55INfXGtoyV1DIkWvvPdeKtXuLRGYyLg=="),
}


def npm():
    """tests/harness/npm.py; the tests' package is called as the benches' file."""
    spec = importlib.util.spec_from_file_location("npm", harness.ROOT / "tests" / "harness" / "npm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def times(pid):
    """CPU seconds of a process, and of its children that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / harness.TICK, sum(map(int, fields[13:15])) / harness.TICK


class Application:
    """One server on core 0, its client in Node on core 1."""

    def __init__(self, options, stack):
        self.options = options
        self.jobs = 300 if options.quick else 8_000
        self.directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="headroom-bench-", dir="/var/tmp"))
        self.port = harness.free_port()
        self.start(stack)

    def spawn(self, stack, command):
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=harness.pinned(harness.PROXY_CORE), cwd=self.directory)
        stack.callback(harness.stop, self.process)
        await_port(self.port)

    def cpu_seconds(self):
        return harness.cpu_seconds([self.process.pid])

    def environment(self):
        return {}

    def words(self):
        return []

    def measure(self):
        place = npm().installed("bench-tasks", {name: PACKAGES[name] for name in PACKAGES})
        row = {}
        for concurrency in CONCURRENCY[:1] if self.options.quick else CONCURRENCY:
            jobs = self.jobs // 10 if concurrency == 1 else self.jobs
            runs = []
            for _ in range(1 if self.options.quick else 2):
                self.options.patience.await_quiet()
                before = self.cpu_seconds()
                done = subprocess.run(["node", str(CLIENTS / self.script), str(place), str(jobs), str(concurrency), *self.words()], capture_output=True, text=True,
                                      env=os.environ | self.environment(), preexec_fn=harness.pinned(harness.LOAD_CORE), timeout=600)
                if done.returncode != 0:
                    raise harness.Failed(f"{self.name}: {done.stdout}{done.stderr[-500:]}")
                runs.append(json.loads(done.stdout.splitlines()[-1]) | {"cpu_us_per_job": (self.cpu_seconds() - before) * 1e6 / jobs})
            figure = {key: median([run[key] for run in runs]) for key in ("pushed_per_s", "worked_per_s", "cpu_us_per_job")}
            print(f"{self.name:32} {concurrency:4} at once: {figure['pushed_per_s']:8.0f} pushed/s {figure['worked_per_s']:8.0f} worked/s {figure['cpu_us_per_job']:8.1f} us of the server a job", flush=True)
            row[concurrency] = figure | {"runs": runs}
        return row


class OnHeadroom(Application):
    name, script = "faktory-worker, Headroom", "faktory.mjs"

    def start(self, stack):
        self.spawn(stack, [str(self.options.headroom), "serve", "--set", "edge.enabled=false", "--set", "admin.enabled=false", "--set", f"tasks.listen=127.0.0.1:{self.port}", "--set",
                           "server.workers=1", "--set", f"server.state_dir={self.directory}"])

    def environment(self):
        return {"FAKTORY_URL": f"tcp://127.0.0.1:{self.port}"}


class OnRedis(Application):
    script = "bullmq.mjs"
    fsync = "always"
    name = "bullmq, Redis fsync always"

    def start(self, stack):
        self.spawn(stack, ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", self.fsync, "--dir", self.directory])

    def words(self):
        return [str(self.port)]


class OnRedisEverysec(OnRedis):
    fsync, name = "everysec", "bullmq, Redis fsync everysec"


class OnPostgres(Application):
    name, script = "graphile-worker, PostgreSQL", "graphile.mjs"

    def start(self, stack):
        place = pathlib.Path(tempfile.mkdtemp(prefix="headroom-bench.", dir="/var/tmp"))
        stack.callback(self.cluster, "remove", place)
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {harness.PROXY_CORE})  # its processes stay there
        self.url = self.cluster("create", place, "0").split()[1]
        os.sched_setaffinity(0, before)
        self.postmaster = int((place / "primary" / "postmaster.pid").read_text().split()[0])

    @staticmethod
    def cluster(command, place, *more):
        return subprocess.run([str(harness.ROOT / "tools/postgres-cluster"), command, str(place), *more], check=True, capture_output=True, text=True).stdout

    def cpu_seconds(self):
        time.sleep(0.5)  # until the client's backends have ended
        children = pathlib.Path(f"/proc/{self.postmaster}/task/{self.postmaster}/children").read_text().split()
        return sum(times(self.postmaster)) + sum(times(pid)[0] for pid in children)

    def environment(self):
        return {"DATABASE_URL": self.url}


APPLICATIONS = (OnHeadroom, OnRedis, OnRedisEverysec, OnPostgres)
