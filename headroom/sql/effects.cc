#include "headroom/sql/effects.h"

#include <array>

#include "headroom/base/text.h"

namespace headroom::sql {
namespace {

constexpr std::array<std::string_view, 9> kPinNames{"LISTEN",           "temporary table",   "cursor WITH HOLD",    "session advisory lock", "PREPARE",
                                                    "loaded library", "session setting", "large statement", "session mode"};

bool begins_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (static_cast<unsigned char>(c) & 0x80U) != 0; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool in_word(char c) { return begins_word(c) || is_digit(c) || c == '$'; }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

struct Token {
  enum class Kind : std::uint8_t { end, word, quoted, string, number, other };
  [[nodiscard]] bool is_literal() const { return kind == Kind::string || kind == Kind::number; }
  Kind kind = Kind::end;
  std::string_view text{};  // of quoted and string: between the quotes, as written
  [[nodiscard]] bool is(std::string_view word) const { return kind == Kind::word && text::equal_ignoring_case(text, word); }
  [[nodiscard]] bool is(char symbol) const { return kind == Kind::other && text[0] == symbol; }
};

// PostgreSQL's lexical rules, as far as they say where words begin and end (manual, 4.1).
class Lexer {
 public:
  explicit Lexer(std::string_view text) : in_(text) {}

  Token next() {
    skip();
    if (at_ >= in_.size()) return {};
    const char c = in_[at_];
    if (c == '\'') return quoted('\'', Token::Kind::string, false);
    if (c == '"') return quoted('"', Token::Kind::quoted, false);
    if (begins_word(c)) return word();
    if (c == '$') return dollar();
    if (is_digit(c)) return number();
    return {Token::Kind::other, in_.substr(at_++, 1)};
  }

 private:
  void skip() {
    while (at_ < in_.size()) {
      if (is_space(in_[at_])) ++at_;
      else if (in_.substr(at_, 2) == "--") at_ = std::min(in_.find('\n', at_), in_.size());
      else if (in_.substr(at_, 2) == "/*") skip_comment();
      else return;
    }
  }
  void skip_comment() {
    int depth = 0;
    while (at_ < in_.size()) {
      const std::string_view two = in_.substr(at_, 2);
      if (two == "/*") ++depth;
      else if (two == "*/") --depth;
      at_ += two == "/*" || two == "*/" ? 2 : 1;
      if (depth == 0) return;
    }
  }
  Token quoted(char quote, Token::Kind kind, bool escapes) {
    const std::size_t begin = ++at_;
    while (at_ < in_.size()) {
      if (escapes && in_[at_] == '\\') {
        at_ += 2;
      } else if (in_[at_] != quote) {
        ++at_;
      } else if (at_ + 1 < in_.size() && in_[at_ + 1] == quote) {
        at_ += 2;
      } else {
        return {kind, in_.substr(begin, at_++ - begin)};
      }
    }
    at_ = in_.size();
    return {kind, in_.substr(begin)};
  }
  Token word() {
    const std::size_t begin = at_;
    while (at_ < in_.size() && in_word(in_[at_])) ++at_;
    const std::string_view text = in_.substr(begin, at_ - begin);
    if (text.size() == 1 && at_ < in_.size() && in_[at_] == '\'' && text::lower(text[0]) == 'e') return quoted('\'', Token::Kind::string, true);
    return {Token::Kind::word, text};
  }
  Token number() {
    const std::size_t begin = at_;
    while (at_ < in_.size() && (in_word(in_[at_]) || in_[at_] == '.')) ++at_;
    return {Token::Kind::number, in_.substr(begin, at_ - begin)};
  }
  // $1, or $tag$ ... $tag$.
  Token dollar() {
    std::size_t end = at_ + 1;
    if (end < in_.size() && is_digit(in_[end])) return number_after_dollar();
    while (end < in_.size() && in_[end] != '$' && in_word(in_[end])) ++end;
    if (end >= in_.size() || in_[end] != '$') return {Token::Kind::other, in_.substr(at_++, 1)};
    const std::string_view tag = in_.substr(at_, end + 1 - at_);
    const std::size_t begin = at_ + tag.size();
    const std::size_t close = in_.find(tag, begin);
    at_ = close == std::string_view::npos ? in_.size() : close + tag.size();
    return {Token::Kind::string, in_.substr(std::min(begin, in_.size()), close == std::string_view::npos ? close : close - begin)};
  }
  Token number_after_dollar() {
    const std::size_t begin = at_++;
    while (at_ < in_.size() && is_digit(in_[at_])) ++at_;
    return {Token::Kind::number, in_.substr(begin, at_ - begin)};
  }

