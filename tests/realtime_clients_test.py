"""Clients from npm, unmodified, against the hub: pusher-js, laravel-echo and pusher (tests/clients/pusher.mjs), with one worker and with several."""

import os
import pathlib
import subprocess
import unittest

from harness.hub import APP, ID, KEY, SECRET, HubScenario, free_port
from harness.npm import installed

PACKAGES = {
    "pusher-js": ("8.6.0", "sha512-wShJPfCS/kYkCBVzVW67wa9cnQIgHTszEK2XHNrFkOgGruuGw081aERAxfRjfdFU+WcIt8x6dvbwkTW4iZuQ8Q=="),
    "laravel-echo": ("2.5.0", "sha512-h/4iS6lyxbLRJOteLEg9yodFT0xyK1e2N7tknKFwHdPhIsLdUl6uGGXptio8ugtIUKrmlEazW3/04iU+iVJYWg=="),
    "pusher": ("5.3.4", "sha512-gA7NpPRsQW9qpry/Ov+o9KKIPaRMziiDoEtiZ6EF0+QiSdsnT49+dH7+hf0Dvd4d+HEGQDHp6VXtrVM5DDrpmw=="),
}
SCRIPT = pathlib.Path(__file__).resolve().parent / "clients" / "pusher.mjs"


class NpmClients(HubScenario):
    def suite(self, workers):
        hooks = free_port()
        server = self.serve(self.answers(lambda request: b"the app's own"), set={"server.workers": workers},
                            config=APP + f'subscription_count = true\nwebhook_url = "http://127.0.0.1:{hooks}/"\n')
        environment = os.environ | {"PACKAGES": str(installed("pusher", PACKAGES)), "PORT": str(server.edge[1]), "HOOKS": str(hooks), "ID": ID, "KEY": KEY, "SECRET": SECRET}
        done = subprocess.run(["node", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])
        self.assertIn("passed 14 of 14", done.stdout)

    def test_the_suite_on_one_worker(self):
        self.suite(1)

    def test_the_suite_on_three_workers(self):
        self.suite(3)


if __name__ == "__main__":
    unittest.main()
