// headroom/limit/who.h - in whose name one request is counted; each answer is worked out once, when a rule asks for it.
//
// Owns: what it has worked out. Worker: that of the request; ends with decide().
// Invariants: (1) an IPv6 address counts as its /64, which one client commands; (2) without the user, cookie or header that a rule asks for,
//   the address counts; (3) only what may be shown, addresses and users' names, has a label.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/limit/keyed_hash.h"
#include "headroom/limit/rule.h"
#include "headroom/limit/users.h"

namespace headroom::limit {

class Who {
 public:
  enum class By : std::uint8_t { address, user, secret, all };
  struct Name {
    std::uint64_t key = 0;
    By by = By::address;
    std::uint8_t tier = 0;
  };

  Who(const HashKey& key, Users& users, std::string_view tier_header, const Asked& asked,
      std::size_t worker)
      : key_(key), users_(users), tier_header_(tier_header), asked_(asked), worker_(worker) {}

  // Whether user() would have to check a signature.
  [[nodiscard]] bool must_verify() { return !user_ && shown().must_verify(); }
  [[nodiscard]] Name name_for(const Rule& rule);
  // For listings; "" for what must not be shown.
  [[nodiscard]] std::string label(By by) const;

 private:
  [[nodiscard]] const Users::Shown& shown();
  [[nodiscard]] const User* user();
  [[nodiscard]] Name by_address();
  [[nodiscard]] Name named(By by, std::string_view text) const;
  [[nodiscard]] std::string_view value_of(const Rule& rule) const;
  [[nodiscard]] std::uint8_t tier_for(const Rule& rule);

  const HashKey& key_;
  Users& users_;
  const std::string_view tier_header_;
  const Asked& asked_;
  const std::size_t worker_;
  std::optional<Users::Shown> shown_;
  std::optional<UserRef> user_;
  std::optional<Name> address_;
};

}  // namespace headroom::limit
