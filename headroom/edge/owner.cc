#include "headroom/edge/owner.h"

#include "headroom/auth/access.h"
#include "headroom/auth/crypto.h"
#include "headroom/base/bytes.h"
#include "headroom/base/text.h"
#include "headroom/http/parser.h"

namespace headroom::edge {

namespace {

constexpr std::string_view kAuthorization = "authorization";
constexpr std::string_view kCookie = "cookie:";
constexpr std::string_view kHeader = "header:";
constexpr std::string_view kUser = "{user}";
constexpr std::size_t kDigits = 32;  // 128 bits

// Lasts as long as the process: what was stored for a user before is nobody's after.
const std::string& secret() {
  static const std::string made = text::random_hex(32);
  return made;
}

}  // namespace

bool Owners::is_setting(std::string_view text) {
  return text == kAuthorization ||
         (text.starts_with(kCookie) && http::is_token(text.substr(kCookie.size()))) ||
         (text.starts_with(kHeader) && http::is_token(text.substr(kHeader.size())));
}

Owners::Owners(std::span<const std::string> settings) {
  for (const std::string_view setting : settings) {
    if (setting == kAuthorization) {
      parts_.push_back({Part::Kind::authorization, {}});
    } else if (setting.starts_with(kCookie)) {
      parts_.push_back({Part::Kind::cookie, std::string(setting.substr(kCookie.size()))});
    } else {
      parts_.push_back({Part::Kind::header, std::string(setting.substr(kHeader.size()))});
    }
  }
}

std::string_view Owners::value_of(const Part& part, const http::RequestHead& head) {
  std::string_view name = part.name;
  if (part.kind != Part::Kind::header)
    name = part.kind == Part::Kind::cookie ? "cookie" : kAuthorization;
  std::string_view value;
  for (const http::Field& field : head.fields) {
    if (!text::equal_ignoring_case(field.name, name)) continue;
    if (!value.empty()) return {};  // twice: which of them counts is for the application to say
    value = field.value;
  }
  return part.kind == Part::Kind::cookie ? auth::cookie_in(value, part.name).value_or("") : value;
}

std::string Owners::of(const http::RequestHead& head, http::StoreRules& rules) const {
  std::string shown;
  for (const Part& part : parts_) {
    const std::string_view value = value_of(part, head);
    if (value.empty()) continue;
    shown.append(std::to_string(&part - parts_.data()))
        .append(":")
        .append(std::to_string(value.size()))
        .append(":")
        .append(value);
    rules.holds_user = true;
    if (part.kind == Part::Kind::authorization) rules.holds_authorization = true;
    if (part.kind == Part::Kind::cookie) rules.holds_cookie = true;
  }
  if (shown.empty()) return {};
  const auth::Digest digest = auth::hmac_sha256(secret(), shown);
  return text::hex(text_of(digest)).substr(0, kDigits);
}

bool names_owner(std::string_view tag) { return tag.find(kUser) != std::string_view::npos; }

std::string tag_for(std::string_view tag, std::string_view owner) {
  std::string made(tag);
  if (const std::size_t at = made.find(kUser); at != std::string::npos)
    made.replace(at, kUser.size(), owner);
  return made;
}

}  // namespace headroom::edge
