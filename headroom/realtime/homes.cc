#include "headroom/realtime/homes.h"

#include <algorithm>

#include "headroom/json/writer.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

constexpr Duration kEmptyKept = 10s;
constexpr Duration kRemembered =
    std::chrono::minutes(30);  // how long a cache channel keeps its last message

std::string member_json(const Member& member, bool with_info) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("user_id", member.user_id);
  if (with_info && !member.info.empty()) out.key("user_info").raw(member.info);
  out.end_object();
  return text;
}

bool is_kept(const Home& home, TimePoint now) {
  // One that nothing was ever published to only as long as a client takes to come back: names cost nothing to make up.
  const Duration ttl = home.head.offset > 0 ? home.rule.history_ttl
                                            : std::min<Duration>(home.rule.history_ttl, kEmptyKept);
  if (home.rule.history > 0 && now < home.used + ttl) return true;
  if (home.awaiting) return true;
  const bool logged =
      std::ranges::any_of(home.logs.of, [](const Log& log) { return !log.empty(); });
  return logged || home.last || home.roster.size() > 0 || !home.listeners.empty();
}

}  // namespace

Home& Homes::home(const std::string& key, const std::string& app, const std::string& name) {
  auto& slot = homes_[key];
  if (!slot)
    slot = std::make_unique<Home>(app, name, shards_.part(worker_).options().channel(name),
                                  worker_.random().next() | 1U);
  slot->used = Clock::now();
  return *slot;
}

Home* Homes::find(const std::string& key) {
  const auto at = homes_.find(key);
  return at == homes_.end() ? nullptr : at->second.get();
}

void Homes::join(const std::string& key, const std::string& app, const std::string& name,
                 Listener from) {
  const bool is_new = find(key) == nullptr;
  Home& h = home(key, app, name);
  if (is_new && leader_ != nullptr && leader_->tells_places()) {
    h.awaiting = std::make_unique<std::vector<std::move_only_function<void()>>>();
    leader_->ask_place(app, name);
  }
  if (waits(h, [this, key, app, name, from] { join(key, app, name, from); })) return;
  const bool known = std::exchange(h.was_occupied, false) || leader_ != nullptr;
  if (h.listeners.empty() && !known && tells(app, HookKind::channel_existence))
    shards_.hooks().note(app, occupied_event(name));
  std::erase_if(h.listeners, [&](const Listener& each) { return each.worker == from.worker; });
  h.listeners.push_back(from);
  tell(from.worker, [life = from.life, head = h.head, logs = h.logs, last = h.last](Part& part) {
    part.joined(life, head, logs, last);
  });
}

void Homes::leave(const std::string& key, Listener from) {
  Home* const there = find(key);
  if (there == nullptr || waits(*there, [this, key, from] { leave(key, from); })) return;
  Home& h = *there;
  h.used = Clock::now();
  const std::size_t gone = std::erase_if(h.listeners, [&](const Listener& each) {
    return each.worker == from.worker && each.life == from.life;
  });
  h.count_changed = h.count_changed || gone > 0;
  if (gone > 0 && h.listeners.empty() && leader_ == nullptr &&
      tells(h.app, HookKind::channel_existence))
    shards_.hooks().note(h.app, vacated_event(h.name));
  end_if_empty(key);
}

void Homes::count(const std::string& key, Listener from) {
  Home* const h = find(key);
  if (h == nullptr || waits(*h, [this, key, from] { count(key, from); })) return;
  for (Listener& each : h->listeners) {
    if (each.worker != from.worker || each.life != from.life) continue;
    each.subscriptions = from.subscriptions;
    h->count_changed = true;
  }
}

