#include "headroom/sql/session.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "headroom/auth/crypto.h"
#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sql/admin.h"
#include "headroom/sql/cached_reads.h"
#include "headroom/sql/values.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kMostOutstanding = 10'000;
constexpr std::size_t kMostUnread = 64U << 10U;  // answers of ours that a client has not taken
constexpr std::size_t kMostAhead =
    512U << 10U;  // of messages that wait; more than a statement that is looked at as a whole
constexpr std::size_t kFirstRead = 4U << 10U;
constexpr std::size_t kBulkRead = 64U << 10U;
constexpr unsigned kTurns = 16;  // then others have theirs
constexpr std::size_t kRested = 512;
constexpr Duration kGoodbye = 2s;   // for a last word
constexpr unsigned kTries = 5;      // of our own work, where a client's time-out strikes
constexpr Duration kOwnWork = 10s;  // for what Headroom asks a server for itself

// Which settings of its own a session has now (transaction_read_only and its kind are a transaction's, though listed where one has set them); those of `named` are asked for one by one, as pg_settings does not list them.
std::string question(const std::vector<std::string>& named) {
  std::string query =
      "SELECT name, setting FROM pg_catalog.pg_settings WHERE source = 'session' AND name NOT IN "
      "('transaction_read_only', 'transaction_isolation', 'transaction_deferrable')";
  for (const std::string& name : named)
    query +=
        fmt::format(" UNION ALL SELECT {0}, pg_catalog.current_setting({0}, true)", literal(name));
  return query;
}

bool differs(const postgres::Settings& has, const postgres::Settings& wants,
             const std::string& name) {
  const auto before = has.find(name);
  const auto now = wants.find(name);
  if (before == has.end() || now == wants.end())
    return (before == has.end()) != (now == wants.end());
  return before->second != now->second;
}

// By which the server reads the texts behind it: values beyond ASCII are the client's, in its encoding.
std::string change_of_encoding(const postgres::Settings& has, const postgres::Settings& wants) {
  if (!differs(has, wants, "client_encoding")) return {};
  const auto now = wants.find("client_encoding");
  if (now == wants.end()) return "RESET client_encoding;";
  return fmt::format("SELECT pg_catalog.set_config('client_encoding', {}, false);",
                     literal(now->second));
}

// The rest of the way from `has` to `wants`. Under a role much may not be set: it is left first and taken last. A date style may name a part of what
// it is, and keeps the rest of the one before.
std::string changes(const postgres::Settings& has, const postgres::Settings& wants) {
  std::string query = has.contains("role") ? "RESET role;" : "";
  for (const auto& [name, value] : has) {
    if (name == "role" || name == "client_encoding") continue;
    if (!wants.contains(name) || (name == "datestyle" && differs(has, wants, name)))
      query += fmt::format("RESET {};", identifier(name));
  }
  std::string sets;
  const auto set = [&sets](const std::string& name, const std::string& value) {
    sets += fmt::format("{}pg_catalog.set_config({}, {}, false)", sets.empty() ? "SELECT " : ", ",
                        literal(name), literal(value));
  };
  for (const auto& [name, value] : wants) {
    if (name != "role" && name != "client_encoding" && differs(has, wants, name)) set(name, value);
  }
  if (const auto role = wants.find("role"); role != wants.end()) set("role", role->second);
  return query + sets;
}

// For a query of our own: a client's statement_timeout is not meant for it.
constexpr std::string_view kNoTimeout = "SET LOCAL statement_timeout = 0; ";
// What has been large once is not kept by who idles.
void lighten(std::string& text) {
  if (text.empty() && text.capacity() > kRested) text = std::string();
}

void consume(std::string& text, net::Buffer& buffer, std::size_t& ready, std::size_t bytes) {
  const std::size_t of_text = std::min(bytes, text.size());
  text.erase(0, of_text);
  buffer.consume(bytes - of_text);
  ready -= bytes - of_text;
}

}  // namespace

Session::Session(Room& room, Part& part, net::Listener::Accepted accepted)
    : room_(room),
      part_(part),
      peer_(accepted.peer),
      event_(part.group),
      client_(part.group, accepted.fd, accepted.peer.family()),
      in_(part.group.worker().buffers()),
      back_(part.group.worker().buffers()) {
  room_.clients.fetch_add(1);
  part_.clients.add();
}

