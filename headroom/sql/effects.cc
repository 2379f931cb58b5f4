#include "headroom/sql/effects.h"

#include <array>

#include "headroom/base/text.h"
#include "headroom/sql/classify.h"
#include "headroom/sql/lexer.h"

namespace headroom::sql {
namespace {

constexpr std::array<std::string_view, 9> kPinNames{
    "LISTEN",         "temporary table", "cursor WITH HOLD", "session advisory lock", "PREPARE",
    "loaded library", "session setting", "large statement",  "session mode"};

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
    if (statements_ > 1 && effects_.reads_otherwise) effects_.pins |= pin::kSetting;
    return std::move(effects_);
  }

 private:
  void advance() { token_ = lexer_.next(); }
  [[nodiscard]] bool ended() const { return token_.kind == Token::Kind::end || token_.is(';'); }
  bool take(std::string_view word) {
    if (!token_.is(word)) return false;
    advance();
    return true;
  }

  void statement() {
    if (take("set"))
      set();
    else if (take("reset"))
      reset();
    else if (take("discard"))
      discard();
    else if (take("listen"))
      effects_.pins |= pin::kListen;
    else if (take("unlisten"))
      effects_.unpins |= token_.is('*') ? pin::kListen : 0;
    else if (take("prepare"))
      effects_.pins |= token_.is("transaction") ? 0 : pin::kPrepare;
    else if (take("deallocate"))
      deallocate();
    else if (take("close"))
      effects_.unpins |= token_.is("all") ? pin::kHold : 0;
    else if (take("load"))
      effects_.pins |= pin::kLoad;
    else if (take("declare"))
      declare();
    else if (take("create"))
      create();
    else if (take("update"))
      updates_ = true;
    while (!ended()) expression();
    updates_ = false;
  }
  // A function's name in quotes is the same function.
  [[nodiscard]] bool names(std::string_view name) const {
    return token_.is(name) || (token_.kind == Token::Kind::quoted && token_.text == name);
  }

  // SET [SESSION | LOCAL] name = ..., SET TIME ZONE ..., SET ROLE ..., SET SESSION AUTHORIZATION ...
  void set() {
    if (token_.is("transaction") || token_.is("constraints")) return;
    const bool local = take("local");
    if (!local && take("session") && token_.is("authorization")) {
      effects_.pins |= pin::kSetting;
      return;
    }
    (local ? effects_.sets_local : effects_.sets) = true;
    effects_.reads_otherwise = effects_.reads_otherwise || changes_reading();
    effects_.sets = effects_.sets || effects_.reads_otherwise;
    const std::string name = setting_name(local);
    effects_.reading = effects_.reading || is_read_by(name);
    if (!take("to") && token_.is('=')) advance();
    if (ended() || token_.is("default") || (name == "timezone" && token_.is("local")))
      effects_.defaults.push_back({name, local});
  }
  void reset() {
    if (take("all")) {
      effects_.resets_all = true;
      return;
    }
    effects_.sets = true;
    effects_.reads_otherwise = effects_.reads_otherwise || decides_reading(token_.text);
    const std::string name = setting_name(false);
    effects_.reading = effects_.reading || is_read_by(name);
    effects_.defaults.push_back({name, false});
  }
  [[nodiscard]] static bool decides_reading(std::string_view name) {
    return text::equal_ignoring_case(name, "client_encoding") ||
           text::equal_ignoring_case(name, "standard_conforming_strings") ||
           text::equal_ignoring_case(name, "names");
  }
  // At the name of what is set: whether it is one of those, and its value may be another than the one by which this is read.
  [[nodiscard]] bool changes_reading() const {
    if (!decides_reading(token_.text)) return false;
    const bool encoding = !text::equal_ignoring_case(token_.text, "standard_conforming_strings");
    Lexer ahead = lexer_;
    Token value = ahead.next();
    if (value.is('=') || value.is("to")) value = ahead.next();
    const bool known = value.kind == Token::Kind::word || value.is_literal();
    if (!known || value.text.find('\\') != std::string_view::npos) return true;
    return !reads_alike(
        {{encoding ? "client_encoding" : "standard_conforming_strings", std::string(value.text)}});
  }
  // What pg_settings does not list: role, and names with a point in them, which are an extension's; in quotes as well.
  [[nodiscard]] static bool is_unlisted(std::string_view name) {
    return name.find('.') != std::string_view::npos || text::equal_ignoring_case(name, "role");
  }
  // In lower case, behind it.
  std::string setting_name(bool local) {
    if (take("time")) {
      (void)take("zone");
      return "timezone";
    }
    if (take("names")) return "client_encoding";
    std::string name =
        text::equal_ignoring_case(token_.text, "role") ? "role" : std::string(token_.text);
    advance();
    while (token_.is('.')) {
      advance();
      name += '.';
      name += token_.text;
      advance();
    }
    if (!local && is_unlisted(name)) effects_.named.push_back(name);
    return text::lowered(name);
  }
  void discard() {
    if (token_.is("all")) {
      effects_.resets_all = effects_.drops_statements = true;
      effects_.unpins |= pin::kListen | pin::kTemporary | pin::kHold | pin::kAdvisory |
                         pin::kPrepare | pin::kSetting | pin::kLarge;
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
      if (take("commit"))
        drops = drops || token_.is("drop");
      else
        expression();
    }
    if (!drops) effects_.pins |= pin::kTemporary;
  }

