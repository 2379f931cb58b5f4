#include "headroom/realtime/hub.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "headroom/json/json.h"
#include "headroom/realtime/auth_door.h"
#include "headroom/realtime/caller.h"
#include "headroom/realtime/plain_door.h"
#include "headroom/realtime/pusher_api.h"
#include "headroom/realtime/pusher_door.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

// One worker's.
struct Count {
  std::array<std::uint64_t, kFaces> connections{};
  std::uint64_t blocked = 0;
  std::map<std::string, ChannelStatus> channels;
};

Count count(Shard& shard) {
  Count all;
  for (Outlet* outlet = shard.part.outlets().front(); outlet != nullptr;
       outlet = Part::Outlets::after(*outlet)) {
    ++all.connections[static_cast<std::size_t>(face_of(outlet->wire()))];
  }
  all.blocked = shard.part.blocked().size();
  for (const auto& [key, channel] : shard.part.channels())
    all.channels[key] = {.app = channel->app(),
                         .name = channel->name(),
                         .subscriptions = channel->subscribers(),
                         .messages = channel->head().offset};
  for (const auto& [key, home] : shard.homes.all()) {
    ChannelStatus& one = all.channels[key];
    one.app = home->app;
    one.name = home->name;
    one.messages = std::max(one.messages, home->head.offset);
    one.members = home->roster.size();
    for (const Log& log : home->logs.of) {
      one.kept += log.size();
      one.kept_bytes += log.bytes_from(log.begin());
    }
  }
  return all;
}

using Channels = std::map<std::string, ChannelStatus>;

Channels merged(const std::vector<Count>& counts) {
  Channels channels;
  for (const Count& each : counts) {
    for (const auto& [key, status] : each.channels) {
      ChannelStatus& known = channels[key];
      known.app = status.app;
      known.name = status.name;
      known.subscriptions += status.subscriptions;
      known.messages = std::max(known.messages, status.messages);
      known.kept += status.kept;  // by its home alone
      known.kept_bytes += status.kept_bytes;
      known.members += status.members;
    }
  }
  return channels;
}

net::Task<Result<std::vector<Count>>> count_all(Shards& shards, net::TaskGroup& group) {
  std::function<Count(Shard&)> question = count;
  std::vector<std::size_t> whom = shards.all();
  co_return co_await shards.ask<Count>(group, std::move(whom), std::move(question));
}

}  // namespace

class Hub::Body {
 public:
  Body(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
       std::shared_ptr<const Settings> settings)
      : settings_(std::move(settings)),
        shards_(workers, resolver, registry, settings_),
        door_(shards_),
        api_(shards_),
        plain_(shards_),
        auth_(shards_),
        open_gauge_(registry.gauge(
            kOpen, {}, [this] { return static_cast<double>(shards_.gate().open()); })) {}

  std::shared_ptr<const Settings> settings_;
  Shards shards_;
  PusherDoor door_;
  PusherApi api_;
  PlainDoor plain_;
  AuthDoor auth_;
  metrics::GaugeHandle open_gauge_;
};

Hub::Hub(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry)
    : workers_(workers), resolver_(resolver), registry_(registry) {}

Hub::~Hub() { stop(); }

Result<> Hub::start(const RealtimeOptions& options) {
  auto settings = Settings::make(options, nullptr, workers_.size());
  if (!settings) return pass(settings);
  body_ = std::make_unique<Body>(workers_, resolver_, registry_, std::move(*settings));
  return {};
}

Result<std::function<void()>> Hub::prepare(const RealtimeOptions& options) {
  // Channels and homes keep their rules for life, so the rules are those of the start.
  RealtimeOptions kept = options;
  kept.channels = body_->settings_->options.channels;
  kept.plain_app = body_->settings_->options.plain_app;
  kept.authorization.url = body_->settings_->options.authorization.url;
  kept.authorization.path = body_->settings_->options.authorization.path;
  auto settings = Settings::make(kept, body_->settings_.get(), workers_.size());
  if (!settings) return pass(settings);
  return [this, fresh = std::move(*settings)] {
    body_->settings_ = fresh;
    body_->shards_.gate().use(fresh->options);
    body_->shards_.each([&](Shard& shard) { shard.part.use(fresh); });
  };
}

std::uint64_t Hub::connections() const { return body_ ? body_->shards_.gate().open() : 0; }

std::vector<Hub::Hosting> Hub::hosting(SeedPaths seeds) {
  Body& b = *body_;
  std::vector<Hosting> all{{std::string(kPusherSockets), b.door_},
                           {std::string(kPusherApi), b.api_},
                           {std::string(kPlain), b.plain_}};
  if (const std::string& path = b.settings_->options.authorization.path; !path.empty())
    all.push_back({path, b.auth_});
  if (seeds == SeedPaths::no) return all;
  all.push_back({std::string(kSeedSockets), b.plain_});
  all.push_back({std::string(kSeedEvents), b.plain_});
  return all;
}

