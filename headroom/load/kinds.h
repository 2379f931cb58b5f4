// headroom/load/kinds.h - what a plan sends: its requests checked and written out once, before the run. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/load/answer_reader.h"
#include "headroom/load/load.h"
#include "headroom/load/target.h"

namespace headroom::load {

inline constexpr Duration kDurationLimit = std::chrono::hours(1);

// A request as it is sent, but for the filler.
struct Kind {
  std::string bytes;
  double up_to = 1;  // of the sum of weights, from those before it on
  AnswerReader::Body body = AnswerReader::Body::as_framed;
};

// Errc::invalid, saying what is wrong with the plan.
[[nodiscard]] Result<> check(const Plan& plan);

// At least one; of a plan that check() has passed.
[[nodiscard]] std::vector<Kind> kinds_of(const Plan& plan, const Target& target);

}  // namespace headroom::load
