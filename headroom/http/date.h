// headroom/http/date.h - reading HTTP dates (RFC 9110 5.6.7) in all three formats; HttpDate of writer.h writes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headroom::http {

// Seconds since 1970. Strict: exactly one of
//   Sun, 06 Nov 1994 08:49:37 GMT      IMF-fixdate
//   Sunday, 06-Nov-94 08:49:37 GMT     RFC 850; a year more than 50 years after `now` is in the century before
//   Sun Nov  6 08:49:37 1994           asctime
// The day's name is not compared with the date; a leap second (:60) is the next second.
[[nodiscard]] std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now);

}  // namespace headroom::http
