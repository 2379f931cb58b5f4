// bench/limit - what a rate-limit decision costs, in ns of one core, on one thread and on all. The comparison with nginx is bench/limit/run.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <string>

#include "headroom/auth/crypto.h"
#include "headroom/base/hash.h"
#include "headroom/config/config.h"
#include "headroom/limit/rules.h"

namespace headroom::limit {
namespace {

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

// What a rule's lines make; one for all threads of a run.
struct Bench {
  explicit Bench(const std::string& toml) {
    config::Schema schema;
    schema.add(limit_section());
    auto settings = schema.load({.file = config::Document{"bench.toml", toml}});
    if (!settings) fmt::print(stderr, "{}\n", settings.error().message);
    auto made = Rules::make((*settings)->get<LimitOptions>(), nullptr, registry);
    rules = std::move(*made);
  }
  metrics::Registry registry{8};
  std::shared_ptr<const Rules> rules;
  std::atomic<TimePoint> clock{Clock::now()};  // where the next run goes on
};

std::string rule(const std::string& lines) {
  return "[[limit.rules]]\nname = \"r\"\n" + lines + "\n";
}

std::string token() {
  const std::string head =
      auth::base64url(R"({"alg":"HS256","typ":"JWT"})") + "." +
      auth::base64url(
          R"({"sub":"4f9c1d0e-5a61-4f0b-9c0f-0c6a2b9d7e11","exp":99999999999,"role":"user"})");
  return head + "." + auth::base64url(text_of(auth::hmac_sha256(kSecret, head)));
}

struct Case {
  const char* name;
  std::string toml;
  std::size_t subjects;
  Duration
      each{};  // between two requests of a subject, on average; 0: a microsecond between any two
  bool signed_in = false;
};

// A browser's request from one of so many addresses, each thread its own order.
void decide(benchmark::State& state, Bench& bench, const Case& c) {
  const std::string jwt = "Bearer " + token();
  http::RequestHead head;
  head.method = http::Method::get;
  head.method_text = "GET";
  const auto add = [&](std::string_view name, std::string_view value) {
    head.add({.id = http::name_of(name), .name = name, .value = value});
  };
  add("Host", "app.example.com");
  add("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)");
  add("Accept", "*/*");
  add("Cookie",
      "theme=dark; session=7f3c1b0a9d8e4f6aa1b2c3d4e5f60718; _ga=GA1.1.123456789.1718000000");
  if (c.signed_in) add("Authorization", jwt);
  Random random(static_cast<std::uint64_t>(state.thread_index()) + 1);
  const Duration step = c.each == Duration(0)
                            ? Duration(1us)
                            : state.threads() * c.each / static_cast<std::int64_t>(c.subjects);
  TimePoint now = bench.clock;
  std::uint64_t allowed = 0;
  for (auto _ : state) {
    const auto n = static_cast<std::uint32_t>(random.below(c.subjects));
    const auto client =
        IpAddress::v4({10, static_cast<std::uint8_t>(n >> 16U), static_cast<std::uint8_t>(n >> 8U),
                       static_cast<std::uint8_t>(n)});
    now += step;
    const Asked asked{.head = head,
                      .route = "api",
                      .host = "app.example.com",
                      .path = "/api/bookings",
                      .client = client};
    const Decision decision =
        bench.rules->decide(asked, static_cast<std::size_t>(state.thread_index()), now);
    allowed += decision.allowed() ? 1 : 0;
    benchmark::DoNotOptimize(allowed);
  }
  bench.clock = now;
  state.SetItemsProcessed(state.iterations());
  state.counters["allowed"] = {
      static_cast<double>(allowed) / static_cast<double>(state.iterations()),
      benchmark::Counter::kAvgThreads};
}

// What an answer's header lines cost beside it.
void fields(benchmark::State& state, const Bench& bench) {
  http::RequestHead head;
  const Asked asked{
      .head = head, .route = "", .host = "", .path = "/", .client = IpAddress::v4({10, 0, 0, 1})};
  const Decision decision = bench.rules->decide(asked, 0, Clock::now());
  std::string lines;
  for (auto _ : state) {
    lines.clear();
    decision.append_fields(lines);
    benchmark::DoNotOptimize(lines.data());
  }
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {"refused", rule("preset = \"auth\""), 1000},
      {"log_10_per_15min", rule("preset = \"auth\""), 1000, 180s},
      {"log_50_per_5s", rule("preset = \"realtime\"\nsubject = \"address\""), 1000, 200ms},
      {"sub_windows_1000_per_15min", rule("preset = \"api\"\nsubject = \"address\""), 1000, 2s},
      {"sub_windows_100_per_s", rule("preset = \"address\""), 1000, 20ms},
      {"sub_windows_100_per_s_50k_subjects", rule("preset = \"address\""), 50000, 20ms},
      {"sub_windows_100_per_s_1m_strangers", rule("preset = \"address\""), 1 << 20},
      {"gcra_100_per_s", rule("rate = \"100/s\"\nsubject = \"address\"\nalgorithm = \"gcra\""),
       1000, 20ms},
      {"gcra_100_per_s_50k_subjects",
       rule("rate = \"100/s\"\nsubject = \"address\"\nalgorithm = \"gcra\""), 50000, 20ms},
      {"fixed_100_per_s", rule("rate = \"100/s\"\nsubject = \"address\"\nalgorithm = \"fixed\""),
       1000, 20ms},
      {"concurrency", rule("at_once = 100\nsubject = \"address\"\nalgorithm = \"concurrency\""),
       1000, 20ms},
      {"cookie", rule("preset = \"api\"\nsubject = \"cookie:session\""), 1, 2s},
      {"all_one_count", rule("rate = \"1000000/s\"\nsubject = \"all\""), 1, 2us},
      {"two_rules",
       "[limit]\naddress_rate = \"100/s\"\n" + rule("preset = \"api\"\nsubject = \"address\""),
       1000, 2s},
      {"jwt_user",
       fmt::format("[limit]\njwt.secret = \"{}\"\n", kSecret) + rule("rate = \"1000000/s\""), 1,
       2us, true},
  };
  return all;
}

}  // namespace
}  // namespace headroom::limit

int main(int argc, char** argv) {
  using namespace headroom::limit;
  std::vector<std::unique_ptr<Bench>> benches;
  for (const Case& c : cases()) {
    benches.push_back(std::make_unique<Bench>(c.toml));
    Bench& bench = *benches.back();
    for (const int threads : {1, 2}) {
      benchmark::RegisterBenchmark(c.name,
                                   [&bench, &c](benchmark::State& s) { decide(s, bench, c); })
          ->Threads(threads)
          ->UseRealTime();
    }
  }
  benches.push_back(
      std::make_unique<Bench>("[limit]\naddress_rate = \"100/s\"\n" + rule("preset = \"api\"")));
  benchmark::RegisterBenchmark(
      "fields_of_two_rules", [&bench = *benches.back()](benchmark::State& s) { fields(s, bench); });
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
