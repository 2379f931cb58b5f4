#include "headroom/link/trace.h"

namespace headroom::link {
namespace {

constexpr std::size_t kLength = 55;  // of version 00
constexpr std::string_view kDigits = "0123456789abcdef";

std::optional<std::uint64_t> hex(std::string_view text) {
  std::uint64_t value = 0;
  for (const char c : text) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4U | digit;
  }
  return value;
}

void append_hex(std::string& out, std::uint64_t value) {
  for (int shift = 60; shift >= 0; shift -= 4)
    out += kDigits[value >> static_cast<unsigned>(shift) & 0xfU];
}

std::uint64_t not_zero(Random& random) {
  std::uint64_t value = 0;
  while (value == 0) value = random.next();
  return value;
}

}  // namespace

std::optional<TraceContext> parse_trace_context(std::string_view text) {
  if (text.size() < kLength || text[2] != '-' || text[35] != '-' || text[52] != '-')
    return std::nullopt;
  const auto version = hex(text.substr(0, 2));
  if (!version || *version == 0xff || (*version == 0 && text.size() != kLength))
    return std::nullopt;
  if (text.size() > kLength && text[kLength] != '-') return std::nullopt;
  const auto high = hex(text.substr(3, 16));
  const auto low = hex(text.substr(19, 16));
  const auto parent = hex(text.substr(36, 16));
  const auto flags = hex(text.substr(53, 2));
  if (!high || !low || !parent || *parent == 0 || !flags) return std::nullopt;
  const Trace trace{*high, *low};
  if (!trace) return std::nullopt;
  return TraceContext{.trace = trace, .span = *parent, .sampled = (*flags & 1U) != 0};
}

std::optional<Trace> parse_traceparent(std::string_view text) {
  const auto context = parse_trace_context(text);
  return context ? std::optional(context->trace) : std::nullopt;
}

Trace mint(Random& random) { return {not_zero(random), random.next()}; }

std::uint64_t fresh_span(Random& random) { return not_zero(random); }

void append_traceparent(std::string& out, const TraceContext& context) {
  out += "00-";
  append_hex(out, context.trace.high);
  append_hex(out, context.trace.low);
  out += '-';
  append_hex(out, context.span);
  out += context.sampled ? "-01" : "-00";
}

void append_traceparent(std::string& out, const Trace& trace, Random& random) {
  append_traceparent(out, {.trace = trace, .span = not_zero(random), .sampled = false});
}

std::string to_string(const Trace& trace) {
  std::string text;
  append_hex(text, trace.high);
  append_hex(text, trace.low);
  return text;
}

std::string span_text(std::uint64_t span) {
  std::string text;
  append_hex(text, span);
  return text;
}

}  // namespace headroom::link
