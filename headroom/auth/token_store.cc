#include "headroom/auth/token_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "headroom/base/log.h"

namespace headroom::auth {
namespace {

constexpr std::array<std::string_view, 3> kSchema{
    R"(CREATE TABLE tokens(
         id        INTEGER PRIMARY KEY,
         name      TEXT NOT NULL,
         role      TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
         digest    BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
         created   INTEGER NOT NULL,
         expires   INTEGER,
         revoked   INTEGER,
         last_used INTEGER) STRICT;
       CREATE UNIQUE INDEX tokens_live_name ON tokens(name) WHERE revoked IS NULL;
       CREATE TABLE session_keys(
         id      INTEGER PRIMARY KEY,
         key     BLOB NOT NULL CHECK (length(key) = 32),
         created INTEGER NOT NULL) STRICT)",
    // The keys are in a file of their own. `id` of a session, until when it must be known; of '*', until when all began that ended.
    R"(DROP TABLE session_keys;
       CREATE TABLE ended_sessions(
         id    TEXT PRIMARY KEY NOT NULL,
         until INTEGER NOT NULL) STRICT)",
    // Of "* " and an owner: all of that owner that began by `begun_until`.
    R"(ALTER TABLE ended_sessions ADD COLUMN owner TEXT NOT NULL DEFAULT '';
       ALTER TABLE ended_sessions ADD COLUMN begun_until INTEGER NOT NULL DEFAULT 0)"};
constexpr std::string_view kAllSessions = "*";
constexpr std::string_view kAllOfOwner = "* ";  // ids hold no '*'

constexpr std::chrono::seconds kUsesSavedEvery{60};

std::int64_t number(WallTime time) { return time.time_since_epoch().count(); }
std::optional<std::int64_t> number(const std::optional<WallTime>& time) {
  return time ? std::optional(number(*time)) : std::nullopt;
}
std::optional<WallTime> date(std::optional<std::int64_t> seconds) {
  return seconds ? std::optional(WallTime(std::chrono::seconds(*seconds))) : std::nullopt;
}

// The role of a row; the CHECK of the schema lets no other text in.
Role role_in(const sqlite::Statement& row, int column) {
  return parse_role(row.column<std::string_view>(column)).value_or(Role::none);
}

Digest digest_in(const sqlite::Statement& row, int column) {
  Digest digest{};
  const auto bytes = bytes_of(row.column<std::string_view>(column));
  std::ranges::copy(bytes.first(std::min(bytes.size(), digest.size())), digest.begin());
  return digest;
}

}  // namespace

Result<std::unique_ptr<TokenStore>> TokenStore::open(const std::filesystem::path& path) {
  auto database = sqlite::Database::open(path);
  if (!database) return pass(database, "tokens");
  if (auto whole = (*database)->check_integrity(); !whole) return pass(whole, "tokens");
  if (auto migrated = (*database)->migrate(kSchema); !migrated) return pass(migrated, "tokens");
  return std::unique_ptr<TokenStore>(new TokenStore(std::move(*database)));
}

Result<std::string> TokenStore::create(const TokenRequest& request, WallTime now) {
  if (auto good = check_token_name(request.name); !good) return pass(good);
  if (request.role == Role::none)
    return fail(Errc::invalid, "a token needs a role: viewer, operator or admin");
  if (request.expires && *request.expires <= now)
    return fail(Errc::invalid, "the token would be expired already");
  std::string plain = make_token();
  if (auto stored = insert(request, sha256(plain), now); !stored) return pass(stored);
  return plain;
}

Result<> TokenStore::insert(const TokenRequest& request, const Digest& digest, WallTime now) {
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  if (auto room = check_room(request.name); !room) return room;
  auto added = database_->run(
      "INSERT INTO tokens(name, role, digest, created, expires) VALUES (?, ?, ?, ?, ?)",
      request.name, to_string(request.role), digest, number(now), number(request.expires));
  if (!added) return added;
  if (auto dropped = drop_oldest_ended(); !dropped) return dropped;
  changed_here_ = true;
  return transaction->commit();
}

