// headroom/http/message.h - the heads of HTTP messages: a method, a target, a status and fields, as views into the bytes received.
//
// Owns: only the list of fields, whose memory is reused from message to message. Every string_view points into the buffer that was parsed.
// Worker: plain values of the connection that parsed them.
// Invariants: (1) the views hold as long as the buffer stays where it is; a buffer that moves is followed by rebase(); (2) a head that a
//   parser completed has passed every rule of parser.h, so a value holds no CR, LF, NUL or other control but TAB, and a name is a token;
//   (3) `body`, `content_length` and `keep_alive` are the only truth about framing: the fields they came from are never forwarded as
//   received (is_framing); (4) `fields` changes only through add(), remove() and reset(), which keep has() right.
// Limits: those of the parser (HeadLimits).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace headroom::http {

enum class Method : std::uint8_t {
  get,
  head,
  post,
  put,
  delete_,
  options,
  patch,
  connect,
  trace,
  other
};

// By RFC 9110 9.2.1 and 9.2.2. An unknown method is neither.
[[nodiscard]] constexpr bool is_safe(Method method) {
  return method == Method::get || method == Method::head || method == Method::options ||
         method == Method::trace;
}
[[nodiscard]] constexpr bool is_idempotent(Method method) {
  return is_safe(method) || method == Method::put || method == Method::delete_;
}
// Methods are case-sensitive: "get" is Method::other.
[[nodiscard]] Method method_of(std::string_view token);
// "GET"; "" for Method::other, whose text only the message knows.
[[nodiscard]] std::string_view to_string(Method method);

// The field names that some room asks for. The order is that of the table in message.cc.
// clang-format off
enum class Name : std::uint8_t {
  other,
  accept, accept_charset, accept_encoding, accept_language, accept_ranges,
  access_control_allow_credentials, access_control_allow_headers, access_control_allow_methods,
  access_control_allow_origin, access_control_allow_private_network, access_control_expose_headers,
  access_control_max_age, access_control_request_headers, access_control_request_method,
  age, allow, alt_svc, authorization, baggage,
  cache_control, cache_group_invalidation, cache_groups, cache_status, cache_tag, cdn_cache_control, connection,
  content_digest, content_disposition, content_encoding, content_language, content_length, content_location, content_md5,
  content_range, content_security_policy, content_type, cookie,
  date, digest, etag, expect, expires, forwarded, from, host, http2_settings,
  if_match, if_modified_since, if_none_match, if_range, if_unmodified_since,
  keep_alive, last_modified, link, location, max_forwards, origin, pragma, priority,
  proxy_authenticate, proxy_authorization, proxy_connection,
  range, ratelimit, ratelimit_policy, referer, referrer_policy, repr_digest, retry_after,
  sec_ch_ua, sec_ch_ua_mobile, sec_ch_ua_platform,
  sec_fetch_dest, sec_fetch_mode, sec_fetch_site, sec_fetch_user,
  sec_websocket_accept, sec_websocket_extensions, sec_websocket_key, sec_websocket_protocol,
  sec_websocket_version,
  server, server_timing, set_cookie, strict_transport_security, surrogate_control, surrogate_key,
  te, traceparent, tracestate, trailer, transfer_encoding, upgrade, upgrade_insecure_requests,
  user_agent, vary, via, www_authenticate,
  x_api_key, x_content_type_options, x_forwarded_for, x_forwarded_host, x_forwarded_port,
  x_forwarded_prefix, x_forwarded_proto, x_frame_options, x_headroom_debug, x_real_ip, x_request_id, x_requested_with, xkey,
};
// clang-format on
inline constexpr std::size_t kNames = static_cast<std::size_t>(Name::xkey) + 1;

// Any letter case. `token` must hold no control but TAB (every name a parser passed does); a few ns.
[[nodiscard]] Name name_of(std::string_view token);
// "Content-Type"; "" for Name::other.
[[nodiscard]] std::string_view to_string(Name name);

