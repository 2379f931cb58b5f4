#include "headroom/limit/who.h"

#include <algorithm>

#include "headroom/auth/access.h"

namespace headroom::limit {
namespace {

constexpr std::uint64_t kSpread =
    0x9e3779b97f4a7c15U;  // sets kinds and tiers apart: the hash before it is a secret function

std::span<const std::uint8_t> counted_bytes(const IpAddress& address) {
  return address.is_v4() ? address.bytes() : address.bytes().first(8);
}

}  // namespace

Who::Name Who::name_for(const Rule& rule) {
  Name name;
  switch (rule.kind) {
    case SubjectKind::all: {
      const std::uint8_t tier = tier_for(rule);
      return {.key = tier, .by = By::all, .tier = tier};
    }
    case SubjectKind::address: name = by_address(); break;
    case SubjectKind::user:
      name = user() != nullptr ? named(By::user, user()->name) : by_address();
      break;
    case SubjectKind::cookie:
    case SubjectKind::header: {
      const std::string_view value = value_of(rule);
      name = value.empty() ? by_address() : named(By::secret, value);
    }
  }
  name.tier = tier_for(rule);
  name.key += name.tier * kSpread;
  return name;
}

std::string Who::label(By by) const {
  switch (by) {
    case By::address: {
      if (asked_.client.is_v4()) return to_string(asked_.client);
      IpAddress::Bytes16 network{};
      std::ranges::copy(counted_bytes(asked_.client), network.begin());
      return to_string(IpAddress::v6(network)) + "/64";
    }
    case By::user: return user_ && *user_ ? (*user_)->name : "";
    case By::all: return "(all)";
    case By::secret: break;
  }
  return "";
}

const Users::Shown& Who::shown() {
  if (!shown_) shown_ = users_.shown_by(asked_.head, auth::wall_now());
  return *shown_;
}

const User* Who::user() {
  if (!user_) user_ = users_.user_of(shown(), asked_.head, auth::wall_now(), worker_);
  return user_->get();
}

Who::Name Who::by_address() {
  if (!address_) {
    const auto bytes = counted_bytes(asked_.client);
    address_ = named(By::address, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
  return *address_;
}

Who::Name Who::named(By by, std::string_view text) const {
  return {.key = keyed_hash(key_, text) ^ (static_cast<std::uint64_t>(by) * kSpread), .by = by};
}

std::string_view Who::value_of(const Rule& rule) const {
  std::string_view value;
  if (rule.kind == SubjectKind::header) {
    const http::Field* field = asked_.head.find(rule.field);
    if (field != nullptr) value = field->value;
  } else {
    value = auth::cookie_in(asked_.head.value_of(http::Name::cookie), rule.field).value_or("");
  }
  return value.substr(0, kMostValue);
}

std::uint8_t Who::tier_for(const Rule& rule) {
  if (rule.options.tiers.empty()) return 0;
  const User* known = user();
  std::string_view tier = known != nullptr ? std::string_view(known->tier) : "";
  if (tier.empty() && asked_.trusted && !tier_header_.empty()) {
    const http::Field* field = asked_.head.find(tier_header_);
    if (field != nullptr) tier = field->value;
  }
  return rule.tier_of(known != nullptr ? std::string_view(known->name) : "", tier);
}

}  // namespace headroom::limit
