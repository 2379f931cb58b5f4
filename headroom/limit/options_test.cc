#include "headroom/limit/options.h"

#include <gmock/gmock.h>

#include "headroom/limit/rules_fixture_test.h"

namespace headroom::limit {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::string& toml) {
  auto options = options_in(toml);
  return options ? "accepted" : options.error().message;
}
std::string rule(const std::string& lines) { return "[[limit.rules]]\nname = \"r\"\n" + lines; }

TEST(LimitOptions, BadSettingsAreRefusedWithTheirPlaceAndWhatIsAccepted) {
  EXPECT_THAT(
      refusal(rule("rate = \"100 per minute\"")),
      HasSubstr("headroom.toml:3: limit.rules[0].rate = \"100 per minute\": expected a rate"));
  EXPECT_THAT(refusal(rule("rate = \"0/s\"")), HasSubstr("expected a rate"));
  EXPECT_THAT(refusal(rule("rate = \"1/400d\"")), HasSubstr("31d"));
  EXPECT_THAT(refusal(rule("rat = \"1/s\"")), HasSubstr("did you mean 'rate'?"));
  EXPECT_THAT(refusal(rule("preset = \"autf\"")),
              HasSubstr("one of none, auth, api, heavy, realtime, address"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\nsubject = \"ip\"")),
              HasSubstr("headroom.toml:4: limit.rules[0].subject = \"ip\""));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\nsubject = \"cookie:\"")),
              HasSubstr("such as user, address"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\nmethods = [\"get\"]")), HasSubstr("such as POST"));
  EXPECT_THAT(refusal("[[limit.rules]]\nrate = \"1/s\""),
              HasSubstr("'limit.rules[0].name' is required"));
  EXPECT_THAT(refusal("[[limit.rules]]\nname = \"a\\\"b\"\nrate = \"1/s\""),
              HasSubstr("of letters, digits"));
  EXPECT_THAT(refusal("[limit]\nadress_rate = \"1/s\""), HasSubstr("did you mean 'address_rate'?"));
}

TEST(LimitOptions, WhatDoesNotGoTogetherIsRefused) {
  EXPECT_THAT(refusal(rule("")), HasSubstr("headroom.toml:1: [limit.rules[0]]: it needs rate"));
  EXPECT_THAT(refusal(rule("algorithm = \"concurrency\"")), HasSubstr("it needs at_once"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\nburst = 3")), HasSubstr("burst is for algorithm"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\nat_once = 3")), HasSubstr("at_once is for algorithm"));
  EXPECT_THAT(refusal(rule("rate = \"5/s\"\ncost = 6")), HasSubstr("would never be allowed"));
  EXPECT_THAT(refusal(rule("rate = \"5/s\"\ncosts = { \"POST\" = 6 }")),
              HasSubstr("would never be allowed"));
  EXPECT_THAT(refusal(rule("rate = \"5/s\"\ncosts = { \"post it\" = 2 }")),
              HasSubstr("costs: 'post it' is not such as POST"));
  EXPECT_THAT(refusal(rule("rate = \"1/d\"\nalgorithm = \"gcra\"\nburst = 1000")),
              HasSubstr("the burst is more than"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"") + "\n" + rule("rate = \"1/s\"")),
              HasSubstr("two rules are named 'r'"));
  EXPECT_THAT(refusal(rule("rate = \"1/s\"\n[[limit.rules.tiers]]\nname = \"gold\"")),
              HasSubstr("tier 'gold': it needs rate"));
  EXPECT_THAT(
      refusal(rule(
          "rate = \"1/s\"\nsubject = \"all\"\n[[limit.rules.tiers]]\nname = \"gold\"\nshare = 0.7\n"
          "[[limit.rules.tiers]]\nname = \"tin\"\nshare = 0.4")),
      HasSubstr("more than 1 in all"));
  EXPECT_THAT(refusal("[limit]\napi_key_header = \"X-API-Key\""),
              HasSubstr("api_key_header and api_keys go together"));
  EXPECT_THAT(refusal("[limit]\napi_key_header = \"X-API-Key\"\napi_keys = { acme = \"secret\" }"),
              HasSubstr("sha256:"));
}

TEST(LimitOptions, TheSeedsVariablesAreUnderstood) {
  config::Schema schema;
  schema.add(limit_section());
  const auto settings = schema.load(
      {.environment = {{"NGINX_RATE_LIMIT", "100r/s"}, {"ENABLE_RATE_LIMITING", "true"}}});
  ASSERT_TRUE(settings) << settings.error().message;
  const auto& options = (*settings)->get<LimitOptions>();
  EXPECT_EQ(options.address_rate, (config::Rate{100, 1s}));
  EXPECT_TRUE(options.enabled);
}

TEST(LimitOptions, AnUnknownRouteIsToldWithTheNearestOne) {
  const auto options = options_in(rule("rate = \"1/s\"\nroutes = [\"chekout\"]"));
  EXPECT_THAT(check_routes(*options, {"cart", "checkout"}).error().message,
              HasSubstr("limit.rules 'r': there is no route 'chekout'; did you mean 'checkout'?"));
  EXPECT_TRUE(check_routes(*options, {"chekout"}));
}

TEST_F(RulesTest, AfterABadReloadTheOldRulesGoOnAndAGoodOneIsTaken) {
  use("[limit]\naddress_rate = \"2/min\"");
  auto bad = options_in("[limit]\naddress_rate = \"2/min\"\njwt.public_key = \"/nowhere/key.pem\"");
  ASSERT_TRUE(bad);
  const auto refused = Rules::make(*bad, rules_.get(), registry_);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("limit.jwt.public_key: "));
  EXPECT_EQ(allowed_of(5), 2);
  use("[limit]\naddress_rate = \"4/min\"");  // and it recovers
  EXPECT_EQ(allowed_of(5), 4);
}

}  // namespace
}  // namespace headroom::limit
