"""The operator's guide: its commands run one after the other against one server, and its errors are those that are met."""

import pathlib
import re
import subprocess
import unittest

from harness import Reply, Scenario, binary, eventually, get, request, run
from harness.process import ROOT, environment

GUIDE = (ROOT / "docs/operations.md").read_text()
SETTINGS = """
[[edge.warm]]
origin = "http://shop.example"
urls = ["/"]
"""


class Commands(Scenario):
    def test_every_command_that_can_be_run_here_is_run_in_order(self):
        app = self.upstream()
        config = self.settings(SETTINGS)
        server = self.headroom([app], config=config)
        # The next process of the guide finds the same doors.
        config = self.settings(f'{SETTINGS}[server]\nstate_dir = "{self.state_dir}"\n[edge]\nlisten = "127.0.0.1:{server.edge[1]}"\napp = ["{app.url}"]\n'
                               f'[admin]\nlisten = "127.0.0.1:{server.admin[1]}"\n', "doors.toml")
        blocks = re.findall(r"\*run:\*\n```sh\n(.*?)```", GUIDE, re.S)
        self.assertGreaterEqual(len(blocks), 6)
        work = self.directory / "work"
        work.mkdir()
        for block in blocks:
            text = block.replace("127.0.0.1:9090", "%s:%d" % server.admin).replace("/etc/headroom/headroom.toml", str(config))
            takes_over = "--take-over &" in text
            text = text.replace("--take-over &", "--take-over >next.log 2>&1 & echo $! >next.pid")
            how = "exec" if takes_over else "command"  # so that $! is the server's own number
            # `headroom token create --name ops ... >token` is good within a second.
            text = re.sub(r"(>token)\n", r"\1\nsleep 1.5\n", text)
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", 'headroom() { %s "$HEADROOM" "$@"; }\n' % how + text], cwd=work, capture_output=True, text=True, timeout=60,
                                  env=environment(HEADROOM=binary(), HEADROOM_CONFIG=str(config)))
            self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}{done.stderr}")
            if takes_over:
                number = (work / "next.pid").read_text().strip()
                self.addCleanup(eventually, lambda: not pathlib.Path("/proc", number).exists(), 20)
                self.addCleanup(subprocess.run, ["kill", number])
                self.assertEqual(server.wait(), 0)
                self.assertEqual(get(server.edge, "/").status, 200)
        self.assertEqual({path.name for path in (work / "backup.new").iterdir()}, {path.name for path in self.state_dir.glob("*.db")})
        self.assertIn("HorizontalPodAutoscaler", (work / "headroom.yaml").read_text())


class Errors(Scenario):
    def met(self, said, message):
        self.assertIn(message, said)
        self.assertIn(f"`{message}`", GUIDE)

    def refused(self, *arguments, code=1):
        done = run("serve", *arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def test_what_keeps_it_from_starting(self):
        server = self.headroom([self.upstream()])
        free = ["--set", "edge.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]
        self.met(self.refused("--config", self.settings("[edge]\nlistn = 1\n"), code=2), "unknown setting 'edge.listn'; did you mean 'listen'?")
        self.met(self.refused("--set", f"server.state_dir={self.state_dir}", *free), "is in use by another headroom")
        self.met(self.refused("--set", f"server.state_dir={self.directory}/other", *free, "--app", "http://127.0.0.1:1", "--set", "edge.listen=127.0.0.1:%d" % server.edge[1]),
                 "Address already in use")
        everybodys = self.directory / "everybodys"
        everybodys.mkdir()
        everybodys.chmod(0o777)
        self.met(self.refused("--set", f"server.state_dir={everybodys}", *free), "others may write in it")

    def test_an_app_that_thinks_too_long(self):
        slow = self.upstream(answer=lambda request: Reply(delay=1.0))
        server = self.headroom([slow], config=self.settings('[[edge.routes]]\npath = "/"\nfirst_byte_timeout = "100ms"\n'))
        answer = get(server.edge, "/")
        self.assertEqual(answer.status, 504)
        self.met(answer.text(), "the application did not answer in time")

    def test_what_it_answers(self):
        server = self.headroom(["http://127.0.0.1:1"])
        viewer = {"Authorization": f"Bearer {server.token('viewer')}"}
        eventually(lambda: get(server.edge, "/").status == 503)
        self.met(get(server.edge, "/").text(), "no server of the application can take this request now")
        self.met(get(server.admin, "/livez", {"Host": "ops.example"}).text(), "Host is not an IP address, localhost or a name in [admin] hosts")
        self.met(get(server.admin, "/api/v1/overview").text(), "a token is needed")
        self.met(request(server.admin, "POST", "/api/v1/reload", viewer).text(), "this needs the role admin, not viewer")
        self.met(request(server.admin, "POST", "/api/v1/cache/clear", {**viewer, "Content-Type": "text/plain"}, b"{}").text(), "the body must be application/json")
        self.met(run("top", "--once", "--set", "admin.listen=%s:%d" % server.admin, env={"HEADROOM_TOKEN": "hr_wrong"}).stderr, "the token is not accepted")
        self.met("\n".join(self.headroom(state_dir=self.directory / "other").lines), "edge does not listen: no app is given")


if __name__ == "__main__":
    unittest.main()
