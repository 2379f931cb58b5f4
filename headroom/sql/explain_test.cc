#include "headroom/sql/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

using ::testing::ElementsAre;

TEST(Explain, OnlySingleReadsArePlanned) {
  for (const std::string_view text : {"UPDATE t SET a = 1",
                                      "DELETE FROM t",
                                      "SELECT 1; SELECT 2",
                                      "SELECT 1; DROP TABLE t",
                                      "SELECT * INTO u FROM t",
                                      "SELECT * FROM t FOR UPDATE",
                                      "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
                                      "EXPLAIN ANALYZE DELETE FROM t",
                                      "EXPLAIN SELECT 1",
                                      "COPY t TO STDOUT",
                                      "CALL p()",
                                      "DO $$ BEGIN END $$",
                                      "EXECUTE p",
                                      "",
                                      ";",
                                      "SELEC 1",
                                      "SET x = 1",
                                      "ANALYZE SELECT",
                                      "DECLARE c CURSOR FOR SELECT 1",
                                      "CREATE TABLE u AS SELECT 1",
                                      "REFRESH MATERIALIZED VIEW v",
                                      "BEGIN"}) {
    EXPECT_FALSE(plan_of({.query = std::string(text)})) << text;
    EXPECT_FALSE(plan_of_shape(text)) << text;
  }
  for (const std::string_view text : {"SELECT 1", "SELECT * FROM t WHERE a = 'x';", "VALUES (1)",
                                      "TABLE t", "WITH x AS (SELECT 1) SELECT * FROM x"})
    EXPECT_TRUE(plan_of({.query = std::string(text)})) << text;
}

TEST(Explain, TheFunctionsItCallsAreAskedFor) {
  EXPECT_THAT(plan_of({.query = "SELECT f(g(1)) FROM t"})->functions, ElementsAre("f", "g"));
}

TEST(Explain, TheLiteralsOfAShapeBecomeParameters) {
  const auto request = plan_of_shape(
      "SELECT a, \"b?\" FROM t WHERE a = ? AND b IN (?) AND c > date ? - INTERVAL ? LIMIT ?");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->query,
            "SELECT a, \"b?\" FROM t WHERE a = $1 AND b IN ($2) AND c > $3::date - $4::INTERVAL "
            "LIMIT $5");
  EXPECT_EQ(request->open, 5U);
  EXPECT_TRUE(request->generic);
}

}  // namespace
}  // namespace headroom::sql
