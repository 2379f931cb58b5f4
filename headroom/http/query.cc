#include "headroom/http/query.h"

#include <algorithm>

namespace headroom::http {
namespace {

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const bool whole = text.size() - i > 2;
      const int high = whole ? digit(text[i + 1]) : -1;
      const int low = whole ? digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(Errc::invalid, "a broken escape in the query");
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

}  // namespace

Result<QueryFields> query_fields(std::string_view query) {
  QueryFields fields;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.empty()) continue;
    if (fields.size() == kMostQueryFields)
      return fail(Errc::invalid, "too many fields in the query");
    const std::size_t equals = std::min(one.find('='), one.size());
    auto name = decoded(one.substr(0, equals));
    if (!name) return pass(name);
    auto value = decoded(one.substr(std::min(equals + 1, one.size())));
    if (!value) return pass(value);
    fields.emplace_back(std::move(*name), std::move(*value));
  }
  return fields;
}

std::optional<std::string_view> find_field(const QueryFields& fields, std::string_view name) {
  const auto at = std::ranges::find(
      fields, name, [](const auto& field) { return std::string_view(field.first); });
  if (at == fields.end()) return std::nullopt;
  return at->second;
}

}  // namespace headroom::http
