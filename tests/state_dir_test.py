"""A state directory that cannot be used: refused at the start with its path, survived while running."""

import os
import unittest

from harness import Scenario, eventually, get, run
from harness.disk import SmallDisk


class StateDirectory(Scenario):
    def refused(self, path, *words):
        done = run("serve", "--set", f"server.state_dir={path}", "--set", "admin.listen=127.0.0.1:0")
        self.assertEqual(done.returncode, 1, done.stderr)
        for word in (str(path), *words):
            self.assertIn(word, done.stderr)

    def test_a_file_in_its_place_is_refused(self):
        path = self.directory / "file"
        path.write_text("")
        self.refused(path)
        self.refused(path / "below")

    def test_one_that_others_may_write_in_is_refused(self):
        path = self.directory / "open"
        path.mkdir()
        path.chmod(0o777)
        self.refused(path, "others may write")

    def test_a_relative_path_is_bad_usage(self):
        self.assertEqual(run("serve", "--set", "server.state_dir=relative").returncode, 2)

    def test_its_parents_are_made_and_private(self):
        path = self.directory / "a" / "b" / "c"
        self.headroom(state_dir=path)
        self.assertEqual(path.stat().st_mode & 0o777, 0o700)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_what_root_makes_beside_another_users_server_is_that_users(self):
        self.state_dir.mkdir(mode=0o700)
        os.chown(self.state_dir, 65534, 65534)
        done = run("token", "create", "--name", "ops", "--role", "viewer", "--set", f"server.state_dir={self.state_dir}")
        self.assertEqual(done.returncode, 0, done.stderr)
        made = sorted(self.state_dir.iterdir())
        self.assertIn("tokens.db", [each.name for each in made])
        self.assertEqual({(each.stat().st_uid, each.stat().st_gid) for each in made}, {(65534, 65534)})

    def test_a_damaged_file_of_tokens_costs_the_tokens_and_nothing_else(self):
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "tokens.db").write_bytes(b"this is no database " * 300)
        server = self.headroom([self.upstream()])
        self.assertEqual(get(server.edge, "/").text(), "app\n")
        self.assertEqual(get(server.admin, "/readyz").status, 200)
        server.wait_for_line("error server: tokens: .*tokens.db")
        self.assertEqual(get(server.admin, "/health").json()["status"], "degraded")
        self.assertIn('headroom_monitor_component_state{component="tokens"} 1', get(server.admin, "/metrics").text())
        # It is tried again: once the file is gone, a new one is made.
        (self.state_dir / "tokens.db").unlink()
        server.wait_for_line("tokens can be read again", timeout=5)
        self.assertEqual(server.api("GET", "/api/v1/overview").status, 200)


class FullDisk(SmallDisk, Scenario):
    DISK = "1m"

    def test_a_disk_that_fills_up_costs_new_tokens_and_nothing_else(self):
        server = self.headroom([self.upstream()])
        token = server.token("admin")
        self.fill()
        answers = [server.api("POST", "/api/v1/tokens", {"name": f"n{i}" + "x" * 40, "role": "viewer"}, token) for i in range(60)]
        refused = [answer for answer in answers if answer.status != 201]
        self.assertTrue(refused)
        self.assertEqual({(a.status, a.json()["error"]["code"]) for a in refused}, {(503, "overloaded")})
        self.assertEqual(get(server.edge, "/").text(), "app\n")
        self.assertEqual(get(server.admin, "/readyz").status, 200)
        self.assertEqual(server.api("GET", "/api/v1/overview", token=token).status, 200)
        self.make_room()
        eventually(lambda: server.api("POST", "/api/v1/tokens", {"name": "again", "role": "viewer"}, token).status == 201)

    def test_a_full_disk_does_not_stop_a_start(self):
        self.fill()
        server = self.headroom([self.upstream()])
        self.assertEqual(get(server.edge, "/").text(), "app\n")
        self.assertEqual(get(server.admin, "/readyz").status, 200)
        self.make_room()
        server.wait_for_line("tokens can be read again", timeout=5)


if __name__ == "__main__":
    unittest.main()
