// A client's first messages: TLS, cancel requests, the start-up packet, the login, and what it is told about the server.
#include <fmt/format.h>
#include <openssl/ssl.h>

#include "headroom/auth/crypto.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sql/session.h"
#include "headroom/sql/values.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kKey30 = 4;
constexpr std::size_t kKey32 = 32;
constexpr std::size_t kMostSettings = 64;

// "-c name=value --name=value", with backslashes before spaces in values.
Result<> take_options(std::string_view options, postgres::Settings& settings) {
  std::vector<std::string> words{""};
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (options[i] == '\\' && i + 1 < options.size())
      words.back() += options[++i];
    else if (options[i] != ' ')
      words.back() += options[i];
    else if (!words.back().empty())
      words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string word = words[i];
    if (word == "-c" && i + 1 < words.size())
      word = words[++i];
    else if (word.starts_with("--"))
      word.erase(0, 2);
    else if (word.starts_with("-c"))
      word.erase(0, 2);
    else
      return fail(Errc::invalid,
                  fmt::format("invalid command-line argument for server process: {}", word));
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos)
      return fail(Errc::invalid, fmt::format("option {} has no value", word));
    std::string name = text::lowered(word.substr(0, equals));
    for (char& c : name) c = c == '-' ? '_' : c;
    settings[std::move(name)] = word.substr(equals + 1);
  }
  return {};
}

bool is_plain(std::string_view text) {
  return text.size() < 64 &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -_./:@()") ==
             std::string_view::npos;
}

}  // namespace

net::Task<bool> Session::refuse(std::string_view reason, pgwire::Report report) {
  part_.refused.at(reason)->add();
  report.severity = "FATAL";
  pgwire::append_error(to_client_, report);
  co_return false;
}

net::Task<Result<>> Session::secure(bool at_once) {
  const std::string received(in_.data());
  in_.clear();
  auto done = co_await client_.accept_tls(room_.tls->context(worker().index()), received);
  if (!done) co_return done;
  if (!at_once) co_return Result<>{};
  // Else a protocol of another port could be made to look like ours (ALPACA).
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client_.tls(), &name, &size);
  if (std::string_view(reinterpret_cast<const char*>(name), size) != "postgresql")
    co_return fail(Errc::protocol, "a client that begins with TLS must ask for postgresql by ALPN");
  co_return Result<>{};
}

// The first packet that is no request for encryption.
net::Task<Result<pgwire::Startup>> Session::read_startup() {
  bool asked_tls = false;
  bool asked_gss = false;
  for (;;) {
    std::optional<std::uint32_t> size;
    while (in_.size() < (size ? *size : 4U)) {
      auto read = co_await client_.read_into(in_, pgwire::kLongestStartup);
      if (!read) co_return pass(read);
      if (*read == 0) co_return fail(Errc::unavailable, "the client went away");
      if (in_.data()[0] == pgwire::kTlsHandshake && !client_.tls()) break;
      if (in_.size() < 4 || size) continue;
      auto said = pgwire::startup_size(in_.data());
      if (!said) co_return pass(said);
      size = *said;
    }
    if (in_.data()[0] == pgwire::kTlsHandshake && !client_.tls()) {
      if (!room_.tls || asked_tls || asked_gss)
        co_return fail(Errc::protocol, "TLS is not offered here");
      auto secured = co_await secure(true);
      if (!secured) co_return pass(secured);
      asked_tls = true;
      continue;
    }
    auto startup = pgwire::parse_startup(in_.data().substr(0, *size));
    in_.consume(*size);
    if (!startup || startup->kind == pgwire::Startup::Kind::start ||
        startup->kind == pgwire::Startup::Kind::cancel)
      co_return startup;
    const bool tls = startup->kind == pgwire::Startup::Kind::ssl;
    // What was sent in clear behind the request was not sent by who then speaks TLS (CVE-2021-23214, CVE-2021-3935).
    if (!in_.empty())
      co_return fail(Errc::protocol, "received unencrypted data after a request for encryption");
    if (tls ? std::exchange(asked_tls, true) : std::exchange(asked_gss, true))
      co_return fail(Errc::protocol, "encryption is asked for twice");
    const bool yes = tls && room_.tls && !client_.tls();
    const std::string_view answer = yes ? "S" : "N";
    auto sent = co_await client_.write(answer);
    if (!sent) co_return pass(sent);
    if (!yes) continue;
    auto secured = co_await secure(false);
    if (!secured) co_return pass(secured);
  }
}

