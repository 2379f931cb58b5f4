// headroom/realtime/channel.h - a channel as one worker sees it: its own reference to each message, and the worker's subscribers, each of
// which is a place in it.
//
// Owns: its logs and the links of its subscriptions. Borrows: the subscriptions (their connections' own), the Part.
// Worker: one. The channel's order is made by its home (home.h); append() is called in that order.
// Invariants: (1) a subscription is in exactly one list: `opening` until the home has answered, then `idle` (has all there is), `fresh`
//   (there is something that its connection is yet to be told of; sorted by place), `batching` (its connection's batch is being waited
//   for; sorted by place), `leaving` (to be written as soon as the connection takes it) or `aside` (overtaken, where the rule is
//   drop_newest or pause); (2) to append costs the same however many listen, and nothing for a subscriber that is not idle: the Part's
//   turns line up the fresh ones, some at a time, just before they are written to, while what that touches is still in the processor's
//   cache; so one that takes nothing costs nothing, and only references are kept for it; (3) what is kept is what history wants and what the furthest subscriber may still be given: distance_messages and
//   distance_bytes, never more.
// Limits: [realtime] distance_*, the channel's rule.
#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "headroom/base/hash.h"
#include "headroom/realtime/list.h"
#include "headroom/realtime/log.h"
#include "headroom/realtime/options.h"

namespace headroom::realtime {

class Channel;
class Outlet;
class Part;

// By channel_key().
struct ChannelHash {
  using is_avalanching = void;
  std::size_t operator()(std::string_view key) const { return hash64(key); }
};
template <class T>
using ByChannel = boost::unordered_flat_map<std::string, T, ChannelHash>;

// Who a subscriber of a presence channel is.
struct Member {
  std::string user_id;
  std::string info;  // JSON, "" for none
};

// What an overtaken subscriber has left of a channel whose rule is drop_newest (`kept`, then it goes on behind `place`) or pause (`at`, where
// it stopped).
struct Overtaken {
  std::vector<MessagePtr> kept;
  std::size_t given = 0;  // of them
  Log::Place place = 0;
  Position at{};
  bool told = false;
};

struct Subscription {
  Subscription(Channel& its_channel, Outlet& its_outlet)
      : channel(its_channel), outlet(its_outlet) {}
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  Channel& channel;
  Outlet& outlet;
  std::array<Log::Place, kPriorities> next{};  // what it is to be given next
  std::unique_ptr<Member> member;              // in a presence channel
  std::unique_ptr<Position> since;             // where it asked to go on from, until it is open
  std::unique_ptr<Overtaken> overtaken;
  Hook<Subscription> in_channel;
  Hook<Subscription> in_outlet;  // while there is something for it
  TimePoint opened = kNever;
  std::uint64_t turn =
      0;  // so that an answer to an earlier subscription is not taken for one to this
};

class Channel {
 public:
  using Subscriptions = List<Subscription, &Subscription::in_channel>;

