#include "headroom/config/values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/base/text.h"

namespace headroom::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t size;
};

constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMinute = 60 * kSecond;
constexpr std::uint64_t kHour = 60 * kMinute;
constexpr std::uint64_t kDay = 24 * kHour;

// The first name of a size is the one that show() writes.
constexpr auto kTimeUnits = std::to_array<Unit>({{"d", kDay},
                                                 {"day", kDay},
                                                 {"h", kHour},
                                                 {"hour", kHour},
                                                 {"m", kMinute},
                                                 {"min", kMinute},
                                                 {"minute", kMinute},
                                                 {"s", kSecond},
                                                 {"sec", kSecond},
                                                 {"second", kSecond},
                                                 {"ms", 1'000'000},
                                                 {"us", 1'000},
                                                 {"ns", 1}});

constexpr auto kSizeUnits = std::to_array<Unit>({{"", 1},
                                                 {"b", 1},
                                                 {"k", 1ULL << 10U},
                                                 {"kb", 1ULL << 10U},
                                                 {"kib", 1ULL << 10U},
                                                 {"m", 1ULL << 20U},
                                                 {"mb", 1ULL << 20U},
                                                 {"mib", 1ULL << 20U},
                                                 {"g", 1ULL << 30U},
                                                 {"gb", 1ULL << 30U},
                                                 {"gib", 1ULL << 30U},
                                                 {"t", 1ULL << 40U},
                                                 {"tb", 1ULL << 40U},
                                                 {"tib", 1ULL << 40U}});

std::optional<std::uint64_t> unit_size(std::string_view name, std::span<const Unit> units) {
  const auto found = std::ranges::find(units, name, &Unit::name);
  return found == units.end() ? std::nullopt : std::optional(found->size);
}

// "64k" as 64 of the unit "k", if the product is at most `most`.
std::optional<std::uint64_t> measured(std::string_view text, std::span<const Unit> units,
                                      std::uint64_t most) {
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto count = text::to_u64(text.substr(0, digits));
  const auto size = unit_size(text.substr(digits), units);
  if (!count || !size || *count > most / *size) return std::nullopt;
  return *count * *size;
}

constexpr auto kLongest = static_cast<std::uint64_t>(Duration::max().count());

std::string shown_time(std::uint64_t nanoseconds) {
  if (nanoseconds == 0) return "0";
  const auto unit = std::ranges::find_if(
      kTimeUnits, [nanoseconds](const Unit& u) { return nanoseconds % u.size == 0; });
  return fmt::format("{}{}", nanoseconds / unit->size, unit->name);
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

bool is_ipv6(std::string_view host) {
  in6_addr ignored{};
  const std::string text(host.substr(0, host.find('%')));  // without the zone
  return inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
}

bool is_host(std::string_view host, bool bracketed) {
  if (bracketed) return is_ipv6(host);
  return host.size() <= 253 && std::ranges::all_of(host, is_name_character);
}

std::optional<Address> unix_address(std::string_view path) {
  constexpr std::size_t kLongestPath = 107;  // sockaddr_un::sun_path with its NUL
  if (!path.starts_with('/') || path.size() > kLongestPath) return std::nullopt;
  if (path.find('\0') != std::string_view::npos) return std::nullopt;
  return Address{.unix_path = std::string(path)};
}

// Replaces what stands between each `before` and the next of `ends` by ***.
void mask_after(std::string& text, std::string_view before, std::string_view ends) {
  std::size_t at = 0;
  while ((at = text::lowered(text).find(before, at)) != std::string::npos) {
    at += before.size();
    const std::size_t end = std::min(text.find_first_of(ends, at), text.size());
    text.replace(at, end - at, "***");
  }
}

}  // namespace

std::optional<bool> Value<bool>::parse(std::string_view text) {
  for (const std::string_view yes : {"true", "on", "yes", "1"}) {
    if (text::equal_ignoring_case(text, yes)) return true;
  }
  for (const std::string_view no : {"false", "off", "no", "0"}) {
    if (text::equal_ignoring_case(text, no)) return false;
  }
  return std::nullopt;
}

std::optional<double> Value<double>::parse(std::string_view text) {
  double value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto read = std::from_chars(begin, end, value);
  if (read.ec != std::errc{} || read.ptr != end || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::string Value<double>::show(double value) { return fmt::format("{}", value); }

std::optional<std::string> Value<std::string>::parse(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  return std::string(text);
}

std::optional<Duration> Value<Duration>::parse(std::string_view text) {
  if (text == "0") return Duration::zero();
  const auto nanoseconds = measured(text, kTimeUnits, kLongest);
  if (!nanoseconds) return std::nullopt;
  return Duration(static_cast<std::int64_t>(*nanoseconds));
}

std::string Value<Duration>::show(Duration value) {
  if (value < Duration::zero()) return "-" + show(-value);  // only a computed one; never parsed
  return shown_time(static_cast<std::uint64_t>(value.count()));
}

std::optional<Bytes> Value<Bytes>::parse(std::string_view text) {
  const auto count =
      measured(text::lowered(text), kSizeUnits, std::numeric_limits<std::uint64_t>::max());
  return count ? std::optional(Bytes{*count}) : std::nullopt;
}

std::optional<Rate> Value<Rate>::parse(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string_view count_text = text.substr(0, slash);
  if (count_text.ends_with('r')) count_text.remove_suffix(1);  // nginx: 100r/s
  const std::string_view period_text = text.substr(slash + 1);
  const auto count = text::to_u64(count_text);
  const auto unit = unit_size(period_text, kTimeUnits);
  const auto period = unit ? unit : measured(period_text, kTimeUnits, kLongest);
  if (!count || *count == 0 || !period || *period == 0) return std::nullopt;
  return Rate{*count, Duration(static_cast<std::int64_t>(*period))};
}

std::string Value<Rate>::show(Rate value) {
  std::string period = Value<Duration>::show(value.period);
  if (period.ends_with('m')) period += "in";  // "100/min", as people write it
  if (period.starts_with('1') && unit_size(period.substr(1), kTimeUnits)) period.erase(0, 1);
  return fmt::format("{}/{}", value.count, period);
}

std::optional<Address> Value<Address>::parse(std::string_view text) {
  if (text.starts_with("unix:")) return unix_address(text.substr(5));
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view port_text = text.substr(colon + 1);
  const auto port = Value<std::uint16_t>::parse(port_text);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!port || !is_host(host, bracketed)) return std::nullopt;
  return Address{.host = std::string(host), .port = *port, .unix_path = {}};
}

std::string Value<Address>::show(const Address& value) {
  if (value.is_unix()) return "unix:" + value.unix_path;
  const bool literal6 = value.host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(literal6 ? "[{}]:{}" : "{}:{}"), value.host, value.port);
}

std::string without_password(std::string_view text) {
  std::string out(text);
  const auto scheme = out.find("://");
  if (scheme != std::string::npos) {
    const std::size_t authority = scheme + 3;
    const std::size_t end = std::min(out.find_first_of("/?#", authority), out.size());
    const std::size_t at = out.rfind('@', end);
    const std::size_t colon = out.find(':', authority);
    if (at != std::string::npos && at >= authority && colon < at) {
      out.replace(colon + 1, at - colon - 1, "***");
    }
  }
  mask_after(out, "password=", "& ");
  return out;
}

}  // namespace headroom::config
