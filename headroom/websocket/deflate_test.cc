#include "headroom/websocket/deflate.h"

#include <gtest/gtest.h>

#include "headroom/base/hash.h"

namespace headroom::websocket {
namespace {

TEST(DeflateTest, WhatIsDeflatedInflatesToTheSame) {
  Random random(3);
  for (std::size_t size = 0; size < 100'000; size = size * 2 + 1) {
    std::string text(size, 'a');
    for (char& c : text) c = static_cast<char>('a' + random.below(4));
    const auto small = deflate_message(text);
    if (size < 64) continue;
    ASSERT_TRUE(small.has_value()) << size;
    EXPECT_LT(small->size(), text.size());
    EXPECT_EQ(inflate_message(*small, size), text);
  }
}

TEST(DeflateTest, WhatDoesNotShrinkIsLeft) {
  EXPECT_EQ(deflate_message("x"), std::nullopt);
  std::string noise(500, ' ');
  Random random(5);
  for (char& c : noise) c = static_cast<char>(random.below(256));
  EXPECT_EQ(deflate_message(noise), std::nullopt);
}

TEST(DeflateTest, TheExamplesOfTheRfcInflate) {
  using namespace std::string_literals;
  EXPECT_EQ(inflate_message("\xf2\x48\xcd\xc9\xc9\x07\x00"s, 100), "Hello");  // 7.2.3.1
  EXPECT_EQ(inflate_message("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"s, 100),
            "Hello");                                                             // 7.2.3.3
  EXPECT_EQ(inflate_message("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"s, 100), "Hello");  // 7.2.3.4
  EXPECT_EQ(inflate_message("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"s, 100),
            "Hello");  // 7.2.3.5
}

TEST(DeflateTest, ABombStopsAtTheLimit) {
  const auto bomb = deflate_message(std::string(10'000'000, 'x'));
  ASSERT_TRUE(bomb.has_value());
  const auto inflated = inflate_message(*bomb, 65536);
  ASSERT_FALSE(inflated.has_value());
  EXPECT_EQ(inflated.error().code, Errc::overloaded);
}

TEST(DeflateTest, WhatIsNoDeflatedDataIsRefused) {
  using namespace std::string_literals;
  for (const std::string& bad :
       {"\xff\xff\xff\xff"s, "hello"s, "\x07"s, "\xf3\x48\xcd\xc9\xc9\x07\x00 more"s})
    EXPECT_FALSE(inflate_message(bad, 1000).has_value());
}

TEST(DeflateTest, OnlyOffersThatCanBeAnsweredAreTaken) {
  for (const char* good :
       {"permessage-deflate", "permessage-deflate; client_max_window_bits",
        "x, permessage-deflate;client_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate",
        "permessage-deflate; client_max_window_bits=\"15\""})
    EXPECT_TRUE(offers_deflate({good})) << good;
  for (const char* bad :
       {"", "x", "permessage-deflate2", "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; unknown", "permessage-deflate; client_max_window_bits=99",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits"})
    EXPECT_FALSE(offers_deflate({bad})) << bad;
}

}  // namespace
}  // namespace headroom::websocket
