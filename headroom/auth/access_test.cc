#include "headroom/auth/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "headroom/auth/login_limit.h"
#include "headroom/auth/source.h"

namespace headroom::auth {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'800'000'000)};

class AccessTest : public testing::Test {
 protected:
  AccessTest() {
    JwtOptions options{.roles = {{"super_admin", Role::admin}}};
    verifier_ = *JwtVerifier::make(std::move(options), {*Key::hmac(kSecret)});
    signer_ = std::make_shared<const Signer>(*Signer::make({std::string(32, 'k')}));
  }
  [[nodiscard]] Access access(std::vector<TokenEntry> entries) const {
    return {std::make_shared<const TokenTable>(std::move(entries)), verifier_, signer_};
  }
  [[nodiscard]] TokenEntry entry(Role role = Role::operator_) const {
    return {.name = "ci", .role = role, .digest = sha256(token_)};
  }
  static std::string jwt(std::string_view claims) {
    std::string text = base64url(R"({"alg":"HS256"})") + "." + base64url(claims);
    return text + "." + base64url(text_of(hmac_sha256(kSecret, text)));
  }
  static Result<Identity> by_header(const Access& access, const std::string& value,
                                    WallTime now = kNow) {
    return access.identify({.authorization = value}, now);
  }
  static Result<Identity> by_cookie(const Access& access, const std::string& value,
                                    WallTime now = kNow) {
    return access.identify({.session = value}, now);
  }
  inline static const std::string kSecret = std::string(32, 's');
  const std::string token_ = make_token();
  std::shared_ptr<const JwtVerifier> verifier_;
  std::shared_ptr<const Signer> signer_;
};

TEST_F(AccessTest, TokenInTheHeaderIdentifies) {
  const auto identity = by_header(access({entry()}), "Bearer " + token_);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->name, "ci");
  EXPECT_EQ(identity->role, Role::operator_);
  EXPECT_EQ(identity->via, Via::token);
}

TEST_F(AccessTest, JwtInTheHeaderIdentifies) {
  const auto identity = by_header(
      access({}), "bearer " + jwt(R"({"sub":"ann","role":"super_admin","exp":1800000100})"));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->name, "ann");
  EXPECT_EQ(identity->role, Role::admin);
}

TEST_F(AccessTest, EverythingElseIsUnauthorizedAndNeverShown) {
  const Access access = this->access({entry()});
  for (const std::string& value :
       {std::string(), std::string("Bearer"), std::string("Bearer "), token_, "Basic " + token_,
        std::string("Bearer  "), "Bearer " + token_ + " x", "Bearer " + token_ + ",Bearer x",
        "Bearer " + make_token(), "Bearer " + token_.substr(0, 40), std::string("Bearer a.b.c")}) {
    const auto identity = by_header(access, value);
    ASSERT_FALSE(identity) << value;
    EXPECT_EQ(identity.error().code, Errc::unauthorized);
    EXPECT_THAT(identity.error().message, testing::Not(testing::HasSubstr(token_.substr(4, 12))));
  }
  EXPECT_EQ(access.identify({}, kNow).error().message, "a token is needed");
}

TEST_F(AccessTest, WithoutAVerifierAJwtIsNoToken) {
  const Access plain(std::make_shared<const TokenTable>(std::vector<TokenEntry>{}), nullptr,
                     nullptr);
  EXPECT_FALSE(
      by_header(plain, "Bearer " + jwt(R"({"sub":"ann","role":"super_admin","exp":1800000100})")));
  EXPECT_FALSE(by_cookie(plain, "x.1.y"));
  EXPECT_EQ(plain.open_session({.name = "a", .role = Role::viewer}, kNow, hours(1)).error().code,
            Errc::unavailable);
}

