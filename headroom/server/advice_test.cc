#include "headroom/server/advice.h"

#include <gtest/gtest.h>

namespace headroom::server {
namespace {

Readings with(RouteTimes route) {
  Readings made;
  made.routes.push_back(std::move(route));
  return made;
}

TEST(Advice, AFullPoolIsNamedWithTheSizeThatWouldDo) {
  Readings readings = with({.route = "api", .requests = 100, .first_byte = 480, .total = 500});
  readings.query_wait_ms = 400;
  readings.query_ms = 470;
  readings.pools = {{.name = "app/web", .busy = 10, .limit = 10, .waiting = 4, .pool_size = 10},
                    {.name = "app/batch", .busy = 1, .limit = 10, .waiting = 0, .pool_size = 10}};
  EXPECT_EQ(explain_latency(readings),
            "The slowest route is api: its p99 of 500 ms is 96 % the app, whose queries wait up to "
            "400 ms for a connection: the pool app/web was 10/10 busy and 4 waited; raise "
            "sql.pool_size to 14.");
  EXPECT_EQ(
      explain_pools(readings),
      "The pool app/web was 10/10 busy and 4 waited; raise sql.pool_size to 14, if the server "
      "bears it.");
  readings.pools[0].waiting = 0;
  EXPECT_EQ(explain_latency(readings),
            "The slowest route is api: its p99 of 500 ms is 96 % the app, whose queries take up to "
            "470 ms: the slowest are listed with their plans under SQL.");
  EXPECT_EQ(explain_pools(readings),
            "Nobody waited for a connection: 10 of 10 are busy in app/web.");
}

TEST(Advice, EachPhaseHasItsRemedy) {
  Readings queue = with({.route = "api", .requests = 100, .queue = 80, .total = 100});
  edge::GroupStatus group;
  group.name = "app";
  group.in_flight = 20;
  group.in_flight_limit = 20;
  group.queued = 7;
  queue.groups = {group};
  EXPECT_EQ(
      explain_latency(queue),
      "The slowest route is api: its p99 of 100 ms is 80 % waiting for a free server: 20 of 20 "
      "requests are in flight at app, 7 wait; add servers.");
  EXPECT_NE(explain_latency(with({.route = "a", .requests = 9, .connect = 60, .total = 100}))
                .find("60 % connecting to the app"),
            std::string::npos);
  EXPECT_NE(explain_latency(with({.route = "a", .requests = 9, .first_byte = 90, .total = 100}))
                .find("90 % the app's own time"),
            std::string::npos);
  EXPECT_NE(explain_latency(with({.route = "a", .requests = 9, .first_byte = 10, .total = 100}))
                .find("mostly sending"),
            std::string::npos);
  EXPECT_EQ(explain_latency(with({.route = "a", .requests = 9, .total = 1.5})),
            "No route's p99 is above 2.0 ms: there is nothing to gain.");
  EXPECT_EQ(explain_latency({}), "No request has ended in the last minute.");
}

TEST(Advice, AFewRequestsDoNotHideARouteThatManyUse) {
  Readings readings = with({.route = "rare", .requests = 2, .first_byte = 900, .total = 900});
  readings.routes.push_back({.route = "busy", .requests = 500, .first_byte = 50, .total = 60});
  EXPECT_TRUE(explain_latency(readings).starts_with("The slowest route is busy"));
}

TEST(Advice, ErrorsNameTheirRouteAndWhatWasTurnedAway) {
  Readings readings;
  EXPECT_EQ(explain_errors(readings), "No request has ended in the last minute.");
  readings.requests = 100;
  EXPECT_EQ(explain_errors(readings), "No request has failed in the last minute.");
  readings.errors = 7;
  readings.failures = {{.route = "a", .unanswered = 1, .answered = 1},
                       {.route = "b", .unanswered = 5, .answered = 0}};
  readings.shed = 3;
  EXPECT_EQ(explain_errors(readings),
            "7 of 100 requests have failed; 5 of them on route b, ended without an answer; 3 were "
            "turned away here because the app could take no more.");
}

TEST(Advice, MissesNameTheirClass) {
  Readings readings;
  EXPECT_EQ(explain_cache(readings), "Nothing has been looked up in the last minute.");
  readings.hits = 10;
  EXPECT_EQ(explain_cache(readings), "Every look-up was answered from the cache.");
  readings.misses = 4;
  readings.missed = {{"http", "static", 1}, {"sql", "default", 3}};
  EXPECT_EQ(explain_cache(readings),
            "4 of 14 look-ups were misses, 75 % of them query results of class default.");
}

std::vector<std::optional<double>> line(double from, double each) {
  std::vector<std::optional<double>> made;
  for (int i = 0; i < 30; ++i) made.emplace_back(from + (each * i));
  return made;
}

TEST(Advice, OnlyWhatGrowsSteadilyHasADay) {
  const auto grows = line(0.4, 0.01);  // 0.69 now, 0.01 in ten seconds
  EXPECT_NEAR(full_in_seconds(grows, 10).value_or(0), 310, 1);
  EXPECT_FALSE(full_in_seconds(line(0.4, 0), 10));
  EXPECT_FALSE(full_in_seconds(line(0.9, -0.01), 10));
  EXPECT_FALSE(full_in_seconds(line(0.4, 1e-9), 10)) << "years away";
  std::vector<std::optional<double>> noise;
  for (int i = 0; i < 30; ++i) noise.emplace_back(i % 2 == 0 ? 0.2 : 0.8);
  EXPECT_FALSE(full_in_seconds(noise, 10));
  std::vector<std::optional<double>> gaps(30);
  gaps[0] = 0.1;
  gaps[29] = 0.9;
  EXPECT_FALSE(full_in_seconds(gaps, 10)) << "two points are no trend";
}

}  // namespace
}  // namespace headroom::server
