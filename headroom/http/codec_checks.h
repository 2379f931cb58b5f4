// headroom/http/codec_checks.h - what must hold for any bytes whatever; the mutation test and the fuzzers call these. Tests only.
//
// Each check parses `bytes` whole and cut in two at a place that the bytes themselves choose, in two buffers, and ends the process
// (HR_ASSERT) when the outcomes differ, when a view points outside its buffer, or when what was read is not what is written back.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/http/chunked.h"
#include "headroom/http/parser.h"
#include "headroom/http/path.h"
#include "headroom/http/proxy_protocol.h"
#include "headroom/http/writer.h"

namespace headroom::http::checks {

inline std::size_t place_to_cut(std::string_view bytes) {
  return bytes.empty() ? 0 : hash64(bytes) % bytes.size();
}

inline bool is_inside(std::string_view view, std::string_view buffer) {
  return view.empty() || (view.data() >= buffer.data() &&
                          view.data() + view.size() <= buffer.data() + buffer.size());
}

inline void same_outcome(const Parsed& a, const Parsed& b) {
  HR_ASSERT(static_cast<int>(a.state) == static_cast<int>(b.state));
  HR_ASSERT(a.size == b.size);
  HR_ASSERT(a.refusal.status == b.refusal.status);
  HR_ASSERT(std::string_view(a.refusal.reason) == std::string_view(b.refusal.reason));
}

// Everything of a head that does not depend on where it is.
inline std::string shown(const Head& head) {
  std::string text =
      fmt::format("1.{} body {} length {} {} {} upgrade '{}'\n", head.minor_version,
                  static_cast<int>(head.body), head.has_content_length, head.content_length,
                  head.keep_alive ? "keep" : "close", head.upgrade);
  for (const Field& field : head.fields) {
    text += fmt::format("{} {} {}: {}\n", static_cast<int>(field.id), field.hop_by_hop, field.name,
                        field.value);
  }
  return text;
}
inline std::string shown(const RequestHead& head) {
  return fmt::format("{} {} {} '{}' '{}' '{}' '{}' {}\n", static_cast<int>(head.method),
                     head.method_text, head.target, head.authority, head.path_and_query, head.path,
                     head.query, head.expect_continue) +
         shown(static_cast<const Head&>(head));
}
inline std::string shown(const ResponseHead& head) {
  return fmt::format("{} {}\n", head.status, head.reason) + shown(static_cast<const Head&>(head));
}

// Parses the first `cut` bytes in one buffer, then all in another.
template <class AnyHead, class Parse>
Parsed parse_in_two(std::string_view bytes, std::size_t cut, AnyHead& head, std::string& second,
                    Parse parse) {
  ScanState state;
  const std::string first(bytes.substr(0, cut));
  second = bytes;
  const Parsed early = parse(std::string_view(first), state, head);
  if (early.state == Parsed::State::refused) return early;
  if (early.state == Parsed::State::complete) state = {};
  return parse(std::string_view(second), state, head);
}

inline void fields_are_sound(const Head& head, std::string_view buffer) {
  for (const Field& field : head.fields) {
    HR_ASSERT(is_inside(field.name, buffer));
    HR_ASSERT(is_inside(field.value, buffer));
    HR_ASSERT(is_token(field.name));
    HR_ASSERT(is_field_value(field.value));
    HR_ASSERT(static_cast<int>(field.id) == static_cast<int>(name_of(field.name)));
  }
}

inline void check_chunked(std::string_view bytes);

inline void check_request(std::string_view bytes) {
  const HeadLimits limits;
  const auto parse = [&](std::string_view input, ScanState& state, RequestHead& into) {
    return parse_request_head(input, limits, state, into);
  };
  RequestHead whole;
  ScanState state;
  const Parsed parsed = parse(bytes, state, whole);
  RequestHead cut;
  std::string buffer;
  same_outcome(parsed, parse_in_two(bytes, place_to_cut(bytes), cut, buffer, parse));
  if (parsed.state != Parsed::State::complete) return;
  HR_ASSERT(parsed.size <= bytes.size());
  HR_ASSERT(shown(whole) == shown(cut));
  fields_are_sound(cut, buffer);
  HR_ASSERT(is_inside(cut.target, buffer));
  HR_ASSERT(is_inside(cut.authority, buffer));
  HR_ASSERT((cut.path.empty() || cut.path.front() == '/' || cut.path == "*"));

  std::string again;
  HeadWriter writer(again);
  writer.request_line(whole.method_text, whole.target);
  for (const Field& field : whole.fields) writer.field(field.name, field.value);
  HR_ASSERT(writer.end().has_value());
  if (whole.minor_version == 0) again[again.find("\r\n") - 1] = '0';
  RequestHead reread;
  ScanState fresh;
  const Parsed second = parse(again, fresh, reread);
  // Written back it may be longer: a space behind each colon.
  if (again.size() > limits.head_bytes) return;
  HR_ASSERT(second.state == Parsed::State::complete);
  HR_ASSERT(shown(whole) == shown(reread));
  if (whole.body == Body::chunked) check_chunked(bytes.substr(parsed.size));
}

inline void check_response(std::string_view bytes, Method method) {
  const HeadLimits limits;
  const auto parse = [&](std::string_view input, ScanState& state, ResponseHead& into) {
    return parse_response_head(input, limits, state, method, into);
  };
  ResponseHead whole;
  ScanState state;
  const Parsed parsed = parse(bytes, state, whole);
  ResponseHead cut;
  std::string buffer;
  same_outcome(parsed, parse_in_two(bytes, place_to_cut(bytes), cut, buffer, parse));
  if (parsed.state != Parsed::State::complete) return;
  HR_ASSERT(shown(whole) == shown(cut));
  fields_are_sound(cut, buffer);
  HR_ASSERT(is_inside(cut.reason, buffer));

  std::string forwarded;
  HeadWriter writer(forwarded);
  writer.status_line(whole.status, whole.reason);
  writer.framing(whole.body, whole.content_length);
  writer.forward(whole.fields);
  HR_ASSERT(writer.end().has_value());
  ResponseHead reread;
  ScanState fresh;
  const Parsed second = parse(forwarded, fresh, reread);
  if (forwarded.size() > limits.head_bytes || whole.status == 101 || second.refusal.status != 0)
    return;
  HR_ASSERT(second.state == Parsed::State::complete);
  HR_ASSERT(static_cast<int>(reread.body) == static_cast<int>(whole.body));
}

struct ChunkedOutcome {
  std::string data;
  std::string trailers;
  std::size_t consumed = 0;
  int status = 0;
  bool finished = false;
  bool operator==(const ChunkedOutcome&) const = default;
};

// Reads `bytes` in pieces of `piece` bytes.
inline ChunkedOutcome read_chunked(std::string_view bytes, std::size_t piece) {
  ChunkedReader reader;
  ChunkedOutcome outcome;
  for (std::size_t at = 0; at < bytes.size() && !outcome.finished && outcome.status == 0;) {
    std::string_view input = bytes.substr(at, piece);
    at += input.size();
    while (!input.empty()) {
      const ChunkedReader::Step step = reader.step(input);
      HR_ASSERT(step.consumed <= input.size());
      HR_ASSERT(is_inside(step.data, input.substr(0, step.consumed)));
      outcome.data += step.data;
      outcome.consumed += step.consumed;
      outcome.status = step.refusal.status;
      outcome.finished = step.finished;
      if (step.finished || step.refusal || step.consumed == 0) break;
      input.remove_prefix(step.consumed);
    }
  }
  for (const Field& field : reader.trailers())
    outcome.trailers += fmt::format("{}: {}\n", field.name, field.value);
  return outcome;
}

inline void check_chunked(std::string_view bytes) {
  const ChunkedOutcome whole = read_chunked(bytes, std::max<std::size_t>(1, bytes.size()));
  HR_ASSERT(whole == read_chunked(bytes, 1));
  HR_ASSERT(whole == read_chunked(bytes, 1 + place_to_cut(bytes)));
}

inline void check_proxy_protocol(std::string_view bytes) {
  ProxyAddresses addresses;
  const Parsed parsed = parse_proxy_header(bytes, addresses);
  ProxyAddresses early;
  const Parsed part = parse_proxy_header(bytes.substr(0, place_to_cut(bytes)), early);
  if (part.state != Parsed::State::incomplete) same_outcome(part, parsed);
  if (parsed.state != Parsed::State::complete) return;
  HR_ASSERT(parsed.size <= bytes.size());
  for (const auto append : {append_proxy_v1, append_proxy_v2}) {
    std::string again;
    append(again, addresses);
    ProxyAddresses reread;
    const Parsed second = parse_proxy_header(again, reread);
    HR_ASSERT(second.size == again.size());
    HR_ASSERT(reread == addresses);
  }
}

inline void check_path(std::string_view bytes) {
  std::string scratch;
  const auto once = normalised_path(bytes, scratch);
  if (!once || once->empty() || *once == "*") return;
  HR_ASSERT(once->front() == '/');
  HR_ASSERT(!once->contains("//"));
  HR_ASSERT(!once->contains("/../"));
  HR_ASSERT(!once->contains("/./"));
  std::string second_scratch;
  const auto twice = normalised_path(*once, second_scratch);
  HR_ASSERT(twice.has_value());
  HR_ASSERT(*twice == *once);
}

}  // namespace headroom::http::checks