void Homes::tell_count(Home& h) {
  h.count_changed = false;
  std::uint64_t sum = 0;
  for (const Listener& each : h.listeners) sum += each.subscriptions;
  if (std::exchange(h.counted, sum) == sum) return;
  const auto app = shards_.part(worker_).settings()->by_id.find(h.app);
  if (app == shards_.part(worker_).settings()->by_id.end()) return;
  if (tells(h.app, HookKind::subscription_count))
    shards_.hooks().note(h.app, count_event(h.name, sum));
  if (!app->second->options.subscription_count) return;
  for (const Listener& each : h.listeners)
    shards_.post(each.worker,
                 [life = each.life, sum](Shard& shard) { shard.part.tell_count(life, sum); });
}

void Homes::note_change(Home& h, const Member& member, SocketId socket, bool joined) {
  const std::string_view event =
      joined ? "pusher_internal:member_added" : "pusher_internal:member_removed";
  if (h.roster.size() <= shards_.part(worker_).options().presence_batch && h.changes.empty())
    return tell_member(h, std::string(event), member, joined ? socket : 0);
  const auto at = h.changes.find(member.user_id);
  if (at == h.changes.end()) {
    h.changes[member.user_id] = {joined, member, joined ? socket : 0};
  } else if (at->second.seen) {
    at->second = {joined, member, joined ? socket : 0, true};
  } else if (at->second.joined != joined) {
    h.changes.erase(at);  // came and went, or the other way round
  }
}

void Homes::tell_changes(Home& h) {
  for (const auto& [user, change] : std::exchange(h.changes, {}))
    tell_member(h,
                change.joined ? "pusher_internal:member_added" : "pusher_internal:member_removed",
                change.member, change.socket);
}

void Homes::end_if_empty(const std::string& key) {
  const auto at = homes_.find(key);
  if (at != homes_.end() && !shards_.has_nodes(worker_) && !is_kept(*at->second, Clock::now()))
    homes_.erase(at);
}

void Homes::publish(const std::string& key, Publication&& what) {
  Home* h = find(key);
  if (!what.relayed && what.event.starts_with("client-") && what.except != 0 &&
      tells(what.app, HookKind::client_events))
    shards_.hooks().note(what.app, client_event(what));
  if (leader_ != nullptr) return leader_->forward(std::move(what));
  if (h == nullptr) {
    const bool keeps = is_cache(what.channel) || shards_.has_nodes(worker_) ||
                       shards_.part(worker_).options().channel(what.channel).history > 0;
    if (!keeps) return unheard(std::move(what));
    h = &home(key, what.app, what.channel);
  }
  append(*h, std::move(what));
}

void Homes::unheard(Publication&& what) {
  cells_.unheard.add();
  if (!taps_.empty())
    show(std::make_shared<const Message>(std::move(what), Position{}, false, Clock::now()));
}

void Homes::show(const MessagePtr& message) {
  for (const auto& tap : taps_) {
    if (!tap->wants(message->what()) || !tap->offer()) continue;
    shards_.post(tap->worker(), [tap, message](Shard&) { tap->take(message); });
  }
}

void Homes::append(Home& h, Publication&& what) {
  put(h, std::move(what), {h.head.epoch, h.head.offset + 1});
}

void Homes::put(Home& h, Publication&& what, Position position) {
  h.head = position;
  h.used = Clock::now();
  const Priority priority = what.priority;
  const bool internal = what.internal;
  if (!h.rule.latest_by.empty()) what.key = key_in(what.data, h.rule.latest_by);
  const auto message =
      std::make_shared<const Message>(std::move(what), h.head, h.rule.history > 0, Clock::now());
  cells_.published[static_cast<std::size_t>(priority)]->add();
  if (is_cache(h.name) && !internal) h.last = message;
  Log& log = h.logs[priority];
  if (h.rule.history > 0) {
    log.append(message);
    log.keep(h.rule.history, shards_.part(worker_).options().distance_bytes.count);
  } else {
    log.begins_after(h.head.offset);
  }
  if (!taps_.empty()) show(message);
  for (const Listener& listener : h.listeners) queue(listener, message);
  if (!internal) shards_.tell_nodes(worker_, *message);
}

