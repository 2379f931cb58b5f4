#include "headroom/edge/upstream.h"

#include <gtest/gtest.h>

#include <map>

#include "headroom/edge/checker.h"
#include "headroom/edge/routes.h"

namespace headroom::edge {
namespace {

// A group of servers that are all placed, with the defaults of [[edge.upstreams]].
class Balancing : public testing::Test {
 protected:
  std::shared_ptr<Group> group(std::vector<std::string> lines,
                               const std::function<void(UpstreamOptions&)>& change = {}) {
    UpstreamOptions options = upstream_section().defaults();
    options.name = "app";
    options.slow_start = {};
    options.servers = lines;
    if (change) change(options);
    std::vector<std::shared_ptr<Server>> servers;
    for (const std::string& line : lines) {
      auto server = std::make_shared<Server>(ServerSpec::parse(line).value(), "app", 1, registry_);
      server->set_endpoints({net::Endpoint::literal("127.0.0.1", 1).value()}, {});
      servers.push_back(std::move(server));
    }
    auto concurrency = std::make_shared<limit::Concurrency>(limit::Concurrency::Options{});
    return std::make_shared<Group>(options, std::move(servers), std::move(concurrency), nullptr);
  }

  // How often each server is chosen in `times` requests that end at once.
  std::map<std::string, int> chosen(const Group& group, int times, std::uint64_t hash = 0) {
    std::map<std::string, int> counts;
    for (int i = 0; i < times; ++i) {
      const auto pick = group.pick(now_, {}, hash, random_);
      if (pick.server == nullptr) continue;
      ++counts[pick.server->spec().text];
      pick.server->leave();
    }
    return counts;
  }

