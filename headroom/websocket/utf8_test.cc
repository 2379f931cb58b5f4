#include "headroom/websocket/utf8.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace headroom::websocket {
namespace {

bool at_every_cut(std::string_view text, bool expected) {
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Utf8 check;
    const bool taken = check.take(text.substr(0, cut)) && check.take(text.substr(cut));
    if ((taken && check.whole()) != expected) return false;
  }
  return true;
}

// An independent reading of RFC 3629: decode, then look at the number.
bool plain_model(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const std::size_t size = byte < 0x80         ? 1
                             : (byte >> 5) == 6  ? 2
                             : (byte >> 4) == 14 ? 3
                             : (byte >> 3) == 30 ? 4
                                                 : 0;
    if (size == 0 || i + size > text.size()) return false;
    std::uint32_t number = size == 1 ? byte : byte & (0xFFU >> (size + 1));
    for (std::size_t j = 1; j < size; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      if ((next >> 6) != 2) return false;
      number = number << 6 | (next & 0x3FU);
    }
    constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (number < kLeast[size] || number > 0x10FFFF || (number >= 0xD800 && number <= 0xDFFF))
      return false;
    i += size;
  }
  return true;
}

TEST(Utf8Test, GoodAndBadTextsAreToldApartWhereverTheyAreCut) {
  const std::vector<std::string> good{"",
                                      "a",
                                      "Hello, world, this is a long ASCII text",
                                      "\xc2\x80",
                                      "\xdf\xbf",
                                      "\xe0\xa0\x80",
                                      "\xed\x9f\xbf",
                                      "\xee\x80\x80",
                                      "\xef\xbf\xbf",
                                      "\xf0\x90\x80\x80",
                                      "\xf4\x8f\xbf\xbf",
                                      "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
                                      std::string(1, '\0'),
                                      "twelve bytes\xf0\x9f\x98\x80 and more"};
  const std::vector<std::string> bad{"\x80",
                                     "\xbf",
                                     "\xc0\x80",
                                     "\xc1\xbf",
                                     "\xc2",
                                     "\xe0\x9f\xbf",
                                     "\xed\xa0\x80",
                                     "\xed\xbf\xbf",
                                     "\xf0\x8f\xbf\xbf",
                                     "\xf4\x90\x80\x80",
                                     "\xf5\x80\x80\x80",
                                     "\xfe",
                                     "\xff",
                                     "\xe1\x80",
                                     "\xf0\x90\x80",
                                     "\xc2\x41",
                                     "long enough ASCII then\xff",
                                     "\xf8\x88\x80\x80\x80"};
  for (const std::string& text : good) EXPECT_TRUE(at_every_cut(text, true)) << text;
  for (const std::string& text : bad) EXPECT_TRUE(at_every_cut(text, false)) << text;
}

TEST(Utf8Test, EveryPairAndTripleOfEdgeBytesIsAsThePlainModelSaysIt) {
  std::string text(3, '\0');
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      for (const int c : {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF}) {
        text[0] = static_cast<char>(a);
        text[1] = static_cast<char>(b);
        text[2] = static_cast<char>(c);
        ASSERT_EQ(is_utf8(text), plain_model(text)) << a << ' ' << b << ' ' << c;
      }
    }
  }
}

}  // namespace
}  // namespace headroom::websocket
