// headroom/edge/batch.h - POST /_headroom/batch: many requests in one, run side by side, answered in order.
//
// Owns: the count of what its batches hold in memory. Borrows: the way in for inner requests.
// Worker: one; serve() runs in the batch's own request.
// Invariants: (1) each part goes through routing, limits, cache and coalescing as one of the batch's client, and the batch itself is not
//   counted by rate limits; (2) whatever happens to a part is that part's answer; (3) when the client goes, its parts are ended before
//   serve() returns; (4) cookies that parts set are set by the batch's answer, so that no script reads an HttpOnly one; (5) only
//   application/json is taken: no page of another origin can send that unasked.
// Limits: BatchOptions; kMostBatches and kMostHeld bytes of answers a worker, beyond which batches and parts get 503; kMostCookies bytes
//   of cookies.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "headroom/base/metrics.h"
#include "headroom/edge/batch_part.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

struct BatchCells {
  metrics::Cell* answered = nullptr;
  metrics::Cell* refused = nullptr;
  metrics::Cell* gone = nullptr;
  std::array<metrics::Cell*, 6> parts{};  // by the status's first digit; [0] is none
};

class Batch {
 public:
  static constexpr std::string_view kPath = "/_headroom/batch";
  static constexpr std::size_t kMostBatches = 256;
  static constexpr std::uint64_t kMostHeld = 256U << 20U;
  static constexpr std::size_t kMostCookies = 16U << 10U;

  Batch(InnerDoor& door, const BatchCells& cells) : door_(door), cells_(cells) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  // A request for kPath that is no inner one.
  [[nodiscard]] net::Task<> serve(Request& r);

 private:
  struct Run;

  [[nodiscard]] net::Task<bool> refuse(Request& r);
  [[nodiscard]] net::Task<Result<std::string>> read(Request& r);
  [[nodiscard]] net::Task<> run_parts(Run& run);
  [[nodiscard]] net::Task<> lane(Run& run, net::TaskGroup& group, net::Event& done);
  [[nodiscard]] net::Task<std::string> answer(Run& run, InnerClient& client, BatchPart& part);
  [[nodiscard]] std::string written(Run& run, const BatchPart& part, const InnerAnswer& answer);
  [[nodiscard]] std::string refused(const PartRefusal& refusal);
  [[nodiscard]] net::Task<> reply(Run& run);

  InnerDoor& door_;
  const BatchCells cells_;
  std::size_t open_ = 0;
  std::uint64_t held_ = 0;
};

}  // namespace headroom::edge
