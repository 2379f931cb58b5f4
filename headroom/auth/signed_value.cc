#include "headroom/auth/signed_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "headroom/auth/crypto.h"
#include "headroom/base/assert.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

constexpr std::size_t kLeastKeyBytes = 32;
constexpr std::size_t kMostKeys = 8;
constexpr std::size_t kMostTextBytes = 4096;
constexpr std::string_view kContext = "headroom signed value 1";

std::string signature_of(std::string_view key, std::string_view purpose, std::string_view text) {
  std::string message(kContext);
  message += '\0';
  message += purpose;
  message += '\0';
  message += text;
  return base64url(text_of(hmac_sha256(key, message)));
}

}  // namespace

Result<Signer> Signer::make(std::vector<std::string> keys) {
  if (keys.empty() || keys.size() > kMostKeys)
    return fail(Errc::invalid, fmt::format("1 to {} signing keys are needed", kMostKeys));
  if (std::ranges::any_of(keys, [](const std::string& key) { return key.size() < kLeastKeyBytes; }))
    return fail(Errc::invalid, fmt::format("a signing key needs {} bytes or more", kLeastKeyBytes));
  return Signer(std::move(keys));
}

Result<std::string> Signer::sign(std::string_view purpose, std::string_view value,
                                 WallTime expires) const {
  HR_ASSERT(!purpose.contains('\0'));
  std::string text = fmt::format("{}.{}", base64url(value),
                                 std::max<std::int64_t>(0, expires.time_since_epoch().count()));
  const std::string signature = signature_of(keys_.front(), purpose, text);
  text += '.';
  text += signature;
  if (text.size() > kMostTextBytes) return fail(Errc::invalid, "too long for a signed value");
  return text;
}

Result<std::string> Signer::open(std::string_view purpose, std::string_view text,
                                 WallTime now) const {
  const auto refused = [] {
    return fail(Errc::unauthorized, "the signed value is not ours or was changed");
  };
  const auto last = text.rfind('.');
  if (text.size() > kMostTextBytes || last == std::string_view::npos) return refused();
  const std::string_view signed_text = text.substr(0, last);
  const bool ours = std::ranges::any_of(keys_, [&](const std::string& key) {
    return constant_time_equal(signature_of(key, purpose, signed_text), text.substr(last + 1));
  });
  if (!ours) return refused();
  const auto dot = signed_text.find('.');
  const auto expires = text::to_u64(signed_text.substr(dot + 1));
  auto value = from_base64url(signed_text.substr(0, dot));
  if (dot == std::string_view::npos || !expires || !value) return refused();
  if (static_cast<std::uint64_t>(std::max<std::int64_t>(0, now.time_since_epoch().count())) >=
      *expires)
    return fail(Errc::unauthorized, "the signed value has expired");
  return value;
}

}  // namespace headroom::auth
