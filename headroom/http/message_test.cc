#include "headroom/http/message.h"

#include <gtest/gtest.h>

#include <string>

#include "headroom/base/text.h"

namespace headroom::http {
namespace {

TEST(Name, IsFoundInAnyLetterCase) {
  for (std::size_t i = 1; i < kNames; ++i) {
    const auto name = static_cast<Name>(i);
    std::string text(to_string(name));
    EXPECT_EQ(name_of(text), name) << text;
    EXPECT_EQ(name_of(text::lowered(text)), name) << text;
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    EXPECT_EQ(name_of(text), name) << text;
  }
}

TEST(Name, NearlyKnownIsOther) {
  for (std::size_t i = 1; i < kNames; ++i) {
    const std::string text(to_string(static_cast<Name>(i)));
    for (std::size_t at = 0; at < text.size(); ++at) {
      for (const char c : {'!', '*', '^', '~', '`', '@', 'z', '\x8d'}) {
        std::string other = text;
        other[at] = c;
        if (!text::equal_ignoring_case(other, text))
          EXPECT_EQ(name_of(other), Name::other) << other;
      }
    }
    EXPECT_EQ(name_of(text + "x"), Name::other);
    if (text != "ETag") EXPECT_EQ(name_of(text.substr(1)), Name::other) << text;
  }
  EXPECT_EQ(name_of(""), Name::other);
  EXPECT_EQ(name_of("x"), Name::other);
  EXPECT_EQ(name_of(std::string(1000, 'a')), Name::other);
}

TEST(Method, IsCaseSensitive) {
  EXPECT_EQ(method_of("GET"), Method::get);
  EXPECT_EQ(method_of("TRACE"), Method::trace);
  EXPECT_EQ(method_of("get"), Method::other);
  EXPECT_EQ(method_of(""), Method::other);
  EXPECT_EQ(to_string(Method::delete_), "DELETE");
  EXPECT_TRUE(is_idempotent(Method::put) && !is_idempotent(Method::post) && !is_safe(Method::put));
}

TEST(Head, FollowsABufferThatMoves) {
  const std::string before = "Host: a Cookie: b";
  RequestHead head;
  head.authority = std::string_view(before).substr(6, 1);
  head.path = "/";  // not in the buffer
  head.add({Name::cookie, false, std::string_view(before).substr(8, 6),
            std::string_view(before).substr(16, 1)});
  const std::string after = before;
  head.rebase(before, after.data());
  EXPECT_EQ(static_cast<const void*>(head.authority.data()), after.data() + 6);
  EXPECT_EQ(static_cast<const void*>(head.find(Name::cookie)->value.data()), after.data() + 16);
  EXPECT_EQ(head.path, "/");
  EXPECT_EQ(head.find("COOKIE")->value, "b");
  EXPECT_EQ(head.find("other"), nullptr);
}

}  // namespace
}  // namespace headroom::http
