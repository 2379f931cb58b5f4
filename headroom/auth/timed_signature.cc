#include "headroom/auth/timed_signature.h"

#include "headroom/auth/crypto.h"
#include "headroom/base/bytes.h"
#include "headroom/base/text.h"

namespace headroom::auth {

std::string timed_signature(std::string_view secret, std::string_view body,
                            std::int64_t unix_seconds) {
  const std::string at = std::to_string(unix_seconds);
  std::string text = at + ".";
  text += body;
  const Digest digest = hmac_sha256(secret, text);
  return "t=" + at + ",v1=" + text::hex(text_of(digest));
}

}  // namespace headroom::auth
