"""What a reload may change while requests are under way: servers, weights, limits, routes, names. None of it costs a request."""

import threading
import unittest

from harness.edge import EdgeScenario, ask, chunk, eventually, servers


def group(name, *upstreams, **options):
    lines = ["[[edge.upstreams]]", f'name = "{name}"', f"servers = {servers(*upstreams)}"]
    lines += [f"{key} = {value!r}".replace("'", '"') for key, value in options.items()]
    return "\n".join(lines) + "\n"


class Swaps(EdgeScenario):
    def test_100_reloads_of_everything_under_load(self):
        a, b, c = (self.answers(lambda request, name=name: name) for name in (b"a", b"b", b"c"))
        named = f"http://localhost:{c.port}"
        configs = [
            group("app", a, b),
            group("app", (a, "weight=3"), b, balance="round_robin"),
            group("app", b, c, max_connections=2, queue=500),
            group("app", named, balance="hash", hash_by="header:X-User"),
            group("app", a, (b, "backup"), max_in_flight=500) + "[edge.upstreams.health]\npath = \"/health\"\ninterval = \"100ms\"\n",
            group("other", c, a, adaptive=False) .replace("False", "false") + '[[edge.routes]]\npath = "/"\nupstream = "other"\n',
            group("app", c) + group("other", b) + '[[edge.routes]]\npath = "/"\nupstream = "app"\n[[edge.routes]]\npath = "/x"\nupstream = "other"\n',
        ]
        server = self.serve(config=configs[0])
        loads = [self.load(server, connections=4), self.load(server, path="/x/y", connections=2, keep_alive=False)]
        for i in range(100):
            self.reload(server, configs[(i * 3 + 1) % len(configs)])
            loads[0].wait_for(3)
        for load in loads:
            load.stop()
            self.assertEqual(load.failures, [])
        self.assertTrue(all(app.requests for app in (a, b, c)))
        self.assertGreater(loads[1].done, 50)

    def test_what_is_under_way_ends_where_it_began(self):
        """An answer that is awaited, an upload, a download: their server has gone from the settings meanwhile."""
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def script(connection):
            request = connection.read_head()
            if request.target == "/download":
                connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"before "))
                go_on.wait(20)
                connection.send(chunk(b"after") + b"0\r\n\r\n")
                return
            connection.read_body(request)
            connection.keep(request)
            go_on.wait(20)
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nold %02d" % (len(request.body) % 100))

        old = self.script(script)
        new = self.answers(lambda request: b"new")
        server = self.serve(config=group("app", old))
        waiting = self.client(server).request(target="/waiting")
        download = self.client(server).request(target="/download")
        head = download.head()
        upload = self.client(server).send(b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x" * 40))
        old.wait_connections(3)
        self.reload(server, group("app", new) + "[edge]\nheader_timeout = \"3s\"\n")
        self.assertEqual(ask(server.edge).body, b"new")
        upload.send(chunk(b"y" * 2) + b"0\r\n\r\n")
        old.wait_requests(2)
        go_on.set()
        self.assertEqual(waiting.answer().body, b"old 00")
        self.assertEqual(upload.answer().body, b"old 42")
        download.reader.chunked(head)
        self.assertEqual(head.body, b"before after")
        for client in (waiting, upload, download):
            self.assertEqual(client.ask().body, b"new")
        old.wait_closed()  # no idle connection to a server that is gone

    def test_idle_connections_to_servers_that_stay_stay(self):
        a = self.answers(lambda request: b"a")
        b = self.answers(lambda request: b"b")
        server = self.serve(config=group("app", a, b, balance="round_robin"), set={"server.workers": 1})
        for _ in range(4):
            self.assert_serves(server)
        for more in ("", "slow_start = \"1s\"\n", "retries = 1\n"):
            self.reload(server, group("app", a) + more)
            self.assert_serves(server)
        self.assertEqual((len(a.connections), len(b.connections)), (1, 1))
        b.wait_closed()

    def test_limits_hold_from_the_next_request_on(self):
        app = self.answers(lambda request: str(len(request.body)).encode())
        server = self.serve(config=group("app", app))
        client = self.client(server)
        self.assertEqual(client.ask("POST", body=b"x" * 2000).body, b"2000")
        self.reload(server, '[edge]\nbody_limit = "1KiB"\nline_limit = "100B"\n' + group("app", app))
        self.assertEqual(client.ask("POST", body=b"x" * 1000).body, b"1000")
        answer = client.ask("POST", body=b"x" * 2000)
        self.assertEqual(answer.status, 413)
        self.assertEqual(self.client(server).ask(target="/" + "a" * 200).status, 414)

    def test_what_is_known_of_a_server_outlives_a_reload(self):
        bad = self.script(lambda connection: connection.read() and None)
        good = self.answers(lambda request: b"good")
        server = self.serve(config=group("app", bad, good, max_fails=1, retry_budget=1.0))

        def states():
            return [each["state"] for each in server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"]]

        eventually(lambda: ask(server.edge).status == 200 and states() == ["ejected", "up"])
        for attributes in ("", "weight=5", "max_connections=7"):
            self.reload(server, group("app", (bad, attributes), good, max_fails=1, retry_budget=1.0))
            self.assertEqual(states(), ["ejected", "up"])

    def test_nonsense_changes_nothing(self):
        app = self.answers(lambda request: b"ok")
        good = group("app", app)
        server = self.serve(config=good)
        for bad in (good.replace("app", "app", 1) + "balance = \"magic\"\n", "[edge", "\x00\x01", group("app", "http://127.0.0.1:99999"),
                    good + '[[edge.routes]]\npath = "/"\nupstream = "nobody"\n', good + good, good + "[edge]\nbody_limt = 1\n",
                    good + '[edge.tls]\ncert = "/nowhere.pem"\nkey = "/nowhere.key"\n'):
            self.reload(server, bad)
            self.assert_serves(server)
        self.assertEqual(sum("nothing changed" in line for line in server.lines), 8)


if __name__ == "__main__":
    unittest.main()
