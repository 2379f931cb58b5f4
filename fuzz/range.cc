#include "fuzz/input.h"
#include "headroom/http/caching_checks.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  headroom::http::checks::check_range(input_text(data, size));
  return 0;
}
