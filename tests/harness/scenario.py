"""The base of every scenario: a directory of its own, and the end of everything it started."""

import pathlib
import shutil
import tempfile
import time
import unittest

from .process import Headroom
from .upstream import Upstream


def eventually(question, timeout=10, every=0.02, what=None):
    """Asks until the answer is true; gives it. An AssertionError of the question counts as no."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            answer = question()
            if answer:
                return answer
            wrong = f"still {answer!r}"
        except (AssertionError, OSError) as error:
            wrong = str(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or question}: {wrong}")
        time.sleep(every)


class Scenario(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="headroom-scenario-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        self.state_dir = self.directory / "state"

    def upstream(self, name="app", answer=None, **options):
        made = Upstream(name, answer, **options)
        self.addCleanup(made.stop)
        return made

    def settings(self, text, name="headroom.toml"):
        """Writes a settings file, whole at once as a server may read it at any moment; gives its path."""
        path = self.directory / name
        part = self.directory / (name + ".part")
        part.write_text(text)
        part.rename(path)
        return path

    def assert_no_failures(self, *loads):
        for load in loads:
            self.assertEqual((len(load.failures), load.failures[:5]), (0, []), f"{load.done} requests were answered")

    def headroom(self, app=(), config=None, arguments=(), set=None, env=None, state_dir=None, wait=True, wrapper=()):
        """Starts `headroom serve` on free ports. `app`: Upstreams or URLs; `set`: settings by name; `wait=False`: do not wait for it."""
        state_dir = state_dir or self.state_dir
        settings = {"server.state_dir": state_dir, "edge.listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0"}
        if config:
            text = pathlib.Path(config).read_text()
            settings = {"server.state_dir": state_dir}
            for section in ("edge", "admin"):
                if f"[{section}]\nlisten" not in text:
                    settings[f"{section}.listen"] = "127.0.0.1:0"
        settings.update(set or {})
        flags = ["--config", config] if config else []
        for upstream in app:
            flags += ["--app", getattr(upstream, "url", upstream)]
        for name, value in settings.items():
            flags += ["--set", f"{name}={value}"]
        server = Headroom([*flags, *arguments], state_dir, env, wrapper)
        self.addCleanup(self._end, server)
        return server.wait_ready() if wait else server

    def _end(self, server):
        if server.process.poll() is None:
            server.kill()
        server.process.stderr.close()
        # Python's unittest calls cleanups after the result is known: show the log of a failed scenario.
        failed = any(error for _, error in getattr(getattr(self, "_outcome", None), "errors", []) or [])
        if failed:
            print("\n".join(["--- headroom's log ---", *server.lines[-60:]]))
