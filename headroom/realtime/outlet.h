// headroom/realtime/outlet.h - what goes out to one connection: its answers, then what its subscriptions have for it, critical messages first.
//
// Owns: answers that wait, and references to what a write left. Borrows: the stream, the Part, the owner (the connection's session).
// Worker: the connection's.
// Invariants: (1) what is written is whole frames one after the other: who comes after waits for the rest of one that has begun; (2) of
//   messages no bytes are copied or kept: what a write left is references to at most a chunk (16 KiB and one message); (3) a critical
//   message overtakes all but what was handed to the kernel and that chunk; the kernel is kept short (TCP_NOTSENT_LOWAT); (4) an
//   outlet that waits for nothing holds no memory but its own.
// Limits: 4096 publications to several channels remembered, so that none is written twice; answers of 1 MiB, beyond which the connection is cut; [realtime] write_timeout without progress.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "headroom/net/stream.h"
#include "headroom/net/task_group.h"
#include "headroom/net/wheel.h"
#include "headroom/realtime/channel.h"
#include "headroom/realtime/chunk.h"
#include "headroom/realtime/message.h"

namespace headroom::realtime {

class Part;

// What a subscription begins with.
struct Opened {
  Channel::Begun begun = Channel::Begun::here;
  Position position{};  // of what it begins behind
  Bits members{};       // of a presence channel: see Roster
  MessagePtr last{};    // of a cache channel
};

// What has become of users that a connection watches.
struct Presences {
  std::vector<std::string> online;
  std::vector<std::string> offline;
};

class Outlet {
 public:
  // The session, as the hub speaks to it.
  class Owner {
   public:
    virtual void opened(Subscription& subscription, const Opened& how) = 0;
    virtual void not_opened(Subscription& subscription, const Error& why) = 0;
    // The frame that tells the client how many messages it was not given.
    [[nodiscard]] virtual std::string missed(const Subscription& subscription,
                                             std::uint64_t messages) = 0;
    // The frame that tells it that a channel is paused for it.
    [[nodiscard]] virtual std::string paused(const Subscription& subscription,
                                             Position position) = 0;
    // Bytes to follow the messages of a write; "" for none.
    [[nodiscard]] virtual std::string mark() { return {}; }
    virtual void watched(const Presences& /*news*/) {}
    virtual void settings_changed() {}
    // What waited has been written.
    virtual void written() {}
    // Whether it is signed in as that user of that app.
    [[nodiscard]] virtual bool is_user(std::string_view app, std::string_view user) const = 0;
    enum class End : std::uint8_t { slow, drain, user_ended };
    virtual void end(End why) = 0;

   protected:
    ~Owner() = default;
  };

  Outlet(Part& part, net::Stream& stream, Owner& owner, Wire wire);
  Outlet(const Outlet&) = delete;
  Outlet& operator=(const Outlet&) = delete;
  // After join().
  ~Outlet();

  [[nodiscard]] SocketId id() const { return id_; }
  [[nodiscard]] Wire wire() const { return wire_; }
  [[nodiscard]] Owner& owner() const { return owner_; }
  [[nodiscard]] Part& part() const { return part_; }
  [[nodiscard]] net::Stream& stream() const { return stream_; }
  // What it waits for: nothing, the end of its batch, its turn to be written to (Part's list), or the connection.
  enum class State : std::uint8_t { quiet, batching, ready, blocked };
  [[nodiscard]] State state() const { return state_; }
  // Whether a drain has come to it before; from now on it has.
  [[nodiscard]] bool begin_draining() { return std::exchange(draining_, true); }

  // Bytes of its own, before all messages that are not under way yet.
  void send(Bits bytes);
  // The same, and then nothing more.
  void send_last(std::string bytes) {
    send(std::move(bytes));
    ended_ = true;
  }
  void send(std::string bytes) { send(std::make_shared<const std::string>(std::move(bytes))); }
  // Messages wait until release(): some answer must stand before them.
  void hold() { held_ = true; }
  void release() {
    held_ = false;
    hasten();
  }
  // There is something for this subscription. expect() is followed by one of the two below.
  void expect(Subscription& subscription);
  // To be written to as soon as may be.
  void hasten();
  // The same on a quiet connection; else with the next batch, or with what is under way. Whether the batch is waited for.
  [[nodiscard]] bool line_up();
  // No longer.
  void forget(Subscription& subscription);
  // Has its memory brought nearer, for who will use it soon; fetch_stream() what a write needs beyond it.
  void fetch() const;
  void fetch_stream() const;
  // Writes what there is until it is all written or the connection takes no more.
  void write();
  // Closes those that are too far behind where their channels say so.
  void look_at_distance();
  // Until a write that waits has ended; abort the stream first.
  [[nodiscard]] net::Task<> join();
  [[nodiscard]] bool is_writing() const { return writing_ && writing_->running() > 0; }
  // Something went wrong in write() that is no error of the peer's: its connection ends.
  void give_up();

  Hook<Outlet> in_part;  // all of them
  Hook<Outlet> in_line;  // ready, or blocked

 private:
  // Ends a batch.
  class Batch final : public net::WheelEntry {
   public:
    Batch(net::Wheel& wheel, Outlet& outlet) : WheelEntry(wheel), outlet_(outlet) {}

   private:
    void expired() override { outlet_.hasten(); }
    Outlet& outlet_;
  };
  enum class Written : std::uint8_t { all, cut, failed };
  struct Answers {
    std::vector<Bits> waiting;
    std::uint64_t bytes = 0;
  };
  // Publication::once of what was written in the last seconds, or since it began to lag.
  struct Had {
    struct Each {
      std::uint64_t once;
      TimePoint at;
    };
    std::deque<Each> order;
    std::unordered_set<std::uint64_t> all;
  };

  void collect_answers(Chunk& chunk);
  void collect(Chunk& chunk, TimePoint now);
  void collect(Chunk& chunk, Priority priority, TimePoint now);
  void collect_newest(Chunk& chunk, Subscription& subscription, TimePoint now);
  void collect_kept(Chunk& chunk, Subscription& subscription, TimePoint now);
  [[nodiscard]] bool gives(const Subscription& subscription, const Message& message, TimePoint now);
  void tell(Chunk& chunk, std::string frame) {
    chunk.add(std::make_shared<const std::string>(std::move(frame)));
  }
  [[nodiscard]] bool has_had(std::uint64_t once, TimePoint now);
  void catch_up(Chunk& chunk, Subscription& subscription);
  [[nodiscard]] Written write(Chunk& chunk);
  void keep_rest(Chunk& chunk, std::size_t done);
  void wait_to_write();
  void settle_all();
  [[nodiscard]] net::Task<> go_on();

  Part& part_;
  net::Stream& stream_;
  Owner& owner_;
  const SocketId id_;
  std::unique_ptr<Answers> answers_;  // while some wait
  List<Subscription, &Subscription::in_outlet> pending_;
  std::unique_ptr<Had> had_;    // once there was a publication to several channels
  std::unique_ptr<Rest> rest_;  // of a write that was cut
  TimePoint written_{};         // the last time
  Batch batch_;
  std::unique_ptr<net::TaskGroup> writing_;  // once it was blocked
  const Wire wire_;
  bool held_ = false;
  bool lagged_ = false;  // it took nothing for a while, and has not had all since
  bool ended_ = false;   // the last frame is among the answers, or written
  bool draining_ = false;
  State state_ = State::quiet;
};

}  // namespace headroom::realtime
