#include "headroom/http/message.h"

#include <algorithm>
#include <cstring>

#include "headroom/base/text.h"

namespace headroom::http {
namespace {

struct Known {
  Name name;
  std::string_view text;
};

constexpr std::array<Known, kNames> kKnown{{
    {Name::other, ""},
    {Name::accept, "Accept"},
    {Name::accept_charset, "Accept-Charset"},
    {Name::accept_encoding, "Accept-Encoding"},
    {Name::accept_language, "Accept-Language"},
    {Name::accept_ranges, "Accept-Ranges"},
    {Name::access_control_allow_credentials, "Access-Control-Allow-Credentials"},
    {Name::access_control_allow_headers, "Access-Control-Allow-Headers"},
    {Name::access_control_allow_methods, "Access-Control-Allow-Methods"},
    {Name::access_control_allow_origin, "Access-Control-Allow-Origin"},
    {Name::access_control_allow_private_network, "Access-Control-Allow-Private-Network"},
    {Name::access_control_expose_headers, "Access-Control-Expose-Headers"},
    {Name::access_control_max_age, "Access-Control-Max-Age"},
    {Name::access_control_request_headers, "Access-Control-Request-Headers"},
    {Name::access_control_request_method, "Access-Control-Request-Method"},
    {Name::age, "Age"},
    {Name::allow, "Allow"},
    {Name::alt_svc, "Alt-Svc"},
    {Name::authorization, "Authorization"},
    {Name::baggage, "baggage"},
    {Name::cache_control, "Cache-Control"},
    {Name::cache_group_invalidation, "Cache-Group-Invalidation"},
    {Name::cache_groups, "Cache-Groups"},
    {Name::cache_status, "Cache-Status"},
    {Name::cache_tag, "Cache-Tag"},
    {Name::cdn_cache_control, "CDN-Cache-Control"},
    {Name::connection, "Connection"},
    {Name::content_digest, "Content-Digest"},
    {Name::content_disposition, "Content-Disposition"},
    {Name::content_encoding, "Content-Encoding"},
    {Name::content_language, "Content-Language"},
    {Name::content_length, "Content-Length"},
    {Name::content_location, "Content-Location"},
    {Name::content_md5, "Content-MD5"},
    {Name::content_range, "Content-Range"},
    {Name::content_security_policy, "Content-Security-Policy"},
    {Name::content_type, "Content-Type"},
    {Name::cookie, "Cookie"},
    {Name::date, "Date"},
    {Name::digest, "Digest"},
    {Name::etag, "ETag"},
    {Name::expect, "Expect"},
    {Name::expires, "Expires"},
    {Name::forwarded, "Forwarded"},
    {Name::from, "From"},
    {Name::host, "Host"},
    {Name::http2_settings, "HTTP2-Settings"},
    {Name::if_match, "If-Match"},
    {Name::if_modified_since, "If-Modified-Since"},
    {Name::if_none_match, "If-None-Match"},
    {Name::if_range, "If-Range"},
    {Name::if_unmodified_since, "If-Unmodified-Since"},
    {Name::keep_alive, "Keep-Alive"},
    {Name::last_modified, "Last-Modified"},
    {Name::link, "Link"},
    {Name::location, "Location"},
    {Name::max_forwards, "Max-Forwards"},
    {Name::origin, "Origin"},
    {Name::pragma, "Pragma"},
    {Name::priority, "Priority"},
    {Name::proxy_authenticate, "Proxy-Authenticate"},
    {Name::proxy_authorization, "Proxy-Authorization"},
    {Name::proxy_connection, "Proxy-Connection"},
    {Name::range, "Range"},
    {Name::ratelimit, "RateLimit"},
    {Name::ratelimit_policy, "RateLimit-Policy"},
    {Name::referer, "Referer"},
    {Name::referrer_policy, "Referrer-Policy"},
    {Name::repr_digest, "Repr-Digest"},
    {Name::retry_after, "Retry-After"},
    {Name::sec_ch_ua, "Sec-CH-UA"},
    {Name::sec_ch_ua_mobile, "Sec-CH-UA-Mobile"},
    {Name::sec_ch_ua_platform, "Sec-CH-UA-Platform"},
    {Name::sec_fetch_dest, "Sec-Fetch-Dest"},
    {Name::sec_fetch_mode, "Sec-Fetch-Mode"},
    {Name::sec_fetch_site, "Sec-Fetch-Site"},
    {Name::sec_fetch_user, "Sec-Fetch-User"},
    {Name::sec_websocket_accept, "Sec-WebSocket-Accept"},
    {Name::sec_websocket_extensions, "Sec-WebSocket-Extensions"},
    {Name::sec_websocket_key, "Sec-WebSocket-Key"},
    {Name::sec_websocket_protocol, "Sec-WebSocket-Protocol"},
    {Name::sec_websocket_version, "Sec-WebSocket-Version"},
    {Name::server, "Server"},
    {Name::server_timing, "Server-Timing"},
    {Name::set_cookie, "Set-Cookie"},
    {Name::strict_transport_security, "Strict-Transport-Security"},
    {Name::surrogate_control, "Surrogate-Control"},
    {Name::surrogate_key, "Surrogate-Key"},
    {Name::te, "TE"},
    {Name::traceparent, "traceparent"},
    {Name::tracestate, "tracestate"},
    {Name::trailer, "Trailer"},
    {Name::transfer_encoding, "Transfer-Encoding"},
    {Name::upgrade, "Upgrade"},
    {Name::upgrade_insecure_requests, "Upgrade-Insecure-Requests"},
    {Name::user_agent, "User-Agent"},
    {Name::vary, "Vary"},
    {Name::via, "Via"},
    {Name::www_authenticate, "WWW-Authenticate"},
    {Name::x_api_key, "X-API-Key"},
    {Name::x_content_type_options, "X-Content-Type-Options"},
    {Name::x_forwarded_for, "X-Forwarded-For"},
    {Name::x_forwarded_host, "X-Forwarded-Host"},
    {Name::x_forwarded_port, "X-Forwarded-Port"},
    {Name::x_forwarded_prefix, "X-Forwarded-Prefix"},
    {Name::x_forwarded_proto, "X-Forwarded-Proto"},
    {Name::x_frame_options, "X-Frame-Options"},
    {Name::x_headroom_debug, "X-Headroom-Debug"},
    {Name::x_real_ip, "X-Real-IP"},
    {Name::x_request_id, "X-Request-ID"},
    {Name::x_requested_with, "X-Requested-With"},
    {Name::xkey, "xkey"},
}};

// A name is looked up by a hash of its length, first and last letters and a middle one; the multiplier that keeps all known names
// apart is searched by the compiler.
constexpr std::size_t kSlotBits = 10;
constexpr std::size_t kSlots = 1U << kSlotBits;

constexpr std::uint32_t fold(char c) { return static_cast<unsigned char>(c) | 0x20U; }

constexpr std::size_t slot_of(std::string_view text, std::uint32_t multiplier) {
  const std::size_t n = text.size();
  const std::uint32_t key = fold(text[0]) ^ (fold(text[n - 1]) << 8U) ^ (fold(text[n / 2]) << 16U) ^
                            (static_cast<std::uint32_t>(n) << 24U) ^ (fold(text[n - 2]) << 21U);
  return (key * multiplier) >> (32U - kSlotBits);
}

constexpr bool keeps_apart(std::uint32_t multiplier) {
  std::array<bool, kSlots> used{};
  for (const Known& known : kKnown) {
    if (known.name == Name::other) continue;
    const std::size_t slot = slot_of(known.text, multiplier);
    if (used[slot]) return false;
    used[slot] = true;
  }
  return true;
}

consteval std::uint32_t find_multiplier() {
  std::uint32_t multiplier = 0x9e3779b1U;
  while (!keeps_apart(multiplier)) multiplier = (multiplier * 0x2c9277b5U) | 1U;
  return multiplier;
}

constexpr std::size_t kLongest = 40;

struct Entry {
  Name name = Name::other;
  std::uint8_t size = 0;
  std::array<char, kLongest> lowered{};
};

struct Table {
  std::uint32_t multiplier;
  std::array<std::uint8_t, kSlots> slots{};
  std::array<Entry, kNames> entries{};
};

consteval Table make_table() {
  Table table{find_multiplier()};
  for (std::size_t i = 1; i < kNames; ++i) {
    const std::string_view text = kKnown[i].text;
    Entry& entry = table.entries[i];
    entry.name = kKnown[i].name;
    entry.size = static_cast<std::uint8_t>(text.size());
    for (std::size_t c = 0; c < text.size(); ++c)
      entry.lowered[c] = static_cast<char>(fold(text[c]));
    table.slots[slot_of(text, table.multiplier)] = static_cast<std::uint8_t>(i);
  }
  return table;
}

constexpr Table kTable = make_table();

consteval bool in_order() {
  for (std::size_t i = 0; i < kNames; ++i) {
    if (static_cast<std::size_t>(kKnown[i].name) != i || kKnown[i].text.size() > kLongest)
      return false;
  }
  return true;
}
static_assert(in_order(), "kKnown follows enum Name");

template <class Word>
Word load_folded(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  constexpr auto kFold = static_cast<Word>(0x2020202020202020ULL);
  return static_cast<Word>(word | kFold);
}

// Whether `text` in small letters is `lowered`. The last word overlaps the one before it. Setting bit 5 maps only letters of the
// other case and controls onto [a-z0-9-], and controls were excluded.
bool equal_folded(std::string_view text, const char* lowered) {
  const std::size_t n = text.size();
  if (n >= 8) {
    std::size_t at = 0;
    for (; at + 8 <= n; at += 8) {
      if (load_folded<std::uint64_t>(text.data() + at) != load_folded<std::uint64_t>(lowered + at))
        return false;
    }
    return load_folded<std::uint64_t>(text.data() + n - 8) ==
           load_folded<std::uint64_t>(lowered + n - 8);
  }
  if (n >= 4) {
    return load_folded<std::uint32_t>(text.data()) == load_folded<std::uint32_t>(lowered) &&
           load_folded<std::uint32_t>(text.data() + n - 4) ==
               load_folded<std::uint32_t>(lowered + n - 4);
  }
  return load_folded<std::uint16_t>(text.data()) == load_folded<std::uint16_t>(lowered) &&
         fold(text[n - 1]) == fold(lowered[n - 1]);
}

constexpr std::array<std::string_view, 10> kMethods{
    "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", ""};

void move_view(std::string_view& view, std::string_view from, const char* to) {
  const auto at = reinterpret_cast<std::uintptr_t>(view.data());
  const auto begin = reinterpret_cast<std::uintptr_t>(from.data());
  if (at >= begin && at <= begin + from.size()) view = {to + (at - begin), view.size()};
}

}  // namespace

Method method_of(std::string_view token) {
  const auto at = std::ranges::find(kMethods.begin(), kMethods.end() - 1, token);
  return static_cast<Method>(at - kMethods.begin());
}

std::string_view to_string(Method method) { return kMethods[static_cast<std::size_t>(method)]; }

Name name_of(std::string_view token) {
  if (token.size() < 2 || token.size() > kLongest) return Name::other;
  const Entry& entry = kTable.entries[kTable.slots[slot_of(token, kTable.multiplier)]];
  if (entry.size != token.size() || !equal_folded(token, entry.lowered.data())) return Name::other;
  return entry.name;
}

std::string_view to_string(Name name) { return kKnown[static_cast<std::size_t>(name)].text; }

const Field* Head::find(Name name) const {
  if (!has(name)) return nullptr;
  const auto at = std::ranges::find(fields, name, &Field::id);
  return at == fields.end() ? nullptr : &*at;
}

const Field* Head::find(std::string_view name) const {
  const auto at = std::ranges::find_if(
      fields, [name](const Field& field) { return text::equal_ignoring_case(field.name, name); });
  return at == fields.end() ? nullptr : &*at;
}

void Head::reset_head() {
  minor_version = 1;
  body = Body::none;
  keep_alive = false;
  has_content_length = false;
  content_length = 0;
  upgrade = {};
  fields.clear();
  present_ = {};
}

void Head::rebase_head(std::string_view from, const char* to) {
  move_view(upgrade, from, to);
  for (Field& field : fields) {
    move_view(field.name, from, to);
    move_view(field.value, from, to);
  }
}

void RequestHead::reset() {
  reset_head();
  method = Method::other;
  expect_continue = false;
  method_text = target = authority = path_and_query = path = query = {};
}

void RequestHead::rebase(std::string_view from, const char* to) {
  rebase_head(from, to);
  for (std::string_view* view :
       {&method_text, &target, &authority, &path_and_query, &path, &query}) {
    move_view(*view, from, to);
  }
}

void ResponseHead::reset() {
  reset_head();
  status = 0;
  reason = {};
}

void ResponseHead::rebase(std::string_view from, const char* to) {
  rebase_head(from, to);
  move_view(reason, from, to);
}

}  // namespace headroom::http
