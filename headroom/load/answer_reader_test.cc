#include "headroom/load/answer_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace headroom::load {
namespace {

struct Case {  // NOLINT(clang-analyzer-optin.performance.Padding): read as it is written
  std::string_view bytes;
  unsigned status;
  std::uint64_t body_bytes;
  bool keeps_alive;
};

// Whole answers, each ended by its own framing.
constexpr Case kAnswers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5, true},
    {"HTTP/1.1 200 OK\r\ncontent-LENGTH:5\r\nconnection: Close\r\n\r\nhello", 200, 5, false},
    {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, 0, true},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, 1, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", 200, 1, true},
    {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n", 304, 0, true},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
     "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
     404, 2, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, 5, true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n1\r\nz\r\n"
     "0\r\nTrailer: t\r\n\r\n",
     200, 11, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, 2, true},
};

TEST(AnswerReader, ReadsEveryAnswerAtEverySplit) {
  for (const Case& c : kAnswers) {
    for (std::size_t split = 0; split <= c.bytes.size(); ++split) {
      AnswerReader reader;
      reader.reset(AnswerReader::Body::as_framed);
      ASSERT_EQ(reader.take(c.bytes.substr(0, split)), split) << c.bytes << " at " << split;
      ASSERT_EQ(reader.done(), split == c.bytes.size());
      ASSERT_EQ(reader.take(c.bytes.substr(split)), c.bytes.size() - split);
      ASSERT_TRUE(reader.done()) << c.bytes << " at " << split;
      ASSERT_EQ(reader.status(), c.status);
      ASSERT_EQ(reader.body_bytes(), c.body_bytes);
      ASSERT_EQ(reader.keeps_alive(), c.keeps_alive);
    }
  }
}

TEST(AnswerReader, LeavesWhatFollowsAnAnswer) {
  for (const Case& c : kAnswers) {
    AnswerReader reader;
    reader.reset(AnswerReader::Body::as_framed);
    EXPECT_EQ(reader.take(std::string(c.bytes) + "HTTP/1.1 200"), c.bytes.size()) << c.bytes;
    EXPECT_TRUE(reader.done());
  }
}

TEST(AnswerReader, ABodyWithoutALengthEndsWithItsConnection) {
  AnswerReader reader;
  reader.reset(AnswerReader::Body::as_framed);
  reader.take("HTTP/1.1 200 OK\r\n\r\nsome bytes");
  EXPECT_FALSE(reader.done());
  EXPECT_TRUE(reader.take_end());
  EXPECT_EQ(reader.body_bytes(), 10U);
  EXPECT_FALSE(reader.keeps_alive());
}

TEST(AnswerReader, AnAnswerToHeadHasNoBody) {
  AnswerReader reader;
  reader.reset(AnswerReader::Body::none);
  reader.take("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(reader.done());
}

TEST(AnswerReader, PartsOfABodyMayBeSkipped) {
  AnswerReader reader;
  reader.reset(AnswerReader::Body::as_framed);
  reader.take("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
  EXPECT_EQ(reader.skippable(), 997U);
  reader.skip(900);
  EXPECT_FALSE(reader.done());
  EXPECT_EQ(reader.take(std::string(97, 'x')), 97U);
  EXPECT_TRUE(reader.done());
  EXPECT_EQ(reader.body_bytes(), 1000U);
}

TEST(AnswerReader, BrokenAnswersAreNeverDone) {
  const std::vector<std::string> answers{
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.1 20x OK\r\n\r\n",
      "HTTP/1.1 700 OK\r\n\r\n",
      "HTTP/1.1 2000 OK\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
      "HTTP/1.1 200 OK\r\nX: " + std::string(70'000, 'x'),
  };
  for (const std::string& answer : answers) {
    AnswerReader reader;
    reader.reset(AnswerReader::Body::as_framed);
    reader.take(answer);
    EXPECT_TRUE(reader.broken()) << answer.substr(0, 80);
  }
}

}  // namespace
}  // namespace headroom::load
