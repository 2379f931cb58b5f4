#include "headroom/auth/source.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

struct Authority {
  std::string name;  // in lower case; an IPv6 address without its brackets
  std::optional<std::uint64_t> port;
  bool bracketed = false;
};

bool is_port(std::string_view digits) {
  const auto port = text::to_u64(digits);
  return port && *port > 0 && *port <= 65535 && digits.size() <= 5;
}

bool is_address(int family, const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  return ::inet_pton(family, text.c_str(), parsed.data()) == 1;
}

// host [":" port] (RFC 3986 section 3.2.2); nothing when it is neither a name nor an address.
std::optional<Authority> authority_of(std::string_view text) {
  Authority authority;
  std::string_view rest;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    authority.name = text::lowered(text.substr(1, end - 1));
    authority.bracketed = true;
    rest = text.substr(end + 1);
  } else {
    const auto colon = std::min(text.find(':'), text.size());
    authority.name = text::lowered(text.substr(0, colon));
    rest = text.substr(colon);
  }
  if (authority.name.empty()) return std::nullopt;
  if (rest.empty()) return authority;
  if (rest.front() != ':' || !is_port(rest.substr(1))) return std::nullopt;
  authority.port = text::to_u64(rest.substr(1));
  return authority;
}

std::uint64_t port_of(const Authority& authority, std::uint64_t implied) {
  return authority.port.value_or(implied);
}

std::unexpected<Error> refuse(std::string message) {
  return fail(Errc::unauthorized, std::move(message));
}

Result<> check_origin(const Source& source) {
  if (source.fetch_site && *source.fetch_site != "same-origin" && *source.fetch_site != "none")
    return refuse("a page of another site may not do this");
  if (source.origin && !origin_matches(*source.origin, source.host))
    return refuse("Origin is not the address that was asked");
  return {};
}

}  // namespace

bool host_allowed(std::string_view host, std::span<const std::string> names) {
  const auto authority = authority_of(host);
  if (!authority) return false;
  if (authority->bracketed) return is_address(AF_INET6, authority->name);
  if (authority->name == "localhost" || is_address(AF_INET, authority->name)) return true;
  return std::ranges::any_of(names, [&](const std::string& name) {
    return text::equal_ignoring_case(name, authority->name);
  });
}

bool origin_matches(std::string_view origin, std::string_view host) {
  std::uint64_t implied = 0;
  for (const auto& [scheme, port] : {std::pair("http://", 80U), std::pair("https://", 443U)}) {
    if (!origin.starts_with(scheme)) continue;
    implied = port;
    origin.remove_prefix(std::string_view(scheme).size());
    break;
  }
  const auto from = authority_of(origin);
  const auto asked = authority_of(host);
  return implied != 0 && from && asked && from->name == asked->name &&
         from->bracketed == asked->bracketed && port_of(*from, implied) == port_of(*asked, implied);
}

bool is_json(std::string_view content_type) {
  const auto type = text::trimmed(content_type.substr(0, content_type.find(';')));
  return text::equal_ignoring_case(type, "application/json");
}

Result<> check_source(const Source& source, std::span<const std::string> names) {
  if (!host_allowed(source.host, names))
    return refuse("Host is not an IP address, localhost or a name in [admin] hosts");
  if (source.act == Act::read) return {};
  if (auto same = check_origin(source); !same) return same;
  if (source.act == Act::change && source.content_type && !is_json(*source.content_type))
    return refuse("the body must be application/json");
  return {};
}

}  // namespace headroom::auth