Session::~Session() {
  if (account_ != nullptr) room_.leave(*account_);
  room_.clients.fetch_sub(1);
}

void Session::begin_caching() {
  if (!room_.results) return;
  if (ChangeStream* stream = room_.results->stream(account_->database()))
    cached_ = std::make_unique<CachedReads>(*this, *room_.results, *stream);
}

net::Task<> Session::run() {
  client_.expire_at(Clock::now() + room_.options().login_timeout);
  const bool greeted = co_await greet();
  client_.expire_at(kNever);
  if (greeted) {
    part_.sessions[pid_] = this;
    if (admin_database_)
      co_await Admin(*this).serve();
    else
      co_await serve();
    part_.sessions.erase(pid_);
  }
  client_.tell(nullptr);
  tell_server(nullptr);
  if (!to_client_.empty()) co_await say_goodbye();
  while (cancels_ > 0) {
    auto woken = co_await event_.wait(kNever);
    if (!woken) co_await worker().yield();  // stopped, and so are they
  }
  if (wrote_ && release_due()) co_await ask_position();
  if (server_) abandon();
  wrote_until(std::nullopt);
  client_.finish_writing();
}

net::Task<> Session::say_goodbye() {
  client_.expire_at(Clock::now() + kGoodbye);
  net::Gather data;
  data.add(to_client_);
  if (back_ready_ == 0) (void)co_await client_.write(data);
}

net::Task<> Session::serve() {
  client_.tell([](void* session) { static_cast<Session*>(session)->stirred(); }, this);
  for (unsigned turns = 0; !ended_;) {
    bool moved = pull_client();
    if (cached_ && cached_->waits() && !ended_) {
      moved = push_client() || moved;
      co_await cached_->wait();
      continue;
    }
    if (wants_server_ && !ended_) {
      if (!acquire_now()) co_await acquire();
      if (client_ended_) break;
      continue;
    }
    moved = push_server() || moved;
    moved = pull_server() || moved;
    // Where it lies in the log is known before the client hears of its commit: whom it tells can then be told, too.
    if (wrote_ && !ended_ && release_due()) {
      co_await release();
      moved = true;
    }
    moved = push_client() || moved;
    if (ended_ || client_ended_) break;
    if (release_due()) {
      if (wrote_ || touched_.any() || pins_ != 0)
        co_await release();
      else
        give_back();
      moved = true;
    }
    if (moved) {
      if (++turns % kTurns == 0) co_await worker().yield();
      continue;
    }
    turns = 0;
    rest();
    if (part_.draining && idle()) {
      fatal("57P01", "the proxy is shutting down");
      break;
    }
    rests_ = cached_ && waits_for_client();
    auto woken = co_await event_.wait(deadline());
    rests_ = false;
    if (woken) continue;
    if (woken.error().code == Errc::cancelled) break;
    deadline_passed();
  }
}

// Something has happened to the client's stream. To resume the task costs as much as a hit: who rests is given that here, in the poller's round.
void Session::stirred() {
  if (client_.may_read() && std::exchange(rests_, false)) {
    const bool moved = pull_client() && push_client();
    rests_ = moved && waits_for_client();
    if (rests_) return rest();
  }
  event_.set();
}

bool Session::waits_for_client() const {
  const bool over = ended_ || client_ended_ || client_closed_ || part_.draining;
  const bool all_done = in_.empty() && to_client_.empty() && back_ready_ == 0;
  return !over && all_done && !server_ && !wants_server_ && !client_.may_read();
}

void Session::rest() {
  if (in_.empty()) in_.release();
  if (back_.empty()) back_.release();
  lighten(to_client_);
  lighten(to_server_);
}

bool Session::idle() const {
  return server_ == nullptr ||
         (outstanding() == 0 && status_ == pgwire::Status::idle && in_left_ == 0 && !unsynced_);
}

// Reads once, when there is room for what comes.
bool Session::pull_client() {
  process_client();
  const bool full = (server_ && (ready_ > 0 || !to_server_.empty())) || client_closed_ ||
                    outstanding() >= kMostOutstanding || to_client_.size() > kMostUnread ||
                    in_.size() > kMostAhead || (cancels_ > 0 && outstanding() == 0);
  if (full || ended_ || wants_server_ || client_ended_ || !client_.may_read()) return false;
  auto read = client_.try_read(in_.space());
  if (!read || (*read && **read == 0)) {
    lose_client();
    return true;
  }
  if (!*read) return false;
  in_.commit(**read);
  process_client();
  return true;
}

