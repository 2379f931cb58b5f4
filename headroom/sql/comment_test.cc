#include "headroom/sql/comment.h"

#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

TEST(TrailingComment, IsCutOffAndTellsItsTraceparent) {
  const TrailingComment found = cut_comment("SELECT 1 \n/*a='b',traceparent='00-1-2-01'*/ ; ");
  EXPECT_EQ(found.text, "SELECT 1");
  EXPECT_EQ(found.traceparent, "00-1-2-01");
}

TEST(TrailingComment, OfAnotherKindStaysAsItIs) {
  for (const char* text :
       {"", "SELECT 1", "SELECT 1 /* why */", "/*a='b'*/ SELECT 1 ;", "*/", "/*/",
        "SELECT 1 /*a='b'*/ -- x", "SELECT 1 /*a='b*/'*/", "SELECT '/*a=''b'"}) {
    EXPECT_EQ(cut_comment(text).text, text);
    EXPECT_EQ(cut_comment(text).traceparent, "") << text;
    EXPECT_EQ(without_comment(text), text);
  }
}

TEST(BeginMode, WhatATransactionIsSaidToBeIsRead) {
  for (const char* text :
       {"BEGIN READ ONLY", "begin work read only;", "START TRANSACTION READ ONLY ;",
        "BEGIN /* x */ TRANSACTION -- y\n READ ONLY"}) {
    const auto mode = begin_mode(text);
    ASSERT_TRUE(mode) << text;
    EXPECT_TRUE(mode->read_only && !mode->read_write && !mode->isolation_given) << text;
  }
  EXPECT_TRUE(begin_mode("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY")->read_committed);
  EXPECT_TRUE(begin_mode("BEGIN READ ONLY ISOLATION LEVEL REPEATABLE READ")->isolation_given);
  EXPECT_FALSE(begin_mode("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")->read_committed);
  EXPECT_FALSE(begin_mode("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")->read_committed);
  EXPECT_FALSE(begin_mode("BEGIN ISOLATION LEVEL READ UNCOMMITTED READ ONLY")->read_committed);
  EXPECT_TRUE(begin_mode("BEGIN READ WRITE")->read_write);
  EXPECT_FALSE(begin_mode("BEGIN")->read_only);
  // The last word counts, as it does at the server.
  EXPECT_TRUE(begin_mode("BEGIN READ ONLY, READ WRITE")->read_write);
  EXPECT_FALSE(begin_mode("BEGIN READ ONLY, READ WRITE")->read_only);
}

TEST(BeginMode, WhatIsSomethingElseIsNone) {
  for (const char* text : {"", "COMMIT", "START REPLICATION", "START", "BEGIN; SELECT 1",
                           "BEGIN READ", "BEGIN ISOLATION", "BEGIN ISOLATION LEVEL",
                           "BEGIN READ ONLY DEFERRABLE", "BEGIN READ ONLY SELECT", "\"begin\"",
                           "BEGIN ISOLATION LEVEL REPEATABLE", "SELECT 'begin read only'"})
    EXPECT_FALSE(begin_mode(text)) << text;
}

}  // namespace
}  // namespace headroom::sql
