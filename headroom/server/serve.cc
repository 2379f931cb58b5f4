#include "headroom/server/serve.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "headroom/base/log.h"
#include "headroom/config/config.h"
#include "headroom/server/process.h"
#include "headroom/server/supervisor.h"

namespace headroom::server {
namespace {

// The seeds' variables that nothing reads yet: who sets them should not believe that they do something.
constexpr std::array<std::string_view, 4> kNotYet{"REDIS_HOST", "REDIS_PORT", "REDIS_DB",
                                                  "REDIS_CLUSTER_NODES"};

void tell_of_unread_variables() {
  std::string set;
  for (const auto& [name, value] : config::process_environment()) {
    if (!value.empty() && std::ranges::find(kNotYet, name) != kNotYet.end())
      set.append(set.empty() ? "" : ", ").append(name);
  }
  if (!set.empty())
    log::warn("server",
              "{}: nothing reads this yet: there is no Redis tier, values are kept in memory", set);
}

}  // namespace

int serve(const ServeRequest& request) {
  const int signals = signals_descriptor();
  raise_descriptor_limit();
  ::umask(077);
  auto settings = load_settings(request.settings);
  if (!settings) {
    log::announce(settings.error().message);
    return 2;
  }
  auto keys = admin_keys((*settings)->get<AdminOptions>());
  if (!keys) {
    log::announce(keys.error().message);
    return 2;
  }
  const auto& options = (*settings)->get<ServerOptions>();
  auto state = StateDir::open(options.state_dir.empty() ? default_state_dir() : options.state_dir);
  if (!state) {
    log::announce("headroom: " + state.error().message);
    return 1;
  }
  log::start(options.log_level);
  tell_of_unread_variables();
  int code = 0;
  {
    Process process(request, std::move(*settings), std::move(*keys), std::move(*state), signals);
    code = process.run();
  }
  log::stop();
  return code;
}

}  // namespace headroom::server