void Homes::queue(const Listener& whom, const MessagePtr& message) {
  queued_.resize(shards_.size());
  queued_[whom.worker].emplace_back(whom.life, message);
  if (std::exchange(flushing_, true)) return;
  shards_.post(worker_.index(), [](Shard& shard) { shard.homes.flush_all(); });
}

void Homes::flush_all() {
  flushing_ = false;
  deliver_here();
  for (std::size_t worker = 0; worker < queued_.size(); ++worker) flush(worker);
}

void Homes::deliver_here() {
  constexpr std::size_t kKept = 4096;
  if (queued_.empty()) return;
  Told told = std::exchange(queued_[worker_.index()], std::exchange(spare_, {}));
  Part& part = shards_.part(worker_);
  for (const auto& [life, message] : told) part.appended(life, message);
  told.clear();
  if (told.capacity() <= kKept) spare_ = std::move(told);
}

template <class F>
void Homes::tell(std::size_t worker, F told) {
  if (worker == worker_.index()) {
    deliver_here();
    return told(shards_.part(worker_));
  }
  flush(worker);
  shards_.post(worker, [told = std::move(told)](Shard& shard) { told(shard.part); });
}

void Homes::flush(std::size_t worker) {
  if (worker >= queued_.size() || queued_[worker].empty()) return;
  shards_.post(worker, [told = std::exchange(queued_[worker], {})](Shard& shard) {
    for (const auto& [life, message] : told) shard.part.appended(life, message);
  });
}

bool Homes::tells(const std::string& app, HookKind kind) const {
  return Hooks::wants(*shards_.part(worker_).settings(), app, kind);
}

void Homes::tell_member(Home& h, std::string event, const Member& member, SocketId except) {
  Publication what{.app = h.app,
                   .channel = h.name,
                   .event = std::move(event),
                   .except = except,
                   .form = Form::text,
                   .internal = true};
  const bool added = what.event.ends_with("added");
  if (leader_ != nullptr) return;  // the other process says who is there
  const bool known = h.were_members.erase(member.user_id) > 0 && added;
  if (!known && tells(h.app, HookKind::presence))
    shards_.hooks().note(
        h.app, member_event(added ? "member_added" : "member_removed", h.name, member.user_id));
  what.data = member_json(member, added);
  append(h, std::move(what));
}

void Homes::enter(const std::string& key, Listener from, SocketId socket, std::uint64_t turn,
                  const Member& member) {
  Home* const there = find(key);
  if (there == nullptr || waits(*there, [this, key, from, socket, turn, member] {
        enter(key, from, socket, turn, member);
      }))
    return;
  Home& h = *there;
  const Roster::Entered entered =
      h.roster.enter(member, socket, shards_.part(worker_).options().presence_members);
  if (entered == Roster::Entered::first) note_change(h, member, socket, true);
  Bits members = entered == Roster::Entered::full ? nullptr : h.roster.snapshot();
  for (auto& [user, change] : h.changes) change.seen = true;
  tell(from.worker, [life = from.life, turn, members = std::move(members)](Part& part) {
    part.entered(life, turn, members);
  });
}

void Homes::exit(const std::string& key, SocketId socket, const std::string& user_id) {
  Home* const h = find(key);
  if (h == nullptr || waits(*h, [this, key, socket, user_id] { exit(key, socket, user_id); }))
    return;
  if (h->roster.leave(user_id, socket)) note_change(*h, {user_id, {}}, socket, false);
  end_if_empty(key);
}

void Homes::upkeep(TimePoint now) {
  std::vector<std::string> empty;
  for (const auto& [key, h] : homes_) {
    for (Log& log : h->logs.of) log.drop_before(now - h->rule.history_ttl);
    if (h->count_changed) tell_count(*h);
    if (!h->changes.empty()) tell_changes(*h);
    if (h->last && h->last->at() < now - kRemembered) h->last.reset();
    if (!shards_.has_nodes(worker_) && !is_kept(*h, now)) empty.push_back(key);
  }
  for (const std::string& key : empty) homes_.erase(key);
}

}  // namespace headroom::realtime
