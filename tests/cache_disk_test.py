"""The cache's disk: large values, warm restarts, kill -9, torn files, a full disk, and that it recovers."""

import os
import signal
import stat
import subprocess
import unittest

from harness import eventually
from harness.disk import fill
from harness.edge import EdgeScenario, answering, ask, metric, reply

ENTRIES = "/api/v1/cache/entries/"
DISK = {"cache.jitter": 0, "cache.disk_limit": "64MiB", "cache.memory_limit": "16MiB"}
WARM = {**DISK, "cache.persist": "true"}


class Disk(EdgeScenario):
    def start(self, app=(), set=WARM, **options):
        server = self.headroom(app, set=set, **options)
        eventually(lambda: metric(server, "headroom_cache_disk_up") == 1)
        return server

    def put(self, server, key, value, query="class=static"):
        answer = server.api("PUT", f"{ENTRIES}{key}?{query}", value)
        self.assertEqual((answer.status, answer.json().get("kept")), (200, True), answer)

    def get(self, server, key):
        answer = server.api("GET", ENTRIES + key)
        return answer.body if answer.status == 200 else answer.status

    def disk(self, server):
        return server.api("GET", "/api/v1/cache/stats").json()["disk"]

    def written(self, server, count):
        eventually(lambda: self.disk(server)["written"] >= count, what=f"{count} copies are written")

    def files(self):
        return [path for path in (self.state_dir / "cache/files").iterdir() if len(path.name) == 16]

    def again(self, server, how=signal.SIGKILL, app=(), **options):
        server.signal(how)
        server.wait()
        return self.start(app, **options)

    def _end(self, server):
        if server.process.poll() is None:
            super()._end(server)
        else:
            server.process.stderr.close()  # ended by the test


class Restart(Disk):
    def test_a_restart_is_warm_after_an_orderly_end_and_after_a_kill(self):
        server = self.start()
        for i in range(20):
            self.put(server, f"k{i}", f"value {i}", f"class=static&tags=all,t{i}")
        self.put(server, "large", b"x" * 1000000)
        self.written(server, 21)
        for how in (signal.SIGTERM, signal.SIGKILL):
            server = self.again(server, how)
            self.assertEqual([self.get(server, f"k{i}") for i in range(20)], [b"value %d" % i for i in range(20)])
            self.assertEqual(self.get(server, "large"), b"x" * 1000000)
            self.assertAlmostEqual(float(server.api("GET", ENTRIES + "k3").field("Headroom-TTL")), 3600, delta=60)
        self.assertEqual(metric(server, "headroom_cache_hits_total", tier="disk"), 21)

    def test_what_was_invalidated_before_a_kill_is_not_served_after_it(self):
        server = self.start()
        for name in ("tagged", "pre:fixed", "pat:x:tern", "erased", "replaced", "soft", "entity", "kept"):
            self.put(server, name, "old " + name, f"class=static&tags={name}")
        self.written(server, 8)
        for path, body in [("clear-tags", {"tags": ["tagged"]}), ("clear", {"prefix": "pre:"}), ("clear", {"pattern": "pat:*n"}),
                           ("clear", {"tags": ["soft"], "soft": True}), ("clear", {"entity": "entity"})]:
            self.assertEqual(server.api("POST", "/api/v1/cache/" + path, body).status, 200)
        self.assertEqual(server.api("DELETE", ENTRIES + "erased").status, 200)
        self.put(server, "replaced", "new", "ttl=1s")  # not worth a copy
        server = self.again(server)
        self.assertEqual(self.get(server, "kept"), b"old kept")
        for name in ("tagged", "pre:fixed", "pat:x:tern", "erased", "replaced", "soft", "entity"):
            self.assertNotEqual(self.get(server, name), b"old " + name.encode(), name)
        for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):  # nor ever after
            server = self.again(server, how)
            self.assertEqual([self.get(server, name) for name in ("tagged", "erased", "kept")], [404, 404, b"old kept"])

    def test_what_is_written_and_invalidated_at_once_is_not_served_after_a_kill(self):
        server = self.start()
        for i in range(300):
            self.put(server, f"k{i}", b"v" * 5000, f"class=static&tags=t{i % 7}")
        self.assertEqual(server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["t1", "t4"]}).status, 200)
        server = self.again(server)
        wrong = [i for i in range(300) if i % 7 in (1, 4) and self.get(server, f"k{i}") != 404]
        self.assertEqual(wrong, [])

    def test_who_takes_over_gets_the_copies_when_the_old_one_has_ended(self):
        app = self.script(answering(lambda request: b"app"))
        old = self.start([app])
        for name in ("kept", "dropped by the old", "dropped by the new"):
            self.put(old, name.replace(" ", "-"), name)
        self.written(old, 3)
        self.assertEqual(old.api("DELETE", ENTRIES + "dropped-by-the-old").status, 200)
        waiting = self.client(old).request("GET", "/")  # keeps the old one for a moment
        new = self.headroom([app], set=WARM, arguments=["--take-over"])
        self.assertEqual(new.api("DELETE", ENTRIES + "dropped-by-the-new").status, 200)
        self.assertEqual(waiting.answer().body, b"app")
        self.assertEqual(old.wait(), 0)
        eventually(lambda: metric(new, "headroom_cache_disk_up") == 1)
        self.assertEqual([self.get(new, name) for name in ("kept", "dropped-by-the-old", "dropped-by-the-new")], [b"kept", 404, 404])

    def test_pages_are_warm_too(self):
        served = []

        def answer(request):
            served.append(request)
            return reply(200, str(len(served)).encode() * (200000 if request.target == "/large" else 1),
                         ["Cache-Control: max-age=600", "ETag: \"v1\"", "Surrogate-Key: news", "Vary: Accept-Language"])

        app = self.script(answering(answer))
        server = self.start([app])
        for target in ("/page", "/large", "/purged"):
            ask(server.edge, target=target)
        self.written(server, 3)
        host = "http://test.example/purged"
        self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"key": host}).status, 200)
        server = self.again(server, app=[app])
        page, large = ask(server.edge, target="/page"), ask(server.edge, target="/large")
        self.assertEqual((page.body, len(large.body), len(served)), (b"1", 200000, 3))
        self.assertIn("hit", large.get("cache-status"))
        self.assertFalse(page.has("surrogate-key"))
        self.assertEqual(ask(server.edge, target="/purged").body, b"4")
        self.assertEqual(server.api("POST", "/api/v1/cache/clear-tags", {"tags": ["news"]}).status, 200)
        self.assertEqual(ask(server.edge, target="/page").body, b"5")

    def test_without_persist_nothing_is_left(self):
        server = self.start(set=DISK)
        self.put(server, "large", os.urandom(200000))
        self.put(server, "small", b"x")
        self.written(server, 1)
        self.assertEqual(len(self.files()), 1)
        server = self.again(server, set=DISK)
        self.assertEqual((self.get(server, "large"), self.files()), (404, []))
        self.put(server, "large", os.urandom(200000))
        self.written(server, 1)
        server.signal(signal.SIGTERM)
        server.wait()
        self.assertEqual(self.files(), [])


