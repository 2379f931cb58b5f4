#include "headroom/sql/client_auth.h"

#include <gtest/gtest.h>

#include "headroom/pgwire/messages.h"
#include "headroom/sql/options.h"

namespace headroom::sql {
namespace {

constexpr std::string_view kMockKey = "key";

// A client that knows `password`, against ClientAuth.
Result<bool> log_in(ClientAuth& auth, std::string_view password) {
  std::string out;
  auth.begin(out);
  postgres::ScramClient client("");
  std::string message;
  pgwire::Message(message, 'p')
      .text(postgres::kScram)
      .u32(static_cast<std::uint32_t>(client.first().size()))
      .bytes(client.first());
  out.clear();
  auto first = auth.take('p', std::string_view(message).substr(pgwire::kHeader), out);
  if (!first) return first;
  const auto challenge = client.challenge(std::string_view(out).substr(pgwire::kHeader + 4));
  if (!challenge) return fail(Errc::protocol, challenge.error().message);
  const std::string final =
      client.final(postgres::derive_keys(password, challenge->salt, challenge->iterations));
  out.clear();
  auto done = auth.take('p', final, out);
  if (done && *done)
    EXPECT_TRUE(client.verify(std::string_view(out).substr(pgwire::kHeader + 4)).has_value());
  return done;
}

TEST(ClientAuth, ScramLetsInWhoKnowsThePassword) {
  const Secret secret = parse_secret("secret", "me", "key");
  ClientAuth right("me", &secret, Auth::scram, "", kMockKey);
  EXPECT_TRUE(*log_in(right, "secret"));
  EXPECT_TRUE(right.keys().has_value());
  ClientAuth wrong("me", &secret, Auth::scram, "", kMockKey);
  EXPECT_EQ(log_in(wrong, "Secret").error().message,
            "password authentication failed for user \"me\"");
}

TEST(ClientAuth, AnUnknownUserSeesTheSameExchangeAndTheSameWords) {
  ClientAuth nobody("me", nullptr, Auth::scram, "", kMockKey);
  EXPECT_EQ(log_in(nobody, "secret").error().message,
            "password authentication failed for user \"me\"");
}

TEST(ClientAuth, Md5IsAskedOfWhomOnlyAHashIsKnown) {
  const Secret secret = parse_secret(postgres::md5_password("me", "secret"), "me", "key");
  for (const bool right : {true, false}) {
    ClientAuth auth("me", &secret, Auth::scram, "", kMockKey);
    std::string out;
    auth.begin(out);
    const std::string answer =
        postgres::md5_answer(postgres::md5_password("me", right ? "secret" : "other"),
                             std::string_view(out).substr(pgwire::kHeader + 4));
    EXPECT_EQ(auth.take('p', answer + '\0', out).has_value(), right);
  }
}

TEST(ClientAuth, NothingButAPasswordMessageIsTakenAndNothingTwice) {
  const Secret secret = parse_secret("secret", "me", "key");
  for (const char type : {'Q', '\0', 'R', 'X'}) {
    ClientAuth auth("me", &secret, Auth::scram, "", kMockKey);
    std::string out;
    auth.begin(out);
    EXPECT_EQ(auth.take(type, "", out).error().code, Errc::protocol);
    EXPECT_EQ(log_in(auth, "secret").has_value(), true);  // begin() starts anew; without it:
    EXPECT_EQ(auth.take('p', "", out).error().code, Errc::protocol);
  }
}

TEST(Options, AreRefusedWhenTheyContradictThemselves) {
  SqlOptions options = sql_section().defaults();
  EXPECT_EQ(options.pool_size, 20U);
  EXPECT_EQ(options.pool_overflow, 40U);
  EXPECT_EQ(options.pool_wait, 30s);
  EXPECT_FALSE(options.configured());
}

}  // namespace
}  // namespace headroom::sql
