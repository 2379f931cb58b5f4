#include "headroom/limit/keyed_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace headroom::limit {
namespace {

// What CPython 3.11 gives with PYTHONHASHSEED=0 (SipHash-1-3, a key of zeros) for the bytes 0, 1, 2, ...
TEST(KeyedHash, IsSipHash13) {
  const auto hash = [](std::size_t size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(i));
    return keyed_hash({0, 0}, bytes);
  };
  EXPECT_EQ(hash(1), 7541581120933061747U);
  EXPECT_EQ(hash(7), 3389392686435873370U);
  EXPECT_EQ(hash(8), 16921169381604339434U);
  EXPECT_EQ(hash(15), 17514137373579004394U);
}

TEST(KeyedHash, DependsOnItsKey) {
  EXPECT_NE(keyed_hash(random_hash_key(), "subject"), keyed_hash(random_hash_key(), "subject"));
}

}  // namespace
}  // namespace headroom::limit