bool Session::push_server() {
  if (!server_ || (to_server_.empty() && ready_ == 0) || !server_->stream->may_write())
    return false;
  net::Gather data;
  data.add(to_server_);
  data.add(in_.data().substr(0, ready_));
  const std::size_t before = data.left();
  auto written = server_->stream->try_write(data);
  if (!written) {
    server_lost(written.error());
    return true;
  }
  consume(to_server_, in_, ready_, before - data.left());
  return before != data.left();
}

bool Session::pull_server() {
  if (!server_ || !to_client_.empty() || back_ready_ > 0 || ended_ || !server_->stream->may_read())
    return false;
  const std::span<char> room = back_.space(std::max(read_size_, kFirstRead));
  auto read = server_->stream->try_read(room);
  if (!read) {
    server_lost(read.error());
    return true;
  }
  if (!*read) return false;
  if (**read == 0) {
    server_lost({Errc::unavailable, "the server closed the connection"});
    return true;
  }
  read_size_ = **read == room.size() ? kBulkRead : kFirstRead;
  back_.commit(**read);
  process_server();
  return true;
}

bool Session::push_client() {
  if ((to_client_.empty() && back_ready_ == 0) || !client_.may_write()) return false;
  net::Gather data;
  data.add(to_client_);
  data.add(back_.data().substr(0, back_ready_));
  const std::size_t before = data.left();
  auto written = client_.try_write(data);
  if (!written) {
    lose_client();
    to_client_.clear();
    back_.consume(std::exchange(back_ready_, 0));
    return true;
  }
  consume(to_client_, back_, back_ready_, before - data.left());
  return before != data.left();
}

// Whether it may be another client's (invariant 1), or has something of its own to be asked for first.
bool Session::release_due() const {
  if (!server_ || outstanding() > 0 || settling_ || status_ != pgwire::Status::idle ||
      discarding_ || copying_in_ || cancels_ > 0)
    return false;
  if (back_left_ > 0 || back_drop_left_ > 0 || back_.size() != back_ready_) return false;
  if (in_left_ > 0 || ready_ > 0 || !to_server_.empty() || unsynced_) return false;
  return pins_ == 0 || touched_.sets || touched_.resets_all || wrote_;
}

// On this client's connection, between its transactions. The client's time-out may strike before it is set aside.
net::Task<Result<postgres::Rows>> Session::ask_own(std::string query, Duration patience) {
  own_work_ = true;
  tell_server(nullptr);
  const TimePoint deadline = Clock::now() + patience;
  Result<postgres::Rows> rows = fail(Errc::unavailable, "");
  for (unsigned tried = 0; tried < kTries; ++tried) {
    rows = co_await postgres::ask(*server_, query, deadline);
    if (rows || !rows.error().message.contains("57014")) break;
  }
  tell_server(&event_);
  own_work_ = false;
  co_return rows;
}

// What pg_settings does not list: of this transaction and of earlier ones, which are lost sight of otherwise.
std::vector<std::string> Session::unlisted(const Effects& touched) const {
  std::vector<std::string> names = touched.named;
  for (const postgres::Settings* settings :
       std::initializer_list<const postgres::Settings*>{&server_->settings, &wanted_}) {
    for (const auto& [name, value] : *settings) {
      if (name == "role" || name.contains('.')) names.push_back(name);
    }
  }
  for (std::string& name : names) name = text::lowered(name);
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  return names;
}

net::Task<Result<>> clear_settings(postgres::Server& server, TimePoint deadline) {
  if (server.settings.empty()) co_return Result<>{};
  std::string query = std::string(kNoTimeout) + change_of_encoding(server.settings, {}) +
                      changes(server.settings, {});
  auto done = co_await postgres::ask(server, std::move(query), deadline);
  if (!done) co_return pass(done);
  server.settings.clear();
  co_return Result<>{};
}

