"""Proxies side by side: what a request costs the proxy's core, and what it adds to latency.

Each proxy has one worker on core 0; the origin and the load generator share core 1. A B C A B C in short turns, since a shared machine's
speed wanders by half within a minute; medians. First a closed loop (work per CPU-second), then an open loop at 60 % of what the slowest of
them managed (latency from the intended time of each request).
"""

import dataclasses
import itertools
import time
from typing import Callable

import harness
from harness import LOAD_CORE, PROXY_CORE, median

SIZES = {"1k": 1024, "100k": 102400}
CONNECTIONS = (64, 1000)
RATE_SHARE = 0.6


@dataclasses.dataclass
class Bench:
    """What one comparison is about."""

    name: str  # of the file of results
    proxies: dict  # by name: harness.Proxy classes
    path_of: Callable = "/{}".format  # of an answer of that size
    prepare: Callable = lambda proxy: None  # before a proxy is measured


def options(bench, description, connections=CONNECTIONS):
    harness.PROXIES |= bench.proxies
    parser = harness.parser(description, ",".join(bench.proxies))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=float, default=2, help="of one closed-loop measurement")
    parser.add_argument("--latency-seconds", type=float, default=2, help="of one open-loop measurement; 0: none")
    parser.add_argument("--sizes", default=",".join(SIZES), help="of the answers")
    parser.add_argument("--connections", default=",".join(map(str, connections)))
    given = harness.parse(parser)
    given.bench = bench
    if given.quick:
        given.rounds, given.seconds, given.latency_seconds = 2, 1, 1
    given.sizes = given.sizes.split(",")
    given.connections = [int(count) for count in given.connections.split(",")]
    return given


def measure(bench, proxy, size, connections, seconds, rate=None):
    """One run: the loader's report, and beside it what the cores did for others meanwhile."""
    extra = {"rate": rate, "arrivals": "poisson"} if rate else {}
    pids = proxy.pids()
    busy, stolen = harness.core_seconds(PROXY_CORE)
    before, began = proxy.cpu_seconds(), time.monotonic()
    report = harness.load(proxy.port, bench.path_of(size), watch=pids, connections=connections, warm_up=f"{max(0.3, seconds / 8)}s",
                          duration=f"{seconds}s", expect_bytes=SIZES[size], **extra)
    wall = time.monotonic() - began
    own = proxy.cpu_seconds() - before
    busy_after, stolen_after = harness.core_seconds(PROXY_CORE)
    if report["errors"] * 1000 > report["requests"]:
        raise harness.Failed(f"{proxy.name}, {size}, {connections} connections: {report['errors_by_kind']}")
    good = report["requests"] - report["errors"]
    report["cpu_us"] = 1e6 * report["watched_cpu_s"] / good
    report["core_share"] = report["watched_cpu_s"] / report["elapsed_s"]
    report["noise"] = max(0.0, busy_after - busy - own + stolen_after - stolen) / wall
    return report


def rounds(proxies, given, size, connections, seconds, rate=None):
    """{proxy: [report of each round]}, interleaved; the order turns, so that nobody always follows the same neighbour."""
    reports = {proxy.name: [] for proxy in proxies}
    for number in range(given.rounds):
        turn = number % len(proxies)
        for proxy in proxies[turn:] + proxies[:turn]:
            reports[proxy.name].append(given.patience.measure(lambda: measure(given.bench, proxy, size, connections, seconds, rate)))
    return reports


def middle(reports, key, digits=3):
    return round(median(report[key] for report in reports), digits)


def summary(closed, opened):
    """The medians of one proxy in one case."""
    out = {
        "cpu_us_per_request": middle(closed, "cpu_us"),
        "cpu_us_each_round": [round(report["cpu_us"], 3) for report in closed],
        "requests_per_cpu_s": round(1e6 / median(report["cpu_us"] for report in closed)),
        "requests_per_s": middle(closed, "rps", 0),
        "core_share": middle(closed, "core_share"),
        "p50_ms": middle(closed, "p50_ms"),
        "p99_ms": middle(closed, "p99_ms"),
        "errors": sum(report["errors"] for report in closed + opened),
        "noise": round(max(report["noise"] for report in closed), 3),
    }
    if opened:
        out["at_fixed_rate"] = {"rate": opened[0]["target_rate"], "saturated": any(report["saturated"] for report in opened)}
        out["at_fixed_rate"] |= {key: middle(opened, key) for key in ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "cpu_us")}
    return out


