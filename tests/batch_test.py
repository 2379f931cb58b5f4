"""POST /_headroom/batch: many requests in one, each as if it had come alone."""

import base64
import json
import socket
import threading
import time
import unittest

from harness import Reply, Scenario, request
from harness.edge import EdgeScenario, ask, descriptors, eventually, metric, reply

PATH = "/_headroom/batch"


def echo(request):
    """What the upstream received, as JSON."""
    return reply(200, json.dumps({"method": request.method, "target": request.target, "fields": request.fields, "body": request.body.decode("latin-1")}),
                 ["Content-Type: application/json"])


def fields_of(part):
    return {name.lower(): value for name, value in part["body"]["fields"]}


class BatchScenario(EdgeScenario):
    def post(self, server, parts, fields=(), body=None, **options):
        """The answer to a batch, raw."""
        body = json.dumps(parts) if body is None else body
        return ask(server.edge, method="POST", target=PATH, fields=["Content-Type: application/json", *fields], body=body.encode("latin-1"), **options)

    def batch(self, server, parts, **options):
        """The answers of its parts."""
        answer = self.post(server, parts, **options)
        self.assertEqual((answer.status, answer.get("content-type")), (200, "application/json"), answer.body[:300])
        answers = json.loads(answer.body)
        self.assertEqual(len(answers), len(parts))
        return answers

    def assert_recovers(self, server):
        self.assertEqual([part["status"] for part in self.batch(server, [{"path": "/a"}, {"path": "/b"}])], [200, 200])

    def assert_refused(self, server, status, code, parts=None, **options):
        answer = self.post(server, parts, **options)
        self.assertEqual(answer.status, status, answer.body[:300])
        self.assertEqual(json.loads(answer.body)["error"]["code"], code)
        self.assert_recovers(server)


