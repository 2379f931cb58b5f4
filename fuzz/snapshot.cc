#include "headroom/sql/snapshot.h"

#include "fuzz/input.h"
#include "headroom/sql/catalogue.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = input_text(data, size);
  if (const auto snapshot = headroom::sql::Snapshot::parse(text))
    (void)snapshot->sees(static_cast<std::uint32_t>(size));
  (void)headroom::sql::parse_search_path(text, "user");
  return 0;
}
