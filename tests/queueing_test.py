"""When servers are full: requests wait in a bounded queue, in order, critical ones first; those that cannot get 503 with Retry-After."""

import threading
import unittest

from harness.edge import EdgeScenario, ask, eventually, metric, servers


def config(app, routes="", **options):
    lines = ["[[edge.upstreams]]", 'name = "app"', f"servers = {servers(app)}"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
    return "\n".join(lines) + "\n" + routes


PRIORITIES = "".join(f'[[edge.routes]]\npath = "/{each}"\npriority = "{each}"\n' for each in ("critical", "normal", "background"))


class Gate:
    """An upstream's answers, let through one by one."""

    def __init__(self):
        self.permits = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, request):
        while not self.open.is_set() and not self.permits.acquire(timeout=0.05):
            pass
        return request.target.encode()


class Queueing(EdgeScenario):
    def gated(self, routes="", **options):
        self.gate = Gate()
        self.addCleanup(self.gate.open.set)
        self.app = self.answers(self.gate)
        self.server = self.serve(config=config(self.app, routes, **options))
        return self.app, self.server

    def queued(self):
        return self.server.api("GET", "/api/v1/upstreams").json()["groups"][0]["queued"]

    def queue_up(self, targets):
        """One after the other: each waits before the next comes."""
        clients = []
        for i, target in enumerate(targets):
            clients.append(self.client(self.server).request(target=target))
            eventually(lambda: self.queued() == i + 1, what=f"{i + 1} wait")
        return clients

    def test_in_order_of_arrival(self):
        app, server = self.gated(max_connections=2)
        running = [self.client(server).request(target=f"/running{i}") for i in range(2)]
        app.wait_requests(2)
        waiting = self.queue_up([f"/{i}" for i in range(5)])
        for i in range(5):
            self.gate.permits.release()
            app.wait_requests(3 + i)
            self.assertEqual(app.requests[-1].target, f"/{i}")
        self.gate.open.set()
        for client in running + waiting:
            self.assertEqual(client.answer().status, 200)
        self.assertLessEqual(app.open(), 2)

    def test_never_more_than_the_limit(self):
        most = [0]
        now = [0]
        lock = threading.Lock()

        def answer(request):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.002)
            with lock:
                now[0] -= 1
            return b"ok"

        app = self.answers(answer)
        server = self.serve(config=config(app, max_connections=3))
        load = self.load(server, connections=16)
        load.wait_for(600)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(most[0], 3)

    def test_a_place_that_comes_free_is_used_at_once(self):
        """By two workers, with one place: a wake-up that is lost would show as a pause of seconds."""
        app = self.answers(lambda request: b"ok")
        server = self.serve(config=config(app, max_connections=1, queue_timeout="2s"), set={"server.workers": 2})
        load = self.load(server, connections=8)
        load.wait_for(3000, timeout=60)
        load.stop()
        self.assertEqual(load.failures, [])
        self.assertEqual(metric(server, "headroom_edge_shed_total"), 0)

    def test_a_full_queue_is_a_503_at_once(self):
        app, server = self.gated(max_connections=1, queue=2)
        running = self.client(server).request()
        app.wait_requests(1)
        waiting = self.queue_up(["/1", "/2"])
        for accept, kind in (("application/json", "application/json"), ("text/html", "text/")):
            answer = ask(server.edge, fields=[f"Accept: {accept}"])
            self.assertEqual((answer.status, answer.has("retry-after"), answer.has("x-request-id")), (503, True, True))
            self.assertTrue(answer.get("content-type").startswith(kind), answer)
        self.gate.open.set()
        for client in [running, *waiting]:
            self.assertEqual(client.answer().status, 200)

    def test_waiting_too_long_is_a_503(self):
        app, server = self.gated(max_connections=1, queue_timeout="300ms")
        running = self.client(server).request()
        app.wait_requests(1)
        waiting = self.queue_up(["/1", "/2", "/3"])
        for client in waiting:
            answer = client.answer()
            self.assertEqual((answer.status, answer.has("retry-after")), (503, True))
        self.assertEqual(self.queued(), 0)
        self.gate.open.set()
        self.assertEqual(running.answer().status, 200)
        self.assertEqual(len(app.requests), 1)
        self.assert_serves(server)

    def test_a_slow_upload_does_not_use_up_its_time_in_the_queue(self):
        app, server = self.gated(max_connections=1, queue_timeout="1s")
        client = self.client(server).send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        for _ in range(5):
            threading.Event().wait(0.3)
            client.send(b"xx")
            if _ == 3:
                running = self.client(server).request(target="/running")
                app.wait_requests(1)
        eventually(lambda: self.queued() == 1)
        self.gate.open.set()
        self.assertEqual(running.answer().status, 200)
        self.assertEqual(client.answer().status, 200)

    def test_critical_ones_first_and_background_ones_not_at_all(self):
        app, server = self.gated(PRIORITIES, max_connections=1)
        running = self.client(server).request(target="/normal/running")
        app.wait_requests(1)
        waiting = self.queue_up(["/normal/1", "/normal/2", "/critical/1", "/critical/2"])
        answer = ask(server.edge, target="/background")
        self.assertEqual((answer.status, answer.has("retry-after")), (503, True))
        for wanted in ("/critical/1", "/critical/2", "/normal/1", "/normal/2"):
            self.gate.permits.release()
            eventually(lambda: app.requests[-1].target == wanted, what=wanted)
        self.gate.open.set()
        for client in [running, *waiting]:
            self.assertEqual(client.answer().status, 200)

    def test_a_client_that_leaves_the_queue_is_never_forwarded(self):
        app, server = self.gated(max_connections=1)
        running = self.client(server).request(target="/running")
        app.wait_requests(1)
        gone, stays = self.queue_up(["/gone", "/stays"])
        gone.reset()
        self.gate.permits.release()
        self.gate.permits.release()
        self.assertEqual(running.answer().status, 200)
        self.assertEqual(stays.answer().body, b"/stays")
        self.assertEqual([request.target for request in app.requests], ["/running", "/stays"])

    def test_a_reload_does_not_forget_who_waits(self):
        """The request that is answered came before the reload, the one that waits for its place after it."""
        app, server = self.gated(max_connections=1, queue_timeout="10s")
        running = self.client(server).request(target="/before")
        app.wait_requests(1)
        early = self.queue_up(["/early"])[0]
        self.reload(server, config(app, max_connections=1, queue_timeout="9s"))
        late = self.client(server).request(target="/late")
        eventually(lambda: self.queued() == 2)
        self.gate.open.set()
        for client in (running, early, late):
            client.sock.settimeout(6)  # less than the queue's time-out
            self.assertEqual(client.answer().status, 200)


if __name__ == "__main__":
    unittest.main()
