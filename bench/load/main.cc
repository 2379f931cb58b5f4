// headroom-load: the load generator as a program; prints one JSON object.
// Exit codes: 0 done, 1 the target cannot be reached, 2 bad usage, 3 the generator was too slow for
// the rate.
#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <stop_token>

#include "headroom/json/json.h"
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

// [{"weight": 3, "method": "POST", "target": "/a", "headers": ["Name: value"], "body": "..."}]: all but the target may be left out.
headroom::Result<std::vector<headroom::load::MixedRequest>> read_mix(const std::string& path) {
  std::ifstream file(path);
  std::string text(std::istreambuf_iterator<char>(file), {});
  auto document = headroom::json::parse(text);
  if (!document) return headroom::pass(document, path);
  std::vector<headroom::load::MixedRequest> mix;
  const headroom::json::Value all = document->root();
  for (std::size_t i = 0; i < all.size(); ++i) {
    const headroom::json::Value each = all.item(i);
    headroom::load::MixedRequest request;
    if (const auto weight = each.find("weight")) request.weight = weight->number().value_or(0);
    if (const auto method = each.find("method")) request.method = method->string().value_or("");
    if (const auto target = each.find("target")) request.target = target->string().value_or("");
    if (const auto body = each.find("body")) request.body = body->string().value_or("");
    if (const auto headers = each.find("headers")) {
      for (std::size_t k = 0; k < headers->size(); ++k)
        request.headers.emplace_back(headers->item(k).string().value_or(""));
    }
    mix.push_back(std::move(request));
  }
  if (mix.empty()) return headroom::fail(headroom::Errc::invalid, path + ": no list of requests");
  return mix;
}

}  // namespace

int main(int argc, char** argv) {
  Plan plan;
  std::string mix;
  CLI::App app("A bounded HTTP/1.1 load generator for one loopback target");
  add_options(app, plan);
  app.add_option("--mix", mix,
                 "a JSON file of several requests, each with a weight (bench/load/main.cc)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kBadUsage;
  }
  if (plan.rate > 0 && plan.arrivals == Arrivals::closed) plan.arrivals = Arrivals::uniform;
  if (!mix.empty()) {
    auto requests = read_mix(mix);
    if (!requests) {
      std::fprintf(stderr, "headroom-load: %s\n", requests.error().message.c_str());
      return kBadUsage;
    }
    plan.mix = std::move(*requests);
  }
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
