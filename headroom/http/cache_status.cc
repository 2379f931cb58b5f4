#include "headroom/http/cache_status.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

namespace headroom::http {
namespace {

constexpr std::array<std::string_view, 9> kReasons{
    "", "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"};

void append_string(std::string& to, std::string_view name, std::string_view value) {
  to.append("; ").append(name).append("=\"");
  for (const char c : value) {
    if (c == '"' || c == '\\') to += '\\';
    to += c < 0x20 || c > 0x7e ? '?' : c;
  }
  to += '"';
}

}  // namespace

void append_cache_status(std::string& to, const CacheStatus& status) {
  const auto out = std::back_inserter(to);
  to += "Headroom";
  if (status.forwarded == Forwarded::none) {
    to += "; hit";
  } else {
    fmt::format_to(out, "; fwd={}", kReasons[static_cast<std::size_t>(status.forwarded)]);
  }
  if (status.forwarded_status != 0) fmt::format_to(out, "; fwd-status={}", status.forwarded_status);
  if (status.ttl) fmt::format_to(out, "; ttl={}", *status.ttl);
  if (status.stored) to += "; stored";
  if (status.collapsed) to += "; collapsed";
  if (!status.key.empty()) append_string(to, "key", status.key);
  if (!status.detail.empty()) append_string(to, "detail", status.detail);
}

}  // namespace headroom::http
