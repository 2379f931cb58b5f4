#include "headroom/limit/budget.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <new>
#include <span>

#include "headroom/base/assert.h"

namespace headroom::limit {
namespace {

constexpr std::int64_t kLongAgo = std::numeric_limits<std::int64_t>::min() / 4;
constexpr std::int64_t kKept = kSubWindows + 1 + kLate;
constexpr Duration kNoPromise = 1s;  // when somebody gives back is not known

// The times of the last requests, a ring: `oldest` is the next to be written over. Sorted from there on. The times lie behind it.
struct Log {
  std::uint64_t oldest = 0;
};

// Sub-window b is the time [b * step, (b + 1) * step); those from newest - kKept + 1 on are kept.
struct SubWindows {
  std::int64_t newest = kLongAgo;
  std::int64_t oldest = kLongAgo;  // none that still counts is older
  std::uint64_t total = 0;         // of all kept
  std::uint32_t counts[static_cast<std::size_t>(kKept)] = {};

  std::uint32_t& at(std::int64_t b) { return counts[static_cast<std::uint64_t>(b) % kKept]; }
};

// When the subject will have earned what it used ("theoretical arrival time").
struct Gcra {
  std::int64_t earned = kLongAgo;
};

struct Fixed {
  std::int64_t began = kLongAgo;
  std::uint64_t used = 0;
};

struct Concurrency {
  std::uint64_t used = 0;
};

template <class State>
State& as(std::byte* state) {
  return *std::launder(reinterpret_cast<State*>(state));
}
template <class State>
const State& as(const std::byte* state) {
  return *std::launder(reinterpret_cast<const State*>(state));
}

std::int64_t* times_of(std::byte* state) {
  return std::launder(reinterpret_cast<std::int64_t*>(state + sizeof(Log)));
}

// Moved on, so that a whole window before the clock's beginning still has a positive time.
std::int64_t nanoseconds(TimePoint now) {
  constexpr std::int64_t kMoved = 2 * std::chrono::nanoseconds(kLongestWindow).count();
  return kMoved + std::max<std::int64_t>(0, Duration(now.time_since_epoch()).count());
}

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

// Drops what falls out of those kept when the newest is `b`.
void advance(SubWindows& s, std::int64_t b) {
  if (b <= s.newest) return;
  for (std::int64_t drop = std::max(s.newest + 1, b - kKept + 1); drop <= b; ++drop) {
    std::uint32_t& count = s.at(drop);
    s.total -= count;
    count = 0;
  }
  s.newest = b;
}

// The first sub-window that counts for a request at `now`.
std::int64_t first_counted(const SubWindows& s, std::int64_t now, std::int64_t step) {
  return std::max(now / step, s.newest - kLate) - kSubWindows;
}

}  // namespace

Budget Budget::sliding(config::Rate rate) {
  Budget b;
  b.kind_ = rate.count <= kLogLimit ? Kind::log : Kind::sub_windows;
  b.limit_ = b.burst_ = rate.count;
  b.window_ = rate.period.count();
  b.step_ = divided_up(b.window_, kSubWindows);
  return b;
}

Budget Budget::gcra(config::Rate rate, std::uint64_t burst) {
  Budget b;
  b.kind_ = Kind::gcra;
  b.limit_ = rate.count;
  b.burst_ = burst;
  b.window_ = rate.period.count();
  b.step_ = divided_up(b.window_, static_cast<std::int64_t>(rate.count));
  return b;
}

Budget Budget::fixed(config::Rate rate) {
  Budget b = sliding(rate);
  b.kind_ = Kind::fixed;
  return b;
}

Budget Budget::concurrency(std::uint64_t at_once) {
  Budget b;
  b.kind_ = Kind::concurrency;
  b.limit_ = b.burst_ = at_once;
  return b;
}

std::size_t Budget::state_bytes() const {
  switch (kind_) {
    case Kind::log: return sizeof(Log) + limit_ * sizeof(std::int64_t);
    case Kind::sub_windows: return sizeof(SubWindows);
    case Kind::gcra: return sizeof(Gcra);
    case Kind::fixed: return sizeof(Fixed);
    case Kind::concurrency: return sizeof(Concurrency);
  }
  return 0;
}

void Budget::begin(std::byte* state) const {
  switch (kind_) {
    case Kind::log:
      new (state) Log;
      std::uninitialized_fill_n(reinterpret_cast<std::int64_t*>(state + sizeof(Log)), limit_,
                                kLongAgo);
      return;
    case Kind::sub_windows: new (state) SubWindows; return;
    case Kind::gcra: new (state) Gcra; return;
    case Kind::fixed: new (state) Fixed; return;
    case Kind::concurrency: new (state) Concurrency; return;
  }
}

Standing Budget::check(std::byte* state, TimePoint now, std::uint64_t cost) const {
  if (state == nullptr) return fresh(cost);
  switch (kind_) {
    case Kind::log: return check_log(state, nanoseconds(now), cost);
    case Kind::sub_windows: return check_sub_windows(state, nanoseconds(now), cost);
    case Kind::gcra: return check_gcra(state, nanoseconds(now), cost);
    case Kind::fixed: return check_fixed(state, nanoseconds(now), cost);
    case Kind::concurrency: return check_concurrency(state, cost);
  }
  return {};
}

void Budget::take(std::byte* state, TimePoint now, std::uint64_t cost) const {
  const std::int64_t at = nanoseconds(now);
  switch (kind_) {
    case Kind::log: return take_log(state, at, cost);
    case Kind::sub_windows: return take_sub_windows(state, at, cost);
    case Kind::gcra: {
      auto& gcra = as<Gcra>(state);
      gcra.earned = std::max(at, gcra.earned) + static_cast<std::int64_t>(cost) * step_;
      return;
    }
    case Kind::fixed: {
      auto& fixed = as<Fixed>(state);
      if (at >= fixed.began + window_) fixed = {.began = at, .used = 0};
      fixed.used += cost;
      return;
    }
    case Kind::concurrency: as<Concurrency>(state).used += cost; return;
  }
}

void Budget::give_back(std::byte* state, std::uint64_t cost) const {
  auto& concurrency = as<Concurrency>(state);
  HR_ASSERT(concurrency.used >= cost);
  concurrency.used -= cost;
}

bool Budget::idle(std::byte* state, TimePoint now) const {
  const std::int64_t at =
      nanoseconds(now) - kLate * window_ / kSubWindows;  // it may be asked for a little late
  switch (kind_) {
    case Kind::log: {
      const auto last = (as<Log>(state).oldest + limit_ - 1) % limit_;
      return times_of(state)[last] <= at - window_;
    }
    case Kind::sub_windows: {
      const auto& s = as<SubWindows>(state);
      return s.newest < at / step_ - kSubWindows;
    }
    case Kind::gcra: return as<Gcra>(state).earned <= at;
    case Kind::fixed: return as<Fixed>(state).began <= at - window_;
    case Kind::concurrency: return as<Concurrency>(state).used == 0;
  }
  return true;
}

Standing Budget::fresh(std::uint64_t cost) const {
  const Duration reset = kind_ == Kind::gcra ? Duration(step_) : window();
  return {.allowed = cost <= burst_,
          .remaining = burst_ - std::min(cost, burst_),
          .retry_after = window(),
          .reset = reset};
}

Standing Budget::check_log(std::byte* state, std::int64_t now, std::uint64_t cost) const {
  const std::uint64_t oldest = as<Log>(state).oldest;
  const std::int64_t* const times = times_of(state);
  const auto time = [&](std::uint64_t i) {
    return times[oldest + i < limit_ ? oldest + i : oldest + i - limit_];
  };
  std::uint64_t expired = 0;
  for (std::uint64_t above = limit_; expired < above;) {
    const std::uint64_t middle = (expired + above) / 2;
    if (time(middle) <= now - window_) {
      expired = middle + 1;
    } else {
      above = middle;
    }
  }
  Standing s;
  s.allowed = cost <= expired;
  s.remaining = expired - (s.allowed ? cost : 0);
  s.reset = Duration((expired == limit_ ? now : time(expired)) + window_ - now);
  if (!s.allowed) s.retry_after = Duration(time(std::min(cost, limit_) - 1) + window_ - now);
  return s;
}

void Budget::take_log(std::byte* state, std::int64_t now, std::uint64_t cost) const {
  auto& log = as<Log>(state);
  std::int64_t* const times = times_of(state);
  // Never before one that is there already: the ring stays sorted, and what comes late stays longer.
  const std::int64_t at = std::max(now, times[(log.oldest + limit_ - 1) % limit_]);
  for (; cost > 0; --cost) {
    times[log.oldest] = at;
    log.oldest = log.oldest + 1 == limit_ ? 0 : log.oldest + 1;
  }
}

Standing Budget::check_sub_windows(std::byte* state, std::int64_t now, std::uint64_t cost) const {
  auto& s = as<SubWindows>(state);
  advance(s, now / step_);
  const std::int64_t first = first_counted(s, now, step_);
  std::uint64_t used = s.total;
  for (std::int64_t b = s.newest - kKept + 1; b < first; ++b) used -= s.at(b);
  const auto back = [&](std::int64_t b) { return Duration((b + kSubWindows + 1) * step_ - now); };

  Standing out;
  out.allowed = used + cost <= limit_;
  out.remaining = limit_ - std::min(limit_, used + (out.allowed ? cost : 0));
  // What is older than all kept is empty.
  s.oldest = std::max(s.oldest, s.newest - kKept + 1);
  while (s.oldest < s.newest && s.at(s.oldest) == 0) ++s.oldest;
  std::int64_t b = std::max(first, s.oldest);
  out.reset = back(b);
  for (; !out.allowed && used + cost > limit_ && b <= s.newest; ++b) {
    used -= s.at(b);
    out.retry_after = back(b);
  }
  return out;
}

void Budget::take_sub_windows(std::byte* state, std::int64_t now, std::uint64_t cost) const {
  auto& s = as<SubWindows>(state);
  advance(s, now / step_);
  s.at(s.newest) += static_cast<std::uint32_t>(cost);
  s.total += cost;
}

Standing Budget::check_gcra(const std::byte* state, std::int64_t now, std::uint64_t cost) const {
  const std::int64_t before = std::max(now, as<Gcra>(state).earned);
  const std::int64_t most = now + static_cast<std::int64_t>(burst_) * step_;
  const std::int64_t after = before + static_cast<std::int64_t>(cost) * step_;
  Standing s;
  s.allowed = after <= most;
  const std::int64_t free = std::max<std::int64_t>(0, most - (s.allowed ? after : before));
  s.remaining = static_cast<std::uint64_t>(free / step_);
  s.reset = Duration(step_ - free % step_);
  if (!s.allowed) s.retry_after = Duration(after - most);
  return s;
}

Standing Budget::check_fixed(const std::byte* state, std::int64_t now, std::uint64_t cost) const {
  const auto& fixed = as<Fixed>(state);
  if (now >= fixed.began + window_) return fresh(cost);
  Standing s;
  s.allowed = fixed.used + cost <= limit_;
  s.remaining = limit_ - fixed.used - (s.allowed ? cost : 0);
  s.reset = Duration(fixed.began + window_ - now);
  if (!s.allowed) s.retry_after = s.reset;
  return s;
}

Standing Budget::check_concurrency(const std::byte* state, std::uint64_t cost) const {
  const std::uint64_t used = as<Concurrency>(state).used;
  Standing s;
  s.allowed = used + cost <= limit_;
  s.remaining = limit_ - used - (s.allowed ? cost : 0);
  if (!s.allowed) s.retry_after = kNoPromise;
  return s;
}

}  // namespace headroom::limit