net::Task<bool> Session::greet() {
  auto startup = co_await read_startup();
  if (!startup) {
    const Errc code = startup.error().code;
    if (code == Errc::invalid)
      co_return co_await refuse("protocol",
                                {.sqlstate = "0A000", .message = startup.error().message});
    if (code == Errc::protocol)
      co_return co_await refuse("protocol",
                                {.sqlstate = "08P01", .message = startup.error().message});
    part_.refused.at("protocol")->add();
    co_return false;
  }
  if (startup->kind == pgwire::Startup::Kind::cancel) {
    room_.cancel(startup->pid, std::move(startup->key));
    co_return false;
  }
  if (room_.clients.load() > room_.options().max_clients)
    co_return co_await refuse(
        "limit", {.sqlstate = "53300",
                  .message = fmt::format("no more than {} clients are let in (sql.max_clients)",
                                         room_.options().max_clients)});
  if (part_.draining)
    co_return co_await refuse("limit",
                              {.sqlstate = "57P03", .message = "the proxy is shutting down"});
  if (room_.options().tls.required && !client_.tls())
    co_return co_await refuse(
        "tls", {.sqlstate = "28000", .message = "TLS is required (sql.tls.required)"});
  co_return co_await log_in(std::move(*startup));
}

Result<> Session::take_parameters(const pgwire::Startup& startup) {
  for (const auto& [name, value] : startup.parameters) {
    if (name == "user" || name == "database") continue;
    if (name == "replication") {
      if (value == "false" || value == "off" || value == "0") continue;
      return fail(Errc::invalid, "replication does not pass through the proxy");
    }
    if (name == "options") {
      if (auto taken = take_options(value, baseline_); !taken) return taken;
    } else {
      baseline_[text::lowered(name)] = value;
    }
  }
  if (baseline_.size() > kMostSettings)
    return fail(Errc::invalid, fmt::format("more than {} start-up settings", kMostSettings));
  for (const std::string_view never : {"role", "session_authorization"})
    baseline_.erase(std::string(never));
  wanted_ = baseline_;
  return {};
}

net::Task<bool> Session::log_in(pgwire::Startup startup) {
  user_ = startup.parameter("user");
  std::string name(startup.parameter("database"));
  if (name.empty()) name = user_;
  if (user_.empty())
    co_return co_await refuse(
        "protocol",
        {.sqlstate = "28000", .message = "no user name is given in the start-up packet"});
  const bool newer = startup.protocol > pgwire::kProtocol32;
  if (newer || !startup.unknown.empty())
    pgwire::append_negotiate(to_client_, newer ? pgwire::kProtocol32 : startup.protocol,
                             startup.unknown);
  const std::size_t key_size = startup.protocol >= pgwire::kProtocol32 ? kKey32 : kKey30;

  const Database* database = room_.database(name);
  admin_database_ = name == kAdminDatabase;
  Secret asked;
  const Secret* secret = room_.secret(database, user_);
  if (secret == nullptr && database != nullptr && !room_.options().auth_query.empty()) {
    bool found = false;
    auto looked = co_await look_up(user_, database, asked, found);
    if (!looked)
      co_return co_await refuse(
          "login",
          {.sqlstate = "08006", .message = "users cannot be looked up: " + looked.error().message});
    if (found) secret = &asked;
    if (found && !asked.md5.empty()) room_.saw_md5.store(true);
  }
  std::optional<postgres::ScramKeys> keys;
  auto proven = co_await prove(user_, secret, keys);
  if (!proven) {
    const bool wrong = proven.error().code == Errc::unauthorized;
    const bool by_certificate = room_.options().auth == Auth::cert;
    co_return co_await refuse(wrong ? "login" : "protocol", {.sqlstate = !wrong           ? "08P01"
                                                                         : by_certificate ? "28000"
                                                                                          : "28P01",
                                                             .message = proven.error().message});
  }
  // Only who is known is told what there is.
  if (database == nullptr && !admin_database_)
    co_return co_await refuse(
        "database",
        {.sqlstate = "3D000",
         .message = fmt::format(
             "database \"{}\" does not exist here (sql.postgres, [[sql.databases]])", name)});
  if (admin_database_ && !room_.may_look(user_))
    co_return co_await refuse(
        "database",
        {.sqlstate = "42501",
         .message = fmt::format("user \"{}\" may not look at the proxy (sql.admins)", user_)});
  if (auto taken = take_parameters(startup); !taken)
    co_return co_await refuse("protocol", {.sqlstate = "22023", .message = taken.error().message});
  pgwire::append_auth(to_client_, pgwire::Auth::ok);
  if (!admin_database_) {
    auto account = room_.account(*database, user_, *secret, keys);
    if (!account)
      co_return co_await refuse("limit", {.sqlstate = "53300", .message = account.error().message});
    if (auto let = room_.let_in(**account); !let)
      co_return co_await refuse("limit", {.sqlstate = "53300", .message = let.error().message});
    account_ = *account;
    if (!co_await welcome()) co_return false;
    begin_caching();
  } else {
    for (const auto& [its_name, value] :
         {std::pair{"server_version", "15.0 (Headroom)"}, std::pair{"client_encoding", "UTF8"},
          std::pair{"server_encoding", "UTF8"}, std::pair{"standard_conforming_strings", "on"},
          std::pair{"DateStyle", "ISO"}, std::pair{"integer_datetimes", "on"}})
      pgwire::append_parameter_status(to_client_, its_name, value);
  }
  key_ = auth::random_bytes(key_size);
  do {
    pid_ = static_cast<std::uint32_t>((part_.next++ % (1U << 24U)) * metrics::kMaxWorkers +
                                      worker().index());
  } while (part_.sessions.contains(pid_));
  pgwire::append_backend_key(to_client_, pid_, key_);
  pgwire::append_ready(to_client_, pgwire::Status::idle);
  auto sent = co_await client_.write(to_client_);
  to_client_.clear();
  to_client_.shrink_to_fit();
  co_return sent.has_value();
}

