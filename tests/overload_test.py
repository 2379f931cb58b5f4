"""More than the servers can take: they are protected, important requests go first, the rest is told so at once, and it recovers."""

import threading
import time
import unittest

from harness.edge import EdgeScenario, ask, eventually, metric, reply, servers

ROUTES = "".join(f'[[edge.routes]]\npath = "/{each}"\npriority = "{each}"\n' for each in ("critical", "normal", "background"))


def group(app, **options):
    lines = ["[[edge.upstreams]]", 'name = "app"', f"servers = {servers(app)}"]
    lines += [f"{name} = {str(value).lower() if isinstance(value, bool) else repr(value)}".replace("'", '"') for name, value in options.items()]
    return "\n".join(lines) + "\n" + ROUTES


class Overload(EdgeScenario):
    def held(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def answer(request):
            release.wait(20)
            return b"ok"

        return release, self.answers(answer)

    def fill(self, server, app, count, target="/normal"):
        clients = []
        for i in range(count):
            clients.append(self.client(server).request(target=target))
            app.wait_requests(i + 1)
        return clients

    def test_low_priorities_are_shed_first(self):
        """Of 20 places background may use 14, normal 18, critical all."""
        release, app = self.held()
        server = self.serve(config=group(app, adaptive=False, max_in_flight=20, queue=0))
        self.fill(server, app, 14, "/background")
        answer = ask(server.edge, target="/background")
        self.assertEqual((answer.status, answer.has("retry-after")), (503, True))
        clients = []
        for i in range(4):
            clients.append(self.client(server).request(target="/normal"))
            app.wait_requests(15 + i)
        self.assertEqual(ask(server.edge, target="/normal").status, 503)
        for i in range(2):
            clients.append(self.client(server).request(target="/critical"))
            app.wait_requests(19 + i)
        self.assertEqual(ask(server.edge, target="/critical").status, 503)
        self.assertEqual(len(app.requests), 20)
        release.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        for target in ("/critical", "/normal", "/background"):
            self.assert_serves(server, target)
        self.assertEqual(metric(server, "headroom_edge_shed_total"), 3)

    def test_over_the_limit_normal_requests_wait_a_little(self):
        release, app = self.held()
        server = self.serve(config=group(app, adaptive=False, max_in_flight=10))
        running = self.fill(server, app, 9)
        waiting = [self.client(server).request(target="/normal") for _ in range(5)]
        eventually(lambda: server.api("GET", "/api/v1/upstreams").json()["groups"][0]["queued"] == 5)
        self.assertEqual(len(app.requests), 9)
        release.set()
        for client in [*running, *waiting]:
            self.assertEqual(client.answer().status, 200)

    def test_the_limit_learns_from_an_app_that_drowns(self):
        """Answers that take a hundred times as long: fewer are let in; more again when it has recovered."""
        drowning = threading.Event()

        def answer(request):
            time.sleep(0.4 if drowning.is_set() else 0.001)
            return b"ok"

        def limit():
            return metric(server, "headroom_edge_in_flight_limit")

        app = self.answers(answer)
        server = self.serve(config=group(app, queue_timeout="200ms"))
        load = self.load(server, path="/normal", connections=60, expect=(200, 503))
        load.wait_for(2000, timeout=60)
        drowning.set()
        eventually(lambda: limit() <= 40, 30)
        drowning.clear()
        eventually(lambda: limit() >= 60, 30)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assert_serves(server, "/normal")

    def test_what_is_turned_away_here_does_not_lower_the_limit(self):
        """A full queue says how many came, not what the servers bear."""
        def answer(request):
            time.sleep(0.02)
            return b"ok"

        app = self.answers(answer)
        server = self.serve(config=group(app, max_connections=40, queue=10, queue_timeout="50ms"))
        load = self.load(server, path="/normal", connections=100, expect=(200, 503))
        load.wait_for(4000, timeout=60)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertGreater(metric(server, "headroom_edge_shed_total"), 100)
        self.assertGreaterEqual(metric(server, "headroom_edge_in_flight_limit"), 100)

    def test_a_busy_app_says_so_itself(self):
        """The app's own 503 reaches the client as it is."""
        app = self.answers(lambda request: reply(503, b"later", ["Retry-After: 7"]))
        server = self.serve(config=group(app))
        answer = ask(server.edge, target="/normal")
        self.assertEqual((answer.status, answer.body, answer.get("retry-after")), (503, b"later", "7"))


if __name__ == "__main__":
    unittest.main()
