#include "headroom/edge/pagination.h"

#include <gtest/gtest.h>

#include "headroom/edge/request_fixture.h"

namespace headroom::edge {
namespace {

PaginationOptions options() {
  PaginationOptions made = route_section().defaults().pagination;
  made.enabled = true;
  return made;
}

// The Link of a request for a list of `total` items; "" where it asks for no page.
std::string links(std::string_view target, std::optional<std::uint64_t> total,
                  const PaginationOptions& made = options()) {
  const Pagination pagination(made, 1);
  const TestRequest request("GET " + std::string(target));
  const auto part = pagination.part_of(request.head());
  return part ? pagination.link_line(request.head(), *part, total) : "";
}

TEST(Pagination, ByNumberAPageHasFirstPreviousNextAndLast) {
  EXPECT_EQ(links("/a?page=2&limit=10", 35),
            "Link: </a?page=1&limit=10>; rel=\"first\", </a?page=1&limit=10>; rel=\"prev\", "
            "</a?page=3&limit=10>; rel=\"next\", </a?page=4&limit=10>; rel=\"last\"\r\n");
  EXPECT_EQ(
      links("/a?limit=10&q=x", 5),
      "Link: </a?limit=10&q=x&page=1>; rel=\"first\", </a?limit=10&q=x&page=1>; rel=\"last\"\r\n");
}

TEST(Pagination, ByOffsetTooAndNothingIsBeforeTheFirst) {
  EXPECT_EQ(links("/a?offset=5&limit=10", 30),
            "Link: </a?offset=0&limit=10>; rel=\"first\", </a?offset=0&limit=10>; rel=\"prev\", "
            "</a?offset=15&limit=10>; rel=\"next\", </a?offset=20&limit=10>; rel=\"last\"\r\n");
  EXPECT_EQ(
      links("/a?offset=0&limit=10", 0),
      "Link: </a?offset=0&limit=10>; rel=\"first\", </a?offset=0&limit=10>; rel=\"last\"\r\n");
}

TEST(Pagination, WithoutATotalThereIsANextAndNoLast) {
  EXPECT_EQ(links("/a?page=1&limit=10", std::nullopt),
            "Link: </a?page=1&limit=10>; rel=\"first\", </a?page=2&limit=10>; rel=\"next\"\r\n");
}

TEST(Pagination, WhatIsNoPageGetsNone) {
  for (const char* target : {"/a", "/a?page=2", "/a?page=0&limit=10", "/a?limit=0&page=1",
                             "/a?limit=x&page=1", "/a?limit=99999999999999999999&page=1"})
    EXPECT_EQ(links(target, 5), "") << target;
  PaginationOptions made = options();
  made.default_limit = 20;
  EXPECT_NE(links("/a", 50, made).find("</a?page=3>; rel=\"last\""), std::string::npos);
}

TEST(Pagination, AQueryCannotEndItsReference) {
  const std::string line = links("/a?x=%22%3E\">;rel=\"&page=1&limit=1", std::nullopt);
  EXPECT_EQ(line.find("\">;rel"), std::string::npos) << line;
  EXPECT_NE(line.find("x=%22%3E%22%3E;rel=%22"), std::string::npos) << line;
}

TEST(Pagination, AListIsItsQueryWithoutThePage) {
  const Pagination pagination(options(), 1);
  const TestRequest request("GET /a?page=2&q=x&&limit=10&r");
  EXPECT_EQ(pagination.list_query(request.head()), "q=x&r");
}

TEST(Totals, OneAsksAndWhatIsKnownHoldsUntilItsTime) {
  Totals totals;
  const TimePoint now = Clock::now();
  EXPECT_TRUE(totals.begin({}, now, 2s));
  EXPECT_FALSE(totals.begin({}, now, 2s));
  EXPECT_EQ(totals.find({}, now), std::nullopt);
  totals.put({}, 7, now + 120s);
  EXPECT_EQ(totals.find({}, now + 119s), 7U);
  EXPECT_FALSE(totals.begin({}, now + 119s, 2s));
  EXPECT_EQ(totals.find({}, now + 120s), std::nullopt);
  EXPECT_TRUE(totals.begin({}, now + 120s, 2s));
}

TEST(Totals, TheirNumberIsBounded) {
  Totals totals;
  const TimePoint until = Clock::now() + 3600s;
  Totals::Key last{};
  for (unsigned i = 0; i < Totals::kMostTotals + 100; ++i) {
    last[31] = static_cast<std::byte>(i & 0xffU);
    last[30] = static_cast<std::byte>(i >> 8U);
    totals.put(last, i, until);
  }
  EXPECT_EQ(totals.find(last, Clock::now()), Totals::kMostTotals + 99);
  EXPECT_EQ(totals.find({}, Clock::now()), std::nullopt);
}

}  // namespace
}  // namespace headroom::edge
