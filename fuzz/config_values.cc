// The values of settings from any text, and a whole settings file: no crash, and what is shown
// reads back the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/config/config.h"

namespace {

using namespace headroom;  // NOLINT(google-build-using-namespace)

struct Options {
  bool flag = false;
  std::int32_t count = 0;
  double share = 0;
  Duration wait{};
  Bytes size;
  std::optional<config::Rate> rate;
  config::Address listen;
  std::vector<std::string> names;
  std::map<std::string, std::string> roles;
  std::string password;
};

const config::Schema& schema() {
  static const config::Schema schema = [] {
    using config::Reload;
    config::Section<Options> s("a", "Every type.");
    s.setting("flag", &Options::flag, "true", Reload::live, "");
    s.setting("count", &Options::count, "0", Reload::live, "", config::between(-5, 5));
    s.setting("share", &Options::share, "0", Reload::live, "");
    s.setting("wait", &Options::wait, "0", Reload::live, "");
    s.setting("size", &Options::size, "0", Reload::live, "");
    s.setting("rate", &Options::rate, "", Reload::live, "");
    s.setting("listen", &Options::listen, ":0", Reload::live, "");
    s.setting("names", &Options::names, "", Reload::live, "");
    s.setting("roles", &Options::roles, "", Reload::live, "");
    s.secret("password", &Options::password, "", Reload::live, "");
    config::Schema made;
    made.add(s);
    return made;
  }();
  return schema;
}

template <class T>
void check_value(std::string_view text) {
  const auto value = config::Value<T>::parse(text);
  if (!value) return;
  const auto again = config::Value<T>::parse(config::Value<T>::show(*value));
  HR_ASSERT((again == value));
}

void check_file(const std::string& text) {
  const auto settings = schema().load({.file = config::Document{"f", text}});
  if (!settings) return;
  static_cast<void>((*settings)->to_json());
  HR_ASSERT(config::differences(**settings, **settings).empty());
}

void check_assignment(std::string_view text) {
  const auto assignment = config::parse_assignment(text);
  if (assignment) static_cast<void>(schema().load({.flags = {*assignment, *assignment}}));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_value<bool>(text);
  check_value<std::int64_t>(text);
  check_value<double>(text);
  check_value<Duration>(text);
  check_value<Bytes>(text);
  check_value<config::Rate>(text);
  check_value<config::Address>(text);
  static_cast<void>(config::without_password(text));
  check_file(std::string(text));
  check_assignment(text);
  return 0;
}
