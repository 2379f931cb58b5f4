#include "headroom/realtime/settings.h"

namespace headroom::realtime {

Result<std::shared_ptr<const Settings>> Settings::make(const RealtimeOptions& options,
                                                       const Settings* before,
                                                       std::size_t workers) {
  auto made = std::make_shared<Settings>();
  made->options = options;
  bool by_tls = false;
  for (const AppOptions& app : options.apps) {
    std::shared_ptr<std::atomic<std::uint64_t>> open;
    if (before != nullptr) {
      if (const auto old = before->by_id.find(app.id); old != before->by_id.end())
        open = old->second->open;
    }
    if (!open) open = std::make_shared<std::atomic<std::uint64_t>>(0);
    App whole{app, open, std::nullopt};
    if (!app.webhook_url.empty()) {
      auto address = http::call_address(app.webhook_url);
      if (!address) return pass(address, "realtime.apps.webhook_url");
      by_tls = by_tls || address->tls;
      whole.webhook = std::move(*address);
    }
    const auto shared = std::make_shared<const App>(std::move(whole));
    made->by_key[app.key] = shared;
    made->by_id[app.id] = shared;
  }
  if (!options.authorization.url.empty()) {
    auto address = http::call_address(options.authorization.url);
    if (!address) return pass(address, "realtime.authorization.url");
    by_tls = by_tls || address->tls;
    made->authorization = std::move(*address);
  }
  if (by_tls) {
    net::TlsClientOptions wanted;
    wanted.ca = options.ca;
    auto tls = net::TlsClient::make(wanted, workers);
    if (!tls) return fail(Errc::invalid, "realtime.ca: " + tls.error().message);
    made->tls = std::move(*tls);
  }
  auto verifier = auth::make_verifier(options.jwt, {}, "realtime.jwt");
  if (!verifier) return pass(verifier);
  made->verifier = std::move(*verifier);
  return made;
}

}  // namespace headroom::realtime
