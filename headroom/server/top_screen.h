// headroom/server/top_screen.h - the overview of `headroom top` as lines of text.
//
// Owns: a Sample owns the answers it was made of. Worker and threads: any; no I/O.
// Invariants: (1) no line is longer than the width asked for; (2) what a server said reaches the terminal as printable ASCII only.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/json/json.h"

namespace headroom::server {

// What the admin door answered at one moment; a part that is not there has no lines.
struct TopSample {
  TimePoint at{};
  std::optional<json::Document> overview;
  std::optional<json::Document> now;  // what gives out first, alerts, sentences
  std::optional<json::Document> upstreams;
  std::optional<json::Document> routes;
  std::optional<json::Document> cache;
  std::optional<json::Document> sql;
  std::optional<json::Document> realtime;
  std::optional<json::Document> tasks;
};

enum class Mood : std::uint8_t { plain, title, good, warning, bad };

struct TopLine {
  std::string text;
  Mood mood = Mood::plain;
};

// `before` gives rates; without it (the first look) they are not shown.
[[nodiscard]] std::vector<TopLine> top_lines(const TopSample& now, const TopSample* before,
                                             std::string_view door, std::size_t width);

}  // namespace headroom::server
