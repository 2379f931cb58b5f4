#include "headroom/cache/memory_tier.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "headroom/base/hash.h"

namespace headroom::cache {
namespace {

// The small language of these tests: a tier with a clock of its own.
class MemoryTierTest : public ::testing::Test {
 protected:
  static TierOptions small() {
    return {.memory_limit = 8U << 20U,
            .value_limit = 1U << 20U,
            .waiters_limit = 3,
            .lease_limit = 10s,
            .early_refresh = 0,
            .seed = 42};
  }

  Found look(std::string_view key, Space space = Space::app) {
    return tier.lookup({.space = space, .key = key, .now = now});
  }
  Answer answer(std::string_view key) { return look(key).answer; }
  std::string value_of(std::string_view key) {
    const Found found = look(key);
    return found.object ? std::string(found.object.stored()) : "";
  }
  Result<> set(std::string_view key, std::string_view value, Lifetimes lifetimes = {.ttl = 60s},
               std::vector<std::string> tags = {}) {
    return tier.set(Space::app, key, {.lifetimes = lifetimes, .tags = tags}, value, now);
  }
  bool erase(std::string_view key, Hardness hardness = Hardness::hard) {
    return tier.erase(Space::app, key, hardness, now);
  }

  TimePoint now = TimePoint{} + 1000000s;
  MemoryTier tier{small()};
};

TEST_F(MemoryTierTest, AMissIsALeaseAndTheValueIsThenFoundByAll) {
  Found first = look("a");
  ASSERT_EQ(first.answer, Answer::fill);
  EXPECT_EQ(answer("a"), Answer::join);
  now += 2s;
  auto stored = first.lease.store({.metadata = "head", .lifetimes = {.ttl = 10s}}, "value", now);
  ASSERT_TRUE(stored);
  const Found hit = look("a");
  EXPECT_EQ(hit.answer, Answer::fresh);
  EXPECT_EQ(hit.object->metadata(), "head");
  EXPECT_EQ(hit.object.stored(), "value");
  EXPECT_EQ(hit.object->key(), "a");
  EXPECT_EQ(hit.object->load_time(), 2s);
}

TEST_F(MemoryTierTest, SpacesDoNotSeeEachOther) {
  ASSERT_TRUE(set("a", "app's"));
  EXPECT_EQ(look("a", Space::http).answer, Answer::fill);
  tier.invalidate_prefix(Space::http, "", Hardness::hard);
  EXPECT_EQ(value_of("a"), "app's");
}

TEST_F(MemoryTierTest, AnExpiredEntryIsServedStaleWhileOneRefreshes) {
  ASSERT_TRUE(set("a", "old", {.ttl = 10s, .stale_while_revalidate = 5s}));
  now += 12s;
  Found one = look("a");
  EXPECT_EQ(one.answer, Answer::stale);
  EXPECT_EQ(one.stale, 2s);
  EXPECT_EQ(one.age, 12s);
  ASSERT_TRUE(one.lease);
  const Found other = look("a");
  EXPECT_EQ(other.answer, Answer::stale);
  EXPECT_FALSE(other.lease);
  ASSERT_TRUE(one.lease.store({.lifetimes = {.ttl = 10s}}, "new", now));
  EXPECT_EQ(value_of("a"), "new");
  now += 16s;
  EXPECT_EQ(answer("a"), Answer::fill);
}

// XFetch: the chance of a refresh at `left` before the end, of a value that took `load`, is exp(-left / (load * beta)).
TEST_F(MemoryTierTest, WhatTookLongToLoadIsRefreshedBeforeItExpires) {
  TierOptions options = small();
  options.early_refresh = 1;
  tier.configure(options);
  const auto refreshed = [&](Duration left) {
    constexpr int kKeys = 2000;
    int refreshes = 0;
    for (int i = 0; i < kKeys; ++i) {
      const std::string key = "k" + std::to_string(i);
      Found miss = look(key);
      now += 1s;
      EXPECT_TRUE(miss.lease.store({.lifetimes = {.ttl = 60s}}, "value", now));
      now += 60s - left;
      const Found found = look(key);
      EXPECT_EQ(found.answer, Answer::fresh);
      if (found.lease) {
        ++refreshes;
        EXPECT_FALSE(look(key).lease) << "one is enough";
      }
      erase(key);
    }
    return static_cast<double>(refreshes) / kKeys;
  };
  EXPECT_EQ(refreshed(30s), 0);
  EXPECT_NEAR(refreshed(1s), 0.368, 0.04);
  EXPECT_NEAR(refreshed(100ms), 0.905, 0.03);
  options.early_refresh = 0;
  tier.configure(options);
  EXPECT_EQ(refreshed(1ms), 0);
}

TEST_F(MemoryTierTest, AFailedRefreshServesStaleAsLongAsAllowed) {
  ASSERT_TRUE(set("a", "old", {.ttl = 10s, .stale_if_error = 60s}));
  now += 20s;
  Found one = look("a");
  ASSERT_EQ(one.answer, Answer::fill);
  ASSERT_TRUE(one.lease.stale());
  const ObjectRef stale = one.lease.fail({Errc::unavailable, "down"}, now);
  ASSERT_TRUE(stale);
  EXPECT_EQ(stale.stored(), "old");
  Found two = look("a");
  tier.invalidate_prefix(Space::app, "a", Hardness::hard);
  EXPECT_FALSE(two.lease.fail({Errc::unavailable, "down"}, now))
      << "what was invalidated is not served on an error either";
  EXPECT_EQ(answer("a"), Answer::fill);
}

TEST_F(MemoryTierTest, AnUncacheableOutcomeIsRemembered) {
  look("a").lease.uncacheable(10s, now);
  EXPECT_EQ(answer("a"), Answer::bypass);
  now += 11s;
  EXPECT_EQ(answer("a"), Answer::fill);
}

TEST_F(MemoryTierTest, ALeaseThatTakesTooLongGoesToTheNextAndItsValueIsNotKept) {
  Found slow = look("a");
  now += 11s;
  Found next = look("a");
  ASSERT_EQ(next.answer, Answer::fill);
  ASSERT_TRUE(next.lease.store({.lifetimes = {.ttl = 60s}}, "new", now));
  ASSERT_TRUE(slow.lease.store({.lifetimes = {.ttl = 60s}}, "old", now));
  EXPECT_EQ(value_of("a"), "new");
}

TEST_F(MemoryTierTest, WaitersAreBoundedAndItRecovers) {
  Found first = look("a");
  std::vector<Found> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(look("a"));
  EXPECT_EQ(answer("a"), Answer::overloaded);
  waiting.clear();
  EXPECT_EQ(answer("a"), Answer::join);
  first.lease = {};
  EXPECT_EQ(answer("a"), Answer::fill);
}

TEST_F(MemoryTierTest, TagsAreInvalidatedHardOrSoft) {
  ASSERT_TRUE(set("a", "1", {.ttl = 60s, .stale_while_revalidate = 60s}, {"x", "y"}));
  ASSERT_TRUE(set("b", "2", {.ttl = 60s, .stale_while_revalidate = 60s}, {"y"}));
  tier.invalidate_tag("x", Hardness::hard);
  EXPECT_EQ(answer("a"), Answer::fill);
  EXPECT_EQ(answer("b"), Answer::fresh);
  now += 1s;
  tier.invalidate_tag("y", Hardness::soft);
  now += 1s;
  EXPECT_EQ(answer("b"), Answer::stale);
  ASSERT_TRUE(set("b", "3", {.ttl = 60s}, {"y"}));
  EXPECT_EQ(answer("b"), Answer::fresh) << "what is loaded after it is not met";
}

TEST_F(MemoryTierTest, PrefixesAndPatternsMeetWhatWasThereBefore) {
  ASSERT_TRUE(set("user:1:name", "n"));
  ASSERT_TRUE(set("user:2:name", "n"));
  ASSERT_TRUE(set("page:1", "n"));
  tier.invalidate_pattern(Space::app, "user:?:n*e", Hardness::hard);
  EXPECT_EQ(answer("user:1:name"), Answer::fill);
  ASSERT_TRUE(set("user:2:name", "m"));
  EXPECT_EQ(value_of("user:2:name"), "m");
  tier.invalidate_prefix(Space::app, "page:", Hardness::hard);
  EXPECT_EQ(answer("page:1"), Answer::fill);
}

TEST_F(MemoryTierTest, ManyPatternsStayBoundedAndForgettingOneOnlyForgetsTooMuch) {
  ASSERT_TRUE(set("a", "1"));
  for (int i = 0; i < 1000; ++i)
    tier.invalidate_pattern(Space::app, "none:" + std::to_string(i), Hardness::hard);
  EXPECT_EQ(tier.bans(), Invalidations::kMostBans);
  EXPECT_EQ(answer("a"), Answer::fill);
  ASSERT_TRUE(set("a", "2"));
  EXPECT_EQ(value_of("a"), "2");
  tier.sweep_all(now);
  EXPECT_EQ(tier.bans(), 0U);
  EXPECT_EQ(value_of("a"), "2");
}

TEST_F(MemoryTierTest, AnInvalidationBeatsTheLoadsThatBeganBeforeIt) {
  const std::vector<std::string> tags{"only known afterwards"};
  Found one = look("a");
  tier.invalidate_tag("only known afterwards", Hardness::hard);
  ASSERT_TRUE(one.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "old", now));
  Found two = look("a");
  ASSERT_EQ(two.answer, Answer::fill);
  erase("a");
  ASSERT_TRUE(two.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "old", now));
  Found three = look("a");
  ASSERT_EQ(three.answer, Answer::fill);
  tier.invalidate_prefix(Space::app, "", Hardness::hard);
  ASSERT_TRUE(three.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "old", now));
  Found four = look("a");
  ASSERT_TRUE(four.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "new", now));
  EXPECT_EQ(value_of("a"), "new");
}

