#include "headroom/edge/forwarder.h"

#include "headroom/base/log.h"
#include "headroom/edge/traced.h"

namespace headroom::edge {

net::Task<> Forwarder::forward(Request& r) {
  if (r.link != nullptr && !r.at_app) {
    const auto inbound = r.trusted
                             ? link::parse_traceparent(r.head().value_of(http::Name::traceparent))
                             : std::nullopt;
    r.unclaimed_since = r.link->unclaimed.now();
    const link::Trace trace = r.span    ? r.span->trace
                              : inbound ? *inbound
                                        : link::mint(group_.worker().random());
    r.at_app = r.link->requests.begin(trace, r.session.id, Clock::now(),
                                      r.route->cache.enabled && http::is_safe(r.head().method)
                                          ? link::Requests::Feeds::page
                                          : link::Requests::Feeds::nothing);
  }
  if (r.span && r.forwarded == TimePoint{}) r.forwarded = Clock::now();
  if (r.x.has_body()) {
    r.x.limit_body(r.route->body_limit);
    const bool stored = co_await store_body(r);
    if (!stored) co_return;
  }
  limit::Concurrency& concurrency = r.group().concurrency();
  const bool queued = r.route->pool->admission->ahead(r.priority());
  if (queued || !concurrency.enter(static_cast<limit::Priority>(r.priority()))) {
    const bool admitted = co_await wait_for_place(r);
    if (!admitted) co_return;
  }
  co_await try_servers(r);
  const TimePoint now = Clock::now();
  const bool answered = r.first_byte != TimePoint{};
  // What was turned away here says nothing of the servers.
  const bool overloaded = r.timed_out || (answered && (r.x.status() == 503 || r.x.status() == 504));
  const auto outcome = overloaded ? limit::Concurrency::Outcome::overloaded
                       : answered ? limit::Concurrency::Outcome::answered
                                  : limit::Concurrency::Outcome::ignored;
  concurrency.leave(answered ? elapsed(r.chosen, r.first_byte) : elapsed(r.began, now), outcome,
                    now);
  r.route->pool->admission->free();
}

// A small body is read whole before a server is taken: a slow client then holds none, and the request can be sent again.
net::Task<bool> Forwarder::store_body(Request& r) {
  const std::uint64_t most = r.view.options->body_buffer.count;
  if (r.head().body != http::Body::length || r.head().content_length > most) co_return true;
  r.body.reserve(static_cast<std::size_t>(r.head().content_length));
  for (;;) {
    auto piece = co_await r.x.read();
    if (!piece) {
      co_await r.fail(piece.error().code == Errc::timeout ? 408 : 400, "bad_body",
                      piece.error().message);
      co_return false;
    }
    if (piece->empty()) break;
    r.body += *piece;
  }
  r.bytes_in = r.body.size();
  r.body_stored = true;
  co_return true;
}

// Over the group's in-flight limit, or others wait already: a place may come free.
net::Task<bool> Forwarder::wait_for_place(Request& r) {
  Pool& pool = *r.route->pool;
  limit::Concurrency& concurrency = pool.group.concurrency();
  const Waiting::Turn turn{r.priority(), Waiting::Turn::Needs::any,
                           Clock::now() + pool.group.options().queue_timeout};
  const std::function<bool()> take = [&] {
    return concurrency.enter(static_cast<limit::Priority>(r.priority()));
  };
  auto admitted = co_await pool.admission->wait(group_, turn, take);
  if (admitted && !r.gone()) co_return true;
  if (admitted) {
    concurrency.leave({}, limit::Concurrency::Outcome::ignored, Clock::now());
    pool.admission->free();
    co_return false;
  }
  r.cells->shed_limit->add();
  co_await r.fail(503, "overloaded", "too many requests at once; try again soon", 1s);
  co_return false;
}

// Every server is full, or others wait already.
net::Task<Result<Server*>> Forwarder::wait_for_server(Request& r) {
  Pool& pool = *r.route->pool;
  const auto needs = r.tried.empty() ? Waiting::Turn::Needs::any : Waiting::Turn::Needs::some;
  const Waiting::Turn turn{r.priority(), needs, Clock::now() + pool.group.options().queue_timeout};
  Group::Pick pick;
  const std::function<bool()> take = [&] {
    r.chosen = Clock::now();
    pick = pool.group.pick(r.chosen, r.tried, r.hash, group_.worker().random());
    return pick.server != nullptr || !pick.all_full;
  };
  auto waited = co_await pool.places->wait(group_, turn, take);
  if (!waited) {
    r.cells->shed_queue->add();
    co_return pass(waited);
  }
  if (pick.server != nullptr && r.gone()) {
    pick.server->leave();
    pool.places->free();
    co_return fail(Errc::cancelled, "the client has gone");
  }
  co_return pick.server;
}

// Nobody is there any more to hear an answer: the place is for others.
net::Task<> Forwarder::try_servers(Request& r) {
  Pool& pool = *r.route->pool;
  const Group& group = pool.group;
  group.earn_retry();
  if (group.options().balance == Balance::hash) r.hash = group.hash_of(r.head(), r.client);
  for (;;) {
    Group::Pick pick{nullptr, true};
    if (!pool.places->ahead(r.priority())) {
      r.chosen = Clock::now();
      pick = group.pick(r.chosen, r.tried, r.hash, group_.worker().random());
    }
    if (pick.server == nullptr && pick.all_full) {
      auto found = co_await wait_for_server(r);
      if (r.status == kClientGone) co_return;
      if (found) pick.server = *found;
    }
    if (pick.server == nullptr) break;
    if (r.server != nullptr) r.cells->retries->add();
    r.server = pick.server;
    if (r.span) begin_attempt(r, group_.worker().random());
    const TimePoint began = r.chosen;
    const Attempt outcome = co_await attempt(r, *pick.server);
    if (r.span) end_attempt(r, outcome, began);
    if (outcome == Attempt::answered) co_return;
    if (!may_retry(r, outcome)) break;
  }
  co_await give_up(r);
}

// Every way to an answer has failed.
net::Task<> Forwarder::give_up(Request& r) {
  if (r.timed_out) {
    co_await r.fail(504, "upstream_timeout", "the application did not answer in time", 1s);
  } else if (r.reached) {
    co_await r.fail(502, "bad_gateway", "the application broke off or answered what is no HTTP",
                    1s);
  } else {
    co_await r.fail(503, "unavailable", "no server of the application can take this request now",
                    1s);
  }
}

bool Forwarder::may_retry(Request& r, Attempt outcome) {
  const Group& group = r.group();
  // A kept connection that had been closed says nothing about its server: try once more, perhaps there.
  if (outcome != Attempt::stale) r.tried.push_back(r.server);
  if (r.body_begun || outcome == Attempt::broken) return false;
  if (outcome == Attempt::not_sent) return r.tried.size() <= r.route->retries;
  if (!http::is_idempotent(r.head().method)) return false;
  return r.tried.size() <= r.route->retries && group.spend_retry();
}

net::Task<Attempt> Forwarder::attempt(Request& r, Server& server) {
  Lease lease(server, *r.route->pool, group_.worker());
  lease.slot().requests->add();
  lease.take_idle(r.chosen, r.head().method);
  r.connected = r.chosen;
  if (!lease.connection) {
    auto connected = co_await lease.connect(r, group_);
    if (!connected) {
      r.timed_out = connected.error().code == Errc::timeout;
      log::debug("edge", "{}: {}", server.spec().text, connected.error().message);
      // Without descriptors, or stopped: not the server's fault.
      const Errc why = connected.error().code;
      if (why != Errc::overloaded && why != Errc::cancelled)
        r.group().note_failure(server, Clock::now());
      co_return Attempt::not_sent;
    }
    r.connected = Clock::now();
  }
  r.reached = true;
  const Attempt outcome = co_await carrier_.carry(r, lease);
  if (outcome == Attempt::unanswered || outcome == Attempt::broken)
    r.group().note_failure(server, Clock::now());
  if (outcome == Attempt::answered && r.first_byte != TimePoint{}) server.answered();
  co_return outcome;
}

}  // namespace headroom::edge
