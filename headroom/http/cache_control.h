// headroom/http/cache_control.h - the directives of caching: Cache-Control (RFC 9111 5.2, 5861, 8246), CDN-Cache-Control (RFC 9213), Pragma.
//
// Worker: pure. A CacheControl is a plain value without views.
// Invariants, wherever a message contradicts itself or the grammar: the reading that caches less. (1) Of a number named twice the one
//   that allows less counts; (2) max-age or s-maxage that is no number is 0; (3) a quoted string that does not end is no-store;
//   (4) numbers above 2^31 are 2^31 (RFC 9111 1.2.2). Unknown directives are ignored.
// Limits: those of the head.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "headroom/http/message.h"

namespace headroom::http {

struct CacheControl {
  static constexpr std::uint32_t kNone = 0xffffffffU;
  static constexpr std::uint32_t kMostSeconds = 1U << 31U;

  // Seconds; kNone: not there. max_stale without a number is kMostSeconds.
  std::uint32_t max_age = kNone;
  std::uint32_t s_maxage = kNone;
  std::uint32_t stale_while_revalidate = kNone;
  std::uint32_t stale_if_error = kNone;
  std::uint32_t max_stale = kNone;  // requests
  std::uint32_t min_fresh = kNone;  // requests
  bool no_store = false;
  bool no_cache = false;    // without field names
  bool is_private = false;  // without field names
  bool is_public = false;
  bool must_revalidate = false;
  bool proxy_revalidate = false;
  bool must_understand = false;
  bool no_transform = false;
  bool immutable = false;
  bool only_if_cached = false;    // requests
  bool withholds_fields = false;  // no-cache="..." or private="...": withheld_fields() names them

  bool operator==(const CacheControl&) const = default;
};

// Adds what one field's value says.
void add_cache_control(std::string_view value, CacheControl& to);

// Of a request; {} at once when it has neither Cache-Control nor Pragma. Pragma: no-cache counts where there is no Cache-Control.
[[nodiscard]] CacheControl request_directives(const RequestHead& head);

struct Directives : CacheControl {
  // They are CDN-Cache-Control's: Cache-Control, Expires and Pragma do not count for us (RFC 9213 2.2).
  bool targeted = false;
  bool operator==(const Directives&) const = default;
};

// Of a response. CDN-Cache-Control counts alone where it is there, not empty and a dictionary.
[[nodiscard]] Directives response_directives(const ResponseHead& head);

// The field names in no-cache="..." and private="..." of all Cache-Control fields: not to be stored, nor sent to another client. Views into
// the head, any letter case.
[[nodiscard]] std::vector<std::string_view> withheld_fields(const ResponseHead& head);

}  // namespace headroom::http
