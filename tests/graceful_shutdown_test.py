"""SIGTERM: not ready at once, accepting until drain_delay is over, open requests end, exit 0."""

import signal
import threading
import time
import unittest

from harness import Connection, Load, Reply, Scenario, eventually, get


class GracefulShutdown(Scenario):
    def test_under_load_no_request_is_lost(self):
        app = self.upstream(answer=lambda request: Reply(delay=0.02))
        server = self.headroom([app], set={"server.drain_delay": "600ms"})
        # A client behind a load balancer: it stops coming once /readyz has said no.
        with Load(server.edge, connections=12) as load:
            load.wait_for(100)
            server.signal(signal.SIGTERM)
            eventually(lambda: get(server.admin, "/readyz").status == 503, timeout=2)
            self.assertEqual(get(server.admin, "/livez").status, 200)
            load.wait_for(30)
            load.stop()
        self.assert_no_failures(load)
        self.assertEqual(server.wait(), 0)

    def test_open_requests_end_and_new_connections_are_refused(self):
        app = self.upstream(answer=lambda request: Reply(body="late\n", delay=1.0))
        server = self.headroom([app])
        answers = []
        with Connection(server.edge) as slow, Connection(server.edge) as idle:
            idle.request("GET", "/livez")
            thread = threading.Thread(target=lambda: answers.append(slow.request("GET", "/slow")))
            thread.start()
            eventually(lambda: app.count >= 2)
            server.signal(signal.SIGINT)
            eventually(lambda: self.refused(server.edge), timeout=2)
            thread.join()
        self.assertEqual((answers[0].status, answers[0].text()), (200, "late\n"))
        self.assertEqual(server.wait(), 0)

    def refused(self, address):
        try:
            Connection(address, timeout=1).close()
            return False
        except ConnectionRefusedError:
            return True

    def test_what_does_not_end_is_cut_off_in_time(self):
        app = self.upstream(answer=lambda request: Reply(delay=15))
        server = self.headroom([app], set={"server.shutdown_timeout": "500ms"})
        with Connection(server.edge) as hanging:
            hanging.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            eventually(lambda: app.count == 1)
            began = time.monotonic()
            self.assertEqual(server.stop(), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_a_second_signal_ends_it_at_once(self):
        server = self.headroom([self.upstream()], set={"server.drain_delay": "60s"})
        server.signal(signal.SIGTERM)
        eventually(lambda: get(server.admin, "/readyz").status == 503)
        began = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait(), 0)
        self.assertLess(time.monotonic() - began, 5)


if __name__ == "__main__":
    unittest.main()
