"""`headroom top` on a terminal of its own: what it shows, within 80 columns, what it says when it cannot, and that the terminal is given back."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import unittest

from harness import Load, Scenario, binary, eventually, run
from harness.process import environment


class Screen:
    """`headroom top` on a pty of `rows` x `columns`; `said` is all it wrote."""

    def __init__(self, arguments, env, rows=24, columns=80):
        self.pty, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(other)
        self.process = subprocess.Popen([binary(), "top", *arguments], stdin=other, stdout=other, stderr=subprocess.PIPE, text=True,
                                        env=environment(**env), start_new_session=True)
        self.other = other
        self.said = b""

    def read(self, timeout=0.1):
        while select.select([self.pty], [], [], timeout)[0]:
            self.said += os.read(self.pty, 65536)
            timeout = 0
        return self.said.decode()

    def frames(self):
        """The lines of each picture, without colours."""
        whole = [part.split("\x1b[J")[0] for part in self.read().split("\x1b[H")[1:] if "\x1b[J" in part]
        return [re.sub(r"\x1b\[(\d+m|K)", "", frame).split("\r\n") for frame in whole]

    def key(self, text):
        os.write(self.pty, text.encode())

    def end(self):
        code = self.process.wait(10)
        self.read(0)
        return code, self.process.stderr.read()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        os.close(self.pty)
        os.close(self.other)


class Top(Scenario):
    def door(self, server):
        return ["--set", "admin.listen=%s:%d" % server.admin]

    def screen(self, server, env, **more):
        made = Screen(self.door(server), env, **more)
        self.addCleanup(made.close)
        return made

    def once(self, server, *arguments, env=None):
        return run("top", "--once", *self.door(server), *arguments, env=env)

    def test_once_prints_the_overview_within_80_columns(self):
        server = self.headroom([self.upstream()])
        token = server.token("viewer")
        with Load(server.edge, connections=2) as load:
            load.wait_for(50)
        eventually(lambda: server.api("GET", "/api/v1/now").json()["last_minute"]["requests"]["total"] >= 50, 20, 0.1)  # sampled each second
        done = self.once(server, env={"HEADROOM_TOKEN": token})
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        self.assertRegex(done.stdout, r"(?m)^headroom \d+\.\d+\.\d+  127\.0\.0\.1:\d+  serving, ok  up \d+ s  \d+ workers$")
        self.assertNotIn("\x1b", done.stdout)
        for wanted in (r"^requests  ", r"^latency   mean ", r"^process   cpu ", r"^cache     hits ", r"^tasks     waiting 0", r"^SERVER +STATE ", r"^app http://127.* up ",
                       r"^default +\d+ "):
            self.assertRegex(done.stdout, re.compile(wanted, re.M))
        shown = int(re.search(r"(?m)^default +(\d+) ", done.stdout)[1])
        self.assertGreaterEqual(shown, load.done)

    def test_a_token_comes_from_a_file_too(self):
        server = self.headroom([self.upstream()])
        path = self.directory / "token"
        path.write_text(server.token("viewer") + "\n")
        self.assertEqual(self.once(server, "--token-file", path).returncode, 0)

    def test_what_keeps_it_from_answering_is_said(self):
        server = self.headroom([self.upstream()])
        for arguments, env, code, why in (
            ([], {}, 2, "no token: make one with `headroom token create"),
            ([], {"HEADROOM_TOKEN": "hr_wrong"}, 1, "the token is not accepted"),
            ([], {"HEADROOM_TOKEN": "a\r\nHost: b"}, 2, "that is no token"),
            (["--token-file", str(self.directory / "none")], {}, 2, "none cannot be read"),
            (["--set", "admin.enabled=false"], {"HEADROOM_TOKEN": "x"}, 2, "there is nobody to ask"),
        ):
            done = self.once(server, *arguments, env=env)
            self.assertEqual((done.returncode, done.stdout), (code, ""), why)
            self.assertIn(why, done.stderr)
        door = self.door(server)
        done = run("top", *door, env={"HEADROOM_TOKEN": "x"})
        self.assertEqual(done.returncode, 2)
        self.assertIn("--once", done.stderr)
        server.stop()
        done = run("top", "--once", *door, env={"HEADROOM_TOKEN": "x"})
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"the admin door at 127\.0\.0\.1:\d+: ")

    def test_what_answers_nothing_or_something_else_is_not_waited_for_for_long(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            done = run("top", "--once", "--set", "admin.listen=127.0.0.1:%d" % silent.getsockname()[1], env={"HEADROOM_TOKEN": "x"})
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn("no answer within 5 s", done.stderr)
        other = self.upstream()  # says 200 and "app" to everything
        done = run("top", "--once", "--set", "admin.listen=127.0.0.1:%s" % other.url.rpartition(":")[2], env={"HEADROOM_TOKEN": "x"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("is this Headroom's admin door?", done.stderr)

    def test_it_shows_a_new_picture_each_second_until_q_and_gives_the_terminal_back(self):
        server = self.headroom([self.upstream()])
        screen = self.screen(server, {"HEADROOM_TOKEN": server.token("viewer")})
        with Load(server.edge, connections=2):
            eventually(lambda: len(screen.frames()) >= 3)
        pictures = screen.frames()
        for picture in pictures:
            self.assertLessEqual(len(picture), 24)
            self.assertLessEqual(max(map(len, picture)), 80)
        rates = [line.split()[2] for picture in pictures for line in picture if line.startswith("default ")]
        self.assertEqual(rates[0], "-")
        self.assertRegex(rates[1], r"^[\d.]+k?$")
        screen.key("q")
        self.assertEqual(screen.end(), (0, ""))
        self.assertTrue(screen.said.endswith(b"\x1b[?25h\x1b[?1049l"))
        self.assertEqual(termios.tcgetattr(screen.other), screen.before)

    def test_a_signal_gives_the_terminal_back_too(self):
        server = self.headroom([self.upstream()])
        screen = self.screen(server, {"HEADROOM_TOKEN": server.token("viewer")})
        eventually(screen.frames)
        screen.process.send_signal(signal.SIGTERM)
        self.assertEqual(screen.end()[0], 0)
        self.assertTrue(screen.said.endswith(b"\x1b[?25h\x1b[?1049l"))
        self.assertEqual(termios.tcgetattr(screen.other), screen.before)

    def test_a_server_that_goes_is_said_and_it_recovers(self):
        app = self.upstream()
        server = self.headroom([app])
        screen = self.screen(server, {"HEADROOM_TOKEN": server.token("viewer")})
        eventually(screen.frames)
        server.kill()
        eventually(lambda: "the admin door at" in screen.frames()[-1][0])
        self.headroom([app], set={"admin.listen": "127.0.0.1:%d" % server.admin[1]})
        eventually(lambda: screen.frames()[-1][0].startswith("headroom "))
        screen.key("q")
        self.assertEqual(screen.end()[0], 0)

    def test_a_narrow_and_low_terminal_is_not_overrun(self):
        server = self.headroom([self.upstream()])
        screen = self.screen(server, {"HEADROOM_TOKEN": server.token("viewer")}, rows=8, columns=40)
        for picture in eventually(screen.frames):
            self.assertLessEqual((len(picture), max(map(len, picture))), (8, 40))

    def test_a_server_that_is_out_is_told_with_its_state(self):
        config = self.settings('[[edge.upstreams]]\nname = "app"\nservers = ["http://127.0.0.1:1"]\n[edge.upstreams.health]\npath = "/"\ninterval = "100ms"\n')
        server = self.headroom(config=config, wait=False)
        server.wait_for_line("admin listening")
        token = server.token("viewer")
        env = {"HEADROOM_TOKEN": token}
        eventually(lambda: re.search(r"(?m)^app http://127\.0\.0\.1:1 +down", self.once(server, env=env).stdout))
        self.assertIn("  edge.upstreams.app ", self.once(server, env=env).stdout)


class Health(Scenario):
    def test_it_is_the_probe_as_an_exit_code(self):
        server = self.headroom([self.upstream()])
        door = ["--set", "admin.listen=%s:%d" % server.admin]
        for probe in ("livez", "readyz", "startupz"):
            done = run("health", probe, *door)
            self.assertEqual((done.returncode, done.stdout), (0, "ok\n"))
        self.assertEqual(run("health", "nonsense", *door).returncode, 2)
        server.kill()
        done = run("health", *door)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the admin door at", done.stderr)


if __name__ == "__main__":
    unittest.main()
