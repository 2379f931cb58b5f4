// headroom/postgres/server.h - one connection to a PostgreSQL server, logged in: made, asked, and told to cancel.
//
// Owns: the stream and what is known of the session behind it. Worker: one at a time; Pool moves it.
// Invariants: (1) a Server in a pool is idle: outside of a transaction, with nothing outstanding and nothing unread; (2) `settings` and
//   `prepared` are exactly what the session has beyond its login, else it is closed.
// Limits: 64 KiB for each message of a login or of an answer to ask(); statements kept: kMostPrepared.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/net/endpoint.h"
#include "headroom/net/offload.h"
#include "headroom/net/resolver.h"
#include "headroom/net/stream.h"
#include "headroom/net/tls.h"
#include "headroom/pgwire/messages.h"
#include "headroom/postgres/login.h"
#include "headroom/postgres/url.h"

namespace headroom::postgres {

// Settings of a session by their names in small letters.
using Settings = std::map<std::string, std::string, std::less<>>;

// The statements that a session has, those used last first.
class Prepared {
 public:
  [[nodiscard]] bool use(std::uint64_t id);  // whether it is there
  void add(std::uint64_t id);
  void remove(std::uint64_t id);
  void clear();
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] std::uint64_t oldest() const { return order_.back(); }

 private:
  std::list<std::uint64_t> order_;
  std::unordered_map<std::uint64_t, std::list<std::uint64_t>::iterator> places_;
};
inline constexpr std::size_t kMostPrepared = 200;

struct Server {
  std::unique_ptr<net::Stream> stream;
  net::Endpoint endpoint;
  std::uint32_t pid = 0;
  std::string key;
  Settings reported;  // ParameterStatus of the login
  Settings settings;  // beyond the login's
  Prepared prepared;
  TimePoint born = Clock::now();
  TimePoint idle_since = born;
  TimePoint retire_at = kNever;
  std::uint64_t epoch = 0;  // of its pool, when it was made
  unsigned cancels = 0;     // cancel requests on their way to it
};

// How to reach a server, shared by all of a pool's connections.
struct Route {
  Target target;
  std::shared_ptr<const net::TlsClient> tls;  // null: never
};
// Errc::invalid: its certificate authority cannot be read.
[[nodiscard]] Result<Route> make_route(const Target& target, std::size_t workers);

struct Means {
  net::Resolver& resolver;
  net::Offload& offload;  // derives keys
};

// Of a start-up packet.
using Parameters = std::vector<std::pair<std::string, std::string>>;

// Connects and logs in by the deadline. Errc::unavailable, timeout; unauthorized; invalid, with the server's own words (`refusal`).
[[nodiscard]] net::Task<Result<std::unique_ptr<Server>>> log_in(
    net::TaskGroup& group, const Means& means, const Route& route, Credentials who,
    std::string database, TimePoint deadline, pgwire::Report* refusal, Parameters further = {});

using Rows = std::vector<std::vector<std::optional<std::string>>>;
// Runs a query that Headroom asks for itself, on a server that is idle. After an error but Errc::invalid (the server's refusal) the server is to
// be closed.
// `reported`: takes the ParameterStatus messages that come meanwhile.
[[nodiscard]] net::Task<Result<Rows>> ask(Server& server, std::string query, TimePoint deadline,
                                          Settings* reported = nullptr);

// The same with messages of its own making, which end in one ReadyForQuery; and for Rows the DataRows of all of them.
[[nodiscard]] net::Task<Result<Rows>> exchange(Server& server, std::string messages,
                                               TimePoint deadline, Settings* reported = nullptr);

// Asks the server to cancel what a session runs; returns when the server has heard it.
[[nodiscard]] net::Task<Result<>> cancel(net::TaskGroup& group, net::Endpoint endpoint, Route route,
                                         std::uint32_t pid, std::string key, TimePoint deadline);

}  // namespace headroom::postgres