  Channel(Part& part, std::string key, std::string app, std::string name,
          const ChannelOptions& rule, std::uint64_t life)
      : part_(part),
        key_(std::move(key)),
        app_(std::move(app)),
        name_(std::move(name)),
        rule_(rule),
        life_(life) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel() { List<Channel, &Channel::in_fresh>::unlink(*this); }

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] const std::string& app() const { return app_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const ChannelOptions& rule() const { return rule_; }
  [[nodiscard]] std::uint64_t life() const { return life_; }
  [[nodiscard]] const Log& log(Priority priority) const { return logs_[priority]; }
  [[nodiscard]] std::size_t subscribers() const {
    return opening_.size() + turns_[0].size() + turns_[1].size() + batching_.size() +
           leaving_.size() + aside_.size();
  }
  [[nodiscard]] bool is_live() const { return live_; }
  [[nodiscard]] Position head() const { return head_; }
  [[nodiscard]] const MessagePtr& last() const { return last_; }

  void add(Subscription& subscription) { opening_.push_back(subscription); }
  void remove(Subscription& subscription);
  [[nodiscard]] Subscription* first_opening() const { return opening_.front(); }
  // That one, if it is opening.
  [[nodiscard]] Subscription* opening(std::uint64_t turn) const;

  template <class F>
  void each(F use) {
    for (Subscriptions* list : {&turns_[0], &turns_[1], &batching_, &leaving_, &aside_}) {
      for (Subscription* one = list->front(); one != nullptr; one = Subscriptions::after(*one))
        use(*one);
    }
  }
  // Whether its number of subscribers is already about to be told.
  bool note_count() { return std::exchange(count_noted_, true); }
  void count_told() { count_noted_ = false; }

  // The home's answer: what the channel holds, from now on followed by append().
  void go_live(Position head, const Logs& logs, MessagePtr last);
  // What came before is not what it was: nobody goes on from there.
  void begin_epoch(std::uint64_t epoch) { head_.epoch = epoch; }
  // The subscription begins here, or where it asked to; whether it could.
  enum class Begun : std::uint8_t { here, recovered, lost };
  [[nodiscard]] Begun begin(Subscription& subscription);
  void append(const MessagePtr& message);
  // Puts so many fresh subscriptions at most in line at their connections; how many.
  std::size_t line_up(std::size_t most);
  Hook<Channel> in_fresh;  // of the Part, while there are fresh ones

  // Drops what is older than history_ttl, where nobody waits for it.
  void expire(TimePoint now);
  // Moves a subscription by what has become of its connection.
  void settle(Subscription& subscription);  // has all there is
  void hasten(Subscription& subscription) {
    if (!subscription.overtaken) wait_in(leaving_, subscription);
  }
  // It was given all that was kept for it: goes on with what comes. How many it missed.
  [[nodiscard]] std::uint64_t go_on(Subscription& subscription);
  [[nodiscard]] bool is_paused(const Subscription& subscription) const {
    return subscription.overtaken && rule_.slow == Slow::pause;
  }
  // Whether who took nothing for a while gets the newest message of each key alone.
  [[nodiscard]] bool conflates() const { return !rule_.latest_by.empty(); }
  // Of the normal messages it has not had, the places of the newest of each key, oldest first. The last message is always one.
  [[nodiscard]] std::vector<Log::Place> newest_of_keys(const Subscription& subscription) const;
  [[nodiscard]] bool has_all(const Subscription& subscription) const;
  // Behind what the subscription has been given, nothing missing before it: where it could go on from.
  [[nodiscard]] Position reached(const Subscription& subscription) const;
  [[nodiscard]] bool is_too_far(const Subscription& subscription) const;
  // Past the messages that it is not given for being slow; how many.
  [[nodiscard]] std::uint64_t skip(Subscription& subscription);

 private:
  [[nodiscard]] Subscriptions& idle() { return turns_[idle_at_]; }
  [[nodiscard]] Subscriptions& fresh() { return turns_[1 - idle_at_]; }
  void become_fresh();
  void hasten_batches();
  void hasten_all();
  void put_in_line(Subscription& subscription);
  [[nodiscard]] bool fills_batch(Log::Place from) const;
  void trim();
  [[nodiscard]] bool sets_aside() const {
    return rule_.slow == Slow::drop_newest || rule_.slow == Slow::pause;
  }
  void set_aside(Log::Place first_kept);
  void overtake(Subscription& subscription);
  void wait_in(Subscriptions& list, Subscription& subscription);

  Part& part_;
  const std::string key_;
  const std::string app_;
  const std::string name_;
  const ChannelOptions rule_;
  const std::uint64_t life_;
  Position head_;
  Logs logs_;
  MessagePtr last_;  // for a cache channel
  Subscriptions opening_;
  // Idle and fresh: they change places, so that all who are idle become fresh at once.
  std::array<Subscriptions, 2> turns_;
  std::size_t idle_at_ = 0;
  Subscriptions batching_;
  Subscriptions leaving_;
  Subscriptions aside_;
  Log::Place furthest_ = 0;  // nobody in fresh(), batching_ or leaving_ is further behind
  bool live_ = false;
  bool count_noted_ = false;
};

// Names, as the Pusher protocol has them.
[[nodiscard]] inline bool is_presence(std::string_view channel) {
  return channel.starts_with("presence-");
}
[[nodiscard]] inline bool is_private(std::string_view channel) {
  return channel.starts_with("private-");
}
[[nodiscard]] inline bool is_cache(std::string_view channel) {
  return channel.starts_with("cache-") || channel.starts_with("private-cache-") ||
         channel.starts_with("private-encrypted-cache-") || channel.starts_with("presence-cache-");
}

}  // namespace headroom::realtime
