#include "headroom/realtime/hooks.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/pusher.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kFirstPause = 1s;
constexpr Duration kMostPause = 60s;
constexpr std::string_view kOccupied = "channel_occupied";
constexpr std::string_view kVacated = "channel_vacated";

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// {"name", "channel", ... what `more` writes}
template <class F>
HookEvent made(HookKind kind, std::string_view name, const std::string& channel, F more) {
  HookEvent event{kind, std::string(name), channel, {}};
  json::Writer out(event.json);
  out.begin_object().field("name", name).field("channel", channel);
  more(out);
  out.end_object();
  return event;
}

const auto kNothing = [](json::Writer&) {};

}  // namespace

HookEvent occupied_event(const std::string& channel) {
  return made(HookKind::channel_existence, kOccupied, channel, kNothing);
}

HookEvent vacated_event(const std::string& channel) {
  return made(HookKind::channel_existence, kVacated, channel, kNothing);
}

HookEvent member_event(std::string_view name, const std::string& channel, const std::string& user) {
  return made(HookKind::presence, name, channel,
              [&](json::Writer& out) { out.field("user_id", user); });
}

HookEvent client_event(const Publication& what) {
  return made(HookKind::client_events, "client_event", what.channel, [&](json::Writer& out) {
    out.field("event", what.event).field("data", what.data);
    if (what.except != 0) out.field("socket_id", show_socket(what.except));
    if (!what.user_id.empty()) out.field("user_id", what.user_id);
  });
}

HookEvent cache_miss_event(const std::string& channel) {
  return made(HookKind::cache_channels, "cache_miss", channel, kNothing);
}

HookEvent count_event(const std::string& channel, std::uint64_t subscriptions) {
  return made(HookKind::subscription_count, "subscription_count", channel,
              [&](json::Writer& out) { out.field("subscription_count", subscriptions); });
}

std::size_t HookQueue::add(HookEvent event) {
  if (event.kind == HookKind::channel_existence) {
    const std::uint64_t number = first_ + events_.size();
    const auto [last, fresh] = existence_.try_emplace(event.channel, number);
    HookEvent* const before = fresh ? nullptr : &events_[last->second - first_];
    if (before != nullptr && before->name != event.name) {
      before->json.clear();  // the opposite: the app never needs to know
      --live_;
      existence_.erase(last);
      return 0;
    }
    last->second = number;
  }
  std::size_t dropped = 0;
  if (live_ >= kMostWaiting && event.kind == HookKind::cache_channels) return 1;
  if (live_ >= kMostWaiting && drop_miss()) ++dropped;
  if (event.kind == HookKind::cache_channels) misses_.push_back(first_ + events_.size());
  events_.push_back(std::move(event));
  ++live_;
  while (live_ > kMostWaiting || events_.size() > 2 * kMostWaiting) {
    if (!events_.front().json.empty()) ++dropped;
    drop_first();
  }
  return dropped;
}

// Whether one waited.
bool HookQueue::drop_miss() {
  while (!misses_.empty() && misses_.front() < first_) misses_.pop_front();
  if (misses_.empty()) return false;
  events_[misses_.front() - first_].json.clear();
  misses_.pop_front();
  --live_;
  return true;
}

void HookQueue::drop_first() {
  const HookEvent& event = events_.front();
  if (!event.json.empty()) --live_;
  if (const auto at = existence_.find(event.channel);
      event.kind == HookKind::channel_existence && at != existence_.end() && at->second == first_)
    existence_.erase(at);
  events_.pop_front();
  ++first_;
  while (!misses_.empty() && misses_.front() < first_) misses_.pop_front();
}

HookQueue::Batch HookQueue::take(std::int64_t now_ms) {
  Batch batch;
  json::Writer out(batch.body);
  out.begin_object().field("time_ms", now_ms).key("events").begin_array();
  while (!events_.empty() && batch.events < kMostInCall) {
    if (!events_.front().json.empty()) {
      out.raw(events_.front().json);
      ++batch.events;
    }
    drop_first();
  }
  out.end_array().end_object();
  return batch;
}

Hooks::Hooks(Shards& shards, net::Worker& worker, net::Resolver& resolver,
             metrics::Registry& registry)
    : shards_(shards),
      worker_(worker),
      resolver_(resolver),
      sent_(registry.counter(kHookEvents, {"sent"}).at(worker.index())),
      dropped_(registry.counter(kHookEvents, {"dropped"}).at(worker.index())),
      failed_calls_(registry.counter(kHookFailures).at(worker.index())),
      tasks_(worker) {}

bool Hooks::wants(const Settings& settings, const std::string& app, HookKind kind) {
  const auto at = settings.by_id.find(app);
  if (at == settings.by_id.end() || at->second->options.webhook_url.empty()) return false;
  return std::ranges::find(at->second->options.webhooks, kind) !=
         at->second->options.webhooks.end();
}

void Hooks::note(const std::string& app, HookEvent event) {
  worker_.post([this, app, event = std::move(event)]() mutable { take(app, std::move(event)); });
}

void Hooks::take(const std::string& app, HookEvent event) {
  Waiting& waiting = apps_[app];
  dropped_.add(waiting.queue.add(std::move(event)));
  if (waiting.sending || waiting.queue.empty()) return;
  waiting.sending = true;
  if (!tasks_.spawn([this, app] { return send_all(app); })) waiting.sending = false;
}

net::Task<> Hooks::send_all(std::string app) {
  Waiting& waiting = apps_[app];
  for (;;) {
    if (!waiting.queue.fills_a_call()) {
      const Duration delay = shards_.part(worker_).options().webhook_delay;
      auto slept = co_await net::sleep(tasks_, delay);
      if (!slept) break;
    }
    if (waiting.queue.empty()) break;
    HookQueue::Batch batch = waiting.queue.take(unix_ms());
    co_await send(app, std::move(batch));
  }
  waiting.sending = false;
}

net::Task<> Hooks::send(std::string app, HookQueue::Batch batch) {
  const TimePoint until = Clock::now() + shards_.part(worker_).options().webhook_retry;
  std::string why;
  for (Duration pause = kFirstPause;; pause = std::min<Duration>(pause * 2, kMostPause)) {
    const auto settings = shards_.part(worker_).settings();  // the address may have changed
    const auto at = settings->by_id.find(app);
    if (at == settings->by_id.end() || !at->second->webhook) break;  // nobody is told any more
    const AppOptions& options = at->second->options;
    http::Call what{.to = *at->second->webhook};
    what.fields = {{"Content-Type", "application/json"},
                   {"X-Pusher-Key", options.key},
                   {"X-Pusher-Signature", pusher::signature(options, batch.body)}};
    what.body = batch.body;
    auto answer = co_await http::call(tasks_, resolver_, settings->tls.get(), what);
    if (answer && answer->status / 100 == 2) {
      sent_.add(batch.events);
      co_return;
    }
    if (tasks_.stopped()) co_return;
    failed_calls_.add();
    why = answer ? fmt::format("status {}", answer->status) : answer.error().message;
    if (Clock::now() + pause > until) break;
    const auto jittered = Duration(static_cast<std::int64_t>(
        static_cast<double>(pause.count()) * (0.75 + 0.5 * worker_.random().unit())));
    auto slept = co_await net::sleep(tasks_, jittered);
    if (!slept) co_return;
  }
  dropped_.add(batch.events);
  log::warn("realtime", "{} events for the webhook of app '{}' are dropped: {}", batch.events, app,
            why.empty() ? "it has none any more" : why);
}

}  // namespace headroom::realtime
