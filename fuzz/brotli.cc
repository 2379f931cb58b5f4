#include "fuzz/input.h"
#include "headroom/coding/codec_checks.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  headroom::coding::checks::check_decoder(headroom::coding::Coding::br, input_text(data, size));
  return 0;
}
