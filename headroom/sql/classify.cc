#include "headroom/sql/classify.h"

#include <algorithm>
#include <array>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/sql/effects.h"
#include "headroom/sql/lexer.h"
#include "headroom/sql/parse_tree.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kEntry = 128;  // of a decision beside its names and its text

std::size_t size_of(const Decision& decision) {
  std::size_t bytes = sizeof decision + decision.fields.capacity() * sizeof(std::uint64_t);
  for (const auto* names :
       {&decision.reads, &decision.writes, &decision.functions, &decision.applies}) {
    for (const ObjectName& each : *names)
      bytes += sizeof each + each.schema.capacity() + each.name.capacity();
  }
  return bytes;
}

// Where it matters what lies between two tokens: "< =" is not "<=", nor "1from" "1 from"; and of strings in a row some are one.
void append_gap(std::string& text, const Token& before, const Token& token) {
  using Kind = Token::Kind;
  const char* const end = before.text.data() + before.text.size();
  const bool adjacent = token.text.data() == end;
  if (before.kind == Kind::other && token.kind == Kind::other && !adjacent) text += ' ';
  if (before.kind == Kind::number && token.kind != Kind::other && adjacent) text += '\x02';
  if (before.kind == Kind::string && token.kind == Kind::string)
    text.append(end, token.text.data());
}

// The blanked text, which decisions are remembered by.
void append_form(std::string& form, std::string_view text) {
  Lexer lexer(text);
  Blanked list;
  Token before;
  for (Token token = lexer.next();; token = lexer.next()) {
    list.see(token, [&](const Token& each) {
      append_gap(form, before, each);
      append_blanked(form, each);
      before = each;
    });
    if (token.kind == Token::Kind::end) break;
  }
}

// PostgreSQL's lexer reads a run of operator signs to its end, goes back to where the first comment in it begins, and reads on from there: the square of
// the run's length, of which nested comments are made. Strings are read once.
class OperatorRuns {
 public:
  explicit OperatorRuns(std::string_view text) {
    Lexer lexer(text);
    std::size_t at = 0;
    for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
      if (token.kind != Token::Kind::string && token.kind != Token::Kind::quoted) continue;
      const auto begin = static_cast<std::size_t>(token.text.data() - text.data());
      see(text.substr(at, begin - at));
      at = begin + token.text.size();
    }
    see(text.substr(at));
  }
  [[nodiscard]] bool too_long() const { return steps_ > kMostSteps; }

 private:
  static constexpr std::size_t kMostSteps = 4'000'000;  // some milliseconds
  void see(std::string_view text) {
    std::size_t run = 0;
    for (const char c : text) {
      run = std::string_view("~!@#^&|`?+-*/%<>=").contains(c) ? run + 1 : 0;
      steps_ += run;
    }
  }
  std::size_t steps_ = 0;
};

}  // namespace

// Wherever it stands: at worst a read goes to the primary.
bool is_hinted(std::string_view text) { return text.contains("headroom:primary"); }

std::uint64_t fingerprint_of(std::string_view text) {
  std::string form;
  append_form(form, text);
  return hash64(form);
}

std::string_view name_of(Class its_class) {
  constexpr std::array<std::string_view, 6> kNames{"read",  "session", "transaction",
                                                   "write", "schema",  "opaque"};
  return kNames[static_cast<std::size_t>(its_class)];
}

Decision classify(std::string_view text) {
  if (text.size() > Classifier::kLongestParsed || text.find('\0') != std::string_view::npos)
    return {.its_class = Class::opaque, .statements = 1};
  if (OperatorRuns(text).too_long()) return {.its_class = Class::opaque, .statements = 1};
  Decision decision = read_tree(text);
  decision.hinted_primary = is_hinted(text);
  return decision;
}

const DecisionPointer& Classifier::remember(const Form& form, DecisionPointer decision) {
  const std::size_t bytes = kEntry + form.text.size() + size_of(*decision);
  if (young_.bytes + bytes > kRemembered / 2) old_ = std::exchange(young_, {});
  young_.bytes += bytes;
  return young_.by_text.emplace(Key{std::string(form.text), form.hash}, std::move(decision))
      .first->second;
}

DecisionPointer Classifier::decide(std::string_view text, const Form& form) {
  const auto make = [&] {
    Decision made = classify(text);
    made.leaves_nothing = !effects_of(text).any();
    made.fingerprint = form.hash;
    return std::make_shared<const Decision>(std::move(made));
  };
  if (is_hinted(text) || form.text.size() > kLongestRemembered) return make();
  if (const auto found = young_.by_text.find(form); found != young_.by_text.end())
    return found->second;
  if (const auto found = old_.by_text.find(form); found != old_.by_text.end())
    return remember(form, found->second);
  return remember(form, make());
}

Classifier::Form Classifier::form_of(std::string_view text) {
  scratch_.clear();
  append_form(scratch_, text);
  return {scratch_, hash64(scratch_)};
}

DecisionPointer Classifier::decide(std::string_view text) { return decide(text, form_of(text)); }

void Classifier::learn(std::string_view text) {
  const Form form = form_of(text);
  Decision known = *decide(text, form);
  known.refused = true;
  const auto found = young_.by_text.find(form);
  if (found != young_.by_text.end())
    found->second = std::make_shared<const Decision>(std::move(known));
}

bool is_read_by(std::string_view setting) {
  // search_path is not among them: a server looks at what a text was parsed by.
  constexpr auto kRead = std::to_array<std::string_view>(
      {"array_nulls", "backslash_quote", "client_encoding", "datestyle", "intervalstyle",
       "lc_monetary", "standard_conforming_strings", "timezone", "timezone_abbreviations",
       "transform_null_equals", "xmloption"});
  return std::ranges::any_of(
      kRead, [&](std::string_view each) { return text::equal_ignoring_case(each, setting); });
}

bool reads_alike(const postgres::Settings& settings) {
  if (const auto strings = settings.find("standard_conforming_strings");
      strings != settings.end()) {
    const std::string value = text::lowered(strings->second);
    if (value != "on" && value != "true" && value != "yes" && value != "1") return false;
  }
  const auto encoding = settings.find("client_encoding");
  if (encoding == settings.end()) return true;
  std::string name;
  for (const char c : encoding->second) {  // as PostgreSQL does: asyncpg sends it in quotes
    const char small = text::lower(c);
    if ((small >= 'a' && small <= 'z') || (small >= '0' && small <= '9')) name += small;
  }
  // Of Windows' some are SJIS, GBK, UHC and BIG5 by another name.
  for (const std::string_view page : {"932", "936", "949", "950"}) {
    if (name.ends_with(page)) return false;
  }
  return name.starts_with("utf8") || name == "unicode" || name == "sqlascii" ||
         name.starts_with("latin") || name.starts_with("iso8859") || name.starts_with("win") ||
         name.starts_with("koi8") || name.starts_with("euc");
}

}  // namespace headroom::sql
