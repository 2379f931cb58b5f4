// headroom/auth/sigv4.h - signs requests to Amazon's services (AWS Signature Version 4).
//
// Owns: nothing; functions. Worker: any. The canonical form is that of Amazon's "Create a signed AWS API request".
// Invariants: (1) every field that is given is signed, with Host and X-Amz-Date; (2) the secret appears nowhere in what is returned.
// Limits: the caller's; `path` is sent as it is, already encoded, without dot segments; a query is not supported.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headroom::auth {

struct AwsCredentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;  // of temporary credentials; else ""
};

struct AwsRequest {
  std::string_view method;
  std::string_view host;
  std::string_view path;
  std::string_view service;
  std::string_view region;
  std::vector<std::pair<std::string, std::string>> fields;  // besides Host and X-Amz-*
  std::string_view body;
  std::int64_t unix_seconds = 0;
};

// The fields to add: X-Amz-Date, X-Amz-Security-Token where there is one, Authorization.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> sign(
    const AwsRequest& request, const AwsCredentials& credentials);

}  // namespace headroom::auth
