#include "headroom/postgres/decoded.h"

#include <charconv>
#include <optional>

#include "headroom/base/text.h"

namespace headroom::postgres {
namespace {

bool take(std::string_view& rest, std::string_view word) {
  if (!rest.starts_with(word)) return false;
  rest.remove_prefix(word.size());
  return true;
}

// An identifier as quote_identifier() writes it.
std::optional<std::string> take_identifier(std::string_view& rest) {
  std::string name;
  if (!take(rest, "\"")) {
    const std::size_t end = std::min(rest.find_first_of(".:, \""), rest.size());
    if (end == 0) return std::nullopt;
    name = rest.substr(0, end);
    rest.remove_prefix(end);
    return name;
  }
  for (;;) {
    const std::size_t quote = rest.find('"');
    if (quote == std::string_view::npos) return std::nullopt;
    name += rest.substr(0, quote);
    rest.remove_prefix(quote + 1);
    if (!take(rest, "\"")) break;
    name += '"';
  }
  if (name.empty()) return std::nullopt;
  return name;
}

std::optional<std::uint32_t> take_number(std::string_view& rest) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return value;
}

Decoded boundary(Decoded::Kind kind, std::string_view rest) {
  const auto xid = take_number(rest);
  if (!xid || !rest.empty()) return {};
  return {.kind = kind, .xid = *xid};
}

Decoded change(std::string_view rest) {
  Decoded made{.kind = Decoded::Kind::change};
  do {
    auto schema = take_identifier(rest);
    if (!schema || !take(rest, ".")) return {};
    auto name = take_identifier(rest);
    if (!name || made.tables.size() >= kMostNames) return {};
    made.tables.push_back({std::move(*schema), std::move(*name)});
  } while (take(rest, ", "));
  if (!take(rest, ": ")) return {};
  const bool one = take(rest, "INSERT:") || take(rest, "UPDATE:") || take(rest, "DELETE:");
  if (one ? made.tables.size() != 1 : !take(rest, "TRUNCATE:")) return {};
  return made;
}

Decoded message(std::string_view rest) {
  if (!take(rest, "0 prefix: ") && !take(rest, "1 prefix: ")) return {};
  const std::size_t end = rest.find(", sz: ");
  if (end == std::string_view::npos) return {};
  Decoded made{.kind = Decoded::Kind::message, .prefix = std::string(rest.substr(0, end))};
  rest.remove_prefix(end + 6);
  const auto size = take_number(rest);
  if (!size || !take(rest, " content:") || rest.size() > *size) return {};
  made.content = rest;
  return made;
}

}  // namespace

Decoded parse_decoded(std::string_view line) {
  if (take(line, "BEGIN ")) return boundary(Decoded::Kind::begin, line);
  if (take(line, "COMMIT ")) return boundary(Decoded::Kind::commit, line);
  if (take(line, "table ")) return change(line);
  if (take(line, "message: transactional: ")) return message(line);
  return {};
}

std::uint64_t parse_position(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return 0;
  std::uint32_t high = 0;
  std::uint32_t low = 0;
  const auto read = [](std::string_view part, std::uint32_t& value) {
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, 16);
    return error == std::errc() && end == part.data() + part.size();
  };
  if (!read(text.substr(0, slash), high) || !read(text.substr(slash + 1), low)) return 0;
  return std::uint64_t{high} << 32U | low;
}

}  // namespace headroom::postgres
