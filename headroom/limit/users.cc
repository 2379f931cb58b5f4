#include "headroom/limit/users.h"

#include <algorithm>
#include <charconv>

#include "headroom/auth/access.h"
#include "headroom/limit/metrics.h"

namespace headroom::limit {
namespace {

constexpr std::size_t kMostTierBytes = 64;

// Of 64 hexadecimal digits, which the settings have checked.
auth::Digest digest_of(std::string_view hex) {
  auth::Digest digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    unsigned value = 0;
    std::from_chars(hex.data() + 2 * i, hex.data() + 2 * i + 2, value, 16);
    digest[i] = static_cast<std::byte>(value);
  }
  return digest;
}

}  // namespace

Users::Users(metrics::Registry& registry)
    : recalled_(registry.counter(kTokens, {"known"})),
      verified_(registry.counter(kTokens, {"verified"})),
      refused_(registry.counter(kTokens, {"refused"})) {}

Result<std::unique_ptr<Users>> Users::make(const LimitOptions& options,
                                           metrics::Registry& registry) {
  std::unique_ptr<Users> users(new Users(registry));
  auto verifier = auth::make_verifier(options.jwt, {}, "limit.jwt");
  if (!verifier) return pass(verifier);
  users->verifier_ = std::move(*verifier);
  users->name_claim_ = options.jwt.name_claim;
  users->tier_claim_ = options.jwt.tier_claim;
  users->api_key_header_ = options.api_key_header;
  for (const auto& [name, digest] : options.api_keys) {
    users->keys_.push_back({digest_of(std::string_view(digest).substr(7)),
                            std::make_shared<const User>(User{name, {}})});
  }
  return users;
}

Users::Shown Users::shown_by(const http::RequestHead& head, auth::WallTime now) {
  if (!verifier_ || !head.has(http::Name::authorization)) return {};
  const auto token = auth::bearer_in(head.value_of(http::Name::authorization));
  if (!token) return {};
  Shown shown{.token = *token,
              .mark = {keyed_hash(first_key_, *token), keyed_hash(second_key_, *token)}};
  shown.known = recall(shown.mark, now);
  return shown;
}

UserRef Users::user_of(const Shown& shown, const http::RequestHead& head, auth::WallTime now,
                       std::size_t worker) {
  if (shown.known) {
    recalled_.at(worker).add();
    return shown.known;
  }
  if (shown.must_verify()) {
    UserRef user = verified(shown.token, shown.mark, now);
    (user ? verified_ : refused_).at(worker).add();
    if (user) return user;
  }
  if (keys_.empty()) return nullptr;
  const http::Field* key = head.find(api_key_header_);
  return key == nullptr ? nullptr : user_of_key(key->value);
}

UserRef Users::recall(const Mark& mark, auth::WallTime now) {
  Shard& shard = shards_[mark.first % shards_.size()];
  const std::scoped_lock lock(shard.mutex);
  const Known& known = shard.known[(mark.first >> 8U) % shard.known.size()];
  return known.mark == mark && now < known.expires ? known.user : nullptr;
}

void Users::remember(const Mark& mark, auth::WallTime expires, UserRef user) {
  Shard& shard = shards_[mark.first % shards_.size()];
  const std::scoped_lock lock(shard.mutex);
  shard.known[(mark.first >> 8U) % shard.known.size()] = {mark, expires, std::move(user)};
}

UserRef Users::verified(std::string_view token, const Mark& mark, auth::WallTime now) {
  const auto claims = verifier_->verify(token, now);
  if (!claims) return nullptr;
  const auto text_at = [&](const std::string& path) {
    const auto claim = path.empty() ? std::nullopt : auth::claim_at(claims->document.root(), path);
    return claim ? claim->string() : std::nullopt;
  };
  const auto name = text_at(name_claim_);
  if (!name || name->empty() || name->size() > 256) return nullptr;
  const std::string_view tier = text_at(tier_claim_).value_or("");
  auto user = std::make_shared<const User>(
      User{std::string(*name), std::string(tier.substr(0, kMostTierBytes))});
  if (claims->expires) remember(mark, *claims->expires, user);
  return user;
}

UserRef Users::user_of_key(std::string_view key) const {
  const auth::Digest digest = auth::sha256(key);
  const auto known = std::ranges::find(keys_, digest, &KnownKey::digest);
  return known == keys_.end() ? nullptr : known->user;
}

}  // namespace headroom::limit
