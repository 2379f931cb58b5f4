#pragma once
#include "headroom/base/hash.h"
#include <fmt/format.h>
namespace headroom::edge {
class RequestIds { public: explicit RequestIds(Random& r) : r_(r) {} std::string take(std::string_view) { return fmt::format("{:016x}{:016x}", r_.next(), r_.next()); } private: Random& r_; };
}
