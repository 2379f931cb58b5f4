// headroom/http/cookie.h - the Cookie field: one cookie taken out of it, the others left as they came.
//
//   cookie-string = cookie-pair *( ";" SP cookie-pair )                          (RFC 6265 4.2.1)
//
// Worker: pure. Invariants: (1) what is left reads as if the cookie had never been sent; (2) a name is compared exactly, letter case too.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headroom::http {

// Takes every cookie of that name out of a field's value, in place; their values are added to `taken`. Returns how many bytes are left at its
// beginning.
[[nodiscard]] std::size_t cut_cookie(std::span<char> value, std::string_view name,
                                     std::vector<std::string>& taken);

}  // namespace headroom::http
