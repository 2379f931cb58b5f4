"""`headroom serve --take-over`: a new process takes the doors of the running one; no request is lost."""

import fcntl
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest

from harness import Connection, Load, Reply, Scenario, eventually, get, run
from harness.faktory import Faktory


class TakeOver(Scenario):
    def doors(self, server):
        return {"edge.listen": "127.0.0.1:%d" % server.edge[1], "admin.listen": "127.0.0.1:%d" % server.admin[1]}

    def successor(self, server, app, **settings):
        return self.headroom(app, arguments=["--take-over"], set={**self.doors(server), **settings}, wait=False)

    def test_20_take_overs_under_load_lose_no_request(self):
        app = self.upstream(answer=lambda request: Reply(delay=0.002))
        server = self.headroom([app])
        address = server.edge
        with Load(address, connections=4) as kept, Load(address, connections=4, keep_alive=False) as fresh:
            fresh.wait_for(20)
            for _ in range(20):
                old, server = server, self.successor(server, [app])
                server.wait_ready()
                self.assertEqual(server.edge, address)
                fresh.wait_for(10)
                self.assertEqual(old.wait(), 0)
        self.assert_no_failures(kept, fresh)

    def test_the_old_one_ends_what_it_has_begun(self):
        app = self.upstream(answer=lambda request: Reply(body=request.path, delay=0.8 if request.path == "/slow" else 0))
        old = self.headroom([app])
        with Connection(old.edge) as slow:
            slow.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            new = self.successor(old, [app]).wait_ready()
            self.assertEqual(get(new.edge, "/fast").text(), "/fast")
            self.assertEqual(slow.answer().text(), "/slow")
        self.assertEqual(old.wait(), 0)
        self.assertEqual(get(new.edge, "/after").text(), "/after")

    def test_the_new_one_may_have_another_number_of_workers(self):
        app = self.upstream()
        server = self.headroom([app], set={"server.workers": "4"})
        for workers in (1, 3):
            old, server = server, self.successor(server, [app], **{"server.workers": workers})
            server.wait_ready()
            self.assertEqual(old.wait(), 0)
            for _ in range(40):
                self.assertEqual(get(server.edge, "/", timeout=3).status, 200)

    def test_a_unix_socket_keeps_its_path(self):
        app = self.upstream()
        path = str(self.directory / "edge.sock")
        old = self.headroom([app], set={"edge.listen": f"unix:{path}"})
        with Load(path, connections=3, keep_alive=False) as load:
            for _ in range(3):
                new = self.headroom([app], arguments=["--take-over"], wait=False,
                                    set={"edge.listen": f"unix:{path}", "admin.listen": "127.0.0.1:%d" % old.admin[1]}).wait_ready()
                load.wait_for(10)
                self.assertEqual(old.wait(), 0)
                load.wait_for(10)
                old = new
        self.assert_no_failures(load)
        self.assertEqual(new.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_the_new_one_may_listen_elsewhere(self):
        app = self.upstream()
        old = self.headroom([app])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        new = self.successor(old, [app], **{"edge.listen": f"127.0.0.1:{port}"}).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertEqual(new.edge, ("127.0.0.1", port))
        self.assertEqual(get(new.edge, "/").status, 200)
        with self.assertRaises(ConnectionRefusedError):
            Connection(old.edge)

    def test_a_door_for_all_addresses(self):
        app = self.upstream()
        old = self.headroom([app], set={"edge.listen": ":0"})
        with Load(old.edge, connections=4, keep_alive=False) as load:
            load.wait_for(10)
            new = self.successor(old, [app], **{"edge.listen": ":%d" % old.edge[1]}).wait_ready()
            self.assertEqual(old.wait(), 0)
            load.wait_for(10)
        self.assert_no_failures(load)
        self.assertEqual(new.edge, old.edge)
        self.assertEqual(get(("::1" if socket.has_dualstack_ipv6() else "127.0.0.1", new.edge[1]), "/").status, 200)

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"], cwd=self.directory, check=True, capture_output=True)
        return {"edge.tls.cert": self.directory / "cert.pem", "edge.tls.key": self.directory / "key.pem", "edge.tls.listen": "127.0.0.1:0"}

    def test_a_tls_door_that_a_reload_opened(self):
        tls = self.make_certificate()
        app = self.upstream()
        path = self.settings(f'[edge]\napp = ["{app.url}"]\n')
        old = self.headroom(config=path)
        self.settings(path.read_text() + "[edge.tls]\n" + "".join(f'{name.removeprefix("edge.tls.")} = "{value}"\n' for name, value in tls.items()))
        old.signal(signal.SIGHUP)
        old.wait_for_line("^headroom: edge.tls listening")
        new = self.headroom(config=path, arguments=["--take-over"], set=self.doors(old), wait=False).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertEqual(new.doors, old.doors)
        context = ssl.create_default_context(cafile=self.directory / "cert.pem")
        with socket.create_connection(new.doors["edge.tls"], timeout=5) as sock, context.wrap_socket(sock, server_hostname="localhost"):
            pass

    def test_tls_sessions_are_resumed_by_the_new_one(self):
        tls = self.make_certificate()
        app = self.upstream()
        old = self.headroom([app], set=tls)
        context = ssl.create_default_context(cafile=self.directory / "cert.pem")
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # of 1.3 Python shows a session only after it has read

        def connect(session=None):
            return context.wrap_socket(socket.create_connection(old.doors["edge.tls"], timeout=5), server_hostname="localhost", session=session)

        with connect() as first:
            session = first.session
        new = self.successor(old, [app], **{**tls, "edge.tls.listen": "127.0.0.1:%d" % old.doors["edge.tls"][1]}).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertEqual(new.doors["edge.tls"], old.doors["edge.tls"])
        with connect(session) as again:
            self.assertTrue(again.session_reused)

    def test_if_the_new_one_fails_the_old_one_goes_on(self):
        app = self.upstream()
        old = self.headroom([app])
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            new = self.successor(old, [app], **{"admin.listen": "127.0.0.1:%d" % taken.getsockname()[1]})
            self.assertEqual(new.wait(), 1)
        old.wait_for_line("take-over: the new server has gone")
        self.assertEqual(get(old.edge, "/").status, 200)
        self.assertEqual(get(old.admin, "/readyz").status, 200)
        after = self.successor(old, [app]).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertEqual(get(after.edge, "/").status, 200)

    def test_a_new_one_that_fails_leaves_the_old_one_its_unix_socket(self):
        app = self.upstream()
        path = str(self.directory / "edge.sock")
        old = self.headroom([app], set={"edge.listen": f"unix:{path}"})
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            new = self.headroom([app], arguments=["--take-over"], wait=False, set={"edge.listen": f"unix:{path}", "admin.listen": "127.0.0.1:%d" % taken.getsockname()[1]})
            self.assertEqual(new.wait(), 1)
        old.wait_for_line("take-over: the new server has gone")
        for _ in range(5):
            self.assertEqual(get(path, "/").status, 200)

    def delivering(self):
        """A server that delivers a job, which lasts until `held` is set, and its successor, which waits for that."""
        self.held = threading.Event()
        self.addCleanup(self.held.set)
        self.delivered = []

        def answer(request):
            if request.path == "/jobs":
                self.delivered.append(request.headers["Headroom-Job"])
                self.held.wait(30)
            return Reply()

        self.app = self.upstream(answer=answer)
        self.config = self.directory / "push.toml"
        self.config.write_text(f'[[tasks.push]]\nqueue = "web"\nurl = "{self.app.url}/jobs"\nsecret = "x"\nallow = ["127.0.0.1"]\nat_once = 1\n')
        old = self.headroom([self.app], config=self.config)
        self.jobs = Faktory(old.doors["tasks"])
        self.addCleanup(self.jobs.close)
        self.jobs.push("push-first", queue="web")
        eventually(lambda: self.delivered == ["push-first"])
        new = self.delivering_successor(old)
        old.wait_for_line("1 push deliveries are let end")
        return old, new

    def delivering_successor(self, old):
        return self.headroom([self.app], config=self.config, arguments=["--take-over"], set=self.doors(old), wait=False)

    def assert_goes_on(self, old):
        old.wait_for_line("the new server has gone while deliveries ended; going on")
        self.jobs.push("push-second", queue="web")
        self.held.set()
        eventually(lambda: self.delivered == ["push-first", "push-second"])
        for _ in range(20):  # each a connection of its own
            self.assertEqual(get(old.edge, "/").status, 200)
        self.assertEqual(get(old.admin, "/readyz").status, 200)
        after = self.delivering_successor(old).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertEqual(get(after.edge, "/").status, 200)

    def test_if_the_new_one_dies_while_deliveries_end_the_old_one_goes_on(self):
        old, new = self.delivering()
        new.process.kill()
        new.process.wait()
        self.assert_goes_on(old)

    def test_a_new_one_ends_when_told_to_though_the_old_one_hangs(self):
        old, new = self.delivering()
        old.process.send_signal(signal.SIGSTOP)
        new.process.send_signal(signal.SIGTERM)
        self.assertEqual(new.wait(), 0)
        old.process.send_signal(signal.SIGCONT)
        self.assert_goes_on(old)

    def test_an_old_one_that_dies_when_it_has_handed_all_over_stops_nobody(self):
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        listens, tell = os.pipe()
        old = os.fork()
        if old == 0:  # hands its lock over, then is gone before the new one is ready
            listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            listening.bind(str(self.state_dir / "control.sock"))
            listening.listen()
            os.write(tell, b".")
            lock = os.open(self.state_dir, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            peer = listening.accept()[0]
            peer.recv(1000)
            socket.send_fds(peer, [b'{"lock":true}'], [lock])
            peer.send(b'{"end":true}')
            os._exit(0)
        self.assertEqual(os.read(listens, 1), b".")
        os.close(listens)
        os.close(tell)
        new = self.headroom([self.upstream()], arguments=["--take-over"], wait=False)
        self.assertEqual(os.waitpid(old, 0)[1], 0)
        new.wait_ready()
        new.wait_for_line("the server that ran has died")
        self.assertEqual(get(new.edge, "/").status, 200)
        after = self.successor(new, [self.upstream()]).wait_ready()  # and it can be taken over itself
        self.assertEqual(new.wait(), 0)
        self.assertEqual(get(after.edge, "/").status, 200)

    def test_alone_it_starts_as_usual_so_a_unit_can_always_pass_the_flag(self):
        server = self.headroom([self.upstream()], arguments=["--take-over"])
        server.wait_for_line("take-over: no server runs")
        self.assertEqual(get(server.edge, "/").status, 200)

    def test_without_the_flag_a_second_server_is_refused(self):
        self.headroom([self.upstream()])
        done = run("serve", "--set", f"server.state_dir={self.state_dir}", "--set", "admin.listen=127.0.0.1:0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use by another headroom", done.stderr)

    def test_the_socket_is_for_its_owner_alone(self):
        self.headroom([self.upstream()])
        path = self.state_dir / "control.sock"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)

    @unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
    def test_another_user_is_not_answered(self):
        server = self.headroom([self.upstream()])
        for path in (self.directory, self.state_dir, self.state_dir / "control.sock"):
            path.chmod(0o777)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setuid(65534)
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
                    asking.connect(str(self.state_dir / "control.sock"))
                    asking.settimeout(3)
                    asking.send(b'{"take_over":1}')
                    code = 0 if asking.recv(1000) == b"" else 2
            except OSError:
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        server.wait_for_line("belongs to another user")

    def test_nonsense_on_the_socket_changes_nothing(self):
        server = self.headroom([self.upstream()])
        for words in (b"hello", b"{}", b'{"take_over":"x"}', b"\x00" * 1000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
                asking.connect(str(self.state_dir / "control.sock"))
                asking.send(words)
                asking.settimeout(5)
                self.assertEqual(asking.recv(1000), b"")
        # Who asks and then goes away, or says nothing for a while, holds nothing up.
        silent = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        silent.connect(str(self.state_dir / "control.sock"))
        self.assertEqual(get(server.edge, "/").status, 200)
        time.sleep(2.2)
        silent.close()
        self.assertEqual(get(server.admin, "/readyz").status, 200)

    def test_a_long_state_dir_works(self):
        deep = self.directory / ("d" * 100) / ("e" * 100)
        app = self.upstream()
        old = self.headroom([app], state_dir=deep)
        new = self.headroom([app], state_dir=deep, arguments=["--take-over"], set=self.doors(old), wait=False).wait_ready()
        self.assertEqual(old.wait(), 0)
        self.assertTrue((pathlib.Path(deep) / "control.sock").is_socket())
        self.assertEqual(new.stop(), 0)
        self.assertFalse((pathlib.Path(deep) / "control.sock").exists())


if __name__ == "__main__":
    unittest.main()
