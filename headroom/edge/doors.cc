#include "headroom/edge/doors.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"

namespace headroom::edge {
namespace {

Result<net::Endpoint> endpoint_of(const config::Address& address) {
  if (address.is_unix()) return net::Endpoint::unix_path(address.unix_path);
  if (address.host.empty()) return net::Endpoint::any(address.port);
  return net::Endpoint::literal(address.host, address.port);
}

}  // namespace

Result<std::unique_ptr<OpenDoor>> OpenDoor::open(std::string_view name,
                                                 const config::Address& address,
                                                 std::size_t workers,
                                                 std::vector<Door>& inherited) {
  auto endpoint = endpoint_of(address);
  if (!endpoint) return pass(endpoint, std::string(name) + ".listen");
  const auto from = std::ranges::find(inherited, name, &Door::name);
  std::vector<int> sockets =
      from == inherited.end() ? std::vector<int>{} : std::exchange(from->sockets, {});
  auto listener = net::Listener::open(*endpoint, workers, std::move(sockets));
  if (!listener) return pass(listener, std::string(name));
  return std::unique_ptr<OpenDoor>(new OpenDoor(name, address, std::move(*listener)));
}

void OpenDoor::serve(net::Workers& workers, const Admit& admit) {
  for (const auto& worker : workers)
    acceptors_.push_back(std::make_unique<net::TaskGroup>(*worker));
  workers.each([&](net::Worker& worker) {
    net::TaskGroup& acceptors = *acceptors_[worker.index()];
    auto take = [admit, &worker](net::Listener::Accepted accepted) { admit(worker, accepted); };
    HR_ASSERT(
        acceptors.spawn([this, &acceptors, take] { return listener_.accept(acceptors, take); }));
  });
  log::announce("headroom: " + name_ + " listening on " + listener_.endpoint().to_string());
}

void OpenDoor::close(Doors what) {
  for (auto& acceptor : acceptors_) acceptor->stop_and_join();  // their tasks use the listener
  if (what == Doors::handed_over) listener_.keep_path();
}

Door OpenDoor::shown() const {
  const auto sockets = listener_.sockets();
  return {name_, listener_.endpoint().to_string(), {sockets.begin(), sockets.end()}};
}

Result<> check_doors(const EdgeOptions& options) {
  if (auto at = endpoint_of(options.listen); !at) return pass(at, "edge.listen");
  if (auto at = endpoint_of(options.tls.listen); !at) return pass(at, "edge.tls.listen");
  return {};
}

}  // namespace headroom::edge
