#include "headroom/http/path.h"

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::http {
namespace {

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

// Nothing in `path` can need work: no escape, backslash or ';', and no segment that is empty or begins with a dot.
bool is_plain(std::string_view path) {
  char before = 'x';
  for (const char c : path) {
    if (c == '%' || c == '\\' || c == ';' || (before == '/' && (c == '/' || c == '.')))
      return false;
    before = c;
  }
  return true;
}

bool is_dots(std::string_view segment) { return segment == "." || segment == ".."; }

// Decodes `segment` onto the end of `out`; the reason when it must be refused, else nullptr.
const char* append_decoded(std::string& out, std::string_view segment) {
  for (std::size_t i = 0; i < segment.size(); ++i) {
    const char c = segment[i];
    if (c == '\\') return "backslash in the path";
    if (c != '%') {
      out += c;
      continue;
    }
    const int high = i + 2 < segment.size() ? hex_value(segment[i + 1]) : -1;
    const int low = i + 2 < segment.size() ? hex_value(segment[i + 2]) : -1;
    if (high < 0 || low < 0) return "broken percent-escape in the path";
    const auto value = static_cast<unsigned char>(high * 16 + low);
    if (value < 0x20 || value == 0x7f) return "encoded control character in the path";
    if (value == '/' || value == '\\') return "encoded slash in the path";
    const char decoded = static_cast<char>(value);
    if (is_unreserved(decoded)) {
      out += decoded;
    } else {
      static constexpr std::string_view kHex = "0123456789ABCDEF";
      out += {'%', kHex[value >> 4U], kHex[value & 15U]};
    }
    i += 2;
  }
  return nullptr;
}

// Cuts the last segment of "/a/b/", which ends in its slash, leaving "/a/". False at the root.
bool drop_last_segment(std::string& out) {
  if (out.size() <= 1) return false;
  out.pop_back();
  out.resize(out.rfind('/') + 1);
  return true;
}

// Appends one segment to `out`, which ends in '/'.
const char* append_segment(std::string& out, std::string_view segment) {
  if (segment == ".") return nullptr;
  if (segment == "..") return drop_last_segment(out) ? nullptr : "path leaves the root";
  const std::size_t begin = out.size();
  if (const char* reason = append_decoded(out, segment)) return reason;
  const std::string_view decoded = std::string_view(out).substr(begin);
  if (is_dots(decoded.substr(0, decoded.find(';')))) return "ambiguous dots in the path";
  return nullptr;
}

}  // namespace

Result<std::string_view> normalised_path(std::string_view path, std::string& scratch) {
  if (path.empty() || path == "*") return path;
  if (path.front() != '/') return fail(Errc::invalid, "path does not begin with a slash");
  if (is_plain(path)) return path;
  scratch.assign(1, '/');
  for (std::size_t at = 1; at <= path.size();) {
    const std::size_t slash = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, slash - at);
    if (const char* reason = append_segment(scratch, segment)) return fail(Errc::invalid, reason);
    if (slash < path.size() && scratch.back() != '/') scratch += '/';
    at = slash + 1;
  }
  return std::string_view(scratch);
}

bool path_is_under(std::string_view prefix, std::string_view path) {
  if (prefix == "/") return true;
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.back() == '/' || path[prefix.size()] == '/';
}

bool host_matches(std::string_view pattern, std::string_view host) {
  if (pattern.empty()) return true;
  if (!pattern.starts_with('.')) return text::equal_ignoring_case(pattern, host);
  return host.size() > pattern.size() &&
         text::equal_ignoring_case(pattern, host.substr(host.size() - pattern.size()));
}

}  // namespace headroom::http
