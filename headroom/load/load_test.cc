#include "headroom/load/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>

#include "headroom/load/fake_server.h"

namespace headroom::load {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Plan closed(std::string url, std::uint64_t requests) {
  Plan plan;
  plan.url = std::move(url);
  plan.requests = requests;
  plan.timeout = 5s;
  return plan;
}

Plan open(std::string url, double rate, Duration duration) {
  Plan plan;
  plan.url = std::move(url);
  plan.arrivals = Arrivals::uniform;
  plan.rate = rate;
  plan.duration = duration;
  plan.timeout = 5s;
  return plan;
}

Report ran(const Plan& plan) {
  auto report = run(plan);
  EXPECT_TRUE(report.has_value()) << (report ? "" : report.error().message);
  return report ? *std::move(report) : Report{};
}

Reply status(int code) {
  return {fmt::format("HTTP/1.1 {} Whatever\r\nContent-Length: 0\r\n\r\n", code)};
}

TEST(ClosedLoop, AsksAsOftenAsItWasToldAndCountsEachAnswer) {
  FakeServer server([](unsigned, const std::string&) { return ok("hello"); });
  Plan plan = closed(server.url(), 500);
  plan.connections = 4;
  plan.expect_bytes = 5;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 500U);
  EXPECT_EQ(server.requests(), 500U);
  EXPECT_EQ(server.connections(), 4U);
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_EQ(report.latency.count(), 500U);
  EXPECT_EQ(report.bytes_in, 500 * ok("hello").bytes.size());
  EXPECT_GT(report.rps(), 0);
  EXPECT_GT(report.generator_cpu, Duration::zero());
}

TEST(ClosedLoop, EndsWithItsDuration) {
  FakeServer server([](unsigned, const std::string&) { return ok("x"); });
  Plan plan = closed(server.url(), 0);
  plan.duration = 100ms;
  const TimePoint before = Clock::now();
  const Report report = ran(plan);
  EXPECT_GE(elapsed(before, Clock::now()), 100ms);
  EXPECT_LT(elapsed(before, Clock::now()), 3s);
  EXPECT_GT(report.requests, 0U);
}

TEST(ClosedLoop, TheWarmUpIsNotCounted) {
  FakeServer server([](unsigned, const std::string&) { return ok("x"); });
  Plan plan = closed(server.url(), 10);
  plan.warm_up = 50ms;
  plan.duration = 2s;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 10U);
  EXPECT_GT(server.requests(), 10U);
}

