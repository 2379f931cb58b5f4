// headroom/http/proxy_protocol.h - the PROXY protocol, versions 1 and 2 (haproxy.org/download/2.9/doc/proxy-protocol.txt).
//
//   v1: "PROXY" SP ("TCP4" | "TCP6") SP source SP destination SP port SP port CRLF     |  "PROXY UNKNOWN" ... CRLF
//   v2: 12 bytes of signature | version 2 << 4 | command (0 LOCAL, 1 PROXY) | family << 4 | transport | length, 16 bits | addresses, TLVs
//
// Worker: pure functions.
// Invariants: (1) the outcome does not depend on how the input is split; (2) `known` is set only for TCP over IPv4 or IPv6: for LOCAL,
//   UNKNOWN, Unix and datagram headers the connection's own addresses are the truth.
// Limits: 107 bytes for v1, kMaxV2Bytes for v2 with its TLVs, which are skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/address.h"
#include "headroom/http/parser.h"

namespace headroom::http {

struct ProxyAddresses {
  bool known = false;
  IpAddress source;
  IpAddress destination;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;

  bool operator==(const ProxyAddresses&) const = default;
};

inline constexpr std::size_t kMaxV1Bytes = 107;
inline constexpr std::size_t kMaxV2Bytes = 16 + 2048;

// `input` begins with the connection's first byte. Complete: `size` bytes belong to the header. A connection without a header is refused:
// where the header is expected, it must come.
[[nodiscard]] Parsed parse_proxy_header(std::string_view input, ProxyAddresses& addresses);

// Append a header for an upstream; unknown addresses become UNKNOWN or LOCAL.
void append_proxy_v1(std::string& out, const ProxyAddresses& addresses);
void append_proxy_v2(std::string& out, const ProxyAddresses& addresses);

}  // namespace headroom::http
