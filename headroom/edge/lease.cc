#include "headroom/edge/lease.h"

#include <algorithm>

#include "headroom/http/proxy_protocol.h"

namespace headroom::edge {

Lease::~Lease() {
  if (server_ == nullptr) return;
  give_back();
  server_->leave();
  pool_->places->free();
}

void Lease::take_idle(TimePoint now, http::Method method) {
  while (!slot_->idle.empty()) {
    auto candidate = std::move(slot_->idle.back());
    slot_->idle.pop_back();
    server_->idle_connections.fetch_sub(1, std::memory_order_relaxed);
    const Duration rested = elapsed(candidate->idle_since, now);
    if (rested > options().keep_alive_timeout) continue;
    // What a server sent behind its last answer must not be taken for the next one. A request that could not be sent again looks closer.
    net::Stream& stream = candidate->stream();
    if (!(http::is_idempotent(method) ? stream.silent() : stream.idle_and_open())) continue;
    connection = std::move(candidate);
    reused = true;
    return;
  }
}

void Lease::give_back() {
  const bool keep = connection && connection->reusable() && !server_->retired() &&
                    options().keep_alive > 0 && slot_->idle.size() < Server::kMostIdle &&
                    options().proxy_protocol == ProxyHeader::off;
  if (!keep) return;
  connection->rest();
  connection->stream().expire_at(kNever);
  connection->idle_since = Clock::now();
  slot_->idle.push_back(std::move(connection));
  server_->idle_connections.fetch_add(1, std::memory_order_relaxed);
}

net::Task<Result<>> Lease::connect(Request& r, net::TaskGroup& group) {
  const auto endpoints = server_->endpoints();
  if (!endpoints || endpoints->empty())
    co_return fail(Errc::unavailable, "its name has no address");
  const TimePoint deadline = Clock::now() + options().connect_timeout;
  const std::size_t first = group.worker().random().below(endpoints->size());
  Result<std::unique_ptr<net::Stream>> stream = fail(Errc::unavailable, "no address");
  for (std::size_t i = 0; i < std::min<std::size_t>(endpoints->size(), 3) && !stream; ++i) {
    const net::Endpoint& to = (*endpoints)[(first + i) % endpoints->size()];
    stream = co_await net::Stream::connect(group, to, deadline);
  }
  if (!stream) co_return pass(stream);
  slot_->connects->add();
  const ProxyHeader header = options().proxy_protocol;
  if (header != ProxyHeader::off) {
    const net::Endpoint local = r.x.local();
    const http::ProxyAddresses addresses{true, r.client, local.ip(), r.x.peer().address.port(),
                                         local.port()};
    std::string line;
    header == ProxyHeader::v1 ? append_proxy_v1(line, addresses) : append_proxy_v2(line, addresses);
    auto sent = co_await (*stream)->write(line);
    if (!sent) co_return sent;
  }
  if (server_->spec().tls) {
    (*stream)->expire_at(deadline);
    const std::string& name =
        options().tls.server_name.empty() ? server_->spec().host : options().tls.server_name;
    auto shaken =
        co_await (*stream)->connect_tls(r.group().tls()->context(group.worker().index()), name);
    if (!shaken) co_return shaken;
  }
  slot_->connect.record(elapsed(r.chosen, Clock::now()));
  connection = std::make_unique<http::ClientConnection>(group, std::move(*stream));
  co_return Result<>{};
}

}  // namespace headroom::edge
