#include "headroom/realtime/channel.h"

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "headroom/realtime/outlet.h"
#include "headroom/realtime/part.h"

namespace headroom::realtime {
namespace {

constexpr auto kNormal = static_cast<std::size_t>(Priority::normal);
constexpr auto kCritical = static_cast<std::size_t>(Priority::critical);

}  // namespace

void Channel::remove(Subscription& subscription) {
  Subscriptions::unlink(subscription);
  if (subscribers() > 0) trim();
}

Subscription* Channel::opening(std::uint64_t turn) const {
  Subscription* each = opening_.front();
  while (each != nullptr && each->turn != turn) each = Subscriptions::after(*each);
  return each;
}

void Channel::go_live(Position head, const Logs& logs, MessagePtr last) {
  head_ = head;
  logs_ = logs;
  last_ = std::move(last);
  live_ = true;
}

Channel::Begun Channel::begin(Subscription& subscription) {
  Begun begun = Begun::here;
  for (std::size_t i = 0; i < kPriorities; ++i) subscription.next[i] = logs_.of[i].end();
  if (const auto since = std::move(subscription.since)) {
    const bool known = since->epoch == head_.epoch && since->offset <= head_.offset;
    const auto normal = known ? logs_[Priority::normal].after(since->offset) : std::nullopt;
    const auto critical = known ? logs_[Priority::critical].after(since->offset) : std::nullopt;
    begun = normal && critical ? Begun::recovered : Begun::lost;
    if (begun == Begun::recovered) subscription.next = {*normal, *critical};
  }
  subscription.opened = Clock::now();
  settle(subscription);
  return begun;
}

bool Channel::has_all(const Subscription& subscription) const {
  return subscription.next[kNormal] == logs_.of[kNormal].end() &&
         subscription.next[kCritical] == logs_.of[kCritical].end();
}

void Channel::settle(Subscription& subscription) {
  if (subscription.overtaken) return aside_.move_here(subscription);
  if (has_all(subscription)) {
    idle().move_here(subscription);
    trim();
  } else {
    wait_in(leaving_, subscription);
    subscription.outlet.expect(subscription);
    subscription.outlet.hasten();
  }
}

void Channel::append(const MessagePtr& message) {
  if (!live_) return;
  if (message->position().epoch != head_.epoch) {  // another process orders now (relay.h)
    for (Log& log : logs_.of) {
      if (log.empty()) log.begins_after(message->position().offset - 1);
    }
  }
  head_ = message->position();
  if (is_cache(name_) && !message->what().internal) last_ = message;
  const Priority priority = message->what().priority;
  logs_[priority].append(message);
  become_fresh();
  priority == Priority::critical ? hasten_all() : hasten_batches();
  trim();
}

// Those that had all.
void Channel::become_fresh() {
  if (idle().empty()) return;
  furthest_ = std::min(furthest_, idle().front()->next[kNormal]);
  if (fresh().empty()) {
    idle_at_ = 1 - idle_at_;
    part_.add_fresh(*this);
  } else {
    while (Subscription* const subscription = idle().front()) fresh().move_here(*subscription);
  }
}

std::size_t Channel::line_up(std::size_t most) {
  std::size_t done = 0;
  for (; done < most && !fresh().empty(); ++done) {
    Subscription& first = *fresh().front();
    // Memory of thousands is in no cache: the next one's is fetched meanwhile.
    if (const Subscription* const next = Subscriptions::after(first)) {
      __builtin_prefetch(Subscriptions::after(*next));
      next->outlet.fetch();
    }
    put_in_line(first);
  }
  return done;
}

void Channel::put_in_line(Subscription& subscription) {
  Outlet& outlet = subscription.outlet;
  outlet.expect(subscription);
  const bool hurries = !rule_.batch || fills_batch(subscription.next[kNormal]) ||
                       subscription.next[kCritical] != logs_[Priority::critical].end();
  if (hurries) outlet.hasten();
  const bool waits = !hurries && outlet.line_up();
  wait_in(waits ? batching_ : leaving_, subscription);
}

// Whether a batch of what is there from that place on is full.
bool Channel::fills_batch(Log::Place from) const {
  const Log& log = logs_[Priority::normal];
  const RealtimeOptions& options = part_.options();
  const Log::Place first = std::max(from, log.begin());
  return log.end() - first >= options.batch_messages ||
         log.bytes_from(first) >= options.batch_bytes.count;
}

// Who waits for a batch that is full now.
void Channel::hasten_batches() {
  while (Subscription* const first = batching_.front()) {
    if (!fills_batch(first->next[kNormal])) break;
    wait_in(leaving_, *first);
    first->outlet.hasten();
  }
  // So much at once that even who reads well would be overtaken: they are written to before more comes.
  const Log& log = logs_[Priority::normal];
  const RealtimeOptions& options = part_.options();
  if (!(leaving_.empty() && fresh().empty()) &&
      (log.size() * 2 > options.distance_messages ||
       log.bytes_from(log.begin()) * 2 > options.distance_bytes.count))
    part_.write_ready();
}

// Something critical: nobody waits for a batch, or for other channels' turns. Those leaving come to it first when they are written to next.
void Channel::hasten_all() {
  (void)line_up(std::numeric_limits<std::size_t>::max());
  while (Subscription* const subscription = batching_.front()) {
    wait_in(leaving_, *subscription);
    subscription->outlet.hasten();
  }
  for (Subscription* each = aside_.front(); each != nullptr; each = Subscriptions::after(*each)) {
    each->outlet.expect(*each);
    each->outlet.hasten();
  }
}

void Channel::trim() {
  const RealtimeOptions& options = part_.options();
  const bool all_idle = fresh().empty() && batching_.empty() && leaving_.empty();
  for (std::size_t i = 0; i < kPriorities; ++i) {
    Log& log = logs_.of[i];
    if (log.empty()) continue;
    const bool wanted = !all_idle || (i == kCritical && !aside_.empty());
    const std::uint64_t most =
        wanted ? std::max(rule_.history, options.distance_messages) : rule_.history;
    if (i == kNormal && wanted && sets_aside())
      set_aside(log.first_kept(options.distance_messages, options.distance_bytes.count));
    log.keep(most, options.distance_bytes.count);
  }
}

void Channel::expire(TimePoint now) {
  if (!fresh().empty() || !batching_.empty() || !leaving_.empty() || !aside_.empty()) return;
  for (Log& log : logs_.of) log.drop_before(now - rule_.history_ttl);
}

void Channel::wait_in(Subscriptions& list, Subscription& subscription) {
  list.move_here(subscription);
  furthest_ = std::min(furthest_, subscription.next[kNormal]);
}

// Those who would lose messages now. Who waits is looked through only when somebody may be that far behind.
void Channel::set_aside(Log::Place first_kept) {
  if (first_kept <= furthest_) return;
  furthest_ = logs_[Priority::normal].end();
  for (Subscriptions* list : {&fresh(), &batching_, &leaving_}) {
    for (Subscription* each = list->front(); each != nullptr;) {
      Subscription* const next = Subscriptions::after(*each);
      if (each->next[kNormal] < first_kept) {
        overtake(*each);
      } else {
        furthest_ = std::min(furthest_, each->next[kNormal]);
      }
      each = next;
    }
  }
}

void Channel::overtake(Subscription& subscription) {
  const Log& log = logs_[Priority::normal];
  auto made = std::make_unique<Overtaken>();
  made->at = reached(subscription);
  made->place = subscription.next[kNormal];
  if (rule_.slow == Slow::drop_newest) {
    made->place = log.end() - 1;  // the newest is what was too much
    for (Log::Place at = std::max(log.begin(), subscription.next[kNormal]); at < made->place; ++at)
      made->kept.push_back(log.at(at));
  }
  subscription.overtaken = std::move(made);
  aside_.move_here(subscription);
  subscription.outlet.expect(subscription);
  subscription.outlet.hasten();
}

std::uint64_t Channel::go_on(Subscription& subscription) {
  const Log& log = logs_[Priority::normal];
  const std::uint64_t missed = log.end() - subscription.overtaken->place;
  subscription.overtaken.reset();
  subscription.next[kNormal] = log.end();
  return missed;
}

Position Channel::reached(const Subscription& subscription) const {
  if (subscription.overtaken) return subscription.overtaken->at;
  Position position = head_;
  for (std::size_t i = 0; i < kPriorities; ++i) {
    const Log& log = logs_.of[i];
    if (subscription.next[i] == log.end()) continue;
    const Log::Place next = std::max(subscription.next[i], log.begin());
    position.offset = std::min(position.offset, log.at(next)->position().offset - 1);
  }
  return position;
}

bool Channel::is_too_far(const Subscription& subscription) const {
  const RealtimeOptions& options = part_.options();
  for (std::size_t i = 0; i < kPriorities; ++i) {
    if (i == kNormal && subscription.overtaken) continue;
    const Log& log = logs_.of[i];
    const Log::Place next = subscription.next[i];
    if (next < log.begin() || log.end() - next > std::max(options.distance_messages, rule_.history))
      return true;
  }
  return false;
}

std::vector<Log::Place> Channel::newest_of_keys(const Subscription& subscription) const {
  const Log& log = logs_[Priority::normal];
  std::unordered_set<std::string_view> seen;
  std::vector<Log::Place> places;
  const Log::Place from = std::max(log.begin(), subscription.next[kNormal]);
  for (Log::Place place = log.end(); place != from; --place) {
    if (seen.insert(log.at(place - 1)->what().key).second) places.push_back(place - 1);
  }
  std::ranges::reverse(places);
  return places;
}

std::uint64_t Channel::skip(Subscription& subscription) {
  std::uint64_t skipped = 0;
  for (std::size_t i = 0; i < kPriorities; ++i) {
    if (i == kNormal && subscription.overtaken) continue;
    const Log& log = logs_.of[i];
    Log::Place to = std::max(log.begin(), subscription.next[i]);
    if (i == kNormal && rule_.slow == Slow::latest && !conflates() && !log.empty())
      to = log.end() - 1;
    skipped += to - subscription.next[i];
    subscription.next[i] = to;
  }
  return skipped;
}

}  // namespace headroom::realtime