class Large(Disk):
    def test_what_the_memory_has_no_more_is_read_from_the_disk(self):
        served = []

        def answer(request):
            served.append(request)
            return reply(200, request.target.encode() * (1000000 // len(request.target)), ["Cache-Control: max-age=600"])

        server = self.start([self.script(answering(answer))], set=DISK)
        pages = [f"/{i:03}" for i in range(40)]  # 40 MB in 16 MiB
        for page in pages:
            ask(server.edge, target=page)
        self.written(server, 40)
        for page in pages:
            answer = ask(server.edge, target=page)
            self.assertEqual(answer.body, page.encode() * 250000, page)
        self.assertEqual(len(served), 40)
        self.assertGreater(metric(server, "headroom_cache_hits_total", tier="disk"), 20)
        self.assertLess(metric(server, "headroom_cache_bytes", tier="memory"), 17 << 20)

    def test_what_is_too_large_for_the_memory_is_kept_on_disk(self):
        served = []

        def answer(request):
            served.append(request)
            return reply(200, bytes(range(256)) * 40000, ["Cache-Control: max-age=600"])  # 10 MB, of 16 MiB a tenth may be kept

        server = self.start([self.script(answering(answer))], set=DISK)
        for _ in range(3):
            self.assertEqual(ask(server.edge, target="/large").body, bytes(range(256)) * 40000)
            self.written(server, 1)
        self.assertEqual(len(served), 1)

    def test_the_disk_has_its_bound_and_files_are_nobody_elses(self):
        server = self.start(set={**WARM, "cache.disk_limit": "2MiB"})
        for i in range(60):
            self.put(server, f"k{i}", os.urandom(100000))
            self.assertLessEqual(self.disk(server)["bytes"], 2 << 20)
        eventually(lambda: self.disk(server)["written"] + self.disk(server)["skipped"] == 60)
        eventually(lambda: metric(server, "headroom_cache_removals_total", tier="disk", cause="capacity") > 30)
        eventually(lambda: sum(path.stat().st_size for path in self.files()) <= 2 << 20)
        for path in [self.state_dir / "cache", *(self.state_dir / "cache").rglob("*")]:
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path)
        too_large = server.api("PUT", f"{ENTRIES}k?class=static", os.urandom(1500000))
        self.assertEqual(too_large.status, 200)
        self.assertEqual(len(self.get(server, "k")), 1500000)


class Broken(Disk):
    def test_torn_and_foreign_files_are_dropped(self):
        server = self.start()
        values = [os.urandom(300000) for _ in range(8)]
        for i, value in enumerate(values):
            self.put(server, f"k{i}", value)
        self.written(server, 8)
        server.signal(signal.SIGKILL)
        server.wait()
        for name, harm in [(b"0", lambda data: data[:-1]), (b"1", lambda data: data[:60]), (b"2", lambda data: b""), (b"3", lambda data: data + b"x"),
                           (b"4", lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:])]:
            path = next(path for path in self.files() if b"k" + name + b"static" in path.read_bytes()[:400])
            path.write_bytes(harm(path.read_bytes()))
        inside = next(path for path in self.files() if b"k5static" in path.read_bytes()[:400])
        data = inside.read_bytes()
        inside.write_bytes(data[:200000] + bytes([data[200000] ^ 1]) + data[200001:])  # found when it is read
        folder = self.state_dir / "cache/files"
        (folder / "0000000000000099").write_bytes(b"HRcache1" + b"\xff" * 200)
        (folder / "notes.txt").write_bytes(b"what is this")
        (folder / "00000000000000aa.part").write_bytes(b"half")
        (folder / "00000000000000bb").symlink_to("/etc/passwd")
        server = self.start()
        self.assertEqual([self.get(server, f"k{i}") for i in range(6)], [404] * 6)
        self.assertEqual([self.get(server, f"k{i}") for i in (6, 7)], values[6:])
        eventually(lambda: len(self.files()) == 2)
        self.assertEqual([path for path in folder.iterdir() if len(path.name) != 16], [])
        eventually(lambda: metric(server, "headroom_cache_disk_errors_total") == 1)
        self.put(server, "k0", b"new" * 100000)  # and it recovers
        self.written(server, 1)
        self.assertEqual(self.get(self.again(server), "k0"), b"new" * 100000)

    def test_a_journal_that_is_damaged_makes_a_cold_start(self):
        server = self.start()
        self.put(server, "k", "value")
        self.written(server, 1)
        server.signal(signal.SIGKILL)
        server.wait()
        journal = self.state_dir / "cache/journal"
        journal.write_bytes(journal.read_bytes()[:1000])
        server = self.start()
        self.assertEqual((self.get(server, "k"), self.files()), (404, []))

    def test_a_directory_that_cannot_be_used_costs_only_the_disk(self):
        self.state_dir.mkdir(mode=0o700)
        (self.state_dir / "cache").write_text("a file")
        server = self.headroom([], set=WARM)
        server.wait_for_line("disk: .*is not a directory of ours; off until it works again")
        self.put(server, "k", "value")
        self.assertEqual(self.get(server, "k"), b"value")
        (self.state_dir / "cache").unlink()
        eventually(lambda: metric(server, "headroom_cache_disk_up") == 1)  # and it recovers
        self.put(server, "k2", "value")
        self.written(server, 1)

    def test_a_full_disk_turns_it_off_and_room_turns_it_on_again(self):
        volume = self.state_dir / "cache"
        self.state_dir.mkdir(mode=0o700)
        volume.mkdir(mode=0o700)
        # A file system of its own, which ends with the process.
        script = f'mount -t tmpfs -o size=12m,mode=0700 tmpfs "{volume}" && exec "$@"'
        shell = ["unshare", "--mount", "--propagation", "private", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", script, "sh"]
        if subprocess.run([*shell, "true"], capture_output=True).returncode != 0:
            self.skipTest("no mount namespaces here")
        server = self.headroom([], set=WARM, wrapper=shell)
        inside = f"/proc/{server.pid}/root{volume}"
        eventually(lambda: metric(server, "headroom_cache_disk_up") == 1)
        self.put(server, "before", b"b" * 100000)
        self.written(server, 1)
        fill(f"{inside}/others")
        for i in range(20):
            self.put(server, f"k{i}", os.urandom(300000))
        server.wait_for_line("disk: .*No space left on device; off until it works again")
        self.assertEqual(metric(server, "headroom_cache_disk_up"), 0)
        eventually(lambda: metric(server, "headroom_cache_disk_errors_total") > 0)
        self.assertEqual(len(self.get(server, "k19")), 300000)  # served from memory all the while
        self.assertEqual(server.api("POST", "/api/v1/cache/clear", {"key": "before"}).status, 200)
        os.unlink(f"{inside}/others")
        server.wait_for_line("disk: works again")
        self.assertEqual(self.get(server, "before"), 404)
        before = self.disk(server)["written"]
        self.put(server, "after", b"a" * 100000)
        self.written(server, before + 1)


if __name__ == "__main__":
    unittest.main()