  metrics::Registry registry_{1};
  Random random_{42};
  TimePoint now_ = Clock::now();
  static inline const std::vector<std::string> kThree{"http://a:1", "http://b:1", "http://c:1"};
};

TEST_F(Balancing, LeastConnectionsFillsTheEmptiestFirst) {
  const auto app = group(kThree);
  for (int round = 1; round <= 10; ++round) {
    for (int i = 0; i < 3; ++i) ASSERT_NE(app->pick(now_, {}, 0, random_).server, nullptr);
    for (const auto& server : app->servers()) EXPECT_EQ(server->in_flight(), round);
  }
}

TEST_F(Balancing, WeightsShareInProportion) {
  const auto app = group({"http://a:1 weight=3", "http://b:1"});
  for (int i = 0; i < 400; ++i) ASSERT_NE(app->pick(now_, {}, 0, random_).server, nullptr);
  EXPECT_NEAR(app->servers()[0]->in_flight(), 300, 2);
  const auto turns = group({"http://a:1 weight=3", "http://b:1"},
                           [](auto& o) { o.balance = Balance::round_robin; });
  EXPECT_EQ(chosen(*turns, 400)["http://a:1"], 300);
}

TEST_F(Balancing, RandomTwoUsesAll) {
  const auto app = group(kThree, [](auto& o) { o.balance = Balance::random_two; });
  for (const auto& [server, times] : chosen(*app, 3000)) EXPECT_NEAR(times, 1000, 200) << server;
}

TEST_F(Balancing, AHashStaysWithItsServerAndMovesOnlyWhenItIsGone) {
  const auto app = group(kThree, [](auto& o) { o.balance = Balance::hash; });
  std::map<std::uint64_t, std::string> before;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const auto counts = chosen(*app, 5, hash64("user", i));
    ASSERT_EQ(counts.size(), 1U);
    before[i] = counts.begin()->first;
  }
  app->servers()[0]->set_draining(true);
  for (const auto& [i, server] : before) {
    const auto counts = chosen(*app, 1, hash64("user", i));
    if (server != "http://a:1") EXPECT_EQ(counts.begin()->first, server);
  }
}

TEST_F(Balancing, AServerIsEjectedAfterMaxFailsAndComesBack) {
  const auto app = group(kThree);
  Server& a = *app->servers()[0];
  for (int i = 0; i < 3; ++i) app->note_failure(a, now_);
  EXPECT_EQ(a.state(now_), "ejected");
  EXPECT_EQ(chosen(*app, 300).count("http://a:1"), 0U);
  now_ += 31s;
  EXPECT_EQ(a.state(now_), "up");
  EXPECT_GT(chosen(*app, 300)["http://a:1"], 50);
  for (int i = 0; i < 3; ++i) app->note_failure(a, now_);
  now_ += 31s;  // the second time in a row takes twice as long
  EXPECT_EQ(a.state(now_), "ejected");
  now_ += 30s;
  EXPECT_EQ(a.state(now_), "up");
}

TEST_F(Balancing, FailuresFarApartDoNotEject) {
  const auto app = group(kThree);
  for (int i = 0; i < 10; ++i) {
    app->note_failure(*app->servers()[0], now_);
    now_ += 20s;
  }
  EXPECT_EQ(app->servers()[0]->state(now_), "up");
}

TEST_F(Balancing, NoMoreThanTheShareIsEjected) {
  const auto app = group(kThree, [](auto& o) { o.max_ejected = 0.34; });
  for (const auto& server : app->servers()) {
    for (int i = 0; i < 5; ++i) app->note_failure(*server, now_);
  }
  int ejected = 0;
  for (const auto& server : app->servers()) ejected += server->ejected(now_) ? 1 : 0;
  EXPECT_EQ(ejected, 1);
  const auto alone = group({"http://a:1"});
  for (int i = 0; i < 9; ++i) alone->note_failure(*alone->servers()[0], now_);
  EXPECT_FALSE(alone->servers()[0]->ejected(now_));
}

TEST_F(Balancing, BelowHalfUsableAllAreUsedButThoseThatDrain) {
  const auto app = group(kThree);
  app->servers()[0]->set_probe(false, "refused", now_);
  EXPECT_EQ(chosen(*app, 90).count("http://a:1"), 0U);
  app->servers()[1]->set_probe(false, "refused", now_);
  EXPECT_EQ(chosen(*app, 90).size(), 3U);
  app->servers()[1]->set_draining(true);
  EXPECT_EQ(chosen(*app, 90).count("http://b:1"), 0U);
}

TEST_F(Balancing, BackupsServeOnlyWhenNobodyElseCan) {
  const auto app = group({"http://a:1 max_connections=1", "http://b:1 backup"});
  const auto first = app->pick(now_, {}, 0, random_);
  const auto second = app->pick(now_, {}, 0, random_);
  EXPECT_EQ(first.server->spec().text, "http://a:1");
  EXPECT_EQ(second.server->spec().text, "http://b:1");
}

TEST_F(Balancing, FullServersAreSaidToBeFull) {
  const auto app = group({"http://a:1 max_connections=2"});
  ASSERT_NE(app->pick(now_, {}, 0, random_).server, nullptr);
  ASSERT_NE(app->pick(now_, {}, 0, random_).server, nullptr);
  const auto pick = app->pick(now_, {}, 0, random_);
  EXPECT_EQ(pick.server, nullptr);
  EXPECT_TRUE(pick.all_full);
  app->servers()[0]->leave();
  EXPECT_NE(app->pick(now_, {}, 0, random_).server, nullptr);
}

TEST_F(Balancing, WhoWasTriedIsNotTriedAgain) {
  const auto app = group(kThree);
  const Tried tried{app->servers()[0].get(), app->servers()[2].get()};
  const auto pick = app->pick(now_, tried, 0, random_);
  EXPECT_EQ(pick.server->spec().text, "http://b:1");
}

TEST_F(Balancing, RetriesAreAShareOfTheRequests) {
  const auto app = group(kThree, [](auto& o) { o.retry_budget = 0.2; });
  int reserve = 0;
  while (app->spend_retry()) ++reserve;
  EXPECT_EQ(reserve, 10);
  for (int i = 0; i < 100; ++i) app->earn_retry();
  int earned = 0;
  while (app->spend_retry()) ++earned;
  EXPECT_EQ(earned, 20);
}

TEST_F(Balancing, SlowStartGrowsTheShare) {
  const auto app = group({"http://a:1", "http://b:1"}, [](auto& o) { o.slow_start = 10s; });
  Server& a = *app->servers()[0];
  a.set_probe(false, "refused", now_);
  a.set_probe(true, {}, now_);
  EXPECT_DOUBLE_EQ(a.warmth(now_, 10s), 0.1);
  EXPECT_DOUBLE_EQ(a.warmth(now_ + 5s, 10s), 0.5);
  EXPECT_DOUBLE_EQ(a.warmth(now_ + 60s, 10s), 1.0);
}

TEST(ServerSpec, ReadsWhatItAcceptsAndNamesWhatItDoesNot) {
  const auto spec =
      ServerSpec::parse("https://[::1]:8443 weight=2 max_connections=50 backup").value();
  EXPECT_TRUE(spec.tls);
  EXPECT_EQ(spec.host, "::1");
  EXPECT_EQ(spec.port, 8443);
  EXPECT_EQ(spec.weight, 2U);
  EXPECT_EQ(spec.max_connections, 50U);
  EXPECT_TRUE(spec.backup);
  EXPECT_EQ(ServerSpec::parse("http://app").value().port, 80);
  EXPECT_EQ(ServerSpec::parse("unix:/run/app.sock").value().unix_path, "/run/app.sock");
  for (const char* wrong :
       {"", "app:3000", "ftp://app", "http://", "http://app/path", "http://u@app", "http://app:0",
        "http://app:99999", "http://app weight=0", "http://app colour=red", "http://[::1"}) {
    const auto refused = ServerSpec::parse(wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code, Errc::invalid);
  }
}

TEST(Statuses, RangesAndLists) {
  EXPECT_TRUE(status_in("200-399,418", 302).value());
  EXPECT_TRUE(status_in("200-399,418", 418).value());
  EXPECT_FALSE(status_in("200-399,418", 500).value());
  for (const char* wrong : {"2xx", "300-200", "99", "200-", "600"})
    EXPECT_FALSE(status_in(wrong, 200)) << wrong;
}

Route route(std::string host, std::string path) {
  Route made;
  made.name = host + path;
  made.wildcard = host.starts_with("*.");
  made.host = made.wildcard ? host.substr(1) : host;
  made.path = std::move(path);
  return made;
}

TEST(Routes, TheMostSpecificHostThenTheLongestPathWins) {
  std::vector<Route> all;
  all.push_back(route("", "/"));
  all.push_back(route("", "/api"));
  all.push_back(route("*.example.org", "/"));
  all.push_back(route("www.example.org", "/api/v2"));
  const RouteTable table(std::move(all));
  const auto name = [&](std::string_view host, std::string_view path) {
    const Route* found = table.match(host, path);
    return found == nullptr ? std::string() : found->name;
  };
  EXPECT_EQ(name("other", "/x"), "/");
  EXPECT_EQ(name("other", "/api"), "/api");
  EXPECT_EQ(name("other", "/api/x"), "/api");
  EXPECT_EQ(name("other", "/apix"), "/");
  EXPECT_EQ(name("WWW.Example.ORG", "/api/v2/x"), "www.example.org/api/v2");
  EXPECT_EQ(name("www.example.org", "/api"), "*.example.org/");
  EXPECT_EQ(name("example.org", "/"), "/");  // a wildcard wants a label
}

TEST(Routes, TheAuthoritysPortDoesNotMatter) {
  EXPECT_EQ(without_port("example.org:8080"), "example.org");
  EXPECT_EQ(without_port("[::1]:80"), "[::1]");
  EXPECT_EQ(without_port("[::1]"), "[::1]");
}

}  // namespace
}  // namespace headroom::edge
