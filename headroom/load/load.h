// headroom/load/load.h - a bounded HTTP/1.1 load generator for one loopback target: closed loop, or
// open loop at a fixed rate.
//
// Owns: its sockets, its epoll and the schedule, for the length of one run(). Borrows: nothing.
// Worker: run() blocks its caller, one thread, which should be nobody's worker; other threads only
// ask its stop token to stop. Invariants: (1) the target is loopback or a Unix socket; anything
// else is refused before a socket is made; (2) in the open loop a
//             latency counts from the intended time of its request, so that a stalled server cannot
//             slow down its own questions; (3) every request begun in the measured time is counted
//             once, as an answer or under one kind of error; (4) a run ends: at the latest when
//             warm-up, duration and one timeout are over.
// Limits: 1,000 kinds of requests, 15,000 connections, 1,000,000 requests a second, one hour, answer heads of 64 KiB; one
// request in flight per connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/base/error.h"
#include "headroom/base/metrics.h"

namespace headroom::load {

enum class Arrivals : std::uint8_t {
  closed,   // each connection asks again as soon as it is answered
  uniform,  // evenly spaced, whatever the answers do; for comparing two runs
  poisson,  // as independent users come; for capacity: even spacing halves the queues
};

enum class Reuse : std::uint8_t { keep_alive, new_connection_each };

// One of several kinds of requests in a run.
struct MixedRequest {
  double weight = 1;  // how often, among the others; above 0
  std::string method = "GET";
  std::string target{};  // "/a?b=c"
  std::vector<std::string> headers{};
  std::string body{};
};

struct Plan {
  std::string url;        // http://127.0.0.1:8080/1k; hosts: 127.0.0.0/8, [::1], localhost
  std::string unix_path;  // if set, connect here; the URL then gives Host and target alone
  std::string method = "GET";
  std::vector<std::string> headers;  // "Name: value", each
  std::string body;                  // sent as it is, or
  Bytes filler;                      // a body of this many bytes, made while it is sent
  std::vector<MixedRequest>
      mix;  // instead of method, headers, body and the URL's target: each request is one of these
  Arrivals arrivals = Arrivals::closed;
  double rate = 0;  // requests a second; open loop only
  std::size_t connections = 1;
  Reuse reuse = Reuse::keep_alive;
  Duration warm_up{};              // not counted; needs a duration
  Duration duration{};             // of the measured time; zero: until `requests`
  std::uint64_t requests = 0;      // zero: until `duration`
  Duration timeout = 10s;          // of one request, connecting included
  std::int64_t expect_bytes = -1;  // the exact body length of a good answer; -1: any
  std::uint64_t seed = 1;          // of the Poisson arrivals and the mix
  std::vector<int>
      watch;  // processes whose CPU time is read where the measured time begins and ends
};

enum class Failure : std::uint8_t {
  connect,       // no connection
  reset,         // the connection broke before the answer's head was whole
  timeout,       // no whole answer in time
  short_body,    // the connection ended inside a body
  malformed,     // not HTTP/1.1, or bytes after the answer
  wrong_length,  // a good answer, but not of expect_bytes
  status_3xx,
  status_4xx,
  status_5xx,
  unsent,  // open loop: its time came, but no connection was free until the run's end
};
inline constexpr std::size_t kFailures = 10;
[[nodiscard]] std::string_view to_string(Failure failure);

struct Report {
  std::uint64_t requests = 0;  // good and failed
  std::array<std::uint64_t, kFailures> failures{};
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t connects = 0;  // all of the run, the warm-up's too
  Duration elapsed{};          // from the first intended time to the last answer
  Duration generator_cpu{};
  Duration watched_cpu{};
  double target_rate = 0;
  // From the intended time; good answers, error statuses and timeouts. Closed loop: intended is
  // sent.
  metrics::HistogramValues latency = {};
  Duration latency_max{};
  metrics::HistogramValues service = {};   // the same answers from the actual sending
  metrics::HistogramValues lateness = {};  // of sendings that waited for nothing but this generator

  [[nodiscard]] std::uint64_t errors() const;
  [[nodiscard]] std::uint64_t failed(Failure failure) const {
    return failures[static_cast<std::size_t>(failure)];
  }
  // Good answers a second.
  [[nodiscard]] double rps() const;
  // The generator itself was too slow for the rate asked for: the run says nothing about the
  // server.
  [[nodiscard]] bool saturated() const;
};

// Blocks until the run is over. Errc::invalid: the plan is refused; Errc::unavailable: no
// connection could be made at all.
[[nodiscard]] Result<Report> run(const Plan& plan, const std::stop_token& stop = {});

// One JSON object; times in milliseconds.
[[nodiscard]] std::string to_json(const Report& report);

}  // namespace headroom::load
