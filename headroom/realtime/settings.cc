#include "headroom/realtime/settings.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace headroom::realtime {
namespace {

Result<std::shared_ptr<const json::Schema>> read_schema(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(Errc::invalid, "realtime.schemas.file: '" + path + "' cannot be read");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  auto schema = json::Schema::compile(text);
  if (!schema)
    return fail(Errc::invalid, "realtime.schemas.file: '" + path + "': " + schema.error().message);
  return schema;
}

}  // namespace

Result<> Settings::check_data(std::string_view event, std::string_view data) const {
  const auto at = std::ranges::find_if(
      schemas, [&](const auto& each) { return name_matches(each.first, event); });
  if (at == schemas.end()) return {};
  auto checked = at->second->check(data);
  if (checked) return {};
  return fail(Errc::invalid, "the data of '" + std::string(event) +
                                 "' is not what its schema says: " + checked.error().message);
}

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
  for (const SchemaOptions& each : options.schemas) {
    auto schema = read_schema(each.file);
    if (!schema) return pass(schema);
    made->schemas.emplace_back(each.event, std::move(*schema));
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
