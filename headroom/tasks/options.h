// headroom/tasks/options.h - the settings of `[tasks]`; the table that reads them is in options.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::tasks {

struct TasksTls {
  std::string cert;
  std::string key;
};

// [[tasks.throttles]]
struct ThrottleOptions {
  std::string queue{};    // empty: every one
  std::string jobtype{};  // empty: every one
  bool by_key = false;
  std::optional<config::Rate> rate{};
  std::uint32_t at_once = 0;
};

enum class BackoffFormula : std::uint8_t { faktory, constant, linear, exponential };
inline constexpr std::array<config::Choice<BackoffFormula>, 4> kBackoffFormulas{
    {{"faktory", BackoffFormula::faktory},
     {"constant", BackoffFormula::constant},
     {"linear", BackoffFormula::linear},
     {"exponential", BackoffFormula::exponential}}};
constexpr const auto& setting_choices(BackoffFormula) { return kBackoffFormulas; }

// [[tasks.backoffs]]
struct BackoffOptions {
  std::string jobtype;
  BackoffFormula formula{};
  Duration base{};
  double factor = 2;
  Duration limit{};
  double jitter = 0;
};

// [[tasks.push]]
struct PushOptions {
  std::string queue;
  std::string url;
  std::string secret;
  std::uint32_t at_once = 0;
  Duration timeout{};
  std::vector<std::string> allow;
  std::string ca;
};

struct TasksOptions {
  bool enabled = true;
  config::Address listen;
  std::string password;
  std::map<std::string, std::string> users;
  TasksTls tls;
  std::uint32_t connections_limit = 0;
  Bytes line_limit;
  Bytes job_limit;
  Bytes memory_limit;
  std::uint32_t queues_limit = 0;
  std::uint32_t batches_limit = 0;
  std::uint32_t tracks_limit = 0;
  Bytes result_limit;
  std::uint32_t shares_limit = 0;
  std::vector<ThrottleOptions> throttles;
  std::vector<BackoffOptions> backoffs;
  std::vector<PushOptions> push;
  Duration fetch_wait{};
  Duration worker_timeout{};
  Duration worker_grace{};
  std::uint32_t lost_limit = 0;
  Duration dead_retention{};
  std::uint64_t dead_limit = 0;
  bool analyze = false;
};

[[nodiscard]] const config::Section<TasksOptions>& tasks_section();

}  // namespace headroom::tasks
