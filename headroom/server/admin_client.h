// headroom/server/admin_client.h - asks the admin door of a running server; for commands (headroom top, headroom health).
//
// Owns: a worker of its own. Worker and threads: a command's; get() blocks.
// Limits: 5 s a question; answers of 16 MiB.
#pragma once

#include <string>

#include "headroom/net/endpoint.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

namespace headroom::server {

struct AdminAnswer {
  unsigned status = 0;
  std::string body;
};

class AdminClient {
 public:
  // An empty token asks without one.
  AdminClient(const net::Endpoint& door, std::string token);
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;
  ~AdminClient();

  // Errc::unavailable, timeout, protocol, each with the door's address.
  [[nodiscard]] Result<AdminAnswer> get(std::string path);

 private:
  [[nodiscard]] net::Task<Result<AdminAnswer>> ask(std::string path);

  const net::Endpoint door_;
  const std::string token_;
  net::Workers workers_;
  net::TaskGroup group_;
};

// Where the settings say that the admin door is; a door on all addresses is asked on loopback.
[[nodiscard]] net::Endpoint door_to_ask(const net::Endpoint& listen);

}  // namespace headroom::server
