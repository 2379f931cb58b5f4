#include "headroom/http/writer.h"

#include <algorithm>
#include <cstring>

#include "headroom/http/parser.h"

namespace headroom::http {
namespace {

struct Status {
  std::uint16_t code;
  std::string_view line;
};

// Sorted by code. The reason is behind the ninth byte and the code.
constexpr std::array kStatuses{
    Status{100, "HTTP/1.1 100 Continue\r\n"},
    Status{101, "HTTP/1.1 101 Switching Protocols\r\n"},
    Status{102, "HTTP/1.1 102 Processing\r\n"},
    Status{103, "HTTP/1.1 103 Early Hints\r\n"},
    Status{200, "HTTP/1.1 200 OK\r\n"},
    Status{201, "HTTP/1.1 201 Created\r\n"},
    Status{202, "HTTP/1.1 202 Accepted\r\n"},
    Status{203, "HTTP/1.1 203 Non-Authoritative Information\r\n"},
    Status{204, "HTTP/1.1 204 No Content\r\n"},
    Status{205, "HTTP/1.1 205 Reset Content\r\n"},
    Status{206, "HTTP/1.1 206 Partial Content\r\n"},
    Status{207, "HTTP/1.1 207 Multi-Status\r\n"},
    Status{208, "HTTP/1.1 208 Already Reported\r\n"},
    Status{226, "HTTP/1.1 226 IM Used\r\n"},
    Status{300, "HTTP/1.1 300 Multiple Choices\r\n"},
    Status{301, "HTTP/1.1 301 Moved Permanently\r\n"},
    Status{302, "HTTP/1.1 302 Found\r\n"},
    Status{303, "HTTP/1.1 303 See Other\r\n"},
    Status{304, "HTTP/1.1 304 Not Modified\r\n"},
    Status{307, "HTTP/1.1 307 Temporary Redirect\r\n"},
    Status{308, "HTTP/1.1 308 Permanent Redirect\r\n"},
    Status{400, "HTTP/1.1 400 Bad Request\r\n"},
    Status{401, "HTTP/1.1 401 Unauthorized\r\n"},
    Status{402, "HTTP/1.1 402 Payment Required\r\n"},
    Status{403, "HTTP/1.1 403 Forbidden\r\n"},
    Status{404, "HTTP/1.1 404 Not Found\r\n"},
    Status{405, "HTTP/1.1 405 Method Not Allowed\r\n"},
    Status{406, "HTTP/1.1 406 Not Acceptable\r\n"},
    Status{407, "HTTP/1.1 407 Proxy Authentication Required\r\n"},
    Status{408, "HTTP/1.1 408 Request Timeout\r\n"},
    Status{409, "HTTP/1.1 409 Conflict\r\n"},
    Status{410, "HTTP/1.1 410 Gone\r\n"},
    Status{411, "HTTP/1.1 411 Length Required\r\n"},
    Status{412, "HTTP/1.1 412 Precondition Failed\r\n"},
    Status{413, "HTTP/1.1 413 Content Too Large\r\n"},
    Status{414, "HTTP/1.1 414 URI Too Long\r\n"},
    Status{415, "HTTP/1.1 415 Unsupported Media Type\r\n"},
    Status{416, "HTTP/1.1 416 Range Not Satisfiable\r\n"},
    Status{417, "HTTP/1.1 417 Expectation Failed\r\n"},
    Status{421, "HTTP/1.1 421 Misdirected Request\r\n"},
    Status{422, "HTTP/1.1 422 Unprocessable Content\r\n"},
    Status{423, "HTTP/1.1 423 Locked\r\n"},
    Status{424, "HTTP/1.1 424 Failed Dependency\r\n"},
    Status{425, "HTTP/1.1 425 Too Early\r\n"},
    Status{426, "HTTP/1.1 426 Upgrade Required\r\n"},
    Status{428, "HTTP/1.1 428 Precondition Required\r\n"},
    Status{429, "HTTP/1.1 429 Too Many Requests\r\n"},
    Status{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
    Status{451, "HTTP/1.1 451 Unavailable For Legal Reasons\r\n"},
    Status{500, "HTTP/1.1 500 Internal Server Error\r\n"},
    Status{501, "HTTP/1.1 501 Not Implemented\r\n"},
    Status{502, "HTTP/1.1 502 Bad Gateway\r\n"},
    Status{503, "HTTP/1.1 503 Service Unavailable\r\n"},
    Status{504, "HTTP/1.1 504 Gateway Timeout\r\n"},
    Status{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
    Status{506, "HTTP/1.1 506 Variant Also Negotiates\r\n"},
    Status{507, "HTTP/1.1 507 Insufficient Storage\r\n"},
    Status{508, "HTTP/1.1 508 Loop Detected\r\n"},
    Status{511, "HTTP/1.1 511 Network Authentication Required\r\n"},
};
static_assert(std::ranges::is_sorted(kStatuses, {}, &Status::code));

constexpr std::size_t kBeforeReason = std::string_view("HTTP/1.1 200 ").size();

const Status* find_status(std::uint16_t code) {
  if (code == 200) [[likely]]
    return &kStatuses[4];
  const auto* const at = std::ranges::lower_bound(kStatuses, code, {}, &Status::code);
  return at != kStatuses.end() && at->code == code ? at : nullptr;
}
static_assert(kStatuses[4].code == 200);

char* put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}

char* put_digits(char* at, unsigned value, unsigned digits) {
  for (unsigned i = digits; i > 0; --i, value /= 10)
    at[i - 1] = static_cast<char>('0' + value % 10);
  return at + digits;
}

}  // namespace

// One growth, no zeroing: faster than four appends. libstdc++ 12 hands the callback the capacity instead of the size, hence `total`.
void HeadWriter::append(std::string_view a, std::string_view b, std::string_view c,
                        std::string_view d) {
  const std::size_t old = out_.size();
  const std::size_t total = old + a.size() + b.size() + c.size() + d.size();
  out_.resize_and_overwrite(total, [&](char* bytes, std::size_t) {
    put(put(put(put(bytes + old, a), b), c), d);
    return total;
  });
}

void HeadWriter::refuse(std::string_view part) {
  if (wrong_.empty()) wrong_ = part.empty() ? "an empty name" : part;
}

void HeadWriter::status_line(std::uint16_t status, std::string_view reason) {
  const Status* const known = find_status(status);
  if (known != nullptr && (reason.empty() || reason == reason_of(status))) {
    out_ += known->line;
    return;
  }
  if (!is_field_value(reason)) return refuse("the reason");
  if (status < 100 || status > 999) return refuse("the status");
  std::array<char, 4> code{};
  *put_digits(code.data(), status, 3) = ' ';
  append("HTTP/1.1 ", {code.data(), code.size()}, reason.empty() ? reason_of(status) : reason,
         "\r\n");
}

void HeadWriter::request_line(std::string_view method, std::string_view target) {
  if (!is_token(method)) return refuse("the method");
  const bool fine =
      !target.empty() && std::ranges::all_of(target, [](char c) { return c > 0x20 && c < 0x7f; });
  if (!fine) return refuse("the target");
  append(method, " ", target, " HTTP/1.1\r\n");
}

void HeadWriter::field(std::string_view name, std::string_view value) {
  if (!is_token(name) || !is_field_value(value)) return refuse(name);
  append(name, ": ", value, "\r\n");
}

void HeadWriter::field(Name name, std::uint64_t value) {
  const Digits digits(value);
  append(to_string(name), ": ", digits.view(), "\r\n");
}

void HeadWriter::framing(Body body, std::uint64_t content_length) {
  if (body == Body::length) field(Name::content_length, content_length);
  if (body == Body::chunked) out_ += "Transfer-Encoding: chunked\r\n";
}

Result<> HeadWriter::end() {
  if (!wrong_.empty()) {
    out_.resize(begin_);
    return fail(Errc::invalid, "a head that is not fit for the wire: " + wrong_);
  }
  out_ += "\r\n";
  return {};
}

std::string_view reason_of(std::uint16_t status) {
  const Status* const known = find_status(status);
  if (known == nullptr) return "Unknown";
  return known->line.substr(kBeforeReason, known->line.size() - kBeforeReason - 2);
}

HttpDate::HttpDate(std::chrono::sys_seconds when) {
  using std::chrono::days;
  static constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto day = std::chrono::floor<days>(when);
  const std::chrono::year_month_day date(day);
  const auto second = static_cast<unsigned>((when - day).count());
  char* at = put(text_.data(), kDays.substr(std::chrono::weekday(day).c_encoding() * 3, 3));
  at = put_digits(put(at, ", "), static_cast<unsigned>(date.day()), 2);
  at = put(put(at, " "), kMonths.substr((static_cast<unsigned>(date.month()) - 1) * 3, 3));
  at = put_digits(put(at, " "), static_cast<unsigned>(static_cast<int>(date.year())), 4);
  at = put_digits(put(at, " "), second / 3600, 2);
  at = put_digits(put(at, ":"), second / 60 % 60, 2);
  at = put_digits(put(at, ":"), second % 60, 2);
  put(at, " GMT");
}

Digits::Digits(std::uint64_t value) : begin_(text_.size()) {
  do {
    text_[--begin_] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value > 0);
}

}  // namespace headroom::http