class Answers(BatchScenario):
    def test_come_in_order_whatever_order_they_are_made_in(self):
        def answer(request):
            number = int(request.target.partition("=")[2])
            time.sleep(0.02 * (9 - number))
            return reply(220 + number, f'{{"n": {number}}}', ["Content-Type: application/json", f"X-Number: {number}"])

        app = self.answers(answer)
        server = self.serve(app)
        answers = self.batch(server, [{"path": f"/item?n={n}"} for n in range(8)])
        self.assertEqual([part["status"] for part in answers], [220 + n for n in range(8)])
        self.assertEqual([part["body"] for part in answers], [{"n": n} for n in range(8)])
        self.assertEqual([part["headers"]["X-Number"] for part in answers], [str(n) for n in range(8)])

    def test_a_part_arrives_as_it_was_written(self):
        app = self.answers(echo)
        server = self.serve(app)
        sent = [{"method": "PUT", "path": "/a/b?c=d%20e", "headers": {"X-Own": "yes", "Content-Type": "text/x"}, "body": "text"},
                {"method": "POST", "path": "/json", "body": {"name": ["é", 1, None]}},
                {"method": "POST", "path": "/bytes", "body": base64.b64encode(b"\x00\xff").decode(), "base64": True},
                {"method": "DELETE", "path": "/gone"}, {"method": "HEAD", "path": "/head"}]
        put, post, octets, delete, head = self.batch(server, sent)
        self.assertEqual((put["body"]["method"], put["body"]["target"], put["body"]["body"]), ("PUT", "/a/b?c=d%20e", "text"))
        self.assertEqual((fields_of(put)["x-own"], fields_of(put)["content-type"], fields_of(put)["content-length"]), ("yes", "text/x", "4"))
        self.assertEqual(json.loads(post["body"]["body"].encode("latin-1")), {"name": ["é", 1, None]})
        self.assertEqual(fields_of(post)["content-type"], "application/json")
        self.assertEqual(octets["body"]["body"], "\x00\xff")
        self.assertEqual((delete["status"], head["status"], head["body"]), (200, 200, None))
        self.assertEqual(fields_of(put)["host"], "test.example")

    def test_bodies_are_json_text_or_base64(self):
        made = {"/json": (b'{"big": 12345678901234567890123}', "application/json"), "/broken": (b'{"a":', "application/json"),
                "/text": ("grüße\n".encode(), "text/plain; charset=utf-8"), "/bytes": (b"\x89PNG\r\n\x1a\n", "image/png"), "/none": (b"", "text/plain")}
        app = self.answers(lambda request: reply(200, made[request.target][0], [f"Content-Type: {made[request.target][1]}"]))
        server = self.serve(app)
        answers = dict(zip(made, self.batch(server, [{"path": path} for path in made])))
        self.assertEqual(answers["/json"]["body"], {"big": 12345678901234567890123})
        self.assertEqual((answers["/broken"]["body"], answers["/text"]["body"], answers["/none"]["body"]), ('{"a":', "grüße\n", None))
        self.assertEqual((base64.b64decode(answers["/bytes"]["body"]), answers["/bytes"]["base64"]), (made["/bytes"][0], True))
        self.assertNotIn("base64", answers["/text"])

    def test_who_asks_is_inherited_and_may_be_overridden(self):
        app = self.answers(echo)
        server = self.serve(app)
        outer = ["Authorization: Bearer outer", "Cookie: session=1", "Accept-Language: de", "Origin: https://site", "X-Mine: no", "X-Forwarded-For: 6.6.6.6"]
        plain, own = self.batch(server, [{"path": "/"}, {"path": "/", "headers": {"Authorization": "Bearer inner", "cookie": "session=2"}}], fields=outer)
        seen = fields_of(plain)
        self.assertEqual([seen.get(name) for name in ("authorization", "cookie", "accept-language", "origin", "x-mine")],
                         ["Bearer outer", "session=1", "de", "https://site", None])
        self.assertEqual((seen["x-forwarded-for"], seen["x-real-ip"], seen["x-forwarded-proto"]), ("127.0.0.1", "127.0.0.1", "http"))
        self.assertEqual([fields_of(own)[name] for name in ("authorization", "cookie", "accept-language")], ["Bearer inner", "session=2", "de"])

    def test_what_a_trusted_proxy_says_counts_for_every_part(self):
        app = self.answers(echo)
        server = self.serve(app, config='[edge]\ntrusted_proxies = ["127.0.0.1"]\n')
        part, = self.batch(server, [{"path": "/"}], fields=["X-Forwarded-For: 9.8.7.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: shop.example"])
        seen = fields_of(part)
        self.assertEqual((seen["x-forwarded-for"], seen["x-real-ip"]), ("9.8.7.6, 127.0.0.1", "9.8.7.6"))
        self.assertEqual((seen["x-forwarded-proto"], seen["x-forwarded-host"]), ("https", "shop.example"))

    def test_cookies_of_parts_are_set_by_the_batch(self):
        app = self.answers(lambda request: reply(200, b"in", ["Set-Cookie: a=1; HttpOnly", "Set-Cookie: b=2; Path=/x"]))
        server = self.serve(app)
        answer = self.post(server, [{"method": "POST", "path": "/app/login"}])
        self.assertEqual(answer.all("set-cookie"), ["a=1; HttpOnly; Path=/app", "b=2; Path=/x"])
        self.assertNotIn(b"HttpOnly", answer.body)

    def test_parts_share_the_cache_with_requests_that_come_alone(self):
        def answer(request):
            return reply(200, json.dumps(request.get("authorization", "")).encode(), ["Content-Type: application/json", "Cache-Control: max-age=60"])

        app = self.answers(answer)
        server = self.serve(app)
        ask(server.edge, target="/a")
        ask(server.edge, target="/b")
        for part in self.batch(server, [{"path": "/a"}, {"path": "/b"}, {"path": "/a"}]):
            self.assertIn("hit", part["headers"]["Cache-Status"])
        self.batch(server, [{"path": "/c"}])
        self.assertIn("hit", ask(server.edge, target="/c").get("cache-status"))
        self.assertEqual(sorted(request.target for request in app.requests), ["/a", "/b", "/c"])
        # Who asks decides, as alone: what is one client's is nobody else's.
        mine = self.batch(server, [{"path": "/mine"}], fields=["Authorization: Bearer me"])
        yours = self.batch(server, [{"path": "/mine"}, {"path": "/mine", "headers": {"Authorization": "Bearer third"}}], fields=["Authorization: Bearer you"])
        self.assertEqual([part["body"] for part in mine + yours], ["Bearer me", "Bearer you", "Bearer third"])
        # A part that changes something ends what is stored, for those that come alone too.
        self.batch(server, [{"method": "POST", "path": "/a", "body": "x"}])
        self.assertNotIn("hit", ask(server.edge, target="/a").get("cache-status"))

    def test_parts_are_routed_as_alone(self):
        shop, blog = self.answers(lambda request: b"shop"), self.answers(lambda request: b"blog " + request.target.encode())
        server = self.serve(config=f'''
[[edge.upstreams]]
name = "shop"
servers = ["{shop.url}"]
[[edge.upstreams]]
name = "blog"
servers = ["{blog.url}"]
[[edge.routes]]
path = "/"
upstream = "shop"
[[edge.routes]]
path = "/blog"
upstream = "blog"
strip_prefix = "/blog"
[[edge.routes]]
path = "/old"
redirect = "308 https://new.example{{uri}}"
''')
        answers = self.batch(server, [{"path": "/"}, {"path": "/blog/1"}, {"path": "/old/2"}])
        self.assertEqual([part["body"] for part in answers[:2]], ["shop", "blog /1"])
        self.assertEqual((answers[2]["status"], answers[2]["headers"]["Location"]), (308, "https://new.example/old/2"))


