"""The task server at its Faktory door: push, fetch, acknowledge, and that a kill -9 loses nothing."""

import json
import random
import signal
import socket
import threading
import unittest

from harness import eventually, run
from harness.faktory import Faktory, Refused, password_hash
from harness.tasks import TaskScenario


class PushFetchAcknowledge(TaskScenario):
    def test_a_job_goes_from_producer_to_worker_and_is_gone_once_acknowledged(self):
        client = self.client(self.tasks(), wid="worker-1")
        self.assertEqual(client.greeting, '+HI {"v":2}')
        jid = client.push(args=[1, "two"], custom={"keep": 1.10})
        self.assertEqual(client.waiting(), 1)
        job = client.fetch()
        self.assertEqual((job["jid"], job["args"], job["custom"]), (jid, [1, "two"], {"keep": 1.1}))
        self.assertEqual(client.ack(jid), "OK")
        info = client.info()["faktory"]
        self.assertEqual((info["total_processed"], info["sets"]["working"]), (1, 0))

    def test_many_jobs_in_one_line_each_with_its_own_error(self):
        client = self.client(self.tasks())
        jobs = [{"jid": f"job-{n:06}", "jobtype": "T", "args": [n]} for n in range(1000)]
        jobs[3].pop("args")
        jobs[7]["reserve_for"] = 100000
        answer = json.loads(client.ask("PUSHB", jobs))
        self.assertEqual(sorted(answer), ["job-000003", "job-000007"])
        self.assertIn("args", answer["job-000003"])
        self.assertEqual(client.waiting(), 998)
        self.assertEqual(json.loads(client.ask("PUSHB", [])), {})
        with self.assertRaises(Refused):
            client.ask("PUSHB", "[")

    def test_a_waiting_fetch_gets_the_job_that_comes(self):
        server = self.tasks('[tasks]\nfetch_wait = "10s"\n')
        worker = self.client(server, wid="worker-1")
        worker.send("FETCH", "other default")
        jid = self.client(server).push()
        self.assertEqual(json.loads(worker.answer())["jid"], jid)

    def test_a_fetch_that_finds_nothing_says_so_after_its_time(self):
        client = self.client(self.tasks('[tasks]\nfetch_wait = "100ms"\n'))
        self.assertIsNone(client.fetch("default"))

    def test_a_job_is_worked_on_by_one_worker_at_a_time(self):
        server = self.tasks('[tasks]\nfetch_wait = "50ms"\n')
        producer = self.client(server)
        wanted = {producer.push(args=[n]) for n in range(400)}
        seen = []

        def work(name):
            client = self.client(server, wid=name)
            while (job := client.fetch()) is not None:
                seen.append(job["jid"])
                client.ack(job["jid"])

        threads = [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((len(seen), set(seen)), (400, wanted))


class Crash(TaskScenario):
    def test_an_answered_acknowledgement_counts_whatever_was_pushed_before_the_job(self):
        self._config = '[tasks]\nfetch_wait = "50ms"\nmemory_limit = "1MiB"\n'
        server = self.tasks(self._config)
        worker = self.client(server, wid="worker-1")
        jids = [worker.push(custom={"key": f"key-{n % 3}"}) for n in range(30)]
        for _ in jids:
            worker.fetch()
        for urgent in ("before", "after"):
            if urgent == "after":
                server = self.kill_and_start(server)
            client = self.client(server)
            for begin in range(0, 9_000, 1000):
                client.ask("PUSHB", [{"jid": f"urgent-{urgent}-{begin + n:06}", "jobtype": "T", "args": [], "priority": 9, "custom": {"key": f"key-{n % 3}"}} for n in range(1000)])
        workers = [self.client(server, wid="worker-1") for _ in jids]
        for worker, jid in zip(workers, jids):
            worker.send("ACK", {"jid": jid})
        self.assertEqual([worker.answer() for worker in workers], ["OK"] * len(jids))
        self.assertEqual(workers[0].ack("nobody-has-it"), "OK")
        self.assertEqual(workers[0].waiting(), 18_000)
        self.assertEqual(server.api("GET", f"/api/v1/tasks/jobs/{jids[0]}").status, 404)
        self.assertEqual(server.api("GET", "/api/v1/tasks/jobs/urgent-after-008999").json()["state"], "waiting")

    def test_a_kill_loses_no_pushed_job_and_repeats_no_acknowledged_one(self):
        self._config = '[tasks]\nfetch_wait = "50ms"\n'
        server = self.tasks(self._config)
        pushed, acknowledged, unsure = set(), set(), set()
        lock = threading.Lock()

        def produce(number):
            client = self.client(server)
            try:
                for n in range(100000):
                    jid = f"job-{number}-{n:06}"
                    client.push(jid)
                    with lock:
                        pushed.add(jid)
            except (OSError, ConnectionError, AssertionError):
                return

        def work(name):
            client = self.client(server, wid=name)
            jid = None
            try:
                while True:
                    job = client.fetch()
                    if job is None:
                        continue
                    jid = job["jid"]
                    client.ack(jid)
                    with lock:
                        acknowledged.add(jid)
                    jid = None
            except (OSError, ConnectionError, AssertionError):
                with lock:
                    unsure.update([jid] if jid else [])

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
        threads += [threading.Thread(target=work, args=(f"worker-{n}",)) for n in range(2)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(acknowledged) > 300)
        server = self.kill_and_start(server)
        for thread in threads:
            thread.join()
        client = self.client(server)
        left = set()
        while (job := client.fetch()) is not None:
            left.add(job["jid"])
            client.ack(job["jid"])
        self.assertEqual(left & acknowledged, set(), "acknowledged jobs came again")
        self.assertEqual(pushed - acknowledged - left - unsure, set(), "pushed jobs are lost")
        client.push("after-it")  # and it recovers
        self.assertEqual(client.fetch()["jid"], "after-it")

    def test_a_worker_goes_on_with_its_job_over_an_orderly_restart(self):
        self._config = '[tasks]\nfetch_wait = "50ms"\n'
        server = self.tasks(self._config)
        worker = self.client(server, wid="worker-1")
        jid = worker.push()
        worker.fetch()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(20), 0)
        server.process.stderr.close()
        self._ended.add(server)
        server = self.tasks(self._config)
        self.assertIsNone(self.client(server, wid="worker-2").fetch())
        worker = self.client(server, wid="worker-1")
        self.assertEqual(worker.ack(jid), "OK")
        self.assertEqual(worker.info()["faktory"]["total_processed"], 1)


