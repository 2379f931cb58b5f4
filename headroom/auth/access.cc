#include "headroom/auth/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

constexpr std::string_view kPurpose = "session";
// A session's value: its id, when it began and when it ends (seconds since 1970), what proved it, all with spaces between.
constexpr std::string_view kOfToken = "token";  // then the token's id
constexpr std::string_view kOfJwt = "jwt";  // then the verifier's fingerprint, the role, the name
constexpr std::size_t kIdBytes = 12;

std::unexpected<Error> refuse(std::string message) {
  return fail(Errc::unauthorized, std::move(message));
}

// What stands before the next space, taken off `text`.
std::string_view take_word(std::string_view& text) {
  const auto end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

std::int64_t number(WallTime time) { return time.time_since_epoch().count(); }
WallTime date(std::uint64_t number) {
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(number)));
}

// Whose sessions are counted together: a token's by its id, a JWT's by the name.
std::string owner_of(std::string_view proof) {
  if (take_word(proof) == kOfToken) return std::string(proof);
  take_word(proof);  // the verifier
  take_word(proof);  // the role
  return fmt::format("{} {}", kOfJwt, proof);
}

}  // namespace

std::optional<std::string_view> cookie_in(std::string_view header, std::string_view name) {
  std::optional<std::string_view> found;
  while (!header.empty()) {
    const auto end = std::min(header.find(';'), header.size());
    const std::string_view pair = text::trimmed(header.substr(0, end));
    header.remove_prefix(std::min(end + 1, header.size()));
    const auto equals = pair.find('=');
    if (equals == std::string_view::npos || pair.substr(0, equals) != name) continue;
    if (found) return std::nullopt;
    found = pair.substr(equals + 1);
  }
  return found;
}

std::optional<std::string_view> bearer_in(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!text::equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme))
    return std::nullopt;
  const auto token = text::trimmed(authorization.substr(kScheme.size()));
  if (token.empty() || token.find_first_of(" \t,") != std::string_view::npos) return std::nullopt;
  return token;
}

Result<Identity> Access::identify(const Credentials& credentials, WallTime now) const {
  if (credentials.authorization) {
    const auto token = bearer_in(*credentials.authorization);
    if (!token) return refuse("Authorization is not 'Bearer <token>'");
    return identify_secret(*token, now);
  }
  if (credentials.session) return identify_session(*credentials.session, now);
  return refuse("a token is needed");
}

Result<Identity> Access::identify_secret(std::string_view token_or_jwt, WallTime now) const {
  if (!looks_like_token(token_or_jwt) && verifier_) {
    auto identity = verifier_->identify(token_or_jwt, now);
    if (!identity) return pass(identity, "JWT");
    return identity;
  }
  auto identity = tokens_->find(token_or_jwt, now);
  if (!identity) return refuse("the token is not known, or is no longer good");
  return std::move(*identity);
}

struct Access::Session {
  SessionMark mark;
  std::string proof;  // "token ..." or "jwt ..."
};

Result<Access::Session> Access::open_cookie(std::string_view cookie, WallTime now) const {
  if (!signer_) return refuse("there are no sessions");
  auto value = signer_->open(kPurpose, cookie, now);
  if (!value) return pass(value, "session");
  std::string_view text = *value;
  const auto id = take_word(text);
  const auto begun = text::to_u64(take_word(text));
  const auto expires = text::to_u64(take_word(text));
  if (id.empty() || !begun || !expires) return refuse("the session is not of a known form");
  Session session{{std::string(id), date(*begun), date(*expires), owner_of(text)},
                  std::string(text)};
  if (tokens_->ended(session.mark)) return refuse("the session has ended: sign in again");
  return session;
}

Result<SessionMark> Access::session_in(std::string_view cookie, WallTime now) const {
  auto session = open_cookie(cookie, now);
  if (!session) return pass(session);
  return std::move(session->mark);
}

Result<Identity> Access::identify_session(std::string_view cookie, WallTime now) const {
  auto session = open_cookie(cookie, now);
  if (!session) return pass(session);
  std::string_view proof = session->proof;
  const auto kind = take_word(proof);
  if (kind == kOfToken) {
    auto identity = tokens_->find_id(proof, now);
    if (!identity) return refuse("the session's token is no longer good");
    identity->via = Via::session;
    return std::move(*identity);
  }
  const auto verifier = take_word(proof);
  const auto role = parse_role(take_word(proof));
  if (kind != kOfJwt || !role) return refuse("the session is not of a known form");
  if (!verifier_ || verifier_->fingerprint() != verifier)
    return refuse("what the session's JWT was judged by has changed: sign in again");
  return Identity{.name = std::string(proof), .role = *role, .via = Via::session};
}

Result<std::string> Access::open_session(const Identity& identity, WallTime now,
                                         std::chrono::seconds life) const {
  if (!signer_) return fail(Errc::unavailable, "there are no sessions");
  if (identity.role == Role::none) return refuse("no session for an identity without a role");
  const bool of_jwt = identity.token_id.empty();
  if (of_jwt && !verifier_) return refuse("no session for a JWT that nothing verifies");
  life = std::min(life, kMaxSessionLife);
  const WallTime expires = identity.expires ? std::min(*identity.expires, now + life) : now + life;
  const std::string proof = of_jwt ? fmt::format("{} {} {} {}", kOfJwt, verifier_->fingerprint(),
                                                 to_string(identity.role), identity.name)
                                   : fmt::format("{} {}", kOfToken, identity.token_id);
  const std::string value = fmt::format("{} {} {} {}", base64url(random_bytes(kIdBytes)),
                                        number(now), number(expires), proof);
  return signer_->sign(kPurpose, value, expires);
}

}  // namespace headroom::auth
