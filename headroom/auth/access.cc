#include "headroom/auth/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

constexpr std::string_view kPurpose = "session";
constexpr std::string_view kOfToken = "token ";  // then the token's id
constexpr std::string_view kOfJwt = "jwt ";      // then the role, a space and the name

std::unexpected<Error> refuse(std::string message) {
  return fail(Errc::unauthorized, std::move(message));
}

Result<Identity> identity_in_jwt_session(std::string_view value) {
  const auto space = value.find(' ');
  auto role = parse_role(value.substr(0, space));
  if (!role || space == std::string_view::npos) return refuse("the session is not of a known form");
  return Identity{.name = std::string(value.substr(space + 1)), .role = *role, .via = Via::session};
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
  if (!identity) return refuse("the token is not known, or no longer");
  return std::move(*identity);
}

Result<Identity> Access::identify_session(std::string_view cookie, WallTime now) const {
  if (!signer_) return refuse("there are no sessions");
  auto value = signer_->open(kPurpose, cookie, now);
  if (!value) return pass(value, "session");
  const std::string_view text = *value;
  if (text.starts_with(kOfJwt)) return identity_in_jwt_session(text.substr(kOfJwt.size()));
  if (!text.starts_with(kOfToken)) return refuse("the session is not of a known form");
  auto identity = tokens_->find_id(text.substr(kOfToken.size()), now);
  if (!identity) return refuse("the session's token is no longer good");
  identity->via = Via::session;
  return std::move(*identity);
}

Result<std::string> Access::open_session(const Identity& identity, WallTime now,
                                         std::chrono::seconds life) const {
  if (!signer_) return fail(Errc::unavailable, "there are no sessions");
  if (identity.role == Role::none) return refuse("no session for an identity without a role");
  const WallTime expires = identity.expires ? std::min(*identity.expires, now + life) : now + life;
  const std::string value =
      identity.token_id.empty()
          ? fmt::format("{}{} {}", kOfJwt, to_string(identity.role), identity.name)
          : fmt::format("{}{}", kOfToken, identity.token_id);
  return signer_->sign(kPurpose, value, expires);
}

}  // namespace headroom::auth