TEST_F(AccessTest, SessionOfATokenLivesWithItsTokenAndHasItsRoleOfNow) {
  const Access before = access({entry()});
  const auto cookie = before.open_session(*before.identify_secret(token_, kNow), kNow, hours(12));
  ASSERT_TRUE(cookie);
  EXPECT_EQ(cookie->find(token_.substr(3, 10)), std::string::npos);
  const auto identity = by_cookie(before, *cookie);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->via, Via::session);
  EXPECT_EQ(identity->name, "ci");
  EXPECT_EQ(by_cookie(access({entry(Role::viewer)}), *cookie)->role, Role::viewer);
  EXPECT_FALSE(by_cookie(access({}), *cookie));  // revoked
  EXPECT_FALSE(by_cookie(before, *cookie, kNow + hours(12)));
  EXPECT_FALSE(by_cookie(before, *cookie + "A"));
}

TEST_F(AccessTest, SessionOfAJwtEndsWithItsExp) {
  const Access access = this->access({});
  const auto ann = access.identify_secret(
      jwt(R"({"sub":"ann lee","role":"super_admin","exp":1800000100})"), kNow);
  const auto cookie = access.open_session(*ann, kNow, hours(12));
  ASSERT_TRUE(cookie);
  const auto identity = by_cookie(access, *cookie, kNow + seconds(99));
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->name, "ann lee");
  EXPECT_EQ(identity->role, Role::admin);
  EXPECT_FALSE(by_cookie(access, *cookie, kNow + seconds(100)));
}

TEST_F(AccessTest, SessionOfAJwtEndsWhenWhatJudgesJwtsChanges) {
  const std::string token = jwt(R"({"sub":"ann","role":"super_admin","exp":1800000100})");
  const Access before = access({});
  const auto cookie = before.open_session(*before.identify_secret(token, kNow), kNow, hours(12));
  ASSERT_TRUE(by_cookie(before, *cookie));
  const auto with = [&](JwtOptions options, std::vector<Key> keys) {
    return Access(std::make_shared<const TokenTable>(std::vector<TokenEntry>{}),
                  *JwtVerifier::make(std::move(options), std::move(keys)), signer_);
  };
  const JwtOptions same{.roles = {{"super_admin", Role::admin}}};
  EXPECT_TRUE(by_cookie(with(same, {*Key::hmac(kSecret)}), *cookie));
  EXPECT_FALSE(by_cookie(with(same, {*Key::hmac(std::string(32, 'z'))}), *cookie));
  EXPECT_FALSE(
      by_cookie(with({.roles = {{"super_admin", Role::viewer}}}, {*Key::hmac(kSecret)}), *cookie));
  EXPECT_FALSE(
      by_cookie(with({.issuer = "app", .roles = same.roles}, {*Key::hmac(kSecret)}), *cookie));
  const Access none(std::make_shared<const TokenTable>(std::vector<TokenEntry>{}), nullptr,
                    signer_);
  EXPECT_FALSE(by_cookie(none, *cookie));
}

TEST_F(AccessTest, AnEndedSessionIsNoSessionAndOthersOfTheTokenGoOn) {
  const Access access = this->access({entry()});
  const auto who = access.identify_secret(token_, kNow);
  const auto one = access.open_session(*who, kNow, hours(12));
  const auto two = access.open_session(*who, kNow, hours(12));
  const auto mark = access.session_in(*one, kNow);
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->expires, kNow + hours(12));
  const Access after(std::make_shared<const TokenTable>(std::vector<TokenEntry>{entry()},
                                                        EndedSessions{.ids = {mark->id}}),
                     verifier_, signer_);
  EXPECT_FALSE(by_cookie(after, *one));
  EXPECT_FALSE(after.session_in(*one, kNow));
  EXPECT_TRUE(by_cookie(after, *two));
}

