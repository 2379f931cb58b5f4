"""Which server gets which request: by load, in turn, by hash, by weight; and who is left out: backups, drained ones."""

import collections
import threading
import unittest

from harness.edge import EdgeScenario, Raw, ask, eventually, servers


def group(*upstreams, **options):
    lines = ["[[edge.upstreams]]", 'name = "app"', f"servers = {servers(*upstreams)}"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in options.items()]
    return "\n".join(lines) + "\n"


class Balancing(EdgeScenario):
    def three(self):
        return [self.answers(lambda request, name=name: name) for name in (b"a", b"b", b"c")]

    def ask_many(self, server, count, **options):
        return collections.Counter(ask(server.edge, **options).body for _ in range(count))

    def held(self, names):
        """Upstreams that answer nothing until the event is set."""
        release = threading.Event()
        self.addCleanup(release.set)

        def make(name):
            def answer(request):
                release.wait(20)
                return name

            return self.answers(answer)

        return release, [make(name) for name in names]

    def hold(self, server, upstreams, count):
        """So many requests at once, one after the other; how many each upstream has got."""
        clients = []
        for i in range(count):
            clients.append(self.client(server).request(target=f"/{i}"))
            eventually(lambda: sum(len(app.requests) for app in upstreams) == i + 1)
        return clients, [len(app.requests) for app in upstreams]

    def test_round_robin_is_in_turn(self):
        a, b, c = self.three()
        server = self.serve(config=group(a, b, c, balance="round_robin"))
        self.assertEqual(self.ask_many(server, 30), {b"a": 10, b"b": 10, b"c": 10})

    def test_round_robin_by_weight(self):
        a, b, c = self.three()
        server = self.serve(config=group((a, "weight=1"), (b, "weight=2"), (c, "weight=7"), balance="round_robin"))
        self.assertEqual(self.ask_many(server, 50), {b"a": 5, b"b": 10, b"c": 35})

    def test_least_connections(self):
        release, upstreams = self.held([b"a", b"b", b"c"])
        server = self.serve(config=group(*upstreams))
        clients, counts = self.hold(server, upstreams, 12)
        self.assertEqual(counts, [4, 4, 4])
        release.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)

    def test_least_connections_by_weight(self):
        release, (a, b) = self.held([b"a", b"b"])
        server = self.serve(config=group((a, "weight=1"), (b, "weight=3")))
        clients, counts = self.hold(server, (a, b), 12)
        self.assertEqual(counts, [3, 9])
        release.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)

    def test_least_connections_shares_when_nobody_is_busy(self):
        a, b, c = self.three()
        server = self.serve(config=group(a, b, c))
        self.assertGreater(min(self.ask_many(server, 150).values()), 20)

    def test_the_better_of_two_at_random(self):
        release, upstreams = self.held([b"a", b"b", b"c", b"d"])
        server = self.serve(config=group(*upstreams, balance="random_two"))
        clients, counts = self.hold(server, upstreams, 40)
        self.assertGreaterEqual(min(counts), 5)
        self.assertLessEqual(max(counts), 15)
        release.set()
        for client in clients:
            self.assertEqual(client.answer().status, 200)

    def test_hash_by_header_is_stable_and_moves_little(self):
        upstreams = self.three()
        config = group(*upstreams, balance="hash", hash_by="header:X-User")

        def homes(server):
            return {user: ask(server.edge, fields=[f"X-User: {user}"]).body for user in range(90)}

        server = self.serve(config=config)
        first = homes(server)
        self.assertEqual(homes(server), first)
        counts = collections.Counter(first.values())
        self.assertGreater(min(counts[name] for name in (b"a", b"b", b"c")), 10)
        self.reload(server, group(*upstreams[:2], balance="hash", hash_by="header:X-User"))
        then = homes(server)
        self.assertEqual({user for user in first if first[user] != then[user]}, {user for user in first if first[user] == b"c"})
        self.reload(server, config)
        self.assertEqual(homes(server), first)

    def test_hash_goes_around_a_server_that_is_down_and_back(self):
        upstreams = self.three()
        server = self.serve(config=group(*upstreams, balance="hash", hash_by="header:X-User", fail_timeout="200ms", max_fails=1))
        first = {user: ask(server.edge, fields=[f"X-User: {user}"]).body for user in range(30)}
        upstreams[2].stop()
        then = {user: ask(server.edge, fields=[f"X-User: {user}"]).body for user in range(30)}
        self.assertEqual({user: home for user, home in then.items() if first[user] != b"c"},
                         {user: home for user, home in first.items() if home != b"c"})
        upstreams[2].start()
        eventually(lambda: {user: ask(server.edge, fields=[f"X-User: {user}"]).body for user in range(30)} == first)

    def test_hash_by_cookie(self):
        server = self.serve(config=group(*self.three(), balance="hash", hash_by="cookie:session"))
        homes = {}
        for session in range(30):
            for cookie in (f"session={session}", f"a=b; session={session}", f"a=b; session={session}; c=d", f"xsession=1; session={session}"):
                body = ask(server.edge, fields=[f"Cookie: {cookie}"]).body
                self.assertEqual(homes.setdefault(session, body), body, cookie)
            body = ask(server.edge, fields=["Cookie: a=b", f"Cookie: session={session}"]).body
            self.assertEqual(homes[session], body, "a second Cookie line")
        self.assertEqual(len(set(homes.values())), 3)

    def test_hash_by_address(self):
        server = self.serve(config='[edge]\ntrusted_proxies = ["127.0.0.1"]\n' + group(*self.three(), balance="hash", hash_by="address"))
        homes = {}
        for _ in range(2):
            for i in range(30):
                body = ask(server.edge, fields=[f"X-Forwarded-For: 10.0.0.{i}"]).body
                self.assertEqual(homes.setdefault(i, body), body)
        self.assertEqual(len(set(homes.values())), 3)

    def test_a_backup_serves_only_when_nobody_else_can(self):
        a, b, c = self.three()
        server = self.serve(config=group(a, b, (c, "backup"), fail_timeout="200ms"))
        self.assertEqual(self.ask_many(server, 40)[b"c"], 0)
        a.stop()
        b.stop()
        self.assertEqual(self.ask_many(server, 10), {b"c": 10})
        b.start()
        eventually(lambda: ask(server.edge).body == b"b")

    def test_a_drained_server_ends_what_it_has_and_gets_no_more(self):
        release, (a,) = self.held([b"a"])
        b = self.answers(lambda request: b"b")
        server = self.serve(config=group(a, (b, "backup")))
        client = self.client(server).request(target="/held")
        a.wait_requests(1)
        for path, body in (("/api/v1/upstreams/drain", {"group": "app", "server": a.url}),):
            self.assertEqual(server.api("POST", path, body).status, 200)
        state = server.api("GET", "/api/v1/upstreams").json()["groups"][0]["servers"][0]
        self.assertEqual((state["state"], state["in_flight"]), ("draining", 1))
        self.assertEqual(self.ask_many(server, 10), {b"b": 10})
        self.reload(server)  # a reload does not undo what an operator did
        self.assertEqual(self.ask_many(server, 10), {b"b": 10})
        self.reload(server, group((a, "weight=2"), (b, "backup")))
        self.assertEqual(self.ask_many(server, 10), {b"b": 10})
        release.set()
        self.assertEqual(client.answer().body, b"a")
        server.api("POST", "/api/v1/upstreams/undrain", {"group": "app", "server": a.url})
        self.assertEqual(self.ask_many(server, 10), {b"a": 10})

    def test_routes_by_host_and_longest_path(self):
        a, b, c = self.three()
        config = "".join(f'[[edge.upstreams]]\nname = "{name}"\nservers = {servers(each)}\n' for name, each in (("a", a), ("b", b), ("c", c)))
        for host, path, name in (("", "/", "a"), ("", "/api", "b"), ("", "/api/v2", "c"), ("shop.example", "/", "b"), ("*.shop.example", "/", "c")):
            config += f'[[edge.routes]]\nhost = "{host}"\npath = "{path}"\nupstream = "{name}"\n'
        server = self.serve(config=config)
        client = Raw(server.edge)
        self.addCleanup(client.close)
        for host, target, body in (("x", "/", b"a"), ("x", "/apis", b"a"), ("x", "/api", b"b"), ("x", "/api/", b"b"), ("x", "/api?x", b"b"),
                                   ("x", "/api/v2/y", b"c"), ("x", "/api/v2x", b"b"), ("x", "/API", b"a"), ("x", "/x/../api", b"b"),
                                   ("x", "/%61pi", b"b"), ("x", "//api", b"b"), ("Shop.Example:80", "/api", b"b"), ("a.shop.example", "/api", b"c"),
                                   ("ashop.example", "/", b"a")):
            self.assertEqual(client.ask(target=target, host=host).body, body, (host, target))


if __name__ == "__main__":
    unittest.main()
