// headroom/sql/values.h - texts as SQL: literals and identifiers that cannot be anything else.
#pragma once

#include <string>
#include <string_view>

namespace headroom::sql {

// E'...': means the same whatever standard_conforming_strings is.
[[nodiscard]] std::string literal(std::string_view text);
// Each part of a.b in quotes.
[[nodiscard]] std::string identifier(std::string_view name);

}  // namespace headroom::sql
