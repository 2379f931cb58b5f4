// headroom/tasks/options.h - the settings of `[tasks]`; the table that reads them is in options.cc.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::tasks {

struct TasksTls {
  std::string cert;
  std::string key;
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
  Duration fetch_wait{};
  Duration worker_timeout{};
  Duration worker_grace{};
  std::uint32_t lost_limit = 0;
  Duration dead_retention{};
  std::uint64_t dead_limit = 0;
};

[[nodiscard]] const config::Section<TasksOptions>& tasks_section();

}  // namespace headroom::tasks
