#include "headroom/cache/disk_file.h"

#include <gtest/gtest.h>

#include "headroom/base/hash.h"

namespace headroom::cache {
namespace {

CopyHead sample() {
  return {.stamp = 7,
          .generation = 12,
          .seq = 34,
          .born_unix_ms = 1700000000000,
          .lifetimes = {60s, 30s, 10s, 5s},
          .size = 300000,
          .raw_size = 9,
          .space = Space::http,
          .forms = true,
          .key = "http://a.example/",
          .metadata = std::string("meta\0data", 9),
          .cls = "static",
          .tags = {"a", "", std::string(300, 't')}};
}

TEST(DiskFile, AHeadIsReadAsItWasWritten) {
  const CopyHead wrote = sample();
  const std::string bytes = write_head(wrote);
  EXPECT_EQ(*head_size(bytes), bytes.size());
  const auto read = parse_head(bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(write_head(*read), bytes);
  EXPECT_EQ(read->key, wrote.key);
  EXPECT_EQ(read->metadata, wrote.metadata);
  EXPECT_EQ(read->tags, wrote.tags);
  EXPECT_TRUE(read->forms);
  EXPECT_EQ(read->lifetimes.stale_if_error, 10s);
}

TEST(DiskFile, AHeadWithOneBitChangedOrOneByteLessIsRefused) {
  const std::string bytes = write_head(sample());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string changed = bytes;
    changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(parse_head(changed)) << i;
    EXPECT_FALSE(parse_head(std::string_view(bytes).substr(0, i))) << i;
  }
  EXPECT_FALSE(parse_head(bytes + "x"));
}

// With a right sum: what somebody else has written, or a bug of ours.
TEST(DiskFile, AHeadThatSaysNonsenseIsRefusedWhateverItsSum) {
  const std::string bytes = write_head(sample());
  Random random(5);
  for (int round = 0; round < 200000; ++round) {
    std::string changed = bytes;
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n)
      changed[16 + random.below(changed.size() - 16)] = static_cast<char>(random.next());
    const std::uint64_t sum = hash64(std::string_view(changed).substr(16));
    std::memcpy(changed.data() + 8, &sum, sizeof sum);
    if (const auto read = parse_head(changed)) {
      EXPECT_EQ(write_head(*read).size(), changed.size());
    }
  }
}

TEST(DiskFile, ABlockKnowsItsContentAndPlace) {
  EXPECT_NE(block_sum("a", 1, 0), block_sum("b", 1, 0));
  EXPECT_NE(block_sum("a", 1, 0), block_sum("a", 1, 1));
  EXPECT_NE(block_sum("a", 1, 0), block_sum("a", 2, 0));
  EXPECT_EQ(file_size(100, 0), 100U);
  EXPECT_EQ(file_size(100, kBlock), 100 + kBlock + kBlockSum);
  EXPECT_EQ(file_size(100, kBlock + 1), 100 + kBlock + 1 + 2 * kBlockSum);
}

}  // namespace
}  // namespace headroom::cache
