// Field values of caching with a byte changed, dropped or doubled: what must hold for any bytes holds for these.
#include <gtest/gtest.h>

#include "headroom/http/caching_checks.h"

namespace headroom::http {
namespace {

TEST(CachingFields, MutatedHoldWhatHoldsForAnyBytes) {
  for (const std::string_view sample :
       {"no-cache=\"a, b\", max-age=60, s-maxage=\"7\", max-stale, min-fresh=3",
        "a=1, b=\"x\\\"\";p=2, c=(1 2.5 ?1), d=@17", "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "\x01\x02\x03\x04\x05\x06\x07\x08"
        "bytes=0-4,-1, 7-"}) {
    for (std::size_t at = 0; at < sample.size(); ++at) {
      for (const char c : std::string_view("\"\\,=;-0 \t*")) {
        for (const std::size_t removed : {0U, 1U}) {
          const std::string text =
              std::string(sample.substr(0, at)) + c + std::string(sample.substr(at + removed));
          checks::check_cache_control(text);
          checks::check_structured(text);
          checks::check_range(text);
        }
      }
    }
  }
}

}  // namespace
}  // namespace headroom::http
