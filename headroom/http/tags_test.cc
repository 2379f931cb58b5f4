#include <gtest/gtest.h>

#include "headroom/http/cache_status.h"
#include "headroom/http/cache_tags.h"
#include "headroom/http/heads_test.h"

namespace headroom::http {
namespace {

using Names = std::vector<std::string_view>;

TEST(Tags, ComeFromAllFourFields) {
  const Response response(
      "Surrogate-Key: product-1  product-2\nCache-Tag: shop, front page ,product-1\nxkey: k1\n"
      "Xkey: k2 k3\nCache-Groups: \"eu\", \"a\\\"b\";x=1, token");
  const Tags tags = tags_of(response);
  EXPECT_EQ(tags.tags, (Names{"product-1", "product-2", "shop", "front page", "k1", "k2", "k3"}));
  EXPECT_EQ(tags.groups, (std::vector<std::string>{"eu", "a\"b"}));
  EXPECT_TRUE(tags.complete);
}

TEST(Tags, OfEmptyOrMalformedFieldsAreNone) {
  const Response response("Surrogate-Key:\nCache-Tag: ,,\nCache-Groups: \"a\", \"b");
  const Tags tags = tags_of(response);
  EXPECT_TRUE(tags.tags.empty());
  EXPECT_TRUE(tags.groups.empty());
  EXPECT_TRUE(tags.complete);
}

TEST(Tags, BeyondTheirLimitsAreTold) {
  EXPECT_FALSE(tags_of(Response("xkey: a b c"), {.tags = 2}).complete);
  EXPECT_FALSE(tags_of(Response("xkey: " + std::string(300, 'a'))).complete);
  EXPECT_FALSE(tags_of(Response("Cache-Groups: \"aaaa\", \"bbbb\""), {.bytes = 6}).complete);
  EXPECT_TRUE(tags_of(Response("xkey: a b a b"), {.tags = 2}).complete);
}

TEST(CacheGroupInvalidation, NamesItsGroups) {
  EXPECT_EQ(invalidated_groups(
                Response("Cache-Group-Invalidation: \"a\"\nCache-Group-Invalidation: \"b\"")),
            (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(invalidated_groups(Response("")).empty());
}

std::string shown(const CacheStatus& status) {
  std::string text;
  append_cache_status(text, status);
  return text;
}

TEST(CacheStatus, TellsHitsAndForwards) {
  EXPECT_EQ(shown({}), "Headroom; hit");
  EXPECT_EQ(shown({.ttl = 376}), "Headroom; hit; ttl=376");
  EXPECT_EQ(shown({.ttl = -3}), "Headroom; hit; ttl=-3");
  EXPECT_EQ(shown({.forwarded = Forwarded::uri_miss, .stored = true, .collapsed = true}),
            "Headroom; fwd=uri-miss; stored; collapsed");
  EXPECT_EQ(shown({.forwarded = Forwarded::stale, .forwarded_status = 304}),
            "Headroom; fwd=stale; fwd-status=304");
  EXPECT_EQ(shown({.forwarded = Forwarded::vary_miss}), "Headroom; fwd=vary-miss");
  EXPECT_EQ(shown({.forwarded = Forwarded::bypass, .key = "/a\"b\\", .detail = "x\n\xff"}),
            "Headroom; fwd=bypass; key=\"/a\\\"b\\\\\"; detail=\"x??\"");
}

}  // namespace
}  // namespace headroom::http
