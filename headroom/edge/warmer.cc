#include "headroom/edge/warmer.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kMostFailuresTold = 10;
constexpr Duration kFirstPause = 1s;

bool is_passing(unsigned status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}

std::string_view field_of(const InnerAnswer& answer, std::string_view name) {
  std::string_view found;
  for (const auto& [known, value] : answer.fields) {
    if (text::equal_ignoring_case(known, name)) found = value;  // the last is ours
  }
  return found;
}

}  // namespace

std::string_view to_string(Warmed outcome) {
  static constexpr std::array<std::string_view, kWarmed> kNames{"stored", "fresh", "not_stored",
                                                                "failed"};
  return kNames[static_cast<std::size_t>(outcome)];
}

void WarmBoard::show(const WarmStatus& status) {
  const std::scoped_lock lock(mutex_);
  status_ = status;
}

WarmStatus WarmBoard::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

std::string WarmBoard::not_ready(TimePoint now) const {
  return now < not_ready_until_.load(std::memory_order_relaxed) ? "the cache is being warmed" : "";
}

void Warmer::configure(std::vector<WarmRequest> requests, const WarmingOptions& options,
                       const http::HeadLimits& limits) {
  plan_ = {std::move(requests), options, limits};
  if (status_.running) return;
  status_.total = plan_.requests.size();
  board_.show(status_);
}

Result<bool> Warmer::start() {
  if (plan_.requests.empty())
    return headroom::fail(Errc::not_found, "no requests are listed in [[edge.warm]]");
  if (draining_) return headroom::fail(Errc::unavailable, "the server is going down");
  if (status_.running) return false;
  auto run = std::make_shared<Run>(plan_);
  began_ = Clock::now();
  status_ = {.running = true,
             .runs = status_.runs + 1,
             .total = run->requests.size(),
             .began = unix_seconds()};
  board_.show(status_);
  run->lanes = std::min<std::size_t>(run->options.at_once, run->requests.size());
  for (std::size_t left = run->lanes; left > 0; --left) {
    if (!group_.spawn([this, run] { return lane(run); })) --run->lanes;
  }
  if (run->lanes == 0 && status_.running) end(*run);
  return true;
}

void Warmer::start_first() {
  if (plan_.requests.empty() || !plan_.options.at_start) return;
  board_.hold_until(Clock::now() + plan_.options.ready_after);
  if (!start()) board_.hold_until({});
}

net::Task<> Warmer::lane(std::shared_ptr<Run> run) {
  while (run->next < run->requests.size() && !draining_ && !group_.stopped()) {
    const WarmRequest& request = run->requests[run->next++];
    const Outcome outcome = co_await fetch(*run, request);
    note(request, outcome);
  }
  if (--run->lanes == 0) end(*run);
}

void Warmer::end(const Run& run) {
  status_.running = false;
  status_.took = elapsed(began_, Clock::now());
  board_.show(status_);
  board_.hold_until({});
  log::info(
      "edge",
      "warming: {} of {} requests in {:.1f} s: {} stored, {} were there, {} not kept, {} failed",
      status_.done, run.requests.size(), seconds(status_.took), status_.stored, status_.fresh,
      status_.not_stored, status_.failed);
}

net::Task<Warmer::Outcome> Warmer::fetch(const Run& run, const WarmRequest& request) {
  Outcome outcome;
  for (std::uint32_t attempt = 1;; ++attempt) {
    outcome = co_await ask(run, request);
    if (outcome.what != Warmed::failed || attempt >= run.options.attempts || draining_)
      co_return outcome;
    const Duration pause = kFirstPause * attempt;
    auto slept = co_await net::sleep(group_, pause);
    if (!slept) co_return outcome;
  }
}

net::Task<Warmer::Outcome> Warmer::ask(const Run& run, const WarmRequest& request) {
  static const net::Endpoint kNobody = *net::Endpoint::literal("127.0.0.1", 0);
  InnerClient client(
      group_, door_,
      {.address = kNobody, .local = kNobody, .tls = request.tls, .known = true, .own = true});
  FieldTexts fields = request.fields;
  if (std::ranges::none_of(fields, [](const auto& field) {
        return text::equal_ignoring_case(field.first, "user-agent");
      })) {
    fields.emplace_back("User-Agent", "Headroom (warming)");
  }
  const InnerRequest asked{"GET", request.target, request.host, fields, {}};
  InnerBounds bounds;
  bounds.head = run.limits;
  bounds.deadline = Clock::now() + run.options.timeout;
  bounds.keep_body = false;
  auto answer = co_await client.ask(asked, bounds);
  if (!answer) co_return Outcome{Warmed::failed, answer.error().message};
  const std::string_view said = field_of(*answer, "cache-status");
  const std::size_t at = said.rfind("Headroom");
  const std::string_view ours = at == std::string_view::npos ? std::string_view{} : said.substr(at);
  if (is_passing(answer->status))
    co_return Outcome{Warmed::failed, "status " + std::to_string(answer->status)};
  if (ours.contains("; hit")) co_return Outcome{Warmed::fresh, {}};
  if (ours.contains("; stored") || ours.contains("; fwd-status=304"))
    co_return Outcome{Warmed::stored, {}};
  co_return Outcome{Warmed::not_stored,
                    "status " + std::to_string(answer->status) +
                        (ours.empty() ? ", not cached here" : ", " + std::string(ours))};
}

void Warmer::note(const WarmRequest& request, const Outcome& outcome) {
  ++status_.done;
  status_.took = elapsed(began_, Clock::now());
  const std::array<std::uint64_t*, kWarmed> counts{&status_.stored, &status_.fresh,
                                                   &status_.not_stored, &status_.failed};
  ++*counts[static_cast<std::size_t>(outcome.what)];
  cells_.outcomes[static_cast<std::size_t>(outcome.what)]->add();
  if (outcome.what == Warmed::failed || outcome.what == Warmed::not_stored) {
    log::debug("edge", "warming {}: {}", request.url(), outcome.why);
    if (status_.problems.size() < kMostFailuresTold)
      status_.problems.push_back(
          {request.url(), std::string(to_string(outcome.what)), outcome.why});
  }
  board_.show(status_);
}

}  // namespace headroom::edge
