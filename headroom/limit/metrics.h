// headroom/limit/metrics.h - the table of the limits' metrics.
#pragma once

#include <array>
#include <span>

#include "headroom/base/metrics.h"

namespace headroom::limit {

using metrics::Family;
using metrics::Kind;

inline constexpr Family kAllowed{"headroom_limit_allowed_total",
                                 Kind::counter,
                                 "Requests that passed a rule and were let in.",
                                 {"rule"}};
inline constexpr Family kRefused{
    "headroom_limit_refused_total", Kind::counter, "Requests that a rule refused.", {"rule"}};
inline constexpr Family kShadowRefused{"headroom_limit_shadow_refused_total",
                                       Kind::counter,
                                       "Requests that a rule in shadow mode would have refused.",
                                       {"rule"}};
inline constexpr Family kShared{
    "headroom_limit_shared_total",
    Kind::counter,
    "Requests of new subjects that had to share a count, because the table was full.",
    {"rule"}};
inline constexpr Family kEvicted{
    "headroom_limit_evicted_total",
    Kind::counter,
    "Subjects whose place was given to another; their history had expired.",
    {"rule"}};
inline constexpr Family kSubjects{"headroom_limit_subjects",
                                  Kind::gauge,
                                  "Subjects that have a place, expired ones too.",
                                  {"rule"}};
inline constexpr Family kTokens{
    "headroom_limit_tokens_total",
    Kind::counter,
    "JWTs that were looked at: known (verified before), verified, refused.",
    {"result"}};

inline constexpr std::array<const Family*, 7> kFamilies{
    &kAllowed, &kRefused, &kShadowRefused, &kShared, &kEvicted, &kSubjects, &kTokens};
[[nodiscard]] constexpr std::span<const Family* const> all_families() { return kFamilies; }

}  // namespace headroom::limit
