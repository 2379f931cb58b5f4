#include "headroom/load/kinds.h"

#include <fmt/format.h>

#include <algorithm>

namespace headroom::load {
namespace {

constexpr std::size_t kConnectionsLimit = 15'000;
constexpr double kRateLimit = 1e6;
constexpr std::size_t kMixLimit = 1000;

bool breaks_lines(std::string_view text) {
  return text.find_first_of("\r\n") != std::string_view::npos;
}

// The kinds of requests: the plan's own where there is no mix.
std::vector<MixedRequest> requests_of(const Plan& plan, const std::string& target) {
  if (!plan.mix.empty()) return plan.mix;
  return {{1, plan.method, target, plan.headers, plan.body}};
}

// All of the request but a filler.
std::string render(const MixedRequest& request, const Plan& plan, const Target& target) {
  std::string out =
      fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", request.method, request.target, target.host);
  for (const std::string& field : request.headers) out += field + "\r\n";
  const std::uint64_t length = request.body.size() + plan.filler.count;
  if (length > 0 || request.method == "POST" || request.method == "PUT") {
    out += fmt::format("Content-Length: {}\r\n", length);
  }
  if (plan.reuse == Reuse::new_connection_each) out += "Connection: close\r\n";
  return out + "\r\n" + request.body;
}

}  // namespace

Result<> check(const Plan& plan) {
  const bool open = plan.arrivals != Arrivals::closed;
  if (plan.duration <= Duration::zero() && plan.requests == 0) {
    return fail(Errc::invalid, "a run needs a duration or a number of requests");
  }
  if (plan.warm_up > Duration::zero() && plan.duration <= Duration::zero()) {
    return fail(Errc::invalid, "a warm-up needs a duration");
  }
  if (plan.warm_up + plan.duration > kDurationLimit) {
    return fail(Errc::invalid, "a run lasts an hour at most");
  }
  if (plan.connections == 0 || plan.connections > kConnectionsLimit) {
    return fail(Errc::invalid, fmt::format("connections: 1 to {}", kConnectionsLimit));
  }
  if (open != (plan.rate > 0) || !(plan.rate <= kRateLimit)) {
    return fail(Errc::invalid, fmt::format("the open loop needs a rate, up to {:.0f} a second; the "
                                           "closed loop has none",
                                           kRateLimit));
  }
  if (plan.timeout <= Duration::zero())
    return fail(Errc::invalid, "the timeout must be above zero");
  if (!plan.body.empty() && plan.filler.count > 0) {
    return fail(Errc::invalid, "a body or a filler, not both");
  }
  if (plan.mix.size() > kMixLimit || (!plan.mix.empty() && plan.filler.count > 0)) {
    return fail(Errc::invalid,
                fmt::format("a mix has at most {} requests, and no filler", kMixLimit));
  }
  for (const MixedRequest& request : requests_of(plan, "/")) {
    const bool broken = std::ranges::any_of(request.headers, breaks_lines) ||
                        request.target.find_first_of(" \r\n") != std::string::npos ||
                        !request.target.starts_with('/');
    if (broken || request.method.empty() ||
        request.method.find_first_of(" \r\n") != std::string::npos) {
      return fail(Errc::invalid, "method, target and header fields must be single lines");
    }
    if (!(request.weight > 0)) return fail(Errc::invalid, "a weight must be above zero");
  }
  return {};
}

std::vector<Kind> kinds_of(const Plan& plan, const Target& target) {
  std::vector<Kind> kinds;
  double sum = 0;
  for (const MixedRequest& request : requests_of(plan, target.path)) {
    sum += request.weight;
    kinds.push_back(
        {render(request, plan, target), sum,
         request.method == "HEAD" ? AnswerReader::Body::none : AnswerReader::Body::as_framed});
  }
  return kinds;
}

}  // namespace headroom::load
