// The head of a copy on disk, with its sum set right so that what is behind the sum is reached.
#include <cstring>
#include <string>

#include "fuzz/input.h"
#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/cache/disk_file.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(input_text(data, size));
  static_cast<void>(headroom::cache::parse_head(bytes));
  if (bytes.size() < headroom::cache::kHeadStart) return 0;
  const std::uint64_t sum =
      headroom::hash64(std::string_view(bytes).substr(headroom::cache::kHeadStart));
  std::memcpy(bytes.data() + 8, &sum, sizeof sum);
  const auto head = headroom::cache::parse_head(bytes);
  if (head) HR_ASSERT(headroom::cache::write_head(*head).size() == bytes.size());
  return 0;
}