TEST_F(MemoryTierTest, WhatIsKnownOfATagIsForgottenOnlyTheSafeWay) {
  Found one = look("a");
  tier.invalidate_tag("t", Hardness::hard);
  for (int i = 0; i < 100000; ++i) tier.invalidate_tag("other" + std::to_string(i), Hardness::hard);
  const std::vector<std::string> tags{"t"};
  ASSERT_TRUE(one.lease.store({.lifetimes = {.ttl = 60s}, .tags = tags}, "old", now));
  EXPECT_EQ(answer("a"), Answer::fill);
  EXPECT_LT(tier.memory().used(), 1U << 20U) << "tags that nobody holds do not pile up";
}

TEST_F(MemoryTierTest, ASetWithASnapshotLosesToAnInvalidation) {
  const std::uint64_t since = tier.snapshot();
  erase("a");
  const auto late = tier.set(Space::app, "a", {.lifetimes = {.ttl = 60s}}, "old", now, since);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::conflict);
  EXPECT_TRUE(tier.set(Space::app, "a", {.lifetimes = {.ttl = 60s}}, "new", now, tier.snapshot()));
  EXPECT_EQ(value_of("a"), "new");
}

TEST_F(MemoryTierTest, MemoryIsBoundedWhateverComes) {
  Random random(7);
  for (int i = 0; i < 60000; ++i) {
    const std::vector<std::string> tags{"t" + std::to_string(i),
                                        "u" + std::to_string(random.below(10))};
    static_cast<void>(set("key" + std::to_string(i),
                          std::string(random.below(i % 100 == 0 ? 500000 : 400), 'x'), {.ttl = 60s},
                          tags));
    ASSERT_LE(tier.memory().used(), tier.memory().limit());
  }
  EXPECT_GT(tier.entries(), 1000U);
  EXPECT_GT(tier.memory().used(), tier.memory().limit() / 10 * 9);
  tier.invalidate_prefix(Space::app, "", Hardness::hard);
  tier.sweep_all(now);
  EXPECT_EQ(tier.entries(), 0U);
  EXPECT_LT(tier.memory().used(), 400000U);
}

