// headroom/fwp/command.h - the Faktory Worker Protocol, version 2: what a client's line says.
//
//   +HI {"v":2}                                        the server speaks first; with a password: "i" rounds and "s" salt
//   HELLO {"v":2,"wid":"...","pwdhash":"..."}          +OK
//   PUSH {"jid":"...","jobtype":"...","args":[]}       +OK
//   FETCH critical default                             $<bytes>, the job; $-1 when there was none for two seconds
//   ACK {"jid":"..."}                                  +OK
//   FAIL {"jid":"...","errtype":"...","message":"..."} +OK
//
// A line ends in \n or \r\n: a verb, a space, and what belongs to the verb: JSON or words. Answers are RESP2 (reply.h).
//
// Owns: nothing; views into the line. Threads: any.
// Invariants: (1) a line of any bytes gives a command or an error, never a crash (fuzz/fwp.cc); (2) members of JSON that are
//   not known are passed over, as other servers do; (3) a known member of a wrong type is refused with its name.
// Limits: Limits below; the caller bounds the line before it is here.
// Source: the published protocol document and what clients send; where they differ, what clients send (docs/tasks.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/json/json.h"

namespace headroom::fwp {

enum class Verb : std::uint8_t {
  hello,
  push,
  pushb,
  fetch,
  ack,
  fail,
  beat,
  info,
  flush,
  mutate,
  queue,
  track,
  batch,
  end,
  unknown
};

struct Command {
  Verb verb = Verb::unknown;
  std::string_view name;       // as written
  std::string_view arguments;  // what follows the space
};

// `line` without its line end (a \r at its end is cut).
[[nodiscard]] Command parse_command(std::string_view line);

inline constexpr std::size_t kWordLimit = 200;         // of ids, queue names and the like
inline constexpr std::size_t kWordsLimit = 100;        // queues of a FETCH
inline constexpr std::size_t kDepth = 64;              // of JSON
inline constexpr std::size_t kElementsLimit = 10'000;  // jobs of a PUSHB

struct Hello {
  std::int64_t version = 0;
  std::string wid;  // empty: only produces, or works without a name
  std::string hostname;
  std::string username;
  std::string pwdhash;
  std::int64_t pid = 0;
  std::vector<std::string> labels;
};
[[nodiscard]] Result<Hello> parse_hello(std::string_view arguments);

struct Beat {
  std::string wid;
  std::string state;  // "", "quiet", "terminate": the worker's own
  std::int64_t rss_kb = 0;
  bool cancels = false;  // of our own: it wants to know which of its jobs were cancelled
};
[[nodiscard]] Result<Beat> parse_beat(std::string_view arguments);

struct Ack {
  std::string jid;
  std::string result;  // of our own: JSON, kept of a tracked job; empty: none
};
[[nodiscard]] Result<Ack> parse_ack(std::string_view arguments);

struct Fail {
  std::string jid;
  std::string errtype;
  std::string message;
  std::vector<std::string> backtrace;
};
// Cut to 100 and 1000 characters and 50 lines.
[[nodiscard]] Result<Fail> parse_fail(std::string_view arguments);

// Names between spaces. Errc::invalid: too many, too long, or bytes that are not printable ASCII.
[[nodiscard]] Result<std::vector<std::string>> parse_words(std::string_view arguments);

struct Mutate {
  enum class Act : std::uint8_t { requeue, discard, kill, clear };
  enum class Target : std::uint8_t { scheduled, retries, dead };
  Act act{};
  Target target{};
  std::optional<std::vector<std::string>> jids;  // an empty list names no job
  std::string jobtype;
  std::string pattern;  // a glob over the job's JSON: * ? [a-z] and \ before any of them
};
[[nodiscard]] Result<Mutate> parse_mutate(std::string_view arguments);

struct QueueAct {
  enum class Act : std::uint8_t { pause, resume, remove, latency };
  Act act{};
  std::vector<std::string> queues;  // "*": all
};
[[nodiscard]] Result<QueueAct> parse_queue_act(std::string_view arguments);

struct Track {
  bool set = false;
  std::string jid;
  std::optional<std::int64_t> percent;
  std::optional<std::string> desc;
  std::string reserve_until;  // RFC 3339, or empty
};
[[nodiscard]] Result<Track> parse_track(std::string_view arguments);

// BATCH NEW takes JSON, the others a bid.
struct BatchAct {
  enum class Act : std::uint8_t { create, open, commit, status };
  Act act{};
  std::string bid;
  std::string_view definition;
};
[[nodiscard]] Result<BatchAct> parse_batch(std::string_view arguments);

// The texts of the elements of a JSON array, byte for byte as written: numbers keep every digit. The elements themselves are still to be parsed.
// Errc::invalid when `text` is no array, or has more than kElementsLimit.
[[nodiscard]] Result<std::vector<std::string_view>> elements_of(std::string_view text);

// The members of a JSON object likewise; names with their quotation marks.
struct Member {
  std::string_view name;
  std::string_view value;
};
[[nodiscard]] Result<std::vector<Member>> members_of(std::string_view text);

// Whether `text` matches a glob in the way of Redis; what takes more than kMostGlobSteps (some 20 ms) to tell does not.
inline constexpr std::size_t kMostGlobSteps = 4'000'000;
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace headroom::fwp
