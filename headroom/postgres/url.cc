#include "headroom/postgres/url.h"

#include <fmt/format.h>

#include "headroom/base/text.h"

namespace headroom::postgres {
namespace {

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char low = text::lower(c);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

Result<std::string> decoded(std::string_view part) {
  std::string bytes;
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '%') {
      bytes += part[i];
      continue;
    }
    const int high = i + 2 < part.size() ? digit_of(part[i + 1]) : -1;
    const int low = i + 2 < part.size() ? digit_of(part[i + 2]) : -1;
    if (high < 0 || low < 0 || high * 16 + low == 0)
      return fail(Errc::invalid, "a '%' that is not followed by two hexadecimal digits");
    bytes += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return bytes;
}

Result<> take_option(Target& target, std::string_view name, const std::string& value) {
  if (name == "sslmode") {
    if (value == "disable")
      target.tls = TlsMode::disable;
    else if (value == "prefer" || value == "allow")
      target.tls = TlsMode::prefer;
    else if (value == "require")
      target.tls = TlsMode::require;
    else if (value == "verify-full")
      target.tls = TlsMode::verify_full;
    else
      return fail(
          Errc::invalid,
          fmt::format("sslmode={}: expected disable, prefer, require or verify-full", value));
    return {};
  }
  if (name == "sslrootcert")
    target.root_certificate = value;
  else if (name == "host")
    target.host = value;
  else if (name == "user")
    target.user = value;
  else if (name == "password")
    target.password = value;
  else if (name == "dbname")
    target.database = value;
  else if (name == "options")
    target.options = value;
  else if (name == "port") {
    const auto port = text::to_u64(value);
    if (!port || *port == 0 || *port > 65535) return fail(Errc::invalid, "the port is 1 to 65535");
    target.port = static_cast<std::uint16_t>(*port);
  } else if (name != "application_name" && name != "connect_timeout" &&
             name != "target_session_attrs") {
    return fail(Errc::invalid, fmt::format("unknown parameter '{}' in the URL", name));
  }
  return {};
}

Result<> take_query(Target& target, std::string_view query) {
  for (const std::string_view pair : text::split(query, '&')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos)
      return fail(Errc::invalid, fmt::format("'{}' has no '='", pair));
    auto value = decoded(pair.substr(equals + 1));
    if (!value) return pass(value);
    if (auto taken = take_option(target, pair.substr(0, equals), *value); !taken) return taken;
  }
  return {};
}

Result<> take_host(Target& target, std::string_view place) {
  std::string_view port;
  if (place.starts_with('[')) {
    const std::size_t end = place.find(']');
    if (end == std::string_view::npos)
      return fail(Errc::invalid, "an IPv6 address without its ']'");
    target.host = place.substr(1, end - 1);
    place.remove_prefix(end + 1);
    if (!place.empty() && !place.starts_with(':'))
      return fail(Errc::invalid, "what follows ']' is not a port");
    port = place.substr(std::min<std::size_t>(1, place.size()));
  } else {
    const std::size_t colon = place.rfind(':');
    auto host = decoded(place.substr(0, colon));
    if (!host) return pass(host);
    if (!host->empty()) target.host = std::move(*host);
    if (colon != std::string_view::npos) port = place.substr(colon + 1);
  }
  return port.empty() ? Result<>{} : take_option(target, "port", std::string(port));
}

}  // namespace

std::string Target::address() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<Target> parse_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::string_view kind = url.substr(0, std::min(scheme, url.find('+')));
  if (scheme == std::string_view::npos || (kind != "postgresql" && kind != "postgres"))
    return fail(Errc::invalid, "a PostgreSQL URL begins with postgresql://");
  std::string_view rest = url.substr(scheme + 3);
  Target target;
  std::string_view query;
  if (const std::size_t mark = rest.find('?'); mark != std::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  const std::size_t slash = rest.find('/');
  std::string_view place = rest.substr(0, slash);
  if (slash != std::string_view::npos) {
    auto database = decoded(rest.substr(slash + 1));
    if (!database) return pass(database);
    target.database = std::move(*database);
  }
  if (const std::size_t at = place.rfind('@'); at != std::string_view::npos) {
    const std::string_view who = place.substr(0, at);
    const std::size_t colon = who.find(':');
    auto user = decoded(who.substr(0, colon));
    auto password =
        colon == std::string_view::npos ? Result<std::string>{""} : decoded(who.substr(colon + 1));
    if (!user) return pass(user);
    if (!password) return pass(password);
    target.user = std::move(*user);
    target.password = std::move(*password);
    place.remove_prefix(at + 1);
  }
  if (auto taken = take_host(target, place); !taken) return pass(taken);
  if (auto taken = take_query(target, query); !taken) return pass(taken);
  if (target.user.empty()) return fail(Errc::invalid, "the URL names no user");
  if (target.database.empty()) target.database = target.user;
  return target;
}

}  // namespace headroom::postgres
