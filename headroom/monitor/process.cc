#include "headroom/monitor/process.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <sstream>
#include <string>

#include "headroom/base/clock.h"
#include "headroom/monitor/metrics.h"

namespace headroom::monitor {
namespace {

struct Row {
  const Family* family;
  double (*value)(const ProcessUse& use);
};

constexpr std::array kRows{
    Row{&kCpu, [](const ProcessUse& use) { return use.cpu_seconds; }},
    Row{&kResident, [](const ProcessUse& use) { return static_cast<double>(use.resident.count); }},
    Row{&kThreads, [](const ProcessUse& use) { return static_cast<double>(use.threads); }},
    Row{&kOpenDescriptors,
        [](const ProcessUse& use) { return static_cast<double>(use.open_descriptors); }},
    Row{&kMostDescriptors,
        [](const ProcessUse& use) { return static_cast<double>(use.most_descriptors); }},
    Row{&kStartTime, [](const ProcessUse& use) { return use.started_at; }},
};

// The fields of /proc/self/stat behind the name, which may hold anything; the first is field 3 (proc(5)).
std::vector<std::string> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t end = line.rfind(')');
  if (end == std::string::npos) return {};
  std::istringstream rest(line.substr(end + 1));
  std::vector<std::string> fields;
  for (std::string field; rest >> field;) fields.push_back(field);
  return fields;
}

double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("btime ")) return std::stod(line.substr(6));
  }
  return 0;
}

}  // namespace

std::optional<std::uint64_t> open_descriptors(const std::filesystem::path& proc) {
  // To look through many costs milliseconds (thousands of connections), so what took long is not done often.
  static std::atomic<std::uint64_t> known{0};
  static std::atomic<TimePoint::rep> known_until{0};
  const TimePoint began = Clock::now();
  if (began.time_since_epoch().count() < known_until.load(std::memory_order_acquire))
    return known.load(std::memory_order_relaxed);
  DIR* directory = ::opendir((proc / "self/fd").c_str());
  if (directory == nullptr) return std::nullopt;
  std::uint64_t entries = 0;
  while (::readdir(directory) != nullptr)
    ++entries;  // NOLINT(concurrency-mt-unsafe): a directory of our own
  ::closedir(directory);
  entries -= std::min<std::uint64_t>(entries, 3);  // ".", ".." and the directory itself
  const Duration took = Clock::now() - began;
  if (took > 1ms) {
    known.store(entries, std::memory_order_relaxed);
    known_until.store((began + 1000 * took).time_since_epoch().count(), std::memory_order_release);
  }
  return entries;
}

ProcessUse read_process_use() {
  ProcessUse use;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    const auto seconds_of = [](const timeval& t) {
      return static_cast<double>(t.tv_sec) + (static_cast<double>(t.tv_usec) * 1e-6);
    };
    use.cpu_seconds = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  }
  const auto fields = stat_fields();
  if (fields.size() > 21) {
    use.threads = std::stoull(fields[17]);
    const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    use.started_at = boot_time() + (std::stod(fields[19]) / ticks);
    use.resident =
        Bytes{std::stoull(fields[21]) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE))};
  }
  use.open_descriptors = open_descriptors("/proc").value_or(0);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.most_descriptors = limit.rlim_cur;
  return use;
}

std::vector<SampleFamily> samples_of(const ProcessUse& use) {
  std::vector<SampleFamily> families;
  families.reserve(kRows.size());
  for (const Row& row : kRows) families.push_back({row.family, {{{}, row.value(use)}}});
  return families;
}

}  // namespace headroom::monitor
