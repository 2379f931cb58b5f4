#include "headroom/sql/admin.h"

#include <fmt/format.h>

#include <csignal>
#include <mutex>

#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kLongestCommand = 4096;

std::string number(std::uint64_t value) { return std::to_string(value); }
std::string whole_seconds(Duration time) {
  return number(static_cast<std::uint64_t>(seconds(time)));
}
std::string microseconds(Duration time) {
  return number(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time).count()));
}
std::string mode_text(Mode mode) { return config::Value<Mode>::show(mode); }

// "a.b:5432" as address and port, for PgBouncer's columns.
std::pair<std::string, std::string> split_address(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || address.starts_with("unix:")) return {address, "0"};
  return {address.substr(0, colon), address.substr(colon + 1)};
}

}  // namespace

std::vector<ClientStatus> all_clients(Room& room) {
  std::vector<ClientStatus> all;
  std::mutex mutex;
  room.workers.each([&](net::Worker& worker) {
    std::vector<ClientStatus> mine;
    for (const auto& [pid, session] : room.part(worker).sessions) mine.push_back(session->status());
    const std::scoped_lock lock(mutex);
    for (ClientStatus& each : mine) all.push_back(std::move(each));
  });
  return all;
}

net::Task<> Admin::serve() {
  while (!s_.ended_ && !s_.part_.draining) {
    pgwire::Frame frame;
    const pgwire::Found found = pgwire::find_frame(s_.in_.data(), frame);
    if (found == pgwire::Found::bad ||
        (found == pgwire::Found::frame && frame.size > kLongestCommand)) {
      s_.fatal("08P01", "the proxy's own database takes commands of at most 4096 bytes");
      co_return;
    }
    if (found == pgwire::Found::need_more || s_.in_.size() < frame.size) {
      s_.client_.tell(nullptr);
      auto read = co_await s_.client_.read_into(s_.in_, kLongestCommand);
      if (!read || *read == 0) co_return;
      continue;
    }
    std::string body(s_.in_.data().substr(pgwire::kHeader, frame.body()));
    s_.in_.consume(frame.size);
    if (frame.type == pgwire::from_client::kTerminate) co_return;
    if (frame.type == pgwire::from_client::kQuery) {
      body.resize(std::min(body.find('\0'), body.size()));
      co_await answer(std::move(body));
      pgwire::append_ready(s_.to_client_, pgwire::Status::idle);
    } else if (frame.type == pgwire::from_client::kSync) {
      pgwire::append_ready(s_.to_client_, pgwire::Status::idle);
    } else if (frame.type == pgwire::from_client::kParse) {
      error("0A000", "the proxy's own database takes simple queries only");
    }
    auto sent = co_await s_.client_.write(s_.to_client_);
    s_.to_client_.clear();
    if (!sent) co_return;
  }
}

void Admin::error(std::string_view sqlstate, std::string message) {
  pgwire::append_error(s_.to_client_,
                       {.sqlstate = std::string(sqlstate), .message = std::move(message)});
}

void Admin::columns(std::span<const std::string_view> names) {
  std::vector<pgwire::Column> all;
  for (const std::string_view name : names) all.push_back({name});
  pgwire::append_row_description(s_.to_client_, all);
  rows_ = 0;
}

void Admin::row(Cells cells) {
  pgwire::append_row(s_.to_client_, cells);
  ++rows_;
}

net::Task<> Admin::answer(std::string command) {
  while (!command.empty() &&
         (command.back() == ';' || command.back() == ' ' || command.back() == '\n'))
    command.pop_back();
  std::vector<std::string> words;
  for (const std::string_view word : text::split(command, ' ')) {
    if (!word.empty()) words.emplace_back(word);
  }
  if (words.empty()) {
    pgwire::append_empty(s_.to_client_, pgwire::from_server::kEmptyQuery);
    co_return;
  }
  const std::string verb = text::lowered(words[0]);
  const std::string what = words.size() > 1 ? words[1] : "";
  if (verb == "show") {
    auto gather = [this] { return all_clients(s_.room_); };
    auto clients = co_await s_.room_.offload.run(s_.worker(), gather);
    auto gather_lines = [this] { return all_cache_lines(s_.room_); };
    Result<std::vector<CacheLine>> lines;
    if (text::lowered(what) == "cache")
      lines = co_await s_.room_.offload.run(s_.worker(), gather_lines);
    if (!clients || !lines)
      error("53000", clients ? lines.error().message : clients.error().message);
    else
      show(text::lowered(what), *clients, *lines);
  } else {
    change(verb, what);
  }
}

