#include "headroom/websocket/handshake.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/websocket/deflate.h"

namespace headroom::websocket {
namespace {

using http::Name;

constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::size_t count(const http::RequestHead& head, Name name) {
  return static_cast<std::size_t>(std::ranges::count(head.fields, name, &http::Field::id));
}

// The base64 of 16 bytes: 22 characters, of which the last carries 4 bits that must be zero, and "==".
bool is_key(std::string_view key) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (key.size() != 24 || !key.ends_with("==")) return false;
  if (key.substr(0, 22).find_first_not_of(kDigits) != std::string_view::npos) return false;
  return std::string_view("AQgw").find(key[21]) != std::string_view::npos;
}

std::vector<std::string_view> offered(const http::RequestHead& head) {
  std::vector<std::string_view> all;
  for (const http::Field& field : head.fields) {
    if (field.id != Name::sec_websocket_protocol) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t comma = std::min(rest.find(','), rest.size());
      if (const auto one = text::trimmed(rest.substr(0, comma)); !one.empty()) all.push_back(one);
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  return all;
}

// Scheme and host in lower case, the scheme's own port left out.
std::string normal(std::string_view scheme, std::string_view authority) {
  std::string made = text::lowered(scheme) + "://" + text::lowered(authority);
  const std::string_view usual = text::equal_ignoring_case(scheme, "https") ? ":443" : ":80";
  if (made.ends_with(usual)) made.resize(made.size() - usual.size());
  return made;
}

std::string normal_origin(std::string_view origin) {
  const std::size_t colon = origin.find("://");
  if (colon == std::string_view::npos) return {};
  const std::string_view authority = origin.substr(colon + 3);
  if (authority.empty() || authority.find_first_of("/?#@ ") != std::string_view::npos) return {};
  return normal(origin.substr(0, colon), authority);
}

}  // namespace

bool wants_websocket(const http::RequestHead& head) {
  return text::equal_ignoring_case(head.upgrade, "websocket");
}

std::expected<Handshake, HandshakeRefusal> read_handshake(const http::RequestHead& head) {
  const auto refuse = [](std::string_view why) {
    return std::unexpected(HandshakeRefusal{400, why});
  };
  if (head.method != http::Method::get) return refuse("a WebSocket is opened by GET");
  if (!wants_websocket(head)) {
    return std::unexpected(HandshakeRefusal{426, "only a WebSocket is served here",
                                            "Upgrade: websocket\r\nConnection: Upgrade\r\n"});
  }
  if (count(head, Name::sec_websocket_version) != 1 ||
      head.value_of(Name::sec_websocket_version) != "13") {
    return std::unexpected(HandshakeRefusal{426, "version 13 of the protocol is spoken here",
                                            "Sec-WebSocket-Version: 13\r\n"});
  }
  const std::string_view key = head.value_of(Name::sec_websocket_key);
  if (count(head, Name::sec_websocket_key) != 1 || !is_key(key))
    return refuse("Sec-WebSocket-Key is not 16 bytes in base64");
  std::vector<std::string_view> extensions;
  for (const http::Field& field : head.fields) {
    if (text::equal_ignoring_case(field.name, "Sec-WebSocket-Extensions"))
      extensions.push_back(field.value);
  }
  return Handshake{key, offered(head), offers_deflate(extensions)};
}

std::string accept_key(std::string_view key) {
  std::string text(key);
  text += kGuid;
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  unsigned size = 0;
  HR_ASSERT(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr) == 1);
  std::array<unsigned char, 29> encoded{};
  const int written = EVP_EncodeBlock(encoded.data(), digest.data(), static_cast<int>(size));
  return {encoded.begin(), encoded.begin() + written};
}

std::string accept(const Handshake& handshake, std::string_view subprotocol,
                   Compression compression) {
  std::string out =
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
      "Upgrade\r\nSec-WebSocket-Accept: ";
  out += accept_key(handshake.key);
  if (!subprotocol.empty()) {
    HR_ASSERT(std::ranges::find(handshake.subprotocols, subprotocol) !=
              handshake.subprotocols.end());
    out += "\r\nSec-WebSocket-Protocol: ";
    out += subprotocol;
  }
  if (compression == Compression::deflate) {
    HR_ASSERT(handshake.deflate);
    out += "\r\nSec-WebSocket-Extensions: ";
    out += kDeflate;
  }
  out += "\r\n\r\n";
  return out;
}

bool may_open(const http::RequestHead& head, bool secure, const std::vector<std::string>& allowed) {
  if (!head.has(Name::origin)) return true;
  if (std::ranges::find(allowed, "*") != allowed.end()) return true;
  if (count(head, Name::origin) != 1) return false;
  const std::string origin = normal_origin(head.value_of(Name::origin));
  if (origin.empty()) return false;
  if (origin == normal(secure ? "https" : "http", head.authority)) return true;
  return std::ranges::any_of(allowed,
                             [&](const std::string& one) { return normal_origin(one) == origin; });
}

}  // namespace headroom::websocket
