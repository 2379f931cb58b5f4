// JSON texts: no crash, and what is accepted is written as a text that means the same.
#include "headroom/json/json.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/json/writer.h"

namespace {

using namespace headroom;  // NOLINT(google-build-using-namespace)

void copy(json::Value from, json::Writer& to) {
  switch (from.kind()) {
    case json::Kind::null: to.null(); return;
    case json::Kind::boolean: to.value(*from.boolean()); return;
    case json::Kind::string: to.value(*from.string()); return;
    case json::Kind::number:
      if (const auto whole = from.integer()) {
        to.value(*whole);
      } else {
        to.value(from.number().value_or(0));
      }
      return;
    case json::Kind::array:
      to.begin_array();
      for (std::size_t i = 0; i < from.size(); ++i) copy(from.item(i), to);
      to.end_array();
      return;
    case json::Kind::object:
      to.begin_object();
      from.each_member([&to](std::string_view name, json::Value member) {
        to.key(name);
        copy(member, to);
      });
      to.end_object();
      return;
  }
}

std::string copied(json::Value value) {
  std::string text;
  json::Writer writer(text);
  copy(value, writer);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto document = json::parse(text);
  std::string quoted;
  json::append_string(quoted, text);
  HR_ASSERT(json::parse(quoted, {.bytes = Bytes::mib(16)}).has_value());
  if (!document) return 0;
  const std::string once = copied(document->root());
  const auto again = json::parse(once, {.bytes = Bytes::mib(16)});
  HR_ASSERT(again.has_value());
  HR_ASSERT(copied(again->root()).size() > 0U);
  return 0;
}