void Admin::show(std::string_view what, const std::vector<ClientStatus>& clients,
                 const std::vector<CacheLine>& lines) {
  rows_ = 0;
  if (what == "pools")
    show_pools(clients);
  else if (what == "clients")
    show_clients(clients);
  else if (what == "servers")
    show_servers(clients);
  else if (what == "pins")
    show_pins(clients);
  else if (what == "replicas")
    show_replicas();
  else if (what == "stats")
    show_stats();
  else if (what == "databases")
    show_databases();
  else if (what == "config")
    show_config();
  else if (what == "cache")
    show_cache(lines);
  else if (what == "version") {
    columns(std::array<std::string_view, 1>{"version"});
    row({"Headroom, PostgreSQL protocol 3.2"});
  } else {
    return error("42601",
                 "expected SHOW POOLS, CLIENTS, SERVERS, REPLICAS, PINS, STATS, DATABASES, CONFIG, "
                 "CACHE or VERSION");
  }
  pgwire::append_command_complete(s_.to_client_, "SHOW");
}

void Admin::show_pools(const std::vector<ClientStatus>& clients) {
  columns(std::array<std::string_view, 15>{"database", "user", "cl_active", "cl_waiting",
                                           "cl_cancel_req", "sv_active", "sv_idle", "sv_used",
                                           "sv_tested", "sv_login", "maxwait", "maxwait_us",
                                           "pool_mode", "sv_limit", "last_error"});
  for (const Account* account : s_.room_.accounts()) {
    std::uint64_t active = 0;
    std::uint64_t in_use = 0;
    for (const ClientStatus& client : clients) {
      if (client.database != account->database().name || client.user != account->user()) continue;
      active += client.state != "waiting" ? 1 : 0;
      in_use += client.server_pid != 0 ? 1 : 0;
    }
    const postgres::PoolStatus pool = account->pool().status();
    const std::uint64_t others = pool.open - std::min(pool.open, pool.idle + in_use);
    const auto wait =
        std::chrono::duration_cast<std::chrono::microseconds>(pool.longest_wait).count();
    row({account->database().name, account->user(), number(active), number(pool.waiting), "0",
         number(in_use), number(pool.idle), "0", "0", number(others),
         number(static_cast<std::uint64_t>(wait / 1'000'000)),
         number(static_cast<std::uint64_t>(wait % 1'000'000)), mode_text(account->database().mode),
         number(pool.limit), pool.last_error});
  }
}

void Admin::show_clients(const std::vector<ClientStatus>& clients) {
  columns(std::array<std::string_view, 16>{
      "type", "user", "database", "state", "addr", "port", "connect_s", "state_s", "wait",
      "close_needed", "ptr", "link", "application_name", "prepared_statements", "queries", "tls"});
  for (const ClientStatus& client : clients) {
    const auto [address, port] = split_address(client.address);
    row({"C", client.user, client.database, client.state, address, port,
         whole_seconds(client.connected), whole_seconds(client.in_state),
         client.state == "waiting" ? whole_seconds(client.in_state) : "0", "0", number(client.pid),
         client.server_pid == 0 ? "" : number(client.server_pid), client.application,
         number(client.prepared), number(client.queries), client.tls ? "yes" : ""});
  }
}

void Admin::show_pins(const std::vector<ClientStatus>& clients) {
  columns(std::array<std::string_view, 6>{"user", "database", "ptr", "server_pid", "cause",
                                          "pinned_s"});
  for (const ClientStatus& client : clients) {
    if (client.pins != 0)
      row({client.user, client.database, number(client.pid), number(client.server_pid),
           describe_pins(client.pins), whole_seconds(client.pinned)});
  }
}

// All servers of databases that have replicas, the primary among them.
void Admin::show_replicas() {
  columns(std::array<std::string_view, 13>{"database", "host", "port", "role", "primary", "usable",
                                           "lag_ms", "lag_bytes", "lsn", "timeline", "busy",
                                           "reads", "last_error"});
  for (const auto& [name, database] : s_.room_.databases()) {
    if (database.cluster->alone()) continue;
    for (const ServerStatus& server : database.cluster->status()) {
      const auto [address, port] = split_address(server.address);
      row({name, address, port, std::string(server.fenced ? "fenced" : name_of(server.role)),
           server.is_primary ? "yes" : "no", server.usable ? "yes" : "no",
           fmt::format("{:.1f}", milliseconds(server.lag)), number(server.lag_bytes),
           fmt::format("{:X}/{:X}", server.lsn >> 32U, server.lsn & 0xffffffffU),
           number(server.timeline), number(server.busy), number(server.reads), server.error});
    }
  }
}

// Those that clients hold; idle ones are a number of SHOW POOLS.
void Admin::show_servers(const std::vector<ClientStatus>& clients) {
  columns(std::array<std::string_view, 7>{"type", "user", "database", "state", "remote_pid", "link",
                                          "state_s"});
  for (const ClientStatus& client : clients) {
    if (client.server_pid != 0)
      row({"S", client.user, client.database, client.state, number(client.server_pid),
           number(client.pid), whole_seconds(client.in_state)});
  }
}

