// bench/metrics - what counting costs, on one thread and on two with the same series; what a scrape of 10,000 series takes. Prints one JSON object.
//
// bench/metrics/run adds what a whole server spends on it.
#include <fmt/format.h>

#include <algorithm>
#include <barrier>
#include <thread>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/link/spans.h"
#include "headroom/monitor/prometheus.h"

namespace {

using headroom::Clock;
using headroom::Duration;
using headroom::metrics::Family;
using headroom::metrics::Histogram;
using headroom::metrics::Kind;
using headroom::metrics::Registry;

constexpr Family kRequests{"bench_requests_total", Kind::counter, "Requests.", {"route", "class"}};
constexpr Family kTimes{"bench_request_seconds", Kind::histogram, "Times.", {"route"}};
constexpr std::size_t kRounds = 20'000'000;
constexpr int kRepeats = 7;

}  // namespace

// By these names their machine code is looked at: no locked instruction may be in it.
extern "C" {
[[gnu::noinline]] void observe_counter(headroom::metrics::Cell* cell) { cell->add(); }
[[gnu::noinline]] void observe_histogram(Histogram::Recorder* recorder, Duration value) {
  recorder->record(value);
}
}

namespace {

// The best of several: what disturbs only adds.
template <class Work>
double ns_each(std::size_t threads, const Work& work) {
  double best = 1e9;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    std::barrier start(static_cast<std::ptrdiff_t>(threads));
    std::vector<double> took(threads);
    std::vector<std::jthread> running;
    for (std::size_t t = 0; t < threads; ++t) {
      running.emplace_back([&, t] {
        start.arrive_and_wait();
        const auto began = Clock::now();
        work(t);
        took[t] = headroom::seconds(headroom::elapsed(began, Clock::now()));
      });
    }
    running.clear();
    best = std::min(best, std::ranges::max(took) * 1e9 / static_cast<double>(kRounds));
  }
  return best;
}

double counter_ns(Registry& registry, std::size_t threads) {
  auto& counter = registry.counter(kRequests, {"a", "2xx"});
  return ns_each(threads, [&](std::size_t t) {
    auto* cell = &counter.at(t);
    for (std::size_t i = 0; i < kRounds; ++i) observe_counter(cell);
  });
}

// Values as requests have them: from some hundred microseconds to a second, no two in a row alike.
double histogram_ns(Registry& registry, std::size_t threads) {
  auto& histogram = registry.histogram(kTimes, {"a"});
  return ns_each(threads, [&](std::size_t t) {
    auto recorder = histogram.at(t);
    for (std::size_t i = 0; i < kRounds; ++i)
      observe_histogram(&recorder, Duration(100'000 + static_cast<std::int64_t>(i * 2'654'435'761U %
                                                                                1'000'000'000)));
  });
}

// As Prometheus counts them, lines of the text: 400 histograms of 23 lines and 800 counters.
struct Scrape {
  std::size_t lines = 0;
  double ms = 0;
};
Scrape scrape() {
  Registry registry(2);
  for (int i = 0; i < 400; ++i) {
    auto recorder = registry.histogram(kTimes, {fmt::format("route-{}", i)}).at(0);
    for (int value = 0; value < 1000; ++value) recorder.record(Duration(value * 97'003));
  }
  for (int i = 0; i < 800; ++i)
    registry.counter(kRequests, {fmt::format("r{}", i), "2xx"}).at(1).add(9);
  Scrape best{.ms = 1e9};
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto began = Clock::now();
    const std::string text =
        headroom::monitor::render(registry, {}, headroom::monitor::TextFormat::prometheus);
    best.ms = std::min(best.ms, headroom::milliseconds(headroom::elapsed(began, Clock::now())));
    best.lines = static_cast<std::size_t>(std::ranges::count(text, '\n')) - 4;  // HELP and TYPE
  }
  return best;
}

// What each request pays that is not sampled.
double unsampled_ns() {
  headroom::link::Spans spans;
  spans.turn_on(0);
  headroom::Random random(1);
  std::uint64_t sampled = 0;
  const double ns = ns_each(1, [&](std::size_t) {
    for (std::size_t i = 0; i < kRounds; ++i) sampled += spans.on() && spans.draw(random) ? 1 : 0;
  });
  if (sampled != 0) fmt::print(stderr, "{} were sampled\n", sampled);
  return ns;
}

}  // namespace

int main() {
  Registry registry(4);
  const Scrape of_ten_thousand = scrape();
  fmt::print(
      "{{\"counter_ns\": {{\"1 thread\": {:.2f}, \"2 threads\": {:.2f}}}, \"histogram_ns\": {{\"1 "
      "thread\": {:.2f}, \"2 threads\": {:.2f}}}, \"unsampled_request_ns\": {:.2f}, \"scrape\": "
      "{{\"series\": {}, \"ms\": {:.2f}}}}}\n",
      counter_ns(registry, 1), counter_ns(registry, 2), histogram_ns(registry, 1),
      histogram_ns(registry, 2), unsampled_ns(), of_ten_thousand.lines, of_ten_thousand.ms);
}