  std::string_view in_;
  std::size_t at_ = 0;
};

// The tokens of a text one after the other, a list of literals as its first.
class Blanked {
 public:
  // Calls take(token) for each token that counts.
  template <class Take>
  void see(const Token& token, Take take) {
    if (held_comma_ && token.is_literal()) {
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

constexpr std::uint64_t kPrime = 0x100000001b3ULL;  // FNV-1a's

void mix(std::uint64_t& hash, const Token& token) {
  hash = (hash ^ static_cast<std::uint64_t>(token.kind) ^ 0x80U) * kPrime;
  if (token.is_literal()) return;
  for (const char c : token.text) hash = (hash ^ static_cast<unsigned char>(token.kind == Token::Kind::word ? text::lower(c) : c)) * kPrime;
}

class Scan {
 public:
  explicit Scan(std::string_view text) : lexer_(text) { advance(); }

  Effects run() {
    while (token_.kind != Token::Kind::end) {
      if (token_.is(';')) {
        advance();
        continue;
      }
      ++statements_;
      statement();
    }
    if (statements_ != 1) effects_.deallocates.clear();
    effects_.fingerprint = hash_;
    return std::move(effects_);
  }

 private:
  void advance() {
    token_ = lexer_.next();
    blanked_.see(token_, [this](const Token& token) { mix(hash_, token); });
  }
  [[nodiscard]] bool ended() const { return token_.kind == Token::Kind::end || token_.is(';'); }
  bool take(std::string_view word) {
    if (!token_.is(word)) return false;
    advance();
    return true;
  }

  void statement() {
    if (take("set")) set();
    else if (take("reset")) reset();
    else if (take("discard")) discard();
    else if (take("listen")) effects_.pins |= pin::kListen;
    else if (take("unlisten")) effects_.unpins |= token_.is('*') ? pin::kListen : 0;
    else if (take("prepare")) effects_.pins |= token_.is("transaction") ? 0 : pin::kPrepare;
    else if (take("deallocate")) deallocate();
    else if (take("close")) effects_.unpins |= token_.is("all") ? pin::kHold : 0;
    else if (take("load")) effects_.pins |= pin::kLoad;
    else if (take("declare")) declare();
    else if (take("create")) create();
    while (!ended()) expression();
  }

  // SET [SESSION | LOCAL] name = ..., SET TIME ZONE ..., SET ROLE ..., SET SESSION AUTHORIZATION ...
  void set() {
    if (take("local") || token_.is("transaction") || token_.is("constraints")) return;
    if (take("session") && token_.is("authorization")) {
      effects_.pins |= pin::kSetting;
      return;
    }
    effects_.sets = true;
    if (token_.is("role")) effects_.named.emplace_back("role");
    else custom_name();
  }
  void reset() {
    if (take("all")) {
      effects_.resets_all = true;
      return;
    }
    effects_.sets = true;
    if (token_.is("role")) effects_.named.emplace_back("role");
    else custom_name();
  }
  // The name of an extension's setting has a point in it.
  void custom_name() {
    std::string name(token_.text);
    advance();
    if (!token_.is('.')) return;
    while (token_.is('.')) {
      advance();
      name += '.';
      name += token_.text;
      advance();
    }
    effects_.named.push_back(std::move(name));
  }
  void discard() {
    if (token_.is("all")) {
      effects_.resets_all = effects_.drops_statements = true;
      effects_.unpins |= pin::kListen | pin::kTemporary | pin::kHold | pin::kAdvisory | pin::kPrepare | pin::kSetting | pin::kLarge;
    } else if (token_.is("temp") || token_.is("temporary")) {
      effects_.unpins |= pin::kTemporary;
    }
  }
  void deallocate() {
    (void)take("prepare");
    if (token_.is("all")) {
      effects_.drops_statements = true;
      effects_.unpins |= pin::kPrepare;
    } else if (token_.kind == Token::Kind::word) {
      effects_.deallocates = text::lowered(token_.text);
    } else if (token_.kind == Token::Kind::quoted) {
      effects_.deallocates = token_.text;
    }
  }
  void declare() {
    while (!ended() && !token_.is("for")) {
      if (take("with") && token_.is("hold")) effects_.pins |= pin::kHold;
      if (!ended() && !token_.is("for") && !token_.is("with")) advance();
    }
  }
  void create() {
    if (!take("global")) (void)take("local");
    if (!token_.is("temp") && !token_.is("temporary")) return;
    bool drops = false;
    while (!ended()) {
      if (take("commit")) drops = drops || token_.is("drop");
      else expression();
    }
    if (!drops) effects_.pins |= pin::kTemporary;
  }

  void expression() {
    if (token_.kind != Token::Kind::word) return advance();
    if (token_.is("set_config")) return set_config();
    if (token_.is("pg_advisory_unlock_all")) effects_.unpins |= pin::kAdvisory;
    else if (token_.is("pg_advisory_lock") || token_.is("pg_advisory_lock_shared") || token_.is("pg_try_advisory_lock") ||
             token_.is("pg_try_advisory_lock_shared"))
      effects_.pins |= pin::kAdvisory;
    const bool into = token_.is("into");
    advance();
    if (into && (token_.is("temp") || token_.is("temporary"))) effects_.pins |= pin::kTemporary;
  }

  // set_config(name, value, is_local): local ones end with the transaction.
  void set_config() {
    advance();
    if (!token_.is('(')) return;
    advance();
    const Token name = token_;
    Token last;
    for (int depth = 1; !ended() && depth > 0; advance()) {
      if (token_.is('(')) ++depth;
      else if (token_.is(')')) --depth;
      if (depth > 0) last = token_;
    }
    if (last.is("true")) return;
    effects_.sets = true;
    if (name.kind != Token::Kind::string) effects_.pins |= pin::kSetting;  // whose value would stay behind unseen
    else if (name.text.find('.') != std::string_view::npos || text::equal_ignoring_case(name.text, "role")) effects_.named.emplace_back(name.text);
  }

  Lexer lexer_;
  Token token_;
  Effects effects_;
  Blanked blanked_;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
  int statements_ = 0;
};

}  // namespace

std::string describe_pins(std::uint16_t pins) {
  std::string text;
  for (std::size_t i = 0; i < kPinNames.size(); ++i) {
    if ((pins >> i & 1U) == 0) continue;
    if (!text.empty()) text += ", ";
    text += kPinNames[i];
  }
  return text;
}

void Effects::merge(const Effects& other) {
  sets = sets || other.sets;
  named.insert(named.end(), other.named.begin(), other.named.end());
  resets_all = resets_all || other.resets_all;
  drops_statements = drops_statements || other.drops_statements;
  pins |= other.pins;
  unpins |= other.unpins;
}

Effects effects_of(std::string_view text) { return Scan(text).run(); }

std::string normalised(std::string_view text) {
  std::string made;
  Lexer lexer(text);
  Blanked blanked;
  const auto append = [&made](const Token& token) {
    const bool tight = token.is(',') || token.is(')') || token.is('.') || token.is(';') || (!made.empty() && (made.back() == '(' || made.back() == '.'));
    if (!made.empty() && !tight) made += ' ';
    if (token.is_literal()) made += '?';
    else if (token.kind == Token::Kind::quoted) made.append("\"").append(token.text).append("\"");
    else made += token.text;
  };
  for (Token token = lexer.next();; token = lexer.next()) {
    blanked.see(token, append);
    if (token.kind == Token::Kind::end) break;
  }
  return made;
}

}  // namespace headroom::sql
