#include "headroom/websocket/handshake.h"

#include <gtest/gtest.h>

#include "headroom/http/parser.h"

namespace headroom::websocket {
namespace {

constexpr std::string_view kGood =
    "Host: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

// A request's head, with the text that it views.
struct Asked {
  explicit Asked(std::string text) : bytes(std::move(text)) {
    http::ScanState scan;
    const auto parsed = http::parse_request_head(bytes, http::HeadLimits{}, scan, head);
    EXPECT_EQ(parsed.state, http::Parsed::State::complete) << bytes;
  }
  std::string bytes;
  http::RequestHead head;
};

Asked get(std::string_view lines) {
  return Asked("GET /app HTTP/1.1\r\n" + std::string(lines) + "\r\n");
}

std::string without(std::string_view lines, std::string_view line) {
  std::string text(lines);
  const std::size_t at = text.find(line);
  EXPECT_NE(at, std::string::npos) << line;
  return text.erase(at, text.find("\r\n", at) + 2 - at);
}

unsigned refusal(const Asked& asked) {
  const auto read = read_handshake(asked.head);
  return read ? 101 : read.error().status;
}

TEST(HandshakeTest, TheSampleOfTheRfcIsAnswered) {
  const Asked asked = get(kGood);
  const auto read = read_handshake(asked.head);
  ASSERT_TRUE(read);
  EXPECT_EQ(accept(*read),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

TEST(HandshakeTest, WhatIsNoHandshakeIsRefusedWithTheReasonsStatus) {
  EXPECT_EQ(refusal(get(kGood)), 101U);
  EXPECT_EQ(refusal(Asked("POST / HTTP/1.1\r\n" + std::string(kGood) + "\r\n")), 400U);
  EXPECT_EQ(refusal(get(without(kGood, "Upgrade: WebSocket"))), 426U);
  EXPECT_EQ(refusal(get(without(kGood, "Connection:"))), 426U);
  EXPECT_EQ(refusal(get(without(kGood, "Sec-WebSocket-Version"))), 426U);
  EXPECT_EQ(refusal(get(without(kGood, "Sec-WebSocket-Version") + "Sec-WebSocket-Version: 8\r\n")),
            426U);
  EXPECT_EQ(refusal(get(std::string(kGood) + "Sec-WebSocket-Version: 13\r\n")), 426U);
  EXPECT_EQ(refusal(get(without(kGood, "Sec-WebSocket-Key"))), 400U);
  EXPECT_EQ(refusal(get(std::string(kGood) + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")),
            400U);
  for (const std::string key : {"", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZR==",
                                "dGhlIHNhbXBsZSBub25jZQ==AAAA", "????IHNhbXBsZSBub25jZQ=="}) {
    EXPECT_EQ(
        refusal(get(without(kGood, "Sec-WebSocket-Key") + "Sec-WebSocket-Key: " + key + "\r\n")),
        400U)
        << key;
  }
}

TEST(HandshakeTest, SubprotocolsAreOfferedInOrderAndOneMayBeChosen) {
  const Asked asked = get(std::string(kGood) +
                          "Sec-WebSocket-Protocol: one, two\r\nSec-WebSocket-Protocol: three\r\n");
  const auto read = read_handshake(asked.head);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->subprotocols, (std::vector<std::string_view>{"one", "two", "three"}));
  EXPECT_NE(accept(*read, "two").find("\r\nSec-WebSocket-Protocol: two\r\n"), std::string::npos);
}

TEST(HandshakeTest, APageOfAnotherOriginMayNotOpen) {
  const auto from = [](std::string_view origin, bool secure = false,
                       const std::vector<std::string>& allowed = {}, std::string_view more = {}) {
    return may_open(
        get(std::string(kGood) + "Origin: " + std::string(origin) + "\r\n" + std::string(more))
            .head,
        secure, allowed);
  };
  EXPECT_TRUE(may_open(get(kGood).head, false, {}));  // no page
  EXPECT_TRUE(from("http://a.example"));
  EXPECT_TRUE(from("HTTP://A.example:80"));
  EXPECT_TRUE(from("https://a.example", true));
  EXPECT_FALSE(from("https://a.example"));
  EXPECT_FALSE(from("http://a.example", true));
  EXPECT_FALSE(from("http://a.example:8080"));
  EXPECT_FALSE(from("http://a.example.evil.example"));
  EXPECT_FALSE(from("http://evil.example"));
  EXPECT_FALSE(from("null"));
  EXPECT_FALSE(from("null", false, {"null"}));
  EXPECT_FALSE(from(""));
  EXPECT_FALSE(from("http://"));
  EXPECT_FALSE(from("http://a.example/"));
  EXPECT_FALSE(from("http://user@a.example"));
  EXPECT_FALSE(from("http://a.example", false, {}, "Origin: http://a.example\r\n"));  // two
  EXPECT_TRUE(from("https://app.example:8443", false, {"https://app.example:8443"}));
  EXPECT_FALSE(from("https://app.example", false, {"https://app.example:8443"}));
  EXPECT_TRUE(from("http://anywhere.example", false, {"*"}));
}

}  // namespace
}  // namespace headroom::websocket
