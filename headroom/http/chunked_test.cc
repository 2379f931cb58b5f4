#include "headroom/http/chunked.h"

#include <gtest/gtest.h>

#include <string>

#include "headroom/http/codec_checks.h"

namespace headroom::http {
namespace {

struct Row {
  const char* sentence;
  std::string bytes;
  std::string outcome;  // "data|trailers" of a finished body, "400", or "more"
};

std::string outcome_of(const checks::ChunkedOutcome& read) {
  if (read.status != 0) return std::to_string(read.status);
  return read.finished ? read.data + "|" + read.trailers : "more";
}

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"no data", "0\r\n\r\n", "|"},
      {"two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde|"},
      {"digits in both letter cases", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
       "01234567890123456789|"},
      {"data may hold line ends", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n|"},
      {"zeros in front", "0003\r\nabc\r\n000\r\n\r\n", "abc|"},
      {"what follows is left alone", "0\r\n\r\nGET /", "|"},
      {"not yet whole", "3\r\nab", "more"},
      {"the last line is missing", "0\r\n", "more"},
      {"extensions are skipped", "3;a;b=c;d=\"e;\\\"f\"\r\nabc\r\n0;x\r\n\r\n", "abc|"},
      {"trailers", "0\r\nGrpc-Status: 0\r\nETag: \"x\"\r\n\r\n", "|Grpc-Status: 0\nETag: \"x\"\n"},
      {"trailers that must not be are dropped",
       "0\r\nAuthorization: a\r\nSet-Cookie: b\r\nContent-Type: c\r\nContent-Foo: "
       "c\r\nX-Forwarded-For: d\r\nX-Forwarded-Own: d\r\nConnection: e\r\nTE: f\r\nX: y\r\n\r\n",
       "|X: y\n"},

      {"no size", "\r\n\r\n", "400"},
      {"a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n", "400"},
      {"a size with +", "+3\r\nabc\r\n0\r\n\r\n", "400"},
      {"a size with -", "-3\r\nabc\r\n0\r\n\r\n", "400"},
      {"a size with _", "1_0\r\n", "400"},
      {"a space before the size", " 3\r\nabc\r\n0\r\n\r\n", "400"},
      {"a space behind the size", "3 \r\nabc\r\n0\r\n\r\n", "400"},
      {"TAB behind the size", "3\t\r\nabc\r\n0\r\n\r\n", "400"},
      {"a size that is no number", "g\r\n", "400"},
      {"a size beyond 64 bits", "10000000000000003\r\nabc", "400"},
      {"a size beyond any file", "ffffffffffffffff\r\n", "400"},
      {"a size of too many zeros", std::string(17, '0') + "\r\n\r\n", "400"},
      {"a bare LF behind the size", "3\nabc\r\n0\r\n\r\n", "400"},
      {"a bare CR behind the size", "3\rabc\r\n0\r\n\r\n", "400"},
      {"no line end behind the data", "3\r\nabc0\r\n\r\n", "400"},
      {"a bare LF behind the data", "3\r\nabc\n0\r\n\r\n", "400"},
      {"two bytes that are no line end", "3\r\nabcXX0\r\n\r\n", "400"},
      {"a bare LF at the end", "0\r\n\n", "400"},
      {"a bare LF behind the last size", "0\n\r\n", "400"},
      {"a control in an extension", "3;a=\x01\r\nabc\r\n0\r\n\r\n", "400"},
      {"NUL in an extension", std::string("3;a\0\r\n", 6), "400"},
      {"a bare LF in an extension", "3;a\nabc\r\n0\r\n\r\n", "400"},
      {"a line end in quotes", "3;a=\"\r\nabc\r\n0\r\n\r\n", "400"},
      {"a line end behind a backslash", "3;a=\"\\\r\nabc", "400"},
      {"an extension without a name", "3;\r\nabc\r\n0\r\n\r\n", "400"},
      {"an extension without a value", "3;a=\r\nabc\r\n0\r\n\r\n", "400"},
      {"a space before an extension", "3 ;a\r\nabc\r\n0\r\n\r\n", "400"},
      {"a space in an extension", "3;a b\r\nabc\r\n0\r\n\r\n", "400"},
      {"obs-text in an extension", "3;a=\"\xff\"\r\nabc\r\n0\r\n\r\n", "400"},
      {"text behind a quoted value", "3;a=\"b\"c\r\nabc\r\n0\r\n\r\n", "400"},
      {"extensions beyond the limit", "3;" + std::string(5000, 'a') + "\r\nabc\r\n0\r\n\r\n",
       "400"},
      {"many small extensions beyond the limit",
       [] {
         std::string bytes;
         for (int i = 0; i < 50; ++i) bytes += "1;" + std::string(100, 'a') + "\r\nx\r\n";
         return bytes + "0\r\n\r\n";
       }(),
       "400"},
      {"Content-Length as a trailer", "0\r\nContent-Length: 5\r\n\r\n", "400"},
      {"Transfer-Encoding as a trailer", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
      {"Host as a trailer", "0\r\nHost: b\r\n\r\n", "400"},
      {"a trailer without a colon", "0\r\nX\r\n\r\n", "400"},
      {"a folded trailer", "0\r\nX: a\r\n b\r\n\r\n", "400"},
      {"a trailer's name with a space", "0\r\nX : a\r\n\r\n", "400"},
      {"a control in a trailer", "0\r\nX: \x01\r\n\r\n", "400"},
      {"a bare LF in the trailers", "0\r\nX: a\n\r\n", "400"},
      {"a bare CR in the trailers", "0\r\nX: a\rb\r\n\r\n", "400"},
      {"trailers beyond the limit", "0\r\nX: " + std::string(9000, 'a') + "\r\n\r\n", "431"},
      {"too many trailers",
       [] {
         std::string bytes = "0\r\n";
         for (int i = 0; i < 33; ++i) bytes += "X: y\r\n";
         return bytes + "\r\n";
       }(),
       "431"},
  };
  return kRows;
}

TEST(ChunkedReader, EveryRowHasItsOutcomeAtEverySplit) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.sentence);
    EXPECT_EQ(outcome_of(checks::read_chunked(row.bytes, row.bytes.size())), row.outcome);
    for (std::size_t piece = 1; piece < std::min<std::size_t>(row.bytes.size(), 64); ++piece) {
      ASSERT_EQ(outcome_of(checks::read_chunked(row.bytes, piece)), row.outcome)
          << "pieces of " << piece;
    }
    checks::check_chunked(row.bytes);
  }
}

