// headroom/server/tokens.h - keeps who may ask up to date: the file of tokens, the tokens and JWT keys of the settings.
//
// Owns: the token store, the last table and verifier, a watch on the file. Borrows: the Api it gives them to.
// Worker and threads: all but health(), changes() and changed() on the control thread: the file is SQLite's and may block.
// Invariants: (1) a file that cannot be used costs only the tokens in it: those of the settings and JWTs go on, and the file is tried again
//   at each refresh(); (2) settings that cannot be used change nothing.
// Limits: those of auth::TokenStore.
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "headroom/auth/access.h"
#include "headroom/auth/token_store.h"
#include "headroom/net/interfaces.h"
#include "headroom/server/api.h"
#include "headroom/server/options.h"

namespace headroom::server {

// Where the tokens of a state directory are.
[[nodiscard]] std::filesystem::path tokens_path(const std::filesystem::path& state_dir);

// What [admin] says of credentials, ready for use.
struct AdminKeys {
  std::vector<auth::TokenEntry> tokens;
  std::shared_ptr<const auth::JwtVerifier> verifier;  // null: no JWTs
};
// Reads the key files. Errc::invalid, naming the setting.
[[nodiscard]] Result<AdminKeys> admin_keys(const AdminOptions& options);

class Tokens final : public net::Health {
 public:
  Tokens(Api& api, std::filesystem::path file);
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;
  ~Tokens() override;

  void configure(AdminKeys keys);
  // Opens the file if need be and takes up what has changed in it.
  void refresh();
  [[nodiscard]] Result<auth::TokenStore*> store();
  // That session is good no longer, for any worker, once this returns; for other processes once they have seen changes().
  [[nodiscard]] Result<> end_session(const auth::SessionMark& session);

  // Readable once another process (`headroom token`) has written to the file; -1: it cannot be watched, and refresh() finds out in its time.
  [[nodiscard]] int changes() const { return watch_; }
  // Takes what changes() had to say. False: nothing.
  [[nodiscard]] bool changed();

  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  [[nodiscard]] Result<> open();
  void failed(const Error& error);
  void give();

  Api& api_;
  const std::filesystem::path file_;
  const int watch_;
  std::unique_ptr<auth::TokenStore> store_;
  AdminKeys keys_;
  std::shared_ptr<const auth::TokenTable> table_;
  std::shared_ptr<const auth::Signer> signer_;  // of the dashboard's sessions; null: there are none
  bool changed_ = true;
  std::string last_error_;
  std::atomic<bool> failing_{false};
};

}  // namespace headroom::server
