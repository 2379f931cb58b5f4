#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "headroom/base/hash.h"
#include "headroom/limit/rules_fixture_test.h"

namespace headroom::limit {
namespace {

TEST_F(RulesTest, WithoutRulesNothingIsAsked) {
  use("");
  EXPECT_FALSE(rules_->any());
}

TEST_F(RulesTest, ARuleCountsEachAddressByItself) {
  use(R"([[limit.rules]]
name = "few"
rate = "3/min"
subject = "address")");
  EXPECT_EQ(allowed_of(5), 3);
  EXPECT_EQ(allowed_of(5, {.address = "10.0.0.2"}), 3);
  now_ += 60s;
  EXPECT_EQ(allowed_of(5), 3);  // and it recovers
}

TEST_F(RulesTest, AnIpv6ClientIsItsNetwork) {
  use(R"([[limit.rules]]
name = "few"
rate = "3/min"
subject = "address")");
  EXPECT_EQ(allowed_of(2, {.address = "2001:db8::1"}), 2);
  EXPECT_EQ(allowed_of(2, {.address = "2001:db8::ffff:2"}), 1);
  EXPECT_EQ(allowed_of(2, {.address = "2001:db8:0:1::1"}), 2);
}

TEST_F(RulesTest, TheSeedsClassesAreWhatTheirDocumentSays) {
  use(R"([[limit.rules]]
name = "auth"
preset = "auth"
path = "/login"
[[limit.rules]]
name = "api"
preset = "api"
path = "/api"
[[limit.rules]]
name = "heavy"
preset = "heavy"
path = "/analytics"
[[limit.rules]]
name = "realtime"
preset = "realtime"
path = "/ws"
[[limit.rules]]
name = "address"
preset = "address"
path = "/all")");
  EXPECT_EQ(allowed_of(2000, {.path = "/login"}), 10);
  EXPECT_EQ(allowed_of(2000, {.path = "/api/x"}), 1000);
  EXPECT_EQ(allowed_of(2000, {.path = "/analytics"}), 10);
  EXPECT_EQ(allowed_of(2000, {.path = "/ws"}), 50);
  EXPECT_EQ(allowed_of(2000, {.path = "/all"}), 100);
  now_ += 5s;
  EXPECT_EQ(allowed_of(2000, {.path = "/ws"}), 50);
  EXPECT_EQ(allowed_of(2000, {.path = "/all"}), 100);
  EXPECT_EQ(allowed_of(2000, {.path = "/analytics"}), 0);
  now_ += 900s;
  EXPECT_EQ(allowed_of(2000, {.path = "/login"}), 10);
}

TEST_F(RulesTest, NginxsRateByAddress) {
  use("[limit]\naddress_rate = \"100r/s\"");
  EXPECT_EQ(allowed_of(300), 100);
  EXPECT_EQ(status("address_rate").refused, 200U);
}

TEST_F(RulesTest, MatchByRouteHostPathMethodAndHeader) {
  use(R"([[limit.rules]]
name = "one"
rate = "1/min"
subject = "address"
routes = ["checkout"]
host = "*.example.org"
path = "/pay"
methods = ["POST", "PUT"]
header = "X-Client: mobile")");
  const Request hit{.path = "/pay/card",
                    .headers = {{"x-client", "mobile"}},
                    .method = "POST",
                    .route = "checkout",
                    .host = "shop.example.org"};
  EXPECT_EQ(allowed_of(3, hit), 1);
  Request other = hit;
  other.route = "cart";
  EXPECT_EQ(allowed_of(3, other), 3);
  other = hit;
  other.host = "example.org";
  EXPECT_EQ(allowed_of(3, other), 3);
  other = hit;
  other.path = "/payment";
  EXPECT_EQ(allowed_of(3, other), 3);
  other = hit;
  other.method = "GET";
  EXPECT_EQ(allowed_of(3, other), 3);
  other = hit;
  other.headers = {{"X-Client", "web"}};
  EXPECT_EQ(allowed_of(3, other), 3);
}

TEST_F(RulesTest, ARefusedRequestUsesUpNothingOfTheOthers) {
  use(R"([[limit.rules]]
name = "wide"
rate = "10/min"
subject = "address"
[[limit.rules]]
name = "narrow"
rate = "2/min"
subject = "address"
path = "/narrow"
[[limit.rules]]
name = "open"
algorithm = "concurrency"
at_once = 50
subject = "address")");
  EXPECT_EQ(allowed_of(100, {.path = "/narrow"}), 2);
  EXPECT_EQ(allowed_of(100, {.path = "/"}), 8);
  EXPECT_EQ(status("open").top.size(), 0U);
  EXPECT_EQ(status("wide").refused, 92U);
  EXPECT_EQ(status("narrow").refused, 98U);
}

TEST_F(RulesTest, ShadowRulesCountAndRefuseNothing) {
  use(R"([[limit.rules]]
name = "trial"
rate = "2/min"
subject = "address"
mode = "shadow")");
  const Decision decision = ask({});
  EXPECT_TRUE(decision.verdicts().empty());  // clients do not hear of it
  EXPECT_EQ(allowed_of(9), 9);
  const RuleStatus trial = status("trial");
  EXPECT_EQ(trial.allowed, 2U);
  EXPECT_EQ(trial.shadow_refused, 8U);
  EXPECT_EQ(trial.refused, 0U);
  ASSERT_EQ(trial.top.size(), 1U);
  EXPECT_EQ(trial.top[0].subject, "10.0.0.1");
  EXPECT_EQ(trial.top[0].refused, 8U);
}

TEST_F(RulesTest, RequestsCostWhatTheRuleSays) {
  use(R"([[limit.rules]]
name = "units"
rate = "20/min"
subject = "address"
costs = { "POST" = 2, "/reports" = 5, "POST /reports" = 10 })");
  EXPECT_EQ(allowed_of(1, {.path = "/reports/1", .method = "POST"}), 1);  // 10
  EXPECT_EQ(allowed_of(1, {.path = "/reports/1"}), 1);                    // 5
  EXPECT_EQ(allowed_of(1, {.path = "/x", .method = "POST"}), 1);          // 2
  EXPECT_EQ(allowed_of(1, {.path = "/reports/1"}), 0);
  EXPECT_EQ(allowed_of(9), 3);
}

TEST_F(RulesTest, ConcurrencyIsGivenBackWhenTheRequestEnds) {
  use(R"([[limit.rules]]
name = "open"
algorithm = "concurrency"
at_once = 2
subject = "address")");
  auto first = std::make_unique<Decision>(ask({}));
  Decision second = ask({});
  EXPECT_TRUE(second.allowed());
  EXPECT_FALSE(ask({}).allowed());
  first.reset();
  EXPECT_TRUE(ask({}).allowed());  // and it recovers
  second = Decision();
  EXPECT_EQ(allowed_of(50), 50);
}

TEST_F(RulesTest, LongRequestsDoNotKeepThePlacesOfShortOnes) {
  use(R"([[limit.rules]]
name = "open"
algorithm = "concurrency"
at_once = 2
subject = "address"
max_subjects = 16)");
  std::vector<Decision> held;
  for (int i = 0; i < 8; ++i) held.push_back(ask({.address = "10.1.0." + std::to_string(i)}));
  for (int i = 0; i < 250; ++i)
    EXPECT_TRUE(ask({.address = "10.2.0." + std::to_string(i)}).allowed());
  EXPECT_EQ(status("open").shared, 0U);
  EXPECT_GT(status("open").evicted, 200U);
  EXPECT_EQ(allowed_of(1, {.address = "10.1.0.0"}), 1);  // the second of two
}

TEST_F(RulesTest, AReloadKeepsTheCountsOfRulesThatStayTheSame) {
  const std::string rule = R"(
[[limit.rules]]
name = "few"
rate = "5/min"
subject = "address"
)";
  use(rule);
  EXPECT_EQ(allowed_of(3), 3);
  use(rule +
      "path = \"/\"\nmode = \"shadow\"\n[[limit.rules]]\nname = \"new\"\nrate = \"100/min\"");
  EXPECT_EQ(allowed_of(3), 3);
  EXPECT_EQ(status("few").shadow_refused, 1U);
  use(rule);
  EXPECT_EQ(allowed_of(3), 0);
  use("[[limit.rules]]\nname = \"few\"\nrate = \"6/min\"\nsubject = \"address\"");  // another limit begins anew
  EXPECT_EQ(allowed_of(9), 6);
}

TEST_F(RulesTest, WhatWasHeldBeforeAReloadIsGivenBackAfterIt) {
  const std::string rule =
      "[[limit.rules]]\nname = \"open\"\nalgorithm = \"concurrency\"\nat_once = 1\nsubject = "
      "\"address\"\n";
  use(rule);
  {
    const Decision held = ask({});
    use(rule + "cost = 1\nmethods = [\"GET\"]");
    EXPECT_FALSE(ask({}).allowed());
  }
  EXPECT_TRUE(ask({}).allowed());
  const Decision held = ask({});
  use("");  // the rule goes, the request ends later
}

TEST_F(RulesTest, CookiesAndHeadersAreSubjectsWithoutThemTheAddressIs) {
  use(R"([[limit.rules]]
name = "session"
rate = "2/min"
subject = "cookie:session"
[[limit.rules]]
name = "key"
rate = "3/min"
subject = "header:X-API-Key"
path = "/api")");
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "a=b; session=one"}}}), 2);
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session=two"}}}), 2);
  EXPECT_EQ(allowed_of(5), 2);
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session="}}}), 0);  // the address again
  const RuleStatus sessions = status("session");
  for (const SubjectStatus& subject : sessions.top) {
    EXPECT_TRUE(subject.subject == "10.0.0.1" ||
                (subject.subject.size() == 9 && subject.subject[0] == '#'))
        << subject.subject;
  }
  EXPECT_EQ(sessions.top.size(), 3U);
}

