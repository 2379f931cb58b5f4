#include "headroom/realtime/part.h"

#include <algorithm>
#include <limits>

#include "headroom/base/log.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/encodings.h"
#include "headroom/realtime/pusher.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr unsigned kInTurn = 64;
constexpr Duration kTurn = 2ms;  // of reads, and of writes
constexpr std::size_t kOfChannelInTurn = 16;
constexpr std::uint64_t kSlot = 0xFFFFFFFFU;  // the half of a life that is a slot
constexpr Duration kSweep = 1s;
constexpr Duration kSlice = 100ms;  // of a drain

}  // namespace

Part::Part(Shards& shards, net::Worker& worker, Cells& cells,
           std::shared_ptr<const Settings> settings)
    : shards_(shards),
      worker_(worker),
      cells_(cells),
      settings_(std::move(settings)),
      tasks_(worker),
      wake_(tasks_),
      sweeper_(worker.wheel(), *this) {}

void Part::start() {
  HR_ASSERT(tasks_.spawn([this] { return work(); }));
  sweeper_.set(Clock::now() + kSweep);
}

void Part::use(std::shared_ptr<const Settings> settings) {
  settings_ = std::move(settings);
  for (Outlet* outlet = outlets_.front(); outlet != nullptr; outlet = Outlets::after(*outlet))
    outlet->owner().settings_changed();
}

SocketId Part::next_socket() {
  const std::uint64_t random = worker_.random().below(0xFFFFFFFEU) + 1;
  return random << 32U |
         (static_cast<std::uint32_t>(++sockets_ * metrics::kMaxWorkers + worker_.index()));
}

template <class F>
void Part::post_home(std::string_view key, F work) {
  const std::size_t home = shards_.home_of(key);
  if (home != worker_.index()) return shards_.post(home, std::move(work));
  ++posted_here_;
  shards_.post(home, [work = std::move(work)](Shard& shard) mutable {
    --shard.part.posted_here_;
    work(shard);
  });
}

std::unique_ptr<Subscription> Part::subscribe(Outlet& outlet, const std::string& app,
                                              const std::string& name,
                                              std::unique_ptr<Position> since,
                                              std::unique_ptr<Member> member) {
  const std::string key = channel_key(app, name);
  auto& slot = channels_[key];
  const bool fresh = !slot;
  if (fresh) {
    slot = std::make_unique<Channel>(*this, key, app, name, options().channel(name), next_life());
    by_slot_[slot->life() & kSlot] = slot.get();
  }
  Channel& channel = *slot;
  auto subscription = std::make_unique<Subscription>(channel, outlet);
  subscription->since = std::move(since);
  subscription->member = std::move(member);
  subscription->turn = ++turns_;
  channel.add(*subscription);
  note_count(channel);
  const Listener me{worker_.index(), channel.life(), 0};
  if (fresh)
    post_home(key, [key, app, name, me](Shard& shard) { shard.homes.join(key, app, name, me); });
  if (subscription->member) {
    post_home(key, [key, me, socket = outlet.id(), turn = subscription->turn,
                    who = *subscription->member](Shard& shard) {
      shard.homes.enter(key, me, socket, turn, who);
    });
  } else if (channel.is_live()) {
    shards_.post(worker_.index(),
                 [life = channel.life()](Shard& shard) {  // opened() comes after this call
                   if (Channel* const there = shard.part.find(life))
                     shard.part.joined(life, there->head(), {}, nullptr);
                 });
  }
  return subscription;
}

void Part::unsubscribe(std::unique_ptr<Subscription> subscription) {
  Channel& channel = subscription->channel;
  subscription->outlet.forget(*subscription);
  channel.remove(*subscription);
  const std::string key = channel.key();
  if (subscription->member) {
    post_home(key, [key, socket = subscription->outlet.id(), user = subscription->member->user_id](
                       Shard& shard) { shard.homes.exit(key, socket, user); });
  }
  if (channel.subscribers() > 0) return note_count(channel);
  const Listener me{worker_.index(), channel.life(), 0};
  post_home(key, [key, me](Shard& shard) { shard.homes.leave(key, me); });
  const auto slot = static_cast<std::uint32_t>(channel.life() & kSlot);
  by_slot_[slot] = nullptr;
  free_slots_.push_back(slot);
  channels_.erase(key);
}

void Part::publish(Publication what) {
  const std::string& key = key_of(what.app, what.channel);
  if (posted_here_ == 0 && shards_.home_of(key) == worker_.index())
    return shards_.run(worker_, [&](Shard& shard) { shard.homes.publish(key, std::move(what)); });
  post_home(key, [key, what = std::move(what)](Shard& shard) mutable {
    shard.homes.publish(key, std::move(what));
  });
}

