#include "headroom/sql/comment.h"

#include "headroom/base/text.h"
#include "headroom/sql/lexer.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kLongestSetting = 512;
constexpr std::size_t kLongestComment = 4096;
constexpr std::string_view kSpace = " \t\r\n\f\v";

std::string_view without_end(std::string_view text, std::string_view signs) {
  const std::size_t last = text.find_last_not_of(signs);
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

bool is_key(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-%") ==
             std::string_view::npos;
}

}  // namespace

TrailingComment cut_comment(std::string_view text) {
  std::string_view rest = without_end(text, " \t\r\n\f\v;");
  TrailingComment found{.text = text};
  if (!rest.ends_with("*/")) return found;
  const std::size_t begin = rest.rfind("/*");
  if (begin == std::string_view::npos || rest.size() - begin > kLongestComment) return found;
  std::string_view inside = rest.substr(begin + 2, rest.size() - begin - 4);
  if (inside.find("*/") != std::string_view::npos) return found;
  const std::size_t first = inside.find_first_not_of(kSpace);
  inside = without_end(first == std::string_view::npos ? std::string_view() : inside.substr(first),
                       kSpace);
  const std::size_t equals = inside.find("='");
  if (equals == std::string_view::npos || !is_key(inside.substr(0, equals)) ||
      !inside.ends_with('\''))
    return found;
  found.text = without_end(rest.substr(0, begin), kSpace);
  constexpr std::string_view kKey = "traceparent='";
  for (std::size_t at = inside.find(kKey); at != std::string_view::npos;
       at = inside.find(kKey, at + 1)) {
    if (at > 0 && inside[at - 1] != ',' && kSpace.find(inside[at - 1]) == std::string_view::npos)
      continue;
    const std::string_view value = inside.substr(at + kKey.size());
    found.traceparent = value.substr(0, value.find('\''));
    break;
  }
  return found;
}

std::string_view without_comment(std::string_view text) { return cut_comment(text).text; }

bool begins_transaction(std::string_view text) {
  const Token first = Lexer(text).next();
  return first.is("begin") || first.is("start");
}

std::optional<BeginMode> begin_mode(std::string_view text) {
  Lexer lexer(text);
  Token token = lexer.next();
  const bool starts = token.is("start");
  if (!starts && !token.is("begin")) return std::nullopt;
  token = lexer.next();
  if (starts && !token.is("transaction")) return std::nullopt;
  if (token.is("transaction") || (!starts && token.is("work"))) token = lexer.next();
  BeginMode mode;
  const auto next_is = [&](std::string_view word) {
    token = lexer.next();
    return token.is(word);
  };
  for (; token.kind != Token::Kind::end; token = lexer.next()) {
    if (token.is(';'))
      return lexer.next().kind == Token::Kind::end ? std::optional(mode) : std::nullopt;
    if (token.is(',')) continue;
    if (token.is("read")) {
      const bool only = next_is("only");
      if (!only && !token.is("write")) return std::nullopt;
      mode.read_only = only;
      mode.read_write = !only;
    } else if (token.is("isolation")) {
      if (!next_is("level")) return std::nullopt;
      mode.isolation_given = true;
      const bool read = next_is("read");
      const bool serializable = token.is("serializable");
      if (!read && !serializable && !token.is("repeatable")) return std::nullopt;
      mode.read_committed = read && next_is("committed");
      if (!serializable && !read && !next_is("read")) return std::nullopt;
    } else if (!token.is("not") || !next_is("deferrable")) {
      return std::nullopt;  // DEFERRABLE among it, which only SERIALIZABLE heeds
    }
  }
  return mode;
}

std::optional<OwnSetting> own_setting(std::string_view text) {
  if (text.size() > kLongestSetting || text.find("headroom") == std::string_view::npos)
    return std::nullopt;
  Lexer lexer(text);
  Token token = lexer.next();
  const bool resets = token.is("reset");
  if (!resets && !token.is("set")) return std::nullopt;
  OwnSetting setting;
  token = lexer.next();
  setting.local = token.is("local");
  if (setting.local || token.is("session")) token = lexer.next();
  if (!token.is("headroom") || !lexer.next().is('.')) return std::nullopt;
  token = lexer.next();
  if (!token.is("session") && !token.is("traceparent")) return std::nullopt;
  setting.name = text::lowered(token.text);
  if (setting.local && setting.name == "session") return std::nullopt;
  if (!resets) {
    token = lexer.next();
    if (!token.is('=') && !token.is("to")) return std::nullopt;
    token = lexer.next();
    if (token.kind != Token::Kind::string && token.kind != Token::Kind::word &&
        token.kind != Token::Kind::number)
      return std::nullopt;
    if (!token.is("default")) setting.value = token.text;
  }
  token = lexer.next();
  if (token.is(';')) token = lexer.next();
  if (token.kind != Token::Kind::end) return std::nullopt;
  return setting;
}

}  // namespace headroom::sql
