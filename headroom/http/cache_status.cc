#include "headroom/http/cache_status.h"

#include <array>

#include "headroom/http/writer.h"

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

std::uint64_t magnitude(std::int64_t value) {
  return value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
}

}  // namespace

void append_cache_status(std::string& to, const CacheStatus& status) {
  to.reserve(to.size() + 64 + status.key.size() + status.detail.size());
  to += "Headroom";
  if (status.forwarded == Forwarded::none) {
    to += "; hit";
  } else {
    to.append("; fwd=").append(kReasons[static_cast<std::size_t>(status.forwarded)]);
  }
  if (status.forwarded_status != 0)
    to.append("; fwd-status=").append(Digits(status.forwarded_status).view());
  if (status.ttl)
    to.append(*status.ttl < 0 ? "; ttl=-" : "; ttl=").append(Digits(magnitude(*status.ttl)).view());
  if (status.stored) to += "; stored";
  if (status.collapsed) to += "; collapsed";
  if (!status.key.empty()) append_string(to, "key", status.key);
  if (!status.detail.empty()) append_string(to, "detail", status.detail);
}

}  // namespace headroom::http
