#include "headroom/monitor/process.h"

#include <gtest/gtest.h>

#include <chrono>

namespace headroom::monitor {
namespace {

TEST(ProcessUse, IsThatOfThisProcess) {
  const ProcessUse use = read_process_use();
  EXPECT_GT(use.resident, Bytes::mib(1));
  EXPECT_GE(use.threads, 1U);
  EXPECT_GE(use.open_descriptors, 3U);
  EXPECT_GE(use.most_descriptors, use.open_descriptors);
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(use.started_at, now, 600);
}

TEST(ProcessUse, CountsProcessorTime) {
  const double before = read_process_use().cpu_seconds;
  const auto until = Clock::now() + 100ms;
  while (Clock::now() < until) {
  }
  EXPECT_GT(read_process_use().cpu_seconds, before);
}

TEST(ProcessUse, BecomesOneSampleAFamily) {
  for (const SampleFamily& family : samples_of(read_process_use()))
    EXPECT_EQ(family.samples.size(), 1U) << family.family->name;
}

}  // namespace
}  // namespace headroom::monitor
