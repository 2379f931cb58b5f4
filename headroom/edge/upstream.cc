#include "headroom/edge/upstream.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/edge/metrics.h"

namespace headroom::edge {
namespace {

constexpr Duration kSpareRest = 1s;
constexpr std::size_t kRingPoints = 128;  // of a server of weight 1
constexpr std::int64_t kRetryUnit = 1000;
constexpr std::int64_t kMostRetryTokens = 100 * kRetryUnit;

Error server_error(std::string_view line, std::string_view what) {
  return Error{Errc::invalid, "server '" + std::string(line) + "': " + std::string(what)};
}

Result<> read_attribute(std::string_view attribute, std::string_view line, ServerSpec& spec) {
  const auto equals = attribute.find('=');
  const std::string_view name = attribute.substr(0, equals);
  const auto number =
      equals == std::string_view::npos ? std::nullopt : text::to_u64(attribute.substr(equals + 1));
  if (attribute == "backup") {
    spec.backup = true;
  } else if (name == "weight" && number && *number >= 1 && *number <= 1000) {
    spec.weight = static_cast<unsigned>(*number);
  } else if (name == "max_connections" && number && *number <= 1000000) {
    spec.max_connections = static_cast<std::uint32_t>(*number);
  } else {
    return std::unexpected(server_error(
        line,
        "'" + std::string(attribute) + "' is none of weight=1..1000, max_connections=N, backup"));
  }
  return {};
}

Result<> read_host_and_port(std::string_view rest, std::string_view line, ServerSpec& spec) {
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find('/') != std::string_view::npos || rest.find('@') != std::string_view::npos ||
      rest.empty()) {
    return std::unexpected(server_error(line, "expected scheme://host[:port] without a path"));
  }
  spec.authority = rest;
  spec.port = spec.tls ? 443 : 80;
  const auto colon = rest.rfind(':');
  const bool bracketed = rest.front() == '[';
  if (colon != std::string_view::npos && (!bracketed || rest[colon - 1] == ']')) {
    const auto port = text::to_u64(rest.substr(colon + 1));
    if (!port || *port == 0 || *port > 65535)
      return std::unexpected(server_error(line, "expected a port from 1 to 65535"));
    spec.port = static_cast<std::uint16_t>(*port);
    rest = rest.substr(0, colon);
  }
  if (bracketed) {
    if (!rest.ends_with(']')) return std::unexpected(server_error(line, "expected [IPv6 address]"));
    rest = rest.substr(1, rest.size() - 2);
  }
  spec.host = rest;
  if (spec.host.empty()) return std::unexpected(server_error(line, "expected a host"));
  return {};
}

}  // namespace

