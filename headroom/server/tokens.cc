#include "headroom/server/tokens.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "headroom/base/log.h"
#include "headroom/server/session_key.h"

namespace headroom::server {
namespace {

Result<std::shared_ptr<const auth::JwtVerifier>> verifier_of(const JwtSettings& jwt) {
  auth::JwtOptions options;
  options.role_claim = jwt.role_claim;
  options.roles.insert(jwt.roles.begin(), jwt.roles.end());
  return auth::make_verifier(jwt, std::move(options), "admin.jwt");
}

}  // namespace

std::filesystem::path tokens_path(const std::filesystem::path& state_dir) {
  return state_dir / "tokens.db";
}

Result<AdminKeys> admin_keys(const AdminOptions& options) {
  AdminKeys keys;
  for (const TokenSettings& token : options.tokens) {
    auto entry = auth::configured_token(token.name, token.role, token.secret);
    if (!entry) return pass(entry, fmt::format("admin.tokens '{}'", token.name));
    keys.tokens.push_back(std::move(*entry));
  }
  auto verifier = verifier_of(options.jwt);
  if (!verifier) return pass(verifier);
  keys.verifier = std::move(*verifier);
  return keys;
}

Tokens::Tokens(Api& api, std::filesystem::path file)
    : api_(api), file_(std::move(file)), watch_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  api_.look_by([this] { refresh(); });
  api_.end_sessions_by([this](const auth::SessionMark& session) { return end_session(session); });
}

Tokens::~Tokens() {
  if (watch_ >= 0) ::close(watch_);
}

bool Tokens::changed() {
  alignas(inotify_event) std::array<char, 4096> events{};
  return ::read(watch_, events.data(), events.size()) > 0;
}

void Tokens::configure(AdminKeys keys) {
  keys_ = std::move(keys);
  changed_ = true;
  if (store_) store_->configure(keys_.tokens);
}

Result<> Tokens::open() {
  if (store_) return {};
  auto opened = auth::TokenStore::open(file_);
  if (!opened) return pass(opened);
  store_ = std::move(*opened);
  store_->configure(keys_.tokens);
  // SQLite's log is there as long as the file is open; what is written goes through it.
  if (watch_ >= 0) (void)::inotify_add_watch(watch_, (file_.string() + "-wal").c_str(), IN_MODIFY);
  return {};
}

void Tokens::refresh() {
  if (auto opened = open(); !opened) {
    failed(opened.error());
  } else if (auto table = store_->poll(auth::wall_now()); !table) {
    failed(table.error());
  } else {
    if (*table) {
      table_ = std::move(*table);
      changed_ = true;
    }
    if (failing_.exchange(false)) log::info("server", "the tokens can be read again");
    last_error_.clear();
  }
  if (changed_) give();
}

void Tokens::failed(const Error& error) {
  failing_ = true;
  if (error.message != last_error_) log::error("server", "tokens: {}", error.message);
  last_error_ = error.message;
}

void Tokens::give() {
  changed_ = false;
  if (!signer_) {
    if (auto made = session_signer({}, file_.parent_path()); made)
      signer_ = std::make_shared<const auth::Signer>(std::move(*made));
  }
  auto table = table_ ? table_ : std::make_shared<const auth::TokenTable>(keys_.tokens);
  // Without the file nobody knows which sessions have ended: there are none.
  api_.give_access(std::make_shared<const auth::Access>(std::move(table), keys_.verifier,
                                                        table_ ? signer_ : nullptr));
}

Result<> Tokens::end_session(const auth::SessionMark& session) {
  if (auto opened = open(); !opened) return opened;
  if (auto ended = store_->end_session(session, auth::wall_now()); !ended) return ended;
  refresh();
  return {};
}

Result<auth::TokenStore*> Tokens::store() {
  if (auto opened = open(); !opened) return pass(opened);
  return store_.get();
}

std::vector<net::HealthReport> Tokens::health() const {
  using State = net::HealthReport::State;
  if (!failing_) return {{"tokens", State::ok, ""}};
  return {{"tokens", State::degraded, "the file of tokens cannot be used; see the log"}};
}

}  // namespace headroom::server
