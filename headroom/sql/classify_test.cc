#include "headroom/sql/classify.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "headroom/sql/effects.h"

namespace headroom::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names(const std::vector<ObjectName>& all) {
  std::vector<std::string> made;
  for (const ObjectName& each : all)
    made.push_back(each.schema.empty() ? each.name : each.schema + "." + each.name);
  return made;
}
Class class_of(std::string_view text) { return classify(text).its_class; }
std::string repeated(std::string_view part, int times) {
  std::string made;
  for (int i = 0; i < times; ++i) made += part;
  return made;
}

TEST(Classify, ReadsMayGoToAReplica) {
  for (const std::string_view text :
       {"SELECT 1", "select a from b where c = $1", "TABLE b", "VALUES (1, 2)",
        "WITH x AS (SELECT * FROM b) SELECT * FROM x", "SELECT a FROM b UNION SELECT c FROM d",
        "COPY b TO STDOUT", "COPY (SELECT * FROM b) TO STDOUT", "SELECT 1; SELECT 2;",
        "SELECT (SELECT max(a) FROM b), f(c) OVER (ORDER BY d) FROM e LIMIT 10",
        "SELECT * FROM b TABLESAMPLE system (1)", "SELECT 'DELETE FROM t'",
        "/* DELETE */ SELECT 1 -- INSERT"})
    EXPECT_TRUE(classify(text).plain_read()) << text;
}

TEST(Classify, SettingsThatTellAStandbyAreReadAtThePrimary) {
  Classifier classifier;
  for (const std::string_view text :
       {"SELECT current_setting('port')", "SELECT current_setting('app.tenant'::text, true)"})
    EXPECT_TRUE(classifier.decide(text)->plain_read()) << text;
  for (const std::string_view text :
       {"SELECT current_setting('in_hot_standby')",
        "SELECT pg_catalog.current_setting('Transaction_Read_Only'::text, true)",
        "SELECT 1 WHERE current_setting($1) = 'on'", "SELECT current_setting('in_' || 'x')"})
    EXPECT_FALSE(classifier.decide(text)->plain_read()) << text;
}

