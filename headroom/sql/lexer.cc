#include "headroom/sql/lexer.h"

#include <algorithm>
#include <array>
#include <utility>

namespace headroom::sql {
namespace {

using Kind = Token::Kind;

constexpr std::size_t kLongestTime = 64;

// What a character may be, as bits.
constexpr std::uint8_t kBegins = 1, kDigit = 2, kDollar = 4, kSpace = 8;
constexpr std::array<std::uint8_t, 256> kKinds = [] {
  std::array<std::uint8_t, 256> kinds{};
  for (std::size_t c = 0; c < kinds.size(); ++c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80)
      kinds[c] = kBegins;
    if (c >= '0' && c <= '9') kinds[c] = kDigit;
  }
  kinds['$'] = kDollar;
  for (const char c : {' ', '\t', '\n', '\r', '\f'})  // \v is one since PostgreSQL 16 only
    kinds[static_cast<unsigned char>(c)] = kSpace;
  return kinds;
}();
bool is(char c, std::uint8_t kinds) { return (kKinds[static_cast<unsigned char>(c)] & kinds) != 0; }
bool begins_word(char c) { return is(c, kBegins); }
bool is_digit(char c) { return is(c, kDigit); }
bool in_word(char c) { return is(c, kBegins | kDigit | kDollar); }
bool is_space(char c) { return is(c, kSpace); }

}  // namespace

Token Lexer::next() {
  skip();
  if (at_ >= in_.size()) return {};
  if (here('/', '*'))
    return {Kind::other, in_.substr(std::exchange(at_, in_.size()))};  // a comment without an end
  const char c = in_[at_];
  if (c == '\'') return quoted('\'', Kind::string, false);
  if (c == '"') return quoted('"', Kind::quoted, false);
  if (begins_word(c)) return word();
  if (c == '$') return dollar();
  if (is_digit(c)) return number();
  return {Kind::other, in_.substr(at_++, 1)};
}

void Lexer::skip() {
  while (at_ < in_.size()) {
    if (is_space(in_[at_])) {
      ++at_;
    } else if (here('-', '-')) {
      at_ = std::min(in_.find_first_of("\r\n", at_), in_.size());
    } else if (here('/', '*')) {
      if (!skip_comment()) return;
    } else {
      return;
    }
  }
}

bool Lexer::skip_comment() {
  int depth = 0;
  for (std::size_t at = at_; at < in_.size();) {
    const std::string_view two = in_.substr(at, 2);
    if (two == "/*")
      ++depth;
    else if (two == "*/")
      --depth;
    at += two == "/*" || two == "*/" ? 2 : 1;
    if (depth > 0) continue;
    at_ = at;
    return true;
  }
  return false;
}

Token Lexer::quoted(char quote, Kind kind, bool escapes) {
  const std::size_t begin = ++at_;
  while (at_ < in_.size()) {
    if (escapes && in_[at_] == '\\') {
      at_ += 2;
    } else if (in_[at_] != quote) {
      ++at_;
    } else if (at_ + 1 < in_.size() && in_[at_ + 1] == quote) {
      at_ += 2;
    } else if (const std::size_t end = at_++; !escapes || !goes_on()) {
      return {kind, in_.substr(begin, end - begin)};
    }
  }
  at_ = in_.size();
  return {Kind::other,
          in_.substr(begin - 1)};  // without an end it is no literal, and no statement either
}

// Behind a string: the rest of it, behind a line's end and white space (manual, 4.1.2.1). Only where that is read by other rules than a string of its own.
bool Lexer::goes_on() {
  bool line_ends = false;
  for (std::size_t at = at_; at < in_.size(); ++at) {
    if (in_.substr(at, 2) == "--") {
      at = in_.find_first_of("\r\n", at);
      if (at == std::string_view::npos) return false;
    }
    if (in_[at] == '\'') {
      if (line_ends) at_ = at + 1;
      return line_ends;
    }
    if (!is_space(in_[at])) return false;
    line_ends = line_ends || in_[at] == '\n' || in_[at] == '\r';
  }
  return false;
}

