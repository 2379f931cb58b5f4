#include "headroom/edge/access_log.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <fstream>
#include <set>
#include <sstream>

#include "headroom/base/hash.h"
#include "headroom/json/json.h"

namespace headroom::edge {
namespace {

using ::testing::HasSubstr;

AccessLine some_line() {
  AccessLine line;
  line.time =
      std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + std::chrono::hours(10) + 57123ms;
  line.id = "id-1";
  line.client = "192.0.2.1";
  line.method = "GET";
  line.host = "app.test";
  line.target = "/a?b=\"c\"";
  line.status = 200;
  line.bytes_out = 1024;
  line.total = 3300us;
  return line;
}

// A pipe of which the test reads; both ends close at the end.
struct Pipe {
  Pipe() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
  ~Pipe() {
    close_reader();
    ::close(ends[1]);
  }
  void close_reader() {
    if (ends[0] >= 0) ::close(ends[0]);
    ends[0] = -1;
  }
  std::string read_lines(std::size_t count) {
    std::string text;
    while (static_cast<std::size_t>(std::ranges::count(text, '\n')) < count) {
      char buffer[4096];
      const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
  }
  int ends[2] = {-1, -1};
};

TEST(AccessLog, ALineIsJsonWithTimesInMillisecondsAndNullForWhatWasNotReached) {
  std::string out;
  AccessLine line = some_line();
  append_access_line(out, line);
  EXPECT_EQ(out,
            "{\"time\":\"2026-11-21T10:00:57.123Z\",\"id\":\"id-1\",\"client\":\"192.0.2.1\","
            "\"method\":\"GET\",\"host\":\"app.test\","
            "\"target\":\"/"
            "a?b=\\\"c\\\"\",\"status\":200,\"bytes_in\":0,\"bytes_out\":1024,\"route\":null,"
            "\"upstream\":null,"
            "\"queue_ms\":null,\"connect_ms\":null,\"first_byte_ms\":null,\"total_ms\":3.300}\n");
  out.clear();
  line.route = "api";
  line.upstream = "127.0.0.1:3000";
  line.queue = line.connect = line.first_byte = 1500us;
  line.target = "/\x01\xff\n";
  append_access_line(out, line);
  const auto read = json::parse(out);
  ASSERT_TRUE(read) << out;
  EXPECT_EQ(read->root().find("connect_ms")->number(), 1.5);
  EXPECT_EQ(read->root().find("upstream")->string(), "127.0.0.1:3000");
  EXPECT_EQ(out.find('\n'), out.size() - 1);
}

TEST(AccessLog, TheSameIdsAreSampledEverywhereAndAtEveryLargerShare) {
  Random random(3);
  int tenth = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string id = std::to_string(random.next());
    EXPECT_FALSE(is_sampled(id, 0));
    EXPECT_TRUE(is_sampled(id, 1ULL << 32U));
    const bool in = is_sampled(id, (1ULL << 32U) / 10);
    tenth += in ? 1 : 0;
    if (in) EXPECT_TRUE(is_sampled(id, (1ULL << 32U) / 5));
  }
  EXPECT_NEAR(tenth, 2000, 200);
}

TEST(AccessLog, LinesOfAllWorkersArriveWholeAndInTheOrderOfEach) {
  Pipe pipe;
  AccessLog log(pipe.ends[1]);
  std::vector<std::jthread> workers;
  for (std::size_t w = 0; w < 4; ++w) {
    workers.emplace_back([&log, w] {
      for (unsigned i = 0; i < 500; ++i) {
        AccessLine line = some_line();
        const std::string id = std::to_string(w);
        line.id = id;
        line.status = i;
        log.write(w, line);
      }
    });
  }
  std::istringstream lines(pipe.read_lines(2000));
  std::map<std::string, std::int64_t> next;
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto read = json::parse(line);
    ASSERT_TRUE(read) << line;
    EXPECT_EQ(read->root().find("status")->integer(),
              next[std::string(*read->root().find("id")->string())]++);
  }
  EXPECT_EQ(count, 2000U);
  EXPECT_EQ(log.dropped(), 0U);
}

TEST(AccessLog, AReaderThatStopsCostsLinesButNeverAWorkersTimeAndItRecovers) {
  Pipe pipe;
  const TimePoint began = Clock::now();
  std::uint64_t dropped = 0;
  {
    AccessLog log(pipe.ends[1], Bytes::kib(64));
    for (int i = 0; i < 5'000; ++i) log.write(0, some_line());
    EXPECT_GT(log.dropped(), 0U);
    std::jthread reader([&] { (void)pipe.read_lines(200); });
    reader.join();
    dropped = log.dropped();
    std::this_thread::sleep_for(200ms);  // room again
    log.write(0, some_line());
    EXPECT_EQ(log.dropped(), dropped);
  }  // the pipe is full again: the end does not wait for ever
  EXPECT_LT(elapsed(began, Clock::now()), 5s);
}

TEST(AccessLog, WhatWaitsAtTheEndIsWrittenToAFile) {
  char path[] = "/tmp/hr_access_XXXXXX";
  const int fd = ::mkstemp(path);
  {
    AccessLog log(fd);
    for (int i = 0; i < 1'000; ++i) log.write(1, some_line());
  }
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_EQ(std::ranges::count(text, '\n'), 1'000);
  ::close(fd);
  ::unlink(path);
}

}  // namespace
}  // namespace headroom::edge