TEST_F(MemoryTierTest, ExpiredEntriesGoFirst) {
  const std::string value(1000, 'x');
  for (int i = 0; i < 3500; ++i) ASSERT_TRUE(set("short" + std::to_string(i), value, {.ttl = 1s}));
  for (int i = 0; i < 3500; ++i) ASSERT_TRUE(set("long" + std::to_string(i), value, {.ttl = 100s}));
  now += 2s;
  const std::uint64_t before = tier.removals(Removal::capacity);
  for (int i = 0; i < 3000; ++i) ASSERT_TRUE(set("new" + std::to_string(i), value, {.ttl = 100s}));
  EXPECT_LT(tier.removals(Removal::capacity) - before, 100U);
}

TEST_F(MemoryTierTest, WhatIsBeingReadIsNotEvicted) {
  ASSERT_TRUE(set("held", std::string(1000, 'h')));
  const Found held = look("held");
  for (int i = 0; i < 30000; ++i) ASSERT_TRUE(set("k" + std::to_string(i), std::string(1000, 'x')));
  EXPECT_EQ(answer("held"), Answer::fresh);
}

TEST_F(MemoryTierTest, BadInputIsRefusedAndItRecovers) {
  const std::string long_key(1025, 'k');
  EXPECT_FALSE(set(long_key, "v"));
  EXPECT_FALSE(set("", "v"));
  EXPECT_EQ(answer(long_key), Answer::bypass);
  EXPECT_FALSE(set("large", std::string(2U << 20U, 'x')));
  EXPECT_FALSE(set("tags", "v", {.ttl = 60s}, std::vector<std::string>(256, "t")));
  Found lease = look("large");
  auto stored = lease.lease.store({.lifetimes = {.ttl = 60s}}, std::string(2U << 20U, 'x'), now);
  EXPECT_TRUE(stored) << "given back, though not kept";
  EXPECT_EQ(answer("large"), Answer::fill);
  Found huge = look("huge");
  EXPECT_FALSE(huge.lease.store({.lifetimes = {.ttl = 60s}}, std::string(20U << 20U, 'x'), now));
  EXPECT_TRUE(set("fine", "v", {.ttl = 60s}, std::vector<std::string>(255, "t")));
  EXPECT_EQ(value_of("fine"), "v");
}

