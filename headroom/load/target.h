// headroom/load/target.h - where a run connects: a loopback address or a Unix socket, never
// anything else.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::load {

struct Target {
  sockaddr_storage address{};
  socklen_t address_size = 0;
  std::string host;  // as the Host field says it
  std::string path;  // with its query

  [[nodiscard]] int family() const { return address.ss_family; }
};

// "http://127.0.0.1:8080/path?query". Errc::unauthorized when the host is not loopback; no name is
// looked up.
[[nodiscard]] Result<Target> parse_target(std::string_view url, std::string_view unix_path);

}  // namespace headroom::load
