"""What the edge's scenarios share: raw clients, scripted upstreams, and a Headroom that must be well at the end.

    class Framing(EdgeScenario):
        def test_two_lengths_are_refused(self):
            app = self.script(answering(lambda request: b"hello"))
            server = self.serve(app, config='[edge]\nbody_limit = "1KiB"')
            answer = self.client(server).send(b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n").answer()
            self.assertEqual(answer.status, 400)

When a test ends, Headroom must still run, stop at SIGTERM with exit code 0, and have said nothing that a sanitizer says.
"""

import json
import os
import re
import signal
import subprocess

from .client import get
from .load import Load
from .process import Headroom
from .raw import PATIENCE, Malformed, Raw, ask
from .scenario import Scenario, eventually
from .scripted import Upstream, answering, chunk, reply

SANITIZED = bool(os.environ.get("HEADROOM_SANITIZED"))  # the binary's memory is then not its own
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|assertion", re.I)


class EdgeScenario(Scenario):
    maxDiff = 2000

    def script(self, script=None, **options):
        made = Upstream(script, **options)
        self.addCleanup(made.stop)
        return made

    def answers(self, answer, **options):
        """An upstream that answers each request by a function of it."""
        return self.script(answering(answer), **options)

    def serve(self, *app, config="", **options):
        """Headroom in front of `app`; `config` is the text of its settings file."""
        path = self.settings(config)
        return self.headroom(app, config=path, **options)

    def reload(self, server, config=None):
        """By SIGHUP; returns when Headroom has said what came of it."""
        if config is not None:
            self.settings(config, "headroom.toml.new").rename(self.directory / "headroom.toml")
        before = reloads(server)
        server.signal(signal.SIGHUP)
        eventually(lambda: reloads(server) > before, 30, what="the reload is done")

    def client(self, server, **options):
        made = Raw(server.edge, **options)
        self.addCleanup(made.close)
        return made

    def load(self, server, path="/", **options):
        made = Load(server.edge, path, **options)
        made.__enter__()
        self.addCleanup(made.stop)
        return made

    def assert_serves(self, server, target="/still-there"):
        """A good request on a new connection is answered."""
        answer = ask(server.edge, target=target)
        self.assertIsNotNone(answer, "no answer to a good request")
        self.assertEqual(answer.status, 200, answer)
        return answer

    def assert_grows_less(self, server, before, limit):
        """Its memory, since it was `before`."""
        self.assertLess(server.resident_bytes() - before, limit * (8 if SANITIZED else 1))

    def _end(self, server):
        died = server.process.poll() is not None and not server.stopped
        try:
            if not died:
                code = server.stop(60)
            else:
                code = server.process.returncode
        except subprocess.TimeoutExpired:
            code = "none: it did not stop"
        super()._end(server)
        log = "\n".join(server.lines[-80:])
        self.assertFalse(died, f"Headroom died with {code}:\n{log}")
        self.assertFalse(SANITIZER.search("\n".join(server.lines)), log)
        self.assertEqual(code, 0, log)


def reloads(server):
    return sum("reload: " in line for line in server.lines)


def servers(*upstreams):
    """Their URLs as a TOML array; a pair adds attributes: servers(a, (b, "weight=2"))."""
    lines = []
    for each in upstreams:
        upstream, attributes = each if isinstance(each, tuple) else (each, "")
        lines.append(f"{getattr(upstream, 'url', upstream)} {attributes}".strip())
    return json.dumps(lines)


def metric(server, name, **labels):
    """The sum of a family's series that have these labels."""
    wanted = [f'{key}="{value}"' for key, value in labels.items()]
    total = 0.0
    for line in get(server.admin, "/metrics").text().splitlines():
        series, _, value = line.rpartition(" ")
        if series.split("{", 1)[0] == name and all(label in series for label in wanted):
            total += float(value)
    return total


def descriptors(server):
    return len(os.listdir(f"/proc/{server.pid}/fd"))


__all__ = ["EdgeScenario", "Headroom", "Load", "Malformed", "PATIENCE", "Raw", "SANITIZED", "Upstream", "answering", "ask", "chunk", "descriptors",
           "eventually", "metric", "reply", "servers"]
