#include "headroom/realtime/turns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace headroom::realtime {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TurnsTest : public ::testing::Test {
 protected:
  void take(std::uint64_t address, const std::string& name, std::uint64_t most = 2,
            Duration wait = 5s) {
    turns.take(address, most, now, wait,
               [this, name](bool granted) { said.push_back(granted ? name : name + " refused"); });
  }
  [[nodiscard]] std::vector<std::string> what_was_said() { return std::exchange(said, {}); }

  TimePoint now{3600s};
  Turns turns{3};
  std::vector<std::string> said;
};

TEST_F(TurnsTest, TheOthersOfAnAddressWaitUntilOneOfItsOwnHasEnded) {
  for (const char* name : {"a1", "a2", "a3", "a4"}) take(1, name);
  EXPECT_THAT(what_was_said(), ElementsAre("a1", "a2"));
  take(2, "b1");
  EXPECT_THAT(what_was_said(), ElementsAre("b1"));
  turns.end(2, now);  // that is none of theirs
  EXPECT_THAT(what_was_said(), IsEmpty());
  turns.end(1, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a3"));
  turns.end(1, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a4"));
  turns.end(1, now);
  turns.end(1, now);
  take(1, "a5");
  EXPECT_THAT(what_was_said(), ElementsAre("a5"));
}

TEST_F(TurnsTest, WhereAllPlacesAreTakenTheAddressesHaveTheirTurns) {
  for (const char* name : {"a1", "a2", "a3", "a4", "a5"}) take(1, name, 0);
  take(2, "b1", 0);
  take(2, "b2", 0);
  take(3, "c1", 0);
  EXPECT_THAT(what_was_said(), ElementsAre("a1", "a2", "a3"));
  for (int i = 0; i < 3; ++i) turns.end(1, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a4", "b1", "c1"));
  turns.end(1, now);
  turns.end(2, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a5", "b2"));
}

TEST_F(TurnsTest, WhoHasWaitedTooLongIsToldSoAndTakesNoPlace) {
  for (const char* name : {"a1", "a2"}) take(1, name);
  take(1, "a3", 2, 1s);
  take(1, "a4");
  (void)what_was_said();
  turns.upkeep(now + 2s);
  EXPECT_THAT(what_was_said(), ElementsAre("a3 refused"));
  turns.end(1, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a4"));
}

TEST_F(TurnsTest, APlaceThatComesFreeTooLateIsNotGiven) {
  for (const char* name : {"a1", "a2"}) take(1, name);
  take(1, "a3", 2, 1s);
  take(1, "a4", 2, 3s);
  (void)what_was_said();
  turns.end(1, now + 2s);
  EXPECT_THAT(what_was_said(), ElementsAre("a3 refused", "a4"));
}

TEST_F(TurnsTest, OneAddressTakesHalfOfTheWaitingPlacesAtMost) {
  for (int i = 0; i < 3; ++i) take(9, "other", 0);
  (void)what_was_said();
  for (std::size_t i = 0; i <= Turns::kMostWaiting / 2; ++i) take(1, "a", 1);
  EXPECT_THAT(what_was_said(), ElementsAre("a refused"));
  for (std::size_t i = 0; i <= Turns::kMostWaiting / 2; ++i) take(2, "b", 1);
  EXPECT_THAT(what_was_said(), ElementsAre("b refused"));
  take(3, "c", 1);
  EXPECT_THAT(what_was_said(), ElementsAre("c refused"));
  turns.upkeep(now + 6s);
  (void)what_was_said();
  turns.end(9, now);
  take(3, "c", 1);
  EXPECT_THAT(what_was_said(), ElementsAre("c"));  // and it recovers
}

TEST_F(TurnsTest, WhenItStopsPlacesGoToNobody) {
  for (const char* name : {"a1", "a2", "a3"}) take(1, name);
  (void)what_was_said();
  turns.stop();
  turns.end(1, now);
  take(2, "b1");
  turns.upkeep(now + 9s);
  EXPECT_THAT(what_was_said(), IsEmpty());
}

TEST_F(TurnsTest, ALimitThatIsLoweredHoldsForWhoWaits) {
  for (const char* name : {"a1", "a2", "a3"}) take(1, name, 2);
  take(1, "a4", 1);
  (void)what_was_said();
  turns.end(1, now);
  EXPECT_THAT(what_was_said(), IsEmpty());
  turns.end(1, now);
  EXPECT_THAT(what_was_said(), ElementsAre("a3"));
}

}  // namespace
}  // namespace headroom::realtime
