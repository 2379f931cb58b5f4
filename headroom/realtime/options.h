// headroom/realtime/options.h - the hub's settings as values; the table that reads them is in options.cc.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/jwt_settings.h"
#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/config/section.h"

namespace headroom::realtime {

// What becomes of a subscriber that is further behind than a channel allows.
enum class Slow : std::uint8_t {
  close,        // its connection is closed; it comes back with its position
  drop_oldest,  // it goes on with the newest messages within the distance, and is told how many it missed
  latest,  // it goes on with the newest message alone (latest_by: of each key), and is told how many it missed
  drop_newest,  // it gets what was within the distance, then goes on with what comes, and is told how many it missed
  pause,  // it gets nothing more of this channel, is told where it stopped, and may go on from there
};
inline constexpr std::array<config::Choice<Slow>, 5> kSlow{{{"close", Slow::close},
                                                            {"drop_oldest", Slow::drop_oldest},
                                                            {"latest", Slow::latest},
                                                            {"drop_newest", Slow::drop_newest},
                                                            {"pause", Slow::pause}}};
constexpr const auto& setting_choices(Slow) { return kSlow; }

// What an app's server is told of by webhooks.
enum class HookKind : std::uint8_t {
  channel_existence,
  presence,
  client_events,
  cache_channels,
  subscription_count
};
inline constexpr std::array<config::Choice<HookKind>, 5> kHooks{
    {{"channel_existence", HookKind::channel_existence},
     {"presence", HookKind::presence},
     {"client_events", HookKind::client_events},
     {"cache_channels", HookKind::cache_channels},
     {"subscription_count", HookKind::subscription_count}}};
constexpr const auto& setting_choices(HookKind) { return kHooks; }

// [[realtime.apps]]: a tenant, with the credentials of the Pusher protocol.
struct AppOptions {
  std::string id;
  std::string key;
  std::string secret;
  bool enabled = true;
  bool client_events = false;
  config::Rate client_event_rate;
  std::uint64_t max_connections = 0;  // 0: those of the hub
  bool subscription_count = false;
  std::string webhook_url;
  std::vector<HookKind> webhooks;
};

// [realtime.authorization]: asking the app.
struct AuthorizationOptions {
  std::string url;
  std::string secret;
  std::string path;
  Duration remember{};
  Duration timeout{};
  std::uint64_t questions_per_address = 0;
};

// [[realtime.channels]]: what holds for channels whose name matches; the first that matches counts.
struct ChannelOptions {
  std::string match;  // a name, or its beginning and *
  std::uint64_t history = 0;
  Duration history_ttl{};
  Slow slow = Slow::close;
  std::string
      latest_by;  // with Slow::latest: the member of an event's data that says what it is the latest of
  bool batch = true;
};

// [[realtime.schemas]]: what the data of events must be.
struct SchemaOptions {
  std::string event;  // a name, or its beginning and *
  std::string file;
};

// [realtime.jwt]: who a user is, for the plain faces.
struct JwtOptions : auth::JwtSettings {
  std::string group_claim;
  std::string location_claim;
};

// [realtime]
struct RealtimeOptions {
  bool enabled = true;
  Duration heartbeat{};
  Duration pong_timeout{};
  std::uint64_t max_connections = 0;
  std::uint64_t max_connections_per_address = 0;
  std::uint64_t max_connections_per_user = 0;
  std::uint64_t max_channels_per_connection = 0;
  Bytes message_limit;
  Bytes event_limit;
  bool deflate = false;
  Duration batch_delay{};
  std::uint64_t batch_messages = 0;
  Bytes batch_bytes;
  std::uint64_t distance_messages = 0;
  Bytes distance_bytes;
  Duration write_timeout{};
  Duration drain{};
  std::uint64_t presence_members = 0;
  std::uint64_t presence_batch = 0;
  Bytes presence_info;
  std::vector<std::string> allowed_origins;
  std::string plain_app;
  std::vector<std::string> public_channels;
  bool client_publish = false;
  config::Rate client_publish_rate;
  config::Rate subscribe_rate;
  Duration poll_wait{};
  Duration webhook_delay{};
  Duration webhook_retry{};
  std::string ca;
  AuthorizationOptions authorization;
  JwtOptions jwt;
  std::vector<AppOptions> apps;
  std::vector<ChannelOptions> channels;
  std::vector<SchemaOptions> schemas;

  // Whether anybody may listen to it.
  [[nodiscard]] bool is_public(std::string_view name) const;
  // The rule for a channel; the defaults where none matches.
  [[nodiscard]] const ChannelOptions& channel(std::string_view name) const;
};

// Whether a name is the pattern, or begins as a pattern with * at its end.
[[nodiscard]] bool name_matches(std::string_view pattern, std::string_view name);

[[nodiscard]] const config::Section<RealtimeOptions>& realtime_section();

}  // namespace headroom::realtime
