#include "fuzz/input.h"
#include "headroom/http/codec_checks.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  headroom::http::checks::check_request(input_text(data, size));
  return 0;
}
