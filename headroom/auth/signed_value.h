// headroom/auth/signed_value.h - small values that a client keeps and cannot change: signed cookies.
//
//   text = base64url(value) "." expires, decimal seconds "." base64url(HMAC-SHA256(key, context 0 purpose 0 text so far))
//
// Owns: its keys.
// Worker and threads: immutable; shared by all workers. Nothing blocks; about 1 us.
// Invariants: (1) a value signed for one purpose does not open for another; (2) the expiry is under the
//   signature, whatever a browser does with a cookie's own; (3) the first key signs, all open: keys rotate
//   by putting a new one in front and dropping the last; (4) each value has one text. Values are signed, not
//   hidden: no secrets in them.
// Limits: keys of 32 bytes or more, 8 of them; texts of 4096 bytes (a browser's limit for a cookie).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/identity.h"

namespace headroom::auth {

class Signer {
 public:
  // Errc::invalid for no key, more than 8 or a short one.
  [[nodiscard]] static Result<Signer> make(std::vector<std::string> keys);

  // The text for a cookie: letters, digits, '-', '_' and '.' only. Errc::invalid when it would be too long.
  // `purpose` names what the value is for ("session"); it must be a constant without NUL.
  [[nodiscard]] Result<std::string> sign(std::string_view purpose, std::string_view value,
                                         WallTime expires) const;
  // The value again; Errc::unauthorized when it is not ours, for another purpose, changed or expired.
  [[nodiscard]] Result<std::string> open(std::string_view purpose, std::string_view text,
                                         WallTime now) const;

 private:
  explicit Signer(std::vector<std::string> keys) : keys_(std::move(keys)) {}
  std::vector<std::string> keys_;
};

}  // namespace headroom::auth
