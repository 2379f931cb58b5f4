"""The CDN in front: it is given tags, and told what is invalidated, by calls as Cloudflare and CloudFront document them, over TLS that is verified."""

import datetime
import hashlib
import hmac
import json
import ssl
import subprocess
import threading
import time
import unittest
import xml.etree.ElementTree

from harness.client import get
from harness.edge import EdgeScenario, ask, eventually, metric, reply
from harness.process import run
from harness.scenario import Scenario

TOKEN = "t0ken-of-the-test"
SECRET = "s3cret-of-the-test/+"
GOOD = b'{"success":true,"errors":[],"messages":[],"result":{"id":"ZONE"}}'
NAMESPACE = "{http://cloudfront.amazonaws.com/doc/2020-05-31/}"


class Fronted(EdgeScenario):
    """`calls`: what the stand-in has been asked, with the time; `says`: its next answers, then good ones."""

    def setUp(self):
        super().setUp()
        self.calls, self.says = [], []
        self.cert, context = self.certificate("IP:127.0.0.1")
        self.cdn = self.script(self.stand_in, tls=context)

    def certificate(self, names, stem="cdn"):
        cert, key = (self.directory / f"{stem}.{end}" for end in ("pem", "key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=cdn",
                        "-addext", f"subjectAltName={names}", "-keyout", key, "-out", cert], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        return cert, context

    def refuses(self, request):
        return None

    def stand_in(self, connection):
        while (request := connection.read()) is not None:
            request.came = time.monotonic()
            self.calls.append(request)
            said = self.says.pop(0) if self.says else self.refuses(request)
            connection.send(said or reply(201 if "distribution" in request.target else 200, GOOD, ["Content-Type: application/json"]))

    def cloudflare(self, more="", cache=""):
        return f"""
[edge.cdn]
provider = "cloudflare"
zone = "ZONE"
token = "{TOKEN}"
base_url = "https://127.0.0.1:{self.cdn.port}/client/v4"
ca = "{self.cert}"
plan = "enterprise"
delay = "100ms"
{more}
[[edge.routes]]
path = "/"
[edge.routes.cache]
tags = ["site"]
{cache}
"""

    def app(self, fields=("Cache-Control: public, max-age=60", "Surrogate-Key: one two")):
        self.fields = list(fields)
        return self.answers(lambda request: reply(200, request.target, self.fields))

    def bodies(self):
        return [json.loads(call.body) for call in self.calls]

    def told(self, count=1):
        eventually(lambda: len(self.calls) >= count, 20, what=f"{count} calls came")
        return self.bodies()

    def clear(self, server, **what):
        self.assertEqual(server.api("POST", "/api/v1/cache/clear", what).status, 200)

    def status(self, server):
        return server.api("GET", "/api/v1/cache/cdn").json()


class Cloudflare(Fronted):
    def test_it_is_told_by_tag_url_prefix_and_everything(self):
        server = self.serve(self.app(), config=self.cloudflare())
        ask(server.edge, target="/a?b=1")
        for what, said in (({"tags": ["one", "two"]}, {"tags": ["one", "two"]}), ({"entity": "product"}, {"tags": ["product"]}),
                           ({"key": "http://test.example/a?b=1"}, {"files": ["https://test.example/a?b=1", "http://test.example/a?b=1"]}),
                           ({"prefix": "http://test.example/shop/"}, {"prefixes": ["test.example/shop"]}),
                           ({"pattern": "http://test.example/news/*.html"}, {"prefixes": ["test.example/news"]}), ({"pattern": "*"}, {"purge_everything": True})):
            before = len(self.calls)
            self.clear(server, **what)
            self.assertEqual(self.told(before + 1)[-1], said)
            call = self.calls[-1]
            self.assertEqual((call.method, call.target), ("POST", "/client/v4/zones/ZONE/purge_cache"))
            self.assertEqual((call.get("authorization"), call.get("content-type")), (f"Bearer {TOKEN}", "application/json"))
            self.assertEqual(call.get("host"), f"127.0.0.1:{self.cdn.port}")
        eventually(lambda: self.status(server)["told"] == 7)
        now = self.status(server)
        self.assertEqual([now[key] for key in ("status", "provider", "waiting", "failures", "last_error")], ["ok", "cloudflare", 0, 0, None])
        self.assertEqual(metric(server, "headroom_edge_cdn_purges_total", kind="tag"), 3)
        self.assertEqual(metric(server, "headroom_edge_cdn_calls_total", outcome="done"), 6)

    def test_an_unsafe_request_tells_of_what_was_kept_and_of_nothing_else(self):
        server = self.serve(self.app(), config=self.cloudflare())
        ask(server.edge, target="/kept")
        ask(server.edge, "POST", "/never-asked-for", body=b"x")
        ask(server.edge, "POST", "/kept", body=b"x")
        self.assertEqual(self.told(), [{"files": ["https://test.example/kept", "http://test.example/kept"]}])
        time.sleep(0.5)
        self.assertEqual(len(self.calls), 1)

    def test_values_of_the_app_are_not_its_business(self):
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, key="some-key")
        time.sleep(0.5)
        self.assertEqual(self.calls, [])

    def test_many_are_told_in_batches_and_each_once(self):
        server = self.serve(self.app(), config=self.cloudflare(more='').replace('delay = "100ms"', 'delay = "3s"'))
        server.api("GET", "/api/v1/cache/cdn")
        tags = [f"tag{i}" for i in range(250)]
        for _ in range(3):
            self.clear(server, tags=tags)
        batches = [body["tags"] for body in self.told(3)]
        self.assertEqual(sorted(len(batch) for batch in batches), [50, 100, 100])
        self.assertEqual(sorted(sum(batches, [])), sorted(tags))
        time.sleep(0.3)
        self.assertEqual(len(self.calls), 3)

    def test_no_more_often_than_the_plan_allows(self):
        server = self.serve(self.app(), config=self.cloudflare().replace('"enterprise"', '"free"').replace('"100ms"', '"0s"'))
        for i in range(25):  # the bucket
            self.clear(server, tags=[f"t{i}"])
            self.told(i + 1)
        self.clear(server, tags=["late"])
        time.sleep(2)
        self.assertEqual(len(self.calls), 25)
        self.assertEqual(self.status(server)["waiting"], 1)

    def test_busy_means_again_when_it_says(self):
        self.says = [reply(429, b'{"success":false,"errors":[{"code":971,"message":"slow down"}]}', ["Retry-After: 4"])]
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, tags=["one"])
        self.assertEqual(self.told(2), [{"tags": ["one"]}] * 2)
        self.assertGreaterEqual(self.calls[1].came - self.calls[0].came, 3.9)
        eventually(lambda: self.status(server)["status"] == "ok")

    def test_what_fails_is_told_again_until_it_is_taken(self):
        self.says = [reply(500, b"no"), reply(200, b'{"success":false,"errors":[{"code":1,"message":"not yet"}]}')]
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, tags=["one"])
        eventually(lambda: self.status(server)["failures"] >= 1)
        self.assertEqual(self.status(server)["status"], "failing")
        self.assertIn("edge.cdn", get(server.admin, "/health").text())
        self.assertEqual(get(server.admin, "/readyz").status, 200)  # it goes on without
        self.clear(server, tags=["two"])
        self.assertEqual(self.told(4), [{"tags": ["one"]}] * 3 + [{"tags": ["two"]}])
        eventually(lambda: self.status(server)["status"] == "ok")  # and it recovers
        self.assertEqual(metric(server, "headroom_edge_cdn_calls_total", outcome="later"), 2)

    def test_it_may_be_away_for_a_while(self):
        server = self.serve(self.app(), config=self.cloudflare())
        self.cdn.stop()
        self.clear(server, tags=["one"])
        eventually(lambda: self.status(server)["failures"] >= 1)
        self.cdn.start()
        self.assertEqual(self.told(), [{"tags": ["one"]}])  # and it recovers

    def test_what_it_refuses_becomes_everything(self):
        self.says = [reply(400, b'{"success":false,"errors":[{"code":1,"message":"no such tag"}]}')]
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, tags=["one"])
        self.assertEqual(self.told(2), [{"tags": ["one"]}, {"purge_everything": True}])
        eventually(lambda: self.status(server)["status"] == "ok")

    def test_a_url_that_it_cannot_have_does_not_cost_the_others(self):
        no = reply(400, b'{"success":false,"errors":[{"code":1,"message":"an undefined zone"}]}')
        self.refuses = lambda request: no if b"elsewhere" in request.body else None
        server = self.serve(self.app(), config=self.cloudflare().replace('"100ms"', '"2s"'))
        for i in range(7):
            self.clear(server, key=f"http://test.example/{i}")
        self.clear(server, key="http://elsewhere.example/x")
        eventually(lambda: (now := self.status(server))["waiting"] == 0 and now["told"] == 7, 20)
        now = self.status(server)
        self.assertEqual((now["refused"], now["status"], now["last_error"]), (1, "ok", "status 400: an undefined zone"))
        taken = sorted(url for call in self.calls if b"elsewhere" not in call.body for url in json.loads(call.body)["files"] if url.startswith("https"))
        self.assertEqual(taken, [f"https://test.example/{i}" for i in range(7)])
        self.assertNotIn({"purge_everything": True}, self.bodies())

    def test_more_than_may_wait_becomes_everything(self):
        server = self.serve(self.app(), config=self.cloudflare(more="queue = 5").replace('"100ms"', '"3s"'))
        server.api("GET", "/api/v1/cache/cdn")
        self.clear(server, tags=[f"t{i}" for i in range(20)])
        self.assertEqual(self.status(server)["waiting"], 1)
        self.assertEqual(self.told(), [{"purge_everything": True}])
        self.assertEqual(metric(server, "headroom_edge_cdn_overflows_total"), 1)

    def test_a_stranger_learns_nothing(self):
        """A certificate that is not of the authority given: no call is made, and the token stays here."""
        _, context = self.certificate("IP:127.0.0.1", "other")
        self.cdn.tls = context
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, tags=["one"])
        eventually(lambda: self.status(server)["failures"] >= 1)
        self.assertEqual(self.calls, [])
        shown = "\n".join(server.lines) + server.api("GET", "/api/v1/settings").text() + server.api("GET", "/api/v1/cache/cdn").text()
        self.assertNotIn(TOKEN, shown)

    def test_nor_does_one_with_another_name(self):
        self.cert, context = self.certificate("DNS:other.example")
        self.cdn.tls = context
        server = self.serve(self.app(), config=self.cloudflare())
        self.clear(server, tags=["one"])
        eventually(lambda: self.status(server)["failures"] >= 1)
        self.assertEqual(self.calls, [])

    def test_a_reload_turns_it_on_and_off(self):
        off = "[[edge.routes]]\npath = \"/\""
        server = self.serve(self.app(), config=off)
        self.assertEqual(self.status(server)["status"], "not_configured")
        self.clear(server, tags=["early"])
        self.reload(server, self.cloudflare())
        self.clear(server, tags=["one"])
        self.assertEqual(self.told(), [{"tags": ["one"]}])
        self.reload(server, off)
        self.clear(server, tags=["late"])
        time.sleep(0.5)
        self.assertEqual(len(self.calls), 1)

    def test_many_threads_at_once(self):
        server = self.serve(self.app(), config=self.cloudflare())
        server.api("GET", "/api/v1/cache/cdn")
        for i in range(40):
            ask(server.edge, target=f"/p{i}")
        posting = [threading.Thread(target=lambda i=i: ask(server.edge, "POST", f"/p{i}", body=b"x")) for i in range(40)]
        for thread in posting:
            thread.start()
        for thread in posting:
            thread.join()
        wanted = {f"https://test.example/p{i}" for i in range(40)}
        eventually(lambda: wanted <= {url for body in self.bodies() for url in body["files"]})


