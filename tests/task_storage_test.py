"""The task server and its disk: a full one refuses what is new, loses nothing, and all goes on once there is room."""

import unittest

from harness import eventually, get
from harness.disk import SmallDisk
from harness.edge import EdgeScenario
from harness.faktory import Faktory, Refused


class FullDisk(SmallDisk, EdgeScenario):
    DISK = "8m"  # the store's log grows by a MiB at once
    SETTINGS = '[edge]\nenabled = false\n[tasks]\nfetch_wait = "50ms"\n'

    def client(self, server):
        made = Faktory(server.doors["tasks"], wid="worker-1")
        self.addCleanup(made.close)
        return made

    def test_pushes_are_refused_and_everything_goes_on_when_there_is_room(self):
        server = self.serve(config=self.SETTINGS)
        client = self.client(server)
        kept = {client.push() for _ in range(20)}
        self.fill()
        refusals = []
        for _ in range(300):
            try:
                kept.add(client.push(args=["x" * 1000]))
            except Refused as refused:
                refusals.append(str(refused))
        self.assertTrue(refusals)
        self.assertIn("full", refusals[-1])
        self.assertEqual(client.waiting(), len(kept))
        self.assertEqual(get(server.admin, "/livez").status, 200)
        taken = client.fetch()
        self.assertIn(taken["jid"], kept)
        self.make_room()
        eventually(lambda: kept.add(client.push()) or True)
        client.ack(taken["jid"])
        done = {taken["jid"]}
        while (job := client.fetch()) is not None:
            done.add(job["jid"])
            client.ack(job["jid"])
        self.assertEqual(done, kept)
        self.assertEqual(client.waiting(), 0)

    def test_a_disk_that_is_full_at_the_start_is_waited_for(self):
        self.fill()
        server = self.serve(config=self.SETTINGS)
        self.assertNotIn("tasks", server.doors)
        server.wait_for_line("the task server waits for its store: .*tasks.db: ", timeout=5)
        self.make_room()
        server.wait_for_line("^headroom: tasks listening", timeout=5)
        client = self.client(server)
        jid = client.push()
        self.assertEqual(client.fetch()["jid"], jid)


if __name__ == "__main__":
    unittest.main()
