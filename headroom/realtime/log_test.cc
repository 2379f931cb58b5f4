#include "headroom/realtime/log.h"

#include <gtest/gtest.h>

#include <deque>

#include "headroom/base/hash.h"

namespace headroom::realtime {
namespace {

MessagePtr message(std::uint64_t offset, std::size_t data = 10, TimePoint at = {}) {
  return std::make_shared<const Message>(
      Publication{.channel = "c", .event = "e", .data = std::string(data, '1')},
      Position{7, offset}, true, at);
}

TEST(LogTest, PlacesStayWhenOldMessagesGo) {
  Log log;
  for (std::uint64_t i = 1; i <= 10; ++i) log.append(message(i));
  log.keep(3, 1U << 20U);
  EXPECT_EQ(log.begin(), 7U);
  EXPECT_EQ(log.end(), 10U);
  EXPECT_EQ(log.at(9)->position().offset, 10U);
  EXPECT_EQ(log.dropped(), 7U);
}

TEST(LogTest, WhoAsksForWhatWasDroppedIsToldThatItCannotBeProved) {
  Log log;
  for (std::uint64_t i = 1; i <= 10; ++i)
    log.append(message(i * 2));  // offsets of the other priority lie between
  EXPECT_EQ(log.after(0), 0U);
  EXPECT_EQ(log.after(2), 1U);
  EXPECT_EQ(log.after(3), 1U);
  EXPECT_EQ(log.after(20), 10U);
  log.keep(4, 1U << 20U);  // 14, 16, 18, 20 stay
  EXPECT_EQ(log.after(11), std::nullopt);
  EXPECT_EQ(log.after(12), 6U);  // the dropped 12 was seen
  EXPECT_EQ(log.after(14), 7U);
  log.keep(0, 0);
  EXPECT_EQ(log.after(19), std::nullopt);
  EXPECT_EQ(log.after(20), 10U);
}

TEST(LogTest, OldMessagesGoByTime) {
  Log log;
  for (int i = 1; i <= 4; ++i)
    log.append(message(static_cast<std::uint64_t>(i), 1, TimePoint(std::chrono::seconds(i))));
  log.drop_before(TimePoint(3s));
  EXPECT_EQ(log.size(), 2U);
  EXPECT_EQ(log.dropped(), 2U);
}

TEST(LogTest, TwoHundredThousandStepsAreAsADequeWouldHaveThem) {
  Random random(5);
  Log log;
  std::deque<MessagePtr> model;
  std::uint64_t offset = 0;
  for (int i = 0; i < 200'000; ++i) {
    if (random.below(10) < 7) {
      const auto one = message(++offset, random.below(300));
      log.append(one);
      model.push_back(one);
    } else {
      const std::uint64_t most = random.below(60);
      const std::uint64_t bytes = random.below(8000);
      log.keep(most, bytes);
      std::uint64_t held = 0;
      for (const auto& each : model) held += each->bytes();
      while (model.size() > most || (!model.empty() && held > bytes)) {
        held -= model.front()->bytes();
        model.pop_front();
      }
    }
    ASSERT_EQ(log.size(), model.size());
    if (model.empty()) continue;
    const std::size_t at = random.below(model.size());
    ASSERT_EQ(log.at(log.begin() + at), model[at]);
    std::uint64_t from = 0;
    for (std::size_t j = at; j < model.size(); ++j) from += model[j]->bytes();
    ASSERT_EQ(log.bytes_from(log.begin() + at), from);
    const auto after = log.after(model[at]->position().offset);
    ASSERT_EQ(after, log.begin() + at + 1);
  }
}

TEST(PositionTest, TextsAreReadBackAndNothingElseIs) {
  const Position position{0xabcdef0123456789ULL, 42};
  EXPECT_EQ(position.text(), "abcdef0123456789-42");
  EXPECT_EQ(Position::parse(position.text()), position);
  for (const char* text :
       {"", "-", "1", "1-", "-1", "x-1", "1-x", "11112222333344445-1", "1--1", "1-1 "})
    EXPECT_EQ(Position::parse(text), std::nullopt) << text;
  EXPECT_EQ(parse_socket(show_socket(0x1234567800000001ULL)), 0x1234567800000001ULL);
  for (const char* text : {"", ".", "1", "1.", ".1", "4294967296.1", "a.1"})
    EXPECT_EQ(parse_socket(text), std::nullopt) << text;
}

}  // namespace
}  // namespace headroom::realtime
