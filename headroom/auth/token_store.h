// headroom/auth/token_store.h - the file of admin tokens, state_dir/tokens.db, shared by the server and the command.
//
// Owns: one connection to the file. It holds each token's name, role, dates and SHA-256, never the token, and
//   which sessions were ended before their time.
// Worker and threads: every call may block: one thread made for it, NEVER a worker. Workers use the TokenTable
//   that the owner hands them. `headroom token create` opens the same file in its own process; a server honours the
//   new token, and forgets a revoked one, once it has called poll().
// Invariants: (1) create() returns a token only after it is on disk; (2) no two live tokens share a name, also
//   between processes; (3) the file is for its owner alone (0600), and its owner is the directory's, whoever made it;
//   (4) a damaged file is refused at open().
// Limits: kMaxLiveTokens; kMaxEndedTokens revoked ones are kept for the record, the oldest go first; kMaxEndedSessions.
//
//   auto store = TokenStore::open(state_dir / "tokens.db");
//   auto plain = (*store)->create({.name = "ci", .role = Role::viewer}, wall_now());   // print it once
//   auto table = (*store)->poll(wall_now());      // null when nothing changed
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/token.h"
#include "headroom/sqlite/database.h"

namespace headroom::auth {

inline constexpr std::size_t kMaxLiveTokens = 1000;
inline constexpr std::size_t kMaxEndedTokens = 1000;

struct TokenRequest {
  std::string name{};
  Role role = Role::viewer;
  std::optional<WallTime> expires{};
};

// What may be shown of a token.
struct TokenRecord {
  std::string name{};
  Role role = Role::none;
  WallTime created{};
  std::optional<WallTime> expires{};
  std::optional<WallTime> revoked{};
  std::optional<WallTime> last_used{};  // to a minute or two
};

class TokenStore {
 public:
  [[nodiscard]] static Result<std::unique_ptr<TokenStore>> open(const std::filesystem::path& path);
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  // The new token in plain text, which nothing can show again. Errc::conflict when a live token has the name;
  // a revoked token's name is free again. Errc::invalid for a bad name or an expiry that has passed.
  [[nodiscard]] Result<std::string> create(const TokenRequest& request, WallTime now);
  // All tokens, the newest first, revoked ones too.
  [[nodiscard]] Result<std::vector<TokenRecord>> list();
  // Errc::not_found when no live token has the name.
  [[nodiscard]] Result<> revoke(std::string_view name, WallTime now);
  // Looks in the file itself; for commands, not for requests. Errc::unauthorized when there is no such live token.
  [[nodiscard]] Result<Identity> find(std::string_view plain, WallTime now);

  // Tokens of the settings, to be in every table from the next poll() on.
  void configure(std::vector<TokenEntry> entries);
  // The new table when tokens have changed since the last call (always at the first), else null. Also writes
  // down the times of last use, at most once a minute; a failure of that alone is only logged.
  [[nodiscard]] Result<std::shared_ptr<const TokenTable>> poll(WallTime now);

  // That session is no longer good, from the next poll() on, also that of another process.
  [[nodiscard]] Result<> end_session(const SessionMark& session, WallTime now);

  [[nodiscard]] Result<> backup_to(const std::filesystem::path& target) {
    return database_->backup_to(target);
  }

 private:
  explicit TokenStore(std::unique_ptr<sqlite::Database> database)
      : database_(std::move(database)) {}
  [[nodiscard]] Result<> insert(const TokenRequest& request, const Digest& digest, WallTime now);
  [[nodiscard]] Result<> check_room(std::string_view name);
  [[nodiscard]] Result<> drop_oldest_ended();
  [[nodiscard]] Result<std::vector<TokenEntry>> live_entries();
  [[nodiscard]] Result<> save_uses();
  [[nodiscard]] Result<EndedSessions> ended_sessions();
  // In the transaction of end_session().
  [[nodiscard]] Result<> make_room(WallTime now);
  [[nodiscard]] Result<> end_all(WallTime now);

  std::unique_ptr<sqlite::Database> database_;
  std::vector<TokenEntry> configured_;
  std::shared_ptr<const TokenTable> table_;  // what poll() gave last
  std::int64_t seen_version_ = -1;           // the file's data version that table_ was read at
  bool changed_here_ = true;  // by this connection, which data_version does not count
  WallTime uses_saved_{};
};

}  // namespace headroom::auth
