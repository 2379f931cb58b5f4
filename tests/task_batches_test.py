"""Batches, tracking, throttles and fair shares at the Faktory door, as the clients of the paid edition use them."""

import datetime
import json
import unittest

from harness import eventually
from harness.faktory import Refused
from harness.process import run
from harness.tasks import TaskScenario

SETTINGS = '[tasks]\nfetch_wait = "50ms"\n'


class BatchScenario(TaskScenario):
    def start(self, more=""):
        self._config = SETTINGS + more
        self.server = self.tasks(self._config)
        return self.worker()

    def worker(self, wid="worker-1"):
        return self.client(self.server, wid=wid)

    def work(self, client, *queues):
        job = client.fetch(*queues)
        client.ack(job["jid"])
        return job


class Batches(BatchScenario):
    def status(self, client, bid):
        shown = json.loads(client.ask("BATCH", "STATUS " + bid))
        return shown["total"], shown["pending"], shown["failed"], shown["complete_st"], shown["success_st"]

    def new(self, client, **definition):
        return client.ask("BATCH", "NEW " + json.dumps(definition))

    def test_callbacks_come_when_all_were_tried_and_when_all_succeeded(self):
        client = self.start()
        call = {"jobtype": "Call", "queue": "calls", "args": ["it is done"]}
        bid = self.new(client, description="three pictures", complete=call, success=call)
        for _ in range(3):
            client.push(custom={"bid": bid})
        self.assertEqual(self.status(client, bid), (3, 3, 0, "", ""))
        self.assertEqual(client.ask("BATCH", "OPEN " + bid), bid)
        self.assertEqual(client.ask("BATCH", "COMMIT " + bid), "OK")
        for left in (2, 1, 0):
            self.assertIsNone(client.fetch("calls"))
            self.work(client)
            self.assertEqual(self.status(client, bid)[:3], (3, left, 0))
        self.assertEqual(self.status(client, bid)[3:], ("1", ""))
        self.assertEqual(self.work(client, "calls")["custom"], {"_bid": bid, "_cb": "complete"})
        self.assertEqual(self.status(client, bid)[3:], ("2", "1"))
        self.assertEqual(self.work(client, "calls")["custom"], {"_bid": bid, "_cb": "success"})
        self.assertEqual(self.status(client, bid)[3:], ("2", "2"))
        shown = self.server.api("GET", f"/api/v1/tasks/batches/{bid}").json()
        self.assertEqual((shown["description"], shown["pending"]), ("three pictures", 0))

    def test_a_killed_server_calls_back_all_the_same(self):
        client = self.start()
        bid = self.new(client, success={"jobtype": "Call", "queue": "calls"})
        client.ask("PUSHB", [{"jid": f"job-in-batch-{n}", "jobtype": "T", "args": [], "custom": {"bid": bid}} for n in range(50)])
        client.ask("BATCH", "COMMIT " + bid)
        for _ in range(25):
            self.work(client)
        self.server = self.kill_and_start(self.server)
        client = self.worker()
        self.assertEqual(self.status(client, bid), (50, 25, 0, "", ""))
        for _ in range(25):
            self.work(client)
        self.assertEqual(self.work(client, "calls")["custom"]["_bid"], bid)
        self.assertEqual(self.status(client, bid), (50, 0, 0, "", "2"))

    def test_mistakes_are_named(self):
        client = self.start()
        for argument, words in (("OPEN nowhere", "No such batch nowhere"), ("STATUS nowhere", "No such batch nowhere"), ("COMMIT nowhere", "No such batch nowhere"),
                                ("NEW {}", "callback"), ("NEW nonsense", "Invalid batch"), ("EAT it", "BATCH command"), ("OPEN", "name a batch"),
                                ('NEW {"success":{"jobtype":"T","args":{}}}', "args"), ('NEW {"success":{"jobtype":"T"},"parent_bid":"nowhere"}', "nowhere")):
            with self.assertRaises(Refused) as refused:
                client.ask("BATCH", argument)
            self.assertIn(words, str(refused.exception), argument)
        with self.assertRaises(Refused) as refused:
            client.push(custom={"bid": "nowhere"})
        self.assertIn("No such batch", str(refused.exception))
        client.push()

    def test_batches_are_made_over_http_too(self):
        client = self.start()
        made = self.server.api("POST", "/api/v1/tasks/batches", {"success": {"jobtype": "Call", "queue": "calls"}})
        self.assertEqual(made.status, 201)
        bid = made.json()["bid"]
        client.push(custom={"bid": bid})
        self.assertEqual(self.server.api("POST", f"/api/v1/tasks/batches/{bid}/commit", {}).status, 200)
        self.work(client)
        self.assertEqual(self.work(client, "calls")["jobtype"], "Call")
        self.assertEqual([batch["bid"] for batch in self.server.api("GET", "/api/v1/tasks/batches").json()["batches"]], [bid])
        self.assertEqual(self.server.api("GET", "/api/v1/tasks/batches/nowhere").status, 404)