// Hop-by-hop by itself (RFC 9110 7.6.1, with Proxy-Authenticate and Proxy-Authorization): never forwarded.
[[nodiscard]] constexpr bool is_hop_by_hop(Name name) {
  switch (name) {
    case Name::connection:
    case Name::http2_settings:
    case Name::keep_alive:
    case Name::proxy_authenticate:
    case Name::proxy_authorization:
    case Name::proxy_connection:
    case Name::te:
    case Name::transfer_encoding:
    case Name::upgrade: return true;
    default: return false;
  }
}
// Content-Length and Transfer-Encoding: written anew from `body`, never forwarded as received.
[[nodiscard]] constexpr bool is_framing(Name name) {
  return name == Name::content_length || name == Name::transfer_encoding;
}

struct Field {
  Name id = Name::other;
  // is_hop_by_hop(id), or listed in Connection. Connection cannot list a well-known end-to-end field (Host, Content-Length,
  // X-Forwarded-*, Forwarded, Authorization, Cookie, Cache-Control, ...): such an option is ignored, the field stays.
  bool hop_by_hop = false;
  std::string_view name;
  std::string_view value;  // without the white space around it; may be empty
};

enum class Body : std::uint8_t {
  none,
  length,  // exactly content_length bytes, perhaps 0
  chunked,
  until_close,  // responses only
};

// What requests and responses share.
struct Head {
  std::uint8_t minor_version = 1;  // HTTP/1.0 or HTTP/1.1
  Body body = Body::none;
  // Whether the connection may carry another message after this one, as far as its sender says.
  bool keep_alive = false;
  // There is a Content-Length. With Body::none (HEAD, 304) it says what a GET would have got.
  bool has_content_length = false;
  std::uint64_t content_length = 0;
  // The protocol to change to, when there is one and Connection lists "upgrade"; else empty. A request's is ignored in HTTP/1.0, with a
  // body, and when it offers several.
  std::string_view upgrade;
  std::vector<Field> fields;  // in order of arrival

  [[nodiscard]] bool has(Name name) const {
    const auto bit = static_cast<unsigned>(name);
    return ((present_[bit / 64U] >> (bit % 64U)) & 1U) != 0;
  }
  // The first field of that name, or nullptr. Not for Name::other.
  [[nodiscard]] const Field* find(Name name) const;
  // The same by text, in any letter case.
  [[nodiscard]] const Field* find(std::string_view name) const;
  // The value of the first field of that name, or "".
  [[nodiscard]] std::string_view value_of(Name name) const {
    const Field* field = find(name);
    return field == nullptr ? std::string_view{} : field->value;
  }

  void add(const Field& field) {
    fields.push_back(field);
    mark(field.id);
  }
  // All fields of that name. Not for Name::other.
  void remove(Name name) {
    std::erase_if(fields, [name](const Field& field) { return field.id == name; });
    const auto bit = static_cast<unsigned>(name);
    present_[bit / 64U] &= ~(1ULL << (bit % 64U));
  }
  // has(name) from now on. For a parser that fills its field in place; others call add().
  void mark(Name name) {
    const auto bit = static_cast<unsigned>(name);
    present_[bit / 64U] |= 1ULL << (bit % 64U);
  }

 protected:
  void reset_head();
  void rebase_head(std::string_view from, const char* to);

 private:
  std::array<std::uint64_t, 2> present_{};
};
static_assert(kNames <= 128);

struct RequestHead : Head {
  Method method = Method::other;
  bool expect_continue = false;  // the sender waits for 100 before it sends the body
  std::string_view method_text;
  std::string_view target;  // as received, any of the four forms
  // Host, or the authority of an absolute-form target (which must be the same); of CONNECT its target. Valid by RFC 3986, no userinfo;
  // letter case as received. Empty only in HTTP/1.0.
  std::string_view authority;
  // What to forward as target: origin-form, or "*". An absolute-form target is cut to it. Empty for CONNECT.
  std::string_view path_and_query;
  std::string_view
      path;  // begins with '/', or is "*" (OPTIONS) or empty (CONNECT); raw, see path.h for matching
  std::string_view query;  // behind the first '?', without it

  // Ready for the next message; keeps the memory of `fields`.
  void reset();
  // Follows a buffer whose bytes `from` now begin at `to`.
  void rebase(std::string_view from, const char* to);
};

struct ResponseHead : Head {
  std::uint16_t status = 0;
  std::string_view reason;

  void reset();
  void rebase(std::string_view from, const char* to);
};

}  // namespace headroom::http
