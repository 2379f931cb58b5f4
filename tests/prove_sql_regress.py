"""PostgreSQL's own regression tests through the SQL proxy: what they say there, beside what they say directly.

    tools/prove sql --regress [--source DIR] [--keep DIR] [--tests NAME,...] [--mode transaction|session]

The tests' SQL is of Debian's source package of the server that is installed (fetched by apt-get into a folder of its own; --source takes an unpacked one).
Each of the two runs has a fresh server. A test differs where its output through the proxy is not its output directly; each is listed with its first
differing lines, and all of the diffs go to --keep. It ends with 1 where a test differs that docs/sql.md does not explain.
"""

import argparse
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from harness.postgres import Cluster
from harness.process import Headroom

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
REGRESS = pathlib.Path("/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Those that differ, and why: the same list, in words, is in docs/sql.md.
EXPLAINED = {
    "guc": "the server connection has loaded plpgsql for another client already",
    "stats": "a new client is not a new session of the server's",
    "temp": "the server connection has a temporary schema from another client already",
}


def run(*command, **how):
    return subprocess.run([str(word) for word in command], check=True, **how)


def fetch(folder):
    """The source of the installed version, unpacked; apt's own lists stay as they are."""
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "postgresql-15"], check=True, capture_output=True, text=True).stdout
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "cache/archives/partial").mkdir(parents=True)
    (folder / "list").write_text("".join(f"deb-src [signed-by={KEYRING}] http://deb.debian.org/{suite} main\n" for suite in (
        "debian bookworm", "debian bookworm-updates", "debian-security bookworm-security")))
    options = ["-o", f"Dir::Etc::sourcelist={folder}/list", "-o", "Dir::Etc::sourceparts=/dev/null", "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache", "-q"]
    run("apt-get", *options, "update", stdout=subprocess.DEVNULL)
    run("apt-get", *options, "source", "--download-only", f"postgresql-15={version}", cwd=folder, stdout=subprocess.DEVNULL)
    archive = next(folder.glob("*.orig.tar.*"))
    run("tar", "-xf", archive, "-C", folder, "--wildcards", "*/src/test/regress/*")
    return next(folder.glob("*/src/test/regress"))


def prepare(source, folder):
    """A copy that the server's user may read and write, with the C functions that tests load."""
    inputs = folder / "regress"
    shutil.copytree(source, inputs)
    libraries = folder / "lib"
    libraries.mkdir()
    include = subprocess.run([str(BIN / "pg_config"), "--includedir-server"], check=True, capture_output=True, text=True).stdout.strip()
    run("clang-19", "-shared", "-fPIC", "-O1", "-w", f"-I{include}", "-o", libraries / "regress.so", inputs / "regress.c")
    installed = pathlib.Path(subprocess.run([str(BIN / "pg_config"), "--pkglibdir"], check=True, capture_output=True, text=True).stdout.strip())
    for name in ("autoinc.so", "refint.so"):
        shutil.copy(installed / name, libraries / name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o755)
    return inputs, libraries


def run_tests(name, folder, inputs, libraries, options, through_proxy):
    outputs = folder / name
    outputs.mkdir()
    outputs.chmod(0o777)
    (outputs / "results").mkdir()
    (outputs / "results").chmod(0o777)
    cluster = Cluster(0)
    server = None
    state = tempfile.TemporaryDirectory(prefix="headroom-prove.")
    try:
        cluster.superuser("ALTER ROLE postgres PASSWORD 'regress'")
        for setting in ("compute_query_id = off", "autovacuum = off"):  # plans show the one, and depend on when the other comes
            cluster.superuser(f"ALTER SYSTEM SET {setting}")
        cluster.superuser("SELECT pg_reload_conf()")
        cluster.superuser("CREATE DATABASE regression TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'")
        for setting in ("lc_messages = 'C'", "lc_monetary = 'C'", "lc_numeric = 'C'", "lc_time = 'C'", "bytea_output = 'hex'", "timezone_abbreviations = 'Default'"):
            cluster.superuser(f"ALTER DATABASE regression SET {setting}")
        port = cluster.port
        if through_proxy:
            url = f"postgresql://postgres:regress@127.0.0.1:{cluster.port}/regression"
            words = ["sql.listen=127.0.0.1:0", "admin.listen=127.0.0.1:0", "tasks.listen=127.0.0.1:0", "edge.enabled=false", f"sql.mode={options.mode}"]
            server = Headroom(["--postgres", url, *[word for each in words for word in ("--set", each)]], state.name)
            server.wait_ready()
            port = server.doors["sql"][1]
        environment = {**os.environ, "PGPASSWORD": "regress", "PGSSLMODE": "disable"}
        chosen = options.tests.split(",") if options.tests else [f"--schedule={inputs / 'parallel_schedule'}"]
        done = subprocess.run([str(REGRESS), f"--inputdir={inputs}", f"--outputdir={outputs}", f"--dlpath={libraries}", f"--bindir={BIN}", "--host=127.0.0.1", f"--port={port}", "--user=postgres",
                               "--dbname=regression", "--use-existing", "--max-connections=10", *chosen], env=environment, cwd=outputs, capture_output=True, text=True, timeout=880)
        (outputs / "log").write_text(done.stdout + done.stderr)
        if server:
            (outputs / "proxy.log").write_text("\n".join(server.lines))
            if server.process.poll() is not None:
                raise SystemExit(f"the proxy has ended: {server.lines[-5:]}")
    finally:
        if server:
            server.stop()
        cluster.remove()
        state.cleanup()
    results = {path.stem: path.read_text(errors="replace") for path in (outputs / "results").glob("*.out")}
    failed = re.findall(r"^(?:test|\s+)\s*(\S+)\s+\.\.\. FAILED", done.stdout, re.M)
    print(f"{name}: {len(results)} tests, {len(failed)} unlike PostgreSQL's expected output", flush=True)
    return results


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--tests")
    parser.add_argument("--mode", default="transaction")
    options = parser.parse_args(arguments)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="headroom-regress.", dir="/var/tmp"))
    try:
        inputs, libraries = prepare(options.source or fetch(folder / "source"), folder)
        direct = run_tests("direct", folder, inputs, libraries, options, False)
        proxied = run_tests("proxied", folder, inputs, libraries, options, True)
        differ, diffs = [], []
        for name in sorted(direct):
            diff = list(difflib.unified_diff(direct[name].splitlines(), proxied.get(name, "").splitlines(), "direct", "proxied", lineterm="", n=2))
            if diff:
                differ.append(name)
                diffs.append(f"===== {name}\n" + "\n".join(diff))
                print(f"\n{name}: {'(' + EXPLAINED[name] + ')' if name in EXPLAINED else 'NOT EXPLAINED'}, {sum(line[0] in '+-' for line in diff) - 2} lines")
                print("\n".join(diff[2:12]))
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / "regress.diffs").write_text("\n".join(diffs))
            for name in ("direct", "proxied"):
                shutil.copy(folder / name / "log", options.keep / f"{name}.log")
            shutil.copy(folder / "proxied" / "proxy.log", options.keep / "proxy.log")
        print(f"\n{len(direct)} tests, {len(differ)} differ through the proxy: {', '.join(differ) or 'none'}")
        if set(differ) - set(EXPLAINED):
            sys.exit(1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
