// headroom/pgwire/startup.h - what a connection begins with: start-up, SSLRequest, GSSENCRequest, CancelRequest; and their writers.
//
// Owns: nothing. Threads: none; pure functions.
// Invariants: (1) a packet is at most kLongestStartup bytes, checked by its length before it is buffered; (2) a parameter without a name, a name
//   without a value or bytes behind the end are refused (CVE-2026-107349 of PgBouncer was an endless loop there).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/pgwire/frame.h"

namespace headroom::pgwire {

inline constexpr std::uint32_t kLongestStartup = 10'000;
inline constexpr std::uint32_t kProtocol30 = 3U << 16U;
inline constexpr std::uint32_t kProtocol32 = 3U << 16U | 2U;
inline constexpr char kTlsHandshake =
    0x16;  // the first byte of a client that begins with TLS at once

struct Startup {
  enum class Kind : std::uint8_t { start, ssl, gss, cancel };
  Kind kind = Kind::start;
  std::uint32_t protocol = 0;                                     // of start
  std::vector<std::pair<std::string, std::string>> parameters{};  // of start, in their order
  std::vector<std::string> unknown{};                             // names that begin with _pq_.
  std::uint32_t pid = 0;                                          // of cancel
  std::string key{};                                              // of cancel, 4 to 256 bytes

  [[nodiscard]] std::string_view parameter(std::string_view name) const;
};

// How many bytes the packet has that begins with these four or more; Errc::protocol when that is impossible.
[[nodiscard]] Result<std::uint32_t> startup_size(std::string_view bytes);
// A whole packet. Errc::protocol; `protocol` of another major version is Errc::invalid.
[[nodiscard]] Result<Startup> parse_startup(std::string_view packet);

void append_startup(std::string& out,
                    const std::vector<std::pair<std::string, std::string>>& parameters);
void append_ssl_request(std::string& out);
void append_cancel(std::string& out, std::uint32_t pid, std::string_view key);

}  // namespace headroom::pgwire
