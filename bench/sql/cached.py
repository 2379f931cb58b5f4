"""bench/sql --cache: hot reads answered from Headroom's cache of results, beside PostgreSQL alone, Headroom without its cache and pgpool-II's memory cache.

pgbench on core 1 asks for 1,000 hot rows; what answers, proxy and PostgreSQL alike, is pinned to core 0. "us" is the CPU of all that serves, for each read, without its logins;
where pgbench's core gives out first, transactions a second say less than it does.
A share of writes, 0, 1 and 10 %, goes through what is measured, all to the one table that is read: so each cache has to drop all it keeps at each of them.
"""

import os
import pathlib
import subprocess
import tempfile
import time

import harness
from harness import median

HOT = 1000
READ = f"\\set aid random(1, {HOT})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n"
WRITE = f"\\set aid random(1, {HOT})\nUPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = :aid;\n"


class Pgpool:
    """Its cache in shared memory, trust in front of a server that wants a password: as an app would have it on one machine."""

    def __init__(self, server, cache=True):
        self.server = server
        self.directory = tempfile.TemporaryDirectory(prefix="headroom-bench-", dir="/var/tmp")
        self.path = pathlib.Path(self.directory.name)
        self.port = harness.free_port()
        (self.path / "pool_passwd").write_text(f"booking:TEXT{server.password}\n")
        (self.path / "pool_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        (self.path / "pgpool.conf").write_text(
            f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.path}'\npcp_listen_addresses = ''\npcp_socket_dir = '{self.path}'\n"
            f"pid_file_name = '{self.path}/pgpool.pid'\nlogdir = '{self.path}'\nwork_dir = '{self.path}'\nbackend_clustering_mode = 'raw'\nbackend_hostname0 = '127.0.0.1'\nbackend_port0 = {server.port}\n"
            f"enable_pool_hba = on\npool_passwd = '{self.path}/pool_passwd'\nnum_init_children = 40\nmax_pool = 1\nmemory_cache_enabled = {'on' if cache else 'off'}\nmemqcache_method = 'shmem'\n"
            f"memqcache_total_size = 256MB\nmemqcache_oiddir = '{self.path}/oiddir'\nmemqcache_expire = 300\nmemqcache_auto_cache_invalidation = on\n")
        (self.path / "oiddir").mkdir()
        user = []
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres:postgres", str(self.path)], check=True)
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        log = (self.path / "log").open("w")
        self.process = subprocess.Popen([*user, "pgpool", "-n", "-f", str(self.path / "pgpool.conf"), "-a", str(self.path / "pool_hba.conf"), "-F", str(self.path / "pcp.conf")],
                                        stdout=log, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, {harness.PROXY_CORE}), cwd="/")
        for _ in range(100):
            if harness.can_connect(self.port):
                return
            time.sleep(0.1)
        raise harness.Failed("pgpool does not start: " + (self.path / "log").read_text()[-500:])

    def url(self):
        return f"postgresql://booking:{self.server.password}@127.0.0.1:{self.port}/booking"

    def stop(self):
        harness.stop(self.process)


def postmaster(server):
    return int((pathlib.Path(server.directory) / "primary" / "postmaster.pid").read_text().split()[0])


def children(pid):
    return map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def tree_seconds(pid):
    """CPU seconds of a process, of its children and of those that have ended."""

    def fields(pid, count):
        try:
            return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11 : 11 + count]))
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            return 0

    return (fields(pid, 4) + sum(fields(child, 2) for child in children(pid))) / harness.TICK


def move_server(server, core):
    """Every process of the cluster, also those to come: they inherit it from the postmaster."""
    for pid in [postmaster(server), *children(postmaster(server))]:
        os.sched_setaffinity(pid, {core})


def run(server, given, start_headroom, start_proxy, pgbench, patience):
    """Rows for each share of writes: direct, the proxy without and with its cache, pgpool in turn."""
    move_server(server, harness.PROXY_CORE)
    scripts = tempfile.TemporaryDirectory(prefix="headroom-bench-")
    read, write = pathlib.Path(scripts.name) / "read.sql", pathlib.Path(scripts.name) / "write.sql"
    read.write_text(READ)
    write.write_text(WRITE)
    rows = []
    given.seconds = max(given.seconds, 5)  # of which the logins take their part

    def round_of(name, writes):
        proxy = {"direct": lambda: None, "proxy": start_proxy, "headroom": start_headroom, "pgpool": lambda: Pgpool(server)}[name]()
        url = proxy.url() if proxy else server.url
        words = ["-M", "simple", "-f", f"{read}@{1000 - writes}", *(["-f", f"{write}@{writes}"] if writes else [])]
        serving = [postmaster(server), *([proxy.process.pid] if proxy else [])]

        def measured(duration):
            others = sum(harness.core_seconds(harness.PROXY_CORE))
            before = sum(map(tree_seconds, serving))
            count, tps, latency, _ = pgbench(url, words, given.cache_clients, duration)
            used = sum(map(tree_seconds, serving)) - before
            return count, tps, latency, used, sum(harness.core_seconds(harness.PROXY_CORE)) - others - used

        try:
            pgbench(url, words, given.cache_clients, max(1, given.seconds // 2))
            asked_once, _, _, logins, _ = measured(None)
            count, tps, latency, used, noise = measured(given.seconds)
            return {"name": name, "us": 1e6 * (used - logins) / (count - asked_once), "tps": tps, "latency_ms": latency, "noise": max(0.0, noise) / given.seconds}
        finally:
            if proxy:
                proxy.stop()

    names = ["direct", "proxy", "headroom", "pgpool"]
    for writes in (0, 10, 100):
        taken = {name: [] for name in names}
        for number in range(given.rounds):
            for name in names if number % 2 == 0 else names[::-1]:
                taken[name].append(patience.measure(lambda name=name: round_of(name, writes)))
        row = {"writes_per_1000": writes, "clients": given.cache_clients, "noise": max(r["noise"] for runs in taken.values() for r in runs), "rounds": taken}
        for other in ("direct", "proxy", "pgpool"):
            row[f"tps_ratio_{other}"] = median(h["tps"] / o["tps"] for h, o in zip(taken["headroom"], taken[other]))
            row[f"work_per_cpu_ratio_{other}"] = median(o["us"] / h["us"] for h, o in zip(taken["headroom"], taken[other]))
        rows.append(row)
        print(f"{writes / 10:.0f} % writes:", ", ".join(f"{name} {median(r['tps'] for r in taken[name]):.0f}/s {median(r['us'] for r in taken[name]):.1f} us" for name in names),
              "| tps", *(f"x {other} {row[f'tps_ratio_{other}']:.2f}" for other in ("direct", "proxy", "pgpool")),
              "| work per CPU", *(f"x {other} {row[f'work_per_cpu_ratio_{other}']:.2f}" for other in ("direct", "proxy", "pgpool")),
              flush=True)
    return rows
