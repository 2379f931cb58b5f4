#include "headroom/http/parser.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "headroom/base/address.h"
#include "headroom/base/text.h"
#include "headroom/http/scan.h"

namespace headroom::http {
namespace {

constexpr std::size_t kConnectionOptions = 32;
// Enough for any file, and room to add two of them.
constexpr std::uint64_t kLongestBody = 1ULL << 62U;

constexpr Refusal bad_request(const char* reason) { return {400, reason}; }
constexpr Refusal bad_gateway(const char* reason) { return {502, reason}; }

// Each element of a comma-separated list, trimmed, empty ones left out; stops when `visit` returns false.
template <class Visit>
bool each_element(std::string_view list, Visit visit) {
  for (;;) {
    const auto comma = list.find(',');
    const std::string_view element = text::trimmed(list.substr(0, comma));
    if (!element.empty() && !visit(element)) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

// Fields that both kinds of head understand.

Refusal take_content_length(Head& head, std::string_view value) {
  if (head.has(Name::content_length)) return bad_request("more than one Content-Length");
  const bool digits =
      !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return bad_request("Content-Length is not a number");
  const auto [end, error] =
      std::from_chars(value.data(), value.data() + value.size(), head.content_length);
  if (error != std::errc{} || head.content_length > kLongestBody) {
    return bad_request("Content-Length is too large");
  }
  head.has_content_length = true;
  return {};
}

// Anything but exactly `chunked` is refused; a well-formed list of other codings that ends in it is one we do not have (501).
Refusal take_transfer_encoding(Head& head, std::string_view value) {
  if (head.has(Name::transfer_encoding)) return bad_request("more than one Transfer-Encoding");
  if (head.minor_version == 0) return bad_request("Transfer-Encoding in HTTP/1.0");
  if (text::equal_ignoring_case(value, "chunked")) return {};
  std::size_t chunked = 0;
  std::string_view last;
  const bool tokens = each_element(value, [&](std::string_view coding) {
    if (text::equal_ignoring_case(coding, "chunked")) ++chunked;
    last = coding;
    return is_token(coding);
  });
  const bool known_end = tokens && chunked == 1 && last.data() != value.data() &&
                         text::equal_ignoring_case(last, "chunked") && value.back() != ',' &&
                         value.front() != ',';
  if (known_end) return {501, "unknown transfer coding"};
  return bad_request("Transfer-Encoding is not exactly chunked");
}

struct ConnectionOptions {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
};

// An option other than the three known ones names a field of this hop. A well-known end-to-end field cannot be named.
void mark_hop_by_hop(Head& head, std::string_view option) {
  if (name_of(option) != Name::other) return;
  for (Field& field : head.fields) {
    if (field.id == Name::other && text::equal_ignoring_case(field.name, option))
      field.hop_by_hop = true;
  }
}

Refusal read_connection(Head& head, ConnectionOptions& options) {
  if (!head.has(Name::connection)) return {};
  std::size_t left = kConnectionOptions;
  for (const Field& field : head.fields) {
    if (field.id != Name::connection) continue;
    const bool fine = each_element(field.value, [&](std::string_view option) {
      if (left-- == 0 || !is_token(option)) return false;
      if (text::equal_ignoring_case(option, "keep-alive")) {
        options.keep_alive = true;
      } else if (text::equal_ignoring_case(option, "close")) {
        options.close = true;
      } else if (text::equal_ignoring_case(option, "upgrade")) {
        options.upgrade = true;
      } else {
        mark_hop_by_hop(head, option);
      }
      return true;
    });
    if (!fine) return bad_request("bad Connection");
  }
  return {};
}

bool keeps_alive(const Head& head, const ConnectionOptions& options) {
  return !options.close && (head.minor_version == 1 || options.keep_alive);
}

// protocol-name ["/" version]
bool is_protocol(std::string_view value) {
  const auto slash = value.find('/');
  if (!is_token(value.substr(0, slash))) return false;
  return slash == std::string_view::npos || is_token(value.substr(slash + 1));
}

std::string_view single_upgrade(const Head& head) {
  const auto is_upgrade = [](const Field& field) { return field.id == Name::upgrade; };
  if (std::ranges::count_if(head.fields, is_upgrade) != 1) return {};
  const std::string_view value = head.value_of(Name::upgrade);
  return is_protocol(value) ? value : std::string_view{};
}

// The lines of a head.

enum class Version : std::uint8_t { one_zero, one_one, malformed, unknown };

Version version_of(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() != 8 || std::memcmp(text.data(), "HTTP/", 5) != 0) return Version::malformed;
  if (!digit(text[5]) || text[6] != '.' || !digit(text[7])) return Version::malformed;
  if (text[5] != '1') return Version::unknown;
  if (text[7] == '1') return Version::one_one;
  return text[7] == '0' ? Version::one_zero : Version::unknown;
}

std::string_view trimmed_value(const char* at, const char* end) {
  while (at != end && (*at == ' ' || *at == '\t')) ++at;
  while (at != end && (end[-1] == ' ' || end[-1] == '\t')) --end;
  return {at, static_cast<std::size_t>(end - at)};
}

// `line` holds no control but TAB, without its end; the bytes up to `readable` may be looked at.
[[gnu::always_inline]] inline Refusal split_field(std::string_view line, const char* readable,
                                                  Field& field) {
  const char* end = line.data() + line.size();
  const char* colon = scan::find_byte(line.data(), end, readable, ':');
  if (colon == end) return bad_request("field line without a colon");
  field.name = {line.data(), static_cast<std::size_t>(colon - line.data())};
  field.id = name_of(field.name);
  if (field.id == Name::other) [[unlikely]] {
    if (line[0] == ' ' || line[0] == '\t') return bad_request("folded field line");
    if (!is_token(field.name)) return bad_request("field name is not a token");
  }
  field.hop_by_hop = is_hop_by_hop(field.id);
  field.value = trimmed_value(colon + 1, end);
  return {};
}

// The rules of requests.

bool starts_with_scheme(std::string_view target, std::string_view scheme) {
  return target.size() > scheme.size() &&
         text::equal_ignoring_case(target.substr(0, scheme.size()), scheme);
}

void split_query(RequestHead& head) {
  const auto question = head.path_and_query.find('?');
  head.path = head.path_and_query.substr(0, question);
  if (question != std::string_view::npos) head.query = head.path_and_query.substr(question + 1);
}

Refusal take_absolute_form(RequestHead& head, std::size_t scheme_size) {
  const std::string_view rest = head.target.substr(scheme_size);
  const auto slash = rest.find_first_of("/?");
  head.authority = rest.substr(0, slash);
  if (!is_authority(head.authority)) return bad_request("bad authority in the target");
  if (slash == std::string_view::npos) {
    head.path_and_query = head.path = head.method == Method::options ? "*" : "/";
    return {};
  }
  if (rest[slash] == '?') return bad_request("target without a path");
  head.path_and_query = rest.substr(slash);
  split_query(head);
  return {};
}

Refusal take_target(RequestHead& head) {
  if (head.method == Method::connect) {
    head.authority = head.target;
    const bool host_and_port =
        is_authority(head.target) && head.target.back() != ']' && head.target.contains(':');
    return host_and_port ? Refusal{} : bad_request("CONNECT needs host:port");
  }
  if (head.target.front() == '/') {
    head.path_and_query = head.target;
    split_query(head);
    return {};
  }
  if (starts_with_scheme(head.target, "http://")) return take_absolute_form(head, 7);
  if (starts_with_scheme(head.target, "https://")) return take_absolute_form(head, 8);
  if (head.target == "*" && head.method == Method::options) {
    head.path_and_query = head.path = head.target;
    return {};
  }
  return bad_request("bad form of target");
}

struct RequestRules {
  RequestHead& head;

  static constexpr bool kSkipsEmptyLine = true;

  [[nodiscard]] Refusal first_line(std::string_view line) const {
    const char* const end = line.data() + line.size();
    const char* at = line.data();
    while (at != end && scan::is_token_byte(*at)) ++at;
    head.method_text = {line.data(), static_cast<std::size_t>(at - line.data())};
    if (at == end || *at != ' ' || head.method_text.empty()) return bad_request("bad method");
    head.method = method_of(head.method_text);
    const char* const target = ++at;
    at = scan::find_target_end(at, end);
    head.target = {target, static_cast<std::size_t>(at - target)};
    if (at == end || *at != ' ' || head.target.empty()) return bad_request("bad target");
    ++at;
    switch (version_of({at, static_cast<std::size_t>(end - at)})) {
      case Version::one_one: head.minor_version = 1; break;
      case Version::one_zero: head.minor_version = 0; break;
      case Version::malformed: return bad_request("bad version");
      case Version::unknown: return {505, "HTTP version is not 1.0 or 1.1"};
    }
    return take_target(head);
  }

  [[nodiscard]] Refusal field(const Field& field) const {
    switch (field.id) {
      case Name::content_length: return take_content_length(head, field.value);
      case Name::transfer_encoding: return take_transfer_encoding(head, field.value);
      case Name::host: return take_host(field.value);
      case Name::expect:
        head.expect_continue = text::equal_ignoring_case(field.value, "100-continue");
        return head.expect_continue ? Refusal{} : Refusal{417, "unknown expectation"};
      default: return {};
    }
  }

  [[nodiscard]] Refusal take_host(std::string_view value) const {
    if (head.has(Name::host)) return bad_request("more than one Host");
    if (!is_authority(value)) return bad_request("bad Host");
    if (head.authority.empty()) {
      head.authority = value;
    } else if (head.method != Method::connect &&
               !text::equal_ignoring_case(head.authority, value)) {
      return bad_request("Host differs from the target");
    }
    return {};
  }

  [[nodiscard]] Refusal finish() const {
    if (head.minor_version == 1 && !head.has(Name::host)) return bad_request("no Host");
    if (head.has(Name::transfer_encoding)) {
      if (head.has_content_length) return bad_request("Content-Length with Transfer-Encoding");
      head.body = Body::chunked;
    } else if (head.has_content_length) {
      head.body = Body::length;
    }
    ConnectionOptions options;
    if (const Refusal refusal = read_connection(head, options)) return refusal;
    head.keep_alive = keeps_alive(head, options);
    const bool has_body = head.body == Body::chunked || head.content_length > 0;
    if (head.minor_version == 0 || !has_body) head.expect_continue = false;
    if (options.upgrade && head.minor_version == 1 && !has_body)
      head.upgrade = single_upgrade(head);
    // Gone since RFC 9113; through a proxy it was a way around it.
    if (text::equal_ignoring_case(head.upgrade, "h2c")) head.upgrade = {};
    return {};
  }
};

// The rules of responses.

struct ResponseRules {
  ResponseHead& head;
  Method request_method;

  static constexpr bool kSkipsEmptyLine = false;

  // HTTP-version SP 3DIGIT [SP reason]. The space before an empty reason may be missing: many servers leave it out.
  [[nodiscard]] Refusal first_line(std::string_view line) const {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const Version version = version_of(line.substr(0, 8));
    if (version != Version::one_one && version != Version::one_zero)
      return bad_gateway("bad version");
    head.minor_version = version == Version::one_one ? 1 : 0;
    if (line.size() < 12 || line[8] != ' ' || !digit(line[9]) || !digit(line[10]) ||
        !digit(line[11])) {
      return bad_gateway("bad status");
    }
    head.status = static_cast<std::uint16_t>((line[9] - '0') * 100 + (line[10] - '0') * 10 +
                                             (line[11] - '0'));
    if (head.status < 100) return bad_gateway("bad status");
    if (line.size() == 12) return {};
    if (line[12] != ' ') return bad_gateway("bad status");
    head.reason = line.substr(13);
    return {};
  }

  [[nodiscard]] Refusal field(const Field& field) const {
    switch (field.id) {
      case Name::content_length: return take_content_length(head, field.value);
      case Name::transfer_encoding: return take_transfer_encoding(head, field.value);
      default: return {};
    }
  }

  [[nodiscard]] Refusal finish() const {
    const bool chunked = head.has(Name::transfer_encoding);
    if (chunked && head.has_content_length)
      return bad_gateway("Content-Length with Transfer-Encoding");
    ConnectionOptions options;
    if (const Refusal refusal = read_connection(head, options)) return refusal;
    head.keep_alive = keeps_alive(head, options);
    if (head.status < 200) return finish_interim(options, chunked);
    set_body(chunked);
    return {};
  }

  // 1xx: a head without a body; what announces one would shift every message after it.
  [[nodiscard]] Refusal finish_interim(const ConnectionOptions& options, bool chunked) const {
    if (chunked || head.content_length > 0) return bad_gateway("1xx with a body");
    if (head.status != 101) return {};
    head.upgrade = single_upgrade(head);
    if (!options.upgrade || head.upgrade.empty()) return bad_gateway("101 without its Upgrade");
    head.keep_alive = false;
    return {};
  }

  // RFC 9112 6.3. A 204 that announces a body may be followed by one: that connection is not used again.
  void set_body(bool chunked) const {
    const bool tunnel = request_method == Method::connect && head.status < 300;
    if (tunnel || head.status == 204) {
      if (tunnel || chunked || head.content_length > 0) head.keep_alive = false;
    } else if (request_method == Method::head || head.status == 304) {
      return;
    } else if (chunked) {
      head.body = Body::chunked;
    } else if (head.has_content_length) {
      head.body = Body::length;
    } else {
      head.body = Body::until_close;
      head.keep_alive = false;
    }
  }
};

// The walk over the lines.

template <class Rules>
class Walk {
 public:
  Walk(std::string_view input, const HeadLimits& limits, ScanState& state, Rules rules)
      : input_(input), limits_(limits), state_(state), rules_(rules) {}

  Parsed run() {
    for (;;) {
      const char* const begin = input_.data() + state_.line;
      const char* const end = input_.data() + input_.size();
      const char* const stop = scan::find_control(input_.data() + state_.scanned, end);
      if (const Refusal refusal = check_size(begin, stop)) return refused(refusal);
      if (stop == end || (*stop == '\r' && stop + 1 == end)) return incomplete(stop);
      if (*stop != '\r' || stop[1] != '\n') return refused(bad_request("control character"));
      const std::string_view line(begin, static_cast<std::size_t>(stop - begin));
      state_.line = state_.scanned = static_cast<std::size_t>(stop + 2 - input_.data());
      if (line.empty() && state_.phase == ScanState::Phase::fields) return finish();
      if (const Refusal refusal = take(line)) return refused(refusal);
    }
  }

 private:
  // Before the first special byte at `stop` is looked at, so that the outcome does not depend on how much of the input is there. A head
  // that goes on at `stop` has at least two bytes more.
  Refusal check_size(const char* begin, const char* stop) const {
    const auto line_size = static_cast<std::size_t>(stop - begin);
    if (line_size > limits_.line_bytes && state_.phase != ScanState::Phase::fields) {
      return {414, "start line too long"};
    }
    if (static_cast<std::size_t>(stop - input_.data()) + 2 > limits_.head_bytes) {
      return {431, "head too large"};
    }
    return {};
  }

  Refusal take(std::string_view line) {
    if (state_.phase == ScanState::Phase::fields) [[likely]]
      return take_field(line);
    if (line.empty() && Rules::kSkipsEmptyLine && state_.phase == ScanState::Phase::start) {
      state_.phase = ScanState::Phase::first_line;
      return {};
    }
    state_.phase = ScanState::Phase::fields;
    return rules_.first_line(line);
  }

  // Filled where it stays: a copy would wait for its own stores.
  Refusal take_field(std::string_view line) {
    Head& head = rules_.head;
    if (head.fields.size() >= limits_.fields) return {431, "too many fields"};
    Field& field = head.fields.emplace_back();
    if (const Refusal refusal = split_field(line, input_.data() + input_.size(), field))
      return refusal;
    if (const Refusal refusal = rules_.field(field)) return refusal;
    head.mark(field.id);
    return {};
  }

  Parsed finish() {
    if (const Refusal refusal = rules_.finish()) return refused(refusal);
    return {Parsed::State::complete, state_.line, {}};
  }
  Parsed incomplete(const char* stop) {
    state_.scanned = static_cast<std::size_t>(stop - input_.data());
    return {};
  }
  Parsed refused(const Refusal& refusal) { return {Parsed::State::refused, 0, refusal}; }

  const std::string_view input_;
  const HeadLimits& limits_;
  ScanState& state_;
  const Rules rules_;
};

// A new head is emptied, one whose input moved is followed.
template <class AnyHead>
void prepare(std::string_view input, ScanState& state, AnyHead& head) {
  if (state.base == nullptr) {
    head.reset();
  } else if (state.base != input.data()) {
    head.rebase({state.base, state.line}, input.data());
  }
  state.base = input.data();
}

}  // namespace

Parsed parse_request_head(std::string_view input, const HeadLimits& limits, ScanState& state,
                          RequestHead& head) {
  if (input.empty()) return {};
  prepare(input, state, head);
  return Walk<RequestRules>(input, limits, state, RequestRules{head}).run();
}

Parsed parse_response_head(std::string_view input, const HeadLimits& limits, ScanState& state,
                           Method request_method, ResponseHead& head) {
  if (input.empty()) return {};
  prepare(input, state, head);
  Parsed parsed =
      Walk<ResponseRules>(input, limits, state, ResponseRules{head, request_method}).run();
  if (parsed.refusal) parsed.refusal.status = 502;
  return parsed;
}

Refusal refusal_by_policy(const RequestHead& head) {
  if (head.method == Method::connect) return {405, "CONNECT is off"};
  if (head.method == Method::trace) return {405, "TRACE is off"};
  return {};
}

namespace {

bool is_port(std::string_view text) {
  if (text.empty() || text.size() > 5) return false;
  const auto port = text::to_u64(text);
  return port && *port >= 1 && *port <= 65535;
}

constexpr bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

bool is_authority(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view inner = text.substr(1, close - 1);
    if (!inner.contains(':') || !IpAddress::parse(inner)) return false;
    const std::string_view port = text.substr(close + 1);
    return port.empty() || (port.front() == ':' && is_port(port.substr(1)));
  }
  const auto* const host_end = std::ranges::find_if_not(text, is_host_byte);
  if (host_end == text.begin()) return false;
  if (host_end == text.end()) return true;
  return *host_end == ':' && is_port({host_end + 1, text.end()});
}

bool is_token(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, scan::is_token_byte);
}

bool is_field_value(std::string_view text) {
  const char* const end = text.data() + text.size();
  return scan::find_control(text.data(), end) == end;
}

namespace {

// The well-known names that may come behind a body; the rest of them says how to read, route, guard or cache the message, too late.
bool may_be_trailer(const Field& field) {
  switch (field.id) {
    case Name::cache_status:
    case Name::etag:
    case Name::server_timing: return true;
    case Name::other: break;
    default: return false;
  }
  static constexpr std::string_view kForbidden[] = {"content-", "x-forwarded-",    "proxy-",
                                                    "sec-",     "access-control-", "if-"};
  return std::ranges::none_of(kForbidden, [&](std::string_view prefix) {
    return text::equal_ignoring_case(field.name.substr(0, prefix.size()), prefix);
  });
}

}  // namespace

Refusal parse_trailers(std::string_view section, std::size_t max_fields,
                       std::vector<Field>& fields) {
  const char* const readable = section.data() + section.size();
  for (std::size_t count = 0; !section.empty(); ++count) {
    if (count == max_fields) return {431, "too many trailers"};
    const auto line_end = section.find("\r\n");
    if (line_end == std::string_view::npos) return bad_request("bad trailer");
    const std::string_view line = section.substr(0, line_end);
    section.remove_prefix(line_end + 2);
    Field field;
    if (!is_field_value(line)) return bad_request("control character");
    if (const Refusal refusal = split_field(line, readable, field)) return refusal;
    if (is_framing(field.id) || field.id == Name::host)
      return bad_request("framing field in the trailers");
    if (may_be_trailer(field)) fields.push_back(field);
  }
  return {};
}

}  // namespace headroom::http
