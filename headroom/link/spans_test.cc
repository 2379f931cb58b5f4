#include "headroom/link/spans.h"

#include <gtest/gtest.h>

namespace headroom::link {
namespace {

Span named(std::string name) {
  Span span;
  span.name = std::move(name);
  return span;
}

TEST(Spans, ATraceparentTellsTheSpanThatAsksAndWhetherItIsSampled) {
  const auto sampled =
      parse_trace_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  ASSERT_TRUE(sampled);
  EXPECT_EQ(span_text(sampled->span), "b7ad6b7169203331");
  EXPECT_TRUE(sampled->sampled);
  EXPECT_FALSE(
      parse_trace_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02")->sampled);
  std::string text;
  append_traceparent(text, *sampled);
  EXPECT_EQ(text, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
}

TEST(Spans, TheShareOfTracesThatIsAskedForIsSampled) {
  Spans spans;
  Random random(3);
  const auto sampled = [&](double share) {
    spans.turn_on(share);
    int count = 0;
    for (int i = 0; i < 10000; ++i) count += spans.draw(random) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(sampled(0), 0);
  EXPECT_EQ(sampled(1), 10000);
  EXPECT_NEAR(sampled(0.1), 1000, 150);
}

TEST(Spans, WhatHasNoRoomIsDroppedAndCountedAndTheOldestAreTakenFirst) {
  Spans spans;
  spans.add(named("off"));
  EXPECT_EQ(spans.waiting(), 0U);
  spans.turn_on(1);
  for (std::size_t i = 0; i < Spans::kMost + 5; ++i) spans.add(named(std::to_string(i)));
  EXPECT_EQ(spans.dropped(), 5U);
  const auto taken = spans.take(2);
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(taken[1].name, "1");
  EXPECT_EQ(spans.waiting(), Spans::kMost - 2);
  spans.add(named("after"));  // and it recovers
  EXPECT_EQ(spans.take(Spans::kMost).back().name, "after");
}

TEST(Spans, TextsAndAttributesAreBounded) {
  Span span = named("x");
  for (std::size_t i = 0; i < 2 * Span::kMostAttributes; ++i)
    span.note("text", std::string(5000, 'x'));
  EXPECT_EQ(span.attributes.size(), Span::kMostAttributes);
  EXPECT_EQ(std::get<std::string>(span.attributes[0].value).size(), Span::kLongest);
}

}  // namespace
}  // namespace headroom::link