net::Task<Result<>> Session::prove(const std::string& user, const Secret* secret,
                                   std::optional<postgres::ScramKeys>& keys) {
  if (room_.options().auth == Auth::cert)
    co_return check_certificate(certificate_name(client_.tls()), user, secret != nullptr,
                                room_.options().tls.client_users);
  if (secret != nullptr && secret->none) {
    if (peer_.ip().is_loopback()) co_return Result<>{};
    co_return fail(
        Errc::unauthorized,
        fmt::format("user \"{}\" has no password and is let in from the loopback only", user));
  }
  Auth method = room_.options().auth;
  if (secret == nullptr && room_.saw_md5.load() && asks_by_md5(user, room_.mock_key))
    method = Auth::md5;
  ClientAuth auth(user, secret, method, postgres::channel_binding(client_.tls()), room_.mock_key);
  auth.begin(to_client_);
  for (;;) {
    auto sent = co_await client_.write(to_client_);
    if (!sent) co_return sent;
    to_client_.clear();
    pgwire::Frame frame;
    for (;;) {
      const pgwire::Found found = pgwire::find_frame(in_.data(), frame);
      if (found == pgwire::Found::bad ||
          (found == pgwire::Found::frame && frame.body() > ClientAuth::kLongestMessage))
        co_return fail(Errc::protocol, "invalid message length");
      if (found == pgwire::Found::frame && frame.type != pgwire::from_client::kPassword)
        co_return fail(Errc::protocol, "expected a password message");
      if (found == pgwire::Found::frame && in_.size() >= frame.size) break;
      auto read = co_await client_.read_into(in_, 1024);
      if (!read) co_return pass(read);
      if (*read == 0) co_return fail(Errc::unavailable, "the client went away");
    }
    auto done = auth.take(frame.type, in_.data().substr(pgwire::kHeader, frame.body()), to_client_);
    in_.consume(frame.size);
    if (!done) co_return pass(done);
    if (!*done) continue;
    keys = auth.keys();
    co_return Result<>{};
  }
}

// Asks the server for a user that is not known here, as the URL's user, with a search_path that nobody can turn.
net::Task<Result<>> Session::look_up(const std::string& user, const Database* database,
                                     Secret& secret, bool& found) {
  const std::string& owner = database->route.target.user;
  const Secret* owners = room_.secret(database, owner);
  auto account = room_.account(*database, owner, *owners, std::nullopt);
  if (!account) co_return pass(account);
  postgres::Pool& pool = (*account)->pool();
  std::function<bool()> wanted = [this] { return !client_gone(); };
  auto server = pool.take_now(worker());
  if (!server) {
    auto waited = co_await pool.take(worker(), event_, std::move(wanted), nullptr);
    if (!waited) co_return pass(waited);
    server = std::move(*waited);
  }
  const TimePoint by = Clock::now() + room_.options().login_timeout;
  if (auto cleared = co_await clear_settings(*server, by); !cleared) {
    pool.close(worker(), std::move(server));
    co_return cleared;
  }
  std::string query = room_.options().auth_query;
  for (std::size_t at = query.find("$1"); at != std::string::npos; at = query.find("$1", at)) {
    const std::string name = literal(user);
    query.replace(at, 2, name);
    at += name.size();
  }
  query = "BEGIN READ ONLY; SET LOCAL search_path TO pg_catalog, pg_temp; " + query + "; COMMIT";
  auto rows = co_await postgres::ask(*server, std::move(query),
                                     Clock::now() + room_.options().login_timeout);
  if (!rows) {
    pool.close(worker(), std::move(server));
    co_return pass(rows);
  }
  pool.give(worker(), std::move(server));
  for (const auto& row : *rows) {
    if (row.size() < 2 || !row[0] || *row[0] != user || !row[1]) continue;
    secret = parse_secret(*row[1], user, room_.mock_key);
    found = !secret.none;  // no password there is none to log in by
  }
  co_return Result<>{};
}

