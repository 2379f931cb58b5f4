// A line of a take-over's relay: no crash, and what is accepted is written as a line that says the same.
#include "headroom/realtime/relay_line.h"

#include <tuple>

#include "fuzz/input.h"
#include "headroom/base/assert.h"

namespace {

using namespace headroom::realtime;  // NOLINT(google-build-using-namespace)

// What the line's kind has.
auto parts_of(const RelayLine& line) {
  const Publication& what = line.what;
  return std::tie(line.is, what.app, what.channel, what.event, what.data, what.user_id, what.except,
                  what.once, what.number, what.priority, what.form, line.position.epoch,
                  line.position.offset);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto read = read_relay_line(input_text(data, size));
  if (!read) return 0;
  const std::string text = relay_line(*read);
  HR_ASSERT((text.find('\n') == text.size() - 1));
  const auto again = read_relay_line(std::string_view(text).substr(0, text.size() - 1));
  HR_ASSERT(again.has_value());
  HR_ASSERT((parts_of(*again) == parts_of(*read)));
  HR_ASSERT((relay_line(*again) == text));
  return 0;
}
