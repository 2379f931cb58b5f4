#include "headroom/server/serve.h"

#include <sys/stat.h>

#include "headroom/base/log.h"
#include "headroom/server/process.h"
#include "headroom/server/supervisor.h"

namespace headroom::server {

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
  int code = 0;
  {
    Process process(request, std::move(*settings), std::move(*keys), std::move(*state), signals);
    code = process.run();
  }
  log::stop();
  return code;
}

}  // namespace headroom::server
