// headroom/limit/rules.h - rate limits: whether a request may pass, by every rule that matches it.
//
//   auto rules = Rules::make(options, before, workers, registry);            // at the start and at each reload; keep it in the snapshot
//   Decision decision = (*rules)->decide(asked, worker.index(), Clock::now());  // once a request; keep it until the request has ended
//   if (!decision.allowed()) 429, with decision.append_fields(lines) and decision.retry_after()
//
// Owns: the rules of one settings snapshot and, shared with the snapshots before and after it, what each rule has counted.
// Worker: decide() from any worker; it never suspends and never waits but for the short lock of one shard for each rule that matches
//   (a subject's requests come to all workers; measured in bench/limit). make() reads key files and allocates: not on a worker.
// Invariants: (1) a request is allowed only if every enforced rule allows it, and only then is it counted, by all of them at once: a refused
//   one uses up nothing (the shards are locked together, in the order of their addresses); (2) each rule keeps the promise of its
//   algorithm (budget.h) for every subject, also when its table is full: then new subjects share counts and may be refused early,
//   but nobody is forgotten who still counts (subjects.h); (3) what `concurrency` counted is given back exactly once, when the
//   Decision ends; (4) a rule whose limit, subject and tiers stay the same keeps its counts over a reload, whatever else of it changes;
//   (5) a rule in shadow mode refuses nothing and counts only requests that it would let in and that were let in;
//   (6) values of cookies and headers are kept and shown as keyed hashes only.
// Limits: kMostRules rules; memory bytes_at_most; of a cookie or header the first kMostValue bytes count; the kShown most
//   restrictive rules are in the headers.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/address.h"
#include "headroom/base/metrics.h"
#include "headroom/http/message.h"
#include "headroom/limit/keyed_hash.h"
#include "headroom/limit/options.h"
#include "headroom/limit/subjects.h"

namespace headroom::limit {

inline constexpr std::size_t kMostValue = 4096;
inline constexpr std::size_t kShown = 4;

struct Rule;
struct Counters;
class Users;
class Who;
struct Claim;

// A request, as the edge knows it.
struct Asked {
  const http::RequestHead& head;
  std::string_view route;  // the name of its route
  std::string_view host;   // without port
  std::string_view path;   // normalised
  IpAddress client;
  bool trusted = false;  // it came from a trusted proxy: tier_header is believed
};

// How the request stands with one enforced rule.
struct Verdict {
  const Rule* rule = nullptr;
  std::uint64_t limit = 0;
  Duration window{};  // 0: concurrency
  Standing standing;
};

// Gives back what it holds of concurrency rules when it ends. Verdicts point into the Rules, which the request's snapshot keeps.
class Decision {
 public:
  Decision() = default;
  Decision(Decision&& other) noexcept { *this = std::move(other); }
  Decision& operator=(Decision&& other) noexcept;
  ~Decision() { end(); }

  [[nodiscard]] bool allowed() const { return allowed_; }
  // The name of the rule that refused; "".
  [[nodiscard]] std::string_view refused_by() const;
  // When the request would pass all rules that refused it; at least a second.
  [[nodiscard]] Duration retry_after() const;
  // The enforced rules, most restrictive first: those that refuse (the longest wait first), then by what remains.
  [[nodiscard]] std::span<const Verdict> verdicts() const {
    return std::span(verdicts_).first(shown_);
  }
  // For operators: "api: 997 of 1000 left in 15 min", of every rule that was asked.
  [[nodiscard]] std::string explained() const;
  // RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), Retry-After when refused; whole lines.
  void append_fields(std::string& lines) const;

 private:
  friend class Rules;
  struct Held {
    std::shared_ptr<Counters> counters;
    Subjects::Slot* slot = nullptr;
    std::uint64_t cost = 0;
  };
  void add(const Verdict& verdict);
  void end();

  bool allowed_ = true;
  bool fields_ = true;
  std::size_t shown_ = 0;
  std::array<Verdict, kShown> verdicts_;
  std::vector<Held> held_;
};

struct SubjectStatus {
  std::string subject;  // an address, a user, "(shared)", or "#" and the start of a key's hash
  std::string tier;     // "" for none
  std::uint64_t used = 0;
  std::uint64_t limit = 0;
  std::uint64_t allowed = 0;
  std::uint64_t refused = 0;  // in shadow mode: would have been
};

// One rule, as `/api/v1/limits` shows it. Counts are since the start.
struct RuleStatus {
  std::string name, mode, algorithm, rate, subject;
  std::uint64_t allowed = 0;
  std::uint64_t refused = 0;
  std::uint64_t shadow_refused = 0;
  std::uint64_t shared = 0;
  std::uint64_t evicted = 0;
  std::size_t subjects = 0;
  std::size_t capacity = 0;
  std::size_t bytes_at_most = 0;
  std::vector<SubjectStatus> top;  // by refused, then by used
};

class Rules {
 public:
  // Errc::invalid, naming the setting. `before` may be null.
  [[nodiscard]] static Result<std::shared_ptr<const Rules>> make(const LimitOptions& options,
                                                                 const Rules* before,
                                                                 metrics::Registry& registry);
  ~Rules();
  Rules(const Rules&) = delete;
  Rules& operator=(const Rules&) = delete;

  // False: decide() would allow everything and need not be called.
  [[nodiscard]] bool any() const { return !rules_.empty(); }
  // The name of the header by which trusted proxies tell a tier; "".
  [[nodiscard]] std::string_view tier_header() const { return tier_header_; }
  [[nodiscard]] Decision decide(const Asked& asked, std::size_t worker, TimePoint now) const;
  // From any thread; looks at every subject, shard by shard: some 10 ns each.
  [[nodiscard]] std::vector<RuleStatus> snapshot(TimePoint now, std::size_t top) const;

 private:
  class Claims;
  Rules();
  void add(const RuleOptions& options, const Rules* before, metrics::Registry& registry);
  void claim(const Rule& rule, Who& who, const Asked& asked, Claims& claims) const;
  [[nodiscard]] Decision refuse(Claims& claims, std::size_t worker) const;
  void allow(Claims& claims, Decision& decision, std::size_t worker, TimePoint now) const;

  HashKey key_;
  bool fields_ = true;
  std::string tier_header_;
  std::vector<std::unique_ptr<Rule>>
      rules_;  // first those that need no user: what they refuse costs no signature check
  std::unique_ptr<Users> users_;
};

}  // namespace headroom::limit