net::Task<> Session::release() {
  if (wrote_) co_await ask_position();
  if (!server_) co_return;
  const Effects touched = std::exchange(touched_, {});
  if (touched.sets || touched.resets_all) {  // RESET ALL leaves the role, for one
    std::string query = question(unlisted(touched));
    auto rows = co_await ask_own(query, kOwnWork);
    std::string timeout;  // of the client's own, too short for the question
    if (!rows && rows.error().message.contains("57014")) {
      query.insert(0, kNoTimeout).insert(0, "SHOW statement_timeout; ");
      rows = co_await ask_own(std::move(query), kOwnWork);
      if (rows && !rows->empty() && rows->front().size() == 1)
        timeout = rows->front()[0].value_or("");
    }
    if (!rows) {
      dirty_ = true;
      fatal("08006",
            fmt::format("the session's settings cannot be read: {}", rows.error().message));
      co_return;
    }
    postgres::Settings now;
    for (const auto& row : *rows) {
      if (row.size() == 2 && row[0] && row[1] && !(*row[0] == "role" && *row[1] == "none"))
        now[text::lowered(*row[0])] = *row[1];
    }
    if (!timeout.empty()) now["statement_timeout"] = timeout;
    server_->settings = now;
    wanted_ = std::move(now);
    wanted_.insert(baseline_.begin(), baseline_.end());  // what was reset is as at the start
  }
  reading_ = reading_settings(wanted_);
  if (pins_ == 0) give_back();
}

void Session::give_back() {
  unnamed_.here = false;
  tell_server(nullptr);
  detach();
  if (std::exchange(dirty_, false))
    pool_here().close(worker(), std::move(server_));
  else
    pool_here().give(worker(), std::move(server_));
}

void Session::settle_in(std::unique_ptr<postgres::Server> server) {
  server_ = std::move(server);
  server_since_ = Clock::now();
  unnamed_.here = false;
  tell_server(&event_);
  if (account_->database().mode == Mode::session && pins_ == 0) {
    pins_ |= pin::kSession;
    pinned_since_ = server_since_;
  }
  if (server_->settings != wanted_) {
    // Which strikes here already, if it is short; what comes behind must not be answered by that.
    settling_ = server_->settings.contains("statement_timeout");
    for (const std::string& query :
         {change_of_encoding(server_->settings, wanted_), changes(server_->settings, wanted_)}) {
      if (query.empty()) continue;
      expect(Expected::Kind::query, Expected::Action::swallow);
      pgwire::append_query(to_server(), settling_ ? std::string(kNoTimeout) + query : query);
    }
    server_->settings = wanted_;
  }
  if (!settling_) resume();
}

// The transaction that was begun on a replica.
void Session::resume() {
  if (resume_.empty()) return;
  expect(Expected::Kind::query, Expected::Action::swallow);
  pgwire::append_query(to_server(), std::exchange(resume_, {}));
}

// The settings of whoever had the connection before cannot be changed. Nothing of this client's was sent, so that it may have another one.
void Session::unsettle(const Error& why) {
  settling_ = false;
  wants_replica_ = reads_on_replica();
  expected_.clear();
  first_ = preparing_ = 0;
  tell_server(nullptr);
  (void)to_client();
  back_.clear();
  back_left_ = back_drop_left_ = 0;
  to_server_.clear();
  detach();
  pool_here().close(worker(), std::move(server_));
  wants_server_ = ++unsettled_ < kTries;
  if (!wants_server_) fatal("08006", "the session's settings cannot be restored: " + why.message);
}

// An idle connection of this worker, if there is one.
bool Session::acquire_now() {
  if (!cluster().ready() || suspect_) return false;
  if (wants_replica_) return take_replica_now();
  const std::size_t primary = cluster().primary();
  auto server = account_->pool(primary).take_now(worker());
  if (!server) return false;
  wants_server_ = cancelled_ = false;
  server_at_ = primary;
  settle_in(std::move(server));
  return true;
}

