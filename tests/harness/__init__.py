"""The small language of the scenario tests: real processes, real sockets, ports discovered, everything ended by its pid.

    class UpstreamKilled(Scenario):
        def test_no_request_fails(self):
            app = self.upstream()                        # an application that answers every request
            server = self.headroom(app=[app])            # `headroom serve` on free ports, ready when this returns
            answer = get(server.edge, "/hello")          # one request, one connection
            with Load(server.edge, connections=8) as load:
                ...                                      # what happens meanwhile
            self.assertEqual(load.failures, [])          # every request that did not get a good answer

Python's standard library only, run by /usr/bin/python3. HEADROOM_BINARY names the binary; without it build/dev/headroom is used.
One file a behaviour, at most about 20 seconds; nothing may be left running: Scenario ends what it started, in reverse order.
"""

from .client import Answer, Connection, get, request
from .load import Load
from .process import Headroom, binary, run
from .scenario import Scenario, eventually
from .upstream import Reply, Upstream

__all__ = ["Answer", "Connection", "Headroom", "Load", "Reply", "Scenario", "Upstream", "binary", "eventually", "get", "request", "run"]
