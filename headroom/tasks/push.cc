#include "headroom/tasks/push.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "headroom/auth/timed_signature.h"
#include "headroom/base/text.h"
#include "headroom/http/client.h"
#include "headroom/http/date.h"
#include "headroom/http/writer.h"

namespace headroom::tasks {
namespace {

constexpr Duration kLeaseRest =
    30s;  // beyond the timeout: for the look-up before and the acknowledgement behind
constexpr Duration kAnswerPause = 2s;  // between two pieces of an answer that is no 2xx
constexpr WallTime kLongestWait = 86'400 * kSecond;
constexpr std::size_t kMostAddresses = 3;
constexpr int kMostInterim = 10;     // answers of 1xx before the one that counts
constexpr std::size_t kShown = 200;  // of an answer's body, in the job's failure

const std::vector<Cidr>& not_public() {
  static const std::vector<Cidr> networks = [] {
    std::vector<Cidr> made;
    // RFC 6890 and its successors: the special-purpose registries.
    for (const char* text :
         {"0.0.0.0/8",     "10.0.0.0/8",      "100.64.0.0/10",  "127.0.0.0/8",    "169.254.0.0/16",
          "172.16.0.0/12", "192.0.0.0/24",    "192.0.2.0/24",   "192.88.99.0/24", "192.168.0.0/16",
          "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",    "::/8",
          "64:ff9b::/96",  "64:ff9b:1::/48",  "100::/64",       "2001::/23",      "2001:db8::/32",
          "2002::/16",     "3fff::/20",       "5f00::/16",      "fc00::/7",       "fe80::/10",
          "fec0::/10",     "ff00::/8"}) {
      made.push_back(*Cidr::parse(text));
    }
    return made;
  }();
  return networks;
}

std::vector<Cidr> networks_of(const std::vector<std::string>& texts) {
  std::vector<Cidr> made;
  for (const std::string& text : texts) {
    if (auto network = Cidr::parse(text)) made.push_back(*network);
  }
  return made;
}

Result<IpAddress> address_of(const net::Endpoint& endpoint) {
  const auto address = parse_address_with_port(endpoint.to_string());
  if (!address) return fail(Errc::invalid, "it is no IP address");
  return *address;
}

}  // namespace

Result<PushUrl> parse_push_url(const std::string& text) {
  const auto parsed = boost::urls::parse_uri(text);
  const auto wrong = [&](std::string_view why) {
    return fail(Errc::invalid, fmt::format("the url {}; expected https://host/path", why));
  };
  if (!parsed) return wrong("is no URL");
  if (parsed->scheme() != "https" && parsed->scheme() != "http")
    return wrong("is neither http nor https");
  if (parsed->has_userinfo() || parsed->has_fragment() || parsed->host_address().empty())
    return wrong("has user data, a fragment or no host");
  PushUrl url;
  url.tls = parsed->scheme() == "https";
  url.host = parsed->host_address();
  url.port =
      parsed->has_port() ? parsed->port_number() : static_cast<std::uint16_t>(url.tls ? 443 : 80);
  if (url.port == 0) return wrong("has no port that can be connected to");
  url.authority = std::string(parsed->encoded_host_and_port());
  url.target = parsed->encoded_path().empty() ? "/" : std::string(parsed->encoded_path());
  if (parsed->has_query()) url.target.append("?").append(std::string_view(parsed->encoded_query()));
  return url;
}

bool is_public(const IpAddress& address) { return !contains_any(not_public(), address); }

std::string signature(std::string_view secret, std::string_view body, WallTime at) {
  return auth::timed_signature(secret, body, at / kSecond);
}

WallTime retry_time(std::string_view field, WallTime now) {
  const std::string_view text = text::trimmed(field);
  if (const auto seconds = text::to_u64(text))
    return now + std::min<WallTime>(
                     static_cast<WallTime>(std::min<std::uint64_t>(*seconds, 1U << 30U)) * kSecond,
                     kLongestWait);
  const auto date = http::parse_http_date(text, now / kSecond);
  if (!date || *date * kSecond <= now) return 0;
  return std::min(*date * kSecond, now + kLongestWait);
}

struct Push::Target {
  PushOptions options;
  PushUrl url;
  std::vector<Cidr> allow;
  net::Resolver& resolver;
  std::shared_ptr<const net::TlsClient> tls{};
  std::unique_ptr<Runner> runner{};