Result<ServerSpec> ServerSpec::parse(std::string_view line) {
  ServerSpec spec;
  std::vector<std::string_view> words;
  for (const std::string_view word : text::split(line, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  if (words.empty())
    return std::unexpected(
        server_error(line, "expected http://host:port, https://host or unix:/path"));
  std::string_view url = words[0];
  spec.text = url;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (auto read = read_attribute(words[i], line, spec); !read) return pass(read);
  }
  if (url.starts_with("unix:")) {
    spec.unix_path = url.substr(5);
    spec.authority = "localhost";
    if (auto path = net::Endpoint::unix_path(spec.unix_path); !path) {
      return std::unexpected(server_error(line, path.error().message));
    }
    return spec;
  }
  spec.tls = url.starts_with("https://");
  if (!spec.tls && !url.starts_with("http://")) {
    return std::unexpected(
        server_error(line, "expected http://host:port, https://host or unix:/path"));
  }
  url.remove_prefix(spec.tls ? 8 : 7);
  if (auto read = read_host_and_port(url, line, spec); !read) return pass(read);
  return spec;
}

Server::Server(ServerSpec spec, const std::string& group, std::size_t workers,
               metrics::Registry& registry)
    : spec_(std::move(spec)),
      slots_(workers),
      requests_(registry.counter(kServerRequests, {group, spec_.text})),
      failures_(registry.counter(kServerFailures, {group, spec_.text})),
      first_byte_(registry.histogram(kServerFirstByte, {group, spec_.text})) {
  auto& connects = registry.counter(kServerConnects, {group, spec_.text});
  auto& connect = registry.histogram(kServerConnect, {group, spec_.text});
  for (std::size_t w = 0; w < workers; ++w) {
    slots_[w].requests = &requests_.at(w);
    slots_[w].failures = &failures_.at(w);
    slots_[w].connects = &connects.at(w);
    slots_[w].first_byte = first_byte_.at(w);
    slots_[w].connect = connect.at(w);
  }
  in_flight_gauge_ =
      registry.gauge(kServerInFlight, {group, spec_.text}, [this] { return in_flight(); });
  up_gauge_ = registry.gauge(kServerUp, {group, spec_.text},
                             [this] { return usable(Clock::now()) ? 1.0 : 0.0; });
}

std::shared_ptr<const Endpoints> Server::endpoints() const {
  const std::scoped_lock lock(mutex_);
  return endpoints_;
}

void Server::set_endpoints(Endpoints endpoints, std::string problem) {
  const std::scoped_lock lock(mutex_);
  resolve_problem_ = std::move(problem);
  if (endpoints.empty()) return;  // the last known addresses are better than none
  endpoints_ = std::make_shared<const Endpoints>(std::move(endpoints));
  resolved_.store(true, std::memory_order_relaxed);
}

bool Server::usable(TimePoint now) const {
  return resolved_.load(std::memory_order_relaxed) && !draining_.load(std::memory_order_relaxed) &&
         !probe_down_.load(std::memory_order_relaxed) && !ejected(now);
}

bool Server::failed(TimePoint now, const UpstreamOptions& options) {
  failures_.add_shared();
  if (options.max_fails == 0) return false;
  // Counted in windows of fail_timeout; a race between workers may lose a count, never invent one.
  if (elapsed(fails_since_.load(std::memory_order_relaxed), now) > options.fail_timeout) {
    fails_since_.store(now, std::memory_order_relaxed);
    fails_.store(0, std::memory_order_relaxed);
  }
  return fails_.fetch_add(1, std::memory_order_relaxed) + 1 >= options.max_fails && !ejected(now);
}

void Server::eject(TimePoint now, const UpstreamOptions& options) {
  const std::uint32_t times =
      std::min(consecutive_ejections_.fetch_add(1, std::memory_order_relaxed), 10U);
  const Duration time =
      std::min<Duration>(options.fail_timeout * (1 << times),
                         std::max(options.max_fail_timeout, options.fail_timeout));
  ejected_until_.store(now + time, std::memory_order_relaxed);
  up_since_.store(now + time, std::memory_order_relaxed);
  fails_.store(0, std::memory_order_relaxed);
  log::change(log::Level::warn, "edge", "servers",
              fmt::format("server {} is taken out for {} s: it failed {} times", spec_.text,
                          std::chrono::duration_cast<std::chrono::seconds>(time).count(),
                          options.max_fails));
}

void Server::set_probe(bool up, std::string reason, TimePoint now) {
  const bool was_down = probe_down_.exchange(!up, std::memory_order_relaxed);
  if (up && was_down) {
    up_since_.store(now, std::memory_order_relaxed);
    ejected_until_.store(TimePoint{}, std::memory_order_relaxed);
    log::change(log::Level::info, "edge", "servers",
                fmt::format("server {} is up again", spec_.text));
  } else if (!up && !was_down) {
    log::change(log::Level::warn, "edge", "servers",
                fmt::format("server {} is down: {}", spec_.text, reason));
  }
  const std::scoped_lock lock(mutex_);
  probe_reason_ = std::move(reason);
}

void Server::inherit(const Server& before) {
  const auto copy = [](auto& to, const auto& from) {
    to.store(from.load(std::memory_order_relaxed), std::memory_order_relaxed);
  };
  copy(draining_, before.draining_);
  copy(probe_down_, before.probe_down_);
  copy(ejected_until_, before.ejected_until_);
  copy(up_since_, before.up_since_);
  copy(consecutive_ejections_, before.consecutive_ejections_);
  if (const auto known = before.endpoints()) set_endpoints(*known, {});
  std::string reason = before.reason();
  const std::scoped_lock lock(mutex_);
  probe_reason_ = std::move(reason);
}

double Server::warmth(TimePoint now, Duration slow_start) const {
  const TimePoint since = up_since_.load(std::memory_order_relaxed);
  if (slow_start <= Duration::zero() || since == TimePoint{}) return 1.0;
  const double share = seconds(elapsed(since, now)) / seconds(slow_start);
  return std::clamp(share, 0.1, 1.0);
}

std::string Server::state(TimePoint now) const {
  if (draining_.load(std::memory_order_relaxed)) return "draining";
  if (!resolved_.load(std::memory_order_relaxed)) return "unresolved";
  if (probe_down_.load(std::memory_order_relaxed)) return "down";
  if (ejected(now)) return "ejected";
  return "up";
}

std::string Server::reason() const {
  const std::scoped_lock lock(mutex_);
  return probe_down_.load(std::memory_order_relaxed) ? probe_reason_ : resolve_problem_;
}

bool Server::enter() {
  const std::uint32_t before = in_flight_.fetch_add(1, std::memory_order_seq_cst);
  if (spec_.max_connections == 0 || before < spec_.max_connections) return true;
  leave();
  return false;
}

void Server::forget(const net::Worker& worker) {
  auto& idle = slot(worker).idle;
  idle_connections.fetch_sub(static_cast<std::int64_t>(idle.size()), std::memory_order_relaxed);
  idle.clear();
}

void Server::trim(const net::Worker& worker, TimePoint now, const UpstreamOptions& options) {
  auto& idle = slot(worker).idle;
  // The longest at rest come first.
  std::size_t drop = 0;
  for (; drop < idle.size(); ++drop) {
    const Duration rested = elapsed(idle[drop]->idle_since, now);
    const bool spare = idle.size() - drop > options.keep_alive && rested > kSpareRest;
    if (!spare && rested <= options.keep_alive_timeout) break;
  }
  idle.erase(idle.begin(), idle.begin() + static_cast<std::ptrdiff_t>(drop));
  idle_connections.fetch_sub(static_cast<std::int64_t>(drop), std::memory_order_relaxed);
}

Group::Group(UpstreamOptions options, std::vector<std::shared_ptr<Server>> servers,
             std::shared_ptr<limit::Concurrency> concurrency,
             std::shared_ptr<const net::TlsClient> tls)
    : options_(std::move(options)),
      servers_(std::move(servers)),
      concurrency_(std::move(concurrency)),
      tls_(std::move(tls)) {
  if (options_.balance != Balance::hash) return;
  for (const auto& server : servers_) {
    for (std::size_t i = 0; i < kRingPoints * server->spec().weight; ++i) {
      ring_.emplace_back(hash64(server->spec().text, i), server.get());
    }
  }
  std::ranges::sort(ring_);
}

bool Group::eligible(const Server& server, TimePoint now, bool everyone) const {
  if (server.usable(now)) return true;
  if (!everyone) return false;
  // When less than half can be used, those that are only suspected are used too.
  return server.endpoints() != nullptr && server.state(now) != "draining";
}

double Group::load_of(const Server& server, TimePoint now) const {
  const double weight = server.spec().weight * server.warmth(now, options_.slow_start);
  return (server.in_flight() + 1.0) / weight;
}

Server* Group::best_of(std::span<Server* const> candidates, TimePoint now, std::uint64_t hash,
                       Random& random) const {
  if (candidates.size() == 1) return candidates[0];
  switch (options_.balance) {
    case Balance::least_connections: {
      // Begins at a random one, so that equals share the load.
      const std::size_t first = random.below(candidates.size());
      Server* best = candidates[first];
      double least = load_of(*best, now);
      for (std::size_t i = 1; i < candidates.size(); ++i) {
        Server* other = candidates[(first + i) % candidates.size()];
        if (const double load = load_of(*other, now); load < least) {
          best = other;
          least = load;
        }
      }
      return best;
    }
    case Balance::random_two: {
      Server* a = candidates[random.below(candidates.size())];
      Server* b = candidates[random.below(candidates.size())];
      return load_of(*a, now) <= load_of(*b, now) ? a : b;
    }
    case Balance::round_robin: {
      std::uint64_t all = 0;
      for (const Server* server : candidates) all += server->spec().weight;
      std::uint64_t at = turn_.fetch_add(1, std::memory_order_relaxed) % all;
      for (Server* server : candidates) {
        if (at < server->spec().weight) return server;
        at -= server->spec().weight;
      }
      return candidates[0];
    }
    case Balance::hash: {
      auto point =
          std::ranges::lower_bound(ring_, hash, {}, &std::pair<std::uint64_t, Server*>::first);
      for (std::size_t i = 0; i < ring_.size(); ++i, ++point) {
        if (point == ring_.end()) point = ring_.begin();
        if (std::ranges::find(candidates, point->second) != candidates.end()) return point->second;
      }
      return candidates[0];
    }
  }
  return candidates[0];
}

Group::Pick Group::pick(TimePoint now, const Tried& tried, std::uint64_t hash,
                        Random& random) const {
  std::size_t usable = 0;
  for (const auto& server : servers_) usable += server->usable(now) ? 1 : 0;
  const bool everyone = usable * 2 < servers_.size();
  Pick pick;
  for (const bool backup : {false, true}) {
    std::array<Server*, 64> found{};
    std::size_t count = 0;
    for (const auto& server : servers_) {
      if (server->spec().backup != backup || count == found.size()) continue;
      if (std::ranges::find(tried, server.get()) != tried.end()) continue;
      if (!eligible(*server, now, everyone)) continue;
      if (server->full()) {
        pick.all_full = true;
        continue;
      }
      found[count++] = server.get();
    }
    while (count > 0) {
      Server* best = best_of({found.data(), count}, now, hash, random);
      if (best->enter()) return {best, false};
      pick.all_full = true;  // it filled up meanwhile
      count = static_cast<std::size_t>(
          std::remove(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count), best) -
          found.begin());
    }
  }
  return pick;
}