class Tracking(BatchScenario):
    def shown(self, client, jid):
        return json.loads(client.ask("TRACK", "GET " + jid))

    def test_progress_and_result_can_be_asked_for(self):
        client = self.start()
        jid = client.push(custom={"track": 1})
        self.assertEqual(self.shown(client, jid)["state"], "enqueued")
        client.fetch()
        until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=2)).isoformat()
        other = self.worker("worker-2")  # progress comes by any connection
        other.ask("TRACK", "SET " + json.dumps({"jid": jid, "percent": 33, "desc": "Still working", "reserve_until": until}))
        shown = self.shown(client, jid)
        self.assertEqual((shown["state"], shown["percent"], shown["desc"]), ("working", 33, "Still working"))
        client.ask("ACK", {"jid": jid, "result": {"pages": 7}})
        shown = self.shown(client, jid)
        self.assertEqual((shown["state"], shown["percent"], shown["result"]), ("success", 33, {"pages": 7}))
        asked = self.server.api("GET", f"/api/v1/tasks/jobs/{jid}").json()
        self.assertEqual((asked["state"], asked["result"], asked["percent"]), ("success", {"pages": 7}, 33))
        self.assertEqual(self.shown(client, "never-was"), {"jid": "never-was", "state": "unknown", "updated_at": ""})
        untracked = client.push()
        self.assertEqual(self.shown(client, untracked)["state"], "unknown")

    def test_mistakes_are_named(self):
        client = self.start('result_limit = "100B"\n')
        jid = client.push(custom={"track": 1})
        client.fetch()
        for argument, words in (('SET {"jid":"%s","percent":101}' % jid, "percent"), ('SET {"jid":"%s","reserve_until":"soon"}' % jid, "reserve_until"),
                                ("SET {}", "jid"), ("EAT it", "TRACK")):
            with self.assertRaises(Refused) as refused:
                client.ask("TRACK", argument)
            self.assertIn(words, str(refused.exception), argument)
        with self.assertRaises(Refused):
            client.ask("ACK", {"jid": jid, "result": "x" * 200})
        self.assertEqual(client.ask("ACK", {"jid": jid, "result": "x"}), "OK")

    def test_a_worker_is_told_which_of_its_jobs_were_cancelled(self):
        client = self.start()
        jid = client.push(custom={"track": 1})
        client.fetch()
        self.assertEqual(self.server.api("DELETE", f"/api/v1/tasks/jobs/{jid}").status, 200)
        self.assertEqual(client.ask("BEAT", {"wid": "worker-1"}), "OK")  # who does not ask hears nothing new
        self.assertEqual(json.loads(client.ask("BEAT", {"wid": "worker-1", "cancels": True})), {"cancelled": [jid]})
        self.assertEqual(client.ask("BEAT", {"wid": "worker-1", "cancels": True}), "OK")
        with self.assertRaises(Refused) as refused:
            client.ask("TRACK", "SET " + json.dumps({"jid": jid, "percent": 1}))
        self.assertIn("cancelled", str(refused.exception))
        self.assertEqual(client.ack(jid), "OK")
        self.assertEqual(self.server.api("GET", f"/api/v1/tasks/jobs/{jid}").json()["state"], "cancelled")


class Throttles(BatchScenario):
    def test_only_so_many_run_at_once_and_who_waits_is_served(self):
        client = self.start('[[tasks.throttles]]\nqueue = "slow"\nat_once = 1\n[[tasks.throttles]]\njobtype = "Mail"\nrate = "2/h"\n')
        first, second = client.push(queue="slow"), client.push(queue="slow")
        self.assertEqual(client.fetch("slow")["jid"], first)
        self.assertIsNone(client.fetch("slow"))
        other = self.worker("worker-2")
        client.ack(first)
        self.assertEqual(other.fetch("slow")["jid"], second)
        for _ in range(3):
            client.push(jobtype="Mail")
        client.push(jobtype="Other")
        self.assertEqual([job["jobtype"] if (job := client.fetch()) else None for _ in range(4)].count("Mail"), 2)

    def test_keys_take_turns(self):
        client = self.start()
        client.ask("PUSHB", [{"jid": f"job-of-big-{n}", "jobtype": "T", "args": [], "custom": {"key": "big"}} for n in range(1000)])
        for n in range(3):
            client.push(f"job-of-small-{n}", custom={"key": "small"})
        seen = [client.fetch()["jid"].split("-")[2] for _ in range(6)]
        self.assertEqual(seen.count("small"), 3)
        self.assertEqual(self.server.api("GET", "/api/v1/tasks/stats").json()["queues"][0]["keys"], 2)

    def test_wrong_settings_are_refused(self):
        for wrong in ("[[tasks.throttles]]\nqueue = \"slow\"\n", "[[tasks.throttles]]\nrate = \"often\"\n", "[[tasks.backoffs]]\nbase = \"1s\"\n"):
            done = run("check", self.settings("[edge]\nenabled = false\n" + wrong))
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn("tasks", done.stderr)


class Chains(BatchScenario):
    def test_each_job_comes_after_the_success_of_the_one_before(self):
        client = self.start()
        client.push(jobtype="A", custom={"chain": [{"jobtype": "B", "args": [1]}, {"jobtype": "C", "args": [2]}]})
        seen = []
        for _ in range(3):
            job = self.work(client)
            seen.append(job["jobtype"])
        self.assertEqual(seen, ["A", "B", "C"])
        self.assertIsNone(client.fetch())
        with self.assertRaises(Refused) as refused:
            client.push(custom={"chain": [{"jobtype": "B"}]})
        self.assertIn("chain", str(refused.exception))
        eventually(lambda: client.waiting() == 0)


if __name__ == "__main__":
    unittest.main()
