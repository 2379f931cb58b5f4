"""/metrics, read by a strict checker of both text formats, and counters that count what happened."""

import pathlib
import re
import unittest

from harness import Load, Scenario, get

DOCUMENT = pathlib.Path(__file__).parents[1] / "docs/metrics.md"
NAME = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABEL = rf'{NAME}="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"^({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.]+(?:e[+-]?[0-9]+)?|[+-]Inf|NaN)$")
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def check(text, open_metrics=False):
    """The samples by (name, labels); raises AssertionError where the text is not what the format's document allows."""
    if open_metrics:
        assert text.endswith("# EOF\n"), "no # EOF at the end"
        text = text[: -len("# EOF\n")]
    assert text.endswith("\n"), "the last line does not end"
    samples, families, family = {}, {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            assert name not in families, f"{name}: a second block"
            families[name] = None
            family = name
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and families[name] is None, f"{name}: TYPE out of place"
            assert kind in ("counter", "gauge", "histogram"), line
            families[name] = kind
            continue
        found = SAMPLE.match(line)
        assert found, f"not a sample: {line!r}"
        name, labels, value = found[1], tuple(re.findall(LABEL, found[2] or "")), float(found[3].replace("Inf", "inf"))
        kind = families[family]
        allowed = {"histogram": [family + "_bucket", family + "_sum", family + "_count"], "gauge": [family],
                   "counter": [family + "_total"] if open_metrics else [family]}[kind]
        assert name in allowed, f"{name} stands in the block of {family} ({kind})"
        assert kind != "counter" or name.endswith("_total"), f"{name}: a counter without _total"
        assert kind == "gauge" or value >= 0, line
        assert (name, labels) not in samples, f"twice: {line}"
        samples[name, labels] = value
    check_histograms(samples, {name for name, kind in families.items() if kind == "histogram"})
    return samples


def check_histograms(samples, names):
    series = {}
    for (name, labels), value in samples.items():
        base = name.removesuffix("_bucket")
        if base in names and name != base:
            le = labels[-1]
            assert le.startswith('le="'), labels
            series.setdefault((base, labels[:-1]), []).append((float(le[4:-1].replace("Inf", "inf")), value))
    for (name, labels), buckets in series.items():
        assert [le for le, _ in buckets] == sorted({le for le, _ in buckets}), f"{name}: borders out of order"
        counts = [count for _, count in buckets]
        assert counts == sorted(counts), f"{name}: buckets shrink"
        assert buckets[-1][0] == float("inf"), f"{name}: no +Inf"
        assert samples[name + "_count", labels] == counts[-1], f"{name}: _count is not the +Inf bucket"
        assert (name + "_sum", labels) in samples, f"{name}: no _sum"


def total(samples, name, *labels):
    return sum(value for (found, having), value in samples.items() if found == name and set(labels) <= set(having))


class Metrics(Scenario):
    def read(self, server, **headers):
        answer = get(server.admin, "/metrics", {name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(answer.status, 200)
        return answer

    def test_both_formats_are_as_their_documents_say(self):
        server = self.headroom([self.upstream()])
        with Load(server.edge) as load:
            load.wait_for(200)
        plain = self.read(server)
        self.assertEqual(plain.field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        check(plain.text())
        opened = self.read(server, Accept=OPEN_METRICS + ",text/plain;q=0.5")
        self.assertEqual(opened.field("Content-Type"), OPEN_METRICS)
        check(opened.text(), open_metrics=True)
        self.assertEqual(self.read(server, Accept="text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1").field("Content-Type"),
                         plain.field("Content-Type"))

    def test_they_count_what_happened(self):
        server = self.headroom([self.upstream()])
        with Load(server.edge) as load:
            load.wait_for(300)
        samples = check(self.read(server).text())
        self.assertEqual(total(samples, "headroom_edge_all_requests_total"), load.done)
        self.assertEqual(samples["headroom_monitor_ready", ()], 1)
        self.assertGreater(samples["headroom_monitor_process_cpu_seconds_total", ()], 0)
        self.assertGreater(samples["headroom_monitor_process_resident_bytes", ()], 1 << 20)
        self.assertGreater(samples["headroom_monitor_process_open_descriptors", ()], 5)
        get(server.admin, "/nothing")
        after = check(self.read(server).text())
        self.assertEqual(after["headroom_server_refused_total", ('reason="not_found"',)], 1)

    def test_names_are_those_of_the_rooms(self):
        server = self.headroom([self.upstream()])
        get(server.edge, "/")
        names = {name for name, _ in check(self.read(server).text())}
        self.assertEqual({name for name in names if not re.match(r"headroom_(cache|edge|limit|http|net|monitor|realtime|server|sql|tasks)_", name)}, set())

    def test_the_document_names_every_family(self):
        server = self.headroom([self.upstream()])
        get(server.edge, "/")
        names = set(re.findall(r"^# TYPE (\S+)", self.read(server).text(), re.M))
        listed = set(re.findall(r"^\| `(\w+)`", DOCUMENT.read_text(), re.M))
        self.assertEqual(names - listed, set(), "not in docs/metrics.md")

    def test_they_can_be_turned_off(self):
        server = self.headroom([self.upstream()], env={"ENABLE_MONITORING": "off"})
        self.assertEqual(get(server.admin, "/metrics").status, 404)
        self.assertEqual(get(server.admin, "/livez").status, 200)

    def test_it_goes_on_under_load_and_slows_no_request(self):
        server = self.headroom([self.upstream()])
        with Load(server.edge, connections=4) as load:
            for _ in range(30):
                check(self.read(server).text())
                load.wait_for(3)
        self.assert_no_failures(load)


if __name__ == "__main__":
    unittest.main()
