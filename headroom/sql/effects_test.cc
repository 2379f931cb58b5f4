#include "headroom/sql/effects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "headroom/sql/classify.h"

namespace headroom::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Effects, OrdinaryStatementsLeaveNothing) {
  for (const std::string_view text : {"",
                                      ";",
                                      "SELECT 1",
                                      "INSERT INTO t VALUES ('SET x = 1; LISTEN y')",
                                      "SELECT \"Set_Config\"('a.b', 'c', false)",
                                      "BEGIN; SET LOCAL work_mem = '1MB'; COMMIT",
                                      "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                                      "SELECT set_config('a.b', 'c', true)",
                                      "-- SET x = 1\nSELECT 1",
                                      "/* SET /* nested */ LISTEN a */ SELECT 1",
                                      "SELECT $$; SET x = 1; $$",
                                      "SELECT $tag$ $$; LISTEN a $tag$",
                                      "SELECT E'\\'; LISTEN a; --'",
                                      "SELECT '' '; LISTEN a'",
                                      "UPDATE t SET a = 1",
                                      "SELECT pg_advisory_xact_lock(1)",
                                      "PREPARE TRANSACTION 'x'",
                                      "CREATE TEMP TABLE t (n int) ON COMMIT DROP",
                                      "SELECT ';LISTEN a",
                                      "SELECT \"",
                                      "SELECT $",
                                      "/*"})
    EXPECT_FALSE(effects_of(text).any()) << text;
}

TEST(Effects, WhatDecidesHowTextsAreReadIsToldFromOtherSettings) {
  for (const std::string_view text :
       {"SET standard_conforming_strings = off", "SET LOCAL standard_conforming_strings TO off",
        "SET NAMES 'SJIS'", "SET SESSION \"client_encoding\" = BIG5",
        "SET client_encoding = E'\\x55TF8'", "SET client_encoding TO DEFAULT",
        "RESET client_encoding", "SELECT set_config('client_encoding', 'GBK', false)",
        "SELECT set_config('client_encoding', 'GBK', true)",
        "SELECT set_config(a, b, false) FROM t", "UPDATE pg_settings SET setting = 'off'"}) {
    EXPECT_TRUE(effects_of(text).reads_otherwise) << text;
    EXPECT_TRUE(effects_of(text).sets) << text;
  }
  for (const std::string_view text :
       {"SET standard_conforming_strings = on", "SET NAMES 'utf8'", "SET client_encoding TO 'UTF8'",
        "SET LOCAL client_encoding = latin1", "SET search_path = names",
        "SELECT set_config('search_path', 'a', false)", "SELECT set_config($1, $2, true)"})
    EXPECT_FALSE(effects_of(text).reads_otherwise) << text;
  // What comes behind it in one text is not read as the server reads it.
  EXPECT_EQ(effects_of("SET standard_conforming_strings = off").pins, 0);
  EXPECT_EQ(effects_of("SET standard_conforming_strings = off; SELECT 1").pins, pin::kSetting);
}

TEST(Effects, NamesInEscapesMayLeaveAnything) {
  for (const std::string_view text : {R"(SELECT U&"set\005fconfig"('search_path', 'a', false))",
                                      R"(SELECT u&"pg!005fadvisory_lock"(1) UESCAPE '!')",
                                      R"(UPDATE U&"pg\005fsettings" SET a = 1)"})
    EXPECT_EQ(effects_of(text).pins, pin::kSetting) << text;
  EXPECT_EQ(effects_of(R"(SELECT 1U&"set\005fconfig"('a', 'b', false))").pins, pin::kSetting);
  EXPECT_EQ(effects_of(R"(SELECT 'it''s', E'\'', $$'$$, U&"x"('a'))").pins, pin::kSetting);
  for (const std::string_view text :
       {R"(SELECT u & "a" FROM t)", R"(SELECT u &"a" FROM t)", R"(SELECT '{"url": "/x?menu&"}')",
        R"(SELECT 'u&"b"')", R"(SELECT 1 /* u&" */ -- u&"x")", R"(SELECT "u&""x""")",
        R"(SELECT menu&"a" FROM t)", R"(SELECT $$u&"x"$$)"})
    EXPECT_FALSE(effects_of(text).any()) << text;
}

