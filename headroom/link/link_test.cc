#include "headroom/link/link.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::link {
namespace {

using ::testing::ElementsAre;

constexpr Position kEarly{7, 1, 100}, kLate{7, 1, 200};

TEST(Trace, ATraceparentIsReadStrictly) {
  const auto trace = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(trace);
  EXPECT_EQ(to_string(*trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_TRUE(parse_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
  for (const std::string_view text :
       {"", "00", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more"})
    EXPECT_FALSE(parse_traceparent(text)) << text;
}

TEST(Trace, WhatIsMintedIsRead) {
  Random random(7);
  for (int i = 0; i < 1000; ++i) {
    const Trace trace = mint(random);
    std::string text;
    append_traceparent(text, trace, random);
    EXPECT_EQ(parse_traceparent(text), trace);
  }
}

TEST(Positions, ASessionNeedsWhatItWroteUntilItHasRestedForAMinute) {
  Positions positions;
  const TimePoint now = Clock::now();
  positions.begin("ann", now);
  EXPECT_TRUE(positions.needs("ann", 7, now).pending);
  EXPECT_EQ(positions.written("ann", now), (Positions::Written{.pending = true}));
  positions.end("ann", kEarly, now);
  EXPECT_FALSE(positions.needs("ann", 7, now).pending);
  EXPECT_EQ(positions.needs("ann", 7, now).position, kEarly);
  EXPECT_FALSE(positions.needs("ann", 8, now).position);
  EXPECT_FALSE(positions.needs("bob", 7, now).position);
  EXPECT_FALSE(positions.needs("", 7, now).position);
  // Others come and go; who has written nothing for so long has no need.
  for (std::size_t i = 0; i < 64 * Positions::kShards; ++i)
    positions.begin(fmt::format("s{}", i), now + Positions::kKept);
  EXPECT_FALSE(positions.needs("ann", 7, now + Positions::kKept).position);
}

TEST(Positions, APositionNeverGoesBackWithinATimeline) {
  Positions positions;
  const TimePoint now = Clock::now();
  positions.bring("ann", kLate, now);
  positions.bring("ann", kEarly, now);
  EXPECT_EQ(positions.needs("ann", 7, now).position, kLate);
  positions.bring("ann", {7, 2, 50}, now);  // after a fail-over
  EXPECT_EQ(positions.needs("ann", 7, now).position, (Position{7, 2, 50}));
  positions.bring("ann", {8, 1, 1}, now);
  EXPECT_THAT(positions.written("ann", now).positions,
              ElementsAre(Position{7, 2, 50}, Position{8, 1, 1}));
  positions.begin("ann", now);  // what was written before is not forgotten meanwhile
  EXPECT_TRUE(positions.written("ann", now).pending);
  EXPECT_EQ(positions.written("ann", now).positions.size(), 2U);
  EXPECT_EQ(positions.written("bob", now), Positions::Written());
}

TEST(Positions, AWriteWhoseEndNobodyKnowsKeepsTheSessionAtThePrimary) {
  Positions positions;
  const TimePoint now = Clock::now();
  positions.begin("ann", now);
  positions.begin("ann", now);
  positions.end("ann", kEarly, now);
  EXPECT_TRUE(positions.needs("ann", 7, now).pending);
  positions.end("ann", std::nullopt, now);
  EXPECT_TRUE(positions.needs("ann", 7, now + 1s).pending);
  EXPECT_FALSE(positions.needs("ann", 7, now + Positions::kKept).pending);
}

TEST(Positions, TheNumberOfSessionsIsBounded) {
  Positions positions;
  const TimePoint now = Clock::now();
  for (std::size_t i = 0; i < Positions::kMostSessions + 20'000; ++i)
    positions.bring(fmt::format("s{}", i), kEarly, now);
  EXPECT_GT(positions.forgotten(), 10'000U);
  EXPECT_EQ(positions.needs(fmt::format("s{}", Positions::kMostSessions + 19'999), 7, now).position,
            kEarly);
}

TEST(Positions, TheTextOfOneIsReadBack) {
  EXPECT_EQ(parse_position(to_string(kLate)), kLate);
  for (const std::string_view text :
       {"", "1/2", "1/2/3/4", "0/1/1", "a/1/1", "1/4294967296/1", "1/1/18446744073709551616"})
    EXPECT_FALSE(parse_position(text)) << text;
}

TEST(Requests, ARequestIsFoundUntilAMinuteAfterItsEnd) {
  Requests requests;
  Random random(7);
  const TimePoint now = Clock::now();
  const Trace trace = mint(random);
  EXPECT_EQ(requests.find(trace, now), nullptr);
  const RequestPointer request = requests.begin(trace, "ann", now);
  EXPECT_EQ(requests.find(trace, now + std::chrono::hours(1)), request);
  EXPECT_EQ(request->session, "ann");
  requests.end(request, now);
  EXPECT_EQ(requests.find(trace, now + 59s), request);
  EXPECT_EQ(requests.find(trace, now + 60s), nullptr);
}

TEST(Requests, OfTwoWithOneTraceTheNewerCounts) {
  Requests requests;
  const TimePoint now = Clock::now();
  const Trace trace{1, 2};
  const RequestPointer first = requests.begin(trace, "ann", now);
  const RequestPointer second = requests.begin(trace, "bob", now);
  requests.end(first, now);
  EXPECT_EQ(requests.find(trace, now + 120s), second);
}

TEST(Requests, TheirNumberIsBounded) {
  Requests requests;
  Random random(7);
  const TimePoint now = Clock::now();
  for (std::size_t i = 0; i < Requests::kMostRequests + 10'000; ++i)
    (void)requests.begin(mint(random), "", now);
  EXPECT_LE(requests.size(), Requests::kMostRequests);
}

}  // namespace
}  // namespace headroom::link
