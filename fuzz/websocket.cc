#include "fuzz/input.h"
#include "headroom/websocket/decoder_checks.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  headroom::websocket::checks::check_decoder(input_text(data, size));
  return 0;
}
