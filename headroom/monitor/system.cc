#include "headroom/monitor/system.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>

#include "headroom/base/text.h"
#include "headroom/monitor/metrics.h"
#include "headroom/monitor/process.h"

namespace headroom::monitor {
namespace {

using std::filesystem::path;

constexpr std::size_t kMostDevices = 16;

std::string read_file(const path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (const std::string_view word : text::split(line, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// "max" and whatever else is no number: nothing.
std::optional<double> number(std::string_view text) {
  text = text::trimmed(text);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

// The number behind `name` in lines of "name 12 kB" or "name: 12".
std::optional<double> named(std::string_view lines, std::string_view name) {
  for (const std::string_view line : text::split(lines, '\n')) {
    if (!line.starts_with(name)) continue;
    std::string_view rest = line.substr(name.size());
    if (!rest.empty() && rest.front() == ':') rest.remove_prefix(1);
    if (rest.empty() || (rest.front() != ' ' && rest.front() != '\t')) continue;
    const auto words = words_of(text::trimmed(rest));
    return words.empty() ? std::nullopt : number(words[0]);
  }
  return std::nullopt;
}

std::optional<double> scaled(std::optional<double> value, double factor) {
  return value ? std::optional(*value * factor) : std::nullopt;
}

template <class T>
void tighten(std::optional<T>& limit, std::optional<T> other) {
  if (other && (!limit || *other < *limit)) limit = other;
}

// Tables of "Name: header header ..." and "Name: value value ..." lines (/proc/net/snmp, netstat).
std::optional<double> cell_of(std::string_view table, std::string_view row,
                              std::string_view column) {
  std::vector<std::string_view> headers;
  for (const std::string_view line : text::split(table, '\n')) {
    const auto words = words_of(line);
    if (words.empty() || words[0] != row) continue;
    if (headers.empty()) {
      headers = words;
      continue;
    }
    const auto at = static_cast<std::size_t>(std::ranges::find(headers, column) - headers.begin());
    return at < words.size() ? number(words[at]) : std::nullopt;
  }
  return std::nullopt;
}

// A group and those above it, innermost first, down to the mount point itself.
std::vector<path> upwards(const path& mount, std::string_view inner) {
  path relative = path(inner).relative_path();
  std::vector<path> groups;
  for (; !relative.empty(); relative = relative.parent_path()) groups.push_back(mount / relative);
  groups.push_back(mount);
  return groups;
}

// "0::/a/b" (version 2) or "4:memory:/a/b": our group under a controller; "" means version 2.
std::optional<std::string> group_of(std::string_view listing, std::string_view controller) {
  for (const std::string_view line : text::split(listing, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const auto controllers = text::split(line.substr(first + 1, second - first - 1), ',');
    const bool named_so = controller.empty()
                              ? controllers.empty() || controllers[0].empty()
                              : std::ranges::find(controllers, controller) != controllers.end();
    if (named_so) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

void read_version_2(SystemUse& use, const path& mount, std::string_view inner) {
  for (const path& group : upwards(mount, inner)) {
    const std::string quota = read_file(group / "cpu.max");
    const auto words = words_of(quota);
    const auto allowed = words.size() == 2 ? number(words[0]) : std::nullopt;
    const auto period = words.size() == 2 ? number(words[1]) : std::nullopt;
    if (allowed && period && *period > 0 &&
        (!use.cpu_limit || *allowed / *period < *use.cpu_limit)) {
      use.cpu_limit = *allowed / *period;
      const std::string stat = read_file(group / "cpu.stat");
      use.cpu_seconds = scaled(named(stat, "usage_usec"), 1e-6);
      use.throttled_seconds = scaled(named(stat, "throttled_usec"), 1e-6);
      use.throttled_periods = named(stat, "nr_throttled");
    }
    const auto limit = number(read_file(group / "memory.max"));
    const auto used = number(read_file(group / "memory.current"));
    if (limit && used && (!use.memory_limit || *limit < *use.memory_limit)) {
      use.memory_limit = limit;
      use.memory_used = std::max(
          0.0, *used - named(read_file(group / "memory.stat"), "inactive_file").value_or(0));
    }
  }
}

void read_version_1(SystemUse& use, const path& cgroup, std::string_view listing) {
  if (const auto inner = group_of(listing, "cpu")) {
    for (const path& group : upwards(cgroup / "cpu", *inner)) {
      const auto quota = number(read_file(group / "cpu.cfs_quota_us"));
      const auto period = number(read_file(group / "cpu.cfs_period_us"));
      if (!quota || !period || *quota <= 0 || *period <= 0) continue;
      if (use.cpu_limit && *quota / *period >= *use.cpu_limit) continue;
      use.cpu_limit = *quota / *period;
      const std::string stat = read_file(group / "cpu.stat");
      use.throttled_seconds = scaled(named(stat, "throttled_time"), 1e-9);
      use.throttled_periods = named(stat, "nr_throttled");
      const auto usage =
          number(read_file(cgroup / "cpuacct" / path(*inner).relative_path() / "cpuacct.usage"));
      if (usage) use.cpu_seconds = *usage * 1e-9;
    }
  }
  if (const auto inner = group_of(listing, "memory")) {
    for (const path& group : upwards(cgroup / "memory", *inner)) {
      const auto limit = number(
          read_file(group / "memory.limit_in_bytes"));  // unlimited: a number beyond all memory
      const auto used = number(read_file(group / "memory.usage_in_bytes"));
      if (!limit || !used || (use.memory_limit && *limit >= *use.memory_limit)) continue;
      use.memory_limit = limit;
      use.memory_used = std::max(
          0.0, *used - named(read_file(group / "memory.stat"), "total_inactive_file").value_or(0));
    }
  }
}

}  // namespace

const SystemUse& System::read(TimePoint now) {
  SystemUse use;
  read_machine(use);
  read_groups(use);
  read_disk(use);
  read_descriptors(use);
  read_network(use);
  read_pressure(use);
  const double time = seconds(elapsed(at_, now));
  const bool same_measure = use_.cpu_limit == use.cpu_limit;
  if (same_measure && time > 0 && use.cpu_seconds && use_.cpu_seconds && use.cpu_limit) {
    use.cpu_ratio =
        std::clamp((*use.cpu_seconds - *use_.cpu_seconds) / time / *use.cpu_limit, 0.0, 1.0);
  }
  at_ = now;
  use_ = std::move(use);
  return use_;
}

void System::read_machine(SystemUse& use) const {
  const std::string stat = read_file(places_.proc / "stat");
  const double tick = 1.0 / static_cast<double>(::sysconf(_SC_CLK_TCK));
  double processors = 0;
  for (const std::string_view line : text::split(stat, '\n')) {
    if (!line.starts_with("cpu")) continue;
    const auto words = words_of(line);
    if (words[0] != "cpu") {
      ++processors;
      continue;
    }
    // user nice system idle iowait irq softirq steal
    double used = 0;
    for (const std::size_t i : {1U, 2U, 3U, 6U, 7U}) {
      if (i < words.size()) used += number(words[i]).value_or(0);
    }
    use.cpu_seconds = used * tick;
    if (words.size() > 8) use.cpu_steal_seconds = scaled(number(words[8]), tick);
  }
  if (processors > 0) use.cpu_limit = processors;
  const std::string memory = read_file(places_.proc / "meminfo");
  use.memory_limit = scaled(named(memory, "MemTotal"), 1024);
  const auto available = named(memory, "MemAvailable");
  if (use.memory_limit && available) use.memory_used = *use.memory_limit - (*available * 1024);
  const std::string load = read_file(places_.proc / "loadavg");
  if (const auto words = words_of(load); !words.empty()) use.load = number(words[0]);
}

void System::read_groups(SystemUse& use) const {
  const std::string listing = read_file(places_.proc / "self/cgroup");
  if (const auto inner = group_of(listing, "")) read_version_2(use, places_.cgroup, *inner);
  read_version_1(use, places_.cgroup, listing);
}

void System::read_disk(SystemUse& use) const {
  struct statvfs disk{};
  if (::statvfs(places_.disk.c_str(), &disk) != 0) return;
  use.disk_size = static_cast<double>(disk.f_blocks) * static_cast<double>(disk.f_frsize);
  use.disk_free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
}

void System::read_descriptors(SystemUse& use) const {
  if (const auto open = open_descriptors(places_.proc))
    use.descriptors_open = static_cast<double>(*open);
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
    use.descriptors_most = static_cast<double>(limit.rlim_cur);
}

void System::read_network(SystemUse& use) const {
  const std::string devices = read_file(places_.proc / "net/dev");
  for (const std::string_view line : text::split(devices, '\n')) {
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || use.devices.size() == kMostDevices) continue;
    const auto words = words_of(line.substr(colon + 1));
    if (words.size() < 9) continue;
    const SystemUse::Device device{std::string(text::trimmed(line.substr(0, colon))),
                                   number(words[0]).value_or(0), number(words[8]).value_or(0)};
    if (device.received > 0 || device.sent > 0) use.devices.push_back(device);
  }
  use.retransmits = cell_of(read_file(places_.proc / "net/snmp"), "Tcp:", "RetransSegs");
  use.listen_overflows =
      cell_of(read_file(places_.proc / "net/netstat"), "TcpExt:", "ListenOverflows");
}

void System::read_pressure(SystemUse& use) const {
  for (auto& pressure : use.pressure) {
    const std::string lines = read_file(places_.proc / "pressure" / pressure.resource);
    for (const std::string_view line : text::split(lines, '\n')) {
      const auto words = words_of(line);
      if (words.size() < 2 || !words[1].starts_with("avg10=")) continue;
      const auto share = scaled(number(words[1].substr(6)), 0.01);
      if (words[0] == "some") pressure.some = share;
      if (words[0] == "full") pressure.full = share;
    }
  }
}

std::vector<SampleFamily> samples_of(const SystemUse& use) {
  std::vector<SampleFamily> families;
  const auto add = [&](const Family& family, const std::optional<double>& value) {
    if (value) families.push_back({&family, {{{}, *value}}});
  };
  const auto ratio = [&](const Family& family, const std::optional<double>& part,
                         const std::optional<double>& all) {
    if (part && all && *all > 0) families.push_back({&family, {{{}, *part / *all}}});
  };
  add(kSystemCpu, use.cpu_seconds);
  add(kSystemSteal, use.cpu_steal_seconds);
  add(kSystemCpuLimit, use.cpu_limit);
  add(kSystemCpuRatio, use.cpu_ratio);
  add(kSystemThrottled, use.throttled_seconds);
  add(kSystemThrottledPeriods, use.throttled_periods);
  add(kSystemMemory, use.memory_used);
  add(kSystemMemoryLimit, use.memory_limit);
  ratio(kSystemMemoryRatio, use.memory_used, use.memory_limit);
  add(kSystemDisk, use.disk_size);
  add(kSystemDiskFree, use.disk_free);
  if (use.disk_size && use.disk_free)
    ratio(kSystemDiskRatio, *use.disk_size - *use.disk_free, use.disk_size);
  ratio(kSystemDescriptorsRatio, use.descriptors_open, use.descriptors_most);
  add(kSystemLoad, use.load);
  add(kSystemRetransmits, use.retransmits);
  add(kSystemListenOverflows, use.listen_overflows);
  SampleFamily received{&kSystemReceived, {}};
  SampleFamily sent{&kSystemSent, {}};
  for (const auto& device : use.devices) {
    received.samples.push_back({{device.name}, device.received});
    sent.samples.push_back({{device.name}, device.sent});
  }
  SampleFamily pressure{&kSystemPressure, {}};
  for (const auto& [resource, some, full] : use.pressure) {
    if (some) pressure.samples.push_back({{std::string(resource), "some"}, *some});
    if (full) pressure.samples.push_back({{std::string(resource), "full"}, *full});
  }
  for (SampleFamily* family : {&received, &sent, &pressure}) {
    if (!family->samples.empty()) families.push_back(std::move(*family));
  }
  return families;
}

}  // namespace headroom::monitor
