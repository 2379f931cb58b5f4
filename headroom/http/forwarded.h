// headroom/http/forwarded.h - who the client is, read from X-Forwarded-For or Forwarded (RFC 7239), and what we tell the next hop.
//
// Worker: pure functions.
// Invariants: (1) a header is believed only as far as trusted proxies wrote it: it is walked from its right end, and the first address
//   that is no trusted proxy is the client, whatever stands left of it; (2) an element that is no address ends the walk at the last
//   trusted proxy, which is then the client's known address.
// Limits: 32 elements of Forwarded from the right; a longer chain counts from there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/address.h"
#include "headroom/http/message.h"

namespace headroom::http {

enum class ClientHeader : std::uint8_t { x_forwarded_for, forwarded };

// The client's address for a request that came from `peer`.
[[nodiscard]] IpAddress client_address(const IpAddress& peer, const Head& head,
                                       std::span<const Cidr> trusted,
                                       ClientHeader header = ClientHeader::x_forwarded_for);

// What the next hop is told of this one.
struct Hop {
  IpAddress
      client;  // of the connection to us, after the walk or before it as the caller's policy says
  std::string_view host;    // the authority asked for; may be empty
  std::string_view scheme;  // "http" or "https"
};

// Each appends a value (no name, no line end). `received` are the values that came with a request from a trusted proxy, kept in front and
// joined by ", "; give none for any other peer, so that nothing it claims is passed on.
void append_x_forwarded_for(std::string& out, const Head* received, const IpAddress& client);
// for=192.0.2.1;host=example.com;proto=https - IPv6 and ports are quoted: for="[2001:db8::1]".
void append_forwarded(std::string& out, const Head* received, const Hop& hop);
// Always continues what was received: Via finds loops. "1.1 headroom".
void append_via(std::string& out, const Head& received, std::string_view pseudonym);

}  // namespace headroom::http
