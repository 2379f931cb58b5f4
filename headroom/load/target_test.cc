#include "headroom/load/target.h"

#include <gtest/gtest.h>

namespace headroom::load {
namespace {

TEST(Target, LoopbackIsTaken) {
  for (const char* url : {"http://127.0.0.1:80/", "http://127.9.8.7", "http://localhost:8080/a?b",
                          "http://[::1]:8080/a", "http://LocalHost/"}) {
    EXPECT_TRUE(parse_target(url, {}).has_value()) << url;
  }
  const auto target = parse_target("http://127.0.0.1:8080?x=1", {});
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path, "/?x=1");
  EXPECT_EQ(target->host, "127.0.0.1:8080");
}

TEST(Target, AnythingElseIsRefusedUnasked) {
  for (const char* url :
       {"http://10.0.0.1/", "http://128.0.0.1/", "http://example.com/", "http://[::]/",
        "http://[fe80::1]/", "http://0.0.0.0/", "http://127.0.0.1.example.com/", "http://127.1/",
        "http://localhost.example/", "http://user@127.0.0.1/", "http://[::ffff:10.0.0.1]/"}) {
    const auto target = parse_target(url, {});
    ASSERT_FALSE(target.has_value()) << url;
    EXPECT_EQ(target.error().code, Errc::unauthorized) << url;
  }
}

TEST(Target, BrokenUrlsAreInvalid) {
  for (const char* url :
       {"https://127.0.0.1/", "127.0.0.1", "http://127.0.0.1:0/", "http://127.0.0.1:99999/",
        "http://127.0.0.1:x/", "http://127.0.0.1/a b"}) {
    const auto target = parse_target(url, {});
    ASSERT_FALSE(target.has_value()) << url;
    EXPECT_EQ(target.error().code, Errc::invalid) << url;
  }
}

TEST(Target, AUnixSocketTakesAnyHostName) {
  EXPECT_TRUE(parse_target("http://example.com/", "/tmp/app.sock").has_value());
  EXPECT_FALSE(parse_target("http://app/", std::string(200, 'x')).has_value());
}

}  // namespace
}  // namespace headroom::load
