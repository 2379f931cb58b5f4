#include <gtest/gtest.h>

#include <array>
#include <string>

#include "headroom/base/hash.h"
#include "headroom/http/codec_checks.h"

namespace headroom::http {
namespace {

constexpr std::array<std::string_view, 6> kRequests{
    "GET /bookings?page=2 HTTP/1.1\r\nHost: app.example.com\r\nConnection: keep-alive\r\nCookie: "
    "a=b\r\nAccept: */*\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nTrailer: "
    "X\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, x-own\r\nUpgrade: websocket\r\nX-Own: "
    "1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n",
    "\r\nOPTIONS http://a/b?c HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nTE: "
    "trailers\r\n\r\n",
    "PUT /%2e/x HTTP/1.0\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
};
constexpr std::array<std::string_view, 12> kPieces{"\r\n",
                                                   "\n",
                                                   "\r",
                                                   ":",
                                                   " ",
                                                   "\t",
                                                   "chunked",
                                                   "Content-Length: 5\r\n",
                                                   "Transfer-Encoding: chunked\r\n",
                                                   "0\r\n\r\n",
                                                   "Host: b\r\n",
                                                   "\xff"};

// One change: a byte flipped, put in or taken out, a line doubled, a piece put in, or the tail of another request.
void mutate(std::string& bytes, Random& random) {
  const std::size_t at = random.below(bytes.size() + 1);
  switch (random.below(6)) {
    case 0:
      if (at < bytes.size())
        bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << random.below(8)));
      return;
    case 1: bytes.insert(at, 1, static_cast<char>(random.below(256))); return;
    case 2:
      if (at < bytes.size()) bytes.erase(at, 1 + random.below(4));
      return;
    case 3: {
      const std::size_t begin = bytes.rfind('\n', at);
      const std::size_t end = bytes.find('\n', at);
      if (begin != std::string::npos && end != std::string::npos && begin < end)
        bytes.insert(end + 1, bytes.substr(begin + 1, end - begin));
      return;
    }
    case 4: bytes.insert(at, kPieces[random.below(kPieces.size())]); return;
    default: {
      const std::string_view other = kRequests[random.below(kRequests.size())];
      bytes.replace(at, std::string::npos, other.substr(random.below(other.size())));
    }
  }
}

TEST(Mutations, TwentyThousandChangedRequestsKeepEveryInvariant) {
  Random random(20240621);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(kRequests[random.below(kRequests.size())]);
    for (std::size_t changes = 1 + random.below(4); changes > 0; --changes) mutate(bytes, random);
    checks::check_request(bytes);
    checks::check_chunked(bytes.substr(std::min(bytes.size(), bytes.find("\r\n\r\n"))));
    checks::check_path(bytes.substr(std::min(bytes.size(), bytes.find('/')), 20));
  }
}

}  // namespace
}  // namespace headroom::http
