"""Published Faktory clients against the task server: npm's faktory-worker, producing and working."""

import json
import pathlib
import shutil
import subprocess
import unittest

from harness.edge import EdgeScenario
from harness.process import ROOT, environment

VERSION = "4.7.1"
PLACE = ROOT / "build" / f"faktory-worker-{VERSION}"


def fetch():
    """The package with what it needs, from npm, once."""
    if (PLACE / "ready").exists():
        return
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    (PLACE / "package.json").write_text('{"private": true}')
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent", "--save-exact", f"faktory-worker@{VERSION}"],
                          cwd=PLACE, capture_output=True, text=True, timeout=100)
    if done.returncode != 0:
        raise AssertionError(f"npm: {done.stdout}{done.stderr}")
    (PLACE / "ready").touch()


class FaktoryWorker(EdgeScenario):
    def run_client(self, url):
        fetch()
        script = pathlib.Path(__file__).parent / "clients" / "faktory_worker.js"
        done = subprocess.run(["node", script, PLACE], env=environment(FAKTORY_URL=url), capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    def test_it_produces_and_works(self):
        server = self.serve(config='[edge]\nenabled = false\n[tasks]\npassword = "sesame"\n')
        host, port = server.doors["tasks"]
        said = self.run_client(f"tcp://:sesame@{host}:{port}")
        self.assertEqual(said, {"refusals": 0, "queued": 101, "distinct": 100, "done": 100, "failed": 1, "later": 1, "processed": 101, "failures": 1})


if __name__ == "__main__":
    unittest.main()