TEST_F(RulesTest, AnAbsurdSubjectIsCutAndItRecovers) {
  use(R"([[limit.rules]]
name = "session"
rate = "2/min"
subject = "cookie:session")");
  const std::string absurd(64 << 10, 'x');
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session=" + absurd}}}), 2);
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session=" + absurd + "y"}}}),
            0);  // no new budget for a new tail
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session=one; session=two"}}}),
            2);                                                            // ambiguous: the address
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", ";;;=;session"}}}), 0);  // likewise
  EXPECT_EQ(allowed_of(5, {.headers = {{"Cookie", "session=sane"}}}), 2);  // and it recovers
}

TEST_F(RulesTest, TiersHaveBudgetsOfTheirOwn) {
  use(R"([limit]
tier_header = "X-Plan"
[[limit.rules]]
name = "api"
rate = "2/min"
subject = "address"
[[limit.rules.tiers]]
name = "gold"
rate = "5/min")");
  EXPECT_EQ(allowed_of(9, {.headers = {{"X-Plan", "gold"}}, .trusted = true}), 5);
  EXPECT_EQ(allowed_of(9, {.headers = {{"X-Plan", "gold"}}}), 2);  // anybody may write that
  EXPECT_EQ(allowed_of(9, {.address = "10.0.0.9", .headers = {{"X-Plan", "tin"}}, .trusted = true}),
            2);
}

