#include "headroom/auth/token.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace headroom::auth {
namespace {

constexpr std::string_view kPrefix = "hr_";
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kCheckBytes = 4;
constexpr std::size_t kIdBytes = 16;
constexpr std::int64_t kUseGrainSeconds = 60;
constexpr std::string_view kDigestPrefix = "sha256:";

std::uint64_t head_of(std::string_view digest) {
  std::uint64_t head = 0;
  std::memcpy(&head, digest.data(), sizeof head);
  return head;
}

std::string check_of(std::string_view secret) {
  const Digest digest = sha256(secret);
  return std::string(text_of(digest).substr(0, kCheckBytes));
}

Result<Digest> digest_of_hex(std::string_view hex) {
  Digest digest{};
  if (hex.size() != 2 * digest.size())
    return fail(Errc::invalid, "a SHA-256 has 64 hexadecimal digits");
  for (std::size_t i = 0; i < hex.size(); ++i) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto value = kDigits.find(hex[i]);
    if (value == std::string_view::npos)
      return fail(Errc::invalid, "a SHA-256 is written in lower-case hexadecimal digits");
    digest[i / 2] = (digest[i / 2] << 4U) | static_cast<std::byte>(value);
  }
  return digest;
}

bool name_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string make_token() {
  const std::string secret = random_bytes(kSecretBytes);
  return std::string(kPrefix) + base64url(secret + check_of(secret));
}

bool looks_like_token(std::string_view text) { return text.starts_with(kPrefix); }

Result<Digest> digest_of_token(std::string_view plain) {
  if (!looks_like_token(plain)) return fail(Errc::invalid, "a token begins with hr_");
  auto bytes = from_base64url(plain.substr(kPrefix.size()));
  if (!bytes || bytes->size() != kSecretBytes + kCheckBytes)
    return fail(Errc::invalid, "the token is not whole");
  const std::string_view all = *bytes;
  if (!constant_time_equal(check_of(all.substr(0, kSecretBytes)), all.substr(kSecretBytes)))
    return fail(Errc::invalid, "the token is mistyped: its check bytes do not fit");
  return sha256(plain);
}

Result<> check_token_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= 64 && name_letter(name.front()) &&
                    std::ranges::all_of(name, [](char c) {
                      return name_letter(c) || c == '.' || c == '_' || c == '-' || c == '@';
                    });
  if (good) return {};
  return fail(Errc::invalid,
              "a token's name has 1 to 64 letters, digits, '.', '_', '-' or '@' and begins with a "
              "letter or digit");
}

Result<TokenEntry> configured_token(std::string_view name, Role role, std::string_view secret) {
  if (auto good = check_token_name(name); !good) return pass(good);
  auto digest = secret.starts_with(kDigestPrefix)
                    ? digest_of_hex(secret.substr(kDigestPrefix.size()))
                    : digest_of_token(secret);
  if (!digest) return pass(digest, fmt::format("token '{}'", name));
  return TokenEntry{.name = std::string(name), .role = role, .digest = *digest};
}

TokenTable::TokenTable(std::vector<TokenEntry> entries, EndedSessions ended)
    : ended_(std::move(ended)) {
  for (TokenEntry& entry : entries) {
    const Slot& slot = slots_.emplace_back(std::move(entry));
    by_digest_.emplace(head_of(text_of(slot.entry.digest)), &slot);
  }
}

std::optional<Identity> TokenTable::find(std::string_view plain, WallTime now) const {
  const auto digest = digest_of_token(plain);
  if (!digest) return std::nullopt;
  const auto [first, last] = by_digest_.equal_range(head_of(text_of(*digest)));
  for (auto at = first; at != last; ++at)
    if (constant_time_equal(text_of(at->second->entry.digest), text_of(*digest)))
      return identity_of(*at->second, now);
  return std::nullopt;
}

std::optional<Identity> TokenTable::find_id(std::string_view id, WallTime now) const {
  const auto bytes = from_base64url(id);
  if (!bytes || bytes->size() != kIdBytes) return std::nullopt;
  const auto [first, last] = by_digest_.equal_range(head_of(*bytes));
  for (auto at = first; at != last; ++at)
    if (constant_time_equal(text_of(at->second->entry.digest).substr(0, kIdBytes), *bytes))
      return identity_of(*at->second, now);
  return std::nullopt;
}

std::optional<Identity> TokenTable::identity_of(const Slot& slot, WallTime now) const {
  const TokenEntry& entry = slot.entry;
  if (entry.expires && now >= *entry.expires) return std::nullopt;
  const std::int64_t seconds = now.time_since_epoch().count();
  if (seconds - slot.used.load(std::memory_order_relaxed) >= kUseGrainSeconds)
    slot.used.store(seconds, std::memory_order_relaxed);
  return Identity{.name = entry.name,
                  .role = entry.role,
                  .via = Via::token,
                  .token_id = base64url(text_of(entry.digest).substr(0, kIdBytes)),
                  .expires = entry.expires};
}

std::vector<TokenTable::Use> TokenTable::take_uses() const {
  std::vector<Use> uses;
  for (const Slot& slot : slots_) {
    const std::int64_t used = slot.used.load(std::memory_order_relaxed);
    if (slot.taken.exchange(used, std::memory_order_relaxed) == used) continue;
    uses.push_back({.digest = slot.entry.digest, .last = WallTime(std::chrono::seconds(used))});
  }
  return uses;
}

}  // namespace headroom::auth
