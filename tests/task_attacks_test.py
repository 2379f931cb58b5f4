"""What a hostile or careless client of the task server can do to others: nothing but be refused; then the work goes on."""

import datetime
import pathlib
import re
import signal
import socket
import threading
import time
import unittest

from harness import eventually
from harness.faktory import Refused
from harness.tasks import TaskScenario

SETTINGS = '[tasks]\nfetch_wait = "2s"\nworker_grace = "50ms"\nworker_timeout = "1s"\nqueues_limit = 20\n'


def resident(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024


class Attacks(TaskScenario):
    def setUp(self):
        super().setUp()
        self.server = self.tasks(SETTINGS)
        self.other = self.client(self.server, wid="other-1")

    def goes_on(self):
        jid = self.other.push(queue="goes-on")
        self.assertEqual(self.other.fetch("goes-on")["jid"], jid)
        self.other.ack(jid)

    def memory(self):
        return resident(self.server)

    def test_a_pattern_cannot_stop_the_server(self):
        client = self.client(self.server)
        client.push(args=["a" * 900_000], at="2099-01-01T00:00:00Z")
        with self.assertRaises(Refused) as refused:
            client.ask("MUTATE", {"cmd": "discard", "target": "scheduled", "filter": {"regexp": "*" + "a" * 100_000 + "b"}})
        self.assertIn("pattern", str(refused.exception))
        answer = self.server.api("POST", "/api/v1/tasks/sweep", {"act": "remove", "set": "scheduled", "pattern": "a" * 300})
        self.assertEqual(answer.status, 400)
        self.assertEqual(client.ask("MUTATE", {"cmd": "discard", "target": "scheduled", "filter": {"regexp": "*" + "a" * 250 + "b*"}}), "OK")
        self.goes_on()
        self.assertEqual(client.info()["faktory"]["sets"]["scheduled"], 1)

    def test_a_line_of_a_million_elements_is_refused(self):
        before = self.memory()
        client = self.client(self.server)
        with self.assertRaises(Refused) as refused:
            client.ask("PUSHB", "[" + "0," * 3_500_000 + "0]")
        self.assertIn("10000", str(refused.exception))
        self.goes_on()
        self.assertLess(self.memory() - before, 64 << 20)

    def test_who_has_not_said_hello_is_not_listened_to_for_long(self):
        before = self.memory()
        for _ in range(20):
            client = self.client(self.server, hello=False)
            try:
                client.socket.sendall(b"HELLO {" + b" " * 1_000_000)
            except OSError:
                pass  # closed already
        self.goes_on()
        self.assertLess(self.memory() - before, 16 << 20)

    def test_a_job_is_not_given_to_who_has_left(self):
        for _ in range(3):
            left = self.client(self.server, wid="left-1")
            left.send("FETCH", "default")
            eventually(lambda: "left-1" in [worker["wid"] for worker in self.server.api("GET", "/api/v1/tasks/stats").json()["workers"]])
            left.close()
        jid = self.other.push()
        self.assertEqual(self.other.fetch()["jid"], jid)
        running = self.server.api("GET", "/api/v1/tasks?set=running").json()["jobs"]
        self.assertEqual([(each["jid"], each["worker"]) for each in running], [(jid, "other-1")])
        self.other.ack(jid)
        self.assertEqual(self.other.info()["faktory"]["sets"]["dead"], 0)

    def test_a_worker_that_was_thought_dead_is_known_again(self):
        worker = self.client(self.server, wid="slow-1")
        self.assertEqual(worker.beat(), "")
        jid = worker.push()
        self.assertEqual(worker.fetch()["jid"], jid)
        eventually(lambda: self.other.waiting() == 1)
        self.assertEqual(worker.beat(), "")
        self.assertEqual(worker.fetch()["jid"], jid)
        worker.ack(jid)
        second = worker.push()
        worker.fetch()
        worker.close()
        eventually(lambda: self.other.waiting() == 1)
        self.assertEqual(self.other.fetch()["jid"], second)

    def test_a_pause_of_the_server_is_no_workers_death(self):
        workers = [self.client(self.server, wid=f"busy-{n}") for n in range(8)]
        for worker in workers:
            worker.push()
            worker.fetch()
        beats = [0] * len(workers)
        ends = threading.Event()

        def beat(n):
            while not ends.is_set():
                workers[n].beat()
                beats[n] += 1
                ends.wait(0.05)

        threads = [threading.Thread(target=beat, args=(n,)) for n in range(len(workers))]
        for thread in threads:
            thread.start()
        self.addCleanup(ends.set)
        eventually(lambda: min(beats) > 2)
        self.server.process.send_signal(signal.SIGSTOP)
        time.sleep(3)  # three times worker_timeout
        self.server.process.send_signal(signal.SIGCONT)
        paused = list(beats)
        eventually(lambda: all(now > before + 5 for now, before in zip(beats, paused)))
        ends.set()
        for thread in threads:
            thread.join()
        sets = self.other.info()["faktory"]["sets"]
        self.assertEqual((sets["working"], sets["dead"], self.other.waiting()), (len(workers), 0, 0))
        self.server.wait_for_line("stood still for", timeout=5)
        eventually(lambda: self.other.waiting() == len(workers))  # now they are silent

    def test_names_of_queues_do_not_fill_the_server(self):
        client = self.client(self.server)
        for number in range(60):
            queue = f"of-tenant-{number}"
            jid = client.push(queue=queue)
            client.fetch(queue)
            client.ack(jid)
        with self.assertRaises(Refused):
            client.ask("QUEUE", "PAUSE goes-on " + " ".join(f"nobody-{number}" for number in range(10)))
        client.ask("QUEUE", "RESUME nobody-1")
        client.ask("QUEUE", "REMOVE *")
        self.assertEqual(client.info()["faktory"]["total_queues"], 0)
        self.goes_on()

    def test_a_scheduled_job_has_its_queue_whatever_others_fill_up(self):
        due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        jid = self.other.push(queue="mine", at=due.isoformat())
        with self.assertRaises(Refused) as refused:
            for number in range(21):
                self.other.push(queue=f"filled-{number}")
        self.assertIn("queues_limit", str(refused.exception))
        eventually(lambda: self.other.waiting("mine") == 1)
        self.assertEqual(self.other.fetch("mine")["jid"], jid)
        self.other.ack(jid)
        eventually(lambda: self.other.push(queue="goes-on"))  # there is room again

    def test_dead_jobs_make_no_more_queues_than_there_may_be(self):
        for turn in range(3):
            refused = self.other.ask("PUSHB", [{"jid": f"dead-{turn}-{n:04}", "jobtype": "T", "args": [], "queue": f"of-{turn}-{n}", "at": "2099-01-01T00:00:00Z"} for n in range(15)])
            self.assertEqual(refused, "{}")
            self.other.ask("MUTATE", {"cmd": "kill", "target": "scheduled", "filter": {}})
        with self.assertRaises(Refused) as left:
            self.other.ask("MUTATE", {"cmd": "requeue", "target": "dead", "filter": {}})
        self.assertIn("25 jobs were left where they are", str(left.exception))
        info = self.other.info()["faktory"]
        self.assertEqual((info["total_queues"], info["sets"]["dead"]), (20, 25))
        answer = self.server.api("POST", "/api/v1/tasks/sweep", {"act": "requeue", "set": "dead"}).json()
        self.assertEqual((answer["matched"], answer["left"]), (0, 25))
        dead = self.server.api("GET", "/api/v1/tasks?set=dead").json()["jobs"][0]
        answer = self.server.api("POST", f"/api/v1/tasks/jobs/{dead['jid']}/retry", {})
        self.assertIn("tasks.queues_limit", answer.json()["error"]["message"])
        self.other.ask("QUEUE", "REMOVE *")
        self.assertEqual(self.server.api("POST", f"/api/v1/tasks/jobs/{dead['jid']}/retry", {}).status, 200)
        self.goes_on()

    def test_a_queue_is_removed_after_a_restart_whatever_is_scheduled(self):
        self._config = SETTINGS
        for start in range(0, 21_000, 7000):
            self.other.ask("PUSHB", [{"jid": f"late-{n:06}", "jobtype": "T", "args": [], "queue": "later", "at": "2099-01-01T00:00:00Z"} for n in range(start, start + 7000)])
        self.goes_on()
        self.server = self.kill_and_start(self.server)
        self.other = self.client(self.server, wid="other-2")
        self.assertEqual(set(self.other.info()["faktory"]["queues"]), {"later", "goes-on"})
        self.other.ask("QUEUE", "REMOVE later goes-on")
        self.assertEqual(set(self.other.info()["faktory"]["queues"]), {"later"})  # it is kept for what is scheduled
        self.goes_on()

    def test_a_sweep_whose_list_came_out_empty_takes_nothing(self):
        for _ in range(3):
            self.other.push()
        answer = self.server.api("POST", "/api/v1/tasks/sweep", {"act": "remove", "set": "waiting", "jids": []})
        self.assertEqual((answer.status, answer.json()["matched"]), (200, 0))
        for member in ("jobtype", "pattern"):
            answer = self.server.api("POST", "/api/v1/tasks/sweep", {"act": "remove", "set": "waiting", member: ""})
            self.assertEqual(answer.status, 400)
            self.assertIn("leave it out for any", answer.text())
        self.assertEqual(len(self.server.api("GET", "/api/v1/tasks?set=waiting").json()["jobs"]), 3)
        self.goes_on()

    def test_what_runs_is_not_waiting(self):
        jid = self.other.push()
        self.other.fetch()
        self.assertEqual(self.server.api("GET", "/api/v1/tasks?set=waiting").json()["jobs"], [])
        for act in ("kill", "requeue", "remove"):
            answer = self.server.api("POST", "/api/v1/tasks/sweep", {"act": act, "set": "waiting"})
            self.assertEqual(answer.json()["matched"], 0)
        self.other.ask("QUEUE", "REMOVE default")
        self.assertEqual([job["jid"] for job in self.server.api("GET", "/api/v1/tasks?set=running").json()["jobs"]], [jid])
        self.other.ack(jid)
        self.assertEqual(self.other.info()["faktory"]["total_processed"], 1)

    def test_what_a_job_holds_stays_as_it_was_written(self):
        args = '[123456789012345678901234567890, 19.90, 1.0]'
        self.other.ask("PUSH", '{"jid":"bytes-000001","jobtype":"T","args":' + args + ',"retry":3}')
        self.other.fetch()
        self.other.fail("bytes-000001")
        self.server.api("POST", "/api/v1/tasks/jobs/bytes-000001/retry", {})
        self.other.send("FETCH", "default")
        self.assertIn(f'"args":{args}', self.other.answer())
        body = '{"jobs": [{"jobtype":"T","args":' + args + '}, {"jobtype":"T","args":[1e3]}]}'
        answer = self.server.api("POST", "/api/v1/tasks", body.encode(), headers={"Content-Type": "application/json"})
        self.assertEqual(answer.status, 201, answer.text())
        self.other.send("FETCH", "default")
        self.assertIn(f'"args":{args}', self.other.answer())

    def test_a_large_job_comes_in_over_http_too(self):
        filling = "x" * 600_000
        answer = self.server.api("POST", "/api/v1/tasks", {"jobs": [{"jobtype": "T", "args": [filling]} for _ in range(3)]})
        self.assertEqual((answer.status, len(answer.json()["jids"])), (201, 3))
        answer = self.server.api("POST", "/api/v1/tasks", {"jobtype": "T", "args": ["x" * 1_100_000]})
        self.assertEqual(answer.status, 400, answer.text())
        deep = {"jobtype": "T", "args": ["[" * 50 + "]" * 50]}
        self.assertEqual(self.server.api("POST", "/api/v1/tasks", deep).status, 201)
        page = self.server.api("GET", "/api/v1/tasks?limit=1000").json()
        self.assertGreaterEqual(len(page["jobs"]), 3)

    def test_a_day_that_never_comes_is_no_schedule(self):
        answer = self.server.api("PUT", "/api/v1/tasks/schedules/never", {"cron": "0 0 30 2 *", "job": {"jobtype": "T", "args": []}})
        self.assertEqual(answer.status, 400)
        self.assertIn("never", answer.text())

    def test_quieting_all_workers_leaves_headrooms_own(self):
        self.assertEqual(self.server.api("POST", "/api/v1/tasks/workers/*/quiet", {}).status, 200)
        states = {worker["wid"]: worker["state"] for worker in self.server.api("GET", "/api/v1/tasks/stats").json()["workers"]}
        self.assertEqual(states.pop("other-1"), "quiet")
        self.assertEqual(set(states.values()), {"working"})
        own = next(iter(states))
        self.assertEqual(self.server.api("POST", f"/api/v1/tasks/workers/{own}/quiet", {}).status, 409)


class Lookers(TaskScenario):
    def test_many_who_look_at_once_cost_little(self):
        server = self.tasks('[tasks]\nfetch_wait = "50ms"\n')
        client = self.client(server)
        for n in range(300):
            jid = client.push(queue=f"of-{n}")
            client.fetch(f"of-{n}")
            client.ack(jid)
        stats = server.api("GET", "/api/v1/tasks/stats").json()
        self.assertEqual({(queue["wait_time"]["count"], queue["run_time"]["count"]) for queue in stats["queues"]}, {(1, 1)})
        before = resident(server)
        asked = f"GET /api/v1/tasks/stats HTTP/1.1\r\nHost: 127.0.0.1:{server.admin[1]}\r\nAuthorization: Bearer {server.token('viewer')}\r\nConnection: close\r\n\r\n".encode()
        lookers = [socket.create_connection(server.admin) for _ in range(60)]
        for looker in lookers:
            self.addCleanup(looker.close)
            looker.sendall(asked)
        for looker in lookers:
            with looker, looker.makefile("rb") as answer:
                self.assertIn(b"200", answer.readline())
                self.assertGreater(len(answer.read()), 30_000)
        self.assertLess(resident(server) - before, 64 << 20)  # their histograms are 500 MB
        self.assertEqual(client.info()["faktory"]["total_processed"], 300)

    def test_schedules_come_in_pages(self):
        server = self.tasks()
        for n in range(30):
            made = server.api("PUT", f"/api/v1/tasks/schedules/of-{n:03}", {"cron": "0 0 1 1 *", "job": {"jobtype": "T", "args": ["x" * 60_000]}})
            self.assertEqual(made.status, 200, made.text())
        names, after, pages = [], "", 0
        while after is not None:
            page = server.api("GET", f"/api/v1/tasks/schedules?after={after}").json()
            names += [each["name"] for each in page["schedules"]]
            after, pages = page["next"], pages + 1
        self.assertEqual([name for name in names if name.startswith("of-")], [f"of-{n:03}" for n in range(30)])
        self.assertEqual(pages, 2)

    def test_a_sweep_may_name_ten_thousand_jobs(self):
        server = self.tasks()
        jids = [f"a-jid-of-twenty-four-{n:05}" for n in range(10_000)]
        answer = server.api("POST", "/api/v1/tasks/sweep", {"act": "remove", "set": "dead", "jids": jids})
        self.assertEqual((answer.status, answer.json()["matched"]), (200, 0), answer.text())


class Results(TaskScenario):
    def setUp(self):
        super().setUp()
        self.server = self.tasks('[tasks]\nfetch_wait = "50ms"\n')
        self.worker = self.client(self.server, wid="worker-1")

    def result(self, jid, wait):
        return self.server.api("GET", f"/api/v1/tasks/jobs/{jid}/result?wait={wait}")

    def test_who_waits_for_a_result_has_it_when_the_job_ends(self):
        jid = self.server.api("POST", "/api/v1/tasks", {"jobtype": "Sum", "args": [1, 2], "custom": {"track": 1}}).json()["jid"]
        early = self.result(jid, "10ms")
        self.assertEqual((early.status, early.json()["state"], early.json()["result"]), (202, "enqueued", None))
        answers = []
        waiting = [threading.Thread(target=lambda: answers.append(self.result(jid, "20s"))) for _ in range(3)]
        for each in waiting:
            each.start()
        self.worker.fetch()
        self.worker.ask("ACK", {"jid": jid, "result": {"sum": 3}})
        for each in waiting:
            each.join()
        self.assertEqual([(answer.status, answer.json()["state"], answer.json()["result"]) for answer in answers], [(200, "success", {"sum": 3})] * 3)

    def test_waiting_has_its_bounds(self):
        jid = self.worker.push()
        self.assertEqual(self.result(jid, "1s").status, 404)  # not tracked
        for wrong in ("61s", "soon", "-1s"):
            self.assertEqual(self.result(jid, wrong).status, 400, wrong)
        jid = self.worker.push(retry=-1, custom={"track": 1})
        self.worker.fetch()
        self.worker.fetch()
        self.worker.fail(jid)
        answer = self.result(jid, "20s")
        self.assertEqual((answer.status, answer.json()["state"]), (200, "dead"))

    def test_an_end_of_the_server_keeps_nobody_waiting(self):
        jid = self.worker.push(custom={"track": 1})
        answers = []
        self.result(jid, "1ms")  # and it has its token
        waiting = threading.Thread(target=lambda: answers.append(self.result(jid, "60s")))
        waiting.start()
        time.sleep(0.2)  # it asks
        self.server.process.terminate()
        self.assertEqual(self.server.process.wait(20), 0)
        waiting.join()
        self.has_ended(self.server)


if __name__ == "__main__":
    unittest.main()
