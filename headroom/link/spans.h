// headroom/link/spans.h - what sampled requests, queries and jobs did and when, on the way to who exports it (monitor/exporter.h).
//
// Whether a trace is sampled is decided once, before anything is built: by the edge for a fresh one (draw()), by the flag of a traceparent for one
// that is continued. What is not sampled costs one load and a compare.
//
// Owns: spans that have ended, until they are taken. Threads: any; one short lock, the named exception to "no mutex", for each span of a sampled
//   trace.
// Invariants: (1) nobody waits for room: with kMost in the queue a new span is dropped and counted; (2) a text of a span has kLongest bytes at most.
// Limits: kMost spans, kMostAttributes each.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/hash.h"
#include "headroom/link/trace.h"

namespace headroom::link {

struct Span {
  static constexpr std::size_t kLongest = 1000;
  static constexpr std::size_t kMostAttributes = 16;
  enum class Kind : std::uint8_t { internal = 1, server, client, producer, consumer };
  using Value = std::variant<std::string, std::int64_t>;
  struct Attribute {
    std::string_view name;  // a literal
    Value value;
  };

  Trace trace{};
  std::uint64_t id = 0;
  std::uint64_t parent = 0;  // 0: it is the trace's first
  std::uint64_t cause =
      0;  // a span of the same trace that is no parent, but made this happen; 0: none
  Kind kind = Kind::internal;
  std::string name{};
  TimePoint began{};
  TimePoint ended{};
  bool failed = false;
  std::vector<Attribute> attributes{};

  // `name` is a literal.
  void note(std::string_view name, std::string_view value);
  void note(std::string_view name, std::int64_t value);
};

class Spans {
 public:
  static constexpr std::size_t kMost = 4096;

  // From any thread: which share of fresh traces is sampled; nothing is recorded while it is off.
  void turn_on(double share);
  void turn_off() { on_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool on() const { return on_.load(std::memory_order_relaxed); }
  // Whether a fresh trace is sampled.
  [[nodiscard]] bool draw(Random& random) const {
    return random.next() >> 1U < threshold_.load(std::memory_order_relaxed);
  }

  void add(Span span);
  // The oldest.
  [[nodiscard]] std::vector<Span> take(std::size_t most);
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> on_{false};
  std::atomic<std::uint64_t> threshold_{0};  // of 2^63
  mutable std::mutex mutex_;
  std::vector<Span> ended_;
  std::atomic<std::uint64_t> dropped_{0};
};

}  // namespace headroom::link
