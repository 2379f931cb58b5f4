"""./run --full, and what README.md has a newcomer try there: pages and results that are kept until somebody writes what they read."""

import os
import re
import signal
import subprocess
import threading
import unittest

from harness import eventually
from harness.booking import Lines
from harness.process import ROOT, binary


def example():
    """Commands and what they print, of README.md."""
    text = (ROOT / "README.md").read_text().partition("./run --full")[2].partition("```console\n")[2].partition("```")[0]
    return [line[2:] for line in text.splitlines() if line.startswith("$ ")], [line for line in text.splitlines() if not line.startswith("$ ")]


class RunFull(unittest.TestCase):
    def setUp(self):
        names = ("EDGE", "ADMIN", "TASKS", "SQL")
        ports = subprocess.run(["bash", "-c", "eval \"$(sed -n '/^take_ports()/,/^}/p' run)\"; take_ports; take_ports"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        listen = {f"HEADROOM_{name}_LISTEN": f"127.0.0.1:{port}" for name, port in zip(names, ports)}
        bare = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
        self.process = subprocess.Popen(["./run", "--full", "--rows", "small"], cwd=ROOT, env={**bare, **listen, "HEADROOM_BINARY": binary()}, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.lines = Lines()
        self.reads = threading.Thread(target=lambda: self.lines.extend(iter(self.process.stdout.readline, "")), daemon=True)
        self.reads.start()
        self.addCleanup(self.end)
        eventually(lambda: "Ctrl-C ends all of it" in str(self.lines) or self.process.poll() is not None, 120, what=self.lines)
        self.assertIsNone(self.process.poll(), self.lines)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=90)
        self.reads.join()
        self.process.stdout.close()

    def address(self, words):
        return re.search(rf"^  {words} +(\S+)$", str(self.lines), re.M)[1]

    def test_what_the_readme_shows_is_what_a_newcomer_sees(self):
        commands, expected = example()
        self.assertTrue(any("psql" in command for command in commands), commands)
        script = "\n".join(commands).replace("http://localhost:8080/", self.address("the app through Headroom"))
        environment = {**os.environ, "THROUGH": self.address("the database, through it"), "AROUND": self.address("the database, around it")}

        outputs, titles = Lines(), []

        def tried():
            done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            outputs[:] = [done.stdout]
            said = done.stdout.splitlines()
            if said[-1] != expected[-1]:
                raise LookupError(f"the old title: {done.stdout}")
            titles.append(said[1])
            # Of pages after the first, which may lie there since the last try: on a busy machine the stream of changes may be behind for a moment, and the app be asked.
            return [line for line in said[2:] if "title" not in line] == [line for line in expected[2:] if "title" not in line]

        eventually(tried, 60, what=outputs)
        self.assertEqual((titles[0], expected[3]), (expected[1], expected[1]))


if __name__ == "__main__":
    unittest.main()
