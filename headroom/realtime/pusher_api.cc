#include "headroom/realtime/pusher_api.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "headroom/base/text.h"
#include "headroom/http/exchange.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/census.h"
#include "headroom/realtime/pusher.h"

namespace headroom::realtime {
namespace {

using Facts = std::map<std::string, ChannelFacts>;

constexpr std::uint64_t kBodyLimit = 1U << 20U;
constexpr std::size_t kMostChannels = 100;
constexpr std::size_t kMostEvents = 50;

// One event of a call, as it is written there.
struct Event {
  std::string name;
  std::vector<std::string> channels;
  std::string data;
  std::string socket_id;
  std::string info;
  std::string priority;
};

Event read_event(json::Reader& in) {
  Event event;
  std::string channel;
  in.required("name", event.name);
  in.required("data", event.data);
  in.optional("channels", event.channels);
  in.optional("channel", channel);
  in.optional("socket_id", event.socket_id);
  in.optional("info", event.info);
  in.optional("priority", event.priority);
  in.allow_others();
  if (!channel.empty()) event.channels.push_back(channel);
  return event;
}

Result<> check_event(const Event& event, const RealtimeOptions& options) {
  if (event.name.empty() || event.name.size() > pusher::kNameLimit)
    return fail(Errc::invalid, "an event's name has 1 to 200 bytes");
  if (event.data.size() > options.event_limit.count)
    return fail(Errc::overloaded, "the data of an event is over the limit (realtime.event_limit)");
  if (event.channels.empty() || event.channels.size() > kMostChannels)
    return fail(Errc::invalid, "an event goes to 1 to 100 channels");
  for (const std::string& channel : event.channels) {
    const bool user =
        channel.starts_with(pusher::kUserChannel) && channel.size() <= pusher::kNameLimit;
    if (!user && !pusher::is_channel_name(channel))
      return fail(Errc::invalid, "'" + channel.substr(0, 100) + "' is not a channel's name");
  }
  if (!event.socket_id.empty() && !parse_socket(event.socket_id))
    return fail(Errc::invalid, "socket_id is not one");
  if (!event.priority.empty() && event.priority != "critical" && event.priority != "normal")
    return fail(Errc::invalid, "priority is normal or critical");
  return {};
}

void append_publications(const Event& event, const std::string& app,
                         std::vector<Publication>& all) {
  std::set<std::string_view> once;
  for (const std::string& channel : event.channels) {
    if (!once.insert(channel).second) continue;
    Publication what{.app = app,
                     .channel = channel,
                     .event = event.name,
                     .data = event.data,
                     .form = Form::text};
    what.except = parse_socket(event.socket_id).value_or(0);
    if (event.priority == "critical") what.priority = Priority::critical;
    all.push_back(std::move(what));
  }
}

bool asks_for(std::string_view info, std::string_view what) {
  const auto parts = text::split(info, ',');
  return std::ranges::find(parts, what) != parts.end();
}

void write_facts(json::Writer& out, std::string_view name, const ChannelFacts& facts,
                 std::string_view info) {
  if (asks_for(info, "user_count") && is_presence(name))
    out.field("user_count", facts.users.size());
  if (asks_for(info, "subscription_count")) out.field("subscription_count", facts.subscriptions);
}

// A part of the path as it is meant; what is not well escaped stays as it is. "+" is itself.
std::string unescaped(std::string_view part) {
  std::string out;
  for (std::size_t i = 0; i < part.size(); ++i) {
    unsigned byte = 0;
    const char* const digits = part.data() + i + 1;
    const bool escape = part[i] == '%' && i + 2 < part.size() &&
                        std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
    out += escape ? static_cast<char>(byte) : part[i];
    if (escape) i += 2;
  }
  return out;
}

unsigned status_of(Errc code) {
  switch (code) {
    case Errc::invalid: return 400;
    case Errc::unauthorized: return 401;
    case Errc::not_found: return 404;
    case Errc::overloaded: return 413;
    case Errc::conflict: return 403;
    default: return 503;
  }
}

std::size_t outcome_of(unsigned status) {
  return status == 200 ? 0 : status == 401 ? 2 : status == 404 ? 3 : 1;
}

http::Reply error_reply(const Error& why) {
  http::Reply reply;
  reply.status = status_of(why.code);
  json::Writer out(reply.body);
  out.begin_object()
      .key("error")
      .begin_object()
      .field("code", to_string(why.code))
      .field("message", why.message)
      .end_object()
      .end_object();
  return reply;
}

}  // namespace

struct PusherApi::Call {
  http::Exchange& x;
  Part& part;
  std::shared_ptr<const App> app;
  std::vector<std::string> path;  // behind /apps/{id}/
  http::QueryFields query;
  std::string body;