// What the server reports, with the client's own start-up settings as the server understands them.
net::Task<bool> Session::welcome() {
  auto reported = account_->welcome();
  postgres::Settings own;
  bool known = reported != nullptr;
  for (const auto& [name, value] : baseline_) {
    if (name == "application_name" && is_plain(value)) {
      own["application_name"] = value;
      continue;
    }
    const auto as = account_->reported_as(name, value);
    known = known && as.has_value();
    if (!as || as->empty()) continue;
    const std::size_t equals = as->find('=');
    own[as->substr(0, equals)] = as->substr(equals + 1);
  }
  if (!known) {
    if (!co_await try_settings(own)) co_return false;
    reported = account_->welcome();
  }
  server_reads_alike_ = reads_alike(*reported);
  reading_ = reading_settings(wanted_);
  for (const auto& [name, value] : *reported) {
    const auto mine = own.find(name);
    pgwire::append_parameter_status(to_client_, name, mine == own.end() ? value : mine->second);
  }
  co_return true;
}

// On a server connection: so a setting that it refuses is refused at the login, as it would be there.
net::Task<bool> Session::try_settings(postgres::Settings& reported) {
  postgres::Pool& pool = account_->pool();
  pgwire::Report refusal;
  auto server = pool.take_now(worker());
  if (!server) {
    std::function<bool()> wanted = [this] { return !client_gone(); };
    auto waited = co_await pool.take(worker(), event_, std::move(wanted), &refusal);
    if (!waited) {
      if (refusal.message.empty())
        refusal = {.sqlstate = waited.error().code == Errc::timeout ? "53300" : "08001",
                   .message = waited.error().message};
      co_return co_await refuse("login", std::move(refusal));
    }
    server = std::move(*waited);
  }
  const TimePoint by = Clock::now() + room_.options().login_timeout;
  if (auto cleared = co_await clear_settings(*server, by); !cleared) {
    pool.close(worker(), std::move(server));
    co_return co_await refuse("login", {.sqlstate = "08006", .message = cleared.error().message});
  }
  if (!account_->welcome()) {
    auto path =
        co_await postgres::ask(*server, "SHOW search_path; SHOW default_transaction_isolation",
                               Clock::now() + room_.options().login_timeout);
    if (!path || path->size() != 2 || path->front().empty() || path->back().empty()) {
      pool.close(worker(), std::move(server));
      co_return co_await refuse("login",
                                {.sqlstate = "08006", .message = "the server does not answer"});
    }
    account_->set_defaults(path->front()[0].value_or(""), path->back()[0].value_or(""));
    account_->set_welcome(server->reported);
  }
  const auto base = account_->welcome();
  for (const auto& [name, value] : baseline_) {
    postgres::Settings said;
    std::string query =
        fmt::format("SELECT pg_catalog.set_config({}, {}, false)", literal(name), literal(value));
    auto set = co_await postgres::ask(*server, std::move(query),
                                      Clock::now() + room_.options().login_timeout, &said);
    if (!set) {
      pool.close(worker(), std::move(server));
      co_return co_await refuse("login", {.sqlstate = "22023", .message = set.error().message});
    }
    server->settings[name] = value;
    for (const auto& [its_name, its_value] : said) reported[its_name] = its_value;
    for (const auto& [its_name, its_value] : *base) {
      if (text::lowered(its_name) != name) continue;
      const auto now = said.find(its_name);
      account_->remember(name, value,
                         its_name + "=" + (now == said.end() ? its_value : now->second));
    }
    if (!account_->reported_as(name, value)) account_->remember(name, value, "");
  }
  pool.give(worker(), std::move(server));
  co_return true;
}

}  // namespace headroom::sql
