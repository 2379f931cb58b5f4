#include "headroom/http/vary.h"

#include <algorithm>
#include <vector>

#include "headroom/base/text.h"
#include "headroom/http/parser.h"

namespace headroom::http {
namespace {

bool is_white(char c) { return c == ' ' || c == '\t'; }

// `value` without white space next to a comma outside quotes.
void append_normalised(std::string_view value, bool small_letters, std::string& key) {
  bool quoted = false;
  bool behind_comma = false;
  for (const char c : value) {
    if (c == '"') quoted = !quoted;
    if (behind_comma && is_white(c)) continue;
    behind_comma = c == ',' && !quoted;
    while (behind_comma && !key.empty() && is_white(key.back())) key.pop_back();
    key += small_letters ? text::lower(c) : c;
  }
}

// "name=value\n" or "name\n" when the request has no such field: an absent field is another than an empty one.
void append_field(std::string_view name, const RequestHead& request, std::string& key) {
  const Name id = name_of(name);
  const bool small = id == Name::accept_language || id == Name::accept_charset;
  key += name;
  char separator = '=';
  for (const Field& field : request.fields) {
    const bool same =
        id == Name::other ? text::equal_ignoring_case(field.name, name) : field.id == id;
    if (!same) continue;
    key += separator;
    append_normalised(field.value, small, key);
    separator = ',';
  }
  key += '\n';
}

}  // namespace

std::optional<std::string> vary_names(const Head& response, const VaryLimits& limits) {
  if (!response.has(Name::vary)) return "";
  std::vector<std::string> names;
  for (const Field& field : response.fields) {
    if (field.id != Name::vary) continue;
    for (const std::string_view name : text::split(field.value, ',')) {
      if (name.empty()) continue;
      if (name == "*" || !is_token(name)) return std::nullopt;
      names.push_back(text::lowered(name));
    }
  }
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  if (names.size() > limits.fields) return std::nullopt;
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ",") + name;
  if (joined.size() > limits.key_bytes) return std::nullopt;
  return joined;
}

bool append_vary_key(std::string_view names, const RequestHead& request,
                     std::string_view accept_encoding, std::string& key, const VaryLimits& limits) {
  const std::size_t before = key.size();
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    const std::string_view name = names.substr(0, comma);
    names.remove_prefix(std::min(comma + 1, names.size()));
    if (name == "accept-encoding") {
      key.append(name).append("=").append(accept_encoding).append("\n");
    } else {
      append_field(name, request, key);
    }
    if (key.size() - before > limits.key_bytes) return false;
  }
  return true;
}

}  // namespace headroom::http
