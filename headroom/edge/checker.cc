#include "headroom/edge/checker.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::edge {
namespace {

constexpr Duration kRetryLookup = 2s;

Duration jittered(Duration time, Random& random) {
  return std::chrono::duration_cast<Duration>(time * (0.9 + 0.2 * random.unit()));
}

std::optional<net::Endpoint> literal_of(const ServerSpec& spec) {
  auto endpoint = spec.host.empty() ? net::Endpoint::unix_path(spec.unix_path)
                                    : net::Endpoint::literal(spec.host, spec.port);
  return endpoint ? std::optional(*endpoint) : std::nullopt;
}

}  // namespace

Result<bool> status_in(std::string_view ranges, unsigned status) {
  bool holds = false;
  for (const std::string_view range : text::split(ranges, ',')) {
    const auto dash = range.find('-');
    const auto low = text::to_u64(range.substr(0, dash));
    const auto high = dash == std::string_view::npos ? low : text::to_u64(range.substr(dash + 1));
    if (!low || !high || *low < 100 || *high > 599 || *low > *high) {
      return fail(Errc::invalid,
                  "'" + std::string(range) + "' is no status or range such as 200-399");
    }
    holds = holds || (status >= *low && status <= *high);
  }
  return holds;
}

void place_literals(const View& view) {
  for (const auto& pool : view.pools) {
    for (const auto& server : pool->group.servers()) {
      if (const auto endpoint = literal_of(server->spec())) server->set_endpoints({*endpoint}, {});
    }
  }
}

void Checker::watch(const std::shared_ptr<const View>& view) {
  unanswered_ = 1;  // until all have been counted
  for (const auto& pool : view->pools) {
    for (const auto& server : pool->group.servers()) {
      if (!literal_of(server->spec())) {
        if (server->endpoints() == nullptr) ++unanswered_;
        if (!group_.spawn([this, server] { return follow_name(server); })) return;
      }
      if (pool->group.options().health.path.empty()) {
        server->set_probe(true, {}, Clock::now());
      } else if (!group_.spawn([this, pool, server] { return probe_forever(pool, server); })) {
        return;
      }
    }
  }
  note_answered();
}

void Checker::note_answered() {
  if (--unanswered_ == 0) looked_up_.set_value();
}

net::Task<> Checker::follow_name(std::shared_ptr<Server> server) {
  for (bool awaited = server->endpoints() == nullptr;;) {
    auto found =
        co_await resolver_.resolve(group_.worker(), server->spec().host, server->spec().port);
    Duration next = kRetryLookup;
    if (found) {
      next = found->ttl;
      server->set_endpoints(std::move(found->endpoints), {});
    } else {
      log::warn("edge", "server {}: {}", server->spec().text, found.error().message);
      server->set_endpoints({}, found.error().message);
    }
    if (std::exchange(awaited, false)) note_answered();
    auto slept = co_await net::sleep(group_, next);
    if (!slept) co_return;
  }
}

net::Task<> Checker::probe_forever(std::shared_ptr<Pool> pool, std::shared_ptr<Server> server) {
  const HealthCheckOptions& options = pool->group.options().health;
  std::uint32_t in_a_row = 0;
  bool last = true;
  bool known = false;
  for (;;) {
    auto answered = co_await probe(*pool, *server);
    if (group_.stopped()) co_return;
    const bool good = answered.has_value();
    in_a_row = good == last ? in_a_row + 1 : 1;
    last = good;
    // The first probe decides at once; later ones need a row of equals.
    if (!known || in_a_row >= (good ? options.rise : options.fall)) {
      server->set_probe(good, good ? std::string() : answered.error().message, Clock::now());
      known = true;
    }
    auto slept = co_await net::sleep(group_, jittered(options.interval, group_.worker().random()));
    if (!slept) co_return;
  }
}

net::Task<Result<>> Checker::probe(const Pool& pool, const Server& server) {
  const UpstreamOptions& options = pool.group.options();
  const auto endpoints = server.endpoints();
  if (!endpoints) co_return fail(Errc::unavailable, "its name has no address");
  const TimePoint deadline = Clock::now() + options.health.timeout;
  auto stream = co_await net::Stream::connect(group_, endpoints->front(), deadline);
  if (!stream) co_return pass(stream);
  (*stream)->expire_at(deadline);
  if (server.spec().tls) {
    const std::string& name =
        options.tls.server_name.empty() ? server.spec().host : options.tls.server_name;
    auto shaken =
        co_await (*stream)->connect_tls(pool.group.tls()->context(group_.worker().index()), name);
    if (!shaken) co_return shaken;
  }
  http::ClientConnection connection(group_, std::move(*stream));
  connection.start(http::Method::get);
  const std::string& host =
      options.health.host.empty() ? server.spec().authority : options.health.host;
  const std::string request = "GET " + options.health.path + " HTTP/1.1\r\nHost: " + host +
                              "\r\nUser-Agent: headroom-health\r\nConnection: close\r\n\r\n";
  auto sent = co_await connection.stream().write(request);
  if (!sent) co_return sent;
  const http::HeadLimits limits;
  const http::BodyPace pace;
  auto read = co_await connection.read_head(limits, pace);
  if (!read) co_return read;
  const auto good = status_in(options.health.status, connection.head().status);
  if (good && *good) co_return Result<>{};
  co_return fail(Errc::unavailable,
                 "its health check answered " + std::to_string(connection.head().status));
}

}  // namespace headroom::edge