def ratios(closed, peer):
    """Requests per CPU-second of Headroom to the peer's: the median of the rounds, each against its neighbours."""
    pairs = zip(closed["headroom"], closed[peer])
    each = sorted(theirs["cpu_us"] / ours["cpu_us"] for ours, theirs in pairs)
    quarter = len(each) // 4
    return {"median": round(median(each), 3), "middle_half": [round(each[quarter], 3), round(each[-1 - quarter], 3)],
            "each": [round(ratio, 3) for ratio in each]}


def run_case(proxies, given, size, connections):
    print(f"{size}, {connections} connections", end=" ", flush=True)
    closed = rounds(proxies, given, size, connections, given.seconds)
    opened = {proxy.name: [] for proxy in proxies}
    if given.latency_seconds > 0:
        slowest = min(median(report["rps"] for report in reports) for reports in closed.values())
        opened = rounds(proxies, given, size, connections, given.latency_seconds, round(RATE_SHARE * slowest))
    case = {"size": size, "connections": connections,
            "proxies": {name: summary(closed[name], opened[name]) for name in closed}}
    if "headroom" in closed:
        case["ratios"] = {peer: ratios(closed, peer) for peer in closed if peer != "headroom"}
    print(", ".join(f"{name} {made['cpu_us_per_request']} us" for name, made in case["proxies"].items()))
    return case


def print_tables(cases, names):
    rows = []
    for case in cases:
        for name in names:
            made = case["proxies"][name]
            fixed = made.get("at_fixed_rate", {})
            ratio = case.get("ratios", {}).get(name)
            ratio = f"{ratio['median']} ({ratio['middle_half'][0]} to {ratio['middle_half'][1]})" if ratio else ""
            rows.append([f"{case['size']}, {case['connections']}", name, f"{made['cpu_us_per_request']:.2f}",
                         made["requests_per_cpu_s"], round(made["requests_per_s"]), f"{100 * made['core_share']:.0f} %",
                         made["p50_ms"], made["p99_ms"], fixed.get("rate", ""), fixed.get("p50_ms", ""), fixed.get("p99_ms", ""),
                         ratio])
    print()
    print(harness.table(["answer, connections", "proxy", "CPU us/request", "requests/CPU-s", "requests/s", "core 0", "p50 ms",
                         "p99 ms", "fixed rate/s", "p50 ms", "p99 ms", "Headroom is x"], rows))


def warn(cases):
    limit = harness.Patience.QUIET
    noisy = [case for case in cases if any(made["noise"] > limit for made in case["proxies"].values())]
    if noisy:
        print(f"\nNOT QUIET: in {len(noisy)} of {len(cases)} cases others used more than {limit:.0%} of core {PROXY_CORE}.")
    return not noisy


def run(given):
    origin = harness.Origin()
    proxies = []
    try:
        for name in given.only:
            proxies.append(harness.PROXIES[name](given))
            proxies[-1].start(origin.port)
            given.bench.prepare(proxies[-1])
        cases = [run_case(proxies, given, size, connections)
                 for size, connections in itertools.product(given.sizes, given.connections)]
    finally:
        for proxy in proxies:
            proxy.stop()
        origin.stop()
    print_tables(cases, given.only)
    results = {"bench": given.bench.name, **harness.surroundings(given), "quiet": warn(cases), "rounds": given.rounds,
               "seconds": given.seconds, "proxy_core": PROXY_CORE, "load_core": LOAD_CORE, "cases": cases}
    if path := harness.results_path(given, given.bench.name):
        harness.write_results(path, results)
