#include "headroom/monitor/exporter.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/monitor/metrics.h"

namespace headroom::monitor {
namespace {

constexpr Duration kLook = 1s;  // how often spans are looked for
constexpr Duration kLongestPause = 30s;
constexpr Duration kLongestWish = std::chrono::minutes(1);  // of a Retry-After
constexpr std::array<std::string_view, 2> kSignals{"traces", "metrics"};
constexpr std::array<std::string_view, 3> kOutcomes{"taken", "refused", "later"};
enum Signal : std::size_t { kTraces, kMetrics };

std::int64_t wall_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

// Half of it to one and a half.
Duration jittered(Duration pause, Random& random) {
  return Duration(
      static_cast<std::int64_t>(static_cast<double>(pause.count()) * (0.5 + random.unit())));
}

}  // namespace

Exporter::Exporter(Means means, const OtlpOptions& options)
    : means_(std::move(means)),
      options_(options),
      group_(means_.worker),
      wake_(group_),
      sent_(means_.registry.counter(kOtlpSpans, {"sent"})),
      refused_(means_.registry.counter(kOtlpSpans, {"refused"})),
      lost_(means_.registry.counter(kOtlpSpans, {"lost"})) {
  for (std::size_t signal = 0; signal < calls_.size(); ++signal) {
    for (std::size_t outcome = 0; outcome < kOutcomes.size(); ++outcome)
      calls_[signal][outcome] = &means_.registry.counter(
          kOtlpCalls, {std::string(kSignals[signal]), std::string(kOutcomes[outcome])});
  }
  static const std::int64_t started = wall_ns();
  static const std::string instance =
      fmt::format("{:016x}", hash64(fmt::format("{} {}", started, ::getpid())));
  sender_ = {.service = options_.service,
             .version = means_.version,
             .instance = instance,
             .host = host_name(),
             .started = started};
  lost_told_ = means_.spans.dropped();
}

Result<std::unique_ptr<Exporter>> Exporter::start(Means means, const OtlpOptions& options) {
  std::string base = options.endpoint;
  while (base.ends_with('/')) base.pop_back();
  auto to = http::call_address(base);
  if (!to) return pass(to, "monitor.otlp.endpoint");
  std::unique_ptr<Exporter> made(new Exporter(std::move(means), options));
  made->to_ = std::move(*to);
  if (made->to_.target == "/") made->to_.target.clear();
  made->fields_.emplace_back("Content-Type", "application/json");
  for (const std::string& header : options.headers) {
    const std::size_t colon = header.find(':');
    made->fields_.emplace_back(header.substr(0, colon),
                               text::trimmed(std::string_view(header).substr(colon + 1)));
  }
  if (made->to_.tls) {
    auto tls = net::TlsClient::make({}, made->means_.workers);
    if (!tls) return pass(tls, "monitor.otlp.endpoint");
    made->tls_ = std::move(*tls);
  }
  Exporter* const raw = made.get();
  raw->means_.worker.run_and_wait([raw] {
    if (raw->options_.traces) (void)raw->group_.spawn([raw] { return raw->run_traces(); });
    if (raw->options_.metrics) (void)raw->group_.spawn([raw] { return raw->run_metrics(); });
  });
  if (options.traces) raw->means_.spans.turn_on(options.sample);
  return made;
}

void Exporter::finish(Duration most) {
  means_.spans.turn_off();
  if (!options_.traces) return;
  means_.worker.post([this] {
    finishing_ = true;
    wake_->set();
  });
  (void)finished_.try_acquire_for(most);
}

Exporter::~Exporter() {
  means_.spans.turn_off();
  group_.stop_and_join();
  means_.worker.run_and_wait([this] { wake_.reset(); });
}

OtlpSender Exporter::sender_now() const {
  OtlpSender sender = sender_;
  sender.now = wall_ns();
  sender.steady_zero = sender.now - Duration(Clock::now().time_since_epoch()).count();
  return sender;
}

void Exporter::count_lost() {
  const std::uint64_t dropped = means_.spans.dropped();
  lost_.add_shared(dropped - std::exchange(lost_told_, dropped));
}

void Exporter::count_call(std::size_t signal, Outcome outcome) {
  calls_[signal][static_cast<std::size_t>(outcome)]->add_shared();
}

net::Task<> Exporter::run_traces() {
  for (;;) {
    auto woken = co_await wake_->wait(Clock::now() + kLook);
    if (!woken && woken.error().code == Errc::cancelled) break;
    for (;;) {
      count_lost();
      auto batch = means_.spans.take(kBatch);
      if (batch.empty()) break;
      const bool go_on = co_await send_batch(std::move(batch));
      if (!go_on) break;
    }
    if (group_.stopped() || finishing_) break;
  }
  finished_.release();
}

// False: there is no use in trying another one now.
net::Task<bool> Exporter::send_batch(std::vector<link::Span> batch) {
  const std::uint64_t count = batch.size();
  const TimePoint until = Clock::now() + kPatience;
  auto write = [this, &batch] { return packed(otlp_traces(batch, sender_now())); };
  auto body = co_await means_.thread.run(means_.worker, std::move(write));
  if (!body) {
    lost_.add_shared(count);
    co_return false;
  }
  batch.clear();
  for (Duration pause = kLook; !group_.stopped();
       pause = std::min<Duration>(pause * 2, kLongestPause)) {
    const Answer answer = co_await call("/v1/traces", *body);
    count_call(kTraces, answer.outcome);
    if (answer.outcome != Outcome::later) {
      const std::uint64_t refused =
          answer.outcome == Outcome::refused ? count : std::min(answer.rejected, count);
      sent_.add_shared(count - refused);
      refused_.add_shared(refused);
      co_return true;
    }
    if (finishing_ || Clock::now() > until) break;
    const Duration wait = std::max(jittered(pause, means_.worker.random()), answer.wait);
    (void)co_await wake_->wait(Clock::now() + wait);
    count_lost();
  }
  lost_.add_shared(count);
  co_return false;
}

net::Task<> Exporter::run_metrics() {
  Duration pause = std::min<Duration>(options_.interval, 5s);  // the first ones soon
  for (;;) {
    auto slept = co_await net::sleep(group_, pause);
    if (!slept) co_return;
    pause = options_.interval;
    auto write = [this] {
      std::vector<Body> all;
      for (std::string& json : otlp_metrics(means_.registry, means_.own(), sender_now()))
        all.push_back(packed(std::move(json)));
      return all;
    };
    auto bodies = co_await means_.thread.run(means_.worker, std::move(write));
    if (!bodies) continue;
    for (Body& body : *bodies) {
      const Answer answer = co_await call("/v1/metrics", std::move(body));
      count_call(kMetrics, answer.outcome);
      if (answer.outcome == Outcome::later) {
        pause = std::max(pause, answer.wait);
        break;
      }
    }
  }
}

Exporter::Body Exporter::packed(std::string json) {
  std::string smaller;
  if (!coders_.encode(coding::Coding::gzip, coding::Effort::live, json, smaller))
    return {std::move(json), false};
  return {std::move(smaller), true};
}

net::Task<Exporter::Answer> Exporter::call(std::string path, Body body) {
  http::Call what{.to = to_, .fields = fields_, .body = std::move(body.bytes)};
  if (body.gzipped) what.fields.emplace_back("Content-Encoding", "gzip");
  what.to.target += path;
  what.timeout = options_.timeout;
  auto answer = co_await http::call(group_, means_.resolver, tls_.get(), what);
  co_return judge(answer);
}

// As the protocol says (OTLP/HTTP Response): these four statuses, and no answer, may be tried again.
Exporter::Answer Exporter::judge(const Result<http::CallAnswer>& answer) {
  Answer judged;
  std::string why;
  if (!answer) {
    judged.outcome = answer.error().code == Errc::invalid ? Outcome::refused : Outcome::later;
    why = answer.error().message;
  } else if (answer->status / 100 == 2) {
    const OtlpRejected rejected = otlp_rejected(answer->body);
    judged = {.outcome = Outcome::taken, .rejected = rejected.count, .wait = {}};
    if (rejected.count > 0) why = fmt::format("{} refused: {}", rejected.count, rejected.message);
  } else {
    const unsigned status = answer->status;
    const bool again = status == 429 || (status >= 502 && status <= 504);
    judged.outcome = again ? Outcome::later : Outcome::refused;
    const auto wish = text::to_u64(answer->retry_after);
    if (wish)
      judged.wait = std::min<Duration>(std::chrono::seconds(std::min<std::uint64_t>(*wish, 3600)),
                                       kLongestWish);
    why = fmt::format("status {}", status);
  }
  const bool well = judged.outcome == Outcome::taken && judged.rejected == 0;
  if (!well && !group_.stopped() && !std::exchange(failing_, true))
    log::warn("monitor", "the OpenTelemetry collector at {}: {}", to_.authority, why);
  if (well && std::exchange(failing_, false))
    log::info("monitor", "the OpenTelemetry collector at {} takes all again", to_.authority);
  return judged;
}

}  // namespace headroom::monitor
