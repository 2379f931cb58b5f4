// headroom/realtime/settings.h - what a reload replaces: the options, and the apps with their counts, which stay.
//
// Owns: the options; shares each app's count of connections with the settings before and after. Worker: any; immutable.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "headroom/auth/jwt.h"
#include "headroom/http/call.h"
#include "headroom/json/schema.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

struct App {
  AppOptions options;
  std::shared_ptr<std::atomic<std::uint64_t>> open;  // connections
  std::optional<http::CallAddress> webhook;
};

struct Settings {
  RealtimeOptions options;
  std::map<std::string, std::shared_ptr<const App>, std::less<>> by_key;
  std::map<std::string, std::shared_ptr<const App>, std::less<>> by_id;

  std::optional<http::CallAddress> authorization;
  std::shared_ptr<const net::TlsClient> tls;  // for calls by https; null where there are none
  std::vector<std::pair<std::string, std::shared_ptr<const json::Schema>>> schemas;  // by event
  std::shared_ptr<const auth::JwtVerifier> verifier;  // of [realtime.jwt]; null: no user is known

  // Errc::invalid: the event's data is not what its schema says.
  [[nodiscard]] Result<> check_data(std::string_view event, std::string_view data) const;

  // Reads key files, schemas and the authorities. Errc::invalid, naming the setting. With the counts of those before; `before` may be null.
  [[nodiscard]] static Result<std::shared_ptr<const Settings>> make(const RealtimeOptions& options,
                                                                    const Settings* before,
                                                                    std::size_t workers);
};

}  // namespace headroom::realtime