TEST_F(MemoryTierTest, ARenewedObjectKeepsItsBody) {
  Found first = look("a");
  auto published =
      first.lease.publish({.metadata = "one", .lifetimes = {.ttl = 10s, .keep = 60s}}, now);
  ASSERT_TRUE(published);
  published->filler.append("streamed");
  published->filler.finish();
  now += 20s;
  Found expired = look("a");
  ASSERT_EQ(expired.answer, Answer::fill);
  ASSERT_TRUE(expired.lease.renew({.metadata = "two", .lifetimes = {.ttl = 10s}}, now));
  const Found renewed = look("a");
  EXPECT_EQ(renewed.answer, Answer::fresh);
  EXPECT_EQ(renewed.object->metadata(), "two");
  EXPECT_EQ(renewed.object->size(), 8U);
}

TEST_F(MemoryTierTest, AnEntryCostsAtMostEightyBytesOfOverhead) {
  TierOptions options = small();
  options.memory_limit = 64U << 20U;
  MemoryTier large(options);
  std::vector<std::string> tags{"user", "page"};
  std::uint64_t payload = 0;
  for (int i = 0; i < 100000; ++i) {
    const std::string key = "key:" + std::to_string(1000000 + i);
    const std::string value(static_cast<std::size_t>(64 + i % 128), 'v');
    payload += key.size() + value.size();
    ASSERT_TRUE(large.set(Space::app, key, {.lifetimes = {.ttl = 60s}, .tags = tags}, value, now));
  }
  ASSERT_EQ(large.entries(), 100000U);
  const double overhead = static_cast<double>(large.memory().used() - payload) / 100000;
  RecordProperty("overhead", std::to_string(overhead));
  EXPECT_LE(overhead, 80);
}

