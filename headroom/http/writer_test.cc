#include "headroom/http/writer.h"

#include <gtest/gtest.h>

#include <string>

#include "headroom/http/parser.h"

namespace headroom::http {
namespace {

TEST(HeadWriter, WritesAResponse) {
  std::string out = "before";
  HeadWriter writer(out);
  writer.status_line(200);
  writer.framing(Body::length, 18446744073709551615U);
  writer.field(Name::content_type, "text/plain");
  writer.field("X-Own", "");
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(out,
            "beforeHTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\nContent-Type: "
            "text/plain\r\nX-Own: \r\n\r\n");
}

TEST(HeadWriter, KeepsTheUpstreamsReason) {
  std::string out;
  HeadWriter writer(out);
  writer.status_line(200, "Fine");
  writer.status_line(299);
  writer.status_line(404, "Not Found");
  writer.framing(Body::chunked, 0);
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(out,
            "HTTP/1.1 200 Fine\r\nHTTP/1.1 299 Unknown\r\nHTTP/1.1 404 Not "
            "Found\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(HeadWriter, RefusesWhatIsNotFitForTheWire) {
  const std::string nul("a\0b", 3);
  const auto refused = [](auto write) {
    std::string out = "before";
    HeadWriter writer(out);
    writer.request_line("GET", "/");
    write(writer);
    writer.field(Name::host, "a");
    const auto result = writer.end();
    EXPECT_EQ(out, "before");
    return !result && result.error().code == Errc::invalid;
  };
  EXPECT_TRUE(refused([](HeadWriter& w) { w.field("X", "a\r\nY: b"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.field("X", "a\nb"); }));
  EXPECT_TRUE(refused([&](HeadWriter& w) { w.field("X", nul); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.field("X Y", "a"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.field("", "a"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.request_line("GET", "/a b"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.request_line("GET", ""); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.request_line("G T", "/"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.status_line(200, "a\rb"); }));
  EXPECT_TRUE(refused([](HeadWriter& w) { w.status_line(99); }));
}

TEST(HeadWriter, ForwardsOnlyWhatIsNotOfThisHop) {
  const std::string bytes =
      "GET / HTTP/1.1\r\nHost: a\r\nA:1\r\nConnection: x-own\r\nB: 2  \r\nC: 3\r\nD: 4\r\nX-Own: "
      "5\r\nContent-Length: 6\r\nE:\t7\r\nF: 8\r\n\r\n";
  RequestHead head;
  ScanState state;
  ASSERT_EQ(parse_request_head(bytes, {}, state, head).state, Parsed::State::complete);
  std::string out;
  HeadWriter writer(out);
  writer.forward(head.fields, [](const Field& field) { return field.name != "D"; });
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(out, "Host: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nE: 7\r\nF: 8\r\n\r\n");
}

TEST(HeadWriter, ForwardsFieldsMadeByHand) {
  std::string out;
  HeadWriter writer(out);
  writer.forward(
      {{Name::other, false, "A", "1"}, {Name::other, false, "B", ""}, {Name::te, true, "TE", "x"}});
  ASSERT_TRUE(writer.end());
  EXPECT_EQ(out, "A: 1\r\nB: \r\n\r\n");
}

TEST(HttpDate, IsAnImfFixdate) {
  using std::chrono::seconds;
  using std::chrono::sys_seconds;
  EXPECT_EQ(HttpDate(sys_seconds(seconds(784111777))).view(), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(HttpDate(sys_seconds(seconds(0))).view(), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(HttpDate(sys_seconds(seconds(1709251199))).view(), "Thu, 29 Feb 2024 23:59:59 GMT");
}

TEST(Digits, HoldsEveryNumber) {
  EXPECT_EQ(Digits(0).view(), "0");
  EXPECT_EQ(Digits(42).view(), "42");
  EXPECT_EQ(Digits(~0ULL).view(), "18446744073709551615");
}

TEST(Reason, IsKnownForTheUsualStatuses) {
  EXPECT_EQ(reason_of(100), "Continue");
  EXPECT_EQ(reason_of(431), "Request Header Fields Too Large");
  EXPECT_EQ(reason_of(511), "Network Authentication Required");
  EXPECT_EQ(reason_of(299), "Unknown");
}

}  // namespace
}  // namespace headroom::http
