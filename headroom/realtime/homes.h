// headroom/realtime/homes.h - the channels whose order this worker makes: each channel has one home, the worker that its name hashes to.
//
// Owns: of each channel the offset, the history, the roster of its members, and which workers listen.
// Worker: one; others reach it by Shards::post(), and it answers their Parts the same way.
// Invariants: (1) a message gets its offset here, and every listening worker is told in that order, after the answer to its join(): this
//   worker's own Part by calls, others by posts, never both; (2) a
//   worker is told of a channel from its join() to its leave(), each of which names a life of the worker's own channel, so that what
//   belongs to a life before is not taken for this one's; (3) a home ends when nobody listens and nothing is kept (with a history: history_ttl after that, so that an empty one can be
//   gone on with); the next one is another epoch; (4) presence messages stand in the log at the moment when the roster changed; beyond presence_batch members within a
//   second of it, and of who came and went meanwhile nothing is told; (5) while another process orders (follow()) nothing gets an offset
//   here, so presence messages are left out, and of a channel that is none here yet the other is asked where it stands before anybody is
//   let in; while another follows, no home ends.
// Limits: history and history_ttl of the channel's rule; presence_members.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/net/worker.h"
#include "headroom/realtime/cells.h"
#include "headroom/realtime/log.h"
#include "headroom/realtime/options.h"
#include "headroom/realtime/relay_line.h"
#include "headroom/realtime/roster.h"
#include "headroom/realtime/tap.h"

namespace headroom::realtime {

class Relay;
class Shards;

// A worker's channel, as its home knows it.
struct Listener {
  std::size_t worker = 0;
  std::uint64_t life = 0;
  std::uint64_t subscriptions = 0;  // as it told last
};

struct Home {
  Home(std::string its_app, std::string its_name, const ChannelOptions& its_rule,
       std::uint64_t epoch)
      : app(std::move(its_app)), name(std::move(its_name)), rule(its_rule), head{epoch, 0} {}

  const std::string app;
  const std::string name;
  const ChannelOptions rule;
  Position head;
  Logs logs;
  MessagePtr last;  // of a cache channel
  Roster roster;
  std::vector<Listener> listeners;
  TimePoint used{};           // when somebody last joined, left or published
  std::uint64_t counted = 0;  // subscriptions, as they were told last
  bool count_changed = false;
  // Of a large presence channel: who has come (with the connection that it was by) or gone since it was last told.
  struct Change {
    bool joined = false;
    Member member;
    SocketId socket = 0;
    bool seen =
        false;  // somebody has been given a list made meanwhile: it must be told, whatever comes
  };
  std::map<std::string, Change> changes;
  // Of the process before this one, while it still drains: whom the app knows to be there.
  bool was_occupied = false;
  std::set<std::string> were_members;
  // What Parts have asked of it, until the process that orders it has said where it stands; null: that is known.
  std::unique_ptr<std::vector<std::move_only_function<void()>>> awaiting;
};

class Homes {
 public:
  Homes(Shards& shards, net::Worker& worker, Cells& cells)
      : shards_(shards), worker_(worker), cells_(cells) {}
  Homes(const Homes&) = delete;
  Homes& operator=(const Homes&) = delete;

  // What Parts ask. `key`: channel_key() of app and name.
  void join(const std::string& key, const std::string& app, const std::string& name, Listener from);
  void leave(const std::string& key, Listener from);
  void enter(const std::string& key, Listener from, SocketId socket, std::uint64_t turn,
             const Member& member);
  void exit(const std::string& key, SocketId socket, const std::string& user_id);
  void publish(const std::string& key, Publication&& what);
  void count(const std::string& key, Listener from);

  // --- a take-over (relay.h) ---
  // Tells of all channels; from now on the process at its other end orders them.
  void follow(Relay& leader);
  // It is gone: this one orders again, in epochs of its own.
  void order_alone();
  void begin_epochs();
  // The same, and no connection is a member any more (Shards::failed).
  void begin_anew();
  // The other is gone: of its listeners and members who has not come over has left.
  void tell_who_stayed_away();
  // A channel of the other's, before anything was published to it here; and what it keeps.
  void adopt(const std::string& key, RelayLine line);
  // Of who leads: where a channel stands, and what it keeps. Of who follows: that was all of it.
  void tell_place(const std::string& key, const RelayLine& asked, Relay& asker);
  void placed(const std::string& key);
  // A message that the other has ordered.
  void ordered(const std::string& key, RelayLine line);

  // Somebody looks at what is published (tap.h), on every worker's homes.
  void add(const std::shared_ptr<Tap>& tap) { taps_.push_back(tap); }
  void remove(const Tap* tap) {
    std::erase_if(taps_, [tap](const auto& each) { return each.get() == tap; });
  }
  // Every second: what has grown old.
  void upkeep(TimePoint now);
  [[nodiscard]] const ByChannel<std::unique_ptr<Home>>& all() const { return homes_; }

 private:
  using Told = std::vector<std::pair<std::uint64_t, MessagePtr>>;  // to which life

  [[nodiscard]] Home& home(const std::string& key, const std::string& app, const std::string& name);
  [[nodiscard]] Home* find(const std::string& key);
  // Whether that must wait until it is known where the channel stands.
  template <class F>
  [[nodiscard]] static bool waits(const Home& home, F work) {
    if (home.awaiting) home.awaiting->push_back(std::move(work));
    return home.awaiting != nullptr;
  }
  void append(Home& home, Publication&& what);
  void put(Home& home, Publication&& what, Position position);
  void unheard(Publication&& what);
  void show(const MessagePtr& message);
  void tell_member(Home& home, std::string event, const Member& member, SocketId except);
  // Whether the app has a webhook for it.
  [[nodiscard]] bool tells(const std::string& app, HookKind kind) const;
  // Messages of one turn go to a worker together.
  void queue(const Listener& whom, const MessagePtr& message);
  void flush(std::size_t worker);
  void flush_all();
  void deliver_here();
  // To a worker's Part, behind the messages for it.
  template <class F>
  void tell(std::size_t worker, F told);
  void end_if_empty(const std::string& key);
  void tell_count(Home& home);
  // At once, or in a large channel with the next second.
  void note_change(Home& home, const Member& member, SocketId socket, bool joined);
  void tell_changes(Home& home);

  Shards& shards_;
  net::Worker& worker_;
  Cells& cells_;
  ByChannel<std::unique_ptr<Home>> homes_;
  std::vector<Told> queued_;
  Told spare_;  // for its memory
  bool flushing_ = false;
  Relay* leader_ = nullptr;  // while this process follows
  std::vector<std::shared_ptr<Tap>> taps_;
};

// One name for a channel of an app.
[[nodiscard]] inline std::string channel_key(std::string_view app, std::string_view channel) {
  std::string key(app);
  key += '\n';
  key += channel;
  return key;
}

}  // namespace headroom::realtime