TEST_F(RulesTest, TiersKeepTheirShareOfABudgetForAll) {
  use(R"([limit]
tier_header = "X-Plan"
[[limit.rules]]
name = "all"
rate = "100/s"
subject = "all"
[[limit.rules.tiers]]
name = "gold"
share = 0.3)");
  EXPECT_EQ(allowed_of(500), 70);
  const Request gold{.headers = {{"X-Plan", "gold"}}, .trusted = true};
  EXPECT_EQ(allowed_of(500, gold), 30);
  now_ += 2s;
  EXPECT_EQ(allowed_of(500, gold), 100);  // its own part, then what no tier keeps
  EXPECT_EQ(allowed_of(500), 0);
}

TEST_F(RulesTest, FieldsNameTheMostRestrictiveRuleFirst) {
  use(R"([[limit.rules]]
name = "wide"
preset = "api"
[[limit.rules]]
name = "narrow"
rate = "10/min"
subject = "address"
[[limit.rules]]
name = "open"
algorithm = "concurrency"
at_once = 500
subject = "address")");
  std::string lines;
  ask({}).append_fields(lines);
  EXPECT_EQ(lines,
            "RateLimit-Policy: \"narrow\";q=10;w=60, \"open\";q=500;qu=\"concurrent-requests\", "
            "\"wide\";q=1000;w=900\r\n"
            "RateLimit: \"narrow\";r=9;t=60, \"open\";r=499, \"wide\";r=999;t=900\r\n");
  EXPECT_EQ(allowed_of(9), 9);
  now_ += 30s + 1ms;
  const Decision refused = ask({});
  EXPECT_EQ(refused.refused_by(), "narrow");
  EXPECT_EQ(refused.retry_after(), 30s - 1ms);
  lines.clear();
  refused.append_fields(lines);
  EXPECT_TRUE(lines.starts_with("RateLimit-Policy: \"narrow\";q=10;w=60, ")) << lines;
  EXPECT_TRUE(lines.ends_with("\r\nRetry-After: 30\r\n")) << lines;
  EXPECT_NE(lines.find("\"open\";r=500"), std::string::npos) << lines;
}