class SideBySide(BatchScenario):
    def counting(self, delay=0.1):
        lock = threading.Lock()
        seen = {"now": 0, "most": 0}

        def answer(request):
            with lock:
                seen["now"] += 1
                seen["most"] = max(seen["most"], seen["now"])
            time.sleep(delay)
            with lock:
                seen["now"] -= 1
            return b"ok"

        return self.answers(answer), seen

    def test_five_at_once_and_no_more(self):
        app, seen = self.counting()
        server = self.serve(app)
        began = time.monotonic()
        self.batch(server, [{"path": f"/{n}"} for n in range(20)])
        self.assertLess(time.monotonic() - began, 1.5, "20 of 0.1 s, five at once, take 0.4 s")
        self.assertEqual(seen["most"], 5)

    def test_the_number_is_a_setting_that_can_be_reloaded(self):
        app, seen = self.counting(0.05)
        server = self.serve(app, config="[edge.batch]\nat_once = 2\n")
        self.batch(server, [{"path": f"/{n}"} for n in range(8)])
        self.assertEqual(seen["most"], 2)
        self.reload(server, config="[edge.batch]\nat_once = 7\n")
        self.batch(server, [{"path": f"/{n}"} for n in range(14)])
        self.assertEqual(seen["most"], 7)

    def test_parts_are_not_connections(self):
        app, _ = self.counting(0.05)
        server = self.serve(app, config="[edge]\nmax_connections = 1\nmax_connections_per_address = 1\n")
        self.assertEqual([part["status"] for part in self.batch(server, [{"path": "/"}] * 10)], [200] * 10)

    def test_slow_parts_time_out_alone(self):
        app = self.answers(lambda request: time.sleep(3 if request.target == "/slow" else 0) or b"ok")
        server = self.serve(app, config='[edge.batch]\ntimeout = "500ms"\n')
        began = time.monotonic()
        answers = self.batch(server, [{"path": "/slow"}, {"path": "/"}, {"path": "/slow"}, {"path": "/"}])
        self.assertLess(time.monotonic() - began, 2)
        self.assertEqual([part["status"] for part in answers], [504, 200, 504, 200])
        self.assertEqual(answers[0]["body"]["error"]["code"], "batch_timeout")
        self.assert_recovers(server)

    def test_what_did_not_begin_in_time_is_504_too(self):
        app = self.answers(lambda request: time.sleep(2) or b"ok")
        server = self.serve(app, config='[edge.batch]\ntimeout = "300ms"\nat_once = 1\n')
        self.assertEqual([part["status"] for part in self.batch(server, [{"path": "/"}] * 4)], [504] * 4)
        self.assertEqual(len(app.requests), 1)

    def test_a_dead_server_costs_its_parts_only(self):
        app, dead = self.answers(lambda request: b"ok"), self.answers(lambda request: b"")
        dead.stop()
        server = self.serve(app, config=f'[[edge.upstreams]]\nname = "dead"\nservers = ["{dead.url}"]\n[[edge.routes]]\npath = "/dead"\nupstream = "dead"\n'
                                        '[[edge.routes]]\npath = "/"\nupstream = "app"\n')
        answers = self.batch(server, [{"path": "/"}, {"path": "/dead"}, {"path": "/"}])
        self.assertEqual([part["status"] for part in answers], [200, 503, 200])

    def test_a_client_that_goes_takes_its_parts_along(self):
        app = self.script(lambda connection: (connection.read(), connection.at_end()))
        server = self.serve(app)
        body = json.dumps([{"path": f"/{n}"} for n in range(20)])
        client = self.client(server)
        client.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        app.wait_requests(5)
        client.close()
        app.wait_closed(10)
        self.assertEqual(len(app.requests), 5, "nobody waits for the others")
        eventually(lambda: metric(server, "headroom_edge_batches_total", outcome="gone") == 1, 5)


