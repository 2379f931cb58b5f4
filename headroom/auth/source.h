// headroom/auth/source.h - whether a browser may be asking on behalf of a page that is not ours: Host and Origin.
//
// A port on loopback is no protection: a page of any site can have its name resolve to 127.0.0.1 (DNS rebinding; then Host
// is that name) or post to http://127.0.0.1:9090 (CSRF; then Origin is that site). The checks are for every request of
// the admin listener, before its token is looked at.
//
// Owns: nothing; pure functions.
// Worker and threads: any.
// Invariants: (1) what is not understood is refused; (2) a header that came twice is refused by the caller (http/ gives
//   one value or an error).
// Limits: none of its own; http/ bounds headers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::auth {

enum class Act : std::uint8_t {
  read,     // GET, HEAD: changes nothing, and no other site's page can read the answer
  change,   // all other methods
  connect,  // a WebSocket upgrade: a GET that browsers send across sites without asking
};

// The header fields that say where a request comes from; absent ones are nullopt.
struct Source {
  Act act = Act::read;
  std::string_view host{};
  std::optional<std::string_view> origin{};
  std::optional<std::string_view> fetch_site{};  // Sec-Fetch-Site
  std::optional<std::string_view>
      content_type{};  // of a change that has a body; nullopt when there is no body
};

// Errc::unauthorized (403) with the reason, naming the setting that would allow it where there is one.
// `names`: the configured host names, without port.
[[nodiscard]] Result<> check_source(const Source& source, std::span<const std::string> names);

// "[::1]:9090", "127.0.0.1", "localhost:9090" or one of `names` (any case), with or without a port.
[[nodiscard]] bool host_allowed(std::string_view host, std::span<const std::string> names);
// Whether Origin names the host that was asked: the same host and port, 80 and 443 being implied by its scheme.
[[nodiscard]] bool origin_matches(std::string_view origin, std::string_view host);
// "application/json", with or without parameters: a type that no form can send.
[[nodiscard]] bool is_json(std::string_view content_type);

}  // namespace headroom::auth
