// headroom/base/error.h - how every room says that the world did not go along.
//
// An Error's code says what the CALLER can do; its message says what happened and gains context on the way up.
// Bugs are HR_ASSERT's (assert.h). Exceptions do not cross a room's face.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace headroom {

enum class Errc : std::uint8_t {
  invalid,       // the caller's input is wrong; the same call fails again
  not_found,     // the thing named does not exist
  conflict,      // the thing is in another state than the call needs
  timeout,       // a deadline passed
  cancelled,     // the owner stopped this work
  overloaded,    // a limit is reached; later it may work
  unavailable,   // a peer, engine or file is not there now
  unauthorized,  // who asks may not
  protocol,      // a peer broke the protocol; drop the connection
  internal,      // should not happen; worth a bug report
};

[[nodiscard]] std::string_view to_string(Errc code);

struct Error {
  Errc code = Errc::internal;
  std::string message;

  // "context: message".
  [[nodiscard]] Error with(std::string_view context) &&;
  bool operator==(const Error&) const = default;
};

template <class T = void>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string message) {
  return std::unexpected(Error{code, std::move(message)});
}

// Hands the error of a failed Result on, whatever the Result's type.
template <class T>
[[nodiscard]] std::unexpected<Error> pass(Result<T>& failed) {
  return std::unexpected(std::move(failed.error()));
}
template <class T>
[[nodiscard]] std::unexpected<Error> pass(Result<T>& failed, std::string_view context) {
  return std::unexpected(std::move(failed.error()).with(context));
}

// "what: <strerror(number)>" as Errc::unavailable; EMFILE, ENFILE, ENOMEM and ENOSPC are overloaded, EACCES and EPERM unauthorized.
[[nodiscard]] Error system_error(std::string_view what, int number);

}  // namespace headroom
