#include "headroom/limit/users.h"

#include <fmt/format.h>

#include "headroom/limit/rules_fixture_test.h"

namespace headroom::limit {
namespace {

constexpr std::string_view kSecret = "0123456789abcdef0123456789abcdef";

std::string token(std::string_view claims, std::string_view secret = kSecret) {
  const std::string head =
      auth::base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + auth::base64url(claims);
  return head + "." + auth::base64url(text_of(auth::hmac_sha256(secret, head)));
}
std::string claims(std::string_view user, std::string_view more = "", int life_s = 600) {
  return fmt::format(R"({{"sub":"{}","exp":{}{}}})", user,
                     auth::wall_now().time_since_epoch().count() + life_s, more);
}
Request signed_in(const std::string& jwt) {
  return {.headers = {{"Authorization", "Bearer " + jwt}}};
}

class UsersTest : public RulesTest {
 protected:
  void SetUp() override {
    use(fmt::format(R"([limit]
jwt.secret = "{}"
jwt.tier_claim = "app.plan"
api_key_header = "X-API-Key"
api_keys = {{ acme = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b" }}
[[limit.rules]]
name = "api"
rate = "3/min"
[[limit.rules.tiers]]
name = "gold"
rate = "6/min"
users = ["acme"])",
                    kSecret));
  }
  std::uint64_t tokens(const char* result) {
    static constexpr metrics::Family kLooked{
        "headroom_limit_tokens_total", metrics::Kind::counter, "", {"result"}};
    return registry_.counter(kLooked, {result}).total();
  }
};

TEST_F(UsersTest, AUserIsCountedByNameWhereverTheTokenComesFrom) {
  Request home = signed_in(token(claims("anna")));
  Request office = signed_in(token(claims("anna", R"(,"jti":"2")")));
  office.address = "10.0.0.2";
  EXPECT_EQ(allowed_of(2, home), 2);
  EXPECT_EQ(allowed_of(2, office), 1);
  EXPECT_EQ(allowed_of(5, signed_in(token(claims("bert")))), 3);
  EXPECT_EQ(status("api").top[0].subject, "bert");
  EXPECT_EQ(tokens("verified"), 3U);
  EXPECT_GT(tokens("known"), 3U);
}

TEST_F(UsersTest, ATokenThatDoesNotVerifyIsNobody) {
  const std::string good = token(claims("anna"));
  const std::string bad[] = {token(claims("anna"), "ffffffffffffffffffffffffffffffff"),
                             token(claims("anna", "", -600)),
                             good + "x",
                             "not.a.jwt",
                             token(R"({"exp":99999999999})"),
                             std::string(64 << 10, 'a')};
  int allowed = 0;
  for (const std::string& forged : bad) allowed += allowed_of(3, signed_in(forged));
  EXPECT_EQ(allowed, 3);  // all of them are the address's
  EXPECT_EQ(status("api").top[0].subject, "10.0.0.1");
  EXPECT_EQ(tokens("refused"), 18U);
  EXPECT_EQ(allowed_of(9, signed_in(good)), 3);  // and it recovers
}

TEST(Users, ATokenIsNotRememberedBeyondItsEnd) {
  metrics::Registry registry(1);
  LimitOptions options = limit_section().defaults();
  options.jwt.secret = kSecret;
  const auto users = Users::make(options, registry);
  ASSERT_TRUE(users);
  const std::string bearer = "Bearer " + token(claims("anna", "", 600));
  http::RequestHead head;
  head.add({.id = http::Name::authorization, .name = "Authorization", .value = bearer});
  const auth::WallTime now = auth::wall_now();
  EXPECT_TRUE((*users)->shown_by(head, now).must_verify());
  EXPECT_EQ((*users)->user_of((*users)->shown_by(head, now), head, now, 0)->name, "anna");
  EXPECT_TRUE((*users)->shown_by(head, now + std::chrono::seconds(590)).known);
  const auth::WallTime later = now + std::chrono::seconds(700);  // beyond the leeway too
  EXPECT_FALSE((*users)->shown_by(head, later).known);
  EXPECT_EQ((*users)->user_of((*users)->shown_by(head, later), head, later, 0), nullptr);
}

TEST_F(UsersTest, TheTierClaimAndListedUsersHaveTheirBudget) {
  EXPECT_EQ(allowed_of(9, signed_in(token(claims("cleo", R"(,"app":{"plan":"gold"})")))), 6);
  EXPECT_EQ(allowed_of(9, signed_in(token(claims("dora", R"(,"app":{"plan":"tin"})")))), 3);
  EXPECT_EQ(allowed_of(9, signed_in(token(claims("acme")))), 6);
}

TEST_F(UsersTest, OnlyKnownApiKeysAreUsers) {
  EXPECT_EQ(allowed_of(9, {.headers = {{"x-api-key", "secret"}}}), 6);
  EXPECT_EQ(allowed_of(2, {.headers = {{"X-API-Key", "guess 1"}}}), 2);
  EXPECT_EQ(allowed_of(9, {.headers = {{"X-API-Key", "guess 2"}}}),
            1);  // no new budget for a new guess
  EXPECT_EQ(status("api").top.size(), 2U);
}

// A flood of forged tokens that the address's rule refuses costs no signature check.
TEST_F(RulesTest, WhatAnAddressRuleRefusesIsNotVerified) {
  use(
      fmt::format("[limit]\naddress_rate = \"5/min\"\njwt.secret = \"{}\"\n[[limit.rules]]\nname = "
                  "\"api\"\npreset = \"api\"",
                  kSecret));
  for (int i = 0; i < 50; ++i)
    static_cast<void>(
        ask(signed_in(token(claims("eve", fmt::format(R"(,"jti":{})", i)), std::string(32, 'f')))));
  static constexpr metrics::Family kLooked{
      "headroom_limit_tokens_total", metrics::Kind::counter, "", {"result"}};
  EXPECT_EQ(registry_.counter(kLooked, {"refused"}).total(), 5U);
  EXPECT_EQ(status("address_rate").refused, 45U);
}

}  // namespace
}  // namespace headroom::limit
