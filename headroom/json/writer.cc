#include "headroom/json/writer.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <iterator>

#include "headroom/base/assert.h"

namespace headroom::json {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

constexpr unsigned byte_at(std::string_view text, std::size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U;
}

struct Sequence {
  std::size_t size;  // bytes of `text` it stands for
  bool valid;
};

// The UTF-8 sequence at the start of `text`, whose first byte is not ASCII. An invalid one spans
// its maximal valid part, as the Unicode standard (3.9, "U+FFFD substitution of maximal subparts")
// and browsers do.
Sequence sequence_of(std::string_view text) {
  const unsigned lead = byte_at(text, 0);
  std::size_t size = 0;
  if (lead >= 0xC2 && lead <= 0xDF) size = 2;
  if (lead >= 0xE0 && lead <= 0xEF) size = 3;
  if (lead >= 0xF0 && lead <= 0xF4) size = 4;
  if (size == 0) return {1, false};
  const unsigned low = lead == 0xE0 ? 0xA0U : lead == 0xF0 ? 0x90U : 0x80U;
  const unsigned high = lead == 0xED ? 0x9FU : lead == 0xF4 ? 0x8FU : 0xBFU;
  if (byte_at(text, 1) < low || byte_at(text, 1) > high) return {1, false};
  for (std::size_t i = 2; i < size; ++i) {
    if ((byte_at(text, i) & 0xC0U) != 0x80U) return {i, false};
  }
  return {size, true};
}

// True when `text` continues with something that ends or confuses an HTML script: `</` or `<!`.
bool opens_markup(std::string_view text) {
  return text[0] == '<' && (byte_at(text, 1) == '/' || byte_at(text, 1) == '!');
}

void append_ascii(std::string& out, std::string_view rest) {
  const char c = rest[0];
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (static_cast<unsigned char>(c) < 0x20 || c == '\x7f' || opens_markup(rest)) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
  } else {
    out += c;
  }
}

std::size_t append_sequence(std::string& out, std::string_view rest) {
  const auto [size, valid] = sequence_of(rest);
  const std::string_view sequence = rest.substr(0, size);
  if (!valid) {
    out += kReplacement;
  } else if (sequence == "\xE2\x80\xA8" || sequence == "\xE2\x80\xA9") {
    out += sequence.back() == '\xA8' ? "\\u2028" : "\\u2029";
  } else {
    out += sequence;
  }
  return size;
}

bool is_plain(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 0x20 && byte < 0x7f && c != '"' && c != '\\' && c != '<';
}

}  // namespace

void append_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t plain = 0;
    while (plain < text.size() && is_plain(text[plain])) ++plain;
    out += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) break;
    if (byte_at(text, 0) < 0x80) {
      append_ascii(out, text);
      text.remove_prefix(1);
    } else {
      text.remove_prefix(append_sequence(out, text));
    }
  }
  out += '"';
}

void Writer::separate() {
  if (nesting_.empty()) {
    HR_ASSERT(first_);  // one value a document
  } else if (nesting_.back() == Place::after_key) {
    nesting_.back() = Place::object;
  } else {
    HR_ASSERT((nesting_.back() == Place::array));  // in an object a value needs its key
    if (!first_) out_ += ',';
  }
  first_ = false;
}

void Writer::open(Place place, char bracket) {
  separate();
  nesting_.push_back(place);
  out_ += bracket;
  first_ = true;
}

void Writer::close(Place place, char bracket) {
  HR_ASSERT(!nesting_.empty());
  HR_ASSERT((nesting_.back() == place));
  nesting_.pop_back();
  out_ += bracket;
  first_ = false;
}

Writer& Writer::begin_object() { return open(Place::object, '{'), *this; }
Writer& Writer::end_object() { return close(Place::object, '}'), *this; }
Writer& Writer::begin_array() { return open(Place::array, '['), *this; }
Writer& Writer::end_array() { return close(Place::array, ']'), *this; }

Writer& Writer::key(std::string_view name) {
  HR_ASSERT(!nesting_.empty());
  HR_ASSERT((nesting_.back() == Place::object));
  if (!first_) out_ += ',';
  append_string(out_, name);
  out_ += ':';
  nesting_.back() = Place::after_key;
  return *this;
}

Writer& Writer::value(std::string_view text) {
  separate();
  append_string(out_, text);
  return *this;
}

Writer& Writer::integer(std::int64_t number) {
  separate();
  fmt::format_to(std::back_inserter(out_), "{}", number);
  return *this;
}

Writer& Writer::natural(std::uint64_t number) {
  separate();
  fmt::format_to(std::back_inserter(out_), "{}", number);
  return *this;
}

Writer& Writer::value(double number) {
  if (!std::isfinite(number)) return null();
  separate();
  fmt::format_to(std::back_inserter(out_), "{}", number);
  return *this;
}

Writer& Writer::fixed(double number, int digits) {
  HR_ASSERT(digits >= 0);
  HR_ASSERT(digits <= 17);
  if (!std::isfinite(number)) return null();
  separate();
  fmt::format_to(std::back_inserter(out_), "{:.{}f}", number, digits);
  return *this;
}

Writer& Writer::raw(std::string_view json) {
  separate();
  out_ += json;
  return *this;
}

}  // namespace headroom::json
