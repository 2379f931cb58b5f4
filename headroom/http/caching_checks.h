// headroom/http/caching_checks.h - what must hold for any field values whatever; the fuzzers call these. Tests only.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/date.h"
#include "headroom/http/ranges.h"
#include "headroom/http/structured.h"
#include "headroom/http/writer.h"

namespace headroom::http::checks {

inline void check_cache_control(std::string_view value) {
  CacheControl once;
  add_cache_control(value, once);
  // Saying it twice changes nothing; saying more never allows more.
  CacheControl twice = once;
  add_cache_control(value, twice);
  HR_ASSERT((once == twice));
  CacheControl stricter = once;
  add_cache_control("max-age=5, s-maxage=5, no-store", stricter);
  HR_ASSERT(stricter.max_age <= once.max_age);
  HR_ASSERT(stricter.no_store);
  HR_ASSERT((once.max_age <= CacheControl::kMostSeconds || once.max_age == CacheControl::kNone));
  constexpr std::int64_t kNow = 1'700'000'000;
  if (const auto when = parse_http_date(value, kNow)) {
    const HttpDate text{std::chrono::sys_seconds(std::chrono::seconds(*when))};
    HR_ASSERT((parse_http_date(text.view(), kNow) == when || *when >= 253402300800));
  }
}

inline void check_structured(std::string_view text) {
  const auto members = structured::parse_dictionary(text);
  const auto values = structured::parse_list(text);
  if (members) {
    for (const auto& member : *members) HR_ASSERT(!member.key.empty());
    HR_ASSERT(members->size() <= 64U);
    // Padding and one more member make no difference.
    const auto again = structured::parse_dictionary(" " + std::string(text) + " ");
    HR_ASSERT((again && again->size() == members->size()));
  }
  if (values) {
    for (const auto& value : *values) HR_ASSERT(value.text().size() <= value.raw.size());
  }
}

// The first eight bytes are the size.
inline void check_range(std::string_view bytes) {
  std::uint64_t size = 0;
  for (const char c : bytes.substr(0, 8)) size = (size << 8U) | static_cast<unsigned char>(c);
  size >>= 1U + size % 60;
  const RangeAnswer answer =
      parse_range(bytes.substr(std::min<std::size_t>(8, bytes.size())), size);
  HR_ASSERT((answer.kind == RangeAnswer::Kind::partial) == !answer.parts.empty());
  HR_ASSERT(answer.parts.size() <= 8U);
  std::uint64_t sum = 0;
  for (const ByteRange& part : answer.parts) {
    HR_ASSERT(part.first <= part.last);
    HR_ASSERT(part.last < size);
    sum += part.size();
  }
  HR_ASSERT(sum <= size);
}

}  // namespace headroom::http::checks
