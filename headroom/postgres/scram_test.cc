#include "headroom/postgres/scram.h"

#include <gtest/gtest.h>

#include "headroom/auth/crypto.h"
#include "headroom/postgres/login.h"

namespace headroom::postgres {
namespace {

struct Outcome {
  Result<std::string> server;  // its final message
  Result<> client;
  ScramKeys shown;
};

Outcome exchange(const Verifier& verifier, std::string_view password, bool doomed = false,
                 const std::string& binding = "", const std::string& server_binding = "") {
  ScramServer server(verifier, server_binding, doomed);
  ScramClient client(binding);
  const std::string_view mechanism = binding.empty() ? kScram : kScramPlus;
  auto first = server.first(mechanism, client.first());
  if (!first) return {pass(first), fail(Errc::protocol, ""), {}};
  auto challenge = client.challenge(*first);
  EXPECT_TRUE(challenge.has_value());
  auto final =
      server.final(client.final(derive_keys(password, challenge->salt, challenge->iterations)));
  auto verified = final ? client.verify(*final) : fail(Errc::unauthorized, "");
  return {final, verified, server.keys()};
}

TEST(Scram, TheRightPasswordProvesBothSides) {
  const Verifier verifier = make_verifier("secret");
  const Outcome done = exchange(verifier, "secret");
  EXPECT_TRUE(done.server.has_value());
  EXPECT_TRUE(done.client.has_value());
  // What the client has shown logs in where the same verifier is (pass-through).
  EXPECT_EQ(done.shown, derive_keys("secret", verifier.salt, verifier.iterations));
}

TEST(Scram, AWrongPasswordAndADoomedUserFailAtTheEnd) {
  EXPECT_EQ(exchange(make_verifier("secret"), "wrong").server.error().code, Errc::unauthorized);
  EXPECT_EQ(exchange(make_verifier("secret"), "secret", true).server.error().code,
            Errc::unauthorized);
  EXPECT_EQ(exchange(mock_verifier("nobody", "key"), "", true).server.error().code,
            Errc::unauthorized);
}

TEST(Scram, AMockExchangeIsTheSameForTheSameName) {
  EXPECT_EQ(mock_verifier("nobody", "key"), mock_verifier("nobody", "key"));
  EXPECT_NE(mock_verifier("nobody", "key").salt, mock_verifier("another", "key").salt);
  EXPECT_NE(mock_verifier("nobody", "key").salt, mock_verifier("nobody", "other key").salt);
  EXPECT_EQ(mock_verifier("nobody", "key").iterations, make_verifier("x").iterations);
}

TEST(Scram, ChannelBindingMustBeTheSameOnBothSides) {
  const Verifier verifier = make_verifier("secret");
  EXPECT_TRUE(exchange(verifier, "secret", false, "cert", "cert").client.has_value());
  EXPECT_EQ(exchange(verifier, "secret", false, "cert", "another").server.error().code,
            Errc::protocol);
  EXPECT_EQ(exchange(verifier, "secret", false, "cert", "").server.error().code, Errc::protocol);
  ScramServer server(verifier, "cert", false);
  EXPECT_EQ(server.first(kScram, "y,,n=,r=abc").error().code, Errc::unauthorized);  // a downgrade
}

TEST(Scram, AnImpostorServerIsNotBelieved) {
  ScramServer impostor(make_verifier("guess"), "", false);
  ScramClient client("");
  const auto first = impostor.first(kScram, client.first());
  const auto challenge = client.challenge(*first);
  const auto proof = client.final(derive_keys("secret", challenge->salt, challenge->iterations));
  EXPECT_FALSE(impostor.final(proof).has_value());
  EXPECT_EQ(client.verify("v=" + auth::base64(std::string(32, 'x'))).error().code,
            Errc::unauthorized);
  EXPECT_EQ(client.verify("e=other-error").error().code, Errc::unauthorized);
  EXPECT_FALSE(ScramClient("").verify("v=" + auth::base64("")).has_value());
}

TEST(Scram, MalformedMessagesAreRefused) {
  const Verifier verifier = make_verifier("secret");
  for (const std::string_view first :
       {"", "n", "n,,", "n,,n=", "n,,n=,r=", "n,a=me,n=,r=abc", "x,,n=,r=abc", "n,,n=,r=abc,x=1",
        "p=tls-unique,,n=,r=abc", "n,,r=abc,n="}) {
    ScramServer server(verifier, "", false);
    EXPECT_FALSE(server.first(kScram, first).has_value()) << first;
  }
  for (const std::string_view final : {"", "c=biws", "c=biws,r=x,p=AAAA", "c=biws,r=,p="}) {
    ScramServer server(verifier, "", false);
    ASSERT_TRUE(server.first(kScram, "n,,n=,r=abc").has_value());
    EXPECT_EQ(server.final(final).error().code, Errc::protocol) << final;
  }
  ScramServer early(verifier, "", false);
  EXPECT_FALSE(early.final("c=biws,r=,p=AAAA").has_value());
  ScramClient client("");
  const std::string nonce = client.first().substr(client.first().find("r=") + 2);
  for (const std::string& first :
       {std::string("r=other,s=AAAA,i=4096"), "r=" + nonce + ",s=AAAA,i=4096",
        "r=" + nonce + "x,s=,i=4096", "r=" + nonce + "x,s=AAAA,i=0",
        "r=" + nonce + "x,s=AAAA,i=1000001", "r=" + nonce + "x,s=AAAA,i=99999999999999999999",
        "r=" + nonce + std::string(5000, 'x') + ",s=AAAA,i=1", "r=" + nonce + "x,s=AAAA,i=1,z=1"})
    EXPECT_EQ(client.challenge(first).error().code, Errc::protocol) << first;
}

TEST(Scram, AVerifierIsReadAsAServerStoresIt) {
  const Verifier verifier = make_verifier("secret");
  const std::string text = "SCRAM-SHA-256$4096:" + auth::base64(verifier.salt) + "$" +
                           auth::base64(verifier.stored_key) + ":" +
                           auth::base64(verifier.server_key);
  EXPECT_EQ(parse_verifier(text), verifier);
  for (std::size_t cut = 0; cut < text.size(); ++cut)
    EXPECT_FALSE(parse_verifier(text.substr(0, cut)).has_value());
  EXPECT_FALSE(parse_verifier("SCRAM-SHA-256$0:AAAA$AAAA:AAAA").has_value());
}

TEST(Md5, IsPostgresqls) {
  // SELECT 'md5' || md5('secret' || 'booking').
  EXPECT_EQ(md5_password("booking", "secret"), "md5" + md5_of("secretbooking"));
  EXPECT_EQ(md5_of(""), "d41d8cd98f00b204e9800998ecf8427e");
}

std::string asks(std::uint32_t code, std::string_view data = {}) {
  std::string body;
  for (int shift = 24; shift >= 0; shift -= 8) body.push_back(static_cast<char>(code >> shift));
  return body.append(data);
}

TEST(Login, APasswordGoesInClearOverTlsOnly) {
  const Credentials who{.user = "me", .password = "secret", .md5 = {}, .keys = {}};
  std::string out;
  Login open(who, Transport::open, "");
  EXPECT_EQ(open.take(asks(3), out).error().code, Errc::unauthorized);
  EXPECT_EQ(out, "");
  Login encrypted(who, Transport::encrypted, "");
  EXPECT_TRUE(encrypted.take(asks(3), out).has_value());
  EXPECT_NE(out.find("secret"), std::string::npos);
}

TEST(Login, StepsOutOfOrderEndIt) {
  const Credentials who{.user = "me", .password = "secret", .md5 = {}, .keys = {}};
  for (const auto& step :
       {asks(11, "r=x"), asks(12, "v=x"), asks(7), asks(5, "abc"), std::string("ab")}) {
    std::string out;
    Login login(who, Transport::open, "");
    EXPECT_FALSE(login.take(step, out).has_value());
    EXPECT_FALSE(login.ok());
  }
  // "Welcome" in the midst of SCRAM, before the server has proven itself.
  std::string out;
  Login login(who, Transport::open, "");
  using namespace std::string_literals;
  ASSERT_TRUE(login.take(asks(10, "SCRAM-SHA-256\0\0"s), out).has_value());
  EXPECT_FALSE(login.take(asks(0), out).has_value());
  EXPECT_FALSE(login.ok());
}

}  // namespace
}  // namespace headroom::postgres