TEST(ClosedLoop, NewConnectionEachMeansOneRequestEach) {
  FakeServer server([](unsigned, const std::string& request) {
    EXPECT_THAT(request, HasSubstr("Connection: close\r\n"));
    return Reply{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", Reply::Then::close};
  });
  Plan plan = closed(server.url(), 20);
  plan.reuse = Reuse::new_connection_each;
  plan.expect_bytes = 13;
  const Report report = ran(plan);
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_EQ(server.connections(), 20U);
  EXPECT_EQ(report.connects, 20U);
}

TEST(ClosedLoop, AServerThatClosesBetweenAnswersIsNoError) {
  FakeServer server([](unsigned number, const std::string&) {
    Reply reply = ok("x");
    if (number % 3 == 2) {
      reply.bytes.insert(reply.bytes.find("\r\n") + 2, "Connection: close\r\n");
      reply.then = Reply::Then::close;
    }
    return reply;
  });
  const Report report = ran(closed(server.url(), 9));
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_EQ(report.requests, 9U);
  EXPECT_EQ(server.connections(), 3U);
}

TEST(ClosedLoop, SendsBodiesAndHeaderFieldsAsGiven) {
  std::string seen;
  FakeServer server([&](unsigned, const std::string& request) {
    seen = request;
    return ok("");
  });
  Plan plan = closed(server.url("/a?b=c"), 1);
  plan.method = "POST";
  plan.headers = {"X-Test: 1"};
  plan.body = "the body";
  EXPECT_EQ(ran(plan).errors(), 0U);
  EXPECT_THAT(seen, StartsWith("POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:"));
  EXPECT_THAT(seen, HasSubstr("\r\nX-Test: 1\r\nContent-Length: 8\r\n\r\nthe body"));
}

TEST(ClosedLoop, AMixAsksEachKindAsOftenAsItsWeightSays) {
  std::map<std::string, int> seen;
  FakeServer server([&](unsigned, const std::string& request) {
    ++seen[request.substr(0, request.find(" HTTP"))];
    if (request.starts_with("POST /b")) {
      EXPECT_THAT(request, HasSubstr("\r\nX-Test: 1\r\nContent-Length: 4\r\n\r\nbody"));
    }
    return ok("");
  });
  Plan plan = closed(server.url("/unused"), 2000);
  plan.mix = {
      {.weight = 3, .target = "/a?x"},
      {.weight = 1, .method = "POST", .target = "/b", .headers = {"X-Test: 1"}, .body = "body"}};
  EXPECT_EQ(ran(plan).errors(), 0U);
  EXPECT_EQ(seen.size(), 2U);
  EXPECT_NEAR(seen["GET /a?x"], 1500, 150);
  EXPECT_EQ(seen["GET /a?x"] + seen["POST /b"], 2000);
}

TEST(ClosedLoop, AFillerIsSentWhileItIsMade) {
  constexpr std::uint64_t kBytes = 3'000'001;
  FakeServer server([&](unsigned, const std::string& request) {
    EXPECT_EQ(request.size() - request.find("\r\n\r\n") - 4, kBytes);
    return ok("got it");
  });
  Plan plan = closed(server.url(), 3);
  plan.method = "PUT";
  plan.filler = {kBytes};
  const Report report = ran(plan);
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_GT(report.bytes_out, 3 * kBytes);
}

TEST(ClosedLoop, LongBodiesAreCountedToTheByte) {
  const std::string body(3'000'001, 'y');
  FakeServer server([&](unsigned, const std::string&) { return ok(body); });
  Plan plan = closed(server.url(), 3);
  plan.expect_bytes = static_cast<std::int64_t>(body.size());
  EXPECT_EQ(ran(plan).errors(), 0U);
  plan.expect_bytes -= 1;
  EXPECT_EQ(ran(plan).failed(Failure::wrong_length), 3U);
}

TEST(ClosedLoop, WorksOverAUnixSocket) {
  const std::string path = testing::TempDir() + "/load_test.sock";
  FakeServer server([](unsigned, const std::string&) { return ok(std::string(100'000, 'z')); },
                    path);
  Plan plan = closed("http://app/x", 10);
  plan.unix_path = path;
  plan.expect_bytes = 100'000;
  const Report report = ran(plan);
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_EQ(server.requests(), 10U);
}

TEST(Failures, StatusesCountByTheirClass) {
  constexpr std::array kStatuses{200, 302, 404, 500, 503, 204};
  FakeServer server([&](unsigned number, const std::string&) {
    return kStatuses[number] == 204 ? Reply{"HTTP/1.1 204 No Content\r\n\r\n"}
                                    : status(kStatuses[number]);
  });
  const Report report = ran(closed(server.url(), kStatuses.size()));
  EXPECT_EQ(report.requests, 6U);
  EXPECT_EQ(report.failed(Failure::status_3xx), 1U);
  EXPECT_EQ(report.failed(Failure::status_4xx), 1U);
  EXPECT_EQ(report.failed(Failure::status_5xx), 2U);
  EXPECT_EQ(report.latency.count(), 6U);
  EXPECT_EQ(server.connections(), 1U);
}

TEST(Failures, EachWayToBreakAnAnswerHasItsName) {
  const std::vector<std::pair<Reply, Failure>> cases{
      {{"", Reply::Then::reset}, Failure::reset},
      {{"", Reply::Then::close}, Failure::reset},
      {{"HTTP/1.1 200 OK\r\nContent-", Reply::Then::close}, Failure::reset},
      {{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour", Reply::Then::close},
       Failure::short_body},
      {{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n", Reply::Then::close},
       Failure::short_body},
      {{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nfour", Reply::Then::keep}, Failure::malformed},
      {{"+PONG\r\n\r\n", Reply::Then::keep}, Failure::malformed},
  };
  for (const auto& [reply, failure] : cases) {
    FakeServer server(
        [&](unsigned number, const std::string&) { return number == 1 ? reply : ok("x"); });
    const Report report = ran(closed(server.url(), 5));
    EXPECT_EQ(report.requests, 5U) << reply.bytes;
    EXPECT_EQ(report.failed(failure), 1U) << reply.bytes;
    EXPECT_EQ(report.errors(), 1U) << reply.bytes << " " << to_json(report);  // and it recovers
  }
}

TEST(Failures, AnAnswerThatNeverComesIsATimeoutAndASample) {
  FakeServer server([](unsigned number, const std::string&) {
    return number == 1 ? Reply{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfour"} : ok("x");
  });
  Plan plan = closed(server.url(), 4);
  plan.timeout = 150ms;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 4U);
  EXPECT_EQ(report.failed(Failure::timeout), 1U);
  EXPECT_EQ(report.latency.count(), 4U);
  EXPECT_GE(report.latency_max, 150ms);
}

TEST(Failures, AnUnreachableTargetIsSaidAtOnce) {
  std::string url;
  {
    FakeServer gone([](unsigned, const std::string&) { return ok("x"); });
    url = gone.url();
  }
  const auto report = run(closed(url, 10));
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Errc::unavailable);
  EXPECT_THAT(report.error().message, HasSubstr("Connection refused"));
}

TEST(Failures, RefusedConnectionsAreCountedWithoutAStorm) {
  std::string url;
  {
    FakeServer gone([](unsigned, const std::string&) { return ok("x"); });
    url = gone.url();
  }
  Plan plan = closed(url, 0);
  plan.reuse = Reuse::new_connection_each;
  plan.duration = 200ms;
  const Report report = ran(plan);
  EXPECT_GE(report.failed(Failure::connect), 1U);
  EXPECT_LE(report.failed(Failure::connect), 25U);  // one connection, 10 ms of rest after each
  EXPECT_EQ(report.latency.count(), 0U);
}

TEST(OpenLoop, SendsExactlyTheRequestsOfItsSchedule) {
  FakeServer server([](unsigned, const std::string&) { return ok("x"); });
  Plan plan = open(server.url(), 400, 500ms);
  plan.connections = 4;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 200U);
  EXPECT_EQ(report.errors(), 0U);
  EXPECT_GE(report.elapsed, 497ms);
  EXPECT_EQ(server.connections(), 4U);
}

TEST(OpenLoop, AStallIsFeltByAllWhoWouldHaveComeInIt) {
  std::mutex one_at_a_time;
  FakeServer server([&](unsigned number, const std::string&) {
    const std::scoped_lock lock(one_at_a_time);
    if (number == 40) std::this_thread::sleep_for(500ms);
    return ok("x");
  });
  Plan plan = open(server.url(), 200, 1s);
  plan.connections = 4;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 200U);
  // Half of all fall into the stall, and wait from their intended times; only four were on the
  // wire.
  EXPECT_GT(report.latency.quantile(0.75), 100ms);
  EXPECT_GT(report.latency.quantile(0.95), 300ms);
  EXPECT_LT(report.service.quantile(0.9), 100ms);
  EXPECT_FALSE(report.saturated());
}

TEST(OpenLoop, WhatCouldNotBeSentBeforeTheEndIsAnError) {
  FakeServer server([](unsigned, const std::string&) { return Reply{}; });  // never answers
  Plan plan = open(server.url(), 100, 200ms);
  plan.timeout = 300ms;
  const Report report = ran(plan);
  EXPECT_EQ(report.requests, 20U);
  EXPECT_EQ(report.errors(), 20U);
  EXPECT_GE(report.failed(Failure::timeout), 1U);
  EXPECT_GE(report.failed(Failure::unsent), 1U);
}

TEST(Run, StopsWhenAsked) {
  FakeServer server([](unsigned, const std::string&) { return ok("x"); });
  std::stop_source source;
  Plan plan = closed(server.url(), 0);
  plan.duration = std::chrono::minutes(10);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    source.request_stop();
  });
  EXPECT_TRUE(run(plan, source.get_token()).has_value());
}

TEST(Run, RefusesPlansThatMakeNoSense) {
  const std::vector<std::function<void(Plan&)>> mistakes{
      [](Plan& p) { p.requests = 0; },
      [](Plan& p) { p.connections = 0; },
      [](Plan& p) { p.rate = 10; },
      [](Plan& p) { p.arrivals = Arrivals::poisson; },
      [](Plan& p) { p.warm_up = 1s; },
      [](Plan& p) { p.duration = std::chrono::hours(2); },
      [](Plan& p) { p.headers = {"A: b\r\nC: d"}; },
      [](Plan& p) { p.method = "GET /x"; },
      [](Plan& p) { p.timeout = 0s; },
      [](Plan& p) { p.mix = {{.weight = 0, .target = "/"}}; },
      [](Plan& p) { p.mix = {{.target = "no-slash"}}; },
      [](Plan& p) { p.mix = {{.target = "/ x"}}; },
      [](Plan& p) { p.body = "x", p.filler = {1}; },
  };
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    Plan plan = closed("http://127.0.0.1:1/", 1);
    mistakes[i](plan);
    const auto report = run(plan);
    ASSERT_FALSE(report.has_value()) << i;
    EXPECT_EQ(report.error().code, Errc::invalid) << i;
  }
}

TEST(Run, TheReportIsOneJsonObject) {
  Report report;
  report.requests = 2;
  report.failures[static_cast<std::size_t>(Failure::short_body)] = 1;
  report.elapsed = 2s;
  const std::string json = to_json(report);
  EXPECT_THAT(json, StartsWith("{\"requests\": 2, \"errors\": 1, "));
  EXPECT_THAT(json, HasSubstr("\"short_body\": 1"));
  EXPECT_THAT(json, HasSubstr("\"rps\": 0.5"));
  EXPECT_TRUE(json.ends_with("}"));
}

}  // namespace
}  // namespace headroom::load
