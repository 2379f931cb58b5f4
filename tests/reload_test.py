"""SIGHUP and POST /api/v1/reload: what can change does, what is wrong changes nothing, open connections do not notice."""

import signal
import unittest

from harness import Connection, Load, Scenario, eventually, get


class Reload(Scenario):
    def write(self, upstream, more=""):
        return self.settings(f'[edge]\napp = ["{upstream.url}"]\n{more}')

    def test_upstreams_change_without_touching_open_connections(self):
        old, new = self.upstream("old"), self.upstream("new")
        path = self.write(old)
        server = self.headroom(config=path)
        with Connection(server.edge) as kept:
            self.assertEqual(kept.request("GET", "/").text(), "old\n")
            self.write(new)
            server.signal(signal.SIGHUP)
            eventually(lambda: get(server.edge, "/").text() == "new\n")
            self.assertEqual(kept.request("GET", "/").text(), "new\n")
            self.assertEqual(kept.answers, 2)

    def test_a_file_that_is_wrong_changes_nothing(self):
        app = self.upstream()
        path = self.write(app)
        server = self.headroom(config=path)
        self.settings('[edge]\napp = ["http://127.0.0.1:1"]\nheader_timeout = "soon"\n')
        server.signal(signal.SIGHUP)
        server.wait_for_line(r"reload: nothing changed: .*headroom\.toml:3")
        self.assertEqual(get(server.edge, "/").text(), "app\n")
        answer = server.api("POST", "/api/v1/reload")
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (400, "invalid"))
        self.assertIn("headroom.toml:3", answer.json()["error"]["message"])

    def test_a_file_that_lost_its_app_changes_nothing(self):
        server = self.headroom(config=self.write(self.upstream()))
        self.settings("")
        server.signal(signal.SIGHUP)
        server.wait_for_line("reload: nothing changed: no app is given any more")
        self.assertEqual(get(server.edge, "/").text(), "app\n")

    def test_the_answer_tells_what_changed_and_what_needs_a_restart(self):
        app = self.upstream()
        path = self.write(app)
        server = self.headroom(config=path)
        self.assertEqual(server.api("POST", "/api/v1/reload").json(), {"changes": [], "restart_needed": False})
        self.write(app, 'header_timeout = "3s"\n[server]\nworkers = 7\n')
        answer = server.api("POST", "/api/v1/reload").json()
        changes = {change["name"]: change for change in answer["changes"]}
        self.assertEqual(changes["edge.header_timeout"]["after"], "3s")
        self.assertTrue(changes["edge.header_timeout"]["applied"])
        self.assertEqual((changes["server.workers"]["after"], changes["server.workers"]["applied"]), (7, False))
        self.assertTrue(answer["restart_needed"])

    def test_100_reloads_under_load_lose_no_request(self):
        apps = [self.upstream("a"), self.upstream("b")]
        path = self.write(apps[0])
        server = self.headroom(config=path)
        with Load(server.edge, connections=6) as load:
            load.wait_for(50)
            for i in range(100):
                self.write(apps[i % 2])
                server.signal(signal.SIGHUP)
                load.wait_for(3)
        self.assert_no_failures(load)
        self.assertGreater(min(app.count for app in apps), 10)


if __name__ == "__main__":
    unittest.main()