class DeadWorkers(TaskScenario):
    def test_the_jobs_of_a_worker_that_vanished_return_to_others(self):
        server = self.tasks('[tasks]\nfetch_wait = "5s"\nworker_grace = "100ms"\n')
        lost = self.client(server, wid="worker-1")
        jid = lost.push()
        lost.fetch()
        lost.close()
        self.assertEqual(self.client(server, wid="worker-2").fetch()["jid"], jid)


class BadInput(TaskScenario):
    def test_who_does_not_say_hello_is_not_spoken_to(self):
        server = self.tasks()
        for line in (b"GET / HTTP/1.1\r\n", b"PUSH {}\r\n", b"HELLO world\r\n", b"\x00\xff\x16\x03\r\n", b"\r\n"):
            client = self.client(server, hello=False)
            client.socket.sendall(line)
            self.assertIsNone(client.line(), line)
        self.client(server).push()

    def test_each_mistake_has_a_clear_error_and_the_connection_goes_on(self):
        client = self.client(self.tasks('[tasks]\njob_limit = "1KiB"\nfetch_wait = "50ms"\n'))
        deep = "[" * 1000 + "]" * 1000
        for verb, argument, word in (
                ("EAT", None, "Unknown command EAT"), ("FETCH", None, "queues"), ("FETCH", "q" * 10240, "queue name"), ("PUSH", "{", "Invalid job"),
                ("PUSH", '{"jid":"12345678","jobtype":"T","args":%s}' % deep, "Invalid job"), ("PUSH", {"jid": "1", "jobtype": "T", "args": []}, "jid"),
                ("PUSH", {"jid": "12345678", "jobtype": "T", "args": ["x" * 2000]}, "Invalid job"), ("ACK", "no", "Invalid JSON"),
                ("FAIL", {"jid": "nobody-has-it"}, "Job not found"), ("BEAT", {"wid": "nobody"}, "Unknown worker"), ("MUTATE", {"cmd": "x", "target": "dead"}, "cmd"),
                ("QUEUE", "EAT all", "QUEUE command"), ("\x01\x02", None, "Unknown command")):
            with self.assertRaises(Refused) as refused:
                client.ask(verb, argument)
            self.assertIn(word, str(refused.exception), verb)
        self.assertEqual(client.ask("ACK", {"jid": "nobody-has-it"}), "OK")
        client.push("still-good")
        self.assertEqual(client.fetch()["jid"], "still-good")

    def test_noise_on_an_open_connection_harms_nobody(self):
        server = self.tasks()
        other = self.client(server)
        noise = random.Random(7)
        before = server.resident_bytes()
        for _ in range(50):
            client = self.client(server)
            try:
                for _ in range(20):
                    client.socket.sendall(noise.randbytes(noise.randrange(1, 20_000)))
                client.socket.sendall(b"\nEND\n")
                while (line := client.line()) is not None:
                    self.assertEqual(line[:5], "-ERR ")
            except (OSError, UnicodeDecodeError):
                self.fail("no answer to noise")
            client.close()
            other.push()
        self.assertEqual(other.waiting(), 50)
        self.assert_grows_less(server, before, 16 << 20)

    def test_a_line_without_end_is_cut_off_and_memory_stays(self):
        server = self.tasks('[tasks]\nline_limit = "256KiB"\n')
        before = server.resident_bytes()
        client = self.client(server)
        with self.assertRaises((Refused, ConnectionError, OSError)):
            for _ in range(1000):
                client.socket.sendall(b"x" * 65536)
            client.answer()
        self.assert_grows_less(server, before, 16 << 20)
        self.client(server).push()

    def test_lines_come_in_any_pieces_and_several_at_once(self):
        client = self.client(self.tasks())
        line = b'PUSH {"jid":"12345678","jobtype":"T","args":[]}\n'
        for byte in line:
            client.socket.sendall(bytes([byte]))
        self.assertEqual(client.answer(), "OK")
        client.socket.sendall(line * 3 + b"INFO\r\n")
        self.assertEqual([client.answer() for _ in range(3)], ["OK"] * 3)
        self.assertEqual(json.loads(client.answer())["faktory"]["queues"]["default"], 4)

    def test_end_closes_the_connection(self):
        client = self.client(self.tasks())
        client.send("END")
        self.assertIsNone(client.line())


