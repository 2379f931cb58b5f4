#include "headroom/edge/explain.h"

#include <fmt/format.h>

#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

// A member of the dictionary: a string (RFC 9651 3.3.3), with "?" for bytes that it cannot hold.
void append_member(std::string& line, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  line.append(line.ends_with(": ") ? "" : ", ").append(name).append("=\"");
  for (const char c : value) {
    if (c == '"' || c == '\\') line += '\\';
    line += c < 0x20 || c > 0x7e ? '?' : c;
  }
  line += '"';
}

std::string phases_of(const Request& r) {
  std::string text;
  const auto add = [&](std::string_view name, TimePoint from, TimePoint to) {
    if (to == TimePoint{}) return;
    text += fmt::format("{}{} {:.2f} ms", text.empty() ? "" : ", ", name,
                        milliseconds(elapsed(from, to)));
  };
  add("queue", r.began, r.chosen);
  add("connect", r.chosen, r.connected);
  add("first byte", r.connected, r.first_byte);
  return text;
}

std::string_view name_of(Balance balance) {
  for (const auto& each : kBalances) {
    if (each.value == balance) return each.text;
  }
  return {};
}

}  // namespace

void append_explanation(const Request& r, std::string& lines) {
  std::string line = "X-Headroom-Debug: ";
  append_member(line, "route", r.route == nullptr ? std::string_view("none") : r.route->name);
  append_member(line, "client", to_string(r.client));
  append_member(line, "cache", r.cache_status.empty() ? "not asked" : r.cache_status);
  append_member(line, "key", r.place.of_answer());
  append_member(line, "limits", r.limited.explained());
  if (r.server != nullptr) {
    const UpstreamOptions& group = r.group().options();
    append_member(line, "upstream", r.server->spec().text);
    append_member(line, "choice",
                  fmt::format("{} of {} in group {}, attempt {}", name_of(group.balance),
                              r.group().servers().size(), group.name, r.tried.size() + 1));
    append_member(line, "phases", phases_of(r));
  }
  lines.append(line).append("\r\n");
}

}  // namespace headroom::edge
