#include "headroom/sql/comment.h"

#include <gtest/gtest.h>

namespace headroom::sql {
namespace {

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
