// headroom/monitor/exporter.h - sends what was traced and counted to an OpenTelemetry collector, over OTLP/HTTP in JSON (otlp.h).
//
// Owns: two tasks on one worker: one for traces, one for metrics. Borrows: the queue of spans, the registry, a thread that may take its time, on
//   which bodies are written.
// Worker and threads: start(), finish() and the end from main's thread or the control thread; counting and tracing go on whatever it does.
// Invariants: (1) a collector that is slow, silent or gone costs nobody but the spans that find no room; (2) a batch is sent until it is taken,
//   refused, or kPatience old: then it is counted as lost; (3) figures are cumulative: what could not be sent once comes with the next.
// Limits: kBatch spans a call, one call at a time for each signal; link::Spans::kMost spans waiting; a pause of 1 to 30 s between tries.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "headroom/coding/coders.h"
#include "headroom/http/call.h"
#include "headroom/link/spans.h"
#include "headroom/monitor/options.h"
#include "headroom/monitor/otlp.h"
#include "headroom/net/offload.h"
#include "headroom/net/resolver.h"
#include "headroom/net/worker.h"

namespace headroom::monitor {

class Exporter {
 public:
  static constexpr std::size_t kBatch = 512;
  static constexpr Duration kPatience = std::chrono::minutes(5);

  struct Means {
    net::Worker& worker;
    net::Resolver& resolver;
    net::Offload& thread;
    link::Spans& spans;
    metrics::Registry& registry;
    std::function<std::vector<SampleFamily>()> own;  // on `thread`
    std::size_t workers = 1;
    std::string version{};
  };
  // Tracing is on from now on, as far as `options` say so. Errc::invalid for an address that cannot be called.
  [[nodiscard]] static Result<std::unique_ptr<Exporter>> start(Means means,
                                                               const OtlpOptions& options);
  // Sends what waits, for `most` at most.
  void finish(Duration most);
  ~Exporter();

 private:
  enum class Outcome : std::uint8_t { taken, refused, later };
  struct Answer {
    Outcome outcome = Outcome::later;
    std::uint64_t rejected = 0;
    Duration wait{};  // what the collector asks for
  };

  Exporter(Means means, const OtlpOptions& options);
  [[nodiscard]] net::Task<> run_traces();
  [[nodiscard]] net::Task<> run_metrics();
  [[nodiscard]] net::Task<bool> send_batch(std::vector<link::Span> batch);
  struct Body {
    std::string bytes;
    bool gzipped = false;
  };
  // On `thread`.
  [[nodiscard]] Body packed(std::string json);
  [[nodiscard]] net::Task<Answer> call(std::string path, Body body);
  [[nodiscard]] Answer judge(const Result<http::CallAnswer>& answer);
  [[nodiscard]] OtlpSender sender_now() const;
  void count_lost();
  void count_call(std::size_t signal, Outcome outcome);

  const Means means_;
  const OtlpOptions options_;
  OtlpSender sender_;
  http::CallAddress to_;
  std::vector<std::pair<std::string, std::string>> fields_;
  std::shared_ptr<const net::TlsClient> tls_;
  net::TaskGroup group_;
  std::optional<net::Event> wake_;  // ends on the worker, whose wheel it is linked in
  bool finishing_ = false;          // the worker's
  bool failing_ = false;
  std::uint64_t lost_told_ = 0;
  coding::Coders coders_{{}};  // of `thread`
  std::binary_semaphore finished_{0};
  metrics::Counter& sent_;
  metrics::Counter& refused_;
  metrics::Counter& lost_;
  std::array<std::array<metrics::Counter*, 3>, 2> calls_{};
};

}  // namespace headroom::monitor