TEST_F(MemoryTierTest, KeysAreListedByPrefix) {
  ASSERT_TRUE(set("user:1", "12345"));
  ASSERT_TRUE(set("user:2", "1"));
  ASSERT_TRUE(set("page", "1"));
  const auto listed = tier.list(Space::app, "user:", 10, now).entries;
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].ttl_left, 60s);
  std::vector<std::string> paged;
  Listing page;
  do {
    page = tier.list(Space::app, "", 1, now, page.next);
    ASSERT_LE(page.entries.size(), 1U);
    for (const EntryInfo& entry : page.entries) paged.push_back(entry.key);
  } while (page.next != 0);
  std::ranges::sort(paged);
  EXPECT_EQ(paged, (std::vector<std::string>{"page", "user:1", "user:2"}));
}

// Everything against a plain map, with a fake clock; nothing is evicted.
class Model {
 public:
  struct Entry {
    std::string value;
    TimePoint until;
    std::set<std::string> tags;
  };
  std::map<std::string, Entry> entries;
  std::optional<std::string> get(const std::string& key, TimePoint now) {
    const auto at = entries.find(key);
    if (at == entries.end() || now >= at->second.until) return std::nullopt;
    return at->second.value;
  }
  template <class Predicate>
  void drop(const Predicate& predicate) {
    std::erase_if(entries, [&](const auto& e) { return predicate(e.first, e.second); });
  }
};

TEST_F(MemoryTierTest, ItAnswersAsAPlainMapDoes) {
  Random random(2024);
  Model model;
  std::size_t hits = 0;
  for (int step = 0; step < 200000; ++step) {
    const std::string key =
        std::string(1, static_cast<char>('a' + random.below(4))) + std::to_string(random.below(40));
    const std::string tag = "t" + std::to_string(random.below(12));
    const std::uint64_t what = random.below(100);
    if (what < 55) {
      const auto expected = model.get(key, now);
      Found found = look(key);
      ASSERT_EQ(found.answer == Answer::fresh, expected.has_value()) << key << " at step " << step;
      if (expected) {
        ++hits;
        ASSERT_EQ(found.object.stored(), *expected);
      }
    } else if (what < 90) {
      const std::string value = std::to_string(step);
      const Duration ttl = std::chrono::milliseconds(1 + random.below(20000));
      const std::string other = "t" + std::to_string(random.below(12));
      ASSERT_TRUE(set(key, value, {.ttl = ttl}, {tag, other}));
      model.entries[key] = {value, now + ttl, {tag, other}};
    } else if (what < 93) {
      ASSERT_EQ(erase(key), model.get(key, now).has_value());
      model.entries.erase(key);
    } else if (what < 95) {
      tier.invalidate_tag(tag, Hardness::hard);
      model.drop([&](const auto&, const auto& e) { return e.tags.contains(tag); });
    } else if (what < 96) {
      tier.invalidate_prefix(Space::app, key.substr(0, 2), Hardness::hard);
      model.drop([&](const auto& k, const auto&) { return k.starts_with(key.substr(0, 2)); });
    } else if (what < 97) {
      tier.invalidate_pattern(Space::app, "?" + key.substr(1), Hardness::hard);
      model.drop([&](const auto& k, const auto&) { return k.substr(1) == key.substr(1); });
    } else if (what < 99) {
      now += std::chrono::milliseconds(random.below(200));
    } else {
      tier.sweep(now, 300);
    }
  }
  EXPECT_GT(hits, 20000U);
}