net::Task<Result<>> Hub::publish(net::TaskGroup& group, Notice notice) {
  Shards& shards = body_->shards_;
  Part& part = shards.part(group.worker());
  const RealtimeOptions& options = part.options();
  if (notice.channels.empty() || notice.channels.size() > 100)
    co_return fail(Errc::invalid, "1 to 100 channels");
  for (const std::string& channel : notice.channels) {
    if (!is_plain_channel(channel))
      co_return fail(Errc::invalid, "'" + channel.substr(0, 100) + "' is not a channel's name");
  }
  if (notice.type.empty() || notice.type.size() > 200)
    co_return fail(Errc::invalid, "type: 1 to 200 bytes");
  if (notice.data.size() > options.event_limit.count)
    co_return fail(Errc::invalid, "the data is over the limit (realtime.event_limit)");
  if (auto good = part.settings()->check_data(notice.type, notice.data); !good) {
    part.cells().refused_data.add();
    co_return pass(good);
  }
  Publication what{.app = options.plain_app, .event = notice.type, .data = notice.data};
  what.priority = notice.critical ? Priority::critical : Priority::normal;
  if (notice.channels.size() > 1) what.once = group.worker().random().next() | 1U;
  std::set<std::size_t> homes;
  for (const std::string& channel : notice.channels) {
    what.channel = channel;
    homes.insert(shards.home_of(channel_key(what.app, channel)));
    part.publish(what);
  }
  std::function<bool(Shard&)> done = [](Shard&) { return true; };  // behind what was posted
  std::vector<std::size_t> whom(homes.begin(), homes.end());
  auto answers = co_await shards.ask<bool>(group, std::move(whom), std::move(done));
  if (!answers) co_return pass(answers);
  co_return Result<>{};
}

net::Task<Result<Statistics>> Hub::statistics(net::TaskGroup& group, std::size_t top) {
  auto counts = co_await count_all(body_->shards_, group);
  if (!counts) co_return pass(counts);
  Statistics all;
  const Channels channels = merged(*counts);
  for (const Count& each : *counts) {
    for (std::size_t i = 0; i < kFaces; ++i) all.connections_by_face[i] += each.connections[i];
    all.blocked += each.blocked;
  }
  for (const std::uint64_t connections : all.connections_by_face) all.connections += connections;
  for (const auto& [key, status] : channels) {
    if (status.subscriptions == 0) continue;
    ++all.channels;
    all.subscriptions += status.subscriptions;
    all.top.push_back(status);
  }
  std::ranges::sort(all.top, std::greater{}, &ChannelStatus::subscriptions);
  all.top.resize(std::min(all.top.size(), top));
  all.received = registry_.counter(kReceived).total();
  all.published_critical = registry_.counter(kPublished, {"critical"}).total();
  all.published = registry_.counter(kPublished, {"normal"}).total() + all.published_critical;
  all.delivered = registry_.counter(kDelivered, {"normal"}).total() +
                  registry_.counter(kDelivered, {"critical"}).total();
  all.unheard = registry_.counter(kUnheard).total();
  all.recovered = registry_.counter(kRecoveries, {"recovered"}).total();
  all.lost = registry_.counter(kRecoveries, {"lost"}).total();
  for (const char* reason : kRefusals)
    all.refused.emplace_back(reason, registry_.counter(kRefused, {reason}).total());
  all.writes = registry_.counter(kWrites).total();
  for (const auto& slow : kSlow)
    all.dropped[static_cast<std::size_t>(slow.value)] =
        registry_.counter(kDropped, {std::string(slow.text)}).total();
  all.delivery = registry_.histogram(kDelivery, {"normal"}).values();
  all.critical = registry_.histogram(kDelivery, {"critical"}).values();
  co_return all;
}

net::Task<Result<std::vector<ChannelStatus>>> Hub::channels(net::TaskGroup& group, std::string app,
                                                            std::string prefix) {
  auto counts = co_await count_all(body_->shards_, group);
  if (!counts) co_return pass(counts);
  std::vector<ChannelStatus> some;
  for (auto& [key, status] : merged(*counts)) {
    if ((app.empty() || status.app == app) && status.name.starts_with(prefix))
      some.push_back(status);
  }
  std::ranges::sort(some, [](const ChannelStatus& a, const ChannelStatus& b) {
    return std::tie(b.subscriptions, a.app, a.name) < std::tie(a.subscriptions, b.app, b.name);
  });
  co_return some;
}

std::unique_ptr<Look> Hub::look(net::TaskGroup& group, std::string app, std::string pattern) {
  Shards& shards = body_->shards_;
  if (app.empty()) app = shards.part(group.worker()).options().plain_app;
  return std::make_unique<Look>(shards, group, std::move(app), std::move(pattern));
}

net::Task<Result<std::size_t>> Hub::end_user(net::TaskGroup& group, std::string user) {
  return end_user(group, std::move(user), Tokens::kept);
}

net::Task<Result<std::size_t>> Hub::revoke(net::TaskGroup& group, std::string user) {
  return end_user(group, std::move(user), Tokens::revoked);
}

net::Task<Result<std::size_t>> Hub::end_user(net::TaskGroup& group, std::string user,
                                             Tokens tokens) {
  Shards& shards = body_->shards_;
  std::function<std::size_t(Shard&)> end = [user, tokens, now = auth::wall_now()](Shard& shard) {
    if (tokens == Tokens::revoked) shard.part.revocations().revoke(user, now);
    return shard.part.end_user(shard.part.options().plain_app, user);
  };
  std::vector<std::size_t> whom = shards.all();
  auto ended = co_await shards.ask<std::size_t>(group, std::move(whom), std::move(end));
  if (!ended) co_return pass(ended);
  std::size_t all = 0;
  for (const std::size_t each : *ended) all += each;
  co_return all;
}

void Hub::relay(int fd) { body_->shards_.relay(fd); }

void Hub::lead(int fd) { body_->shards_.lead(fd); }

void Hub::drain() {
  if (!body_) return;
  const Duration time = body_->settings_->options.drain;
  body_->shards_.each([&](Shard& shard) { shard.part.drain(time); });
}

void Hub::stop() { body_.reset(); }

}  // namespace headroom::realtime
