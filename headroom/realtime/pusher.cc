#include "headroom/realtime/pusher.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "headroom/auth/crypto.h"
#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"
#include "headroom/realtime/caller.h"

namespace headroom::realtime::pusher {
namespace {

constexpr std::int64_t kTimestampSlack = 600;

std::string md5_hex(std::string_view bytes) {
  std::array<char, 16> digest{};
  unsigned size = 0;
  HR_ASSERT(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                       &size, EVP_md5(), nullptr) == 1);
  return text::hex({digest.data(), digest.size()});
}

std::string string_to_sign(std::string_view method, std::string_view path,
                           const http::QueryFields& query) {
  std::vector<std::string> lines;
  for (const auto& [name, value] : query) {
    if (name != "auth_signature") lines.push_back(text::lowered(name) + "=" + value);
  }
  std::ranges::sort(lines);
  std::string all = std::string(method) + "\n" + std::string(path) + "\n";
  for (std::size_t i = 0; i < lines.size(); ++i) all += (i == 0 ? "" : "&") + lines[i];
  return all;
}

}  // namespace

bool is_channel_name(std::string_view name) {
  constexpr std::string_view kMarks = "_-=@,.;";
  const auto good = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kMarks.contains(c);
  };
  return !name.empty() && name.size() <= kNameLimit && std::ranges::all_of(name, good);
}

std::string signature(const AppOptions& app, std::string_view text) {
  const auth::Digest digest = auth::hmac_sha256(app.secret, text);
  return text::hex(text_of(digest));
}

bool is_signed(const AppOptions& app, std::string_view auth, std::string_view text) {
  const std::size_t colon = auth.find(':');
  if (colon == std::string_view::npos || auth.substr(0, colon) != app.key) return false;
  return auth::constant_time_equal(auth.substr(colon + 1), signature(app, text));
}

Result<> check_call(const AppOptions& app, std::string_view method, std::string_view path,
                    const http::QueryFields& query, std::string_view body, std::int64_t now) {
  const auto field = [&](std::string_view name) {
    return http::find_field(query, name).value_or("");
  };
  const auto refuse = [](std::string why) { return fail(Errc::unauthorized, std::move(why)); };
  if (field("auth_key") != app.key) return refuse("auth_key is not this app's");
  if (field("auth_version") != "1.0") return refuse("auth_version is not 1.0");
  const auto timestamp = text::to_u64(field("auth_timestamp"));
  if (!timestamp || *timestamp > static_cast<std::uint64_t>(now + kTimestampSlack) ||
      static_cast<std::int64_t>(*timestamp) < now - kTimestampSlack)
    return refuse("auth_timestamp is not within 600 s of the server's clock");
  if (!body.empty() && !auth::constant_time_equal(field("body_md5"), md5_hex(body)))
    return refuse("body_md5 is not that of the body");
  const std::string expected = signature(app, string_to_sign(method, path, query));
  if (!auth::constant_time_equal(field("auth_signature"), expected))
    return refuse("auth_signature is not valid");
  return {};
}

Result<Member> member_of(std::string_view channel_data, const RealtimeOptions& options) {
  auto document = json::parse(channel_data);
  if (!document)
    return fail(Errc::invalid, "channel_data is not JSON: " + document.error().message);
  const auto id = document->root().find("user_id");
  if (!id) return fail(Errc::invalid, "channel_data has no user_id");
  Member member;
  member.user_id = name_in(*id);  // a number and the text of that number are one user
  if (member.user_id.empty() || member.user_id.size() > kUserIdLimit)
    return fail(Errc::invalid, "user_id must be a text of 1 to 128 bytes, or a whole number");
  if (const auto info = document->root().find("user_info")) member.info = info->text();
  if (member.info.size() > options.presence_info.count)
    return fail(Errc::invalid, "user_info is too large");
  return member;
}

std::string event(std::string_view name, std::string_view channel, std::string_view data) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("event", name);
  if (!channel.empty()) out.field("channel", channel);
  out.field("data", data).end_object();
  return text;
}

std::string error(std::optional<int> code, std::string_view message) {
  std::string text;
  json::Writer out(text);
  out.begin_object()
      .field("event", "pusher:error")
      .key("data")
      .begin_object()
      .field("code", code)
      .field("message", message);
  out.end_object().end_object();
  return text;
}

}  // namespace headroom::realtime::pusher