TEST(ChunkedReader, LeavesWhatFollowsTheBody) {
  const std::string bytes = "1\r\nx\r\n0\r\n\r\n";
  EXPECT_EQ(checks::read_chunked(bytes + "GET / HTTP/1.1", 1000).consumed, bytes.size());
}

TEST(ChunkedReader, ConsumesNothingAfterAnErrorOrTheEnd) {
  ChunkedReader reader;
  EXPECT_TRUE(reader.step("0\r\n\r\n").finished);
  EXPECT_EQ(reader.step("0").consumed, 0U);
  reader.reset();
  EXPECT_TRUE(reader.step("x").refusal);
  EXPECT_EQ(reader.step("0").consumed, 0U);
  reader.reset();
  EXPECT_TRUE(reader.step("0\r\n\r\n").finished);
}

TEST(ChunkedReader, DataIsNotCopied) {
  ChunkedReader reader;
  const std::string bytes = "5\r\nhello\r\n";
  const auto step = reader.step(bytes);
  EXPECT_EQ(static_cast<const void*>(step.data.data()), bytes.data() + 3);
  EXPECT_EQ(step.consumed, 8U);
}

TEST(ChunkWriters, WriteWhatTheReaderReads) {
  std::string bytes;
  std::string data;
  for (const std::size_t size : {1U, 9U, 15U, 16U, 255U, 4096U, 70000U}) {
    bytes += ChunkHeader(size).view();
    bytes += std::string(size, 'd');
    bytes += kChunkEnd;
    data += std::string(size, 'd');
  }
  std::string with_trailers = bytes;
  bytes += kLastChunk;
  append_last_chunk(with_trailers, std::vector<Field>{{Name::other, false, "Grpc-Status", "0"}});
  EXPECT_EQ(checks::read_chunked(bytes, 1000).data, data);
  EXPECT_EQ(checks::read_chunked(with_trailers, 1000).trailers, "Grpc-Status: 0\n");
  EXPECT_EQ(ChunkHeader(~0ULL).view(), "ffffffffffffffff\r\n");
}

}  // namespace
}  // namespace headroom::http