TEST(Matches, GlobPatterns) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("a*c", "abbbc"));
  EXPECT_FALSE(matches("a*c", "abbb"));
  EXPECT_TRUE(matches("a\\*c", "a*c"));
  EXPECT_FALSE(matches("a\\*c", "abc"));
  EXPECT_TRUE(matches("*a*b*c", "xxaxxbxxcxxc"));
  EXPECT_FALSE(matches("?", ""));
  EXPECT_TRUE(matches("user:*:page:?", "user:17:page:3"));
}

TEST(Span16, RoundsDownByLittle) {
  for (const Duration span : {Duration(0), Duration(1ms), Duration(2047ms), Duration(2049ms),
                              Duration(3600s), Duration(86400s * 365)}) {
    const Duration kept = Span16(span).value();
    EXPECT_LE(kept, span);
    EXPECT_GE(kept, span - span / 1024);
  }
}

TEST_F(MemoryTierTest, FormsAreCountedAndGoWithTheirValue) {
  const std::uint64_t empty = tier.memory().used();
  Found found = look("a");
  ObjectRef object = *found.lease.store(
      {.metadata = "head", .lifetimes = {.ttl = 60s}, .forms = true}, "the value", now);
  ASSERT_NE(object->forms(), nullptr);
  EXPECT_EQ(object->metadata(), "head");
  EXPECT_EQ(object.stored(), "the value");
  const std::uint64_t before = tier.memory().used();
  const std::uint64_t listed = tier.use()[0].bytes;
  EXPECT_FALSE(object->forms()->get(1));
  ASSERT_TRUE(tier.add_form(object, 1, std::string(1000, 'x')));
  EXPECT_FALSE(tier.add_form(object, 1, "again"));
  EXPECT_EQ(*look("a").object->forms()->get(1), std::string(1000, 'x'));
  EXPECT_FALSE(object->forms()->get(0));
  EXPECT_EQ(tier.memory().used() - before, heap_bytes(1004));
  EXPECT_EQ(tier.use()[0].bytes - listed, heap_bytes(1004));
  EXPECT_TRUE(erase("a"));
  EXPECT_EQ(*object->forms()->get(1), std::string(1000, 'x'));  // whoever reads it may go on
  EXPECT_FALSE(tier.add_form(object, 2, "too late"));
  EXPECT_EQ(tier.use()[0].bytes, 0U);
  found = {};
  object = {};  // the last one who reads
  EXPECT_EQ(tier.memory().used(), empty);
}

TEST_F(MemoryTierTest, AValueThatIsNotToHaveFormsHasNone) {
  ASSERT_TRUE(set("a", "value"));
  const ObjectRef object = look("a").object;
  EXPECT_EQ(object->forms(), nullptr);
  EXPECT_FALSE(tier.add_form(object, 0, "form"));
}

TEST_F(MemoryTierTest, TheSecondWhoAsksHasAFormMade) {
  const ObjectRef object =
      *look("a").lease.store({.lifetimes = {.ttl = 60s}, .forms = true}, "value", now);
  Forms& forms = *object->forms();
  EXPECT_FALSE(forms.should_make(0));
  EXPECT_TRUE(forms.should_make(0));
  EXPECT_FALSE(forms.should_make(0));
  EXPECT_FALSE(forms.should_make(2));
  forms.forget(0);
  EXPECT_TRUE(forms.should_make(0));
  forms.rule_out(0);
  EXPECT_FALSE(forms.should_make(0));
  EXPECT_TRUE(forms.is_useless(0));
  EXPECT_FALSE(forms.is_useless(2));
}

