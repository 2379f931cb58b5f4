// headroom/edge/encodings.h - encodes stored answers once, on a thread of its own, and puts the result beside them in the cache.
//
// Owns: the thread (of low priority) and its contexts of codings. Borrows: the cache, which outlives it.
// Worker: order() from any worker; it never waits.
// Invariants: (1) one body is encoded at a time, and no worker waits for it; (2) what cannot be ordered now is asked for again by a later
//   request; (3) what does not get smaller is never tried again for that object.
// Limits: kMostOrders waiting, their bodies kMostBytes in all; a body CompressOptions::stored_limit.
#pragma once

#include <atomic>

#include "headroom/cache/cache.h"
#include "headroom/coding/coders.h"
#include "headroom/edge/options.h"
#include "headroom/net/offload.h"

namespace headroom::edge {

// Where the forms of an object (cache/forms.h) lie.
[[nodiscard]] constexpr std::size_t form_of(coding::Coding coding) {
  return static_cast<std::size_t>(coding) - 1;
}

class Encodings {
 public:
  static constexpr std::size_t kMostOrders = 256;
  static constexpr std::uint64_t kMostBytes = 32U << 20U;

  Encodings(cache::Cache& cache, metrics::Registry& registry, const CompressOptions& options);
  Encodings(const Encodings&) = delete;
  Encodings& operator=(const Encodings&) = delete;
  // What was ordered is not made; what has begun is given up.
  ~Encodings() { ending_ = true; }

  // Has the form made, if the object is asked for often enough, its body is whole and there is room.
  void order(const cache::ObjectRef& object, coding::Coding coding);

 private:
  enum class Outcome : std::uint8_t { made, useless, dropped };
  [[nodiscard]] Outcome make(const cache::ObjectRef& object, coding::Coding coding);
  void count(coding::Coding coding, Outcome outcome) {
    outcomes_[form_of(coding)][static_cast<std::size_t>(outcome)]->add_shared();
  }

  cache::Cache& cache_;
  const std::uint64_t largest_;
  std::atomic<bool> ending_{false};
  coding::Coders coders_;  // the thread's
  std::array<std::array<metrics::Counter*, 3>, cache::Forms::kMost> outcomes_{};
  std::atomic<std::uint64_t> waiting_bytes_{0};
  net::Offload thread_{"encodings", 1, kMostOrders};  // ends first
};

}  // namespace headroom::edge
