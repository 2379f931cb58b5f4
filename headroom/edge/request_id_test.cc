#include "headroom/edge/request_id.h"

#include <gtest/gtest.h>

#include <set>

namespace headroom::edge {
namespace {

TEST(RequestIds, SaneIdsAreTakenAndAllOthersReplaced) {
  Random random(1);
  RequestIds ids(random);
  for (const std::string& good :
       {std::string("a"), std::string("01H-x_y.Z"), std::string(128, 'x')})
    EXPECT_EQ(ids.take(good), good);
  for (const std::string& bad :
       {std::string(), std::string(129, 'x'), std::string("a b"), std::string("a\"b"),
        std::string("a\r\nb"), std::string("caf\xc3\xa9"), std::string("a/b"),
        std::string("a\0b", 3)}) {
    const std::string id = ids.take(bad);
    EXPECT_EQ(id.size(), 32U);
    EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  }
}

TEST(RequestIds, FreshIdsDifferAlsoBetweenWorkersThatWereSeededAlike) {
  Random first(1);
  Random second(1);
  RequestIds a(first);
  RequestIds b(second);
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_TRUE(seen.insert(a.take({})).second);
    EXPECT_TRUE(seen.insert(b.take({})).second);
  }
}

}  // namespace
}  // namespace headroom::edge
