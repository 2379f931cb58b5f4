#include "headroom/sql/plan.h"

#include <gtest/gtest.h>

#include "headroom/sql/catalogue.h"
#include "headroom/sql/catalogue_fixture_test.h"

namespace headroom::sql {
namespace {

using Effect = Plan::Effect;

class Plans : public ::testing::Test {
 protected:
  [[nodiscard]] Plan plan(std::string_view text) const {
    return plan_for(classify(text), *catalogue_, {"public"});
  }
  const CataloguePointer catalogue_ = sample_catalogue();
};

TEST_F(Plans, AReadOfKnownTablesIsCacheableAndTaggedByThem) {
  EXPECT_TRUE(plan("SELECT * FROM rooms WHERE id = 1").cacheable);
  EXPECT_EQ(plan("SELECT * FROM rooms r JOIN public.child c ON c.id = r.id").reads,
            (std::vector<Oid>{20001, 20002}));
  EXPECT_EQ(plan("SELECT name FROM names").reads, (std::vector<Oid>{20001}));  // a view
  EXPECT_TRUE(plan("SELECT upper(name), to_char(1, '9') FROM rooms").cacheable);
}

TEST_F(Plans, CountsAreKnown) {
  EXPECT_TRUE(plan("SELECT count(*) FROM rooms").counts);
  EXPECT_FALSE(plan("SELECT upper(name) FROM rooms").counts);
}

TEST_F(Plans, WhatDependsOnMoreThanItsTablesIsNotCached) {
  for (const std::string_view text :
       {"SELECT now(), id FROM rooms", "SELECT random() FROM rooms",
        "SELECT 'tomorrow'::date FROM rooms", "SELECT CURRENT_TIME FROM rooms",
        "SELECT * FROM rooms FOR SHARE", "SELECT * FROM fast", "SELECT * FROM pg_catalog.pg_class",
        "SELECT mine() FROM rooms", "SELECT * FROM nowhere", "SELECT nobodys() FROM rooms",
        "SELECT 1", "SELECT * FROM rooms; SELECT * FROM rooms", "EXPLAIN SELECT * FROM rooms",
        "COPY rooms TO STDOUT", "SELECT * FROM rooms TABLESAMPLE system (1)",
        "WITH w AS (DELETE FROM rooms RETURNING *) SELECT * FROM w", "SELECT * INTO x FROM rooms",
        "this is no SQL"}) {
    const Plan made = plan(text);
    EXPECT_FALSE(made.cacheable) << text;
    EXPECT_FALSE(made.why_not.empty()) << text;
  }
}

TEST_F(Plans, AWriteChangesItsTableItsKinAndWhatItsKeysReach) {
  EXPECT_EQ(plan("INSERT INTO child VALUES (1)").changes, (std::vector<Oid>{20002}));
  EXPECT_EQ(plan("DELETE FROM rooms").changes,
            (std::vector<Oid>{20001, 20002}));  // its keys cascade
  EXPECT_EQ(plan("INSERT INTO january VALUES (1)").changes,
            (std::vector<Oid>{20004, 20005}));  // a partition, and what it is part of
  EXPECT_EQ(plan("INSERT INTO months VALUES (1)").changes, (std::vector<Oid>{20004, 20005}));
  EXPECT_EQ(plan("UPDATE names SET name = ''").changes, (std::vector<Oid>{20001, 20002}));
  EXPECT_EQ(plan("DELETE FROM rooms").effect, Effect::tables);
}

TEST_F(Plans, WhatMayDoAnythingIsDoubted) {
  for (const std::string_view text :
       {"UPDATE watched SET id = 1", "INSERT INTO nowhere VALUES (1)", "SELECT mine()",
        "INSERT INTO rooms SELECT nobodys()", "SELECT pg_catalog.now(), public.mine()"})
    EXPECT_EQ(plan(text).effect, Effect::doubt) << text;
  for (const std::string_view text :
       {"DO $$ BEGIN END $$", "CALL x()", "EXECUTE x", "ALTER TABLE rooms ADD x int",
        "REFRESH MATERIALIZED VIEW x", "GRANT SELECT ON rooms TO x", "this is no SQL"})
    EXPECT_EQ(plan(text).effect, Effect::schema) << text;
  for (const std::string_view text : {"SELECT * FROM rooms", "SELECT now()", "BEGIN", "SET x.y = 1",
                                      "CREATE TEMP TABLE x (n int)", "SELECT nextval('x')"})
    EXPECT_EQ(plan(text).effect, Effect::none) << text;
}

TEST_F(Plans, ACalmReadLeavesItsTransactionAsItWas) {
  for (const std::string_view text :
       {"SELECT * FROM rooms", "SELECT now()", "SELECT 1", "SELECT * FROM fast"})
    EXPECT_TRUE(plan(text).calm) << text;
  for (const std::string_view text :
       {"SELECT * FROM rooms FOR UPDATE", "SELECT mine()", "SELECT random()",
        "UPDATE rooms SET id = 1", "SAVEPOINT x", "SET x.y = 1", "LOCK TABLE rooms"})
    EXPECT_FALSE(plan(text).calm) << text;
}

TEST(PlainBegin, IsOneOfReadCommitted) {
  for (const std::string_view text :
       {"BEGIN", "begin;", "BEGIN TRANSACTION", "START TRANSACTION  READ ONLY;",
        "BEGIN ISOLATION LEVEL READ COMMITTED;", "begin isolation level read committed read write",
        "BEGIN NOT DEFERRABLE", "BEGIN /* x */"})
    EXPECT_TRUE(is_plain_begin(text)) << text;
  for (const std::string_view text :
       {"", "BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN; SELECT 1",
        "BEGIN ISOLATION LEVEL REPEATABLE READ", "COMMIT", "BEGIN DEFERRABLE", "BEGIN NOT",
        "BEGIN /* headroom:primary */"})
    EXPECT_FALSE(is_plain_begin(text)) << text;
}

TEST_F(Plans, ANameThatOnlyUsersFunctionsHaveInAnotherSchemaMayBeMeant) {
  EXPECT_FALSE(
      plan("SELECT lower(name) FROM rooms").cacheable);  // somebody has made a lower() of his own
  EXPECT_TRUE(plan("SELECT pg_catalog.lower(name) FROM rooms").cacheable);
}

TEST(SearchPath, IsReadAsTheServerReadsIt) {
  EXPECT_EQ(parse_search_path("\"$user\", public", "ann"),
            (std::vector<std::string>{"ann", "public"}));
  EXPECT_EQ(parse_search_path("A, \"B, \"\"c\"\"\",d", "ann"),
            (std::vector<std::string>{"a", "B, \"c\"", "d"}));
  EXPECT_EQ(parse_search_path("", "ann"), (std::vector<std::string>{}));
  EXPECT_EQ(parse_search_path("\"\"", "ann"), (std::vector<std::string>{""}));
}

}  // namespace
}  // namespace headroom::sql