TEST_F(AccessTest, ASessionsOwnerIsItsTokenOrWhomTheJwtNames) {
  const Access access = this->access({entry()});
  const auto owner = [&](const Identity& who) {
    return access.session_in(*access.open_session(who, kNow, hours(12)), kNow)->owner;
  };
  const auto ci = access.identify_secret(token_, kNow);
  EXPECT_EQ(owner(*ci), ci->token_id);
  EXPECT_EQ(owner(*ci), owner(*ci));
  const auto ann = access.identify_secret(
      jwt(R"({"sub":"ann lee","role":"super_admin","exp":1800000100})"), kNow);
  EXPECT_EQ(owner(*ann), "jwt ann lee");
}

TEST_F(AccessTest, NoSessionLastsLongerThanItsEndIsKnown) {
  const Access access = this->access({entry()});
  const auto cookie = access.open_session(*access.identify_secret(token_, kNow), kNow, hours(1000));
  EXPECT_TRUE(by_cookie(access, *cookie, kNow + kMaxSessionLife - seconds(1)));
  EXPECT_FALSE(by_cookie(access, *cookie, kNow + kMaxSessionLife));
}

TEST_F(AccessTest, IdentityWithoutARoleGetsNoSession) {
  const Access access = this->access({});
  const auto ann =
      access.identify_secret(jwt(R"({"sub":"ann","role":"guest","exp":1800000100})"), kNow);
  ASSERT_TRUE(ann);
  EXPECT_FALSE(ann->may(Role::viewer));
  EXPECT_FALSE(access.open_session(*ann, kNow, hours(1)));
}

TEST_F(AccessTest, BadHeaderIsNotRescuedByAGoodCookie) {
  const Access access = this->access({entry()});
  const auto cookie = access.open_session(*access.identify_secret(token_, kNow), kNow, hours(1));
  EXPECT_FALSE(access.identify({.authorization = "Bearer wrong", .session = *cookie}, kNow));
}

TEST_F(AccessTest, ValueSignedForAnotherPurposeIsNoSession) {
  const Access access = this->access({entry()});
  EXPECT_FALSE(by_cookie(access, *signer_->sign("other", "jwt admin eve", kNow + hours(1))));
  EXPECT_FALSE(by_cookie(access, *signer_->sign("session", "jwt none eve", kNow + hours(1))));
  EXPECT_FALSE(by_cookie(access, *signer_->sign("session", "else", kNow + hours(1))));
}

TEST(Cookie, IsFoundAmongOthersAndRefusedTwice) {
  EXPECT_EQ(cookie_in("a=1; headroom_session=x.y.z; b=2", kSessionCookie), "x.y.z");
  EXPECT_EQ(cookie_in("headroom_session=", kSessionCookie), "");
  EXPECT_EQ(cookie_in("xheadroom_session=1; headroom_sessionx=2", kSessionCookie), std::nullopt);
  EXPECT_EQ(cookie_in("headroom_session=1; headroom_session=2", kSessionCookie), std::nullopt);
  EXPECT_EQ(cookie_in("", kSessionCookie), std::nullopt);
  EXPECT_EQ(cookie_in(";;=;", kSessionCookie), std::nullopt);
}

const std::vector<std::string> kNames{"ops.example.com", "headroom"};

TEST(Host, IsAnAddressLocalhostOrAConfiguredName) {
  for (const char* host : {"127.0.0.1", "127.0.0.1:9090", "10.1.2.3:80", "[::1]", "[::1]:9090",
                           "[fe80::1]:1", "localhost", "localhost:9090", "LOCALHOST",
                           "ops.example.com", "OPS.example.com:9090", "headroom:9090"})
    EXPECT_TRUE(host_allowed(host, kNames)) << host;
}

