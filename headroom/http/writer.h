// headroom/http/writer.h - writes heads: start line, fields, empty line, appended to a string that the caller reuses.
//
// Owns: nothing; borrows the string for its life.
// Worker: a value of its connection.
// Invariants: (1) framing is written by the caller from Body, never copied (forward() skips it with every hop-by-hop field); (2) a name that
//   is no token or a value with a control byte never reaches the wire: end() fails and the string is as it was before the head.
// Limits: none of its own; what is written is bounded by what was parsed and by settings.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/http/message.h"

namespace headroom::http {

class HeadWriter {
 public:
  explicit HeadWriter(std::string& out) : out_(out), begin_(out.size()) {}
  HeadWriter(const HeadWriter&) = delete;
  HeadWriter& operator=(const HeadWriter&) = delete;

  // "HTTP/1.1 200 OK"; the usual reason when `reason` is empty.
  void status_line(std::uint16_t status, std::string_view reason = {});
  // "GET /path HTTP/1.1"
  void request_line(std::string_view method, std::string_view target);

  void field(Name name, std::string_view value) { field(to_string(name), value); }
  void field(std::string_view name, std::string_view value);
  void field(Name name, std::uint64_t value);

  // Content-Length, Transfer-Encoding: chunked, or nothing for Body::none and until_close.
  void framing(Body body, std::uint64_t content_length);

  // The fields of a parsed head that `keep(field)` wants, without the hop-by-hop and framing ones. Neighbours that stand in the buffer
  // as they would be written are copied in one piece.
  template <class Keep>
  void forward(const std::vector<Field>& fields, Keep keep);
  void forward(const std::vector<Field>& fields) {
    forward(fields, [](const Field&) { return true; });
  }

  // The empty line. Errc::invalid when a part was not fit for the wire.
  [[nodiscard]] Result<> end();

 private:
  void append(std::string_view a, std::string_view b, std::string_view c, std::string_view d);
  void refuse(std::string_view part);
  // Where the line of `field` ends in its buffer if it is "name: value\r\n" there, else nullptr.
  static const char* canonical_end(const Field& field, const Field& next);
  void line(const Field& field) { append(field.name, ": ", field.value, "\r\n"); }

  std::string& out_;
  const std::size_t begin_;
  std::string wrong_;  // the first part refused
};

// "OK"; "Unknown" for a status that RFC 9110 does not know.
[[nodiscard]] std::string_view reason_of(std::uint16_t status);

// "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate). Format it once a second and keep it.
class HttpDate {
 public:
  explicit HttpDate(std::chrono::sys_seconds when);
  [[nodiscard]] std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 29> text_;
};

// Decimal digits without an allocation.
class Digits {
 public:
  explicit Digits(std::uint64_t value);
  [[nodiscard]] std::string_view view() const {
    return std::string_view(text_.data(), text_.size()).substr(begin_);
  }

 private:
  std::array<char, 20> text_;
  std::size_t begin_;
};

inline const char* HeadWriter::canonical_end(const Field& field, const Field& next) {
  const char* const name_end = field.name.data() + field.name.size();
  const char* const value_end = field.value.data() + field.value.size();
  const bool adjacent = field.value.data() == name_end + 2 && next.name.data() == value_end + 2;
  if (!adjacent || name_end[0] != ':' || name_end[1] != ' ' || value_end[0] != '\r') return nullptr;
  return value_end + 2;
}

template <class Keep>
void HeadWriter::forward(const std::vector<Field>& fields, Keep keep) {
  const char* run = nullptr;  // [run, run_end): whole lines to copy as they stand
  const char* run_end = nullptr;
  const auto flush = [&] {
    if (run != run_end) out_.append(run, static_cast<std::size_t>(run_end - run));
    run = run_end = nullptr;
  };
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field& field = fields[i];
    const bool wanted = !field.hop_by_hop && !is_framing(field.id) && keep(field);
    const char* const end =
        wanted && i + 1 < fields.size() ? canonical_end(field, fields[i + 1]) : nullptr;
    if (end != nullptr) {
      if (run_end != field.name.data()) {
        flush();
        run = field.name.data();
      }
      run_end = end;
      continue;
    }
    flush();
    if (wanted) line(field);
  }
  flush();
}

}  // namespace headroom::http
