"""kill -9, again and again: what starts next listens within a second, on the same ports, with the same tokens."""

import re
import time
import unittest

from harness import Load, Scenario, get
from harness.process import ROOT


class CrashLoop(Scenario):
    def test_ten_crashes_under_load_each_followed_by_a_start_within_a_second(self):
        app = self.upstream()
        server = self.headroom([app])
        token = server.token("viewer")
        doors = {"edge.listen": "127.0.0.1:%d" % server.edge[1], "admin.listen": "127.0.0.1:%d" % server.admin[1]}
        slowest = 0.0
        for _ in range(10):
            with Load(server.edge, connections=2) as load:
                load.wait_for(20)
                server.kill()
            began = time.monotonic()
            server = self.headroom([app], set=doors)
            self.assertEqual(get(server.edge, "/").status, 200)
            slowest = max(slowest, time.monotonic() - began)
            answer = get(server.admin, "/api/v1/overview", {"Authorization": f"Bearer {token}"})
            self.assertEqual(answer.status, 200)
            self.assertTrue((self.state_dir / "control.sock").is_socket())
        self.assertLess(slowest, 1.0)
        self.assertEqual(server.stop(), 0)
        self.assertFalse((self.state_dir / "control.sock").exists())

    def test_under_the_unit_s_rules_it_answers_again_within_a_second_of_each_crash(self):
        unit = (ROOT / "deploy/systemd/headroom.service").read_text()
        self.assertIn("\nRestart=on-failure\n", unit)
        self.assertIn("\nStartLimitIntervalSec=0\n", unit)  # never given up
        pause = int(re.search(r"(?m)^RestartSec=(\d+)ms$", unit)[1]) / 1000
        app = self.upstream()
        server = self.headroom([app])
        doors = {"edge.listen": "127.0.0.1:%d" % server.edge[1], "admin.listen": "127.0.0.1:%d" % server.admin[1]}
        slowest = 0.0
        for _ in range(5):
            server.kill()
            crashed = time.monotonic()
            time.sleep(pause)
            server = self.headroom([app], set=doors, arguments=["--take-over"])
            self.assertEqual(get(server.edge, "/").status, 200)
            slowest = max(slowest, time.monotonic() - crashed)
        self.assertLess(slowest, 1.0)

    def test_a_leftover_of_another_kind_does_not_stop_it(self):
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "control.sock").write_text("not a socket")
        server = self.headroom([self.upstream()])
        self.assertTrue((self.state_dir / "control.sock").is_socket())
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
