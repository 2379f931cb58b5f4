#include "headroom/server/tokens.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX's

#include <fstream>
#include <thread>

#include "headroom/server/fixture_test.h"
#include "headroom/server/session_key.h"

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

TEST_F(TokensTest, ATokenMadeAMomentAgoIsGoodAtOnceThoughItsAddressIsBlocked) {
  Tokens tokens(served.api, tokens_path(directory));
  tokens.configure({});
  tokens.refresh();
  const auto status = [&](const std::string& token) {
    return served.ask("GET /api/v1/overview HTTP/1.1\r\nAuthorization: Bearer " + token + "\r\n")
        .substr(9, 3);
  };
  for (int i = 0; i < 10; ++i) EXPECT_EQ(status("hr_" + std::to_string(i)), "401");
  EXPECT_EQ(status("hr_x"), "429");
  auto other = auth::TokenStore::open(tokens_path(directory));
  const auto made = (*other)->create({.name = "ci"}, auth::wall_now());
  EXPECT_EQ(status(*made), "200");  // though nobody has called refresh()
}

// The value comes back where the keys are the same.
bool same_key(const Result<auth::Signer>& one, const Result<auth::Signer>& other) {
  const auto later = auth::wall_now() + std::chrono::hours(1);
  return other->open("test", *one->sign("test", "value", later), auth::wall_now()).has_value();
}

TEST_F(TokensTest, TheSessionKeyIsKeptAndReadWithALinesEndOrWithout) {
  const auto made = session_signer({}, directory);
  EXPECT_TRUE(same_key(made, session_signer({}, directory)));
  std::ofstream(directory / "session.key", std::ios::app) << "\n";  // as earlier versions wrote it
  EXPECT_TRUE(same_key(made, session_signer({}, directory)));
  std::ofstream(directory / "session.key") << "cut";
  const auto anew = session_signer({}, directory);
  EXPECT_FALSE(same_key(made, anew));
  EXPECT_TRUE(same_key(anew, session_signer({}, directory)));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory), {}),
            1);  // nothing is left beside
}

TEST_F(TokensTest, WhoMakesTheSessionKeyAtOnceAgreesOnOne) {
  std::vector<std::optional<Result<auth::Signer>>> made(8);
  {
    std::vector<std::jthread> threads;
    for (auto& each : made)
      threads.emplace_back([&] { each.emplace(session_signer({}, directory)); });
  }
  for (const auto& each : made) EXPECT_TRUE(same_key(*made[0], *each));
}

}  // namespace
}  // namespace headroom::server
