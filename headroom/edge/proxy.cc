#include "headroom/edge/proxy.h"

#include <algorithm>

#include "headroom/auth/access.h"
#include "headroom/base/hash.h"
#include "headroom/edge/traced.h"
#include "headroom/http/forwarded.h"
#include "headroom/http/path.h"

namespace headroom::edge {

using http::Exchange;
using http::Name;

Proxy::Proxy(net::TaskGroup& group, const Hosting& hosting, AccessLog& log, cache::Cache* cache,
             ProxyCells cells, InnerDoor& inner, Batch& batch, Refresher& refresher,
             AnswerCoder& coder)
    : group_(group),
      forwarder_(group, coder),
      hosting_(hosting),
      log_(log),
      cells_(std::move(cells)),
      inner_(inner),
      batch_(batch),
      ids_(group.worker().random()) {
  if (cache != nullptr) pages_.emplace(group_, *cache, forwarder_, refresher, coder);
}

void Proxy::set_view(const std::shared_ptr<const View>& view) {
  // A control block of its own: the workers' requests do not count on one shared cache line.
  auto holder = std::make_shared<std::shared_ptr<const View>>(view);
  const View* raw = holder->get();
  view_ = std::shared_ptr<const View>(std::move(holder), raw);
}

void Proxy::trim() {
  const TimePoint now = Clock::now();
  for (const auto& pool : view_->pools) {
    for (const auto& server : pool->group.servers())
      server->trim(group_.worker(), now, pool->group.options());
  }
}

net::Task<> Proxy::serve(Exchange& exchange) {
  const std::shared_ptr<const View> view = view_;
  // The dashboard's session is nobody else's: cookies know no ports, so that browsers send it to the app of the same host as well.
  (void)exchange.take_cookie(auth::kSessionCookie);
  Request request(exchange, *view);
  request.tags_pages = view->options->cache.sql_tags && hosting_.link != nullptr;
  if (hosting_.sessions) request.sessions = &*hosting_.sessions;
  if (request.tags_pages || request.sessions != nullptr) request.link = hosting_.link;
  cells_.begun->add();
  auto known = identify(request);
  if (hosting_.link != nullptr && hosting_.link->spans.on())
    begin_trace(request, hosting_.link->spans, group_.worker().random());
  if (!known) {
    exchange.close_after();
    co_await request.fail(400, "bad_request", known.error().message);
  } else if (request.head().has(Name::x_headroom_debug) &&
             !(request.explained = may_ask_why(request))) {
    co_await request.fail(403, "no_operator", "X-Headroom-Debug holds no token of an operator");
  } else if (!request.limited.allowed()) {
    co_await request.fail(429, "rate_limited", "too many requests; see Retry-After");
  } else if (goes_to_server(request)) {
    if (request.route->pagination) co_await request.route->pagination->prepare(request, inner_);
    co_await pass_on(request);
  } else {
    co_await answer_here(request);
  }
  account(request);
}

void Proxy::refused(Exchange& /*exchange*/, unsigned status, std::string_view /*reason*/) {
  const auto at = cells_.bad_requests.find(status);
  (at == cells_.bad_requests.end() ? cells_.bad_requests.at(0) : at->second)->add();
}

const Hosted* Proxy::hosted(const Request& r) const {
  const std::string_view path = r.head().path;
  for (const Hosted& hosted : hosting_.services) {
    const bool below = path.starts_with(hosted.prefix) &&
                       (path.size() == hosted.prefix.size() || hosted.prefix.back() == '/' ||
                        path[hosted.prefix.size()] == '/');
    if (below && hosted.service->takes(r.x)) return &hosted;
  }
  return nullptr;
}

// Who asks, for what, by which route.
Result<> Proxy::identify(Request& r) {
  const EdgeOptions& options = *r.view.options;
  const IpAddress peer = r.x.peer().address.ip();
  r.trusted = r.x.peer().known && !options.trusted_proxies.empty() &&
              contains_any(options.trusted_proxies, peer);
  r.client = r.trusted ? http::client_address(peer, r.head(), options.trusted_proxies) : peer;
  r.id = ids_.take(r.trusted ? r.head().value_of(Name::x_request_id) : std::string_view{});
  r.refusal = http::refusal_by_policy(r.head());
  auto path = http::normalised_path(r.head().path, scratch_path_);
  if (!path) return pass(path);
  r.route = r.view.routes.match(without_port(r.head().authority), *path);
  if (r.route != nullptr) {
    r.cells = &r.route->metrics->cells[group_.worker().index()];
    r.cells->begun->add();
  }
  if (r.view.limits->any() && !is_batch(r) &&
      !r.x.peer().own) {  // a batch's parts are asked for, one by one
    const limit::Asked asked{.head = r.head(),
                             .route = r.route == nullptr ? std::string_view{} : r.route->name,
                             .host = without_port(r.head().authority),
                             .path = *path,
                             .client = r.client,
                             .trusted = r.trusted};
    r.limited = r.view.limits->decide(asked, group_.worker().index(), r.began);
  }
  return {};
}

// Not inside a batch: there one request could try many tokens.
bool Proxy::may_ask_why(const Request& r) const {
  if (!hosting_.may_ask || r.x.peer().inner) return false;
  return hosting_.may_ask(r.head().value_of(Name::x_headroom_debug), r.x.peer().address.ip(),
                          group_.worker().index());
}

// The common case, decided without a coroutine: nothing but a server of the route's group can answer.
bool Proxy::goes_to_server(const Request& r) const {
  return r.route != nullptr && r.route->pool && !r.route->policy.active() && !r.refusal &&
         !body_too_large(r) && !is_batch(r) && (hosting_.services.empty() || hosted(r) == nullptr);
}

bool Proxy::is_batch(const Request& r) {
  return r.head().path == Batch::kPath && r.view.options->batch.enabled;
}

bool Proxy::body_too_large(const Request& r) {
  return r.head().body == http::Body::length && r.route->body_limit != 0 &&
         r.head().content_length > r.route->body_limit;
}

// To the cache, where it may have a say, else to a server.
net::Task<> Proxy::pass_on(Request& r) {
  if (r.sessions != nullptr) r.sessions->begin(r, group_.worker().random());
  if (pages_ && r.route->cache.enabled && r.head().upgrade.empty()) return pages_->answer(r);
  return forwarder_.forward(r);
}

net::Task<> Proxy::answer_here(Request& r) {
  if (r.refusal)
    co_return co_await r.fail(r.refusal.status, "method_not_allowed", r.refusal.reason);
  const Hosted* service = hosting_.services.empty() ? nullptr : hosted(r);
  if (r.x.peer().inner && (service != nullptr || is_batch(r)))
    co_return co_await r.fail(403, "not_in_batch", "this path cannot be asked for in a batch");
  if (is_batch(r)) co_return co_await batch_.serve(r);
  if (service != nullptr) {
    r.x.tell_client({r.client, r.secure()});
    co_return co_await service->service->serve(r.x);
  }
  if (r.route == nullptr)
    co_return co_await r.fail(404, "no_route", "no route matches this host and path");
  const auto early =
      r.route->policy.early_reply(r.head(), {r.secure(), r.view.options->tls.listen.port});
  if (early) {
    if (r.streams_body()) r.x.close_after();
    (void)co_await r.x.reply(*early);
    co_return;
  }
  if (body_too_large(r)) {
    r.x.close_after();
    co_return co_await r.fail(413, "body_too_large",
                              "the request's body is larger than this route accepts");
  }
  if (r.route->pagination) co_await r.route->pagination->prepare(r, inner_);
  co_await pass_on(r);
}

void Proxy::account(Request& r) {
  cells_.ended->add();
  const unsigned status = r.status != 0 ? r.status : r.x.status();
  const bool answered = r.x.finished() || r.status != 0;
  const std::size_t group = answered ? std::min(status / 100, 5U) : 0;
  if (group == 0 || group == 5) cells_.errors->add();
  const TimePoint now = Clock::now();
  if (r.cells != nullptr) {
    r.cells->ended[group]->add();
    if (r.bytes_in > 0) r.cells->bytes_in->add(r.bytes_in);
    r.cells->bytes_out->add(r.x.bytes_sent());
    r.cells->total.record(elapsed(r.began, now));
    if (r.chosen != TimePoint{}) r.cells->queue.record(elapsed(r.began, r.chosen));
    if (r.connected != TimePoint{}) r.cells->connect.record(elapsed(r.chosen, r.connected));
    if (r.first_byte != TimePoint{}) r.cells->first_byte.record(elapsed(r.connected, r.first_byte));
  }
  if (r.span) end_trace(r, answered ? status : 0, now, group_.worker().random());
  const std::uint64_t threshold = r.view.log_threshold;
  if (threshold > 0 && is_sampled(r.id, threshold)) write_log(r, answered ? status : 0, now);
}

void Proxy::write_log(const Request& r, unsigned status, TimePoint now) {
  const auto phase = [](TimePoint from, TimePoint to) {
    return to == TimePoint{} ? std::nullopt : std::optional(elapsed(from, to));
  };
  const std::string client = to_string(r.client);
  AccessLine line;
  line.time =
      std::chrono::system_clock::now() -
      std::chrono::duration_cast<std::chrono::system_clock::duration>(elapsed(r.began, now));
  line.id = r.id;
  line.client = client;
  line.method = r.head().method_text;
  line.host = r.head().authority;
  line.target = r.head().target;
  line.status = status;
  line.bytes_in = r.bytes_in;
  line.bytes_out = r.x.bytes_sent();
  if (r.route != nullptr) line.route = r.route->name;
  if (r.server != nullptr) line.upstream = r.server->spec().text;
  line.queue = phase(r.began, r.chosen);
  line.connect = phase(r.chosen, r.connected);
  line.first_byte = phase(r.connected, r.first_byte);
  line.total = elapsed(r.began, now);
  log_.write(group_.worker().index(), line);
}

}  // namespace headroom::edge
