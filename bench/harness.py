"""What the benches share: proxies side by side, each on a core of its own, and what they cost.

Python 3.11, standard library alone. A proxy here is anything that start() can put in front of the origin; its CPU time is read in
nanoseconds from the clocks of its processes (user and system, all threads, dead ones too).
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCH = ROOT / "bench"
RESULTS = BENCH / "results"
BUILD = ROOT / "build" / "release"
HEADROOM_TOML = BENCH / "proxy" / "headroom.toml.in"

PROXY_CORE, LOAD_CORE = 0, 1
START_LIMIT_S = 10
STOP_LIMIT_S = 10
PAGE = os.sysconf("SC_PAGE_SIZE")
TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """The bench cannot go on; the message says why."""


def pinned(core):
    def pin():
        os.sched_setaffinity(0, {core})

    return pin


def go_first(nice=-20):
    """This terminal session before all others, where we may (root): on a shared machine the others then run when we wait.

    A process's own nice value counts only within its session while the kernel groups by session (sched(7), autogroup), and nothing else does
    where it does not.
    """
    try:
        grouped = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() != "0"
        if not grouped:
            raise OSError
        pathlib.Path("/proc/self/autogroup").write_text(str(nice))
    except OSError:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, nice)
        except OSError:
            pass


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def stop(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def first_line(command):
    """Of what a program says about itself, on either stream."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def cpu_seconds(pids):
    """User and system time of whole processes, from their clocks (clock_getcpuclockid(3)), in nanoseconds' resolution."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pids):
    """Bytes of all of a server's processes: rss counts shared pages once each, pss their share."""
    sums = {"rss": 0, "pss": 0}
    for pid in pids:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        for name in sums:
            sums[name] += 1024 * int(re.search(rf"^{name}:\s+(\d+)", rollup, re.I | re.M)[1])
    return sums


def rss(pids):
    return sum(PAGE * int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)


def peak_rss(pids):
    found = (pathlib.Path(f"/proc/{pid}/status").read_text() for pid in pids)
    return sum(1024 * int(re.search(r"VmHWM:\s+(\d+)", text)[1]) for text in found)


def core_seconds(core):
    """(busy, stolen) of one core since boot."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal, *_ = (int(f) / TICK for f in fields)
            return user + nice + system + irq + softirq, steal
    raise Failed(f"there is no core {core}: the benches need two")


class Patience:
    """Seconds that a bench may spend, over its whole run, on waiting for others and on repeating what they disturbed."""

    QUIET = 0.05  # of a core, used by others or stolen by the host

    def __init__(self, seconds):
        self.left_s = seconds

    def spend(self, began):
        self.left_s -= time.monotonic() - began

    def await_quiet(self):
        began = time.monotonic()
        while self.left_s - (time.monotonic() - began) > 0:
            before = [sum(core_seconds(core)) for core in (PROXY_CORE, LOAD_CORE)]
            time.sleep(0.3)
            after = [sum(core_seconds(core)) for core in (PROXY_CORE, LOAD_CORE)]
            if max(b - a for a, b in zip(before, after)) < 0.3 * self.QUIET:
                break
            time.sleep(1)
        self.spend(began)

    def measure(self, once):
        """once() gives a report with "noise"; the least noisy of as many as patience allows."""
        self.await_quiet()
        best = once()
        while best["noise"] > self.QUIET and self.left_s > 0:
            self.await_quiet()
            began = time.monotonic()
            best = min(best, once(), key=lambda report: report["noise"])
            self.spend(began)
        return best


class Origin:
    """bench/origin on the load's core."""

    def __init__(self):
        self.process = subprocess.Popen([str(BUILD / "bench" / "headroom-origin"), "--port", "0"], stdout=subprocess.PIPE, text=True,
                                        preexec_fn=pinned(LOAD_CORE))
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])

    def stop(self):
        stop(self.process)


