#include "headroom/server/admin_door.h"

#include <netdb.h>
#include <unistd.h>

#include <latch>
#include <thread>

#include "headroom/base/assert.h"

namespace headroom::server {
namespace {

constexpr Duration kLastAnswers = 500ms;

std::shared_ptr<const http::ServerOptions> door_options() {
  auto options = std::make_shared<http::ServerOptions>();
  options->body_limit = 1U << 20U;
  options->keep_alive_timeout = 60s;
  options->write_timeout = 30s;
  options->body.idle = 10s;
  return options;
}

}  // namespace

Result<net::Endpoint> endpoint_of(const config::Address& address) {
  if (address.is_unix()) return net::Endpoint::unix_path(address.unix_path);
  if (address.host.empty()) return net::Endpoint::any(address.port);
  if (auto literal = net::Endpoint::literal(address.host, address.port)) return literal;
  const addrinfo wanted{.ai_flags = AI_PASSIVE,
                        .ai_family = AF_UNSPEC,
                        .ai_socktype = SOCK_STREAM,
                        .ai_protocol = 0,
                        .ai_addrlen = 0,
                        .ai_addr = nullptr,
                        .ai_canonname = nullptr,
                        .ai_next = nullptr};
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = ::getaddrinfo(address.host.c_str(), port.c_str(), &wanted, &found);
  if (failed != 0)
    return fail(Errc::invalid, fmt::format("{}: {}", address.host, ::gai_strerror(failed)));
  const net::Endpoint endpoint(found->ai_addr, found->ai_addrlen);
  ::freeaddrinfo(found);
  return endpoint;
}

// What lives on the worker.
class AdminDoor::Served {
 public:
  Served(net::Worker& worker, net::Listener& listener, http::Service& service)
      : accepting(worker),
        connections(worker,
                    2 * kConnections),  // those that were ended to make room have not gone yet
        server(connections, service, door_options()) {
    auto accept = [this, &listener] {
      return listener.accept(accepting, [this](net::Listener::Accepted accepted) {
        if (server.open() >= kConnections) server.end_oldest_waiting();
        server.take(accepted);
      });
    };
    HR_ASSERT(accepting.spawn(std::move(accept)));
  }

  net::TaskGroup accepting;
  net::TaskGroup connections;
  http::Server server;
};

namespace {

// Ends a group of the worker from main's thread.
void end_group(net::Worker& worker, net::TaskGroup& group) {
  std::latch done(1);
  worker.post([&] {
    group.stop();
    auto join = [&group]() -> net::Task<> { co_await group.join(); };
    net::asio::co_spawn(worker.executor(), std::move(join),
                        [&done](const std::exception_ptr&) { done.count_down(); });
  });
  done.wait();
}

}  // namespace

Result<std::unique_ptr<AdminDoor>> AdminDoor::open(net::Worker& worker, http::Service& service,
                                                   const config::Address& address,
                                                   std::vector<int> inherited) {
  auto endpoint = endpoint_of(address);
  if (!endpoint) return pass(endpoint, "admin.listen");
  auto listener = net::Listener::open(*endpoint, 1, std::move(inherited));
  if (!listener) return pass(listener, "admin");
  std::unique_ptr<AdminDoor> door(new AdminDoor(worker, std::move(*listener)));
  worker.run_and_wait(
      [&] { door->served_ = std::make_unique<Served>(worker, door->listener_, service); });
  return door;
}

AdminDoor::AdminDoor(net::Worker& worker, net::Listener listener)
    : worker_(worker), listener_(std::move(listener)) {}

AdminDoor::~AdminDoor() { stop(); }

edge::Door AdminDoor::door() const {
  const auto sockets = listener_.sockets();
  return {"admin", listener_.endpoint().to_string(), {sockets.begin(), sockets.end()}};
}

void AdminDoor::stop_accepting(edge::Doors doors) {
  if (!served_) return;
  end_group(worker_, served_->accepting);
  if (doors == edge::Doors::handed_over) listener_.keep_path();
  listener_.close();
}

void AdminDoor::stop() {
  if (!served_) return;
  end_group(worker_, served_->accepting);
  std::size_t open = 0;
  worker_.run_and_wait([&] { served_->server.drain(); });
  for (const TimePoint due = Clock::now() + kLastAnswers;;) {
    worker_.run_and_wait([&] { open = served_->server.open(); });
    if (open == 0 || Clock::now() >= due) break;
    std::this_thread::sleep_for(10ms);
  }
  end_group(worker_, served_->connections);
  worker_.run_and_wait([&] { served_.reset(); });
  listener_.close();
}

}  // namespace headroom::server
