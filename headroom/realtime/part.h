// headroom/realtime/part.h - one worker's part of the hub: its connections' outlets and the channels they listen to.
//
// Owns: the channels, the lists of outlets that are ready or blocked, scratch memory for writes. Borrows: the outlets (their sessions').
// Worker: one. It asks the homes of its channels (homes.h) by Shards::post(), and hears from them by joined(), appended(), entered().
// Invariants: (1) a channel is here while somebody listens to it here; (2) reads and writes happen in turns of two milliseconds each, then
//   descriptors have theirs; (3) a blocked connection is looked at once a second, and costs nothing else.
// Limits: RealtimeOptions.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/net/task_group.h"
#include "headroom/realtime/cells.h"
#include "headroom/realtime/channel.h"
#include "headroom/realtime/outlet.h"
#include "headroom/realtime/revocations.h"
#include "headroom/realtime/settings.h"

namespace headroom::realtime {

class Shards;

// Who reads a connection without a coroutine of its own.
class Reader {
 public:
  // On a turn of the Part's own. It may end this object.
  virtual void read() = 0;
  // Something went wrong in it that is no error of the peer's: ends with the next turn.
  virtual void give_up() = 0;
  Hook<Reader> in_reading;

 protected:
  ~Reader() = default;
};

class Part {
 public:
  using Line = List<Outlet, &Outlet::in_line>;
  using Outlets = List<Outlet, &Outlet::in_part>;

  Part(Shards& shards, net::Worker& worker, Cells& cells, std::shared_ptr<const Settings> settings);
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;

  [[nodiscard]] net::Worker& worker() const { return worker_; }
  [[nodiscard]] Cells& cells() { return cells_; }
  [[nodiscard]] const std::shared_ptr<const Settings>& settings() const { return settings_; }
  [[nodiscard]] const RealtimeOptions& options() const { return settings_->options; }
  void use(std::shared_ptr<const Settings> settings);
  [[nodiscard]] Shards& shards() const { return shards_; }

  // --- for sessions ---
  // Opened, or not, by the outlet's owner later. `member`: in a presence channel; `since`: where to go on from.
  [[nodiscard]] std::unique_ptr<Subscription> subscribe(Outlet& outlet, const std::string& app,
                                                        const std::string& name,
                                                        std::unique_ptr<Position> since,
                                                        std::unique_ptr<Member> member);
  void unsubscribe(std::unique_ptr<Subscription> subscription);
  // Where nobody listens to it here: null.
  [[nodiscard]] const Channel* find(std::string_view app, std::string_view channel) const;
  void publish(Publication what);
  // A connection signs in as a user, or no longer is; and wants to know who of the others is online (watches.h).
  void sign_in(const std::string& app, const std::string& user, SocketId socket);
  void sign_out(const std::string& app, const std::string& user, SocketId socket);
  void watch(const std::string& app, const std::string& user, Outlet& outlet);
  void unwatch(const std::string& app, const std::vector<std::string>& users, Outlet& outlet);
  // Whose token holds by itself, but not any more here.
  [[nodiscard]] Revocations& revocations() { return revocations_; }
  [[nodiscard]] bool draining() const { return draining_; }

  // --- for outlets ---
  [[nodiscard]] SocketId next_socket();
  [[nodiscard]] Outlets& outlets() { return outlets_; }
  [[nodiscard]] Line& blocked() { return blocked_; }
  void add_ready(Outlet& outlet);
  // --- for channels: there is something for some who are not in line yet.
  void add_fresh(Channel& channel);
  // It has something to read, or its wait has ended.
  void add_readable(Reader& reader);
  // It ends, or has ended its reading: a write that failed in its own turn may have told of it once more.
  void forget(Reader& reader) { decltype(readable_)::unlink(reader); }
  void write_ready();
  [[nodiscard]] std::string& scratch() { return scratch_; }
  [[nodiscard]] Chunk& chunk() { return chunk_; }

  // --- from homes ---
  void joined(std::uint64_t life, Position head, const Logs& logs, const MessagePtr& last);
  void appended(std::uint64_t life, const MessagePtr& message);
  // `members` null: the channel is full.
  void entered(std::uint64_t life, std::uint64_t turn, const Bits& members);

  void watched(SocketId socket, const std::string& user, bool online);
  void tell_count(std::uint64_t life, std::uint64_t subscriptions);

  // --- for the hub ---
  void start();
  // Ends the connections of a user; how many.
  std::size_t end_user(std::string_view app, std::string_view user);
  // Ends every connection, spread over `time`.
  void drain(Duration time);
  // The same at once, before anything more is delivered to them.
  void end_all_now();
  // And positions of before hold no longer (Shards::failed).
  void begin_anew();
  [[nodiscard]] net::TaskGroup& tasks() { return tasks_; }
  [[nodiscard]] const ByChannel<std::unique_ptr<Channel>>& channels() const { return channels_; }

 private:
  // Every second.
  class Sweeper final : public net::WheelEntry {
   public:
    Sweeper(net::Wheel& wheel, Part& part) : WheelEntry(wheel), part_(part) {}

   private:
    void expired() override { part_.sweep(); }
    Part& part_;
  };

  [[nodiscard]] Channel* find(std::uint64_t life) const;
  // channel_key(), until the next call.
  [[nodiscard]] const std::string& key_of(std::string_view app, std::string_view channel) const;
  // To that channel's home, behind what was posted to it here before.
  template <class F>
  void post_home(std::string_view key, F work);
  [[nodiscard]] std::uint64_t next_life();
  void line_up(std::size_t most);
  void read_some();
  void write_some();
  void write(Outlet& outlet);
  void note_count(Channel& channel);
  void tell_counts();
  void tell_watchers();
  void open(Channel& channel, Subscription& subscription, const Bits& members);
  void sweep();
  [[nodiscard]] net::Task<> work();
  [[nodiscard]] net::Task<> end_all(Duration time);

  Shards& shards_;
  net::Worker& worker_;
  Cells& cells_;
  std::shared_ptr<const Settings> settings_;
  List<Channel, &Channel::in_fresh> fresh_;  // before the channels, which leave it
  ByChannel<std::unique_ptr<Channel>> channels_;
  std::vector<Channel*> by_slot_;  // a life's lower half is its channel's place here
  std::vector<std::uint32_t> free_slots_;
  std::vector<std::string> counted_;  // channels whose number of subscribers has changed
  std::unordered_map<SocketId, Outlet*> watching_;
  std::map<SocketId, Presences> news_;  // for those who watch, gathered in one turn
  Outlets outlets_;
  Line ready_;
  Line blocked_;
  List<Reader, &Reader::in_reading> readable_;
  std::string scratch_;
  mutable std::string key_;  // key_of()'s
  Chunk chunk_;
  Revocations revocations_;
  std::uint64_t posted_here_ = 0;  // by post_home() to this worker itself, and not run yet
  std::uint64_t lives_ = 0;
  std::uint64_t turns_ = 0;
  std::uint32_t sockets_ = 0;
  bool draining_ = false;
  net::TaskGroup tasks_;
  net::Event wake_;
  Sweeper sweeper_;
};

}  // namespace headroom::realtime
