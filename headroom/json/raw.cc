#include "headroom/json/raw.h"

#include <algorithm>

#include "headroom/json/json.h"

namespace headroom::json {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// Behind the string that begins there.
std::size_t string_end(std::string_view text, std::size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// Walks over a text; never beyond its end.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text) {}

  [[nodiscard]] bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] std::string_view value() {
    skip_space();
    const std::size_t begin = at_;
    std::size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      const bool closes = c == '}' || c == ']';
      if (depth == 0 && (c == ',' || closes || is_space(c))) break;
      if (c == '"') {
        at_ = string_end(text_, at_);
      } else {
        ++at_;
        if (c == '{' || c == '[') ++depth;
        if (closes) --depth;
      }
      const bool is_scalar_going_on = depth == 0 && c != '"' && !closes;
      if (depth == 0 && !is_scalar_going_on) break;
    }
    return text_.substr(begin, at_ - begin);
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// Whether a name as it is written, with its quotes, is that one.
bool is_name(std::string_view written, std::string_view name) {
  if (!written.contains('\\'))
    return written.size() >= 2 && written.substr(1, written.size() - 2) == name;
  const auto meant = parse(written);
  return meant && meant->root().string() == name;
}

}  // namespace

std::string_view raw_member(std::string_view text, std::string_view name) {
  std::string_view found;
  Walk walk(text);
  if (!walk.take('{')) return found;
  for (;;) {
    const std::string_view key = walk.value();
    if (key.empty() || !walk.take(':')) return found;
    const std::string_view value = walk.value();
    if (is_name(key, name)) found = value;
    if (!walk.take(',')) return found;
  }
}

std::string compacted(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = begin;
    while (end < text.size() && !is_space(text[end]))
      end = text[end] == '"' ? string_end(text, end) : end + 1;
    out += text.substr(begin, end - begin);
    for (begin = end; begin < text.size() && is_space(text[begin]);) ++begin;
  }
  return out;
}

}  // namespace headroom::json
