#include "headroom/base/error.h"

#include <cerrno>
#include <system_error>

namespace headroom {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::invalid: return "invalid";
    case Errc::not_found: return "not_found";
    case Errc::conflict: return "conflict";
    case Errc::timeout: return "timeout";
    case Errc::cancelled: return "cancelled";
    case Errc::overloaded: return "overloaded";
    case Errc::unavailable: return "unavailable";
    case Errc::unauthorized: return "unauthorized";
    case Errc::protocol: return "protocol";
    case Errc::internal: return "internal";
  }
  return "unknown";
}

Error Error::with(std::string_view context) && {
  std::string text(context);
  text += ": ";
  text += message;
  return Error{code, std::move(text)};
}

namespace {

Errc code_of(int number) {
  switch (number) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC: return Errc::overloaded;
    case EACCES:
    case EPERM: return Errc::unauthorized;
    case ENOENT: return Errc::not_found;
    case ETIMEDOUT: return Errc::timeout;
    default: return Errc::unavailable;
  }
}

}  // namespace

Error system_error(std::string_view what, int number) {
  std::string text(what);
  text += ": ";
  text += std::system_category().message(number);
  return Error{code_of(number), std::move(text)};
}

}  // namespace headroom
