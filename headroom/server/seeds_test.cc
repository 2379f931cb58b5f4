#include "headroom/server/seeds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/json/json.h"
#include "headroom/server/fixture_test.h"

namespace headroom::server {
namespace {

struct SeedsTest : testing::Test {
  testing_rooms::Rooms rooms;
  Api api{rooms.workers, rooms.reading, rooms.control, rooms.registry};

  SeedsTest() { add_seed_endpoints(api, rooms.sources); }

  const Endpoint& endpoint(std::string_view path) {
    const auto found = std::ranges::find(api.endpoints(), path, &Endpoint::path);
    HR_ASSERT((found != api.endpoints().end()));
    return *found;
  }
  json::Document ask(std::string_view path) {
    return std::move(*json::parse(endpoint(path).answer({}).body));
  }
};

TEST_F(SeedsTest, ACubesMetricsStandAtTheTopInItsUnits) {
  const auto metrics = ask("/api/phase14/scalability/performance/metrics");
  EXPECT_EQ(metrics.root().find("total_requests")->natural(), 200U);
  EXPECT_EQ(metrics.root().find("avg_response_time")->number(), 12.5);
  EXPECT_EQ(metrics.root().find("error_rate")->number(), 2.5);
  EXPECT_TRUE(metrics.root().find("cache_hit_rate")->is_null());
}

TEST_F(SeedsTest, ACubesOverviewHasTheFieldsItsDashboardReads) {
  const auto overview = ask("/api/phase14/scalability/overview");
  EXPECT_TRUE(overview.root().find("cache")->find("hit_rate")->is_null());
  EXPECT_TRUE(overview.root().find("connection_pool")->find("response_time_ms")->is_null());
  EXPECT_EQ(overview.root().find("performance")->find("total_requests")->natural(), 200U);
}

TEST_F(SeedsTest, HealthFollowsTheWorstComponent) {
  struct Ill final : net::Health {
    [[nodiscard]] std::vector<net::HealthReport> health() const override {
      return {{"edge.app", net::HealthReport::State::failed, "secret address"}};
    }
  };
  const Ill ill;
  rooms.vitals.add(ill);
  for (const std::string_view path :
       {"/health", "/api/phase14/scalability/health", "/api/v1/scaling/health/deep"}) {
    const http::Reply reply = endpoint(path).answer({});
    EXPECT_EQ(reply.status, 503U) << path;
    EXPECT_THAT(reply.body, testing::HasSubstr(R"("status":"unhealthy")")) << path;
    EXPECT_THAT(reply.body, testing::Not(testing::HasSubstr("secret address"))) << path;
  }
  EXPECT_EQ(endpoint("/api/v1/scaling/health/readiness").answer({}).status, 503U);
  EXPECT_EQ(endpoint("/api/v1/scaling/health/liveness").answer({}).status, 200U);
}

TEST_F(SeedsTest, PublicAreTheHealthPathsAlone) {
  for (const Endpoint& each : api.endpoints()) {
    EXPECT_EQ(each.role == auth::Role::none, each.path.find("health") != std::string::npos &&
                                                 each.path.find("pool") == std::string::npos)
        << each.path;
  }
}

TEST_F(SeedsTest, ConfigShowsNoSecret) {
  EXPECT_THAT(endpoint("/api/phase14/scalability/config").answer({}).body,
              testing::Not(testing::HasSubstr("ssss")));
}

TEST_F(SeedsTest, EveryEndpointIsHostedOnTheEdge) {
  const auto paths = seed_paths();
  for (const Endpoint& each : api.endpoints()) {
    EXPECT_TRUE(std::ranges::any_of(paths, [&](const std::string& path) {
      return each.path.starts_with(path);
    })) << each.path;
  }
}

}  // namespace
}  // namespace headroom::server
