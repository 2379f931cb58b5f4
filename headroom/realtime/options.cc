#include "headroom/realtime/options.h"

#include <algorithm>

#include "headroom/http/call.h"

namespace headroom::realtime {
namespace {

using config::at_least;
using config::between;
using config::Reload;
using config::satisfying;
using config::Section;

const auto kWord = satisfying("of letters, digits, - and _", [](const std::string& text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
});
const auto kUrl = satisfying(
    "that is an http:// or https:// URL, or empty",
    [](const std::string& text) { return text.empty() || http::call_address(text).has_value(); });
const auto kPath = satisfying("that begins with / or is empty", [](const std::string& text) {
  return text.empty() || text.starts_with('/');
});
const auto kPattern =
    satisfying("that is a channel's name, or its beginning and *", [](const std::string& text) {
      return !text.empty() && text.size() <= 200 && text.find('*') >= text.size() - 1;
    });

Section<AppOptions> app_section() {
  using O = AppOptions;
  Section<O> s("apps", "An application whose clients speak the Pusher Channels protocol.");
  s.required("id", &O::id, Reload::live, "In the paths of its HTTP API: /apps/{id}/events.", kWord);
  s.required("key", &O::key, Reload::live, "What its clients connect with: /app/{key}.", kWord);
  s.secret("secret", &O::secret, "", Reload::live, "What its server signs with.");
  s.setting("enabled", &O::enabled, "true", Reload::live, "Off: its clients are told so.");
  s.setting("client_events", &O::client_events, "false", Reload::live,
            "Whether clients may send events to private and presence channels they are in.");
  s.setting("client_event_rate", &O::client_event_rate, "10/s", Reload::live,
            "How many a connection may send.");
  s.setting("max_connections", &O::max_connections, "0", Reload::live,
            "Its connections; 0: any number within the hub's.");
  s.setting("subscription_count", &O::subscription_count, "false", Reload::live,
            "Whether subscribers are told, at most once a second, how many they are; not in "
            "presence channels.");
  s.secret("webhook_url", &O::webhook_url, "", Reload::live,
           "Where the app's server is told of what happens in its channels; empty: nowhere.", kUrl);
  s.setting("webhooks", &O::webhooks, "channel_existence,presence,client_events,cache_channels",
            Reload::live, "What it is told of.");
  s.check([](const O& o) -> Result<void> {
    if (o.secret.empty()) return fail(Errc::invalid, "an app needs a secret");
    return {};
  });
  return s;
}

Section<ChannelOptions> channel_section() {
  using O = ChannelOptions;
  Section<O> s("channels", "What holds for channels by name; the first that matches counts.");
  s.required("match", &O::match, Reload::restart, "A name, or its beginning and *.", kPattern);
  s.setting("history", &O::history, "0", Reload::restart,
            "How many messages are kept for clients that come back; 0: none.", between(0, 100000));
  s.setting("history_ttl", &O::history_ttl, "2m", Reload::restart, "How long they are kept.",
            between(1s, 86400s));
  s.setting("slow", &O::slow, "close", Reload::restart,
            "What becomes of a subscriber that is too far behind.");
  s.setting("latest_by", &O::latest_by, "", Reload::restart,
            "With slow = \"latest\": the member of an event's data (JSON) by which the newest is "
            "kept: who was slow gets the newest of each of its values, of those within the "
            "distance. Empty: the newest of all.");
  s.setting("batch", &O::batch, "true", Reload::restart,
            "Whether messages wait for others on a busy connection; off: each leaves at once.");
  s.check([](const O& o) -> Result<void> {
    if (!o.latest_by.empty() && o.slow != Slow::latest)
      return fail(Errc::invalid, "latest_by is for slow = \"latest\"");
    return {};
  });
  return s;
}

Section<JwtOptions> jwt_section() {
  using O = JwtOptions;
  Section<O> s("jwt", "The app's own JSON Web Tokens, by which the plain faces know their users.");
  auth::add_jwt_settings(s);
  s.setting("group_claim", &O::group_claim, "groups", Reload::live,
            "The claim with the groups of a user: a text or a list.");
  s.setting(
      "location_claim", &O::location_claim, "location_ids", Reload::live,
      "The claim with the locations of a user; empty: every user may listen to every location.");
  return s;
}

Section<AuthorizationOptions> authorization_section() {
  using O = AuthorizationOptions;
  Section<O> s("authorization", "Asking the app who may listen to what.");
  s.secret("url", &O::url, "", Reload::restart,
           "The app's endpoint, as the Pusher protocol has it: a form with socket_id and "
           "channel_name; 200 is a yes. "
           "With it, the plain faces ask for rooms that are not public. Empty: nobody is asked.",
           kUrl);
  s.secret("secret", &O::secret, "", Reload::live,
           "Signs each question of the hub (Headroom-Signature), so that the app can believe its "
           "user_id; empty: no signature.");
  s.setting(
      "path", &O::path, "", Reload::restart,
      "Where clients of the Pusher protocol ask on the edge (/broadcasting/auth): answered from "
      "memory where the app has just said yes to the same session. Empty: they ask the app itself.",
      kPath);
  s.setting("remember", &O::remember, "10s", Reload::live,
            "How long a yes is remembered for the same session and channel; 0: it is not.",
            between(0s, 600s));
  s.setting("timeout", &O::timeout, "5s", Reload::live, "How long the app may take to answer.",
            between(10ms, 60s));
  s.setting("questions_per_address", &O::questions_per_address, "100", Reload::live,
            "Questions under way at once for clients of one address (IPv6: one /64), of a thousand "
            "in all; the others of it wait their turn, timeout at most; 0: any number.");
  s.check([](const O& o) -> Result<void> {
    if (o.url.empty() && !o.path.empty()) return fail(Errc::invalid, "path needs url");
    return {};
  });
  return s;
}

Section<SchemaOptions> schema_section() {
  using O = SchemaOptions;
  Section<O> s(
      "schemas",
      "What the data of events must be, by a JSON Schema; the first whose event matches counts.");
  s.required("event", &O::event, Reload::live, "An event's name, or its beginning and *.",
             kPattern);
  s.required("file", &O::file, Reload::live, "A file with the schema (drafts 4 to 7).");
  return s;
}

}  // namespace

bool name_matches(std::string_view pattern, std::string_view name) {
  const bool prefix = pattern.ends_with('*');
  return prefix ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : name == pattern;
}

bool RealtimeOptions::is_public(std::string_view name) const {
  return std::ranges::any_of(
      public_channels, [&](const std::string& pattern) { return name_matches(pattern, name); });
}

const ChannelOptions& RealtimeOptions::channel(std::string_view name) const {
  static const ChannelOptions kPlain = channel_section().defaults();
  const auto at = std::ranges::find_if(
      channels, [&](const ChannelOptions& one) { return name_matches(one.match, name); });
  return at == channels.end() ? kPlain : *at;
}

const Section<RealtimeOptions>& realtime_section() {
  static const auto section = [] {
    using O = RealtimeOptions;
    Section<O> s("realtime", "The real-time hub: channels, presence, messages to browsers.");
    s.setting("enabled", &O::enabled, "true", Reload::restart, "Whether the room is on.");
    s.setting("heartbeat", &O::heartbeat, "30s", Reload::live,
              "How long a connection may be silent before it is asked for a sign of life.",
              between(1s, 3600s));
    s.setting("pong_timeout", &O::pong_timeout, "10s", Reload::live,
              "How long the sign may take; then the connection is closed.", between(1s, 600s));
    s.setting("max_connections", &O::max_connections, "15000", Reload::live,
              "Clients at once, of all apps.", at_least(1));
    s.setting("max_connections_per_address", &O::max_connections_per_address, "0", Reload::live,
              "Clients at once from one address (IPv6: one /64); 0: any number.");
    s.setting("max_connections_per_user", &O::max_connections_per_user, "0", Reload::live,
              "Clients at once of one user, by token or sign-in; 0: any number.");
    s.setting("max_channels_per_connection", &O::max_channels_per_connection, "128", Reload::live,
              "Channels that one connection may be subscribed to.", between(1, 10000));
    s.setting("message_limit", &O::message_limit, "64KiB", Reload::live,
              "The largest message a client may send.", between(Bytes::kib(1), Bytes::mib(16)));
    s.setting("event_limit", &O::event_limit, "10KiB", Reload::live,
              "The most data of one event, client's or server's.",
              between(Bytes{64}, Bytes::mib(1)));
    s.setting(
        "deflate", &O::deflate, "false", Reload::live,
        "Whether WebSocket messages are compressed for clients that offer it (permessage-deflate): "
        "each once for all who get it, without context takeover.");
    s.setting("batch_delay", &O::batch_delay, "100ms", Reload::live,
              "How long a message waits for others on a connection that has just been written to; "
              "the first one on a quiet connection never waits.",
              between(0ms, 10s));
    s.setting("batch_messages", &O::batch_messages, "50", Reload::live,
              "How many messages of a channel wait at most.", between(1, 10000));
    s.setting("batch_bytes", &O::batch_bytes, "16KiB", Reload::live,
              "How many bytes of a channel wait at most.", between(Bytes{1}, Bytes::mib(1)));
    s.setting("distance_messages", &O::distance_messages, "1000", Reload::live,
              "How many messages a slow subscriber may be behind in a channel.",
              between(1, 1000000));
    s.setting("distance_bytes", &O::distance_bytes, "1MiB", Reload::live,
              "How many bytes it may be behind.", between(Bytes::kib(1), Bytes::mib(1024)));
    s.setting("write_timeout", &O::write_timeout, "60s", Reload::live,
              "How long a client may take nothing of what waits for it.", between(1s, 3600s));
    s.setting("drain", &O::drain, "3s", Reload::live,
              "Over how long a shutdown spreads the closing of connections, so that they do not "
              "all come back at once.",
              between(0s, 600s));
    s.setting("presence_members", &O::presence_members, "100", Reload::live,
              "Members of a presence channel.", between(1, 100000));
    s.setting("presence_batch", &O::presence_batch, "100", Reload::live,
              "Members beyond which joins and leaves are told together, once a second.");
    s.setting("presence_info", &O::presence_info, "2KiB", Reload::live,
              "What a member may tell of itself.", between(Bytes{2}, Bytes::kib(64)));
    s.setting("allowed_origins", &O::allowed_origins, "", Reload::live,
              "Origins whose pages may connect beside the hub's own, exact "
              "(https://app.example.org), or * for any.");
    s.setting("plain_app", &O::plain_app, "", Reload::restart,
              "The app whose channels the plain faces (JSON, Server-Sent Events, long-poll) speak "
              "of; empty: channels of their own.");
    s.setting(
        "public_channels", &O::public_channels, "public,public-*", Reload::live,
        "Channels that anybody may listen to over the plain faces: names, or beginnings and *.",
        kPattern);
    s.setting("client_publish", &O::client_publish, "false", Reload::live,
              "Whether users may publish over the plain faces, to channels they are in.");
    s.setting("client_publish_rate", &O::client_publish_rate, "10/s", Reload::live,
              "How many messages a connection may publish.");
    s.setting("subscribe_rate", &O::subscribe_rate, "300/10s", Reload::live,
              "How many subscriptions a connection may ask for.");
    s.setting("poll_wait", &O::poll_wait, "25s", Reload::live,
              "How long a long-poll waits for a message.", between(0ms, 300s));
    s.setting("webhook_delay", &O::webhook_delay, "300ms", Reload::live,
              "How long events are collected for a webhook's call.", between(0ms, 60s));
    s.setting("webhook_retry", &O::webhook_retry, "5m", Reload::live,
              "How long a call that fails is tried again.", between(0s, 86400s));
    s.setting("ca", &O::ca, "", Reload::live,
              "PEM file of the authorities to trust for https:// webhooks and questions; empty: "
              "the system's.");
    s.section("authorization", &O::authorization, authorization_section());
    s.section("jwt", &O::jwt, jwt_section());
    s.list("apps", &O::apps, app_section(), Reload::live);
    s.list("channels", &O::channels, channel_section(), Reload::restart);
    s.list("schemas", &O::schemas, schema_section(), Reload::live);
    s.check([](const O& o) -> Result<void> {
      for (std::size_t i = 0; i < o.apps.size(); ++i) {
        for (std::size_t j = 0; j < i; ++j) {
          if (o.apps[i].id == o.apps[j].id)
            return fail(Errc::invalid, "two apps have the id '" + o.apps[i].id + "'");
          if (o.apps[i].key == o.apps[j].key)
            return fail(Errc::invalid, "two apps have the key '" + o.apps[i].key + "'");
        }
      }
      return {};
    });
    return s;
  }();
  return section;
}

}  // namespace headroom::realtime
