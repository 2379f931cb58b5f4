// headroom/http/path.h - the path by which routes are matched: one spelling for all that servers read as the same.
//
// The request's own path is forwarded as it came; this form only decides. So wherever a server behind us might read the path in another
// way than we do, it is refused instead of guessed.
//
//   resolved   "." and ".." segments written plainly; "//" is one "/" (as nginx's merge_slashes); percent-escapes of unreserved
//              characters (RFC 3986 2.3); hexadecimal digits of the other escapes are capitals
//   refused    a broken escape; %00 and the other controls, %2F, %5C and "\"; a segment that becomes "." or ".." only by decoding or
//              by cutting its ";parameters"; ".." above the root
//
// Worker: pure. Invariant: the result of a result is itself.
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::http {

// `path` itself when there is nothing to change (no copy), else a view of `scratch`. "*" and "" stay as they are. Errc::invalid: answer 400.
[[nodiscard]] Result<std::string_view> normalised_path(std::string_view path, std::string& scratch);

// Whether `path`, normalised, is `prefix` or lies below it, by whole segments. "/" has every path below it.
[[nodiscard]] bool path_is_under(std::string_view prefix, std::string_view path);
// `pattern` exact, or ".example.org" for every name below it, or "" for every host; any letter case. Both without port.
[[nodiscard]] bool host_matches(std::string_view pattern, std::string_view host);

}  // namespace headroom::http
