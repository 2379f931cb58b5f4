#include "headroom/base/bytes.h"

#include <array>
#include <utility>

namespace headroom {

std::string to_string(Bytes bytes) {
  static constexpr std::array<std::pair<std::uint64_t, const char*>, 4> kUnits{
      {{1ULL << 40U, "TiB"}, {1ULL << 30U, "GiB"}, {1ULL << 20U, "MiB"}, {1ULL << 10U, "KiB"}}};
  for (const auto& [size, unit] : kUnits) {
    if (bytes.count >= size && bytes.count % size == 0) {
      return std::to_string(bytes.count / size) + unit;
    }
  }
  return std::to_string(bytes.count) + "B";
}

}  // namespace headroom