def right_hello(greeting, password):
    offer = json.loads(greeting.split(" ", 1)[1])
    return {"v": 2, "pwdhash": password_hash(password, offer["s"], offer["i"])}


class Passwords(TaskScenario):
    def test_who_knows_the_password_is_let_in(self):
        server = self.tasks('[tasks]\npassword = "secret"\nusers = { shop = "other" }\n')
        self.client(server, password="secret").push()
        self.client(server, password="other", username="shop").push()
        for options in ({}, {"password": "wrong"}, {"password": "secret", "username": "shop"}, {"password": "other"}):
            with self.assertRaises(Refused) as refused:
                self.client(server, **options)
            self.assertEqual(str(refused.exception), "ERR Invalid password")
        self.assertNotIn("secret", "\n".join(server.lines))

    def test_who_floods_the_door_with_wrong_passwords_keeps_nobody_out(self):
        server = self.tasks('[tasks]\npassword = "secret"\n')
        flood, right = [], []
        for n in range(440):
            client = self.client(server, hello=False)
            if n % 11:
                client.send("HELLO", {"v": 2, "pwdhash": "0" * 64})
                flood.append(client)
            else:
                client.send("HELLO", right_hello(client.greeting, "secret"))
                right.append(client)
        self.client(server, password="secret", source="127.0.0.2").push()
        self.assertEqual({client.answer() for client in right}, {"OK"})
        for client in flood:
            with self.assertRaises(Refused) as refused:
                client.answer()
            self.assertEqual(str(refused.exception), "ERR Invalid password")

    def test_a_door_that_is_open_to_the_network_without_a_password_is_warned_of(self):
        warning = "anybody who reaches .* may push"
        self.tasks(set={"tasks.listen": "0.0.0.0:0"}).wait_for_line(warning, timeout=5)
        checked = run("check", self.settings("[edge]\nenabled = false\n"), env={"HEADROOM_TASKS_LISTEN": "0.0.0.0:0"})
        self.assertEqual(checked.returncode, 0)
        self.assertRegex(checked.stderr, "tasks.listen: warning: " + warning)
        closed = self.tasks('[tasks]\npassword = "secret"\n', set={"tasks.listen": "0.0.0.0:0"}, state_dir=self.directory / "closed")
        self.assertFalse([line for line in closed.lines if "anybody who reaches" in line])

    def test_connections_over_the_limit_are_closed_and_room_is_made_again(self):
        server = self.tasks("[tasks]\nconnections_limit = 2\n")
        first, second = self.client(server), self.client(server)
        with socket.create_connection(server.doors["tasks"], timeout=10) as third:
            self.assertEqual(third.recv(100), b"")
        first.close()
        eventually(lambda: self.client(server).push())
        second.push()


if __name__ == "__main__":
    unittest.main()
