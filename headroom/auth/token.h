// headroom/auth/token.h - admin tokens, and the table of them that requests are checked against.
//
//   token = "hr_" base64url( 32 random bytes, then the first 4 bytes of their SHA-256 )      51 characters
//
// The prefix lets secret scanners find a leaked token; the last four bytes tell a mistyped one without a look-up.
//
// Owns: TokenTable owns its entries: digests, names, roles. No plain token is kept anywhere.
// Worker and threads: a TokenTable is an immutable snapshot that all workers share (shared_ptr<const>); only
//   the times of last use in it are written, each a relaxed atomic. Nothing blocks.
// Invariants: (1) a token is known by SHA-256 alone: it holds 256 random bits, which no guessing shortens, so
//   the slow hashing that passwords need would only cost the server; (2) a digest is found by its first 8
//   bytes and then compared whole in constant time; who measures the look-up learns something about a
//   digest, from which no token follows; (3) an expired or revoked token is not found.
// Limits: none of its own (TokenStore: 1000 live tokens).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "headroom/auth/crypto.h"
#include "headroom/auth/identity.h"
#include "headroom/auth/sessions.h"

namespace headroom::auth {

// A new token in plain text: to be shown once and never kept.
[[nodiscard]] std::string make_token();
// Begins as a token does: for telling one from a JWT.
[[nodiscard]] bool looks_like_token(std::string_view text);
// The digest a well-formed token is known by; Errc::invalid (mistyped, truncated) without the text in the message.
[[nodiscard]] Result<Digest> digest_of_token(std::string_view plain);

struct TokenEntry {
  std::string name{};
  Role role = Role::none;
  Digest digest{};
  std::optional<WallTime> expires{};
};

// A token of the settings file: `secret` is the token, or better "sha256:" and the 64 hex digits of its SHA-256
// (`printf %s "$TOKEN" | sha256sum`). Errc::invalid for a bad name or secret, without the secret in the message.
[[nodiscard]] Result<TokenEntry> configured_token(std::string_view name, Role role,
                                                  std::string_view secret);
// 1 to 64 letters, digits, '.', '_', '-', '@'; begins with none of the last four.
[[nodiscard]] Result<> check_token_name(std::string_view name);

class TokenTable {
 public:
  explicit TokenTable(std::vector<TokenEntry> entries, EndedSessions ended = {});
  TokenTable(const TokenTable&) = delete;
  TokenTable& operator=(const TokenTable&) = delete;

  // Whose token this is, noting its use; nothing when it is malformed, unknown or expired.
  [[nodiscard]] std::optional<Identity> find(std::string_view plain, WallTime now) const;
  // The token with this Identity::token_id, if it is still good: what keeps a session alive.
  [[nodiscard]] std::optional<Identity> find_id(std::string_view id, WallTime now) const;
  [[nodiscard]] std::size_t size() const { return slots_.size(); }
  // Whether that session was ended: somebody signed out.
  [[nodiscard]] bool ended(const SessionMark& session) const { return ended_.have(session); }

  struct Use {
    Digest digest;
    WallTime last;
  };
  // The uses noted since the last call; times are up to a minute old.
  [[nodiscard]] std::vector<Use> take_uses() const;

 private:
  struct Slot {
    explicit Slot(TokenEntry from) : entry(std::move(from)) {}
    TokenEntry entry;
    mutable std::atomic<std::int64_t> used{0};   // seconds since 1970
    mutable std::atomic<std::int64_t> taken{0};  // the value of `used` that take_uses() gave last
  };
  [[nodiscard]] std::optional<Identity> identity_of(const Slot& slot, WallTime now) const;

  std::deque<Slot> slots_;
  std::unordered_multimap<std::uint64_t, const Slot*> by_digest_;  // by the digest's first 8 bytes
  const EndedSessions ended_;
};

}  // namespace headroom::auth
