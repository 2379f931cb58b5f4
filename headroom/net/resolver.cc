#include "headroom/net/resolver.h"

#include <ares.h>
#include <netdb.h>
#include <poll.h>

#include <algorithm>
#include <array>

#include "headroom/base/assert.h"

namespace headroom::net {
namespace {

constexpr std::size_t kMaxAddresses = 64;
constexpr Duration kLeastTtl = 1s;
constexpr Duration kMostTtl = 3600s;
constexpr Duration kHostsFileTtl = 5s;

struct Lookup {
  Result<Resolution> answer = fail(Errc::timeout, "no answer");
  std::uint16_t port = 0;
  bool done = false;
};

Error lookup_error(int status) {
  const char* text = ares_strerror(status);
  const bool unknown =
      status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_EBADNAME;
  const bool late = status == ARES_ETIMEOUT;
  const Errc code = unknown ? Errc::not_found : late ? Errc::timeout : Errc::unavailable;
  return Error{code, text};
}

Resolution read_answer(const ares_addrinfo& found, std::uint16_t port) {
  Resolution resolution;
  resolution.ttl = kMostTtl;
  for (const ares_addrinfo_node* node = found.nodes; node != nullptr; node = node->ai_next) {
    if (resolution.endpoints.size() >= kMaxAddresses) break;
    const Endpoint endpoint(node->ai_addr, static_cast<socklen_t>(node->ai_addrlen));
    resolution.endpoints.emplace_back(endpoint.ip(), port);
    const Duration ttl =
        node->ai_ttl > 0 ? Duration(std::chrono::seconds(node->ai_ttl)) : kHostsFileTtl;
    resolution.ttl = std::min(resolution.ttl, ttl);
  }
  resolution.ttl = std::clamp(resolution.ttl, kLeastTtl, kMostTtl);
  auto& all = resolution.endpoints;
  std::ranges::sort(all, {}, [](const Endpoint& e) { return e.to_string(); });
  const auto doubles = std::ranges::unique(all);
  all.erase(doubles.begin(), doubles.end());
  return resolution;
}

void on_answer(void* context, int status, int /*timeouts*/, ares_addrinfo* found) {
  auto& lookup = *static_cast<Lookup*>(context);
  lookup.done = true;
  if (status == ARES_SUCCESS && found != nullptr) {
    lookup.answer = read_answer(*found, lookup.port);
  } else {
    lookup.answer = std::unexpected(lookup_error(status));
  }
  if (found != nullptr) ares_freeaddrinfo(found);
}

void wait_for_answer(ares_channel channel, const Lookup& lookup) {
  while (!lookup.done) {
    std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
    const int bits = ares_getsock(channel, sockets.data(), ARES_GETSOCK_MAXNUM);
    std::vector<pollfd> waits;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
      const short events = static_cast<short>((ARES_GETSOCK_READABLE(bits, i) ? POLLIN : 0) |
                                              (ARES_GETSOCK_WRITABLE(bits, i) ? POLLOUT : 0));
      if (events != 0) waits.push_back({sockets[static_cast<std::size_t>(i)], events, 0});
    }
    if (waits.empty()) return;
    ::poll(waits.data(), waits.size(), 250);
    for (const pollfd& wait : waits) {
      ares_process_fd(
          channel, (wait.revents & (POLLIN | POLLERR | POLLHUP)) != 0 ? wait.fd : ARES_SOCKET_BAD,
          (wait.revents & POLLOUT) != 0 ? wait.fd : ARES_SOCKET_BAD);
    }
  }
}

Result<Resolution> look_up(const std::string& servers, Duration patience, const std::string& host,
                           std::uint16_t port) {
  ares_options options{};
  options.timeout =
      static_cast<int>(milliseconds(patience) / 3);  // the second try waits twice as long
  options.tries = 2;
  ares_channel channel = nullptr;
  const int made = ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
  if (made != ARES_SUCCESS) return std::unexpected(lookup_error(made));
  if (!servers.empty()) ares_set_servers_ports_csv(channel, servers.c_str());
  Lookup lookup;
  lookup.port = port;
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_flags = ARES_AI_NOSORT;
  ares_getaddrinfo(channel, host.c_str(), nullptr, &hints, on_answer, &lookup);
  wait_for_answer(channel, lookup);
  ares_destroy(channel);
  return lookup.answer;
}

}  // namespace

Resolver::Resolver(std::string servers, Duration patience)
    : servers_(std::move(servers)), patience_(patience), threads_("resolver", 2) {
  HR_ASSERT(ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS);
}

Resolver::~Resolver() { ares_library_cleanup(); }

Task<Result<Resolution>> Resolver::resolve(Worker& worker, std::string host, std::uint16_t port) {
  if (auto literal = Endpoint::literal(host, port)) co_return Resolution{{*literal}, kMostTtl};
  auto work = [this, host, port] { return look_up(servers_, patience_, host, port); };
  auto answer = co_await threads_.run(worker, std::move(work));
  if (!answer) co_return pass(answer);
  if (!*answer) co_return pass(*answer, "look up " + host);
  co_return std::move(**answer);
}

}  // namespace headroom::net
