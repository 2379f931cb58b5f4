// headroom/limit/users.h - which user a request is from: a JWT that verifies, or a known API key.
//
// Owns: the verifier's share and what it found out lately. Worker: called from any worker; 16 shards of remembered tokens, each under its own
//   short lock, because a user's requests come to all workers (a signature costs 2 to 210 us, remembering it 0.3).
// Invariants: (1) a name comes only from a token whose signature and dates hold, or a key whose SHA-256 is known; (2) a token is
//   remembered by two keyed hashes, never itself, and not beyond its exp.
// Limits: 4096 tokens remembered, the newest of equals; names of 256 bytes, tiers of 64.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/crypto.h"
#include "headroom/auth/identity.h"
#include "headroom/auth/jwt.h"
#include "headroom/base/metrics.h"
#include "headroom/http/message.h"
#include "headroom/limit/keyed_hash.h"
#include "headroom/limit/options.h"

namespace headroom::limit {

struct User {
  std::string name;
  std::string tier;
  bool operator==(const User&) const = default;
};
using UserRef = std::shared_ptr<const User>;

class Users {
 public:
  // Reads key files. Errc::invalid, naming the setting.
  [[nodiscard]] static Result<std::unique_ptr<Users>> make(const LimitOptions& options,
                                                           metrics::Registry& registry);

  struct Mark {
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    bool operator==(const Mark&) const = default;
  };
  // What a request shows before anything is verified.
  struct Shown {
    std::string_view token{};
    Mark mark{};
    UserRef known{};  // whose token it is remembered to be
    [[nodiscard]] bool must_verify() const { return !token.empty() && !known; }
  };
  [[nodiscard]] Shown shown_by(const http::RequestHead& head, auth::WallTime now);
  // Null: nobody known. May check a signature.
  [[nodiscard]] UserRef user_of(const Shown& shown, const http::RequestHead& head,
                                auth::WallTime now, std::size_t worker);

 private:
  struct Known {
    Mark mark;
    auth::WallTime expires{};
    UserRef user;
  };
  struct Shard {
    std::mutex mutex;
    std::array<Known, 256> known;
  };
  struct KnownKey {
    auth::Digest digest;
    UserRef user;
  };

  explicit Users(metrics::Registry& registry);
  [[nodiscard]] UserRef recall(const Mark& mark, auth::WallTime now);
  void remember(const Mark& mark, auth::WallTime expires, UserRef user);
  [[nodiscard]] UserRef verified(std::string_view token, const Mark& mark, auth::WallTime now);
  [[nodiscard]] UserRef user_of_key(std::string_view key) const;

  const HashKey first_key_ = random_hash_key();
  const HashKey second_key_ = random_hash_key();
  std::shared_ptr<const auth::JwtVerifier> verifier_;
  std::string name_claim_;
  std::string tier_claim_;
  std::string api_key_header_;
  std::vector<KnownKey> keys_;
  std::array<Shard, 16> shards_;
  metrics::Counter& recalled_;
  metrics::Counter& verified_;
  metrics::Counter& refused_;
};

}  // namespace headroom::limit
