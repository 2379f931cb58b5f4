#include "headroom/postgres/decoded.h"

#include <gtest/gtest.h>

namespace headroom::postgres {
namespace {

using Kind = Decoded::Kind;

Decoded of_tables(std::vector<RelationName> tables) {
  return {.kind = Kind::change, .tables = std::move(tables)};
}

TEST(Decoded, TransactionsBeginAndEndWithTheirNumber) {
  EXPECT_EQ(parse_decoded("BEGIN 738"), (Decoded{.kind = Kind::begin, .xid = 738}));
  EXPECT_EQ(parse_decoded("COMMIT 4294967295"),
            (Decoded{.kind = Kind::commit, .xid = 4294967295U}));
}

TEST(Decoded, AChangeNamesItsTableAndNothingOfItsValues) {
  EXPECT_EQ(
      parse_decoded("table public.rooms: INSERT: id[integer]:1 name[text]:'table x.y: TRUNCATE:'"),
      of_tables({{"public", "rooms"}}));
  EXPECT_EQ(
      parse_decoded("table public.rooms: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2"),
      of_tables({{"public", "rooms"}}));
  EXPECT_EQ(parse_decoded("table public.rooms: DELETE: (no-tuple-data)"),
            of_tables({{"public", "rooms"}}));
}

TEST(Decoded, QuotedNamesAreReadAsTheCatalogueHasThem) {
  EXPECT_EQ(parse_decoded(R"(table "My Schema"."a.b: ""c"", d": INSERT: x[integer]:1)"),
            of_tables({{"My Schema", "a.b: \"c\", d"}}));
  EXPECT_EQ(parse_decoded(R"(table public."täble": DELETE: x[integer]:1)"),
            of_tables({{"public", "täble"}}));
}

TEST(Decoded, ATruncateNamesAllOfItsTables) {
  EXPECT_EQ(parse_decoded(R"(table public.a, "B".b, c."d, e": TRUNCATE: restart_seqs cascade)"),
            of_tables({{"public", "a"}, {"B", "b"}, {"c", "d, e"}}));
  EXPECT_EQ(parse_decoded("table public.a: TRUNCATE: (no-flags)"), of_tables({{"public", "a"}}));
}

TEST(Decoded, AMessageHasItsPrefixAndContent) {
  EXPECT_EQ(parse_decoded("message: transactional: 1 prefix: headroom, sz: 2 content:42"),
            (Decoded{.kind = Kind::message, .prefix = "headroom", .content = "42"}));
  EXPECT_EQ(parse_decoded("message: transactional: 0 prefix: , sz: 0 content:"),
            (Decoded{.kind = Kind::message}));
}

TEST(Decoded, WhatIsNotOfTheFormIsOther) {
  for (const std::string_view line :
       {"", "BEGIN", "BEGIN x", "BEGIN 1 2", "COMMIT 99999999999", "table", "table public.a",
        "table public.a: ", "table a: INSERT:", "table public.a: MERGE:", "table public.: INSERT:",
        "table \"public.a: INSERT:", "table public.a, public.b: INSERT: x",
        "table public.a,public.b: TRUNCATE:", "message: transactional: 2 prefix: x, sz: 0 content:",
        "message: transactional: 1 prefix: x, sz: 1 content:42", "PREPARE TRANSACTION 'x', txid 5"})
    EXPECT_EQ(parse_decoded(line).kind, Kind::other) << line;
  std::string many = "table public.a";
  for (std::size_t i = 0; i < kMostNames; ++i) many += ", public.a";
  EXPECT_EQ(parse_decoded(many + ": TRUNCATE: (no-flags)").kind, Kind::other);
}

TEST(Decoded, PositionsAreReadAsOneNumber) {
  EXPECT_EQ(parse_position("0/0"), 0U);
  EXPECT_EQ(parse_position("16/B374D848"), 0x16B374D848U);
  for (const std::string_view text : {"", "/", "1/", "/1", "x/1", "1/2/3", "100000000/1"})
    EXPECT_EQ(parse_position(text), 0U) << text;
}

}  // namespace
}  // namespace headroom::postgres
