#include "headroom/link/reads.h"

#include <gtest/gtest.h>

#include <vector>

namespace headroom::link {
namespace {

using Tags = std::vector<std::string>;

TEST(Reads, OfARequestAreTheUnionOfWhatItsStatementsRead) {
  Reads reads;
  reads.note(Tags{"a", "b"}, true);
  reads.note(Tags{"b", "c"}, true);
  ReadTags all;
  reads.add_to(all);
  EXPECT_TRUE(all.known);
  EXPECT_EQ(all.tags, (std::set<std::string>{"a", "b", "c"}));
}

TEST(Reads, OneThatIsNotKnownMakesTheWholeNotKnown) {
  Reads reads;
  reads.note(Tags{"a"}, true);
  reads.note({}, false);
  reads.note(Tags{"b"}, true);
  ReadTags all;
  reads.add_to(all);
  EXPECT_FALSE(all.known);
}

TEST(Reads, TooManyTagsCountAsNotKnown) {
  Reads reads;
  for (std::size_t i = 0; i <= Reads::kMostTags; ++i) reads.note(Tags{std::to_string(i)}, true);
  ReadTags all;
  reads.add_to(all);
  EXPECT_FALSE(all.known);
  EXPECT_TRUE(all.tags.empty());
}

TEST(UnclaimedReads, CountForWhoWasThereMeanwhileAndForNobodyElse) {
  UnclaimedReads reads;
  reads.note(Tags{"before"}, true);
  const std::uint64_t since = reads.now();
  reads.note(Tags{"a"}, true);
  reads.note(Tags{"before"}, true);
  const std::uint64_t later = reads.now();
  ReadTags all;
  reads.add_to(all, since);
  EXPECT_EQ(all.tags, (std::set<std::string>{"a", "before"}));
  reads.note({}, false);
  ReadTags nothing;
  reads.add_to(nothing, reads.now());
  EXPECT_TRUE(nothing.known && nothing.tags.empty());
  reads.add_to(nothing, later);
  EXPECT_FALSE(nothing.known);
}

}  // namespace
}  // namespace headroom::link
