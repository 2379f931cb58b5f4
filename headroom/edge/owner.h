// headroom/edge/owner.h - whose page it is: a route can keep answers for each user alone, known by what the user's requests carry.
//
// Owns: the names of those credentials. Worker: any; immutable.
// Invariants: (1) the key of a user's page holds a keyed hash of the whole credential, so only who shows the same one gets it; the hash's
//   secret is the process's own: keys that are shown or kept tell nothing; (2) what a request carries besides (another Authorization, other
//   cookies) counts as it does on any route; a cookie that comes twice names nobody.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/http/message.h"
#include "headroom/http/storable.h"

namespace headroom::edge {

class Owners {
 public:
  // "authorization", "cookie:NAME" or "header:NAME".
  [[nodiscard]] static bool is_setting(std::string_view text);

  Owners() = default;
  explicit Owners(std::span<const std::string> settings);

  [[nodiscard]] bool any() const { return !parts_.empty(); }
  // Who asks, 32 hexadecimal digits; empty: nobody in particular. `rules` learns what of it the key then holds.
  [[nodiscard]] std::string of(const http::RequestHead& head, http::StoreRules& rules) const;

 private:
  struct Part {
    enum class Kind : std::uint8_t { authorization, cookie, header } kind;
    std::string name;
  };
  [[nodiscard]] static std::string_view value_of(const Part& part, const http::RequestHead& head);

  std::vector<Part> parts_;
};

// Whether "{user}" is in it.
[[nodiscard]] bool names_owner(std::string_view tag);
// A tag of a route's settings for this owner: "{user}" stands for who asks.
[[nodiscard]] std::string tag_for(std::string_view tag, std::string_view owner);

}  // namespace headroom::edge