TEST_F(MemoryTierTest, ARenewedValueKeepsItsForms) {
  ObjectRef old = *look("a").lease.store(
      {.metadata = "old", .lifetimes = {.ttl = 10s, .keep = 60s}, .cls = 3, .forms = true}, "value",
      now);
  ASSERT_TRUE(tier.add_form(old, 0, "before"));
  now += 20s;
  Found expired = look("a");
  ASSERT_EQ(expired.answer, Answer::fill);
  const ObjectRef renewed =
      *expired.lease.renew({.metadata = "new", .lifetimes = {.ttl = 60s}, .cls = 4}, now);
  EXPECT_EQ(renewed->metadata(), "new");
  EXPECT_EQ(*renewed->forms()->get(0), "before");
  ASSERT_TRUE(tier.add_form(old, 1, "made of the old one, which has the same value"));
  EXPECT_TRUE(look("a").object->forms()->get(1));
  old = {};
  EXPECT_EQ(tier.use()[3].bytes, 0U);
  const std::uint64_t size = tier.use()[4].bytes;
  EXPECT_GT(size, Forms::own_bytes() + Forms::bytes_for("before"));
  EXPECT_TRUE(erase("a"));
  EXPECT_EQ(tier.use()[4].bytes, 0U);
}

TEST_F(MemoryTierTest, FormsMakeRoomLikeValues) {
  const std::string large(500000, 'x');
  std::vector<std::string> keys;
  for (int i = 0; i < 60; ++i) {
    const std::string key = "k" + std::to_string(i);
    ObjectRef object =
        *look(key).lease.store({.lifetimes = {.ttl = 60s}, .forms = true}, "value", now);
    static_cast<void>(tier.add_form(object, 0, large));
    EXPECT_LE(tier.memory().used(), tier.memory().limit());
  }
  EXPECT_GT(tier.removals(Removal::capacity), 0U);
  EXPECT_LT(tier.entries(), 60U);
}

TEST_F(MemoryTierTest, AWholeValueCanBeCopiedHoweverItCame) {
  Published published = *look("a").lease.publish({.lifetimes = {.ttl = 60s}, .forms = true}, now);
  std::string all;
  for (int i = 0; i < 50; ++i) {
    const std::string piece(1000, static_cast<char>('a' + (i % 26)));
    published.filler.append(piece);
    all += piece;
  }
  EXPECT_EQ(published.object.copy(), "");
  published.filler.finish();
  EXPECT_EQ(published.object.copy(), all);
  EXPECT_EQ(look("a").object.copy(), all);
  ASSERT_TRUE(set("b", "small"));
  EXPECT_EQ(look("b").object.copy(), "small");
  ASSERT_TRUE(tier.add_form(published.object, 0, "form"));
  EXPECT_EQ(*look("a").object->forms()->get(0), "form");
}

TEST_F(MemoryTierTest, FormsAreReadWhileTheyComeAndGo) {
  std::vector<std::thread> threads;
  std::atomic<std::uint64_t> read{0};
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Random random(t);
      for (int i = 0; i < 5000; ++i) {
        const std::string key = "k" + std::to_string(random.below(8));
        Found found = look(key);
        if (found.lease && !found.object)
          static_cast<void>(
              found.lease.store({.lifetimes = {.ttl = 60s}, .forms = true}, key, now));
        if (!found.object) continue;
        Forms* const forms = found.object->forms();
        ASSERT_NE(forms, nullptr);
        if (forms->should_make(1))
          static_cast<void>(tier.add_form(found.object, 1, key + " in another form"));
        if (random.below(50) == 0) tier.erase(Space::app, key, Hardness::hard, now);
        const auto form = forms->get(1);
        if (!form) continue;
        ASSERT_EQ(*form, key + " in another form");
        read.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(read.load(), 0U);
  for (int i = 0; i < 8; ++i) erase("k" + std::to_string(i));
  EXPECT_EQ(tier.use()[0].bytes, 0U);
}

}  // namespace
}  // namespace headroom::cache