net::Task<> Session::acquire() {
  wants_server_ = false;
  cancelled_ = false;
  if (suspect_ && !co_await is_gone()) {
    const pgwire::Report ended{.sqlstate = "57P01",
                               .message = "the connection was ended by an administrator"};
    co_return unserved({Errc::unavailable, ended.message}, ended);
  }
  if (!cluster().ready()) {
    const bool known = co_await know_primary();
    if (!known) co_return;
  }
  if (std::exchange(wants_replica_, false) && co_await take_replica()) co_return;
  server_at_ = cluster().primary();
  if (auto server = account_->pool(server_at_).take_now(worker())) {
    settle_in(std::move(server));
    co_return;
  }
  waiting_ = true;
  state_since_ = Clock::now();
  pgwire::Report refusal;
  Result<std::unique_ptr<postgres::Server>> server = fail(Errc::unavailable, "");
  for (;;) {
    refusal = {};
    std::function<bool()> wanted = [this] {
      return !cancelled_ && !ended_ && server_at_ == cluster().primary() && !client_gone();
    };
    server =
        co_await account_->pool(server_at_).take(worker(), event_, std::move(wanted), &refusal);
    if (server || server_at_ == cluster().primary() || cancelled_ || ended_ ||
        part_.group.stopped() || client_gone())
      break;
    server_at_ = cluster().primary();  // another one has become it meanwhile
  }
  waiting_ = false;
  note_wait();
  if (server) {
    settle_in(std::move(*server));
  } else if (cancelled_) {
    unserved({Errc::cancelled, "canceling statement due to user request"}, {.sqlstate = "57014"});
  } else if (ended_ || client_gone() || server.error().code == Errc::cancelled) {
    client_ended_ = true;
  } else {
    unserved(server.error(), refusal);
  }
}

// After a start: which server is the primary; or the one that was runs on, and its successor is not among the servers. False: the client has its error.
net::Task<bool> Session::know_primary() {
  const TimePoint give_up = Clock::now() + room_.options().pool_wait;
  waiting_ = true;
  state_since_ = Clock::now();
  while (!cluster().ready() && !cancelled_ && !ended_ && !client_gone()) {
    auto woken = co_await event_.wait(give_up);
    if (!woken) break;
  }
  waiting_ = false;
  if (cluster().ready()) co_return true;
  wants_replica_ = false;
  if (cancelled_)
    unserved({Errc::cancelled, "canceling statement due to user request"}, {.sqlstate = "57014"});
  else if (ended_ || client_gone() || part_.group.stopped())
    client_ended_ = true;
  else
    unserved({Errc::unavailable, "no server is known to be the primary (SHOW REPLICAS)"}, {});
  co_return false;
}

// Since state_since_, for a server connection.
void Session::note_wait() {
  const Duration time = elapsed(state_since_, Clock::now());
  account_->wait_time.at(worker().index()).record(time);
  waited_ += time;
  received_ = std::min(received_, state_since_);
}

// The client's stream has ended. With a Terminate behind what it has sent it has not given that up: it is done first, as a server would.
void Session::lose_client() {
  while (!client_closed_ && in_.size() <= kMostAhead) {
    const auto read = client_.try_read(in_.space());
    if (!read || !*read || **read == 0) break;
    in_.commit(**read);
  }
  client_closed_ = true;
  client_ended_ = !bye_waits();
}

// Whether what has come and was not looked at yet ends in a Terminate.
bool Session::bye_waits() const {
  std::string_view left = in_.data().substr(ready_);
  std::uint64_t skip = in_left_ + drop_left_;
  while (left.size() > skip) {
    left.remove_prefix(skip);
    pgwire::Frame frame;
    if (pgwire::find_frame(left, frame) != pgwire::Found::frame) return false;
    if (frame.type == pgwire::from_client::kTerminate) return left.size() == frame.size;
    skip = frame.size;
  }
  return false;
}

