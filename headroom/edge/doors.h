// headroom/edge/doors.h - a door of the edge: the sockets it listens at, and on each worker the task that lets clients in.
//
// Owns: its listener and acceptors. Worker: opened, served and closed from main's thread (or any that is no worker's); clients are admitted
//   on the worker they came to.
// Invariants: closing a door waits for its acceptors; sockets handed over keep their queue and their path.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/config/values.h"
#include "headroom/edge/options.h"
#include "headroom/net/listener.h"
#include "headroom/net/worker.h"

namespace headroom::edge {

// A listening socket set, for a take-over: the section's name with what it listens on.
struct Door {
  std::string name;  // "edge", "edge.tls"
  std::string address;
  std::vector<int> sockets;
};

// Whether another process goes on listening at the doors (a Unix socket's path is then its own).
enum class Doors : std::uint8_t { closed, handed_over };

class OpenDoor {
 public:
  // Takes the sockets of that name out of `inherited`. Errc::invalid, and those of net::Listener::open.
  [[nodiscard]] static Result<std::unique_ptr<OpenDoor>> open(std::string_view name,
                                                              const config::Address& address,
                                                              std::size_t workers,
                                                              std::vector<Door>& inherited);

  using Admit = std::function<void(net::Worker& worker, net::Listener::Accepted accepted)>;
  // From now on clients are let in, each on the worker it came to.
  void serve(net::Workers& workers, const Admit& admit);
  void close(Doors what);

  [[nodiscard]] const std::string& name() const { return name_; }
  // As the settings have it.
  [[nodiscard]] const config::Address& address() const { return address_; }
  [[nodiscard]] Door shown() const;

 private:
  OpenDoor(std::string_view name, config::Address address, net::Listener listener)
      : name_(name), address_(std::move(address)), listener_(std::move(listener)) {}

  std::string name_;
  config::Address address_;
  net::Listener listener_;
  std::vector<std::unique_ptr<net::TaskGroup>> acceptors_;
};

// Whether the addresses of `options` are some. Errc::invalid.
[[nodiscard]] Result<> check_doors(const EdgeOptions& options);

}  // namespace headroom::edge