namespace {

// The value of cookie `name` in "a=1; b=2", or "".
std::string_view cookie(std::string_view header, std::string_view name) {
  for (const std::string_view pair : text::split(header, ';')) {
    const auto equals = pair.find('=');
    if (equals != std::string_view::npos && pair.substr(0, equals) == name)
      return pair.substr(equals + 1);
  }
  return {};
}

}  // namespace

std::uint64_t Group::hash_of(const http::RequestHead& head, const IpAddress& client) const {
  const std::string_view by = options_.hash_by;
  std::string_view value;
  if (by.starts_with("header:")) {
    if (const http::Field* field = head.find(by.substr(7)); field != nullptr) value = field->value;
  } else if (by.starts_with("cookie:")) {
    for (const http::Field& field : head.fields) {
      if (field.id == http::Name::cookie && value.empty())
        value = cookie(field.value, by.substr(7));
    }
  }
  if (!value.empty()) return hash64(value);
  const auto bytes = client.bytes();
  return hash64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void Group::note_failure(Server& server, TimePoint now) const {
  if (!server.failed(now, options_)) return;
  std::size_t ejected = 0;
  for (const auto& other : servers_) ejected += other->ejected(now) ? 1 : 0;
  const double share = static_cast<double>(ejected + 1) / static_cast<double>(servers_.size());
  // A lone server is never taken out by this: there is nobody else.
  if (share <= options_.max_ejected && servers_.size() > 1) server.eject(now, options_);
}

void Group::earn_retry() const {
  const auto earned = static_cast<std::int64_t>(options_.retry_budget * kRetryUnit);
  if (retry_tokens_.load(std::memory_order_relaxed) < kMostRetryTokens) {
    retry_tokens_.fetch_add(earned, std::memory_order_relaxed);
  }
}

bool Group::spend_retry() const {
  if (retry_tokens_.fetch_sub(kRetryUnit, std::memory_order_relaxed) >= kRetryUnit) return true;
  retry_tokens_.fetch_add(kRetryUnit, std::memory_order_relaxed);
  return false;
}

}  // namespace headroom::edge