class Shutdown(Scenario):
    def test_lets_a_batch_end(self):
        app = self.upstream(answer=lambda request: Reply(delay=0.3))
        server = self.headroom([app])
        answers = []
        asking = threading.Thread(target=lambda: answers.extend(request(server.edge, "POST", PATH, body=[{"path": "/"}] * 15).json()))
        asking.start()
        eventually(lambda: app.count >= 3)
        self.assertEqual(server.stop(), 0)
        asking.join(10)
        self.assertEqual([part["status"] for part in answers], [200] * 15)


class Limits(BatchScenario):
    def serve_limits(self, **settings):
        self.app = self.answers(lambda request: b"x" * int(request.target.partition("=")[2] or 2))
        return self.serve(self.app, config="[edge.batch]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))

    def test_each_part_counts_once_against_rate_limits_and_the_batch_does_not(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[[limit.rules]]\nname = "few"\nrate = "3/min"\n')
        answers = self.batch(server, [{"path": "/"}] * 5)
        self.assertEqual(sorted(part["status"] for part in answers), [200] * 3 + [429] * 2)
        refused = next(part for part in answers if part["status"] == 429)
        self.assertIn("Retry-After", refused["headers"])
        self.assertEqual(refused["body"]["error"]["code"], "rate_limited")
        self.assertEqual(ask(server.edge).status, 429, "parts and requests are counted together")
        self.assertEqual([part["status"] for part in self.batch(server, [{"path": "/"}])], [429])
        self.assertEqual(len(app.requests), 3)

    def test_rules_by_path_and_user_see_the_part(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[[limit.rules]]\nname = "auth"\nrate = "1/min"\npath = "/auth"\nsubject = "header:X-Key"\n')
        parts = [{"path": "/auth", "headers": {"X-Key": key}} for key in ("a", "b")] + [{"path": "/else", "headers": {"X-Key": "a"}}] * 2
        self.assertEqual([part["status"] for part in self.batch(server, parts)], [200] * 4)
        self.assertEqual([part["status"] for part in self.batch(server, parts)], [429, 429, 200, 200])

    def test_too_many_parts(self):
        server = self.serve_limits(parts=3)
        self.assert_refused(server, 413, "too_many_parts", [{"path": "/"}] * 4)
        self.assertEqual(len(self.app.requests), 2, "none of them was sent")

    def test_too_many_bytes_in_announced_or_not(self):
        server = self.serve_limits(bytes_in="1KiB")
        self.assert_refused(server, 413, "body_too_large", [{"path": "/" + "x" * 2000}])
        with self.client(server) as client:
            client.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            client.send(b"800\r\n" + b" " * 0x800 + b"\r\n")
            self.assertEqual(client.answer().status, 413)
        self.assert_recovers(server)

    def test_a_part_that_answers_too_much_fails_alone(self):
        server = self.serve_limits(bytes_out="10KiB", at_once=1)
        answers = self.batch(server, [{"path": "/?n=9000"}, {"path": "/?n=9000"}, {"path": "/?n=100"}, {"path": "/?n=99999999"}])
        self.assertEqual([part["status"] for part in answers], [200, 502, 200, 502])
        self.assertEqual(answers[1]["body"]["error"]["code"], "answer_too_large")
        self.assert_recovers(server)

    def test_an_answer_as_large_as_allowed_passes(self):
        server = self.serve_limits()
        answers = self.batch(server, [{"path": f"/?n={1 << 20}"}] * 7)
        self.assertEqual({len(part["body"]) for part in answers}, {1 << 20})

    def test_large_bodies_of_parts(self):
        app = self.answers(lambda request: str(len(request.body)).encode())
        server = self.serve(app, config='[edge.batch]\nbytes_in = "8MiB"\n')
        answers = self.batch(server, [{"method": "POST", "path": "/", "body": "x" * (3 << 20)}] * 2)
        self.assertEqual([part["body"] for part in answers], [str(3 << 20)] * 2)

    def test_the_apps_body_limit_counts_for_a_part(self):
        app = self.answers(lambda request: b"ok")
        server = self.serve(app, config='[[edge.routes]]\npath = "/"\nbody_limit = "1KiB"\n')
        answers = self.batch(server, [{"method": "POST", "path": "/", "body": "x" * 500000}, {"method": "POST", "path": "/", "body": "x"}])
        self.assertEqual([part["status"] for part in answers], [413, 200])

    def test_turned_off_the_path_is_the_apps(self):
        server = self.serve_limits(enabled=False)
        self.assertEqual(self.post(server, [{"path": "/"}]).body, b"xx")
        self.assertEqual([request.target for request in self.app.requests], [PATH])


class Hostile(BatchScenario):
    def setUp(self):
        super().setUp()
        self.app = self.answers(lambda request: b"ok")
        self.server = self.serve(self.app)

    def refusals(self, parts, **options):
        """The parts' statuses; none of them reaches the app, and a good one beside them does."""
        before = len(self.app.requests)
        answers = self.batch(self.server, [*parts, {"path": "/good"}], **options)
        self.assertEqual(answers[-1]["status"], 200)
        self.assertEqual([request.target for request in self.app.requests[before:]], ["/good"])
        return [part["status"] for part in answers[:-1]]

    def test_what_is_no_list_of_requests(self):
        bad = ["", "{}", "[", "[]", "null", "[1]", '[{"path": 1}]', '[{}]', '[{"path": "/", "path": "/"}]', '[{"path": "/", "unknown": 1}]', "[" * 100000,
               '[{"path": "/", "body": ' + "[" * 50 + "]" * 50 + "}]", '[{"path": "/"}] x', '[{"path": "/", "headers": {"A": 1}}]', '[{"path": "\\ud800"}]',
               '[{"path": "/", "body": "###", "base64": true}]', "\xff\xfe[]", '[{"path": "/", "headers": ["A: b"]}]']
        for body in bad:
            self.assert_refused(self.server, 400, "bad_batch", body=body)

    def test_a_hundred_thousand_parts(self):
        self.assert_refused(self.server, 413, "too_many_parts", body="[" + ",".join(['{}'] * 100000) + "]")
        self.assert_refused(self.server, 413, "body_too_large", [{"path": "/"}] * 100000)

    def test_methods_and_types(self):
        for method in ("GET", "PUT", "OPTIONS", "DELETE"):
            answer = ask(self.server.edge, method=method, target=PATH, fields=["Content-Type: application/json"])
            self.assertEqual((answer.status, answer.get("allow")), (405, "POST"), method)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""):
            answer = ask(self.server.edge, method="POST", target=PATH, fields=[f"Content-Type: {kind}"], body=b'[{"path": "/"}]')
            self.assertEqual(answer.status, 415, kind)
        self.assertEqual(self.app.requests, [])
        self.assert_recovers(self.server)

    def test_paths_that_are_none(self):
        bad = ["http://127.0.0.1:1/", "https://evil.example/", "//", "evil.example/", "*", "", "/a b", "/\r\nX: y", "/x HTTP/1.1\r\nX: y\r\n\r\nGET /z", "/\u0000",
               "/\u00fc", "/#fragment", "/%2e%2e/%2e%2e/etc", "/../../etc", "/a/%00", "/a%2fb"]
        bad.remove("//")
        self.assertEqual(self.refusals([{"path": path} for path in bad]), [400] * len(bad))

    def test_a_huge_path_is_414_and_a_huge_head_431(self):
        big = [{"path": "/" + "x" * 20000}, {"path": "/", "headers": {"X-Big": "x" * 40000}}, {"path": "/", "headers": {f"X-{n}": "y" for n in range(200)}}]
        self.assertEqual(self.refusals(big), [414, 431, 431])

    def test_nesting_in_any_spelling(self):
        inner = [{"path": "/"}]
        bad = [PATH, PATH + "?x", "/_headroom", "/_headroom/other", "/x/../_headroom/batch", "//_headroom/batch", "/%5fheadroom/batch", "/./_headroom//batch"]
        parts = [{"method": "POST", "path": path, "headers": {"Content-Type": "application/json"}, "body": inner} for path in bad]
        self.assertEqual(self.refusals(parts), [403] * len(bad))

    def test_headers_that_say_who_asks_or_how_it_is_framed(self):
        names = ["X-Forwarded-For", "x-forwarded-host", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP", "Via", "Host", "Connection",
                 "Content-Length", "Transfer-Encoding", "Upgrade", "TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Expect", "Origin", "Referer", "Sec-Fetch-Site"]
        self.assertEqual(self.refusals([{"path": "/", "headers": {name: "1.2.3.4"}} for name in names]), [400] * len(names))

    def test_a_header_is_not_two(self):
        bad = [{"A": "b\r\nX-Forwarded-For: 6.6.6.6"}, {"A": "b\nc"}, {"A\r\nB": "c"}, {"A: b\r\nC": "d"}, {"": "x"}, {"A ": "x"}, {"A": "\u0000"}, {" A": "x"}]
        self.assertEqual(self.refusals([{"path": "/", "headers": fields} for fields in bad]), [400] * len(bad))
        methods = ["GET / HTTP/1.1\r\nX: y\r\n\r\nPOST", "GE T", "", "G\u0000T"]
        self.assertEqual(self.refusals([{"path": "/", "method": method} for method in methods]), [400] * 4)
        self.assertEqual(self.refusals([{"path": "/", "method": method} for method in ("CONNECT", "TRACE")]), [405] * 2)

    def test_the_seeds_paths_are_not_for_parts(self):
        server = self.serve(self.app, config="[admin]\non_edge = true\n", state_dir=self.directory / "other")
        answers = self.batch(server, [{"path": "/health"}, {"path": "/api/phase14/scalability/overview"}, {"path": "/else"}])
        self.assertEqual([part["status"] for part in answers], [403, 403, 200])
        self.assertEqual(answers[0]["body"]["error"]["code"], "not_in_batch")

    def test_half_a_batch_and_a_client_that_resets(self):
        for end in ("close", "reset"):
            client = self.client(self.server)
            client.send(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n[{{\"path\": \"/\"}},")
            if end == "reset":
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        self.assertEqual(self.app.requests, [])
        self.assert_recovers(self.server)

    def test_broken_answers_are_their_parts(self):
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        broken = {"/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", "/garbage": b"nonsense\r\n\r\n", "/good": whole}
        app = self.script(lambda connection: connection.send(broken[connection.read().target]))
        server = self.serve(app, state_dir=self.directory / "other")
        answers = self.batch(server, [{"path": path} for path in broken])
        self.assertEqual([part["status"] for part in answers], [502, 502, 200])

    def test_what_batches_leave_behind_is_nothing(self):
        self.batch(self.server, [{"path": "/"}] * 50)
        before = descriptors(self.server)
        for _ in range(10):
            self.batch(self.server, [{"path": "/"}] * 50)
            self.post(self.server, None, body="[")
        eventually(lambda: descriptors(self.server) <= before + 5, 5)
        self.assertEqual(metric(self.server, "headroom_edge_batches_total", outcome="answered"), 11)
        self.assertEqual(metric(self.server, "headroom_edge_batches_total", outcome="refused"), 10)
        self.assertEqual(metric(self.server, "headroom_edge_batch_parts_total", **{"class": "2xx"}), 550)


if __name__ == "__main__":
    unittest.main()
