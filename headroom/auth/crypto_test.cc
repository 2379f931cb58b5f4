#include "headroom/auth/crypto.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <string>
#include <vector>

#include "headroom/auth/signed_value.h"
#include "headroom/base/hash.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

std::string hex_of(const Digest& digest) { return text::hex(text_of(digest)); }

TEST(Crypto, Sha256IsThatOfFips180) {
  EXPECT_EQ(hex_of(sha256("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex_of(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Crypto, HmacSha256IsThatOfRfc4231) {
  EXPECT_EQ(hex_of(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex_of(hmac_sha256(std::string(131, '\xaa'),
                               "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Crypto, EqualMeansSameBytesAndSameSize) {
  EXPECT_TRUE(constant_time_equal("", ""));
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_FALSE(constant_time_equal("abc", "abd"));
  EXPECT_FALSE(constant_time_equal("abc", "ab"));
}

TEST(Crypto, RandomBytesDiffer) {
  EXPECT_EQ(random_bytes(32).size(), 32U);
  EXPECT_NE(random_bytes(32), random_bytes(32));
}

struct Coded {
  std::string bytes;
  std::string base64;
  std::string base64url;
};

TEST(Crypto, Base64IsThatOfRfc4648) {
  const std::vector<Coded> rows{{"", "", ""},
                                {"f", "Zg==", "Zg"},
                                {"fo", "Zm8=", "Zm8"},
                                {"foo", "Zm9v", "Zm9v"},
                                {"foob", "Zm9vYg==", "Zm9vYg"},
                                {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                                {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                                {"\xfb\xff", "+/8=", "-_8"}};
  for (const Coded& row : rows) {
    EXPECT_EQ(base64(row.bytes), row.base64);
    EXPECT_EQ(base64url(row.bytes), row.base64url);
    EXPECT_EQ(from_base64(row.base64), row.bytes);
    EXPECT_EQ(from_base64url(row.base64url), row.bytes);
  }
}

TEST(Crypto, OnlyOneTextOfABase64ValueIsAccepted) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v\n", " Zm9v", "Zm-v",
                           "Zg==Zg==", "====", "Z==="})
    EXPECT_FALSE(from_base64(text)) << text;
  for (const char* text : {"Z", "Zg==", "Zh", "Zm9", "Zm9v ", "Zm+v", "Zm9v.", "Zm9vY"})
    EXPECT_FALSE(from_base64url(text)) << text;
  EXPECT_FALSE(from_base64url(std::string_view("Zm\0v", 4)));
}

TEST(Crypto, EveryValueComesBackAsItWent) {
  Random random(7);
  for (int round = 0; round < 500; ++round) {
    std::string bytes(random.below(70), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.next());
    EXPECT_EQ(from_base64(base64(bytes)), bytes);
    EXPECT_EQ(from_base64url(base64url(bytes)), bytes);
  }
}

constexpr WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

class SignedValue : public testing::Test {
 protected:
  static Signer signer(std::vector<std::string> keys) { return *Signer::make(std::move(keys)); }
  const std::string old_key_ = std::string(32, 'o');
  const std::string new_key_ = std::string(32, 'n');
  const Signer signer_ = signer({new_key_, old_key_});
};

TEST_F(SignedValue, OpensUntilItExpires) {
  const std::string text = *signer_.sign("session", "some value\n", at(1000));
  EXPECT_EQ(signer_.open("session", text, at(999)), "some value\n");
  EXPECT_EQ(signer_.open("session", text, at(1000)).error().code, Errc::unauthorized);
}

TEST_F(SignedValue, DoesNotOpenForAnotherPurpose) {
  const std::string text = *signer_.sign("session", "v", at(1000));
  EXPECT_FALSE(signer_.open("reset", text, at(1)));
}

TEST_F(SignedValue, KeysRotate) {
  const std::string text = *signer({old_key_}).sign("session", "v", at(1000));
  EXPECT_EQ(signer_.open("session", text, at(1)), "v");
  EXPECT_FALSE(signer({new_key_}).open("session", text, at(1)));
  EXPECT_TRUE(signer({new_key_}).open("session", *signer_.sign("session", "v", at(9)), at(1)));
}

TEST_F(SignedValue, NoChangedByteOpens) {
  const std::string text = *signer_.sign("session", "value", at(1000));
  for (std::size_t i = 0; i < text.size(); ++i)
    for (const char c : {'A', 'B', '0', '.', '-'}) {
      std::string changed = text;
      changed[i] = c;
      if (changed != text) EXPECT_FALSE(signer_.open("session", changed, at(1))) << changed;
    }
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_FALSE(signer_.open("session", text.substr(0, size), at(1)));
  EXPECT_FALSE(signer_.open("session", text + ".", at(1)));
  EXPECT_FALSE(signer_.open("session", text + "=", at(1)));
}

TEST_F(SignedValue, LongValuesAndShortKeysAreRefused) {
  EXPECT_EQ(signer_.sign("session", std::string(4000, 'x'), at(1)).error().code, Errc::invalid);
  EXPECT_FALSE(Signer::make({}));
  EXPECT_FALSE(Signer::make({std::string(31, 'k')}));
  EXPECT_FALSE(Signer::make(std::vector<std::string>(9, old_key_)));
}

}  // namespace
}  // namespace headroom::auth
