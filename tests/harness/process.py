"""Starting, reading and ending `headroom`."""

import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from .client import get, request

ROOT = pathlib.Path(__file__).resolve().parents[2]
LISTENING = re.compile(r"^headroom: (\S+) listening on (\S+)$")


def binary():
    return os.environ.get("HEADROOM_BINARY", str(ROOT / "build/dev/headroom"))


def environment(**more):
    """Without the variables that Headroom would read from whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR") or name.endswith("SAN_OPTIONS")}
    return {**kept, "HEADROOM_TASKS_LISTEN": "127.0.0.1:0", **more}


def run(*arguments, env=None, timeout=20):
    """A command that ends by itself: .returncode, .stdout, .stderr."""
    return subprocess.run([binary(), *map(str, arguments)], env=environment(**(env or {})), capture_output=True, text=True, timeout=timeout)


def parse_address(text):
    if text.startswith("unix:"):
        return text[5:]
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    return ("127.0.0.1" if host in ("0.0.0.0", "::", "") else host, int(port))


class Headroom:
    """A running `headroom serve`. `doors` maps each section to where it listens; `lines` is its standard error so far."""

    def __init__(self, arguments, state_dir, env=None, wrapper=()):
        self.state_dir = pathlib.Path(state_dir)
        self.doors = {}
        self.lines = []
        self._token = None
        self.stopped = False  # by the test
        self._read = threading.Condition()
        self.began = time.monotonic()
        self.process = subprocess.Popen([*wrapper, binary(), "serve", *map(str, arguments)], env=environment(**(env or {})),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._follow, daemon=True)
        self._reader.start()

    def _follow(self):
        for line in self.process.stderr:
            found = LISTENING.match(line.strip())
            with self._read:
                self.lines.append(line.rstrip("\n"))
                if found:
                    self.doors[found[1]] = parse_address(found[2])
                self._read.notify_all()

    @property
    def pid(self):
        return self.process.pid

    @property
    def edge(self):
        return self.doors["edge"]

    @property
    def admin(self):
        return self.doors["admin"]

    def wait_for_line(self, pattern, timeout=10):
        """Until a line of the log matches; gives the line."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self._read:
            while True:
                for line in self.lines[seen:]:
                    if re.search(pattern, line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not self._reader.is_alive()
                if left <= 0 or ended:
                    raise AssertionError(f"no line like {pattern!r} from headroom:\n" + "\n".join(self.lines))
                self._read.wait(min(left, 0.1))

    def wait_ready(self, timeout=10):
        """Until every door listens (the admin door is the last one) and /readyz has said yes once."""
        self.wait_for_line("^headroom: admin listening", timeout)
        deadline = time.monotonic() + timeout
        while get(self.admin, "/readyz").status != 200:
            if time.monotonic() > deadline:
                raise AssertionError("not ready: " + get(self.admin, "/readyz").text())
            time.sleep(0.01)
        return self

    def token(self, role="admin", name=None):
        """A new token, made by the command beside this server, waited for until it is honoured."""
        made = run("token", "create", "--name", name or f"{role}-{time.monotonic_ns()}", "--role", role, "--set", f"server.state_dir={self.state_dir}")
        if made.returncode != 0:
            raise AssertionError(made.stderr)
        token = made.stdout.strip()
        deadline = time.monotonic() + 5
        while get(self.admin, "/api/v1/overview", {"Authorization": f"Bearer {token}"}).status in (401, 429):
            if time.monotonic() > deadline:
                raise AssertionError("the new token is not honoured")
            time.sleep(0.5)
        return token

    def api(self, method, path, body=None, token=None, headers=None):
        """A request to the admin API, as admin unless a token is given."""
        if token is None:
            self._token = self._token or self.token()
            token = self._token
        return request(self.admin, method, path, {"Authorization": f"Bearer {token}", **(headers or {})}, body)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=20):
        """The exit code, once it has ended by itself."""
        code = self.process.wait(timeout)
        self._reader.join(5)
        return code

    def stop(self, timeout=20):
        """SIGTERM, then the exit code."""
        self.stopped = True
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """As a crash: SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        """Memory of its own: pages of code come and go (server/code_pages.h)."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return 1024 * int(re.search(r"^RssAnon:\s+(\d+)", status, re.M)[1])