TEST(Host, OfARebindingAttackIsRefused) {
  for (const char* host : {"",
                           ":9090",
                           "evil.test",
                           "evil.test:9090",
                           "127.0.0.1.evil.test",
                           "localhost.evil.test",
                           "evil.localhost",
                           "localhost.",
                           "127.0.0.1.",
                           "127.1",
                           "0x7f.0.0.1",
                           "2130706433",
                           "127.0.0.01",
                           "127.0.0.256",
                           "::1",
                           "[::1",
                           "[::1]x",
                           "[::1%lo]",
                           "[localhost]",
                           "[127.0.0.1]",
                           "localhost:",
                           "localhost:0",
                           "localhost:65536",
                           "localhost:9090:1",
                           "localhost:+80",
                           "localhost@evil.test",
                           "localhost/",
                           " localhost",
                           "localhost ",
                           "example.com",
                           "x.ops.example.com",
                           "ops.example.com.evil.test",
                           "ops_example_com"})
    EXPECT_FALSE(host_allowed(host, kNames)) << host;
}

struct OriginRow {
  const char* origin;
  const char* host;
  bool matches;
};

TEST(Origin, MustNameTheHostThatWasAsked) {
  const std::vector<OriginRow> rows{
      {"http://127.0.0.1:9090", "127.0.0.1:9090", true},
      {"http://[::1]:9090", "[::1]:9090", true},
      {"http://Localhost:9090", "localhost:9090", true},
      {"https://ops.example.com", "ops.example.com", true},
      {"https://ops.example.com", "ops.example.com:443", true},
      {"http://ops.example.com:80", "ops.example.com", true},
      {"https://ops.example.com", "ops.example.com:80", false},
      {"http://localhost:3000", "localhost:9090", false},  // the app itself, on the same machine
      {"http://localhost:9090", "127.0.0.1:9090", false},
      {"http://evil.test", "127.0.0.1:9090", false},
      {"http://127.0.0.1:9090.evil.test", "127.0.0.1:9090", false},
      {"http://127.0.0.1:9090@evil.test", "127.0.0.1:9090", false},
      {"http://127.0.0.1:9090/", "127.0.0.1:9090", false},
      {"http://127.0.0.1:9090 http://evil.test", "127.0.0.1:9090", false},
      {"null", "127.0.0.1:9090", false},
      {"", "127.0.0.1:9090", false},
      {"http://", "127.0.0.1:9090", false},
      {"127.0.0.1:9090", "127.0.0.1:9090", false},
      {"file://", "127.0.0.1:9090", false},
      {"chrome-extension://127.0.0.1:9090", "127.0.0.1:9090", false},
      {"HTTP://127.0.0.1:9090", "127.0.0.1:9090", false},  // browsers write it in lower case
  };
  for (const OriginRow& row : rows)
    EXPECT_EQ(origin_matches(row.origin, row.host), row.matches) << row.origin << " " << row.host;
}

struct SourceRow {
  const char* name;
  Source source;
  bool allowed;
};

TEST(Source, DecidesByHostThenOriginThenBody) {
  const char* us = "127.0.0.1:9090";
  const char* own = "http://127.0.0.1:9090";
  const char* evil = "https://evil.test";
  const std::vector<SourceRow> rows{
      {"a command line reads", {.act = Act::read, .host = us}, true},
      {"a command line changes",
       {.act = Act::change, .host = us, .content_type = "application/json"},
       true},
      {"a change without a body", {.act = Act::change, .host = us}, true},
      {"the dashboard changes",
       {.act = Act::change,
        .host = us,
        .origin = own,
        .fetch_site = "same-origin",
        .content_type = "application/json; charset=utf-8"},
       true},
      {"another site's page reads: its browser keeps the answer from it",
       {.act = Act::read, .host = us, .origin = evil},
       true},
      {"another site's page changes",
       {.act = Act::change, .host = us, .origin = evil, .content_type = "application/json"},
       false},
      {"another site's form without Origin",
       {.act = Act::change, .host = us, .fetch_site = "cross-site"},
       false},
      {"another port of this machine",
       {.act = Act::change, .host = us, .fetch_site = "same-site"},
       false},
      {"a sandboxed page", {.act = Act::change, .host = us, .origin = "null"}, false},
      {"a form's body", {.act = Act::change, .host = us, .content_type = "text/plain"}, false},
      {"a form's body that says JSON later",
       {.act = Act::change, .host = us, .content_type = "text/plain; application/json"},
       false},
      {"an empty content type", {.act = Act::change, .host = us, .content_type = ""}, false},
      {"a rebound name reads", {.act = Act::read, .host = "evil.test:9090"}, false},
      {"a rebound name with its own Origin",
       {.act = Act::change, .host = "evil.test:9090", .origin = "http://evil.test:9090"},
       false},
      {"the dashboard's live feed", {.act = Act::connect, .host = us, .origin = own}, true},
      {"another site's WebSocket", {.act = Act::connect, .host = us, .origin = evil}, false},
      {"a program's WebSocket", {.act = Act::connect, .host = us}, true},
  };
  for (const SourceRow& row : rows) {
    const auto checked = check_source(row.source, kNames);
    EXPECT_EQ(checked.has_value(), row.allowed) << row.name;
    if (!checked) EXPECT_EQ(checked.error().code, Errc::unauthorized) << row.name;
  }
}

