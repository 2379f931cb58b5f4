#include "bench/origin/origin.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "headroom/base/clock.h"
#include "headroom/load/load.h"

namespace headroom::bench {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class OriginTest : public testing::Test {
 protected:
  ~OriginTest() override {
    origin_->stop();
    thread_.join();
  }
  [[nodiscard]] load::Plan plan(std::string_view path) const {
    load::Plan plan;
    plan.url = fmt::format("http://127.0.0.1:{}{}", origin_->port(), path);
    plan.requests = 20;
    plan.connections = 4;
    return plan;
  }
  // Sends all, then reads until the server closes or `whole` bytes have come.
  [[nodiscard]] std::string talk(std::string_view bytes, std::size_t whole = SIZE_MAX) const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0) return "no socket";
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(origin_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    std::string out;
    std::array<char, 4096> buffer{};
    while (out.size() < whole) {
      const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      out.append(buffer.data(), static_cast<std::size_t>(n));
    }
    close(fd);
    return out;
  }

  std::unique_ptr<Origin> origin_ = Origin::listen(0).value();
  std::thread thread_{[this] { origin_->run(); }};
};

TEST_F(OriginTest, AnswersAsManyBytesAsThePathSays) {
  for (const auto& [path, bytes] :
       {std::pair{"/0", 0}, {"/1", 1}, {"/1k", 1024}, {"/100k", 102400}, {"/3m", 3 << 20}}) {
    load::Plan asked = plan(path);
    asked.expect_bytes = bytes;
    const auto report = load::run(asked);
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->requests, 20U) << path;
    EXPECT_EQ(report->errors(), 0U) << path;
  }
}

TEST_F(OriginTest, PipelinedRequestsAreAnsweredInOrder) {
  const std::string out = talk(
      "GET /2?delay_ms=20 HTTP/1.1\r\nHost: a\r\n\r\nPOST /received HTTP/1.1\r\nHost: a\r\n"
      "content-length: 3\r\n\r\nabcGET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(out, StartsWith("HTTP/1.1 200 OK\r\nServer: origin\r\nDate: "));
  EXPECT_THAT(out, HasSubstr("Content-Length: 2\r\n\r\nooHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(out, HasSubstr("Content-Length: 1\r\n\r\n3HTTP/1.1 404 "));
}

TEST_F(OriginTest, HeadHasNoBody) {
  const std::string out = talk("HEAD /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(out.ends_with("Content-Length: 5\r\n\r\n")) << out;
}

TEST_F(OriginTest, LargeBodiesAreReceivedToTheByte) {
  load::Plan asked = plan("/received");
  asked.method = "POST";
  asked.filler = {10'000'000};
  asked.expect_bytes = 8;  // "10000000"
  asked.requests = 4;
  const auto report = load::run(asked);
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->errors(), 0U) << load::to_json(*report);
}

TEST_F(OriginTest, ADelayHoldsItsOwnAnswerOnly) {
  load::Plan slow = plan("/1k?delay_ms=100");
  const TimePoint before = Clock::now();
  const auto report = load::run(slow);  // 20 requests on 4 connections: 5 after each other
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->errors(), 0U);
  EXPECT_GE(elapsed(before, Clock::now()), 500ms);
  EXPECT_LT(elapsed(before, Clock::now()), 1900ms);
}

TEST_F(OriginTest, AStatusIsAnsweredAsAsked) {
  const auto report = load::run(plan("/1k?status=503"));
  ASSERT_TRUE(report.has_value());
  EXPECT_EQ(report->failed(load::Failure::status_5xx), 20U);
}

}  // namespace
}  // namespace headroom::bench
