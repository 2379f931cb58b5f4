#include "headroom/monitor/system.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace headroom::monitor {
namespace {

namespace fs = std::filesystem;

// A machine made of files.
struct SystemTest : testing::Test {
  fs::path root =
      fs::temp_directory_path() / ("headroom-system-test-" + std::to_string(::getpid()));
  SystemTest() {
    put("proc/stat",
        "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0 0 "
        "0\nbtime 1\n");
    put("proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\nMemAvailable:     250 kB\n");
    put("proc/self/cgroup", "0::/app/web\n");
  }
  ~SystemTest() override { fs::remove_all(root); }

  void put(const std::string& name, const std::string& text) const {
    fs::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  }
  [[nodiscard]] System system() const {
    return System({.proc = root / "proc", .cgroup = root / "cgroup", .disk = root});
  }
  [[nodiscard]] SystemUse read_with_limits(double processors, double memory) const {
    System contained = system();
    SystemUse use = contained.read(Clock::now());
    EXPECT_EQ(use.cpu_limit, processors);
    EXPECT_EQ(use.memory_limit, memory);
    return use;
  }
};

TEST_F(SystemTest, WithoutLimitsTheMachineCounts) {
  System machine = system();
  const TimePoint now = Clock::now();
  EXPECT_EQ(machine.read(now).cpu_limit, 2);
  EXPECT_FALSE(machine.last().cpu_ratio);  // there is nothing to compare with yet
  EXPECT_EQ(machine.last().memory_used, 750 * 1024);
  put("proc/stat", "cpu  150 0 100 850 0 0 0 0 0 0\ncpu0 1 0 0 0\ncpu1 1 0 0 0\n");
  EXPECT_NEAR(*machine.read(now + 1s).cpu_ratio, 0.25,
              0.001);  // 50 ticks of 100 in a second, of two processors
}

TEST_F(SystemTest, TheTightestLimitOfTheGroupsAboveUsCounts) {
  put("cgroup/app/cpu.max", "50000 100000\n");
  put("cgroup/app/cpu.stat",
      "usage_usec 1000000\nnr_periods 10\nnr_throttled 3\nthrottled_usec 250000\n");
  put("cgroup/app/web/cpu.max", "max 100000\n");
  put("cgroup/app/web/memory.max", "400000\n");
  put("cgroup/app/web/memory.current", "300000\n");
  put("cgroup/app/web/memory.stat", "anon 1\ninactive_file 100000\n");
  put("cgroup/app/memory.max", "max\n");
  const SystemUse use = read_with_limits(0.5, 400000);
  EXPECT_EQ(use.cpu_seconds, 1);
  EXPECT_EQ(use.throttled_seconds, 0.25);
  EXPECT_EQ(use.throttled_periods, 3);
  EXPECT_EQ(use.memory_used, 200000);
}

TEST_F(SystemTest, ControlGroupsOfVersion1CountToo) {
  put("proc/self/cgroup", "4:memory:/a\n2:cpu,cpuacct:/a\n0::/\n");
  put("cgroup/memory/a/memory.limit_in_bytes", "500000\n");
  put("cgroup/memory/a/memory.usage_in_bytes", "123\n");
  put("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("cgroup/cpu/a/cpu.cfs_quota_us", "150000\n");
  put("cgroup/cpu/a/cpu.cfs_period_us", "100000\n");
  put("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("cgroup/cpuacct/a/cpuacct.usage", "2000000000\n");
  EXPECT_EQ(read_with_limits(1.5, 500000).cpu_seconds, 2);
}

TEST_F(SystemTest, NetworkAndPressureAreRead) {
  put("proc/net/dev",
      "Inter-| Receive\n face |bytes\n    lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\n  eth0:300 1 0 0 "
      "0 0 0 0 40 1 0 0 0 0 0 0\n dummy: 0 0 0 0 0 0 0 0 0 0\n");
  put("proc/net/snmp", "Tcp: RtoAlgorithm RetransSegs InErrs\nTcp: 1 77 0\n");
  put("proc/net/netstat", "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 5\n");
  put("proc/pressure/memory",
      "some avg10=12.50 avg60=0 avg300=0 total=9\nfull avg10=1.00 avg60=0 avg300=0 total=1\n");
  System machine = system();
  const SystemUse& use = machine.read(Clock::now());
  ASSERT_EQ(use.devices.size(), 2U);
  EXPECT_EQ(use.devices[1].name, "eth0");
  EXPECT_EQ(use.devices[1].received, 300);
  EXPECT_EQ(use.devices[1].sent, 40);
  EXPECT_EQ(use.retransmits, 77);
  EXPECT_EQ(use.listen_overflows, 5);
  EXPECT_EQ(use.pressure[1].some, 0.125);
  EXPECT_FALSE(use.pressure[0].some);  // told by nobody
}

TEST_F(SystemTest, NonsenseAndMissingFilesAreLeftOut) {
  fs::remove_all(root / "proc");
  put("proc/stat", "cpu x y\n\0\n");
  put("proc/meminfo", "MemTotal:\nMemTotal\n");
  put("proc/self/cgroup", ":::\n0::\nx\n");
  put("cgroup/cpu.max", "100000 0\n");
  System broken = system();
  const SystemUse& use = broken.read(Clock::now());
  EXPECT_FALSE(use.memory_limit);
  for (const SampleFamily& family : samples_of(use))
    EXPECT_FALSE(family.samples.empty()) << family.family->name;
}

TEST(SystemOfThisMachineTest, TellsTheTruth) {
  System machine({});
  machine.read(Clock::now());
  EXPECT_GT(machine.last().cpu_limit.value_or(0), 0);
  EXPECT_GT(machine.last().memory_limit.value_or(0), machine.last().memory_used.value_or(1e300));
  EXPECT_GT(machine.last().disk_size.value_or(0), machine.last().disk_free.value_or(1e300));
  EXPECT_GT(machine.last().descriptors_open.value_or(0), 2);
}

}  // namespace
}  // namespace headroom::monitor