TEST(LoginLimit, BlocksAfterTheLimitUntilTheWindowEnds) {
  LoginLimit limit({.failures = 3, .window = std::chrono::minutes(15)});
  const TimePoint begin{hours(1)};
  for (const char* token : {"a", "b"}) limit.failed("10.0.0.1", token, begin);
  EXPECT_EQ(limit.blocked_for("10.0.0.1", begin), std::nullopt);
  limit.failed("10.0.0.1", "c", begin + std::chrono::minutes(5));
  EXPECT_EQ(limit.blocked_for("10.0.0.1", begin + std::chrono::minutes(5)),
            std::chrono::minutes(10));
  EXPECT_EQ(limit.blocked_for("10.0.0.2", begin), std::nullopt);
  limit.failed("10.0.0.1", "d", begin + std::chrono::minutes(14));
  EXPECT_EQ(limit.blocked_for("10.0.0.1", begin + std::chrono::minutes(15)), std::nullopt);
  limit.failed("10.0.0.1", "e", begin + std::chrono::minutes(15));
  EXPECT_EQ(limit.blocked_for("10.0.0.1", begin + std::chrono::minutes(15)), std::nullopt);
}

TEST(LoginLimit, TheSameBadCredentialAgainIsNoGuess) {
  LoginLimit limit({.failures = 2});
  const TimePoint now{hours(1)};
  for (int i = 0; i < 100; ++i) limit.failed("10.0.0.1", "an old token in a script", now);
  EXPECT_FALSE(limit.blocked_for("10.0.0.1", now));
  limit.failed("10.0.0.1", "another", now);
  EXPECT_TRUE(limit.blocked_for("10.0.0.1", now));
}

TEST(LoginLimit, MemoryIsBoundedWhoeverKnocks) {
  LoginLimit limit({.failures = 1, .max_addresses = 100});
  const TimePoint now{hours(1)};
  for (int i = 0; i < 10000; ++i) limit.failed("host" + std::to_string(i), "x", now + Duration(i));
  EXPECT_EQ(limit.size(), 100U);
  EXPECT_TRUE(limit.blocked_for("host9999", now + Duration(10000)));
  EXPECT_FALSE(limit.blocked_for("host1", now + Duration(10000)));
  limit.failed("last", "x", now + hours(1));
  EXPECT_EQ(limit.size(), 1U);
}

TEST(LoginLimit, CountsAnIpv6NetworkAsOne) {
  EXPECT_EQ(address_group("2001:db8:1:2:aaaa::1"), address_group("2001:db8:1:2:bbbb::2"));
  EXPECT_NE(address_group("2001:db8:1:2::1"), address_group("2001:db8:1:3::1"));
  EXPECT_EQ(address_group("::ffff:10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(address_group("10.0.0.1"), "10.0.0.1");
}

}  // namespace
}  // namespace headroom::auth
