#include "headroom/http/proxy_protocol.h"

#include <gtest/gtest.h>

#include <string>

#include "headroom/http/codec_checks.h"

namespace headroom::http {
namespace {

struct Row {
  const char* sentence;
  std::string bytes;
  std::string outcome;  // "400", "more", "unknown", or "source:port destination:port"
};

std::string v2(std::string_view fixed, std::size_t length, std::string_view block) {
  std::string bytes("\r\n\r\n\0\r\nQUIT\n", 12);
  bytes += fixed;
  bytes += static_cast<char>(length >> 8U);
  bytes += static_cast<char>(length & 255U);
  return bytes + std::string(block);
}

const std::string kBlock4("\x01\x02\x03\x04\x05\x06\x07\x08\x00\x50\x01\xbb", 12);
const std::string kBlock6 = std::string(15, '\0') + "\x01" + std::string(15, '\0') + "\x02" +
                            std::string("\x00\x50\x01\xbb", 4);

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"v1 over IPv4", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r\nGET /", "1.2.3.4:80 5.6.7.8:443"},
      {"v1 over IPv6", "PROXY TCP6 ::1 ::2 0 65535\r\n", "::1:0 ::2:65535"},
      {"v1 unknown", "PROXY UNKNOWN\r\n", "unknown"},
      {"v1 unknown with anything", "PROXY UNKNOWN ff:ff any thing\r\n", "unknown"},
      {"v1 of 107 bytes", "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n", "unknown"},
      {"v1 of one byte more", "PROXY UNKNOWN " + std::string(92, 'x') + "\r\n", "400"},
      {"v1 without an end", "PROXY TCP4 1.2.3.4", "more"},
      {"v1 that never ends", "PROXY TCP4 " + std::string(120, '1'), "400"},
      {"no header", "GET / HTTP/1.1\r\n", "400"},
      {"a family of another version", "PROXY TCP5 1.2.3.4 5.6.7.8 80 443\r\n", "400"},
      {"an address of the other family", "PROXY TCP4 ::1 ::2 80 443\r\n", "400"},
      {"an IPv4 address as TCP6", "PROXY TCP6 1.2.3.4 5.6.7.8 80 443\r\n", "400"},
      {"an address that is none", "PROXY TCP4 1.2.3 5.6.7.8 80 443\r\n", "400"},
      {"a port beyond 65535", "PROXY TCP4 1.2.3.4 5.6.7.8 80 65536\r\n", "400"},
      {"a port with a zero in front", "PROXY TCP4 1.2.3.4 5.6.7.8 080 443\r\n", "400"},
      {"a signed port", "PROXY TCP4 1.2.3.4 5.6.7.8 +80 443\r\n", "400"},
      {"a port missing", "PROXY TCP4 1.2.3.4 5.6.7.8 80\r\n", "400"},
      {"a word too many", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443 x\r\n", "400"},
      {"two spaces", "PROXY TCP4  1.2.3.4 5.6.7.8 80 443\r\n", "400"},
      {"a bare LF", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\n", "400"},
      {"a bare CR", "PROXY TCP4 1.2.3.4 5.6.7.8 80 443\r ", "400"},

      {"v2 over IPv4", v2("\x21\x11", 12, kBlock4 + "GET"), "1.2.3.4:80 5.6.7.8:443"},
      {"v2 over IPv6", v2("\x21\x21", 36, kBlock6), "::1:80 ::2:443"},
      {"v2 with TLVs", v2("\x21\x11", 15, kBlock4 + "\x04\x01\x01"), "1.2.3.4:80 5.6.7.8:443"},
      {"v2 LOCAL", v2(std::string("\x20\x00", 2), 0, ""), "unknown"},
      {"v2 LOCAL with addresses to skip", v2("\x20\x11", 12, kBlock4), "unknown"},
      {"v2 over a Unix socket", v2("\x21\x31", 216, std::string(216, 'u')), "unknown"},
      {"v2 over UDP", v2("\x21\x12", 12, kBlock4), "unknown"},
      {"v2 not yet whole", v2("\x21\x11", 12, "\x01\x02"), "more"},
      {"v2 too short for its family", v2("\x21\x11", 11, kBlock4.substr(0, 11)), "400"},
      {"v2 too long", v2("\x21\x11", 2049, ""), "400"},
      {"v2 of another version", v2("\x31\x11", 12, kBlock4), "400"},
      {"v2 with another command", v2("\x22\x11", 12, kBlock4), "400"},
      {"v2 with another family", v2("\x21\x41", 12, kBlock4), "400"},
      {"v2 with another transport", v2("\x21\x13", 12, kBlock4), "400"},
      {"v2 with a broken signature", "\r\n\r\n\r\n", "400"},
  };
  return kRows;
}

std::string outcome_of(std::string_view bytes) {
  ProxyAddresses addresses;
  const Parsed parsed = parse_proxy_header(bytes, addresses);
  if (parsed.state == Parsed::State::incomplete) return "more";
  if (parsed.state == Parsed::State::refused) return std::to_string(parsed.refusal.status);
  if (!addresses.known) return "unknown";
  return fmt::format("{}:{} {}:{}", to_string(addresses.source), addresses.source_port,
                     to_string(addresses.destination), addresses.destination_port);
}

TEST(ProxyProtocol, EveryRowHasItsOutcomeAtEverySplit) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    EXPECT_EQ(outcome_of(row.bytes), row.outcome);
    for (std::size_t cut = 0; cut < row.bytes.size(); ++cut) {
      const std::string early = outcome_of(std::string_view(row.bytes).substr(0, cut));
      if (early != "more") ASSERT_EQ(early, row.outcome) << "cut at " << cut;
    }
    checks::check_proxy_protocol(row.bytes);
  }
}

TEST(ProxyProtocol, MixedFamiliesAreWrittenAsIpv6) {
  const ProxyAddresses mixed{true, *IpAddress::parse("1.2.3.4"), *IpAddress::parse("2001:db8::1"),
                             1, 2};
  std::string out;
  append_proxy_v1(out, mixed);
  EXPECT_EQ(out, "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 1 2\r\n");
  ProxyAddresses reread;
  EXPECT_EQ(parse_proxy_header(out, reread).state, Parsed::State::complete);
  EXPECT_EQ(reread, mixed);
}

}  // namespace
}  // namespace headroom::http
