#include "headroom/auth/sigv4.h"

#include <fmt/chrono.h>

#include <map>

#include "headroom/auth/crypto.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string_view view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::string hash_of(std::string_view bytes) { return text::hex(view(sha256(bytes))); }

std::string time_text(std::int64_t unix_seconds) {
  return fmt::format("{:%Y%m%dT%H%M%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_seconds)));
}

Digest key_of(const AwsCredentials& credentials, std::string_view day, const AwsRequest& request) {
  const Digest dated = hmac_sha256("AWS4" + credentials.secret_key, day);
  const Digest regional = hmac_sha256(view(dated), request.region);
  const Digest of_service = hmac_sha256(view(regional), request.service);
  return hmac_sha256(view(of_service), "aws4_request");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> sign(const AwsRequest& request,
                                                      const AwsCredentials& credentials) {
  const std::string now = time_text(request.unix_seconds);
  std::vector<std::pair<std::string, std::string>> added{{"X-Amz-Date", now}};
  if (!credentials.session_token.empty())
    added.emplace_back("X-Amz-Security-Token", credentials.session_token);

  std::map<std::string, std::string> sorted{{"host", std::string(request.host)}};
  for (const auto& [name, value] : request.fields)
    sorted[text::lowered(name)] = text::trimmed(value);
  for (const auto& [name, value] : added) sorted[text::lowered(name)] = value;
  std::string lines;
  std::string names;
  for (const auto& [name, value] : sorted) {
    lines.append(name).append(":").append(value).append("\n");
    names.append(names.empty() ? "" : ";").append(name);
  }
  const std::string canonical = fmt::format("{}\n{}\n\n{}\n{}\n{}", request.method, request.path,
                                            lines, names, hash_of(request.body));
  const std::string_view day = std::string_view(now).substr(0, 8);
  const std::string scope =
      fmt::format("{}/{}/{}/aws4_request", day, request.region, request.service);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, now, scope, hash_of(canonical));
  const std::string signature =
      text::hex(view(hmac_sha256(view(key_of(credentials, day, request)), to_sign)));
  added.emplace_back("Authorization",
                     fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                                 credentials.access_key, scope, names, signature));
  return added;
}

}  // namespace headroom::auth
