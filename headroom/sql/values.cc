#include "headroom/sql/values.h"

namespace headroom::sql {

std::string literal(std::string_view text) {
  std::string made = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') made += c;
    if (c != '\0') made += c;
  }
  return made += '\'';
}

std::string identifier(std::string_view name) {
  std::string made = "\"";
  for (const char c : name) {
    if (c == '.')
      made += "\".\"";
    else if (c == '"')
      made += "\"\"";
    else if (c != '\0')
      made += c;
  }
  return made += '"';
}

}  // namespace headroom::sql
