#include "fuzz/input.h"
#include "headroom/http/codec_checks.h"

// The first byte chooses the method of the request answered.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using headroom::http::Method;
  if (size == 0) return 0;
  static constexpr Method kMethods[] = {Method::get, Method::head, Method::connect, Method::post};
  headroom::http::checks::check_response(input_text(data, size).substr(1), kMethods[data[0] % 4]);
  return 0;
}
