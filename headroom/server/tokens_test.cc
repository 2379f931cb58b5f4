#include "headroom/server/tokens.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include "headroom/server/fixture_test.h"

namespace headroom::server {
namespace {

struct TokensTest : testing::Test {
  TokensTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "headroom-tokens.XXXXXX").string();
    directory = ::mkdtemp(pattern.data());
  }
  ~TokensTest() override { std::filesystem::remove_all(directory); }

  std::filesystem::path directory;
  testing_rooms::Served served;
};

// Whether there is something to read within ten seconds.
bool readable(int fd) {
  pollfd watched{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 10'000) == 1;
}

TEST_F(TokensTest, TellsAtOnceWhenAnotherProcessHasMadeAToken) {
  Tokens tokens(served.api, tokens_path(directory));
  tokens.configure({});
  tokens.refresh();
  while (tokens.changed()) {
  }  // of the file's making

  auto other = auth::TokenStore::open(tokens_path(directory));
  ASSERT_TRUE(other) << other.error().message;
  const auto made = (*other)->create({.name = "ci"}, auth::wall_now());
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(readable(tokens.changes()));
  EXPECT_TRUE(tokens.changed());
  tokens.refresh();
  EXPECT_TRUE(served.ask("GET /api/v1/overview HTTP/1.1\r\nAuthorization: Bearer " + *made + "\r\n")
                  .starts_with("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace headroom::server