TEST(Effects, SettingsAreSeenAndThoseOfExtensionsNamed) {
  for (const std::string_view text :
       {"SET work_mem = '1MB'", "set session work_mem to '1MB'", "RESET work_mem",
        " SET TIME ZONE 'UTC'", "SELECT 1; SET a = 1", "/* x */ SET a = 1",
        "SELECT set_config('work_mem', '1MB', false)",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"})
    EXPECT_TRUE(effects_of(text).sets) << text;
  EXPECT_THAT(effects_of("SET app.tenant = 'x'").named, ElementsAre("app.tenant"));
  EXPECT_THAT(effects_of("SET \"app\".\"tenant\" = 'x'").named, ElementsAre("app.tenant"));
  EXPECT_THAT(effects_of("RESET app.tenant").named, ElementsAre("app.tenant"));
  EXPECT_THAT(effects_of("SELECT set_config('app.tenant', f(1, 2), false)").named,
              ElementsAre("app.tenant"));
  EXPECT_THAT(effects_of("SET ROLE clerk").named, ElementsAre("role"));
  EXPECT_THAT(effects_of("SET work_mem = 1").named, IsEmpty());
  EXPECT_EQ(effects_of("SELECT set_config($1, $2, false)").pins, pin::kSetting);
  EXPECT_TRUE(effects_of("RESET ALL").resets_all);
}

TEST(Effects, WhatIsSetToItsDefaultIsNamed) {
  using Default = Effects::Default;
  EXPECT_THAT(effects_of("RESET Search_Path").defaults, ElementsAre(Default{"search_path"}));
  EXPECT_THAT(effects_of("SET search_path TO DEFAULT; SET LOCAL work_mem = DEFAULT").defaults,
              ElementsAre(Default{"search_path"}, Default{"work_mem", true}));
  EXPECT_THAT(effects_of("SET TIME ZONE LOCAL; RESET TIME ZONE").defaults,
              ElementsAre(Default{"timezone"}, Default{"timezone"}));
  EXPECT_THAT(effects_of("SET search_path TO 'default'").defaults, IsEmpty());
}

TEST(Effects, WhatSetsHowLiteralsAreReadIsSeen) {
  for (const std::string_view text :
       {"SET TimeZone = 'UTC'", "SET LOCAL datestyle TO DEFAULT", "RESET TIME ZONE",
        "SET NAMES 'x'", "SELECT set_config('IntervalStyle', 'x', true)"})
    EXPECT_TRUE(effects_of(text).reading) << text;
  for (const std::string_view text :
       {"SET LOCAL work_mem = '1MB'", "SELECT set_config('a.b', 'x', true)"})
    EXPECT_FALSE(effects_of(text).reading) << text;
}

TEST(Effects, WhatCannotBeCarriedOverPins) {
  EXPECT_EQ(effects_of("LISTEN a").pins, pin::kListen);
  EXPECT_EQ(effects_of("CREATE TEMP TABLE t (n int)").pins, pin::kTemporary);
  EXPECT_EQ(effects_of("create local temporary view v as select 1").pins, pin::kTemporary);
  EXPECT_EQ(effects_of("SELECT * INTO TEMP t FROM u").pins, pin::kTemporary);
  EXPECT_EQ(effects_of("DECLARE c CURSOR WITH HOLD FOR SELECT 1").pins, pin::kHold);
  EXPECT_EQ(effects_of("DECLARE c CURSOR FOR SELECT 1").pins, 0);
  EXPECT_EQ(effects_of("SELECT 1, pg_try_advisory_lock(4)").pins, pin::kAdvisory);
  EXPECT_EQ(effects_of("PREPARE p AS SELECT 1").pins, pin::kPrepare);
  EXPECT_EQ(effects_of("LOAD 'auto_explain'").pins, pin::kLoad);
  EXPECT_EQ(effects_of("SET SESSION AUTHORIZATION x").pins, pin::kSetting);
}

TEST(Effects, ASettingOfTheTransactionIsSeenAndLeavesNothing) {
  for (const char* text : {"SET LOCAL search_path = u", "BEGIN; set local role x; COMMIT"}) {
    EXPECT_TRUE(effects_of(text).sets_local) << text;
    EXPECT_FALSE(effects_of(text).any()) << text;
  }
  for (const char* text : {"BEGIN; UPDATE t SET local = 1; COMMIT", "SET TRANSACTION READ ONLY"})
    EXPECT_FALSE(effects_of(text).sets_local || effects_of(text).sets) << text;
}

TEST(Effects, WhatIsTakenBackUnpins) {
  const Effects asyncpg =
      effects_of("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;");
  EXPECT_EQ(asyncpg.unpins, pin::kAdvisory | pin::kHold | pin::kListen);
  EXPECT_TRUE(asyncpg.resets_all);
  EXPECT_EQ(effects_of("UNLISTEN a").unpins, 0);
  const Effects all = effects_of("DISCARD ALL");
  EXPECT_TRUE(all.drops_statements && all.resets_all);
  EXPECT_EQ(all.unpins & pin::kTemporary, pin::kTemporary);
}

TEST(Fingerprint, LiteralsAndListsOfThemDoNotCountWordsDo) {
  const auto same = [](std::string_view a, std::string_view b) {
    return fingerprint_of(a) == fingerprint_of(b);
  };
  EXPECT_TRUE(same("SELECT * FROM t WHERE id = 1", "select *\nfrom T where ID = 22 -- x"));
  EXPECT_TRUE(same("SELECT 'a'", "SELECT E'it\\'s'"));
  EXPECT_TRUE(same("SELECT a IN (1, 2, 3)", "SELECT a IN (4)"));
  EXPECT_TRUE(same("SELECT a IN ($1, $2)", "SELECT a IN ($1)"));
  EXPECT_FALSE(same("SELECT a FROM t", "SELECT b FROM t"));
  EXPECT_FALSE(same("SELECT \"a\"", "SELECT \"A\""));
  EXPECT_FALSE(same("SELECT 1, a", "SELECT 1"));
  EXPECT_EQ(normalised("SELECT  a.b,\n'secret' /* x */ FROM \"T\" WHERE id IN (1,2, 3) AND n = "
                       "$tag$ secret $tag$;"),
            "SELECT a.b, ? FROM \"T\" WHERE id IN (?) AND n = ?;");
  EXPECT_EQ(normalised(""), "");
  EXPECT_EQ(normalised("SELECT a<=1, b->>'c', d::text"), "SELECT a <= ?, b ->> ?, d :: text");
}

// PostgreSQL reads them so; who does not takes a part of a string for a statement, or a statement for a part of a string.
TEST(Effects, AStringWithEscapesGoesOnBehindALinesEnd) {
  EXPECT_EQ(effects_of("SELECT E'a'\n'\\'; LISTEN a; --'").pins, 0);
  EXPECT_EQ(effects_of("SELECT E'a' -- x'\n  -- y\r\n'\\'; LISTEN a; --'").pins, 0);
  EXPECT_EQ(effects_of("SELECT E'a'\n'b'\n'\\'; LISTEN a; --'").pins, 0);
  for (const std::string_view text :
       {"SELECT E'a' '\\'; LISTEN a; --'", "SELECT 'a'\n'\\'; LISTEN a; --'",
        "SELECT E'a' /* \n */ '\\'; LISTEN a; --'", "SELECT E'a'\n; LISTEN a; --'",
        "SELECT E'a' -- x"})
    EXPECT_EQ(effects_of(text).pins, text.contains("LISTEN") ? pin::kListen : 0) << text;
}

TEST(Fingerprint, WhatHasNoEndIsALiteral) {
  for (const std::string open : {"'", "E'", "\"", "$x$", "/* "}) {
    const std::string text = "INSERT INTO t VALUES (1, " + open;
    EXPECT_THAT(normalised(text + "secret (4711)"), ::testing::Not(::testing::HasSubstr("secret")))
        << open;
    EXPECT_THAT(normalised(text + "secret (4711)"), ::testing::EndsWith("?")) << open;
    EXPECT_EQ(fingerprint_of(text + "secret"), fingerprint_of(text + "another one")) << open;
    EXPECT_NE(fingerprint_of(text + "secret"), fingerprint_of("INSERT INTO t VALUES (1, 'secret'"))
        << open;
  }
}

TEST(Effects, OneDeallocateIsNamed) {
  EXPECT_EQ(effects_of("DEALLOCATE \"Stmt\"").deallocates, "Stmt");
  EXPECT_EQ(effects_of("deallocate PREPARE Stmt;").deallocates, "stmt");
  EXPECT_EQ(effects_of("DEALLOCATE a; DEALLOCATE b").deallocates, "");
  EXPECT_TRUE(effects_of("DEALLOCATE ALL").drops_statements);
}

}  // namespace
}  // namespace headroom::sql