// Whether the client has closed its connection without a goodbye; what it has sent stays unread.
bool Session::client_gone() {
  char byte = 0;
  const ssize_t bytes = ::recv(client_.native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const bool closed =
      bytes == 0 || (bytes < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  return closed && !bye_waits();
}

// The query at hand gets an error instead of a server; the client may go on.
void Session::unserved(const Error& error, const pgwire::Report& refusal) {
  if (!resume_.empty()) return fatal("08006", "the transaction cannot go on: " + error.message);
  pgwire::Report report{.sqlstate = "08006", .message = error.message};
  std::string_view reason = "unavailable";
  if (error.code == Errc::timeout || error.code == Errc::overloaded) {
    report.sqlstate = "53300";
    report.hint =
        "The pool's size is sql.pool_size and sql.pool_overflow; how long a client waits is "
        "sql.pool_wait.";
    reason = error.code == Errc::timeout ? "timeout" : "overloaded";
  } else if (!refusal.message.empty()) {
    report = refusal;
    reason = "refused";
  } else if (refusal.sqlstate == "57014") {
    report.sqlstate = refusal.sqlstate;
  } else {
    report.sqlstate = "08001";
    report.message = "cannot connect to the server: " + error.message;
  }
  report.severity = "ERROR";
  part_.failed.at(reason)->add();
  if (cached_) cached_->refused();
  pgwire::append_error(to_client(), report);
  refusing_ = true;
}

void Session::fatal(std::string_view sqlstate, std::string_view message) {
  if (std::exchange(ended_, true) || back_left_ > 0)
    return;  // nothing can be said in the middle of a frame
  pgwire::append_error(
      to_client(),
      {.severity = "FATAL", .sqlstate = std::string(sqlstate), .message = std::string(message)});
}

void Session::end(std::string_view sqlstate, std::string_view why) {
  fatal(sqlstate, why);
  event_.set();
}

TimePoint Session::deadline() const {
  const SqlOptions& o = room_.options();
  TimePoint due = kNever;
  const auto at_most = [&due](TimePoint from, Duration time) {
    if (time > Duration::zero()) due = std::min(due, from + time);
  };
  // An exchange without its Sync has one open, too.
  const bool in_transaction = server_ && (status_ != pgwire::Status::idle || unsynced_);
  if (outstanding() > 0) at_most(query_since_, o.query_timeout);
  if (in_transaction) at_most(server_since_, o.transaction_timeout);
  if (in_transaction && outstanding() == 0) at_most(state_since_, o.idle_in_transaction_timeout);
  if (idle()) at_most(state_since_, o.client_idle_timeout);
  return due;
}

void Session::deadline_passed() {
  if (Clock::now() < deadline()) return;
  const SqlOptions& o = room_.options();
  const TimePoint now = Clock::now();
  const auto over = [now](TimePoint from, Duration time) {
    return time > Duration::zero() && now >= from + time;
  };
  if (idle())
    return fatal("57P05",
                 "terminating connection due to idle-session timeout (sql.client_idle_timeout)");
  if (outstanding() > 0 && over(query_since_, o.query_timeout))
    return fatal("57014", "canceling statement due to sql.query_timeout");
  if (over(server_since_, o.transaction_timeout))
    return fatal("25P04", "terminating connection due to sql.transaction_timeout");
  fatal("25P03", "terminating connection due to sql.idle_in_transaction_timeout");
}

// A cancel request for this client. It goes to the server only while that works for it, and the connection is not given back before it has arrived.
void Session::cancel(std::string_view key) {
  if (!auth::constant_time_equal(key, key_)) return part_.refused.at("cancel")->add();
  if (waiting_) {
    part_.cancels.at("waiting")->add();
    cancelled_ = true;
    return event_.set();
  }
  if (!server_ || outstanding() == 0 || own_work_) return part_.cancels.at("nothing")->add();
  part_.cancels.at("forwarded")->add();
  if (front().action == Expected::Action::pass)
    forward_cancel();
  else
    cancel_later_ = true;  // what Headroom does for itself is not to be cancelled
}

void Session::forward_cancel() {
  cancel_later_ = false;
  auto forward = [this, endpoint = server_->endpoint, route = pool_here().route(),
                  pid = server_->pid, server_key = server_->key]() -> net::Task<> {
    auto done = co_await postgres::cancel(part_.group, endpoint, route, pid, server_key,
                                          Clock::now() + kOwnWork);
    if (!done)
      log::warn("sql", "a cancel request did not reach the server: {}", done.error().message);
    --cancels_;
    event_.set();
  };
  if (part_.group.spawn(std::move(forward))) ++cancels_;
}

ClientStatus Session::status() const {
  const TimePoint now = Clock::now();
  ClientStatus s{
      .pid = pid_,
      .user = user_,
      .database = account_ != nullptr ? account_->database().name : std::string(kAdminDatabase),
      .address = peer_.to_string(),
      .connected = elapsed(connected_, now),
      .in_state = elapsed(state_since_, now),
      .pins = pins_,
      .prepared = statements_.size(),
      .queries = queries_,
      .tls = client_.tls() != nullptr};
  if (const auto name = wanted_.find("application_name"); name != wanted_.end())
    s.application = name->second;
  s.state = waiting_                          ? "waiting"
            : !server_                        ? "idle"
            : outstanding() > 0               ? "active"
            : status_ == pgwire::Status::idle ? "pinned"
                                              : "idle in transaction";
  if (server_) s.server_pid = server_->pid;
  if (pins_ != 0) s.pinned = elapsed(pinned_since_, now);
  return s;
}

}  // namespace headroom::sql
