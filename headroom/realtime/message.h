// headroom/realtime/message.h - a message of a channel: what was published, where it stands, and its bytes on each wire.
//
// Owns: its texts and, once asked for, its encodings. Worker: made on the worker that orders its channel, then shared by all, unchanged.
// Invariants: (1) a message has one position, which never changes; (2) it is encoded once for each wire, by whoever needs it first; two
//   workers that need it at the same moment may both do it, and one encoding is kept.
// Limits: [realtime] event_limit.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/clock.h"

namespace headroom::realtime {

// Where a message stands in its channel. An epoch is one life of the channel's log: offsets of different epochs do not compare.
struct Position {
  std::uint64_t epoch = 0;
  std::uint64_t offset = 0;  // of the first message: 1

  bool operator==(const Position&) const = default;
  // "5f3759df00c0ffee-42"
  [[nodiscard]] std::string text() const;
  [[nodiscard]] static std::optional<Position> parse(std::string_view text);
};

enum class Priority : std::uint8_t { normal, critical };
inline constexpr std::size_t kPriorities = 2;

// How a client is spoken to: each has an encoding of its own.
enum class Wire : std::uint8_t { pusher, plain, events, lines, pusher_deflated, plain_deflated };
inline constexpr std::size_t kWires = 6;
inline constexpr std::size_t kFaces = 4;
// The same whether compressed or not: pusher, plain, events or lines.
[[nodiscard]] constexpr Wire face_of(Wire wire) {
  return wire == Wire::pusher_deflated  ? Wire::pusher
         : wire == Wire::plain_deflated ? Wire::plain
                                        : wire;
}

// Identifies a connection, "a.b" as text; 0 is none.
using SocketId = std::uint64_t;
[[nodiscard]] std::string show_socket(SocketId id);
[[nodiscard]] std::optional<SocketId> parse_socket(std::string_view text);

// What `data` of a publication is.
enum class Form : std::uint8_t {
  json,  // a JSON value, compacted: on one line
  text,  // any text; the Pusher protocol's own, which often holds JSON
};

// What somebody asks to be published.
struct Publication {
  std::string app{};
  std::string channel{};
  std::string event{};
  std::string data{};
  std::string user_id{};  // of the client that sent it, where that is known
  SocketId except = 0;    // a connection that does not get it
  std::string key{};      // of what it tells the latest (ChannelOptions::latest_by)
  Priority priority = Priority::normal;
  Form form = Form::json;
  std::uint64_t once =
      0;  // of publications to several channels that are one: a connection gets the first of them; 0: alone
  std::uint64_t number = 0;  // in a process that follows this one (relay.h); 0: it is none of its
  bool relayed = false;      // another node has told it
  bool internal = false;     // of the hub's own: not what a cache channel remembers
};

// The value of that member of JSON data, as its text; "" where there is none.
[[nodiscard]] std::string key_in(std::string_view data, std::string_view member);

class Message {
 public:
  // `resumable`: the channel keeps messages, so clients are told the position.
  Message(Publication what, Position position, bool resumable, TimePoint now)
      : what_(std::move(what)), position_(position), resumable_(resumable), at_(now) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  ~Message();

  [[nodiscard]] const Publication& what() const { return what_; }
  [[nodiscard]] Position position() const { return position_; }
  [[nodiscard]] bool resumable() const { return resumable_; }
  [[nodiscard]] TimePoint at() const { return at_; }
  // What it counts for in limits: about its size on a wire.
  [[nodiscard]] std::uint64_t bytes() const {
    return what_.data.size() + what_.event.size() + what_.channel.size() + 48;
  }
  // Ready to be written.
  [[nodiscard]] const std::string& wire(Wire wire) const;

 private:
  const Publication what_;
  const Position position_;
  const bool resumable_;
  const TimePoint at_;
  mutable std::array<std::atomic<const std::string*>, kWires> wires_{};
};

using MessagePtr = std::shared_ptr<const Message>;
// Bytes that some connections are to be written: an encoding of a message, or an answer to one of them.
using Bits = std::shared_ptr<const std::string>;

}  // namespace headroom::realtime
