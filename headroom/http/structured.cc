#include "headroom/http/structured.h"

#include <algorithm>

namespace headroom::http::structured {
namespace {

constexpr std::size_t kMostMembers = 64;
constexpr unsigned kIntegerDigits = 15;
constexpr unsigned kWholeDigits = 12;  // of a decimal
constexpr unsigned kFractionDigits = 3;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_small(char c) { return c >= 'a' && c <= 'z'; }
constexpr bool is_letter(char c) { return is_small(c) || (c >= 'A' && c <= 'Z'); }
constexpr bool is_key_char(char c) {
  return is_small(c) || is_digit(c) || c == '_' || c == '-' || c == '.' || c == '*';
}
constexpr bool is_token_char(char c) {
  return is_letter(c) || is_digit(c) || std::string_view("!#$%&'*+-.^_`|~:/").contains(c);
}
constexpr bool is_base64_char(char c) {
  return is_letter(c) || is_digit(c) || c == '+' || c == '/' || c == '=';
}
constexpr bool is_small_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }

// Reads from the front. Each function says whether what it is named after stood there.
class Parser {
 public:
  explicit Parser(std::string_view text) : left_(text) { skip(" "); }

  bool at_end() {
    if (left_.empty()) return true;
    if (left_.find_first_not_of(' ') != std::string_view::npos) return false;
    left_ = {};
    return true;
  }
  bool take(char c) {
    if (!left_.starts_with(c)) return false;
    left_.remove_prefix(1);
    return true;
  }
  // A comma between members, with the white space around it; there must be a member behind it.
  bool separator() {
    skip(" \t");
    if (!take(',')) return false;
    skip(" \t");
    return !left_.empty();
  }

  bool key(std::string_view& key) {
    if (left_.empty() || (!is_small(left_[0]) && left_[0] != '*')) return false;
    key = run(is_key_char);
    return true;
  }

  // An item or an inner list, with its parameters.
  bool member(Value& value) {
    if (!take('(')) return item(value);
    value = {Kind::inner_list, 0, {}};
    for (;;) {
      skip(" ");
      if (take(')')) return parameters();
      Value inner;
      if (!item(inner)) return false;
      if (!left_.starts_with(' ') && !left_.starts_with(')')) return false;
    }
  }

  bool parameters() {
    while (take(';')) {
      skip(" ");
      std::string_view name;
      Value value;
      if (!key(name) || (take('=') && !bare_item(value))) return false;
    }
    return true;
  }

 private:
  template <class Is>
  std::string_view run(Is is) {
    const auto end = std::ranges::find_if_not(left_, is) - left_.begin();
    const std::string_view found = left_.substr(0, static_cast<std::size_t>(end));
    left_.remove_prefix(found.size());
    return found;
  }
  void skip(std::string_view characters) {
    left_.remove_prefix(std::min(left_.find_first_not_of(characters), left_.size()));
  }

  bool item(Value& value) { return bare_item(value) && parameters(); }

  bool bare_item(Value& value) {
    if (left_.empty()) return false;
    const char c = left_[0];
    if (is_digit(c) || c == '-') return number(value);
    if (is_letter(c) || c == '*') {
      value = {Kind::token, 0, run(is_token_char)};
      return true;
    }
    left_.remove_prefix(1);
    switch (c) {
      case '"': return string(value);
      case '?': return boolean(value);
      case ':': return bytes(value);
      case '@':
        return number(value) && value.kind == Kind::integer && (value.kind = Kind::date, true);
      case '%': return take('"') && display_string(value);
      default: return false;
    }
  }

  bool number(Value& value) {
    const bool negative = take('-');
    const std::string_view whole = run(is_digit);
    if (whole.empty() || whole.size() > kIntegerDigits) return false;
    value = {Kind::integer, 0, {}};
    for (const char c : whole) value.integer = value.integer * 10 + (c - '0');
    if (negative) value.integer = -value.integer;
    if (!take('.')) return true;
    value.kind = Kind::decimal;
    const std::string_view fraction = run(is_digit);
    return whole.size() <= kWholeDigits && !fraction.empty() && fraction.size() <= kFractionDigits;
  }

  bool string(Value& value) {
    for (std::size_t at = 0; at < left_.size(); ++at) {
      const char c = left_[at];
      if (c == '"') {
        value = {Kind::string, 0, left_.substr(0, at)};
        left_.remove_prefix(at + 1);
        return true;
      }
      if (c < 0x20 || c > 0x7e) return false;
      if (c != '\\') continue;
      ++at;
      if (at == left_.size() || (left_[at] != '"' && left_[at] != '\\')) return false;
    }
    return false;
  }

  bool boolean(Value& value) {
    value = {Kind::boolean, left_.starts_with('1') ? 1 : 0, {}};
    return take('0') || take('1');
  }

  bool bytes(Value& value) {
    value = {Kind::bytes, 0, {}};
    run(is_base64_char);
    return take(':');
  }

  bool display_string(Value& value) {
    value = {Kind::display_string, 0, {}};
    while (!left_.empty()) {
      const char c = left_[0];
      left_.remove_prefix(1);
      if (c == '"') return true;
      if (c < 0x20 || c > 0x7e) return false;
      if (c != '%') continue;
      if (left_.size() < 2 || !is_small_hex(left_[0]) || !is_small_hex(left_[1])) return false;
      left_.remove_prefix(2);
    }
    return false;
  }

  std::string_view left_;
};

void put(std::vector<Member>& members, const Member& member) {
  const auto known = std::ranges::find(members, member.key, &Member::key);
  if (known != members.end()) members.erase(known);
  members.push_back(member);
}

}  // namespace

std::string Value::text() const {
  std::string plain;
  for (std::size_t at = 0; at < raw.size(); ++at) {
    if (raw[at] == '\\' && at + 1 < raw.size()) ++at;
    plain += raw[at];
  }
  return plain;
}

std::optional<std::vector<Member>> parse_dictionary(std::string_view field) {
  Parser parser(field);
  std::vector<Member> members;
  if (parser.at_end()) return members;
  do {
    Member member;
    if (!parser.key(member.key)) return std::nullopt;
    const bool fine = parser.take('=') ? parser.member(member.value) : parser.parameters();
    if (!fine) return std::nullopt;
    put(members, member);
    if (members.size() > kMostMembers) return std::nullopt;
    if (parser.at_end()) return members;
  } while (parser.separator());
  return std::nullopt;
}

std::optional<std::vector<Value>> parse_list(std::string_view field) {
  Parser parser(field);
  std::vector<Value> values;
  if (parser.at_end()) return values;
  do {
    Value value;
    if (!parser.member(value) || values.size() == kMostMembers) return std::nullopt;
    values.push_back(value);
    if (parser.at_end()) return values;
  } while (parser.separator());
  return std::nullopt;
}

}  // namespace headroom::http::structured