const std::string& Part::key_of(std::string_view app, std::string_view channel) const {
  key_.assign(app);
  key_ += '\n';
  key_ += channel;
  return key_;
}

const Channel* Part::find(std::string_view app, std::string_view channel) const {
  const auto at = channels_.find(key_of(app, channel));
  return at == channels_.end() ? nullptr : at->second.get();
}

Channel* Part::find(std::uint64_t life) const {
  Channel* const there = by_slot_[life & kSlot];
  return there == nullptr || there->life() != life ? nullptr : there;
}

std::uint64_t Part::next_life() {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(by_slot_.size()));
    by_slot_.push_back(nullptr);
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  return ++lives_ << 32U | slot;
}

void Part::open(Channel& channel, Subscription& subscription, const Bits& members) {
  const bool asked = subscription.since != nullptr;
  Opened how{.position = channel.head(), .members = members, .last = channel.last()};
  how.begun = channel.begin(subscription);
  if (asked) (how.begun == Channel::Begun::recovered ? cells_.recovered : cells_.lost).add();
  subscription.outlet.owner().opened(subscription, how);
}

void Part::joined(std::uint64_t life, Position head, const Logs& logs, const MessagePtr& last) {
  Channel* const channel = find(life);
  if (channel == nullptr) return;
  if (!channel->is_live()) channel->go_live(head, logs, last);
  if (is_presence(channel->name())) return;  // each is opened when it has entered
  while (Subscription* const subscription = channel->first_opening())
    open(*channel, *subscription, nullptr);
}

void Part::appended(std::uint64_t life, const MessagePtr& message) {
  if (Channel* const channel = find(life)) channel->append(message);
}

void Part::entered(std::uint64_t life, std::uint64_t turn, const Bits& members) {
  Channel* const channel = find(life);
  if (channel == nullptr) return;
  Subscription* const subscription = channel->opening(turn);
  if (subscription == nullptr) return;
  if (members) return open(*channel, *subscription, members);
  subscription->member.reset();
  subscription->outlet.owner().not_opened(*subscription,
                                          {Errc::overloaded, "the presence channel is full"});
}

void Part::add_ready(Outlet& outlet) {
  ready_.push_back(outlet);
  if (ready_.size() == 1) wake_.set();
}

void Part::add_readable(Reader& reader) {
  if (reader.in_reading.linked()) return;
  readable_.push_back(reader);
  if (readable_.size() == 1) wake_.set();
}

void Part::add_fresh(Channel& channel) {
  if (channel.in_fresh.linked()) return;
  fresh_.push_back(channel);
  if (fresh_.size() == 1) wake_.set();
}

// Some of each channel in turn, so that one that is always fresh again holds up none of the others.
void Part::line_up(std::size_t most) {
  for (std::size_t done = 0; done < most && !fresh_.empty();) {
    Channel& channel = *fresh_.front();
    const std::size_t some = std::min(kOfChannelInTurn, most - done);
    const std::size_t lined = channel.line_up(some);
    fresh_.remove(channel);
    if (lined == some) fresh_.push_back(channel);
    done += lined;
  }
}

void Part::write_ready() {
  line_up(std::numeric_limits<std::size_t>::max());
  while (Outlet* const outlet = ready_.front()) write(*outlet);
}

// What was read has made more to write: who is lined up is written to at once, while its memory is in the processor's cache, and as much as
// the time allows, so that what comes for one connection meanwhile leaves in one write.
void Part::write_some() {
  const TimePoint until = Clock::now() + kTurn;
  do {
    line_up(kInTurn);
    for (unsigned i = 0; i < 2 * kInTurn && !ready_.empty(); ++i) {
      Outlet& outlet = *ready_.front();
      if (const Outlet* const next = Line::after(outlet)) next->fetch_stream();
      write(outlet);
    }
  } while (!(ready_.empty() && fresh_.empty()) && Clock::now() < until);
}

void Part::write(Outlet& outlet) {
  try {
    outlet.write();
  } catch (const std::exception& error) {  // memory; the others go on
    log::error("realtime", "a connection ended by an exception: {}", error.what());
    outlet.give_up();
  }
}

void Part::read_some() {
  if (readable_.empty()) return;
  const TimePoint until = Clock::now() + kTurn;
  do {
    Reader& reader = *readable_.front();
    readable_.remove(reader);
    try {
      reader.read();
    } catch (const std::exception& error) {  // memory; the others go on
      log::error("realtime", "a connection ended by an exception: {}", error.what());
      reader.give_up();
    }
  } while (!readable_.empty() && Clock::now() < until);
}

