#include "fuzz/input.h"
#include "headroom/sql/effects.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)headroom::sql::effects_of(input_text(data, size));
  return 0;
}
