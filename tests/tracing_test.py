"""Traces and metrics for OpenTelemetry: one trace over edge, cache, upstream, SQL and job; whom a traceparent is believed; a collector that is slow, dead or refuses."""

import json
import re
import subprocess
import time
import unittest

from harness.client import get
from harness.edge import EdgeScenario, eventually, metric, reply
from harness.faktory import Faktory
from harness.otlp import Collector, attributes
from harness.postgres import Cluster
from harness.scenario import Scenario

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
PLAIN = "[cache]\nenabled = false\n"
CONFIG = """
[monitor.otlp]
endpoint = "%s"
headers = ["Api-Key: very-secret"]
service = "shop"
sample = %s
interval = "1s"
timeout = "2s"
"""


def traceparent(request):
    found = [value for name, value in request.fields if name.lower() == "traceparent"]
    assert len(found) <= 1, found
    return found[0] if found else None


class Tracing(EdgeScenario):
    _end = Scenario._end  # some stop their server themselves

    def setUp(self):
        super().setUp()
        self.collector = self.collect()
        self.told = []  # the traceparent of each request that the app got
        self.app = self.answers(self.answer_of)

    def collect(self, port=0):
        made = Collector(port)
        self.addCleanup(made.stop)
        return made

    def answer_of(self, request):
        self.told.append(traceparent(request))
        return reply(503 if request.target.startswith("/bad") else 200, b"hello", fields=["Cache-Control: max-age=60"])

    def begin(self, sample=1, config=PLAIN, **options):
        return self.serve(self.app, config=CONFIG % (self.collector.url, sample) + config, **options)

    def until_spans(self, count, collector=None):
        eventually(lambda: len((collector or self.collector).spans_seen()) >= count, 20, 0.1)

    def test_a_request_is_one_trace_with_its_attempt_at_a_server_and_the_app_is_told_of_it(self):
        server = self.begin(config=PLAIN + '[[edge.routes]]\nname = "shop"\npath = "/"')
        self.assertEqual(get(server.edge, "/a?secret=1").status, 200)
        self.until_spans(2)
        spans = {span["kind"]: span for span in self.collector.spans()}
        inner, outer = spans[3], spans[2]
        self.assertEqual((outer["name"], outer["parentSpanId"]), ("GET shop", ""))
        self.assertEqual((inner["traceId"], inner["parentSpanId"]), (outer["traceId"], outer["spanId"]))
        self.assertEqual(self.told, [f"00-{outer['traceId']}-{inner['spanId']}-01"])
        said = attributes(outer)
        self.assertEqual((said["http.request.method"], said["url.path"], said["http.response.status_code"], said["http.route"]), ("GET", "/a", 200, "shop"))
        self.assertNotIn("secret", json.dumps(self.collector.bodies))
        self.assertLessEqual(int(outer["startTimeUnixNano"]), int(inner["startTimeUnixNano"]))
        self.assertLessEqual(int(inner["endTimeUnixNano"]), int(outer["endTimeUnixNano"]))
        self.assertLess(abs(int(outer["startTimeUnixNano"]) / 1e9 - time.time()), 60)
        self.assertEqual((outer["status"] or {}).get("code", 0), 0)
        head = self.collector.heads[0]
        self.assertEqual((head["Content-Type"], head["Api-Key"]), ("application/json", "very-secret"))
        self.assertNotIn("very-secret", server.api("GET", "/api/v1/config").text() + "\n".join(server.lines))

    def test_what_fails_is_marked(self):
        server = self.begin()
        get(server.edge, "/bad")
        self.until_spans(2)
        for span in self.collector.spans():
            self.assertEqual((span["status"]["code"], attributes(span)["http.response.status_code"]), (2, 503))

    def test_the_cache_says_what_it_did_to_the_trace_and_not_to_the_client(self):
        server = self.begin(config='[[edge.routes]]\nname = "pages"\npath = "/"\n[edge.routes.cache]\nenabled = true\n[edge.cache]\nstatus = false\n')
        get(server.edge, "/page")
        again = get(server.edge, "/page")
        self.assertIsNone(again.field("cache-status"))
        self.until_spans(5)
        spans = self.collector.spans()
        caches = [span for span in spans if span["name"] == "cache"]
        self.assertEqual([attributes(span)["headroom.cache.hit"] for span in caches], [0, 1])
        self.assertIn("hit", attributes(caches[1])["headroom.cache.status"])
        traces = [span["traceId"] for span in caches]
        self.assertEqual([len([span for span in spans if span["traceId"] == trace]) for trace in traces], [3, 2])  # the second asked no server

    def test_a_client_decides_nothing_and_a_trusted_proxy_decides_for_its_own(self):
        server = self.begin(sample=0)
        get(server.edge, "/", headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=b"})
        self.assertEqual(self.told, [None])
        server.stop()
        server = self.begin(sample=0, config=PLAIN + '[edge]\ntrusted_proxies = ["127.0.0.0/8"]')
        get(server.edge, "/", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
        self.assertEqual(self.told[1], f"00-{TRACE}-{PARENT}-00")
        get(server.edge, "/", headers={"traceparent": f"00-{TRACE.upper()}-{PARENT}-01"})  # no traceparent: capitals
        get(server.edge, "/", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        self.until_spans(2)
        outer, = [span for span in self.collector.spans() if span["kind"] == 2]
        self.assertEqual((outer["traceId"], outer["parentSpanId"]), (TRACE, PARENT))
        self.assertTrue(re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", self.told[3]), self.told)
        self.assertEqual(len(self.collector.spans_seen()), 2)

    def test_without_tracing_what_a_client_sends_passes_as_it_came(self):
        server = self.serve(self.app)
        get(server.edge, "/", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
        self.assertEqual(self.told, [f"00-{TRACE}-{PARENT}-01"])

    def test_metrics_are_what_the_prometheus_text_says(self):
        server = self.begin()
        for _ in range(7):
            get(server.edge, "/")
        def requests():
            found = [each for body in self.collector.bodies["/v1/metrics"][-3:] for scope in body["resourceMetrics"][0]["scopeMetrics"] for each in scope["metrics"]
                     if each["name"] == "headroom_edge_all_requests_total"]
            return found and found[-1]["sum"]["dataPoints"][0]["asInt"]
        eventually(lambda: requests() == "7", 20, 0.1)
        last = {each["name"]: each for each in self.collector.metrics()}
        times = last["headroom_edge_request_seconds"]["histogram"]
        self.assertEqual(times["aggregationTemporality"], 2)
        point = times["dataPoints"][0]
        self.assertEqual((sum(map(int, point["bucketCounts"])), len(point["bucketCounts"])), (int(point["count"]), len(point["explicitBounds"]) + 1))
        self.assertTrue(last["headroom_edge_all_requests_total"]["sum"]["isMonotonic"])
        text = get(server.admin, "/metrics").text()
        names = set(re.findall(r"^# TYPE (\S+)", text, re.M))
        self.assertEqual({name for name in last if not name.startswith("headroom_")}, set())
        self.assertLess(len(names - set(last)), 5, names - set(last))
        self.assertIn("headroom_monitor_system_cpu_limit", last)

    def test_a_collector_that_says_later_gets_it_later_and_one_that_refuses_is_not_asked_again(self):
        self.collector.status, self.collector.fields = 503, {"Retry-After": "2"}
        server = self.begin()
        get(server.edge, "/")
        tries = lambda: [at for at, path in self.collector.tries if path == "/v1/traces"]
        eventually(lambda: len(tries()) >= 2, 20, 0.1)
        self.assertGreaterEqual(tries()[1] - tries()[0], 1.9)
        self.collector.status, self.collector.fields = 200, {}
        self.until_spans(2)
        eventually(lambda: metric(server, "headroom_monitor_otlp_spans_total", result="sent") == 2)
        self.collector.status = 400
        get(server.edge, "/")
        eventually(lambda: metric(server, "headroom_monitor_otlp_spans_total", result="refused") == 2, 20, 0.1)
        self.collector.status, self.collector.answer = 200, b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}'
        get(server.edge, "/")
        eventually(lambda: metric(server, "headroom_monitor_otlp_spans_total", result="refused") == 3, 20, 0.1)
        self.assertTrue(any("too old" in line or "status 400" in line for line in server.lines))
        self.collector.answer = b"{}"
        get(server.edge, "/")
        eventually(lambda: metric(server, "headroom_monitor_otlp_spans_total", result="sent") == 5, 20, 0.1)  # and it recovers

    def test_a_collector_that_never_answers_costs_spans_and_nothing_else_and_it_recovers(self):
        self.collector.delay = 600
        server = self.begin()
        load = self.load(server, connections=4)
        eventually(lambda: metric(server, "headroom_monitor_otlp_spans_total", result="lost") > 0, 60, 0.2)
        self.assertGreater(load.done, 2000)  # that is more than there is room for
        load.stop()
        self.assert_no_failures(load)
        self.assertLess(server.resident_bytes(), 400 << 20)
        self.collector.delay = 0
        before = len(self.collector.spans_seen())
        eventually(lambda: len(self.collector.spans_seen()) > before, 60, 0.2)

    def test_a_collector_that_is_not_there_holds_up_no_shutdown_and_gets_all_once_it_is(self):
        self.collector.stop()
        server = self.begin()
        get(server.edge, "/")
        eventually(lambda: metric(server, "headroom_monitor_otlp_calls_total", signal="traces", result="later") > 0, 20, 0.1)
        back = self.collect(self.collector.port)
        self.until_spans(2, back)
        back.stop()
        get(server.edge, "/")
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_the_last_spans_are_sent_at_the_end_and_a_reload_turns_it_on_and_off(self):
        server = self.serve(self.app, config=PLAIN)
        get(server.edge, "/")
        self.reload(server, CONFIG % (self.collector.url, 1) + PLAIN)
        get(server.edge, "/")
        self.until_spans(2)
        self.reload(server, PLAIN)
        get(server.edge, "/")
        self.assertEqual(self.told[2], None)
        self.reload(server, CONFIG % (self.collector.url, 1) + PLAIN)
        get(server.edge, "/")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(len(self.collector.spans()), 4)

    def test_a_wrong_address_is_refused_with_its_name(self):
        for wrong in ("ftp://x", "http://x?y=1"):
            done = self.headroom(config=self.settings(f'[monitor.otlp]\nendpoint = "{wrong}"'), wait=False)
            self.assertEqual(done.wait(20), 2)
            self.assertTrue(any("endpoint" in line for line in done.lines), done.lines)


class TracedThings(EdgeScenario):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(0)
        cls.addClassCleanup(cls.cluster.remove)

    def test_edge_cache_upstream_query_and_job_are_one_trace(self):
        collector = Collector()
        self.addCleanup(collector.stop)
        doors = {}

        # The app does what OpenTelemetry's instrumentations do: a comment behind its query, a field in its job.
        def answer(request):
            parent = traceparent(request)
            subprocess.run(["psql", "-X", "-q", "-A", "-t", doors["sql"], "-c", f"SELECT 'a literal' /*traceparent='{parent}'*/"], check=True, capture_output=True,
                           timeout=20)
            client = Faktory(doors["tasks"])
            client.push(jid="job-00001", jobtype="Mail", custom={"traceparent": parent})
            client.close()
            return reply(200, b"done")

        config = CONFIG % (collector.url, 1) + '[[edge.routes]]\nname = "pages"\npath = "/"\n[edge.routes.cache]\nenabled = true\n'
        server = self.serve(self.answers(answer), config=config, arguments=["--postgres", self.cluster.urls["primary"], "--set", "sql.listen=127.0.0.1:0"])
        doors["tasks"] = server.doors["tasks"]
        doors["sql"] = self.cluster.urls["primary"].replace(f":{self.cluster.port}/", ":%d/" % server.doors["sql"][1])
        self.assertEqual(get(server.edge, "/").status, 200)
        worker = Faktory(server.doors["tasks"], wid="w1")
        self.addCleanup(worker.close)
        self.assertEqual(worker.fetch()["jid"], "job-00001")
        worker.ack("job-00001")
        eventually(lambda: len(collector.spans_seen()) >= 6, 20, 0.1)
        spans = collector.spans()
        self.assertEqual({span["traceId"] for span in spans}, {spans[0]["traceId"]})
        by_name = {span["name"]: span for span in spans}
        self.assertEqual(set(by_name), {"GET pages", "GET", "cache", "SELECT", "push Mail", "process Mail"})
        self.assertEqual({name: span["kind"] for name, span in by_name.items()}, {"GET pages": 2, "GET": 3, "cache": 1, "SELECT": 3, "push Mail": 4, "process Mail": 5})
        attempt = by_name["GET"]["spanId"]
        for name in ("SELECT", "push Mail", "process Mail"):
            self.assertEqual(by_name[name]["parentSpanId"], attempt, name)
        self.assertEqual([(link["traceId"], link["spanId"]) for link in by_name["process Mail"]["links"]], [(spans[0]["traceId"], by_name["push Mail"]["spanId"])])
        query = attributes(by_name["SELECT"])
        self.assertEqual((query["db.system.name"], query["headroom.sql.answered_by"]), ("postgresql", "primary"))
        self.assertNotIn("a literal", json.dumps(spans))
        job = attributes(by_name["process Mail"])
        self.assertEqual((job["messaging.message.id"], job["messaging.destination.name"]), ("job-00001", "default"))
        self.assertEqual(attributes(by_name["push Mail"])["messaging.operation.type"], "send")

    def test_each_way_to_push_a_job_is_a_span_and_a_refused_one_has_failed(self):
        collector = Collector()
        self.addCleanup(collector.stop)
        server = self.serve(self.answers(lambda request: reply(200, b"x")), config=CONFIG % (collector.url, 1))
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

        def job(jid, kind, **custom):
            return {"jid": jid, "jobtype": kind, "args": [], "custom": {"traceparent": parent, **custom}}
        client = Faktory(server.doors["tasks"])
        self.addCleanup(client.close)
        refused = client.ask("PUSHB", json.dumps([job("job-0000a", "Many"), job("job-0000b", "NotSampled", traceparent=parent[:-1] + "0"), job("job-0000c", "Once", unique_for=60),
                                                  job("job-0000d", "Once", unique_for=60)]))
        self.assertEqual(list(json.loads(refused)), ["job-0000d"])
        self.assertEqual(server.api("POST", "/api/v1/tasks", job("job-0000e", "ByHttp")).status, 201)
        eventually(lambda: len(collector.spans_seen()) >= 4, 20, 0.1)
        spans = sorted((attributes(span)["messaging.message.id"], span["kind"], span["status"].get("code", 0)) for span in collector.spans())
        self.assertEqual(spans, [("job-0000a", 4, 0), ("job-0000c", 4, 0), ("job-0000d", 4, 2), ("job-0000e", 4, 0)])


if __name__ == "__main__":
    unittest.main()
