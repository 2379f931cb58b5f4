#include "headroom/auth/sigv4.h"

#include <gtest/gtest.h>

namespace headroom::auth {
namespace {

// Those of Amazon's published test suite; 2015-08-30T12:36:00Z.
const AwsCredentials kExample{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
constexpr std::int64_t kThen = 1440938160;

std::string value_of(const std::vector<std::pair<std::string, std::string>>& fields,
                     std::string_view name) {
  for (const auto& [known, value] : fields) {
    if (known == name) return value;
  }
  return {};
}

AwsRequest example(std::string_view method) {
  return {.method = method,
          .host = "example.amazonaws.com",
          .path = "/",
          .service = "service",
          .region = "us-east-1",
          .fields = {},
          .body = {},
          .unix_seconds = kThen};
}

TEST(SigV4, GivesTheSignaturesOfThePublishedSuite) {
  const auto get = sign(example("GET"), kExample);
  EXPECT_EQ(value_of(get, "X-Amz-Date"), "20150830T123600Z");
  EXPECT_EQ(value_of(get, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
  EXPECT_TRUE(
      value_of(sign(example("POST"), kExample), "Authorization")
          .ends_with("Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"));
}

TEST(SigV4, SignsFieldsBodyAndTheTokenOfTemporaryCredentials) {
  AwsRequest request = example("POST");
  request.fields = {{"Content-Type", " text/xml "}};
  const std::string plain = value_of(sign(request, kExample), "Authorization");
  EXPECT_NE(plain.find("SignedHeaders=content-type;host;x-amz-date,"), std::string::npos);
  request.body = "x";
  EXPECT_NE(value_of(sign(request, kExample), "Authorization"), plain);
  AwsCredentials temporary = kExample;
  temporary.session_token = "token";
  const auto signed_fields = sign(request, temporary);
  EXPECT_EQ(value_of(signed_fields, "X-Amz-Security-Token"), "token");
  EXPECT_NE(value_of(signed_fields, "Authorization").find(";x-amz-security-token,"),
            std::string::npos);
}

TEST(SigV4, DoesNotShowTheSecret) {
  for (const auto& [name, value] : sign(example("POST"), kExample))
    EXPECT_EQ(value.find(kExample.secret_key), std::string::npos) << name;
}

}  // namespace
}  // namespace headroom::auth
