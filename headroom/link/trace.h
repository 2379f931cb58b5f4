// headroom/link/trace.h - the trace-id that ties a request to its queries: W3C traceparent, read and written.
//
//   "00-" 32 hexadecimal digits of trace-id "-" 16 of parent-id "-" 2 of flags      (W3C Trace Context, 3.2)
//
// Values. Threads: any. Invariants: (1) reading is strict: small letters, no all-zero ids, version ff refused, nothing behind a version 00;
//   (2) what append_traceparent() writes, parse_traceparent() reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/hash.h"

namespace headroom::link {

struct Trace {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  [[nodiscard]] explicit operator bool() const { return high != 0 || low != 0; }
  bool operator==(const Trace&) const = default;
};

// All that a traceparent says: the trace, which of its spans asks, and whether the trace is recorded.
struct TraceContext {
  Trace trace{};
  std::uint64_t span = 0;
  bool sampled = false;
};

// Nothing for a text that is none.
[[nodiscard]] std::optional<TraceContext> parse_trace_context(std::string_view text);
[[nodiscard]] std::optional<Trace> parse_traceparent(std::string_view text);
// A fresh one; `random` is the worker's own.
[[nodiscard]] Trace mint(Random& random);
// With a fresh parent-id; flags 00: whether it is sampled is the app's to say.
void append_traceparent(std::string& out, const Trace& trace, Random& random);
void append_traceparent(std::string& out, const TraceContext& context);
// A span-id; never 0.
[[nodiscard]] std::uint64_t fresh_span(Random& random);
// 32 digits.
[[nodiscard]] std::string to_string(const Trace& trace);
// 16 digits.
[[nodiscard]] std::string span_text(std::uint64_t span);

}  // namespace headroom::link

template <>
struct std::hash<headroom::link::Trace> {
  std::size_t operator()(const headroom::link::Trace& trace) const noexcept {
    return static_cast<std::size_t>(trace.low ^ (trace.high * 0x9e3779b97f4a7c15ULL));
  }
};