class LastWords(Fronted):
    def _end(self, server):
        if server.process.poll() is None:
            super()._end(server)
        else:
            Scenario._end(self, server)  # the test has ended it

    def test_what_waits_is_told_before_the_end(self):
        server = self.serve(self.app(), config=self.cloudflare().replace('"100ms"', '"60s"'))
        self.clear(server, tags=["one"])
        self.assertEqual(self.calls, [])
        self.assertEqual(server.stop(), 0)
        self.assertEqual(self.bodies(), [{"tags": ["one"]}])

    def test_the_end_does_not_wait_long(self):
        server = self.serve(self.app(), config=self.cloudflare())
        self.cdn.stop()
        self.clear(server, tags=["one"])
        eventually(lambda: self.status(server)["failures"] >= 1)
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn("has not been told of 1 invalidations", "\n".join(server.lines))


class CloudFront(Fronted):
    def cloudfront(self, more=""):
        return f"""
[edge.cdn]
provider = "cloudfront"
zone = "EDFDVBD6EXAMPLE"
access_key = "AKIDEXAMPLE"
secret_key = "{SECRET}"
base_url = "https://127.0.0.1:{self.cdn.port}"
ca = "{self.cert}"
delay = "100ms"
{more}
"""

    def signature(self, call, signed):
        """By Amazon's description, with nothing of ours."""
        digest = lambda key, text: hmac.new(key, text.encode(), hashlib.sha256).digest()
        when = call.get("x-amz-date")
        fields = "".join(f"{name}:{call.get(name).strip()}\n" for name in signed)
        canonical = "\n".join([call.method, call.target, "", fields, ";".join(signed), hashlib.sha256(call.body).hexdigest()])
        scope = f"{when[:8]}/us-east-1/cloudfront/aws4_request"
        to_sign = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = digest(digest(digest(digest(("AWS4" + SECRET).encode(), when[:8]), "us-east-1"), "cloudfront"), "aws4_request")
        return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), scope

    def read(self, call):
        self.assertEqual((call.method, call.target), ("POST", "/2020-05-31/distribution/EDFDVBD6EXAMPLE/invalidation"))
        self.assertEqual(call.get("content-type"), "text/xml")
        signed = call.get("authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
        self.assertLessEqual({"host", "x-amz-date", "content-type"}, set(signed))
        signature, scope = self.signature(call, signed)
        self.assertEqual(call.get("authorization"), f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={';'.join(signed)}, Signature={signature}")
        when = datetime.datetime.strptime(call.get("x-amz-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        self.assertLess(abs((datetime.datetime.now(datetime.timezone.utc) - when).total_seconds()), 60)
        root = xml.etree.ElementTree.fromstring(call.body)
        self.assertEqual(root.tag, NAMESPACE + "InvalidationBatch")
        paths = [path.text for path in root.findall(f"{NAMESPACE}Paths/{NAMESPACE}Items/{NAMESPACE}Path")]
        self.assertEqual(int(root.find(f"{NAMESPACE}Paths/{NAMESPACE}Quantity").text), len(paths))
        return paths, root.find(f"{NAMESPACE}CallerReference").text

    def test_it_is_told_in_signed_batches(self):
        server = self.serve(self.app(), config=self.cloudfront())
        references = set()
        for what, paths in (({"tags": ["a<b", "c&d"]}, ["#a<b", "#c&d", "#headroom-more"]), ({"key": "http://test.example/a?b=1&c=2"}, ["/a?b=1&c=2"]),
                            ({"prefix": "http://test.example/shop/"}, ["/shop/*"]), ({"pattern": "*"}, ["/*"])):
            before = len(self.calls)
            self.clear(server, **what)
            eventually(lambda: len(self.calls) == before + 1)
            said, reference = self.read(self.calls[-1])
            self.assertEqual(said, paths)
            references.add(reference)
        self.assertEqual(len(references), 4)
        self.assertNotIn(SECRET, "\n".join(server.lines) + server.api("GET", "/api/v1/settings").text())

    def test_temporary_credentials_are_signed_too(self):
        server = self.serve(self.app(), config=self.cloudfront('session_token = "temporary"'))
        self.clear(server, tags=["a"])
        eventually(lambda: len(self.calls) == 1)
        self.read(self.calls[0])
        self.assertEqual(self.calls[0].get("x-amz-security-token"), "temporary")
        self.assertIn("x-amz-security-token", self.calls[0].get("authorization"))

    def test_too_many_in_progress_means_the_same_again(self):
        self.says = [reply(400, b"<ErrorResponse><Error><Code>TooManyInvalidationsInProgress</Code><Message>m</Message></Error></ErrorResponse>")]
        server = self.serve(self.app(), config=self.cloudfront())
        self.clear(server, tags=["a"])
        eventually(lambda: len(self.calls) == 2, 10)
        self.assertEqual(self.read(self.calls[0]), self.read(self.calls[1]))  # by its reference it is known to be the same


class Headers(Fronted):
    def test_answers_carry_tags_and_what_the_cdn_is_told_to_do(self):
        config = self.cloudflare(cache='cdn = "max-age=3600"\nbrowser = "max-age=5"')
        server = self.serve(self.app(["Cache-Control: public, max-age=60", "Surrogate-Key: one two", "Cache-Tag: three", "Surrogate-Control: max-age=9",
                                      "CDN-Cache-Control: max-age=60"]), config=config)
        for _ in range(2):  # from the app, from memory
            answer = ask(server.edge, target="/p")
            self.assertEqual(sorted(answer.get("cache-tag").split(",")), ["one", "site", "three", "two"])
            self.assertEqual([answer.get(name) for name in ("cdn-cache-control", "cache-control", "surrogate-control")], ["max-age=3600", "max-age=5", "max-age=9"])
            self.assertFalse(answer.has("surrogate-key"))
        self.assertIn("hit", answer.get("cache-status"))

    def test_a_users_pages_are_none_of_its_business(self):
        server = self.serve(self.app(["Cache-Control: max-age=60", "Surrogate-Key: one"]), config=self.cloudflare(cache='cdn = "max-age=3600"\nper_user = ["cookie:session"]'))
        for _ in range(2):
            answer = ask(server.edge, target="/p", fields=["Cookie: session=a"])
            self.assertEqual([answer.has("cache-tag"), answer.has("cdn-cache-control")], [False, False])
        self.assertIn("hit", answer.get("cache-status"))

    def test_what_is_not_kept_here_has_its_tags_too(self):
        server = self.serve(self.app(["Surrogate-Key: one"]), config=self.cloudflare())
        self.assertEqual(ask(server.edge, target="/p").get("cache-tag"), "site,one")

    def test_other_cdns_read_other_headers(self):
        config = '[edge.cdn]\nprovider = "other"\ntag_header = "Surrogate-Key"'
        server = self.serve(self.app(["Cache-Control: max-age=60", "Cache-Tag: one,two"]), config=config)
        self.assertEqual(ask(server.edge, target="/p").get("surrogate-key"), "one two")

    def test_without_a_cdn_they_end_here(self):
        server = self.serve(self.app(["Cache-Control: max-age=60", "Surrogate-Key: one", "Surrogate-Control: max-age=9"]))
        answer = ask(server.edge, target="/p")
        self.assertEqual([answer.has(name) for name in ("cache-tag", "surrogate-key", "surrogate-control")], [False] * 3)


class Settings(Fronted):
    def test_what_is_wrong_is_refused_without_showing_a_secret(self):
        good = self.cloudflare()
        for wrong, reason in ((good.replace('zone = "ZONE"', ""), "zone"), (good.replace(f'token = "{TOKEN}"', ""), "token"), (good.replace("https://", "http://"), "https"),
                              (good.replace('"ZONE"', '"../x"'), "zone"), (good.replace(str(self.cert), "/nowhere"), "/nowhere"),
                              (good.replace(TOKEN, TOKEN + "\\r\\nX: y"), "token"), (good.replace('"cloudflare"', '"fastly"'), "provider")):
            done = run("check", self.settings('[edge]\napp = ["http://127.0.0.1:1"]\n' + wrong))
            self.assertEqual(done.returncode, 2, wrong)
            self.assertIn(reason, done.stderr)
            self.assertNotIn(TOKEN, done.stderr)


if __name__ == "__main__":
    unittest.main()
