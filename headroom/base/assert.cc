#include "headroom/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace headroom::assertion {

void failed(const char* expression, const std::string& operands, std::source_location where) {
  fmt::print(stderr, "headroom: bug: {}:{}: {} does not hold ({})\n", where.file_name(),
             where.line(), expression, operands);
  std::fflush(stderr);
  std::abort();
}

}  // namespace headroom::assertion
