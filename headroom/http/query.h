// headroom/http/query.h - the fields of a query: "a=1&b=x%20y" as pairs, decoded as forms are (RFC 3986 escapes, "+" is a space).
//
// Owns: the decoded texts. Worker: any. Limits: kMostQueryFields.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/error.h"

namespace headroom::http {

inline constexpr std::size_t kMostQueryFields = 100;

using QueryFields = std::vector<std::pair<std::string, std::string>>;

// In their order; a field without "=" has an empty value. Errc::invalid: a broken escape, or too many.
[[nodiscard]] Result<QueryFields> query_fields(std::string_view query);
// The first of that name.
[[nodiscard]] std::optional<std::string_view> find_field(const QueryFields& fields,
                                                         std::string_view name);

}  // namespace headroom::http
