"""What the task server's scenarios share: a Headroom with the Faktory door alone, clients, and its end by kill -9."""

from .edge import EdgeScenario
from .faktory import Faktory


class TaskScenario(EdgeScenario):
    def setUp(self):
        super().setUp()
        self._ended = set()
        self._config = ""

    def tasks(self, config="", **options):
        return self.serve(config="[edge]\nenabled = false\n" + config, **options)

    def client(self, server, **options):
        made = Faktory(server.doors["tasks"], **options)
        self.addCleanup(made.close)
        return made

    def kill_and_start(self, server):
        """As the machine's end would be, but for what the kernel still writes; the same state directory again."""
        server.process.kill()
        server.process.wait()
        self.has_ended(server)
        return self.tasks(self._config)

    def has_ended(self, server):
        """It is no fault that it does not run any more."""
        server.process.stderr.close()
        self._ended.add(server)

    def _end(self, server):
        if server not in self._ended:
            super()._end(server)