TEST_F(RulesTest, HeadersCanBeLeftOut) {
  use("[limit]\nheaders = false\naddress_rate = \"1/min\"");
  std::string lines;
  ask({}).append_fields(lines);
  EXPECT_EQ(lines, "");
  ask({}).append_fields(lines);
  EXPECT_EQ(lines, "Retry-After: 60\r\n");
}

// Threads with clocks that differ a little, each request with a subject of a few: nobody is ever over, in any window.
TEST_F(RulesTest, ManyThreadsKeepEveryPromise) {
  use(R"([[limit.rules]]
name = "log"
rate = "20/s"
subject = "address"
[[limit.rules]]
name = "sub"
rate = "200/s"
subject = "all"
[[limit.rules]]
name = "open"
algorithm = "concurrency"
at_once = 3
subject = "address")");
  constexpr int kThreads = 4;
  std::atomic<std::int64_t> clock{0};
  std::array<std::atomic<int>, 4> open{};
  std::array<std::vector<std::pair<int, TimePoint>>, kThreads> allowed;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Random random(static_cast<std::uint64_t>(t));
      http::RequestHead head;
      for (int i = 0; i < 6000; ++i) {
        const auto subject = static_cast<std::uint8_t>(random.below(4));
        const TimePoint now =
            now_ + Duration(clock.fetch_add(static_cast<std::int64_t>(random.below(600'000))));
        const Asked asked{.head = head,
                          .route = "",
                          .host = "",
                          .path = "/",
                          .client = IpAddress::v4({10, 0, 0, subject})};
        const Decision decision = rules_->decide(asked, static_cast<std::size_t>(t), now);
        if (!decision.allowed()) continue;
        EXPECT_LE(open[subject].fetch_add(1) + 1, 3);
        allowed[static_cast<std::size_t>(t)].emplace_back(subject, now);
        open[subject].fetch_sub(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<int, std::vector<TimePoint>> uses;
  for (const auto& part : allowed) {
    for (const auto& [who, at] : part) {
      uses[who].push_back(at);
      uses[-1].push_back(at);
    }
  }
  for (auto& [subject, times] : uses) {
    std::ranges::sort(times);
    const std::size_t limit = subject < 0 ? 200 : 20;
    EXPECT_GT(times.size(), limit);
    for (std::size_t i = 0; i + limit < times.size(); ++i)
      ASSERT_GE(times[i + limit] - times[i], 1s) << subject;
  }
  for (const SubjectStatus& subject : status("open").top)
    EXPECT_EQ(subject.used, 0U);  // all was given back
}

}  // namespace
}  // namespace headroom::limit