class Proxy:
    """One proxy on its core in front of the origin at `origin_port`, its files in a directory of its own."""

    name = ""
    is_pinned = True

    def __init__(self, options):
        self.options = options
        self.process = None
        self.port = 0
        self.directory = None

    def start(self, origin_port):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"headroom-bench-{self.name}-"))
        began = time.monotonic()
        self.launch(origin_port)
        self.started_s = time.monotonic() - began
        return self

    def stop(self):
        if self.process:
            stop(self.process)
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    def pids(self):
        """The process and its children."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu_seconds(self):
        return cpu_seconds(self.pids())

    def log(self):
        return (self.directory / "log").read_text(errors="replace")

    def spawn(self, command, **options):
        with open(self.directory / "log", "wb") as log:
            pin = pinned(PROXY_CORE) if self.is_pinned else None
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, preexec_fn=pin, **options)

    def await_ready(self, ready):
        """What ready() returns, once that is something."""
        deadline = time.monotonic() + START_LIMIT_S
        while not (found := ready()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"{self.name} does not listen: {self.log().strip()}")
            time.sleep(0.0005)
        return found

    def configure(self, template, origin_port):
        """The file made of the template."""
        text = template.read_text()
        for key, value in {"PORT": self.port, "ORIGIN": origin_port, "DIR": self.directory}.items():
            text = text.replace(f"@{key}@", str(value))
        file = self.directory / template.name.removesuffix(".in")
        file.write_text(text)
        return file

    def launch_configured(self, template, command, origin_port):
        """For proxies that read a file and cannot tell which port they took."""
        self.port = free_port()
        file = self.configure(template, origin_port)
        self.spawn([part.replace("@FILE@", str(file)) for part in command])
        self.await_ready(lambda: can_connect(self.port))


class Nginx(Proxy):
    name = "nginx"
    template = BENCH / "proxy" / "nginx.conf.in"

    def launch(self, origin_port):
        self.launch_configured(self.template, ["/usr/sbin/nginx", "-p", ".", "-e", "stderr", "-c", "@FILE@"],
                               origin_port)

    @staticmethod
    def version():
        return first_line(["/usr/sbin/nginx", "-v"])


class Haproxy(Proxy):
    name = "haproxy"

    def launch(self, origin_port):
        self.launch_configured(BENCH / "proxy" / "haproxy.cfg.in", ["/usr/sbin/haproxy", "-db", "-f", "@FILE@"], origin_port)

    @staticmethod
    def version():
        return first_line(["/usr/sbin/haproxy", "-v"])


class Headroom(Proxy):
    name = "headroom"
    binary = BUILD / "headroom"
    template = HEADROOM_TOML

    def launch(self, origin_port):
        environment = os.environ | {
            "HEADROOM_EDGE_LISTEN": "127.0.0.1:0",
            "HEADROOM_ADMIN_LISTEN": "127.0.0.1:0",
            "HEADROOM_TASKS_ENABLED": "false",
            "HEADROOM_SERVER_WORKERS": "1",
            "HEADROOM_SERVER_STATE_DIR": str(self.directory),
        } | self.options.headroom_env
        if self.options.app:
            given = ["--app", f"http://127.0.0.1:{origin_port}"]
        else:
            given = ["--config", str(self.configure(self.template, origin_port))]
        self.spawn([str(self.binary), "serve", *given], env=environment)
        found = self.await_ready(lambda: re.search(r"headroom: edge listening on 127\.0\.0\.1:(\d+)\n", self.log()))
        self.port = int(found[1])

    @classmethod
    def version(cls):
        return first_line([str(cls.binary), "--version"])


PROXIES = {proxy.name: proxy for proxy in (Headroom, Nginx, Haproxy)}


def load(port, path, *, watch=(), **options):
    """One run of headroom-load against a port of this machine, on the load's core: its JSON, as a dict."""
    command = [str(BUILD / "bench" / "headroom-load"), f"http://127.0.0.1:{port}{path}"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    for pid in watch:
        command += ["--watch", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=pinned(LOAD_CORE))
    if not done.stdout:
        raise Failed(f"headroom-load: {done.stderr.strip()}")
    return json.loads(done.stdout)


def parser(description, default_only):
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    options.add_argument("--only", default=default_only, help="which proxies, in this order")
    options.add_argument("--quick", action="store_true", help="short: to see that it works, not to quote")
    options.add_argument("--patience", type=float, default=600, help="seconds, over the whole run, to wait for a quiet machine and "
                         "to repeat what was disturbed")
    options.add_argument("--headroom", type=pathlib.Path, default=BUILD / "headroom", help="the binary")
    options.add_argument("--app", action="store_true", help="Headroom with --app alone, not with bench/proxy/headroom.toml.in")
    options.add_argument("--headroom-env", action="append", default=[], metavar="NAME=VALUE", help="a setting of Headroom")
    options.add_argument("--out", type=pathlib.Path, help="the file of results (default: bench/results/<bench>.json; "
                         "with --quick or --only: none)")
    return options


def parse(options):
    given = options.parse_args()
    given.headroom_env = dict(pair.split("=", 1) for pair in given.headroom_env)
    given.only = given.only.split(",")
    given.patience = Patience(0 if given.quick else given.patience)
    Headroom.binary = given.headroom.resolve()
    if unknown := set(given.only) - set(PROXIES):
        options.error(f"--only {','.join(unknown)}: known are {', '.join(PROXIES)}")
    if "headroom" in given.only and not given.headroom.is_file():
        options.error(f"{given.headroom} is not built (or: --only nginx,haproxy)")
    for program in ("headroom-origin", "headroom-load"):
        if not (BUILD / "bench" / program).is_file():
            options.error(f"{program} is not built: cmake --preset release && cmake --build build/release --target {program}")
    return given


def surroundings(given):
    """What the figures depend on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(),
        "tcp_congestion_control": pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "cpu": model[1] if model else platform.machine(),
        "cores": os.cpu_count(),
        "commit": commit.stdout.strip(),
        "versions": {name: PROXIES[name].version() for name in given.only},
        "headroom_settings": {"by": "--app" if given.app else HEADROOM_TOML.name, "environment": given.headroom_env},
    }


def write_results(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(path)
    print(f"\nwritten: {path}")


def results_path(options, bench):
    """A short or partial run does not replace the figures that are quoted."""
    if options.out:
        return options.out
    whole = not options.quick and "headroom" in options.only
    return RESULTS / f"{bench}.json" if whole else None


def table(head, rows):
    """A Markdown table; all but the first two columns are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---"] * 2 + ["---:"] * (len(head) - 2)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows])


def median(values):
    return statistics.median(values)


def main(run):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the finally clauses, which end the servers
    go_first()
    try:
        sys.exit(run() or 0)
    except (Failed, OSError) as failure:
        sys.exit(f"{sys.argv[0]}: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        go_first(nice=0)
