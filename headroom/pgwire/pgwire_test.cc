#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/pgwire/messages.h"
#include "headroom/pgwire/startup.h"

namespace headroom::pgwire {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;

std::string_view body_of(std::string_view message) { return message.substr(kHeader); }

TEST(Frame, IsFoundAtEverySplitAndImpossibleLengthsAreRefused) {
  std::string message;
  append_query(message, "SELECT 1");
  for (std::size_t have = 0; have < message.size(); ++have) {
    Frame frame;
    EXPECT_EQ(find_frame(std::string_view(message).substr(0, have), frame),
              have < kHeader ? Found::need_more : Found::frame);
  }
  Frame frame;
  ASSERT_EQ(find_frame(message, frame), Found::frame);
  EXPECT_EQ(frame.type, 'Q');
  EXPECT_EQ(frame.size, message.size());
  EXPECT_EQ(find_frame("Q\0\0\0\3"s, frame), Found::bad);
  EXPECT_EQ(find_frame("Q\xff\xff\xff\xff"s, frame), Found::bad);
  EXPECT_EQ(find_frame("Q\x80\0\0\0"s, frame), Found::bad);
  ASSERT_EQ(find_frame("d\x3f\xff\xff\xff"s, frame), Found::frame);
  EXPECT_EQ(frame.size, 0x40000000U);
}

TEST(Reader, NeverReadsBeyondItsBytesAndStaysFailed) {
  const std::string bytes = "\0\1ab\0c"s;
  Reader in(bytes);
  EXPECT_EQ(in.u16(), 1);
  EXPECT_EQ(in.text(), "ab");
  EXPECT_EQ(in.text(), "");  // no NUL
  EXPECT_TRUE(in.failed());
  EXPECT_EQ(in.u32(), 0U);
  EXPECT_FALSE(in.done());
  Reader wide("abc");
  EXPECT_EQ(wide.bytes(4), "");
  EXPECT_TRUE(wide.failed());
}

TEST(Startup, ParametersAreReadAndWrittenAlike) {
  std::string packet;
  append_startup(packet, {{"user", "me"}, {"database", "db"}});
  ASSERT_EQ(*startup_size(packet), packet.size());
  const auto startup = parse_startup(packet);
  ASSERT_TRUE(startup.has_value());
  EXPECT_EQ(startup->protocol, kProtocol30);
  EXPECT_EQ(startup->parameter("user"), "me");
  EXPECT_EQ(startup->parameter("nothing"), "");
}

TEST(Startup, WhatIsNotWholeIsRefused) {
  const auto parsed = [](std::string body) {
    std::string packet;
    Message(packet).u32(kProtocol30).bytes(body);
    return parse_startup(packet);
  };
  EXPECT_TRUE(parsed("\0"s).has_value());
  EXPECT_TRUE(parsed("a\0b\0\0"s).has_value());
  EXPECT_FALSE(parsed(""s).has_value());
  EXPECT_FALSE(parsed("a\0b\0"s).has_value());
  EXPECT_FALSE(parsed("a\0"s).has_value());
  EXPECT_FALSE(parsed("a\0b\0\0c"s).has_value());   // bytes behind the end
  EXPECT_FALSE(parsed("\0a\0b\0\0"s).has_value());  // an empty name ends it (CVE-2026-107349)
  EXPECT_FALSE(startup_size("\0\0\0\7"s).has_value());
  EXPECT_FALSE(startup_size("\0\1\0\0"s).has_value());
  EXPECT_EQ(parse_startup("\0\0\0\x09\0\2\0\0\0"s).error().code, Errc::invalid);  // protocol 2
}

TEST(Startup, UnknownExtensionsAreSetAside) {
  std::string packet;
  Message(packet).u32(kProtocol32 + 7).bytes("_pq_.grease\0on\0user\0me\0\0"s);
  const auto startup = parse_startup(packet);
  ASSERT_TRUE(startup.has_value());
  EXPECT_THAT(startup->unknown, ElementsAre("_pq_.grease"));
  EXPECT_EQ(startup->parameters.size(), 1U);
}

TEST(Startup, CancelRequestsHaveKeysOf4To256Bytes) {
  for (const std::size_t size : {3U, 4U, 32U, 256U, 257U}) {
    std::string packet;
    append_cancel(packet, 77, std::string(size, 'k'));
    const auto cancel = parse_startup(packet);
    EXPECT_EQ(cancel.has_value(), size >= 4 && size <= 256) << size;
    if (cancel) EXPECT_EQ(cancel->pid, 77U);
  }
}

TEST(Messages, AReportIsReadAsItWasWritten) {
  std::string message;
  append_error(
      message,
      {.severity = "FATAL", .sqlstate = "08006", .message = "gone", .detail = "d", .hint = "h"});
  const auto report = parse_report(body_of(message));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->severity, "FATAL");
  EXPECT_EQ(report->sqlstate, "08006");
  EXPECT_EQ(report->message, "gone");
  EXPECT_EQ(report->hint, "h");
  EXPECT_EQ(parse_report("Mno code\0\0"s)->sqlstate, "XX000");  // CVE-2026-6666
  EXPECT_EQ(parse_report("C2\0\0"s)->sqlstate, "XX000");
  EXPECT_FALSE(parse_report("Mno end\0"s).has_value());
  EXPECT_FALSE(parse_report(""s).has_value());
}

TEST(Messages, ANulByteNeverMakesASecondField) {
  std::string message;
  append_parameter_status(message, "name", "a\0b"s);
  const auto named = parse_parameter_status(body_of(message));
  ASSERT_TRUE(named.has_value());
  EXPECT_EQ(named->value, "a");
}

TEST(Messages, ParseBindAndTargetsAreExact) {
  std::string message;
  append_parse(message, "s", "SELECT $1", "\0\1\0\0\0\x17"s);
  const auto parse = parse_parse(body_of(message));
  ASSERT_TRUE(parse.has_value());
  EXPECT_EQ(parse->query, "SELECT $1");
  EXPECT_FALSE(
      parse_parse("s\0q\0\0\2\0\0\0\x17"s).has_value());  // two types are said, one is there
  EXPECT_FALSE(parse_parse("s\0q\0"s).has_value());
  EXPECT_FALSE(parse_bind("portal\0name"s).has_value());
  EXPECT_EQ(parse_bind("p\0s\0rest"s)->rest, "rest");
  EXPECT_FALSE(parse_target("Xname\0"s).has_value());
  EXPECT_FALSE(parse_target("Sname\0more"s).has_value());
  EXPECT_EQ(parse_target("Pname\0"s)->name, "name");
}

TEST(Messages, RowsHoldNullsAndAreRefusedWhenTheyLie) {
  std::string message;
  const std::vector<std::optional<std::string>> values{"a", std::nullopt, ""};
  append_row(message, values);
  const auto row = parse_row(body_of(message));
  ASSERT_TRUE(row.has_value());
  EXPECT_THAT(*row, ElementsAre("a", std::nullopt, ""));
  EXPECT_FALSE(parse_row("\xff\xff"s).has_value());
  EXPECT_FALSE(parse_row("\0\1\0\0\0\5abc"s).has_value());
  EXPECT_FALSE(parse_row("\0\1\0\0\0\1ab"s).has_value());
}

}  // namespace
}  // namespace headroom::pgwire
