#include "headroom/postgres/url.h"

#include <gtest/gtest.h>

namespace headroom::postgres {
namespace {

TEST(Url, IsReadAsLibpqReadsIt) {
  const auto full =
      parse_url("postgresql://me:s%40cret@db.internal:5433/app?sslmode=require&application_name=x");
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->user, "me");
  EXPECT_EQ(full->password, "s@cret");
  EXPECT_EQ(full->host, "db.internal");
  EXPECT_EQ(full->port, 5433);
  EXPECT_EQ(full->database, "app");
  EXPECT_EQ(full->tls, TlsMode::require);
  EXPECT_EQ(full->address(), "db.internal:5433");
  const auto bare = parse_url("postgres://me@/");
  ASSERT_TRUE(bare.has_value());
  EXPECT_EQ(bare->host, "localhost");
  EXPECT_EQ(bare->database, "me");
  EXPECT_EQ(parse_url("postgresql+asyncpg://me@[::1]:6000/x")->host, "::1");
  EXPECT_TRUE(parse_url("postgresql://me@%2Frun%2Fpostgresql/x")->is_unix());
  EXPECT_TRUE(parse_url("postgresql://me@/x?host=/tmp&port=7000")->is_unix());
}

TEST(Url, WhatIsWrongIsNamedWithoutThePassword) {
  for (const std::string_view url :
       {"mysql://me@h/x", "me@h/x", "postgresql://h/x", "postgresql://me@h:0/x",
        "postgresql://me@h:99999/x", "postgresql://me@h/x?sslmode=maybe",
        "postgresql://me:secret%@h/x", "postgresql://me:secret%zz@h/x",
        "postgresql://me:secret@[::1/x", "postgresql://me@h/x?nonsense=1",
        "postgresql://me@h/%00"}) {
    const auto parsed = parse_url(url);
    ASSERT_FALSE(parsed.has_value()) << url;
    EXPECT_EQ(parsed.error().message.find("secret"), std::string::npos);
  }
}

}  // namespace
}  // namespace headroom::postgres
