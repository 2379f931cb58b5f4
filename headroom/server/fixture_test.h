// headroom/server/fixture_test.h - an Api with made-up rooms behind it, asked over a real connection; for this room's tests.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "headroom/config/config.h"
#include "headroom/server/admin.h"
#include "headroom/server/admin_door.h"
#include "headroom/server/api.h"
#include "headroom/server/cache_api.h"
#include "headroom/server/cache_entries.h"
#include "headroom/server/seeds.h"
#include "headroom/server/settings.h"
#include "headroom/server/sql_api.h"

namespace headroom::server::testing_rooms {

inline edge::Quantiles quantiles(double mean) {
  return {mean, mean / 2, mean * 2, mean * 3, mean * 4};
}

// What the made-up rooms say.
struct Rooms {
  net::Workers workers{1};
  metrics::Registry registry{1};
  net::Offload reading{"reading", 1};
  net::Offload control{"control", 1};
  monitor::Vitals vitals{workers};
  monitor::Rates rates;
  edge::Summary summary{
      .requests = 200, .errors = 5, .connections = 7, .in_flight = 3, .total = quantiles(12.5)};
  std::string drained;
  Sources sources{.vitals = vitals,
                  .registry = registry,
                  .summary = [this] { return summary; },
                  .routes =
                      [] {
                        return std::vector<edge::RouteStatus>{{.name = "default",
                                                               .requests = 200,
                                                               .by_class = {1, 0, 190, 0, 5, 4},
                                                               .bytes_in = 10,
                                                               .bytes_out = 20,
                                                               .in_flight = 3,
                                                               .queue = {},
                                                               .connect = {},
                                                               .first_byte = quantiles(10),
                                                               .total = quantiles(12.5)}};
                      },
                  .upstreams = [] { return std::vector<edge::GroupStatus>{}; },
                  .set_draining = [this](std::string_view group, std::string_view server,
                                         bool draining) -> Result<> {
                    if (group != "app") return fail(Errc::not_found, "no such group");
                    drained = fmt::format("{} {} {}", group, server, draining);
                    return {};
                  },
                  .rates = rates,
                  .settings =
                      [] {
                        return *load_settings(
                            {.file = "",
                             .flags = {{.path = "admin.jwt.secret", .value = std::string(40, 's')},
                                       {.path = "admin.jwt.roles", .value = "a=admin"}}});
                      }};

  Rooms() { vitals.enter(monitor::Stage::serving); }
};

// The rooms behind a listening socket, with one token for each role.
class Served {
 public:
  Served() {
    add_admin_endpoints(api, rooms.sources);
    add_seed_endpoints(api, rooms.sources);
    add_cache_endpoints(api, rooms.sources);
    add_sql_endpoints(api, rooms.sources);
    add_cache_entries(api, rooms.sources);
    rooms.workers.start();
    door = std::move(
        *AdminDoor::open(rooms.workers[0], api.on_admin(), {.host = "127.0.0.1", .port = 0}, {}));
  }
  ~Served() {
    door.reset();
    rooms.workers.stop_and_join();
  }

  void give_tokens() {
    std::vector<auth::TokenEntry> entries;
    for (const auto& [name, role] :
         {std::pair("viewer", auth::Role::viewer), std::pair("operator", auth::Role::operator_)}) {
      const std::string plain = auth::make_token();
      tokens[name] = plain;
      entries.push_back(
          {.name = name, .role = role, .digest = *auth::digest_of_token(plain), .expires = {}});
    }
    api.give_access(std::make_shared<auth::Access>(
        std::make_shared<auth::TokenTable>(std::move(entries)), nullptr, nullptr));
    rooms.workers[0].run_and_wait([] {});
  }

  // The whole answer to `head` (lines without the empty one) and `body`, on a connection of its own.
  std::string ask(const std::string& head, const std::string& body = "") {
    const auto at = net::Endpoint::local_of(door->door().sockets[0]);
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(fd, at.data(), at.size()) != 0) return "no connection";
    const std::string text = head + "Host: 127.0.0.1\r\nConnection: close\r\n\r\n" + body;
    (void)::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    std::string answer;
    char piece[4096];
    for (ssize_t n = 0; (n = ::recv(fd, piece, sizeof piece, 0)) > 0;)
      answer.append(piece, static_cast<std::size_t>(n));
    ::close(fd);
    return answer;
  }
  std::string get(const std::string& path, const std::string& role = "") {
    return ask("GET " + path + " HTTP/1.1\r\n" + bearer(role));
  }
  std::string post(const std::string& path, const std::string& role, const std::string& body = "") {
    std::string head = "POST " + path + " HTTP/1.1\r\n" + bearer(role);
    if (!body.empty())
      head += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
    return ask(head, body);
  }
  std::string bearer(const std::string& role) {
    return role.empty() ? "" : "Authorization: Bearer " + tokens[role] + "\r\n";
  }

  Rooms rooms;
  Api api{rooms.workers, rooms.reading, rooms.control, rooms.registry};
  std::unique_ptr<AdminDoor> door;
  std::map<std::string, std::string> tokens;
};

}  // namespace headroom::server::testing_rooms
