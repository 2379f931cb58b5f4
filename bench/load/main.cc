// headroom-load: the load generator as a program; prints one JSON object.
// Exit codes: 0 done, 1 the target cannot be reached, 2 bad usage, 3 the generator was too slow for
// the rate.
#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <map>
#include <stop_token>

#include "headroom/load/load.h"

namespace {

using headroom::Duration;
using headroom::load::Arrivals;
using headroom::load::Plan;
using headroom::load::Reuse;

constexpr int kUnreachable = 1;
constexpr int kBadUsage = 2;
constexpr int kSaturated = 3;

std::stop_source stop;  // NOLINT: a signal handler reaches nothing else

// "500ms", "10s", "2m".
Duration parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::map<std::string_view, double> units{{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}};
  const auto unit = units.find(std::string_view(end, text.data() + text.size()));
  if (error != std::errc{} || unit == units.end() || number < 0) {
    throw CLI::ValidationError("'" + text + "' is no duration: 500ms, 10s, 2m");
  }
  return Duration(static_cast<std::int64_t>(number * unit->second));
}

void add_duration(CLI::App& app, const std::string& name, Duration& to, const std::string& help) {
  app.add_option_function<std::string>(
      name, [&to](const std::string& text) { to = parse_duration(text); }, help);
}

void add_options(CLI::App& app, Plan& plan) {
  const std::map<std::string, Arrivals> arrivals{{"uniform", Arrivals::uniform},
                                                 {"poisson", Arrivals::poisson}};
  app.add_option("url", plan.url, "http://127.0.0.1:PORT/PATH; loopback only")->required();
  app.add_option("--unix", plan.unix_path, "connect to this Unix socket instead");
  app.add_option("--rate", plan.rate, "open loop: requests a second; without it a closed loop");
  app.add_option("--arrivals", plan.arrivals, "open loop: uniform (default) or poisson")
      ->transform(CLI::Transformer(arrivals));
  app.add_option("--connections", plan.connections, "at once")->capture_default_str();
  add_duration(app, "--duration", plan.duration, "of the measured time: 500ms, 10s, 2m");
  add_duration(app, "--warm-up", plan.warm_up, "before it, not counted");
  add_duration(app, "--timeout", plan.timeout, "of one request (default 10s)");
  app.add_option("--requests", plan.requests, "stop after so many");
  app.add_flag_function(
      "--new-connections", [&plan](std::int64_t) { plan.reuse = Reuse::new_connection_each; },
      "a connection for each request");
  app.add_option("--method", plan.method)->capture_default_str();
  app.add_option("--header", plan.headers, "'Name: value', may be repeated");
  app.add_option("--body", plan.body);
  app.add_option("--body-bytes", plan.filler.count, "send a body of so many bytes");
  app.add_option("--expect-bytes", plan.expect_bytes, "an answer of another length is an error");
  app.add_option("--seed", plan.seed, "of the Poisson arrivals")->capture_default_str();
  app.add_option("--watch", plan.watch, "processes whose CPU time is reported, may be repeated");
}

}  // namespace

int main(int argc, char** argv) {
  Plan plan;
  CLI::App app("A bounded HTTP/1.1 load generator for one loopback target");
  add_options(app, plan);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadUsage;
  }
  if (plan.rate > 0 && plan.arrivals == Arrivals::closed) plan.arrivals = Arrivals::uniform;
  std::signal(SIGINT, [](int) { stop.request_stop(); });
  std::signal(SIGTERM, [](int) { stop.request_stop(); });
  const auto report = headroom::load::run(plan, stop.get_token());
  if (!report) {
    std::fprintf(stderr, "headroom-load: %s\n", report.error().message.c_str());
    const bool unreachable = report.error().code == headroom::Errc::unavailable;
    return unreachable ? kUnreachable : kBadUsage;
  }
  std::puts(headroom::load::to_json(*report).c_str());
  return report->saturated() ? kSaturated : 0;
}
