#include "headroom/edge/request_id.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "headroom/base/assert.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kLongest = 128;

std::uint64_t seed_of_kernel() {
  std::uint64_t seed = 0;
  HR_ASSERT(getrandom(&seed, sizeof seed, 0) == static_cast<ssize_t>(sizeof seed));
  return seed;
}

bool is_sane(std::string_view id) {
  static constexpr auto kAllowed = [] {
    std::array<bool, 256> allowed{};
    for (const char c :
         std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")) {
      allowed[static_cast<unsigned char>(c)] = true;
    }
    return allowed;
  }();
  return !id.empty() && id.size() <= kLongest &&
         std::ranges::all_of(id, [](char c) { return kAllowed[static_cast<unsigned char>(c)]; });
}

void write_hex(std::uint64_t value, char* to) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = 15; i >= 0; --i, value >>= 4U) to[i] = kDigits[value & 15U];
}

}  // namespace

RequestIds::RequestIds(Random& worker) : worker_(worker), own_(seed_of_kernel()) {}

std::string RequestIds::take(std::string_view received) {
  if (is_sane(received)) return std::string(received);
  std::string id(32, '0');
  write_hex(own_.next(), id.data());
  write_hex(worker_.next(), id.data() + 16);
  return id;
}

}  // namespace headroom::edge