  [[nodiscard]] std::string_view field(std::string_view name) const {
    return http::find_field(query, name).value_or("");
  }
  [[nodiscard]] bool is(http::Method method, std::size_t parts, std::string_view first) const {
    return x.request().method == method && path.size() == parts && path[0] == first;
  }
};

std::shared_ptr<const App> PusherApi::app_of(const http::Exchange& exchange) const {
  const std::string_view path = exchange.request().path;
  const std::string_view rest = path.substr(std::min(path.size(), kPusherApi.size()));
  const auto& apps = shards_.part(exchange.worker()).settings()->by_id;
  const auto at = apps.find(rest.substr(0, rest.find('/')));
  return at == apps.end() ? nullptr : at->second;
}

bool PusherApi::takes(const http::Exchange& exchange) const { return app_of(exchange) != nullptr; }

net::Task<> PusherApi::serve(http::Exchange& exchange) {
  Call call{exchange, shards_.part(exchange.worker()), app_of(exchange), {}, {}, {}};
  auto done = co_await answer(call);
  if (!done && done.error().code == Errc::cancelled) {  // the server stops
    exchange.hijack();
    co_return;
  }
  http::Reply reply;
  if (done) {
    reply.body = std::move(*done);
  } else {
    reply = error_reply(done.error());
  }
  call.part.cells().api[outcome_of(reply.status)]->add();
  if (!done && exchange.has_body()) exchange.close_after();
  (void)co_await exchange.reply(reply);
}

PusherApi::Answer PusherApi::answer(Call& call) {
  call.x.limit_body(kBodyLimit);
  // The head's texts move when the body is read.
  const std::string method(call.x.request().method_text);
  const std::string path(call.x.request().path);
  auto query = http::query_fields(call.x.request().query);
  if (!query) co_return pass(query);
  call.query = std::move(*query);
  for (;;) {
    auto piece = co_await call.x.read();
    if (!piece) co_return pass(piece, "body");
    if (piece->empty()) break;
    call.body += *piece;
  }
  const auto check = [&](const std::string& signed_path) {
    return pusher::check_call(call.app->options, method, signed_path, call.query, call.body,
                              unix_seconds());
  };
  auto good = check(path);
  if (!good && path.contains('%'))
    good = check(unescaped(path));  // as the vendor's libraries sign it
  if (!good) co_return pass(good);
  if (!call.app->options.enabled) co_return fail(Errc::conflict, "this app is disabled");
  for (const std::string_view part :
       text::split(std::string_view(path).substr(kPusherApi.size()), '/'))
    call.path.push_back(unescaped(part));
  call.path.erase(call.path.begin());
  using enum http::Method;
  if (call.is(post, 1, "events") || call.is(post, 1, "batch_events"))
    co_return co_await events(call);
  if (call.is(get, 1, "channels")) co_return co_await channels(call);
  if (call.is(get, 2, "channels")) co_return co_await channel(call, call.path[1]);
  if (call.is(get, 3, "channels") && call.path[2] == "users")
    co_return co_await users(call, call.path[1]);
  if (call.is(post, 3, "users") && call.path[2] == "terminate_connections")
    co_return co_await terminate(call, call.path[1]);
  co_return fail(Errc::not_found, "no such call");
}

PusherApi::Answer PusherApi::events(Call& call) {
  auto document = json::parse(call.body);
  if (!document) co_return pass(document, "body");
  std::vector<Event> all;
  json::Reader in(document->root());
  const bool batch = call.path[0] == "batch_events";
  if (batch) {
    in.required_objects("batch", [&](json::Reader& one) { all.push_back(read_event(one)); });
    in.allow_others();
  } else {
    all.push_back(read_event(in));
  }
  if (auto read = in.finish(); !read) co_return pass(read);
  if (all.empty() || all.size() > kMostEvents)
    co_return fail(Errc::invalid, "a batch has 1 to 50 events");
  std::vector<Publication> publications;
  for (const Event& event : all) {
    if (auto good = check_event(event, call.part.options()); !good) co_return pass(good);
    if (auto good = call.part.settings()->check_data(event.name, event.data); !good) {
      call.part.cells().refused_data.add();
      co_return pass(good);
    }
    append_publications(event, call.app->options.id, publications);
  }
  auto published = co_await publish(call, std::move(publications));
  if (!published) co_return pass(published);
  if (std::ranges::all_of(all, [](const Event& event) { return event.info.empty(); }))
    co_return batch ? R"({"batch":[]})" : "{}";
  std::set<std::string, std::less<>> names;
  for (const Event& event : all) names.insert(event.channels.begin(), event.channels.end());
  std::function<bool(std::string_view)> wanted = [names](std::string_view name) {
    return names.contains(name);
  };
  auto facts = co_await census(shards_, call.x.group(), call.app->options.id, std::move(wanted));
  if (!facts) co_return pass(facts);
  std::string text;
  json::Writer out(text);
  out.begin_object().key(batch ? "batch" : "channels");
  batch ? out.begin_array() : out.begin_object();
  for (const Event& event : all) {
    for (const std::string& name : event.channels) {
      if (!batch) out.key(name);
      out.begin_object();
      write_facts(out, name, (*facts)[name], event.info);
      out.end_object();
    }
  }
  (batch ? out.end_array() : out.end_object()).end_object();
  co_return text;
}

net::Task<Result<>> PusherApi::publish(Call& call, std::vector<Publication> all) {
  std::set<std::size_t> homes;
  for (Publication& each : all) {
    homes.insert(shards_.home_of(channel_key(each.app, each.channel)));
    call.part.publish(std::move(each));
  }
  std::function<bool(Shard&)> done = [](Shard&) { return true; };  // behind what was posted
  std::vector<std::size_t> whom(homes.begin(), homes.end());
  auto answers = co_await shards_.ask<bool>(call.x.group(), std::move(whom), std::move(done));
  if (!answers) co_return pass(answers);
  co_return Result<>{};
}

PusherApi::Answer PusherApi::channels(Call& call) {
  std::string prefix(call.field("filter_by_prefix"));
  const std::string info(call.field("info"));
  if (asks_for(info, "user_count") && !is_presence(prefix))
    co_return fail(Errc::invalid,
                   "user_count is for presence channels: filter_by_prefix=presence-");
  std::function<bool(std::string_view)> wanted = [prefix](std::string_view name) {
    return name.starts_with(prefix);
  };
  auto facts = co_await census(shards_, call.x.group(), call.app->options.id, std::move(wanted));
  if (!facts) co_return pass(facts);
  std::string text;
  json::Writer out(text);
  out.begin_object().key("channels").begin_object();
  for (const auto& [name, one] : *facts) {
    out.key(name).begin_object();
    write_facts(out, name, one, info);
    out.end_object();
  }
  out.end_object().end_object();
  co_return text;
}

PusherApi::Answer PusherApi::channel(Call& call, std::string name) {
  const std::string info(call.field("info"));
  if (asks_for(info, "user_count") && !is_presence(name))
    co_return fail(Errc::invalid, "user_count is for presence channels");
  std::function<bool(std::string_view)> wanted = [name](std::string_view each) {
    return each == name;
  };
  auto facts = co_await census(shards_, call.x.group(), call.app->options.id, std::move(wanted));
  if (!facts) co_return pass(facts);
  const ChannelFacts& one = (*facts)[name];
  std::string text;
  json::Writer out(text);
  out.begin_object().field("occupied", one.subscriptions > 0);
  write_facts(out, name, one, info);
  if (asks_for(info, "cache") && is_cache(name)) {
    out.key("cache");
    one.last ? out.begin_object().field("data", one.last->what().data).end_object() : out.null();
  }
  out.end_object();
  co_return text;
}

PusherApi::Answer PusherApi::users(Call& call, std::string name) {
  if (!is_presence(name)) co_return fail(Errc::invalid, "only a presence channel has users");
  std::function<bool(std::string_view)> wanted = [name](std::string_view each) {
    return each == name;
  };
  auto facts = co_await census(shards_, call.x.group(), call.app->options.id, std::move(wanted));
  if (!facts) co_return pass(facts);
  std::string text;
  json::Writer out(text);
  out.begin_object().key("users").begin_array();
  for (const std::string& user : (*facts)[name].users)
    out.begin_object().field("id", user).end_object();
  out.end_array().end_object();
  co_return text;
}

PusherApi::Answer PusherApi::terminate(Call& call, std::string user) {
  std::function<std::size_t(Shard&)> end = [app = call.app->options.id, user](Shard& shard) {
    return shard.part.end_user(app, user);
  };
  std::vector<std::size_t> whom = shards_.all();
  auto ended = co_await shards_.ask<std::size_t>(call.x.group(), std::move(whom), std::move(end));
  if (!ended) co_return pass(ended);
  co_return "{}";
}

}  // namespace headroom::realtime
