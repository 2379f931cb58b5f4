"""Where Faktory's protocol document, its server and its clients differ, each trap by itself: what clients send and expect is what counts."""

import datetime
import json
import time
import unittest

from harness import eventually
from harness.faktory import Refused, password_hash
from harness.tasks import TaskScenario

SETTINGS = '[tasks]\nfetch_wait = "50ms"\n'


def in_seconds(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


class Handshake(TaskScenario):
    def test_the_greeting_is_two_words(self):
        # npm's client takes the second word of the line as JSON.
        for more in ("", 'password = "secret"\n'):
            server = self.tasks(SETTINGS + more, state_dir=self.directory / f"state{len(more)}")
            client = self.client(server, hello=False)
            words = client.greeting.split(" ")
            self.assertEqual((len(words), words[0], json.loads(words[1])["v"]), (2, "+HI", 2))

    def test_the_rounds_are_the_servers_choice_and_differ(self):
        server = self.tasks(SETTINGS + 'password = "secret"\n')
        offers = [json.loads(self.client(server, hello=False).greeting.split(" ")[1]) for _ in range(8)]
        self.assertGreater(len({offer["i"] for offer in offers}), 1)
        self.assertEqual(len({offer["s"] for offer in offers}), 8)
        for offer in offers:
            self.assertTrue(4000 <= offer["i"] <= 8095)
        client = self.client(server, hello=False)
        offer = json.loads(client.greeting.split(" ")[1])
        self.assertEqual(client.ask("HELLO", {"v": 2, "pwdhash": password_hash("secret", offer["s"], offer["i"])}), "OK")

    def test_who_says_nothing_is_let_go_after_two_seconds(self):
        client = self.client(self.tasks(SETTINGS), hello=False)
        began = time.monotonic()
        self.assertIsNone(client.line())
        self.assertGreater(time.monotonic() - began, 1)

    def test_what_is_no_hello_with_an_object_is_closed_without_a_word(self):
        server = self.tasks(SETTINGS)
        for line in ("HELLO", "HELLO []", "PUSH {}", "hello {}"):
            client = self.client(server, hello=False)
            client.send(line)
            self.assertIsNone(client.line(), line)

    def test_lines_may_end_without_a_carriage_return(self):
        client = self.client(self.tasks(SETTINGS), hello=False)
        client.socket.sendall(b'HELLO {"v":2}\nINFO\nEND\n')
        self.assertEqual(client.answer(), "OK")
        self.assertIn("faktory", json.loads(client.answer()))
        self.assertIsNone(client.line())  # END gets no answer


class Work(TaskScenario):
    def setUp(self):
        super().setUp()
        self.server = self.tasks(SETTINGS)
        self.worker = self.client(self.server, wid="worker-1")

    def test_a_fetch_names_its_queues(self):
        with self.assertRaises(Refused):
            self.worker.ask("FETCH")

    def test_who_gives_no_name_works_too_and_an_acknowledgement_comes_by_any_connection(self):
        nameless, other = self.client(self.server), self.client(self.server)
        jid = nameless.push()
        self.assertEqual(nameless.fetch()["jid"], jid)
        self.assertEqual(other.ack(jid), "OK")
        self.assertEqual(other.info()["faktory"]["total_processed"], 1)
        jid = self.worker.push()
        self.worker.fetch()
        same = self.client(self.server, wid="worker-1")
        same.ack(jid)
        self.assertEqual(same.info()["faktory"]["total_processed"], 2)

    def test_an_unknown_heartbeat_is_an_error_and_a_state_comes_as_an_object(self):
        with self.assertRaises(Refused):
            self.worker.ask("BEAT", {"wid": "somebody-else"})
        self.assertEqual(self.worker.ask("BEAT", {"wid": "worker-1"}), "OK")
        self.server.api("POST", "/api/v1/tasks/workers/worker-1/quiet", {})
        self.worker.send("BEAT", {"wid": "worker-1"})
        self.assertTrue(self.worker.line().startswith("$"))  # a bulk string
        self.assertEqual(self.worker.line(), '{"state":"quiet"}')

    def test_a_quiet_worker_is_held_and_not_closed(self):
        self.server.api("POST", "/api/v1/tasks/workers/worker-1/quiet", {})
        self.worker.push()
        for _ in range(3):
            self.assertIsNone(self.worker.fetch())
        self.assertEqual(self.worker.waiting(), 1)

    def test_acknowledging_what_nobody_knows_is_fine_and_failing_it_is_not(self):
        self.assertEqual(self.worker.ack("never-was-there"), "OK")
        with self.assertRaises(Refused) as refused:
            self.worker.fail("never-was-there")
        self.assertEqual(str(refused.exception), "ERR Job not found")

    def test_reservations_keep_to_their_bounds(self):
        with self.assertRaises(Refused):
            self.worker.push(reserve_for=86401)
        self.worker.push(reserve_for=1)
        self.worker.push(reserve_for=0)

    def test_a_time_that_has_passed_means_now(self):
        jid = self.worker.push(at=in_seconds(-3600))
        self.assertEqual(self.worker.fetch()["jid"], jid)
        self.worker.push(at=in_seconds(3600))
        self.assertIsNone(self.worker.fetch())

    def test_priority_means_something_and_unknown_members_stay(self):
        for priority in (1, 9, 5):
            self.worker.push(jobtype=f"P{priority}", priority=priority, something={"of": "theirs"})
        seen = [self.worker.fetch() for _ in range(3)]
        self.assertEqual([job["jobtype"] for job in seen], ["P9", "P5", "P1"])
        self.assertEqual(seen[0]["something"], {"of": "theirs"})

    def test_mutate_takes_spaces_and_globs_and_names_go_before_types(self):
        for n in range(3):
            self.worker.push(f"mutate-job-{n}", jobtype="Two Words" if n else "One", args=[f"a b {n}"], at=in_seconds(3600))
        self.worker.ask("MUTATE", {"cmd": "kill", "target": "scheduled", "filter": {"jobtype": "Two Words", "regexp": "*a b 1*"}})
        self.assertEqual(self.worker.info()["faktory"]["sets"]["dead"], 1)
        self.worker.ask("MUTATE", {"cmd": "requeue", "target": "scheduled", "filter": {"jids": ["mutate-job-0"], "jobtype": "Two Words"}})
        self.assertEqual(self.worker.fetch()["jid"], "mutate-job-0")
        self.worker.ask("MUTATE", {"cmd": "clear", "target": "dead"})
        self.assertEqual(self.worker.info()["faktory"]["sets"], {"scheduled": 1, "retries": 0, "dead": 0, "working": 1})

    def test_queues_are_paused_resumed_measured_and_emptied(self):
        self.worker.push(queue="q")
        self.worker.ask("QUEUE", "PAUSE q")
        self.assertIsNone(self.worker.fetch("q"))
        self.assertIn("q", json.loads(self.worker.ask("QUEUE", "LATENCY q")))
        self.worker.ask("QUEUE", "RESUME *")
        self.worker.ask("QUEUE", "REMOVE q")
        self.assertIsNone(self.worker.fetch("q"))

    def test_info_has_the_shape_that_clients_read(self):
        self.worker.push()
        info = self.worker.info()
        self.assertEqual(info["faktory"]["queues"], {"default": 1})
        for name in ("default_size", "total_enqueued", "total_failures", "total_processed", "total_queues", "sets", "tasks"):
            self.assertIn(name, info["faktory"])
        for name in ("faktory_version", "uptime", "connections", "command_count", "used_memory_mb"):
            self.assertIn(name, info["server"])
        self.assertIn("server_utc_time", info)

    def test_a_queue_name_of_ten_kilobytes_is_an_error(self):
        for argument in ("q" * 10240, " ".join(["q"] * 101)):
            with self.assertRaises(Refused):
                self.worker.fetch(argument)
        with self.assertRaises(Refused):
            self.worker.push(queue="q" * 10240)
        self.worker.push()


class Unique(TaskScenario):
    UNIQUE = {"custom": {"unique_for": 60}}

    def setUp(self):
        super().setUp()
        self.worker = self.client(self.tasks(SETTINGS), wid="worker-1")

    def refused(self, **job):
        with self.assertRaises(Refused) as refused:
            self.worker.push(**job)
        self.assertEqual(str(refused.exception), "NOTUNIQUE Job not unique")  # faktory-rs reads these very words

    def test_type_queue_and_arguments_whatever_their_spaces_are_one(self):
        self.worker.ask("PUSH", '{"jid":"unique-job-1","jobtype":"T","args":[{"a":1,"b":[2]}],"custom":{"unique_for":60}}')
        with self.assertRaises(Refused):
            self.worker.ask("PUSH", '{"jid":"unique-job-2","jobtype":"T","args":[ { "b" : [ 2 ], "a" : 1 } ],"custom":{"unique_for":60}}')
        self.worker.ask("PUSH", '{"jid":"unique-job-3","jobtype":"T","args":[{"a":1,"b":[3]}],"custom":{"unique_for":60}}')

    def test_who_does_not_ask_for_it_passes_by(self):
        self.worker.push(**self.UNIQUE)
        self.worker.push()
        self.refused(**self.UNIQUE)

    def test_a_retrying_job_keeps_its_lock_and_success_frees_it(self):
        jid = self.worker.push(**self.UNIQUE)
        self.worker.fetch()
        self.worker.fail(jid)
        self.refused(**self.UNIQUE)
        self.worker.ask("MUTATE", {"cmd": "requeue", "target": "retries"})
        self.worker.ack(self.worker.fetch()["jid"])
        self.worker.push(**self.UNIQUE)

    def test_until_start_it_is_free_once_fetched(self):
        start = {"custom": {"unique_for": 60, "unique_until": "start"}}
        self.worker.push(**start)
        self.refused(**start)
        self.worker.fetch()
        self.worker.push(**start)

    def test_the_time_counts_from_when_it_is_due(self):
        later = {"custom": {"unique_for": 1}, "at": in_seconds(3)}
        self.worker.push(**later)
        time.sleep(1.5)  # longer than unique_for, and still not due
        self.refused(**later)

        def is_free():
            try:
                return self.worker.push(**self.UNIQUE | {"custom": {"unique_for": 1}})
            except Refused:
                return False

        eventually(is_free, timeout=20)


class Failures(TaskScenario):
    def test_what_a_failure_says_is_cut(self):
        worker = self.client(self.tasks(SETTINGS), wid="worker-1")
        jid = worker.push(retry=-1)
        worker.fetch()
        worker.fail(jid, errtype="E" * 500, message="m" * 5000, backtrace=["line"] * 200)
        failure = self.failure(worker)
        self.assertEqual((len(failure["errtype"]), len(failure["message"]), len(failure["backtrace"])), (100, 1000, 50))

    def failure(self, worker):
        worker.ask("MUTATE", {"cmd": "requeue", "target": "dead"})
        return worker.fetch()["failure"]

    def test_retry_decides_between_later_dead_and_gone(self):
        worker = self.client(self.tasks(SETTINGS), wid="worker-1")
        for retry in (25, 0, -1, None):
            job = {} if retry is None else {"retry": retry}
            worker.push(**job)
            worker.fail(worker.fetch()["jid"])
        sets = worker.info()["faktory"]["sets"]
        self.assertEqual((sets["retries"], sets["dead"]), (2, 1))


if __name__ == "__main__":
    unittest.main()