  void expression() {
    if (token_.kind != Token::Kind::word && token_.kind != Token::Kind::quoted) return advance();
    if (names("set_config")) return set_config();
    if (names("pg_advisory_unlock_all"))
      effects_.unpins |= pin::kAdvisory;
    else if (names("pg_advisory_lock") || names("pg_advisory_lock_shared") ||
             names("pg_try_advisory_lock") || names("pg_try_advisory_lock_shared"))
      effects_.pins |= pin::kAdvisory;
    else if (updates_ && names("pg_settings"))
      effects_.sets = effects_.reads_otherwise = true;  // a rule makes set_config() of it
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
    Token before;
    Token last;
    bool is_literal =
        name.kind == Token::Kind::string && name.text.find('\\') == std::string_view::npos;
    unsigned read = 0;
    for (int depth = 1; !ended() && depth > 0; advance()) {
      if (token_.is('('))
        ++depth;
      else if (token_.is(')'))
        --depth;
      if (read++ == 1) is_literal = is_literal && token_.is(',');
      if (depth == 0) break;
      before = last;
      last = token_;
    }
    advance();
    effects_.reading = effects_.reading || (is_literal && is_read_by(name.text));
    const bool alone = before.is(',');
    const bool decides = name.kind == Token::Kind::string && decides_reading(name.text);
    if (alone && last.is("true") && !decides) return;
    effects_.sets = true;
    effects_.reads_otherwise = effects_.reads_otherwise || decides || !is_literal;
    if (decides && alone && last.is("true")) return;
    // Else its value would stay behind unseen.
    if (!is_literal || !alone || !last.is("false"))
      effects_.pins |= pin::kSetting;
    else if (is_unlisted(name.text))
      effects_.named.emplace_back(name.text);
  }

  Lexer lexer_;
  Token token_;
  Effects effects_;
  int statements_ = 0;
  bool updates_ = false;
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
  sets_local = sets_local || other.sets_local;
  reads_otherwise = reads_otherwise || other.reads_otherwise;
  named.insert(named.end(), other.named.begin(), other.named.end());
  resets_all = resets_all || other.resets_all;
  drops_statements = drops_statements || other.drops_statements;
  pins |= other.pins;
  unpins |= other.unpins;
}

// A name that is not read may be set_config's or pg_advisory_lock's.
Effects effects_of(std::string_view text) {
  Effects found = Scan(text).run();
  if (hides_names(text))
    found.merge({.sets = true, .reads_otherwise = true, .pins = pin::kSetting});
  return found;
}

std::string normalised(std::string_view text) {
  std::string made;
  Lexer lexer(text);
  Blanked blanked;
  const char* end = nullptr;  // of the sign before
  const auto append = [&made, &end](const Token& token) {
    const bool sign = token.kind == Token::Kind::other;
    const bool joined = sign && token.text.data() == end;  // of one operator
    end = sign ? token.text.data() + token.text.size() : nullptr;
    const bool tight = joined || token.is(',') || token.is(')') || token.is('.') || token.is(';') ||
                       (!made.empty() && (made.back() == '(' || made.back() == '.'));
    if (!made.empty() && !tight) made += ' ';
    if (token.is_literal() || token.is_unfinished())
      made += '?';
    else if (token.kind == Token::Kind::quoted)
      made.append("\"").append(token.text).append("\"");
    else
      made += token.text;
  };
  for (Token token = lexer.next();; token = lexer.next()) {
    blanked.see(token, append);
    if (token.kind == Token::Kind::end) break;
  }
  return made;
}

}  // namespace headroom::sql
