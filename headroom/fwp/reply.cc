#include "headroom/fwp/reply.h"

#include <array>
#include <charconv>

#include "headroom/json/writer.h"

namespace headroom::fwp {
namespace {

constexpr std::size_t kErrorLimit = 500;

// Clients read lines as UTF-8, and what they sent may be told to them again.
void append_line(std::string& out, std::string_view text) {
  for (const char c : text) out += c == '\r' || c == '\n' ? ' ' : c >= ' ' && c <= '~' ? c : '?';
  out += "\r\n";
}

}  // namespace

void append_simple(std::string& out, std::string_view text) {
  out += '+';
  append_line(out, text);
}

void append_bulk(std::string& out, std::string_view text) {
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), text.size()).ptr;
  out.reserve(out.size() + text.size() + digits.size() + 5);
  out += '$';
  out.append(digits.data(), end);
  out += "\r\n";
  out += text;
  out += "\r\n";
}

void append_error(std::string& out, std::string_view kind, std::string_view message) {
  out += '-';
  out += kind;
  out += ' ';
  append_line(out, message.substr(0, kErrorLimit));
}

std::string greeting(std::string_view salt, std::uint32_t rounds) {
  std::string line = "+HI ";
  json::Writer json(line);
  json.begin_object().field("v", 2);
  if (!salt.empty()) json.field("i", rounds).field("s", salt);
  json.end_object();
  return line + "\r\n";
}

}  // namespace headroom::fwp