void Admin::show_stats() {
  columns(std::array<std::string_view, 12>{"database", "user", "total_xact_count",
                                           "total_query_count", "total_errors", "total_wait_time",
                                           "total_waits", "total_wait_timeouts", "total_connects",
                                           "avg_query_time", "p50_query_time", "p99_query_time"});
  for (Account* account : s_.room_.accounts()) {
    const postgres::PoolStatus pool = account->pool().status();
    const auto times = account->query_time.values();
    row({account->database().name, account->user(), number(account->transactions.total()),
         number(account->queries.total()), number(account->errors.total()),
         microseconds(pool.waited), number(pool.waits), number(pool.timeouts),
         number(pool.connects), microseconds(times.mean()), microseconds(times.quantile(0.5)),
         microseconds(times.quantile(0.99))});
  }
}

void Admin::show_databases() {
  columns(std::array<std::string_view, 10>{"name", "host", "port", "database", "force_user",
                                           "pool_size", "min_pool_size", "reserve_pool",
                                           "pool_mode", "paused"});
  const SqlOptions& o = s_.room_.options();
  for (const auto& [name, database] : s_.room_.databases()) {
    bool paused = false;
    for (const Account* account : s_.room_.accounts())
      paused = paused || (&account->database() == &database && account->pool().status().paused);
    const postgres::Target& to = database.route.target;
    row({name, to.host, number(to.port), to.database, "", number(o.pool_size), number(o.pool_min),
         number(o.pool_overflow), mode_text(database.mode), paused ? "1" : "0"});
  }
}

void Admin::show_config() {
  columns(std::array<std::string_view, 4>{"key", "value", "default", "changeable"});
  for (const config::Row& each : sql_section().table().rows) {
    if (each.kind != config::Row::Kind::value) continue;
    std::string value;
    json::Writer out(value);
    if (each.secret)
      out.value("***");
    else
      each.write(&s_.room_.options(), out, config::Passwords::hidden);
    row({each.name, value, each.standard, each.reload == config::Reload::live ? "yes" : "no"});
  }
}

// The streams of changes, then the queries: why the last one that was not answered from the cache was not.
void Admin::show_cache(const std::vector<CacheLine>& lines) {
  columns(std::array<std::string_view, 9>{"database", "kind", "what", "state", "hits", "misses",
                                          "stored", "refused", "passed_by"});
  if (!s_.room_.results) {
    row({"", "stream", "",
         "off: sql.cache.auto is false and there are no rules, or there is no cache "
         "(cache.enabled)",
         "0", "0", "0", "0", "0"});
    return;
  }
  for (const auto& [database, stream] : s_.room_.results->streams()) {
    const StreamReport now = stream->report();
    const std::string what = fmt::format(
        "{} tables; {} commits, {} flushes, catalogue read {} times; {:.0f} ms behind at most",
        now.tables, now.commits, now.flushes, now.catalogues, milliseconds(now.behind));
    row({database, "stream", what, now.state, "", "", "", "", ""});
  }
  for (const CacheLine& each : lines)
    row({each.database, "query", each.query, state_of(each), number(each.hits), number(each.misses),
         number(each.stored), number(each.refused), number(each.passed_by)});
}

bool Admin::kill(std::uint32_t pid) {
  const std::size_t index = pid % metrics::kMaxWorkers;
  if (index >= s_.room_.parts_.size()) return false;
  Room& room = s_.room_;
  room.workers[index].post([&room, index, pid] {
    auto& sessions = room.parts_[index]->sessions;
    const auto found = sessions.find(pid);
    if (found != sessions.end())
      found->second->end("57P01", "terminating connection due to administrator command");
  });
  return true;
}

void Admin::change(std::string_view verb, std::string_view name) {
  if (verb != "pause" && verb != "resume" && verb != "reconnect" && verb != "kill" &&
      verb != "reload")
    return error("42601", "expected SHOW, PAUSE, RESUME, RECONNECT, RELOAD or KILL");
  if (!s_.room_.is_admin(s_.user_))
    return error("42501", fmt::format("user \"{}\" may only look (sql.admins)", s_.user_));
  if (verb == "reload") {
    (void)::kill(::getpid(), SIGHUP);  // the process' own way to read its settings again
  } else if (verb == "kill") {
    const auto pid = text::to_u64(name);
    if (!pid || !kill(static_cast<std::uint32_t>(*pid)))
      return error("22023", "expected KILL and the ptr of a client (SHOW CLIENTS)");
  } else {
    if (!name.empty() && s_.room_.database(name) == nullptr)
      return error("3D000", fmt::format("no such database: {}", name));
    for (Account* account : s_.room_.accounts()) {
      if (!name.empty() && account->database().name != name) continue;
      for (std::size_t i = 0; i < account->pools(); ++i) {
        if (verb == "pause")
          account->pool(i).pause();
        else if (verb == "resume")
          account->pool(i).resume();
        else
          account->pool(i).reconnect();
      }
    }
  }
  log::info("sql", "{} {} by {}", verb, name, s_.user_);
  std::string tag(verb);
  for (char& c : tag) c = static_cast<char>(c - 'a' + 'A');
  pgwire::append_command_complete(s_.to_client_, tag);
}

}  // namespace headroom::sql
