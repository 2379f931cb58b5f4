#include "headroom/postgres/decoded.h"

#include "fuzz/input.h"
#include "headroom/base/assert.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = input_text(data, size);
  const auto decoded = headroom::postgres::parse_decoded(text);
  if (decoded.kind == headroom::postgres::Decoded::Kind::change) {
    HR_ASSERT((!decoded.tables.empty() && decoded.tables.size() <= headroom::postgres::kMostNames));
    for (const auto& table : decoded.tables)
      HR_ASSERT((!table.schema.empty() && !table.name.empty()));
  }
  (void)headroom::postgres::parse_position(text);
  return 0;
}