net::Task<> Part::work() {
  while (!tasks_.stopped()) {
    try {
      if (ready_.empty() && readable_.empty() && fresh_.empty()) {
        auto woken = co_await wake_.wait();
        if (!woken) co_return;
      }
      read_some();
      write_some();
      if (!ready_.empty() || !readable_.empty() || !fresh_.empty()) co_await worker_.yield();
    } catch (const std::exception& error) {  // memory; without this task nothing is delivered here
      shards_.failed(error);
    }
  }
}

// The home is told of it with the next second.
void Part::note_count(Channel& channel) {
  const auto app = settings_->by_id.find(channel.app());
  if (app == settings_->by_id.end() || is_presence(channel.name())) return;
  const AppOptions& wants = app->second->options;
  if (!wants.subscription_count &&
      !Hooks::wants(*settings_, channel.app(), HookKind::subscription_count))
    return;
  if (!channel.note_count()) counted_.push_back(channel.key());
}

void Part::tell_counts() {
  for (const std::string& key : std::exchange(counted_, {})) {
    const auto at = channels_.find(key);
    if (at == channels_.end()) continue;
    Channel& channel = *at->second;
    channel.count_told();
    const Listener me{worker_.index(), channel.life(), channel.subscribers()};
    post_home(key, [key, me](Shard& shard) { shard.homes.count(key, me); });
  }
}

void Part::tell_count(std::uint64_t life, std::uint64_t subscriptions) {
  Channel* const channel = find(life);
  if (channel == nullptr) return;
  std::string data;
  json::Writer(data).begin_object().field("subscription_count", subscriptions).end_object();
  const Bits frame = std::make_shared<const std::string>(wrap(
      pusher::event("pusher_internal:subscription_count", channel->name(), data), Wire::pusher));
  channel->each([&](Subscription& each) {
    if (face_of(each.outlet.wire()) == Wire::pusher) each.outlet.send(frame);
  });
}

void Part::sweep() {
  sweeper_.set(Clock::now() + kSweep);  // first: what follows may throw
  if (worker_.index() == 0) shards_.upkeep();
  tell_counts();
  const TimePoint now = Clock::now();
  for (const auto& [key, channel] : channels_) channel->expire(now);
  for (Outlet* outlet = blocked_.front(); outlet != nullptr; outlet = Line::after(*outlet))
    outlet->look_at_distance();
  shards_.homes(worker_).upkeep(now);
  shards_.asker(worker_).upkeep(now);
  shards_.turns(worker_).upkeep(now);
}

std::size_t Part::end_user(std::string_view app, std::string_view user) {
  std::size_t ended = 0;
  for (Outlet* outlet = outlets_.front(); outlet != nullptr; outlet = Outlets::after(*outlet)) {
    if (!outlet->owner().is_user(app, user)) continue;
    outlet->owner().end(Outlet::Owner::End::user_ended);
    ++ended;
  }
  return ended;
}

void Part::drain(Duration time) {
  draining_ = true;
  if (!tasks_.spawn([this, time] { return end_all(time); })) return;
}

void Part::end_all_now() {
  for (Outlet* outlet = outlets_.front(); outlet != nullptr; outlet = Outlets::after(*outlet)) {
    if (outlet->begin_draining()) continue;
    try {
      outlet->owner().end(Outlet::Owner::End::drain);
    } catch (const std::exception&) {  // no memory to say so
      outlet->give_up();
    }
  }
}

void Part::begin_anew() {
  for (const auto& [key, channel] : channels_) channel->begin_epoch(worker_.random().next() | 1U);
  end_all_now();
}

// Few at a time, with pauses of uneven length that come to less than `time` in all: so few connections are spread as well as many.
net::Task<> Part::end_all(Duration time) {
  const auto slices = static_cast<std::size_t>(std::max<std::int64_t>(1, time / kSlice));
  const std::size_t in_slice = (outlets_.size() + slices - 1) / slices;
  const Duration step = outlets_.empty() ? Duration{}
                                         : time * static_cast<std::int64_t>(in_slice) /
                                               static_cast<std::int64_t>(outlets_.size());
  for (;;) {
    const Duration pause(static_cast<std::int64_t>(static_cast<double>(step.count()) *
                                                   (0.25 + 0.5 * worker_.random().unit())));
    auto slept = co_await net::sleep(tasks_, pause);
    if (!slept) co_return;
    std::size_t ended = 0;
    for (Outlet* outlet = outlets_.front(); outlet != nullptr && ended < in_slice;
         outlet = Outlets::after(*outlet)) {
      if (outlet->begin_draining()) continue;
      outlet->owner().end(Outlet::Owner::End::drain);
      ++ended;
    }
    if (ended == 0) co_return;
  }
}

}  // namespace headroom::realtime
