#include "headroom/realtime/settings.h"

namespace headroom::realtime {

Result<std::shared_ptr<const Settings>> Settings::make(const RealtimeOptions& options,
                                                       const Settings* before) {
  auto made = std::make_shared<Settings>();
  made->options = options;
  for (const AppOptions& app : options.apps) {
    std::shared_ptr<std::atomic<std::uint64_t>> open;
    if (before != nullptr) {
      if (const auto old = before->by_id.find(app.id); old != before->by_id.end())
        open = old->second->open;
    }
    if (!open) open = std::make_shared<std::atomic<std::uint64_t>>(0);
    const auto shared = std::make_shared<const App>(App{app, open});
    made->by_key[app.key] = shared;
    made->by_id[app.id] = shared;
  }
  auto verifier = auth::make_verifier(options.jwt, {}, "realtime.jwt");
  if (!verifier) return pass(verifier);
  made->verifier = std::move(*verifier);
  return made;
}

}  // namespace headroom::realtime
