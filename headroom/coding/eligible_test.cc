#include "headroom/coding/eligible.h"

#include <gtest/gtest.h>

namespace headroom::coding {
namespace {

TEST(MediaTypes, ThatAreTextShrink) {
  for (const std::string_view type :
       {"text/html", "text/html; charset=utf-8", "TEXT/CSS", "application/json",
        "application/JSON ;a=b", "application/problem+json", "application/ld+json", "image/svg+xml",
        "application/xml", "application/javascript", "text/javascript", "application/wasm",
        "font/ttf", "font/otf", "image/bmp", "text/event-stream", "application/x-ndjson",
        "application/rss+xml"}) {
    EXPECT_TRUE(shrinks(type)) << type;
  }
}

TEST(MediaTypes, ThatAreCompressedAlreadyOrUnknownDoNotShrink) {
  for (const std::string_view type :
       {"", "image/png", "image/jpeg", "image/webp", "image/avif", "video/mp4", "audio/mpeg",
        "application/zip", "application/gzip", "application/octet-stream", "font/woff",
        "font/woff2", "application/font-woff2", "application/pdf", "+json", "textual/x", "json"}) {
    EXPECT_FALSE(shrinks(type)) << type;
  }
}

TEST(EventStreams, AreFlushedAtEachPiece) {
  EXPECT_TRUE(is_event_stream("text/event-stream; charset=utf-8"));
  EXPECT_TRUE(is_event_stream("application/x-ndjson"));
  EXPECT_FALSE(is_event_stream("application/json"));
}

constexpr Answer kJson{.status = 200,
                       .content_type = "application/json",
                       .content_encoding = "",
                       .has_content_range = false,
                       .no_transform = false,
                       .length = 4096};

template <class Change>
bool eligible_with(Change change) {
  Answer answer = kJson;
  change(answer);
  return is_eligible(answer);
}

TEST(Eligible, IsAWholePlainAnswerOfAKilobyteOrMore) {
  EXPECT_TRUE(is_eligible(kJson));
  EXPECT_TRUE(eligible_with([](Answer& a) { a.length = 1024; }));
  EXPECT_FALSE(eligible_with([](Answer& a) { a.length = 1023; }));
  EXPECT_TRUE(eligible_with([](Answer& a) { a.length.reset(); }));
  EXPECT_TRUE(eligible_with([](Answer& a) { a.content_encoding = "identity"; }));
  EXPECT_TRUE(eligible_with([](Answer& a) { a.status = 404; }));
}

TEST(Eligible, IsNothingPartialEncodedForbiddenOrWithoutABody) {
  EXPECT_FALSE(eligible_with([](Answer& a) { a.content_encoding = "br"; }));
  EXPECT_FALSE(eligible_with([](Answer& a) { a.content_encoding = "unheard-of"; }));
  EXPECT_FALSE(eligible_with([](Answer& a) { a.has_content_range = true; }));
  EXPECT_FALSE(eligible_with([](Answer& a) { a.no_transform = true; }));
  EXPECT_FALSE(eligible_with([](Answer& a) { a.content_type = "image/png"; }));
  for (const unsigned status : {101U, 204U, 205U, 206U, 304U})
    EXPECT_FALSE(eligible_with([&](Answer& a) { a.status = static_cast<std::uint16_t>(status); }));
}

TEST(EntityTag, OfAChangedBodyIsWeak) {
  EXPECT_EQ(weakened(R"("abc")"), R"(W/"abc")");
  EXPECT_EQ(weakened(R"(W/"abc")"), R"(W/"abc")");
  EXPECT_EQ(weakened(R"("")"), R"(W/"")");
  for (const std::string_view wrong : {"", "abc", "\"", "W/", "W/abc", "\"a\"b\"", "w/\"a\""})
    EXPECT_EQ(weakened(wrong), "") << wrong;
}

TEST(Vary, GainsANameOnce) {
  EXPECT_EQ(merged_vary(""), "Accept-Encoding");
  EXPECT_EQ(merged_vary("Origin"), "Origin, Accept-Encoding");
  EXPECT_EQ(merged_vary("accept-encoding"), "accept-encoding");
  EXPECT_EQ(merged_vary("Origin , ACCEPT-Encoding"), "Origin , ACCEPT-Encoding");
  EXPECT_EQ(merged_vary("*"), "*");
  EXPECT_EQ(merged_vary("Accept-Encoding-X"), "Accept-Encoding-X, Accept-Encoding");
}

TEST(Fields, ThatDescribeTheBytesGoWithTheCoding) {
  EXPECT_TRUE(goes_with_coding("content-length"));
  EXPECT_TRUE(goes_with_coding("Content-Digest"));
  EXPECT_TRUE(goes_with_coding("accept-ranges"));
  EXPECT_FALSE(goes_with_coding("ETag"));
  EXPECT_FALSE(goes_with_coding("Content-Type"));
}

}  // namespace
}  // namespace headroom::coding
