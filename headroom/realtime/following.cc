// Homes' share of a take-over (relay.h).
#include "headroom/realtime/homes.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

using Is = RelayLine::Is;

RelayLine home_line(const Home& h) {
  RelayLine line{.is = Is::home, .position = h.head};
  line.what.app = h.app;
  line.what.channel = h.name;
  for (std::size_t i = 0; i < kPriorities; ++i) line.dropped[i] = h.logs.of[i].dropped();
  line.occupied = !h.listeners.empty();
  line.members = h.roster.users();
  return line;
}

std::string kept_lines(const Home& h) {
  std::string lines;
  for (const Log& log : h.logs.of) {
    for (Log::Place at = log.begin(); at != log.end(); ++at)
      lines += relay_line(RelayLine::of(Is::kept, *log.at(at)));
  }
  if (h.last) lines += relay_line(RelayLine::of(Is::last, *h.last));
  return lines;
}

}  // namespace

void Homes::follow(Relay& leader) {
  leader_ = &leader;
  const std::size_t most = Relay::kMostTold / shards_.size();
  std::string lines;
  for (const auto& [key, h] : homes_) {
    RelayLine line = home_line(*h);
    std::uint64_t bytes = lines.size();
    for (const Log& log : h->logs.of) bytes += log.bytes_from(log.begin());
    const bool fits = bytes <= most;
    if (!fits) line.dropped.fill(h->head.offset);
    lines += relay_line(line);
    if (fits) lines += kept_lines(*h);
  }
  leader.tell(std::move(lines));
}

void Homes::order_alone() {
  leader_ = nullptr;
  begin_epochs();
  std::vector<std::string> awaited;
  for (const auto& [key, h] : homes_) {
    if (h->awaiting) awaited.push_back(key);
  }
  for (const std::string& key : awaited) placed(key);
}

void Homes::tell_place(const std::string& key, const RelayLine& asked, Relay& asker) {
  const Home& h = home(key, asked.what.app, asked.what.channel);
  RelayLine line = home_line(h);
  line.occupied = false;  // who is there is not asked
  line.members = {};
  const std::string whole = relay_line(line) + kept_lines(h);
  line.dropped.fill(h.head.offset);
  RelayLine end{.is = Is::here};
  end.what.app = h.app;
  end.what.channel = h.name;
  asker.tell_place(whole, relay_line(line), relay_line(end));
}

void Homes::placed(const std::string& key) {
  Home* const h = find(key);
  if (h == nullptr || !h->awaiting) return;
  const auto waited = std::exchange(h->awaiting, nullptr);
  for (auto& work : *waited) work();  // it may end the home
}

void Homes::tell_who_stayed_away() {
  for (const auto& [key, h] : homes_) {
    for (const std::string& user : std::exchange(h->were_members, {})) {
      if (!h->roster.has(user) && tells(h->app, HookKind::presence))
        shards_.hooks().note(h->app, member_event("member_removed", h->name, user));
    }
    if (std::exchange(h->was_occupied, false) && h->listeners.empty() &&
        tells(h->app, HookKind::channel_existence))
      shards_.hooks().note(h->app, vacated_event(h->name));
  }
}

void Homes::begin_epochs() {
  for (const auto& [key, h] : homes_) h->head.epoch = worker_.random().next() | 1U;
}

void Homes::begin_anew() {
  begin_epochs();
  for (const auto& [key, h] : homes_) {
    h->roster = {};
    h->changes.clear();
  }
}

void Homes::adopt(const std::string& key, RelayLine line) {
  Home& h = home(key, line.what.app, line.what.channel);
  if (leader_ != nullptr && !h.awaiting) return;  // it goes on with what it knows
  if (line.is == Is::home) {
    h.head = line.position;
    for (std::size_t i = 0; i < kPriorities; ++i) h.logs.of[i].begins_after(line.dropped[i]);
    h.was_occupied = line.occupied;
    h.were_members = {line.members.begin(), line.members.end()};
    return;
  }
  if (!h.rule.latest_by.empty()) line.what.key = key_in(line.what.data, h.rule.latest_by);
  const Priority priority = line.what.priority;
  const auto message = std::make_shared<const Message>(std::move(line.what), line.position,
                                                       h.rule.history > 0, line.at);
  if (line.is == Is::last) {
    h.last = message;
    return;
  }
  h.logs[priority].append(message);
  h.logs[priority].keep(h.rule.history, shards_.part(worker_).options().distance_bytes.count);
}

void Homes::ordered(const std::string& key, RelayLine line) {
  Home* const there = find(key);
  if (there == nullptr || there->awaiting)
    return;  // nobody listens here; or it is told with its place
  Home& h = *there;
  if (line.position.epoch != h.head.epoch) {  // the other has begun a new one
    for (Log& log : h.logs.of) log.begins_after(line.position.offset - 1);
  }
  put(h, std::move(line.what), line.position);
}

}  // namespace headroom::realtime
