"""The task server's HTTP door: enqueue here and work there, look, cancel, retry, pause, sweep, recurring tasks."""

import json
import signal
import unittest

from harness import eventually
from harness.edge import EdgeScenario
from harness.faktory import Faktory
from harness.tasks import TaskScenario


class TaskApi(TaskScenario):
    def setUp(self):
        super().setUp()
        self.server = self.serve(config='[edge]\nenabled = false\n[tasks]\nfetch_wait = "50ms"\n')

    def client(self, wid="worker-1"):  # of the one server
        made = Faktory(self.server.doors["tasks"], wid=wid)
        self.addCleanup(made.close)
        return made

    def api(self, method, path, body=None, status=200):
        answer = self.server.api(method, "/api/v1/tasks" + path, body)
        self.assertEqual(answer.status, status, answer.text())
        return answer.json()

    def queue(self, name="default"):
        return {queue["name"]: queue for queue in self.api("GET", "/stats")["queues"]}[name]

    def test_what_is_enqueued_over_http_is_worked_at_the_faktory_door(self):
        jid = self.api("POST", "", {"jobtype": "Mail", "args": [{"to": "x"}], "queue": "mail", "priority": 9}, 201)["jid"]
        worker = self.client()
        job = worker.fetch("mail")
        self.assertEqual((job["jid"], job["args"]), (jid, [{"to": "x"}]))
        shown = self.api("GET", f"/jobs/{jid}")
        self.assertEqual((shown["state"], shown["worker"], shown["job"]["jobtype"]), ("running", "worker-1", "Mail"))
        self.assertEqual([each["jid"] for each in self.api("GET", "?set=running")["jobs"]], [jid])
        worker.ack(jid)
        self.api("GET", f"/jobs/{jid}", status=404)
        stats = self.api("GET", "/stats")
        self.assertEqual((stats["done"], stats["run_time"]["count"], stats["wait_time"]["count"], stats["workers"][0]["wid"]), (1, 1, 1, "worker-1"))
        queue = self.queue("mail")
        self.assertEqual((queue["wait_time"]["count"], queue["run_time"]["count"]), (1, 1))
        self.assertLess(queue["wait_time"]["p99_s"], 60)

    def test_many_at_once_each_with_its_own_error(self):
        said = self.api("POST", "", {"jobs": [{"jobtype": "A", "args": [n]} for n in range(20)] + [{"jobtype": "A"}]}, 201)
        self.assertEqual(len([jid for jid in said["jids"] if jid]), 20)
        self.assertEqual([(error["index"], error["code"]) for error in said["errors"]], [(20, "invalid")])
        self.api("POST", "", {"jobtype": "A"}, 400)
        none = self.api("POST", "", {"jobs": [{"jobtype": "A"}, {"args": []}]}, 400)
        self.assertEqual((none["jids"], len(none["errors"]), none["error"]["code"]), (["", ""], 2, "invalid"))
        self.api("POST", "", [1], 400)
        self.assertIn("one job or more", self.api("POST", "", {"jobs": []}, 400)["error"]["message"])
        seen, cursor = [], ""
        while cursor is not None:
            page = self.api("GET", f"?limit=7&cursor={cursor}")
            seen += [job["jid"] for job in page["jobs"]]
            cursor = page["next"]
        self.assertEqual(seen, said["jids"][:20])
        self.api("GET", "?cursor=nonsense", status=400)
        self.api("GET", "?set=waiting&queue=unknown", status=404)

    def test_waiting_and_running_jobs_are_cancelled(self):
        first, second = (self.api("POST", "", {"jobtype": "A", "args": []}, 201)["jid"] for _ in range(2))
        worker = self.client()
        self.assertEqual(worker.fetch()["jid"], first)
        self.api("DELETE", f"/jobs/{first}")
        self.api("DELETE", f"/jobs/{second}")
        self.api("DELETE", f"/jobs/{second}", status=404)
        self.assertIsNone(worker.fetch())
        self.assertEqual(worker.ack(first), "OK")  # its worker learns nothing and breaks nothing
        self.assertEqual(self.api("GET", "/stats")["running"], 0)
        # Who cancelled is noted; what the app enqueues is its own.
        def noted():
            answer = self.server.api("GET", "/api/v1/audit", token=self.server.token("admin", "anna"))
            return sorted((each["path"], each["status"]) for each in answer.json()["entries"] if each["path"].startswith("/api/v1/tasks"))

        wanted = [(f"/api/v1/tasks/jobs/{first}", 200), (f"/api/v1/tasks/jobs/{second}", 200), (f"/api/v1/tasks/jobs/{second}", 404)]
        eventually(lambda: noted() == sorted(wanted), what=noted)

    def test_dead_jobs_are_retried_one_by_one_or_by_filter(self):
        worker = self.client()
        for n in range(4):
            jid = worker.push(f"dead-job-{n}", jobtype="Even" if n % 2 == 0 else "Odd", args=[n], retry=-1)
            worker.fetch()
            worker.fail(jid, message=f"broken {n}")
        dead = self.api("GET", "?set=dead")["jobs"]
        self.assertEqual([job["job"]["failure"]["message"] for job in dead], [f"broken {n}" for n in range(4)])
        self.api("POST", "/jobs/dead-job-0/retry", {})
        self.api("POST", "/jobs/dead-job-0/retry", {}, status=409)
        self.assertEqual(self.api("POST", "/sweep", {"act": "requeue", "set": "dead", "jobtype": "Odd"})["matched"], 2)
        self.assertEqual(self.api("POST", "/sweep", {"act": "remove", "set": "dead"})["matched"], 1)
        self.assertEqual({worker.fetch()["jid"] for _ in range(3)}, {"dead-job-0", "dead-job-1", "dead-job-3"})

    def test_a_paused_queue_hands_out_nothing(self):
        worker = self.client()
        jid = worker.push()
        self.api("POST", "/queues/default/pause", {})
        self.assertIsNone(worker.fetch())
        self.assertTrue(self.queue()["paused"])
        self.api("POST", "/queues/default/resume", {})
        self.assertEqual(worker.fetch()["jid"], jid)
        self.api("POST", "/queues/unknown/pause", {}, status=404)

    def test_workers_are_told_to_be_quiet_and_to_end(self):
        worker = self.client()
        self.assertEqual(worker.beat(rss_kb=5000), "")
        self.api("POST", "/workers/worker-1/quiet", {})
        self.assertEqual(worker.beat(), "quiet")
        worker.push()
        self.assertIsNone(worker.fetch())
        self.api("POST", "/workers/*/terminate", {})
        self.assertEqual(worker.beat(), "terminate")
        self.api("POST", "/workers/nobody/quiet", {}, status=404)

    def test_a_recurring_task_runs_each_second_and_can_be_ended(self):
        self.api("PUT", "/schedules/tick", {"cron": "* * * * * *", "job": {"jobtype": "Tick", "args": ["a"], "queue": "ticks"}})
        worker = self.client()
        seen = set()

        def ticks():
            job = worker.fetch("ticks")
            if job:
                self.assertNotIn(job["jid"], seen)
                seen.add(job["jid"])
                worker.ack(job["jid"])
            return len(seen) >= 3

        eventually(ticks)
        shown = self.schedules()["tick"]
        self.assertEqual((shown["name"], shown["schedule"]["job"]["jobtype"]), ("tick", "Tick"))
        self.assertGreaterEqual(shown["runs"], 3)
        self.assertLess(shown["last"], shown["next"])
        self.api("DELETE", "/schedules/tick")
        self.assertNotIn("tick", self.schedules())
        for name in ("x%0aerror", "%ff", "%1b[2J", "%00"):
            self.assertIn("control characters", self.api("PUT", f"/schedules/{name}", {"cron": "* * * * *", "job": {"jobtype": "T", "args": []}}, status=400)["error"]["message"])
        self.api("PUT", "/schedules/bad", {"cron": "61 * * * *", "job": {"jobtype": "T", "args": []}}, status=400)

    def schedules(self):
        return {schedule["name"]: schedule for schedule in self.api("GET", "/schedules")["schedules"]}

    def test_maintenance_is_a_recurring_task_that_can_be_moved_and_removed(self):
        self.assertEqual(set(self.schedules()), {"headroom-store-check", "headroom-cache-clean-up"})
        check = {"jobtype": "headroom-store-check", "queue": "headroom", "args": [], "custom": {"track": 1}}
        self.api("PUT", "/schedules/headroom-store-check", {"cron": "* * * * * *", "job": check})
        ran = eventually(lambda: self.schedules()["headroom-store-check"]["runs"] > 0 and self.queue("headroom")["done"] > 0)
        self.assertTrue(ran)
        self.api("DELETE", "/schedules/headroom-store-check")
        jid = self.api("POST", "", check, 201)["jid"]
        eventually(lambda: self.api("GET", f"/jobs/{jid}")["state"] == "success")
        self.assertIn("is good", self.api("GET", f"/jobs/{jid}")["result"])
        clean = self.api("POST", "", {"jobtype": "headroom-cache-clean-up", "queue": "headroom", "args": [], "custom": {"track": 1}}, 201)["jid"]
        eventually(lambda: "cache" in self.api("GET", f"/jobs/{clean}").get("result", ""))
        self.server.signal(signal.SIGTERM)
        self.server.wait(20)
        self._ended.add(self.server)
        self.server = self.serve(config='[edge]\nenabled = false\n')
        self.assertEqual(set(self.schedules()), {"headroom-cache-clean-up"})  # what was removed stays so

    def test_who_may_only_look_changes_nothing(self):
        viewer = self.server.token("viewer")
        self.assertEqual(self.server.api("GET", "/api/v1/tasks/stats", token=viewer).status, 200)
        for method, path in (("POST", ""), ("POST", "/sweep"), ("DELETE", "/jobs/some-job-1"), ("PUT", "/schedules/x")):
            self.assertEqual(self.server.api(method, "/api/v1/tasks" + path, {}, token=viewer).status, 403, path)


class Off(EdgeScenario):
    def test_without_the_room_its_endpoints_say_so(self):
        server = self.serve(config="[edge]\nenabled = false\n[tasks]\nenabled = false\n")
        self.assertNotIn("tasks", server.doors)
        answer = server.api("GET", "/api/v1/tasks/stats")
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (409, "not_configured"))


if __name__ == "__main__":
    unittest.main()