Result<> TokenStore::check_room(std::string_view name) {
  auto row = database_->prepare(
      "SELECT count(*), coalesce(sum(name = ?), 0) FROM tokens WHERE revoked IS NULL");
  if (!row) return pass(row);
  if (auto read = row->bind(name).step(); !read) return pass(read);
  if (row->column<std::int64_t>(1) > 0)
    return fail(
        Errc::conflict,
        fmt::format("a token named '{}' exists; revoke it first or choose another name", name));
  if (row->column<std::size_t>(0) >= kMaxLiveTokens)
    return fail(Errc::overloaded,
                fmt::format("there are {} tokens already; revoke some", kMaxLiveTokens));
  return {};
}

Result<> TokenStore::drop_oldest_ended() {
  return database_->run(
      "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE revoked IS NOT NULL "
      "ORDER BY revoked DESC, id DESC LIMIT -1 OFFSET ?)",
      kMaxEndedTokens);
}

Result<std::vector<TokenRecord>> TokenStore::list() {
  auto row = database_->prepare(
      "SELECT name, role, created, expires, revoked, last_used FROM tokens ORDER BY id DESC");
  if (!row) return pass(row);
  std::vector<TokenRecord> records;
  for (;;) {
    auto more = row->step();
    if (!more) return pass(more);
    if (!*more) return records;
    records.push_back({.name = row->column<std::string>(0),
                       .role = role_in(*row, 1),
                       .created = WallTime(std::chrono::seconds(row->column<std::int64_t>(2))),
                       .expires = date(row->column<std::optional<std::int64_t>>(3)),
                       .revoked = date(row->column<std::optional<std::int64_t>>(4)),
                       .last_used = date(row->column<std::optional<std::int64_t>>(5))});
  }
}

Result<> TokenStore::revoke(std::string_view name, WallTime now) {
  auto done = database_->run("UPDATE tokens SET revoked = ? WHERE name = ? AND revoked IS NULL",
                             number(now), name);
  if (!done) return done;
  if (database_->changes() == 0)
    return fail(Errc::not_found, fmt::format("no live token is named '{}'", name));
  changed_here_ = true;
  return {};
}

Result<Identity> TokenStore::find(std::string_view plain, WallTime now) {
  auto entries = live_entries();
  if (!entries) return pass(entries);
  auto found = TokenTable(std::move(*entries)).find(plain, now);
  if (!found) return fail(Errc::unauthorized, "the token is not known, or is no longer good");
  return std::move(*found);
}

void TokenStore::configure(std::vector<TokenEntry> entries) {
  configured_ = std::move(entries);
  changed_here_ = true;
}

Result<std::vector<TokenEntry>> TokenStore::live_entries() {
  auto row =
      database_->prepare("SELECT name, role, digest, expires FROM tokens WHERE revoked IS NULL");
  if (!row) return pass(row);
  std::vector<TokenEntry> entries = configured_;
  for (;;) {
    auto more = row->step();
    if (!more) return pass(more);
    if (!*more) return entries;
    entries.push_back({.name = row->column<std::string>(0),
                       .role = role_in(*row, 1),
                       .digest = digest_in(*row, 2),
                       .expires = date(row->column<std::optional<std::int64_t>>(3))});
  }
}

Result<std::shared_ptr<const TokenTable>> TokenStore::poll(WallTime now) {
  // The version is read first: a commit between it and the rows is seen again by the next poll, never missed.
  auto version = database_->data_version();
  if (!version) return pass(version);
  const bool changed = changed_here_ || *version != seen_version_;
  if (table_ && (changed || now - uses_saved_ >= kUsesSavedEvery)) {
    uses_saved_ = now;
    if (auto saved = save_uses(); !saved)
      log::warn("auth", "times of last use are not written: {}", saved.error().message);
  }
  if (!changed) return nullptr;
  auto entries = live_entries();
  if (!entries) return pass(entries);
  auto ended = ended_sessions();
  if (!ended) return pass(ended);
  table_ = std::make_shared<const TokenTable>(std::move(*entries), std::move(*ended));
  seen_version_ = *version;
  changed_here_ = false;
  return table_;
}

