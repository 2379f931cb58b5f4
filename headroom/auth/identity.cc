#include "headroom/auth/identity.h"

#include <fmt/format.h>

namespace headroom::auth {

WallTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string_view to_string(Role role) {
  switch (role) {
    case Role::none: return "none";
    case Role::viewer: return "viewer";
    case Role::operator_: return "operator";
    case Role::admin: return "admin";
  }
  return "none";
}

Result<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::viewer, Role::operator_, Role::admin})
    if (text == to_string(role)) return role;
  return fail(Errc::invalid, fmt::format("role '{}' is not one of viewer, operator, admin", text));
}

std::string_view to_string(Via via) {
  switch (via) {
    case Via::token: return "token";
    case Via::jwt: return "jwt";
    case Via::session: return "session";
  }
  return "token";
}

}  // namespace headroom::auth
