#include "headroom/config/config.h"

#include <gtest/gtest.h>

namespace headroom::config {
namespace {
struct Edge {
  Address listen;
  Duration timeout{};
};
TEST(Config, Loads) {
  Section<Edge> s("edge", "The HTTP proxy.");
  s.setting("listen", &Edge::listen, "0.0.0.0:8080", Reload::restart, "Where clients connect.");
  s.setting("timeout", &Edge::timeout, "10s", Reload::live, "How long.", between(1ms, 3600s));
  Schema schema;
  schema.add(s);
  const auto settings =
      schema.load({.file = Document{"a.toml", "[edge]\ntimeout = \"2h\"\nlisen=3"}});
  ASSERT_FALSE(settings);
}
}  // namespace
}  // namespace headroom::config