Result<> TokenStore::save_uses() {
  const auto uses = table_->take_uses();
  if (uses.empty()) return {};
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  for (const TokenTable::Use& use : uses) {
    auto saved = database_->run(
        "UPDATE tokens SET last_used = max(coalesce(last_used, 0), ?) WHERE digest = ?",
        number(use.last), use.digest);
    if (!saved) return saved;
  }
  return transaction->commit();
}

Result<> TokenStore::end_session(const SessionMark& session, WallTime now) {
  if (session.expires <= now) return {};
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  if (auto gone = database_->run("DELETE FROM ended_sessions WHERE id <> ? AND until <= ?",
                                 kAllSessions, number(now));
      !gone)
    return gone;
  auto count = database_->prepare("SELECT count(*) FROM ended_sessions");
  if (!count) return pass(count);
  if (auto read = count->step(); !read) return pass(read);
  if (count->column<std::size_t>(0) >= kMaxEndedSessions) {
    if (auto room = make_room(now); !room) return room;
  }
  auto ended =
      database_->run("INSERT OR REPLACE INTO ended_sessions(id, until, owner) VALUES (?, ?, ?)",
                     session.id, number(session.expires), session.owner);
  if (!ended) return ended;
  changed_here_ = true;
  return transaction->commit();
}

// Ends all of the owner of whom the most have ended.
Result<> TokenStore::make_room(WallTime now) {
  auto row = database_->prepare(
      "SELECT owner, count(*) FROM ended_sessions GROUP BY owner ORDER BY count(*) DESC LIMIT 1");
  if (!row) return pass(row);
  if (auto read = row->step(); !read) return pass(read);
  const auto owner = row->column<std::string>(0);
  const auto ended = row->column<std::size_t>(1);
  if (owner.empty() || ended <= 1) return end_all(now);  // "": of before owners were written down
  log::warn("auth", "{} sessions of one token or JWT ended before their time: all of it end now",
            ended);
  if (auto gone = database_->run("DELETE FROM ended_sessions WHERE owner = ?", owner); !gone)
    return gone;
  return database_->run(
      "INSERT INTO ended_sessions(id, until, owner, begun_until) VALUES (?, ?, ?, ?)",
      fmt::format("{}{}", kAllOfOwner, owner), number(now + kMaxSessionLife), owner, number(now));
}

Result<> TokenStore::end_all(WallTime now) {
  log::warn("auth", "{} sessions have ended before their time: all end now", kMaxEndedSessions);
  if (auto gone = database_->run("DELETE FROM ended_sessions"); !gone) return gone;
  return database_->run("INSERT INTO ended_sessions(id, until) VALUES (?, ?)", kAllSessions,
                        number(now));
}

Result<EndedSessions> TokenStore::ended_sessions() {
  auto row = database_->prepare("SELECT id, until, owner, begun_until FROM ended_sessions");
  if (!row) return pass(row);
  EndedSessions ended;
  for (;;) {
    auto more = row->step();
    if (!more) return pass(more);
    if (!*more) return ended;
    auto id = row->column<std::string>(0);
    if (id == kAllSessions) {
      ended.all_until = WallTime(std::chrono::seconds(row->column<std::int64_t>(1)));
    } else if (id.starts_with(kAllOfOwner)) {
      ended.owners.emplace(row->column<std::string>(2),
                           WallTime(std::chrono::seconds(row->column<std::int64_t>(3))));
    } else {
      ended.ids.insert(std::move(id));
    }
  }
}

}  // namespace headroom::auth