// 250 KB of each: what takes the square of that does not end within the time of a test.
TEST(Classify, NoShapeOfTextTakesMoreThanItsLength) {
  Classifier classifier;
  for (const std::string_view part : {"/*",
                                      "*/",
                                      "/**/",
                                      "@/**/",
                                      "+-",
                                      "*",
                                      "- ",
                                      "--\n",
                                      "'a' ",
                                      "E'a'\n",
                                      "E'\\'",
                                      "$a$",
                                      "$a",
                                      "$a$b",
                                      "U&\"",
                                      "U&'",
                                      "\"a\"",
                                      "(",
                                      "()",
                                      "[",
                                      ",",
                                      ";",
                                      "1+",
                                      "a.",
                                      "a,",
                                      "::int",
                                      "1 ",
                                      "SELECT 1;",
                                      "SELECT 1 UNION ",
                                      "set_config(",
                                      "'now',",
                                      "1,",
                                      "\t",
                                      "\\",
                                      "?",
                                      "<=",
                                      ":",
                                      "CASE WHEN ",
                                      "NOT ",
                                      "a AND ",
                                      "\xc3\xa9",
                                      "e",
                                      "0x",
                                      "1e",
                                      "BEGIN;"}) {
    const std::string text =
        repeated(part, static_cast<int>(Classifier::kLongestParsed / part.size()) - 40);
    for (const std::string& each : {text, "SELECT " + text, "SELECT " + text + " FROM t"}) {
      (void)classifier.decide(each);
      (void)effects_of(each);
      (void)normalised(each);
    }
  }
  const std::string nested = repeated("/*", 25'000) + repeated("*/", 25'000) + " SELECT 1";
  EXPECT_EQ(classify(nested).its_class, Class::opaque);
  // What people write is read: a line of signs, and any in a string.
  EXPECT_TRUE(classify("/" + repeated("*", 1000) + "/ SELECT 1").plain_read());
  EXPECT_TRUE(classify("SELECT '" + repeated("-=", 50'000) + "'").plain_read());
}

// The truth table of research/database.md: what fails on a hot standby, or runs on the wrong server without a word.
TEST(Classify, WhatIsNoPlainReadStaysWithThePrimary) {
  for (const std::string_view text :
       {"SELECT * FROM t FOR UPDATE",
        "SELECT * FROM (SELECT * FROM t FOR SHARE) x",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x",
        "WITH x AS (SELECT 1) DELETE FROM t",
        "SELECT * INTO u FROM t",
        "CREATE TEMP TABLE u (n int)",
        "COPY t FROM STDIN",
        "COPY (DELETE FROM t RETURNING *) TO STDOUT",
        "COPY t TO PROGRAM 'x'",
        "VACUUM",
        "ANALYZE t",
        "LOCK t",
        "REFRESH MATERIALIZED VIEW m",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "TRUNCATE t",
        "EXPLAIN ANALYZE DELETE FROM t",
        "EXPLAIN SELECT 1",
        "LISTEN a",
        "NOTIFY a",
        "SET x = 1",
        "SHOW x",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DO $$BEGIN END$$",
        "CALL p()",
        "DISCARD ALL",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH c",
        "BEGIN",
        "COMMIT",
        "SELECT 1; BEGIN",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_catalog.pg_locks",
        "SELECT * FROM pg_temp.t",
        "",
        ";",
        "/* headroom:primary */ SELECT 1 FROM",
        "SELEC 1",
        "SELECT '",
        "GRANT SELECT ON t TO u"})
    EXPECT_FALSE(classify(text).plain_read()) << text;
  Classifier classifier;
  EXPECT_FALSE(classifier.decide("/* headroom:primary */ SELECT 1")->plain_read());
  EXPECT_TRUE(classifier.decide("SELECT 1")->plain_read());
}

TEST(Classify, AListIsAsHeavyAsItsHeaviestStatement) {
  EXPECT_EQ(class_of("SELECT 1"), Class::read);
  EXPECT_EQ(class_of("SET a = 1; SELECT 1"), Class::session);
  EXPECT_EQ(class_of("SELECT 1; BEGIN; SELECT 2"), Class::transaction);
  EXPECT_EQ(class_of("BEGIN; UPDATE t SET a = 1; COMMIT"), Class::write);
  EXPECT_EQ(class_of("INSERT INTO t VALUES (1); CREATE TABLE u ()"), Class::schema);
  EXPECT_EQ(class_of("CREATE TABLE u (); DO 'x'"), Class::opaque);
  EXPECT_EQ(class_of("EXPLAIN DELETE FROM t"), Class::session);
  EXPECT_THAT(classify("EXPLAIN DELETE FROM t").writes, IsEmpty());
  EXPECT_EQ(class_of("EXPLAIN (ANALYZE, BUFFERS) DELETE FROM t"), Class::write);
  const Decision list = classify("BEGIN; INSERT INTO a SELECT * FROM b; COMMIT");
  EXPECT_EQ(list.statements, 3U);
  EXPECT_TRUE(list.begins && list.ends);
}

TEST(Classify, TablesAreNamedAsWrittenAndFolded) {
  const Decision read = classify(
      "SELECT x.a FROM Public.Bookings x JOIN \"Odd Name\" USING (id) WHERE id IN (SELECT id FROM "
      "other.c, d) AND EXISTS (TABLE e)");
  EXPECT_THAT(names(read.reads),
              UnorderedElementsAre("public.bookings", "Odd Name", "other.c", "d", "e"));
  EXPECT_THAT(read.writes, IsEmpty());
  const Decision insert = classify(
      "INSERT INTO s.a SELECT * FROM b ON CONFLICT DO NOTHING RETURNING (SELECT max(n) FROM c)");
  EXPECT_THAT(names(insert.writes), ElementsAre("s.a"));
  EXPECT_THAT(names(insert.reads), UnorderedElementsAre("b", "c"));
  EXPECT_THAT(names(classify("UPDATE a SET x = b.x FROM b WHERE a.id = b.id").writes),
              ElementsAre("a"));
  EXPECT_THAT(names(classify("DELETE FROM a USING b WHERE a.id = b.id").reads), ElementsAre("b"));
  const Decision merge = classify(
      "MERGE INTO a USING (SELECT * FROM b) s ON a.id = s.id WHEN MATCHED THEN UPDATE SET x = 1 "
      "WHEN NOT MATCHED THEN INSERT VALUES (1)");
  EXPECT_THAT(names(merge.writes), ElementsAre("a"));
  EXPECT_THAT(names(merge.reads), ElementsAre("b"));
  EXPECT_THAT(names(classify("TRUNCATE a, s.b").writes), ElementsAre("a", "s.b"));
  EXPECT_THAT(names(classify("COPY a (x) FROM STDIN").writes), ElementsAre("a"));
  EXPECT_THAT(names(classify("SELECT * FROM a FOR UPDATE OF a").reads), ElementsAre("a"));
  EXPECT_THAT(names(classify("SELECT * INTO new FROM a").writes), ElementsAre("new"));
  EXPECT_THAT(names(classify("REFRESH MATERIALIZED VIEW m").writes), ElementsAre("m"));
}

TEST(Classify, NamesOfAWithClauseAreTablesWhereItIsNotInForce) {
  EXPECT_THAT(names(classify("WITH a AS (SELECT * FROM b) SELECT * FROM a").reads),
              ElementsAre("b"));
  EXPECT_THAT(names(classify("WITH a AS (SELECT * FROM a) SELECT * FROM a").reads),
              ElementsAre("a"));
  EXPECT_THAT(
      names(classify("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a")
                .reads),
      IsEmpty());
  EXPECT_THAT(
      names(
          classify("WITH RECURSIVE a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a").reads),
      IsEmpty());
  EXPECT_THAT(names(classify("WITH a AS (SELECT * FROM b), b AS (SELECT 1) SELECT * FROM a").reads),
              ElementsAre("b"));
  EXPECT_THAT(names(classify("SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) x, a").reads),
              ElementsAre("a"));
  EXPECT_THAT(names(classify("WITH a AS (SELECT 1) SELECT * FROM s.a").reads), ElementsAre("s.a"));
  const Decision written =
      classify("WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone");
  EXPECT_THAT(names(written.writes), UnorderedElementsAre("a", "b"));
  EXPECT_THAT(written.reads, IsEmpty());
  EXPECT_TRUE(written.writes_in_with);
  EXPECT_FALSE(classify("WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x").writes_in_with);
}

TEST(Classify, FunctionsAndWhatDependsOnTheMomentAreSeen) {
  const Decision calls = classify(
      "SELECT nextval('s'), app.Price(a), now() FROM unnest($1) WHERE lower(x) = 'y' ORDER BY "
      "rank() OVER ()");
  EXPECT_THAT(names(calls.functions),
              UnorderedElementsAre("nextval", "app.price", "now", "unnest", "lower", "rank"));
  EXPECT_TRUE(classify("SELECT CURRENT_DATE").clock);
  EXPECT_TRUE(classify("SELECT 'Now'::timestamptz").clock);
  EXPECT_TRUE(classify("SELECT timestamp 'tomorrow 12:00'").clock);
  EXPECT_FALSE(classify("SELECT 'never'").clock);
  EXPECT_TRUE(classify("SELECT CURRENT_USER").identity);
  EXPECT_TRUE(classify("SELECT * FROM t TABLESAMPLE bernoulli (1)").samples);
  EXPECT_TRUE(classify("CREATE TEMP TABLE x AS SELECT 1").temporary);
  EXPECT_TRUE(classify("SELECT 1 INTO TEMP x").temporary);
}

TEST(Classify, WhatIsTooDeepIsOpaqueAndNothingOverflows) {
  const auto everywhere = [] {
    EXPECT_EQ(class_of("SELECT " + repeated("1+", 50'000) + "1"), Class::opaque);
    EXPECT_EQ(class_of("SELECT " + repeated("(", 5'000) + "1" + repeated(")", 5'000)),
              Class::read);  // brackets leave no trace in the tree
    EXPECT_EQ(class_of("SELECT " + repeated("(", 25'000) + "1" + repeated(")", 25'000)),
              Class::opaque);  // the parser's own limit
    EXPECT_EQ(class_of("SELECT " + repeated("f(", 3'000) + "1" + repeated(")", 3'000)),
              Class::opaque);
    EXPECT_EQ(class_of("SELECT 1" + repeated(" UNION SELECT 1", 5'000)), Class::opaque);
    EXPECT_EQ(class_of("SELECT a FROM t WHERE a IN (1" + repeated(",1", 20'000) + ")"),
              Class::read);
    EXPECT_EQ(class_of("SELECT " + repeated("(SELECT ", 2'000) + "1" + repeated(")", 2'000)),
              Class::opaque);
    EXPECT_EQ(class_of(std::string(Classifier::kLongestParsed + 1, ' ')), Class::opaque);
    EXPECT_EQ(class_of(std::string_view("SELECT 1\0; DELETE FROM t", 23)), Class::opaque);
    EXPECT_EQ(class_of(repeated("SELECT 1;", 10'000)), Class::read);
  };
  everywhere();
  std::thread other(everywhere);  // of a thread that the parser has not seen yet
  other.join();
}

TEST(Classify, ManyNamesAreABoundedAmountOfWork) {
  std::string text = "SELECT 1 FROM t0";
  for (int i = 1; i < 20'000; ++i) text += fmt::format(",t{}", i);
  EXPECT_EQ(class_of(text), Class::opaque);
}

TEST(Classifier, TextsThatDifferInLiteralsShareADecision) {
  Classifier classifier;
  const DecisionPointer first =
      classifier.decide("SELECT a FROM t WHERE id = 1 AND b IN ('x', 'y')");
  EXPECT_EQ(classifier.decide("select  A from T where ID = 27 and b in ('z') -- again"), first);
  EXPECT_NE(classifier.decide("SELECT a FROM t WHERE id = 1 OR b IN ('x', 'y')"), first);
  EXPECT_NE(classifier.decide("SELECT a FROM \"T\" WHERE id = 1 AND b IN ('x', 'y')"), first);
}

TEST(Classifier, WhatLeavesNothingBehindIsRememberedAsSuch) {
  Classifier classifier;
  for (const std::string_view text :
       {"SELECT 1", "SELECT 2", "SET a = 1", "SELECT set_config('a', 'b', true)",
        "SELECT set_config('a', 'b', false)", "SELECT set_config('c.d', 'e', true)",
        "SELECT set_config('c', 'd', 'true')", "SELECT 'SET a = 1'", "LISTEN x", "DEALLOCATE x",
        "INSERT INTO t VALUES (1), (2)", "CREATE TEMP TABLE t (a int)", "RESET ALL",
        "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_xact_lock(2)", "nonsense", ""}) {
    for (int twice = 0; twice < 2; ++twice)
      EXPECT_EQ(classifier.decide(text)->leaves_nothing, !effects_of(text).any()) << text;
    EXPECT_EQ(classifier.decide(text)->fingerprint, fingerprint_of(text)) << text;
  }
}

TEST(Classifier, NoLiteralChangesADecisionButThoseThatMeanTheTime) {
  Classifier classifier;
  EXPECT_FALSE(classifier.decide("SELECT 'then'::timestamp")->clock);
  EXPECT_TRUE(classifier.decide("SELECT 'now'::timestamp")->clock);
  EXPECT_FALSE(classifier.decide("SELECT f('a', 'b')")->clock);
  EXPECT_TRUE(classifier.decide("SELECT f('a', 'today')")->clock);
  // A number ends where a word begins, on servers before 15: an alias here, a table there.
  EXPECT_EQ(classifier.decide("SELECT 1 t")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT 1from t")->its_class, Class::opaque);
}

TEST(Classifier, WhatLooksAlikeButIsNotSharesNoDecision) {
  Classifier classifier;
  EXPECT_EQ(classifier.decide("")->statements, 0U);
  EXPECT_EQ(classifier.decide("/* and on")->its_class, Class::opaque);
  EXPECT_EQ(classifier.decide("SELECT 'a'")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT 'a")->its_class, Class::opaque);
  EXPECT_EQ(classifier.decide("SELECT $x$a$x$")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT $x$a$x")->its_class, Class::opaque);
  EXPECT_EQ(classifier.decide("SELECT 1 <= 2")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT 1 < = 2")->its_class, Class::opaque);
  EXPECT_EQ(classifier.decide("SELECT 1 FROM t")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT 1FROM t")->its_class, Class::opaque);
  EXPECT_EQ(classifier.decide("SELECT 'a'\n'b'")->its_class, Class::read);
  EXPECT_EQ(classifier.decide("SELECT 'a' 'b'")->its_class, Class::opaque);
}

TEST(Classifier, WhatAReplicaHasRefusedIsForThePrimary) {
  Classifier classifier;
  EXPECT_TRUE(classifier.decide("SELECT * FROM v WHERE id = 1")->plain_read());
  classifier.learn("SELECT * FROM v WHERE id = 2");
  EXPECT_FALSE(classifier.decide("SELECT * FROM v WHERE id = 3")->plain_read());
  EXPECT_TRUE(classifier.decide("SELECT * FROM w WHERE id = 3")->plain_read());
}

TEST(Classifier, RemembersABoundedAmount) {
  Classifier classifier;
  for (int i = 0; i < 50'000; ++i) {
    (void)classifier.decide(fmt::format("SELECT a{} FROM t", i));
    if (i % 100 == 0) {
      EXPECT_EQ(names(classifier.decide("SELECT always FROM u")->reads).size(), 1U);
    }
  }
  EXPECT_LE(classifier.remembered_bytes(), Classifier::kRemembered);
  EXPECT_GT(classifier.remembered_bytes(), Classifier::kRemembered / 4);
}

TEST(Classifier, ServersThatReadTextsOtherwiseAreKnown) {
  EXPECT_TRUE(reads_alike({}));
  EXPECT_TRUE(reads_alike({{"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}}));
  EXPECT_TRUE(reads_alike({{"client_encoding", "'utf-8'"}}));
  EXPECT_FALSE(reads_alike({{"standard_conforming_strings", "off"}}));
  EXPECT_FALSE(reads_alike({{"client_encoding", "SJIS"}}));
  EXPECT_FALSE(reads_alike({{"client_encoding", "win932"}}));
  EXPECT_FALSE(reads_alike({{"client_encoding", "Windows-936"}}));
  EXPECT_TRUE(reads_alike({{"client_encoding", "Windows-1252"}}));
  EXPECT_FALSE(reads_alike({{"client_encoding", "GBK"}}));
}

}  // namespace
}  // namespace headroom::sql