Token Lexer::word() {
  const std::size_t begin = at_;
  while (at_ < in_.size() && in_word(in_[at_])) ++at_;
  const std::string_view text = in_.substr(begin, at_ - begin);
  if (text.size() == 1 && at_ < in_.size() && in_[at_] == '\'' && text::lower(text[0]) == 'e')
    return quoted('\'', Kind::string, true);
  return {Kind::word, text};
}

Token Lexer::number() {
  const std::size_t begin = at_;
  const auto digits = [this] {
    while (at_ < in_.size() && is_digit(in_[at_])) ++at_;
  };
  const auto at = [this](std::size_t place) { return place < in_.size() ? in_[place] : '\0'; };
  digits();
  if (at(at_) == '.' && at(at_ + 1) != '.') {
    ++at_;
    digits();
  }
  const bool sign = at(at_ + 1) == '+' || at(at_ + 1) == '-';
  if (text::lower(at(at_)) == 'e' && is_digit(at(at_ + (sign ? 2 : 1)))) {
    at_ += sign ? 2 : 1;
    digits();
  }
  return {
      Kind::number,
      in_.substr(begin, at_ - begin)};  // "1from t" goes on with a word, as before PostgreSQL 15
}

// $1, or $tag$ ... $tag$.
Token Lexer::dollar() {
  std::size_t end = at_ + 1;
  if (end < in_.size() && is_digit(in_[end])) return parameter();
  while (end < in_.size() && in_[end] != '$' && in_word(in_[end])) ++end;
  if (end >= in_.size() || in_[end] != '$') return {Kind::other, in_.substr(at_++, 1)};
  const std::string_view tag = in_.substr(at_, end + 1 - at_);
  const std::size_t begin = at_ + tag.size();
  const std::size_t close = in_.find(tag, begin);
  if (close == std::string_view::npos)
    return {Kind::other, in_.substr(std::exchange(at_, in_.size()))};
  at_ = close + tag.size();
  return {Kind::string, in_.substr(begin, close - begin)};
}

Token Lexer::parameter() {
  const std::size_t begin = at_++;
  while (at_ < in_.size() && is_digit(in_[at_])) ++at_;
  return {Kind::number, in_.substr(begin, at_ - begin)};
}

bool means_now(std::string_view literal) {
  if (literal.size() < 3 || literal.size() > kLongestTime) return false;
  const std::string small = text::lowered(literal);
  constexpr std::array<std::string_view, 4> kWords{"now", "today", "tomorrow", "yesterday"};
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return small.find(word) != std::string::npos; });
}

bool names_server_state(std::string_view literal) {
  constexpr std::array<std::string_view, 2> kNames{"in_hot_standby", "transaction_read_only"};
  return std::ranges::any_of(
      kNames, [&](std::string_view name) { return text::equal_ignoring_case(literal, name); });
}

// In most texts these two bytes do not stand together; in what people write (a JSON string, an address) they may.
bool hides_names(std::string_view text) {
  if (text.find("&\"") == std::string_view::npos) return false;
  Lexer lexer(text);
  Token before, sign;
  for (Token token = lexer.next(); token.kind != Kind::end; token = lexer.next()) {
    const char* const at = token.text.data();
    const bool escaped = before.kind == Kind::word && text::equal_ignoring_case(before.text, "u") &&
                         before.text.data() + 1 == sign.text.data() && sign.is('&');
    if (escaped && token.kind == Kind::quoted && sign.text.data() + 2 == at) return true;
    if (token.is_unfinished()) return true;
    before = std::exchange(sign, token);
  }
  return false;
}

void append_blanked(std::string& text, const Token& token) {
  switch (token.kind) {
    case Kind::word: {
      const std::size_t begin = text.size();
      text.append(token.text);
      for (std::size_t i = begin; i < text.size(); ++i) text[i] = text::lower(text[i]);
      text += ' ';
      return;
    }
    case Kind::quoted: text.append("\"").append(token.text).append("\""); return;
    case Kind::string:
      if (is_told_apart(token.text))
        text.append("\x01")
            .append(std::to_string(token.text.size()))
            .append(":")
            .append(token.text);
      else
        text += '\'';
      return;
    case Kind::number: text += token.text.starts_with('$') ? '$' : '0'; return;
    case Kind::other:
      if (token.is_unfinished()) text += '\x03';
      text += token.text[0];
      return;
    case Kind::end: return;
  }
}

}  // namespace headroom::sql
