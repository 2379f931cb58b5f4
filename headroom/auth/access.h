// headroom/auth/access.h - decides who an admin request is from: a token, a JWT of the app, or a session cookie.
//
// Owns: shares of the token table, the JWT verifier and the cookie signer.
// Worker and threads: an immutable snapshot; the owner makes a new one when TokenStore::poll() gives a new table or the
//   settings change, and hands it to every worker. Nothing blocks.
// Invariants: (1) an Authorization header decides alone: a bad one is not rescued by a good cookie; (2) a session of a token
//   ends with the token, within a poll of its revocation; a session of a JWT ends with its exp, and when keys, roles or
//   anything else change by which JWTs are judged; both end by TokenStore::end_session; (3) a session has the role its
//   token has now, or its JWT had at login; (4) no credential enters an error message.
// Limits: those of its parts.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/auth/identity.h"
#include "headroom/auth/jwt.h"
#include "headroom/auth/signed_value.h"
#include "headroom/auth/token.h"

namespace headroom::auth {

inline constexpr std::string_view kSessionCookie = "headroom_session";

struct Credentials {
  std::optional<std::string_view> authorization{};  // the header's value
  std::optional<std::string_view> session{};        // the value of kSessionCookie (cookie_in)
};

// The value of the one cookie of that name in a Cookie header; nothing when it is missing or there are two.
[[nodiscard]] std::optional<std::string_view> cookie_in(std::string_view header,
                                                        std::string_view name);
// The token in "Bearer <token>" (RFC 6750 section 2.1; the scheme in any case).
[[nodiscard]] std::optional<std::string_view> bearer_in(std::string_view authorization);

class Access {
 public:
  // `verifier` may be null: no JWTs. `signer` may be null: no sessions.
  Access(std::shared_ptr<const TokenTable> tokens, std::shared_ptr<const JwtVerifier> verifier,
         std::shared_ptr<const Signer> signer)
      : tokens_(std::move(tokens)), verifier_(std::move(verifier)), signer_(std::move(signer)) {}

  // Who asks. Errc::unauthorized (401) with the reason; whether the role suffices is Identity::may (403).
  [[nodiscard]] Result<Identity> identify(const Credentials& credentials, WallTime now) const;

  // What a login form does with the token it was given, and the value for kSessionCookie (HttpOnly, SameSite=Strict,
  // Path=/). The session lasts `life` (kMaxSessionLife at most), or until what proved the identity ends. Errc::unavailable without a signer.
  [[nodiscard]] Result<Identity> identify_secret(std::string_view token_or_jwt, WallTime now) const;
  [[nodiscard]] Result<std::string> open_session(const Identity& identity, WallTime now,
                                                 std::chrono::seconds life) const;
  // The session of a cookie that is good now: for TokenStore::end_session. Errc::unauthorized else.
  [[nodiscard]] Result<SessionMark> session_in(std::string_view cookie, WallTime now) const;

 private:
  struct Session;
  [[nodiscard]] Result<Session> open_cookie(std::string_view cookie, WallTime now) const;
  [[nodiscard]] Result<Identity> identify_session(std::string_view cookie, WallTime now) const;

  std::shared_ptr<const TokenTable> tokens_;
  std::shared_ptr<const JwtVerifier> verifier_;
  std::shared_ptr<const Signer> signer_;
};

}  // namespace headroom::auth
