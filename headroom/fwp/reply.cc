#include "headroom/fwp/reply.h"

#include <fmt/format.h>

#include <iterator>

#include "headroom/json/writer.h"

namespace headroom::fwp {
namespace {

constexpr std::size_t kErrorLimit = 500;

void append_line(std::string& out, std::string_view text) {
  for (const char c : text) out += c == '\r' || c == '\n' ? ' ' : c;
  out += "\r\n";
}

}  // namespace

void append_simple(std::string& out, std::string_view text) {
  out += '+';
  append_line(out, text);
}

void append_bulk(std::string& out, std::string_view text) {
  fmt::format_to(std::back_inserter(out), "${}\r\n", text.size());
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