  [[nodiscard]] bool may_reach(const IpAddress& address) const {
    return is_public(address) || contains_any(allow, address);
  }
  [[nodiscard]] Result<std::string> request(const Work& work) const;
  [[nodiscard]] net::Task<Result<std::unique_ptr<net::Stream>>> connect(net::TaskGroup& group,
                                                                        TimePoint deadline);
};

Result<std::string> Push::Target::request(const Work& work) const {
  std::string out;
  http::HeadWriter head(out);
  head.request_line("POST", url.target);
  head.field(http::Name::host, url.authority);
  head.field("Content-Type", "application/json");
  head.field("User-Agent", "Headroom");
  head.field("Headroom-Job", work.jid());
  head.field("Headroom-Attempt", std::to_string(work.failures() + 1));
  // A type of other than printable characters stands in the body alone.
  const bool printable =
      std::ranges::all_of(work.jobtype(), [](char c) { return c >= ' ' && c < 0x7f; });
  if (printable) head.field("Headroom-Job-Type", work.jobtype());
  if (!options.secret.empty())
    head.field("Headroom-Signature", signature(options.secret, work.body(), wall_now()));
  head.field("Accept-Encoding", "identity");
  head.field("Connection", "close");
  head.framing(http::Body::length, work.body().size());
  if (auto done = head.end(); !done) return pass(done);
  return out + work.body();
}

net::Task<Result<std::unique_ptr<net::Stream>>> Push::Target::connect(net::TaskGroup& group,
                                                                      TimePoint deadline) {
  auto found = co_await resolver.resolve(group.worker(), url.host, url.port);
  if (!found) co_return pass(found);
  Result<std::unique_ptr<net::Stream>> stream = fail(Errc::unavailable, "its name has no address");
  std::size_t tried = 0;
  for (const net::Endpoint& endpoint : found->endpoints) {
    auto address = address_of(endpoint);
    if (!address) co_return pass(address);
    if (!may_reach(*address)) {
      if (tried == 0)
        stream = fail(Errc::unauthorized, fmt::format("{} is not public, and not in 'allow'",
                                                      headroom::to_string(*address)));
      continue;
    }
    if (tried++ == kMostAddresses) break;
    stream = co_await net::Stream::connect(group, endpoint, deadline);
    if (stream) break;
  }
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  if (url.tls) {
    auto shaken = co_await (*stream)->connect_tls(tls->context(group.worker().index()), url.host);
    if (!shaken) co_return pass(shaken);
  }
  co_return std::move(*stream);
}

net::Task<Result<>> Push::deliver(Target& target, Work& work) {
  auto bytes = target.request(work);
  if (!bytes) co_return pass(bytes);
  const TimePoint deadline = Clock::now() + target.options.timeout;
  auto stream = co_await target.connect(work.group(), deadline);
  if (!stream) co_return pass(stream, target.url.authority);
  http::ClientConnection connection(work.group(), std::move(*stream));
  connection.start(http::Method::post);
  auto sent = co_await connection.stream().write(*bytes);
  if (!sent) co_return pass(sent, target.url.authority);
  const http::HeadLimits limits;
  const http::BodyPace pace{.idle = kAnswerPause, .until = deadline};
  for (int interim = 0;; ++interim) {
    auto head = co_await connection.read_head(limits, pace);
    if (!head) co_return pass(head, target.url.authority);
    if (connection.head().status >= 200) break;
    if (interim == kMostInterim)
      co_return fail(Errc::protocol, fmt::format("{} answers {} over and over",
                                                 target.url.authority, connection.head().status));
  }
  const std::uint16_t status = connection.head().status;
  for (const http::Field& field : connection.head().fields) {
    if (field.id == http::Name::retry_after) work.retry_at(retry_time(field.value, wall_now()));
  }
  if (status / 100 == 2) co_return Result<>{};
  std::string body;
  while (body.size() < kMostAnswer) {
    auto piece = co_await connection.body().next();
    if (!piece || piece->empty()) break;  // the status says enough
    body += *piece;
  }
  const std::string_view why = status / 100 == 3 ? " (redirects are not followed)" : "";
  co_return fail(Errc::unavailable,
                 fmt::format("{} answered {}{}: {}", target.url.authority, status, why,
                             std::string_view(body).substr(0, kShown)));
}

Result<std::unique_ptr<Push>> Push::make(Engine& engine, net::Workers& workers,
                                         net::Resolver& resolver,
                                         const std::vector<PushOptions>& targets) {
  auto made = std::unique_ptr<Push>(new Push());
  for (const PushOptions& options : targets) {
    auto url = parse_push_url(options.url);
    if (!url) return pass(url);
    auto target = std::make_unique<Target>(Target{.options = options,
                                                  .url = std::move(*url),
                                                  .allow = networks_of(options.allow),
                                                  .resolver = resolver});
    if (target->url.tls) {
      auto tls = net::TlsClient::make({.ca = options.ca}, workers.size());
      if (!tls) return pass(tls, "tasks.push");
      target->tls = std::move(*tls);
    }
    target->runner = std::make_unique<Runner>(engine, workers,
                                              RunnerOptions{.name = "push-" + options.queue,
                                                            .queues = {options.queue},
                                                            .at_once = options.at_once,
                                                            .lease = options.timeout + kLeaseRest});
    target->runner->on("*", [its = target.get()](Work& work) { return deliver(*its, work); });
    made->targets_.push_back(std::move(target));
  }
  return made;
}

Push::~Push() { stop(); }

void Push::start() {
  for (const auto& target : targets_) target->runner->start();
}

void Push::fetch_no_more() {
  for (const auto& target : targets_) target->runner->fetch_no_more();
}

void Push::fetch_again() {
  for (const auto& target : targets_) target->runner->fetch_again();
}

std::size_t Push::running() const {
  std::size_t running = 0;
  for (const auto& target : targets_) running += target->runner->running();
  return running;
}

void Push::stop() {
  for (const auto& target : targets_) target->runner->stop();
}

}  // namespace headroom::tasks
