// headroom/sql/lexer.h - where the words of a statement begin and end, and the statement with its literals blanked.
//
// Owns: nothing; a Lexer borrows the text. Threads: none.
// Invariants: (1) the text is read by PostgreSQL's lexical rules (manual, 4.1; standard_conforming_strings on), so that a word inside of a
//   string or a comment is no word; (2) it ends on every input, each token being a part of the text; (3) two texts with the same blanked text
//   differ in literals (but those of is_told_apart()), white space, comments and the case of unquoted words only, and in how long lists of
//   literals are.
// Limits: the text's own length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/text.h"

namespace headroom::sql {

struct Token {
  enum class Kind : std::uint8_t { end, word, quoted, string, number, other };
  [[nodiscard]] bool is_literal() const { return kind == Kind::string || kind == Kind::number; }
  // A string, an identifier or a comment without its end: no statement, and what is in it may be a literal's.
  [[nodiscard]] bool is_unfinished() const {
    return kind == Kind::other && (text.size() > 1 || text[0] == '\'' || text[0] == '"');
  }
  Kind kind = Kind::end;
  std::string_view text{};  // of quoted and string: between the quotes, as written
  [[nodiscard]] bool is(std::string_view word) const {
    return kind == Kind::word && text::equal_ignoring_case(text, word);
  }
  [[nodiscard]] bool is(char symbol) const { return kind == Kind::other && text[0] == symbol; }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : in_(text) {}
  Token next();

 private:
  [[nodiscard]] bool here(char first, char second) const {
    return in_[at_] == first && at_ + 1 < in_.size() && in_[at_ + 1] == second;
  }
  void skip();
  [[nodiscard]] bool goes_on();
  [[nodiscard]] bool skip_comment();  // false: it has no end, and nothing is skipped
  Token quoted(char quote, Token::Kind kind, bool escapes);
  Token word();
  Token number();
  Token dollar();
  Token parameter();

  std::string_view in_;
  std::size_t at_ = 0;
};

// Whether it has an identifier in escapes (U&"d\0061t"), whose name is not read here, or an end that is not found.
[[nodiscard]] bool hides_names(std::string_view text);
// Whether a string means the time at which it is read: 'now', 'tomorrow 12:00'.
[[nodiscard]] bool means_now(std::string_view literal);
// Whether it names a setting by which a primary is told from a standby.
[[nodiscard]] bool names_server_state(std::string_view literal);
// Whether a text with this string is another one than with any other.
[[nodiscard]] inline bool is_told_apart(std::string_view literal) {
  return means_now(literal) || names_server_state(literal);
}

// The tokens of a text one after the other, a list of literals as its first.
class Blanked {
 public:
  // Calls take(token) for each token that counts.
  template <class Take>
  void see(const Token& token, Take take) {
    if (held_comma_ && token.is_literal() && !is_told_apart(token.text)) {
      held_comma_ = false;
      return;
    }
    if (held_comma_) take(Token{Token::Kind::other, ","});
    held_comma_ = false;
    if (after_literal_ && token.is(',')) {
      held_comma_ = true;
      return;
    }
    after_literal_ = token.is_literal();
    if (token.kind != Token::Kind::end) take(token);
  }

 private:
  bool after_literal_ = false;
  bool held_comma_ = false;
};

// Appends what stands for `token` in a blanked text (invariant 3).
void append_blanked(std::string& text, const Token& token);

}  // namespace headroom::sql
