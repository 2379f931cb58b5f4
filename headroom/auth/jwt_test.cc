#include "headroom/auth/jwt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/auth/crypto.h"
#include "headroom/auth/jwks.h"
#include "headroom/base/hash.h"

namespace headroom::auth {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr std::int64_t kNowSeconds = 1'800'000'000;
constexpr WallTime kNow{seconds(kNowSeconds)};

// What RFC 7515 appendix A signs with three algorithms.
constexpr std::string_view kRfcClaims =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlf"
    "Q";
constexpr WallTime kRfcNow{seconds(1300819379)};

Key key_of_jwk(std::string_view jwk) {
  auto set = parse_jwks(fmt::format(R"({{"keys":[{}]}})", jwk), SecretKeys::accepted);
  EXPECT_TRUE(set) << set.error().message;
  return set->keys.at(0);
}

struct Vector {
  const char* name;
  std::string_view jwk;
  std::string_view header;
  std::string_view signature;
};

const std::vector<Vector> kRfcVectors{
    {"RFC 7515 A.1, HS256",
     R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})",
     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    {"RFC 7515 A.2, RS256",
     R"({"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPME)"
     R"(zP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA)"
     R"(9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2)"
     R"(ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"})",
     "eyJhbGciOiJSUzI1NiJ9",
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
     "O8W2Fp5jujGbds9uJdbF9CUAr7t1d"
     "nZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
     "eSN9383LcOLn6_dO--xi12jzDwu"
     "sC-"
     "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0ig"
     "cN_IoypGlUPQGe77Rw"},
    {"RFC 7515 A.3, ES256",
     R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyS)"
     R"(tikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})",
     "eyJhbGciOiJFUzI1NiJ9",
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
};

TEST(Jwt, VectorsOfRfc7515AreVerified) {
  for (const Vector& vector : kRfcVectors) {
    const auto verifier =
        JwtVerifier::make({.issuer = "joe", .leeway = seconds(0)}, {key_of_jwk(vector.jwk)});
    const std::string token = fmt::format("{}.{}.{}", vector.header, kRfcClaims, vector.signature);
    const auto claims = (*verifier)->verify(token, kRfcNow);
    ASSERT_TRUE(claims) << vector.name << ": " << claims.error().message;
    EXPECT_EQ(claims->document.root().find("http://example.com/is_root")->boolean(), true);
    EXPECT_EQ(claims->expires, kRfcNow + seconds(1));
    EXPECT_EQ((*verifier)->verify(token, kRfcNow + seconds(1)).error().message, "it has expired");
  }
}

TEST(Jwt, VectorOfRfc8037IsVerified) {
  const Key key = key_of_jwk(
      R"({"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})");
  EXPECT_EQ(key.algorithm(), Algorithm::eddsa);
  const std::string signature = *from_base64url(
      "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  EXPECT_TRUE(key.verifies("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature));
  EXPECT_FALSE(key.verifies("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd", signature));
}

// Keys of our own, and what an app's library does with them.
struct PkeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Private = std::unique_ptr<EVP_PKEY, PkeyFree>;

std::string pem_of(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(bio, key);
  char* data = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio, &data));
  std::string pem(data, size);
  BIO_free(bio);
  return pem;
}

std::string private_pem_of(EVP_PKEY* key) {
  BIO* bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const auto size = static_cast<std::size_t>(BIO_get_mem_data(bio, &data));
  std::string pem(data, size);
  BIO_free(bio);
  return pem;
}

std::string raw_ecdsa(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  ECDSA_SIG* pair = d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()));
  std::string raw(64, '\0');
  auto* out = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
  BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
  ECDSA_SIG_free(pair);
  return raw;
}

std::string signed_by(EVP_PKEY* key, std::string_view input) {
  const EVP_MD* digest = EVP_PKEY_is_a(key, "ED25519") == 1 ? nullptr : EVP_sha256();
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::size_t size = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
  EVP_DigestSignInit(context, nullptr, digest, nullptr, key);
  EVP_DigestSign(context, nullptr, &size, bytes, input.size());
  std::string signature(size, '\0');
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size, bytes,
                 input.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  return EVP_PKEY_is_a(key, "EC") == 1 ? raw_ecdsa(signature) : signature;
}

class JwtTest : public testing::Test {
 protected:
  static EVP_PKEY* rsa() {
    static const Private key(EVP_RSA_gen(2048));
    return key.get();
  }
  static EVP_PKEY* ec() {
    static const Private key(EVP_EC_gen("P-256"));
    return key.get();
  }
  static EVP_PKEY* ed() {
    static const Private key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    return key.get();
  }
  inline static const std::string kSecret = std::string(32, 's');

  static std::string input(std::string_view header, std::string_view claims) {
    return base64url(header) + "." + base64url(claims);
  }
  static std::string hs256(std::string_view header, std::string_view claims,
                           std::string_view secret = kSecret) {
    std::string text = input(header, claims);
    return text + "." + base64url(text_of(hmac_sha256(secret, text)));
  }
  static std::string hs256(std::string_view claims) {
    return hs256(R"({"alg":"HS256","typ":"JWT"})", claims);
  }
  static std::string by(EVP_PKEY* key, std::string_view header, std::string_view claims) {
    std::string text = input(header, claims);
    return text + "." + base64url(signed_by(key, text));
  }
  static std::shared_ptr<const JwtVerifier> verifier(std::vector<Key> keys,
                                                     JwtOptions options = {}) {
    options.roles = {
        {"super_admin", Role::admin}, {"staff", Role::operator_}, {"user", Role::viewer}};
    auto made = JwtVerifier::make(std::move(options), std::move(keys));
    EXPECT_TRUE(made);
    return *made;
  }
  static std::shared_ptr<const JwtVerifier> secret_verifier(JwtOptions options = {}) {
    return verifier({*Key::hmac(kSecret)}, std::move(options));
  }
  static std::string claims(std::string_view more = "") {
    return fmt::format(R"({{"sub":"ann","exp":{}{}}})", kNowSeconds + 300, more);
  }
  static std::string why(const Result<Claims>& result) {
    if (result) return "accepted";
    EXPECT_EQ(result.error().code, Errc::unauthorized);
    return result.error().message;
  }
};

TEST_F(JwtTest, TokensOfEveryAlgorithmAreVerifiedByPemKeys) {
  const std::vector<std::pair<EVP_PKEY*, std::string>> rows{
      {rsa(), "RS256"}, {ec(), "ES256"}, {ed(), "EdDSA"}};
  for (const auto& [key, name] : rows) {
    const auto made = Key::from_pem(pem_of(key));
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(to_string(made->algorithm()), name);
    for (int round = 0; round < 5; ++round) {
      const auto claimed = claims(fmt::format(R"(,"n":{})", round));
      EXPECT_EQ(why(verifier({*made})->verify(
                    by(key, fmt::format(R"({{"alg":"{}"}})", name), claimed), kNow)),
                "accepted");
    }
  }
}

TEST_F(JwtTest, KidChoosesAmongManyKeys) {
  std::vector<Key> keys{*Key::hmac(std::string(40, 'a'), "a"),
                        *Key::hmac(std::string(40, 'b'), "b"), *Key::from_pem(pem_of(rsa()), "r"),
                        *Key::from_pem(pem_of(ec()), "e")};
  const auto many = verifier(std::move(keys));
  EXPECT_EQ(why(many->verify(hs256(R"({"alg":"HS256","kid":"b"})", claims(), std::string(40, 'b')),
                             kNow)),
            "accepted");
  EXPECT_EQ(why(many->verify(hs256(R"({"alg":"HS256"})", claims(), std::string(40, 'b')), kNow)),
            "accepted");
  EXPECT_EQ(why(many->verify(by(rsa(), R"({"alg":"RS256","kid":"r"})", claims()), kNow)),
            "accepted");
  EXPECT_EQ(why(many->verify(hs256(R"({"alg":"HS256","kid":"a"})", claims(), std::string(40, 'b')),
                             kNow)),
            "its signature does not hold");
  EXPECT_EQ(why(many->verify(hs256(R"({"alg":"HS256","kid":"c"})", claims(), std::string(40, 'b')),
                             kNow)),
            "no key has its kid and alg");
  EXPECT_EQ(why(many->verify(by(rsa(), R"({"alg":"RS256","kid":"e"})", claims()), kNow)),
            "no key has its kid and alg");
}

TEST_F(JwtTest, KeyWithoutKidServesTokensWhoseKidNoKeyHas) {
  EXPECT_EQ(
      why(secret_verifier()->verify(hs256(R"({"alg":"HS256","kid":"whatever"})", claims()), kNow)),
      "accepted");
  const auto mixed = verifier({*Key::hmac(kSecret), *Key::hmac(std::string(40, 'k'), "known")});
  EXPECT_EQ(why(mixed->verify(hs256(R"({"alg":"HS256","kid":"known"})", claims()), kNow)),
            "its signature does not hold");
}

struct Attack {
  const char* name;
  std::string token;
  const char* reason;
};

TEST_F(JwtTest, AttacksAreRefusedWithTheirReason) {
  const std::string good = hs256(claims());
  const std::string rsa_pem = pem_of(rsa());
  const auto last_dot = good.rfind('.');
  const std::string unsigned_part = good.substr(0, last_dot);
  auto with = [&](std::string_view more) { return hs256(claims(more)); };
  auto dated = [&](std::string_view text) {
    return hs256(fmt::format(R"({{"sub":"ann",{}}})", text));
  };
  auto headed = [&](std::string_view header) { return hs256(header, claims()); };
  const std::vector<Attack> rows{
      {"alg none without a signature", input(R"({"alg":"none"})", claims()) + ".", "an empty part"},
      {"alg none with a signature", input(R"({"alg":"none"})", claims()) + ".AAAA",
       "no key has its kid and alg"},
      {"alg None in another case", input(R"({"alg":"nOnE"})", claims()) + ".AAAA",
       "no key has its kid and alg"},
      {"alg in another case", headed(R"({"alg":"hs256"})"), "no key has its kid and alg"},
      {"alg missing", headed(R"({"typ":"JWT"})"), "no alg"},
      {"alg not a string", headed(R"({"alg":["HS256"]})"), "no alg"},
      {"alg twice", headed(R"({"alg":"none","alg":"HS256"})"),
       "header: not one strict JSON object"},
      {"RS256's public key used as an HS256 secret", hs256(R"({"alg":"HS256"})", claims(), rsa_pem),
       "its signature does not hold"},
      {"HS256's key asked for as RS256", by(rsa(), R"({"alg":"RS256"})", claims()),
       "no key has its kid and alg"},
      {"stronger-looking alg than the key", headed(R"({"alg":"HS512"})"),
       "no key has its kid and alg"},
      {"wrong secret", hs256(R"({"alg":"HS256"})", claims(), std::string(32, 'x')),
       "its signature does not hold"},
      {"kid not a string", headed(R"({"alg":"HS256","kid":7})"), "its kid is not a string"},
      {"kid with a path is only a name",
       hs256(R"({"alg":"HS256","kid":"../../dev/null"})", claims(), std::string(32, '\0')),
       "its signature does not hold"},
      {"own key in the header",
       hs256(R"({"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}})", claims(), std::string(32, 'z')),
       "its signature does not hold"},
      {"critical extension", headed(R"({"alg":"HS256","crit":["b64"],"b64":false})"),
       "it has critical extensions"},
      {"another type of token", headed(R"({"alg":"HS256","typ":"dpop+jwt"})"),
       "its typ is not JWT"},
      {"header is an array", headed(R"(["HS256"])"), "header: not one strict JSON object"},
      {"header with a comment", headed("{\"alg\":\"HS256\"/**/}"),
       "header: not one strict JSON object"},
      {"header followed by more", headed(R"({"alg":"HS256"}{})"),
       "header: not one strict JSON object"},
      {"header too long",
       headed(fmt::format(R"({{"alg":"HS256","x":"{}"}})", std::string(3000, 'x'))),
       "header: not one strict JSON object"},
      {"expired", dated(fmt::format(R"("exp":{})", kNowSeconds - 60)), "it has expired"},
      {"expired in the past century", dated(R"("exp":-1)"), "it has expired"},
      {"no exp", dated(R"("iat":1)"), "it has no exp"},
      {"exp a string", dated(R"("exp":"9999999999")"), "its exp is not a date"},
      {"exp beyond all dates", dated(R"("exp":1e300)"), "its exp is not a date"},
      {"exp overflowing 64 bits", dated(R"("exp":18446744073709551616)"), "its exp is not a date"},
      {"exp null", dated(R"("exp":null)"), "its exp is not a date"},
      {"exp twice", with(R"(,"exp":1)"), "claims: not one strict JSON object"},
      {"sub twice", with(R"(,"sub":"eve")"), "claims: not one strict JSON object"},
      {"name repeated by an escape", with(R"(,"\u0073ub":"eve")"),
       "claims: not one strict JSON object"},
      {"not valid yet", with(fmt::format(R"(,"nbf":{})", kNowSeconds + 61)), "it is not valid yet"},
      {"issued in the future", with(fmt::format(R"(,"iat":{})", kNowSeconds + 61)),
       "it was issued in the future"},
      {"nbf not a number", with(R"(,"nbf":true)"), "its nbf is not a date"},
      {"for someone else", with(R"(,"aud":"billing")"),
       "it is for an audience, and none is configured"},
      {"claims an array", hs256("[]"), "claims: not one strict JSON object"},
      {"claims not UTF-8", hs256("{\"sub\":\"\xff\"}"), "claims: not one strict JSON object"},
      {"claims nested too deep", with(",\"x\":" + std::string(40, '[') + std::string(40, ']')),
       "claims: not one strict JSON object"},
      {"empty", "", "not three parts"},
      {"dots alone", "..", "an empty part"},
      {"two parts", unsigned_part, "not three parts"},
      {"signature removed", unsigned_part + ".", "an empty part"},
      {"signature truncated", good.substr(0, good.size() - 1), "signature: not strict base64url"},
      {"signature cut by whole groups", good.substr(0, good.size() - 3),
       "its signature does not hold"},
      {"trailing dot", good + ".", "not three parts"},
      {"trailing dots", good + "...", "not three parts"},
      {"leading dot", "." + good, "not three parts"},
      {"five parts, as encrypted ones have", good + ".AAAA.AAAA", "not three parts"},
      {"padding", good + "=", "signature: not strict base64url"},
      {"line end", good + "\n", "signature: not strict base64url"},
      {"space before", " " + good, "header: not strict base64url"},
      {"huge", good + std::string(10000, 'A'), "longer than 8192 bytes"},
      {"a million dots", std::string(1000000, '.'), "longer than 8192 bytes"},
  };
  const auto one_secret = secret_verifier();
  const auto secret_and_rsa =
      verifier({*Key::hmac(kSecret), *Key::hmac(std::string(40, 'q'), "q")});
  const auto only_rsa = verifier({*Key::from_pem(rsa_pem)});
  ASSERT_EQ(why(one_secret->verify(good, kNow)), "accepted");
  for (const Attack& row : rows) {
    EXPECT_EQ(why(one_secret->verify(row.token, kNow)), row.reason) << row.name;
    EXPECT_FALSE(secret_and_rsa->verify(row.token, kNow)) << row.name;
  }
  EXPECT_EQ(why(only_rsa->verify(hs256(R"({"alg":"HS256"})", claims(), rsa_pem), kNow)),
            "no key has its kid and alg");
}

TEST_F(JwtTest, LastBitsOfASignatureCannotVary) {
  // 32 bytes are 43 characters with 2 unused bits: four texts for a lenient decoder, one for us.
  const std::string good = hs256(claims());
  int accepted = 0;
  for (const char c :
       std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")) {
    std::string other = good;
    other.back() = c;
    accepted += secret_verifier()->verify(other, kNow) ? 1 : 0;
  }
  EXPECT_EQ(accepted, 1);
}

TEST_F(JwtTest, NoChangedCharacterIsAccepted) {
  const auto verifier = secret_verifier();
  const std::string good = hs256(claims());
  Random random(3);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(random.below(256));
    if (changed != good) EXPECT_FALSE(verifier->verify(changed, kNow)) << i;
  }
}

TEST_F(JwtTest, EcdsaSignatureOfZerosOrInDerIsRefused) {
  const auto verifier = JwtTest::verifier({*Key::from_pem(pem_of(ec()))});
  const std::string text = input(R"({"alg":"ES256"})", claims());
  EXPECT_EQ(why(verifier->verify(text + "." + base64url(std::string(64, '\0')), kNow)),
            "its signature does not hold");
  EXPECT_EQ(why(verifier->verify(text + "." + base64url(std::string(64, '\xff')), kNow)),
            "its signature does not hold");
  EXPECT_EQ(why(verifier->verify(text + "." + base64url(std::string(71, '\x30')), kNow)),
            "its signature does not hold");
}

TEST_F(JwtTest, FailedVerificationLeavesNoErrorForTlsToFind) {
  const auto verifier =
      JwtTest::verifier({*Key::from_pem(pem_of(rsa())), *Key::from_pem(pem_of(ed()))});
  EXPECT_FALSE(verifier->verify(input(R"({"alg":"RS256"})", claims()) + ".AAAA", kNow));
  EXPECT_FALSE(verifier->verify(input(R"({"alg":"EdDSA"})", claims()) + ".AAAA", kNow));
  EXPECT_FALSE(Key::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
  EXPECT_EQ(ERR_peek_error(), 0U);
}

TEST_F(JwtTest, LeewayForgivesClocksThatDiffer) {
  const auto strict = secret_verifier({.leeway = seconds(0)});
  const std::string just_expired = hs256(fmt::format(R"({{"exp":{}}})", kNowSeconds - 59));
  const std::string almost =
      hs256(claims(fmt::format(R"(,"nbf":{0},"iat":{0})", kNowSeconds + 60)));
  EXPECT_EQ(why(secret_verifier()->verify(just_expired, kNow)), "accepted");
  EXPECT_EQ(why(strict->verify(just_expired, kNow)), "it has expired");
  EXPECT_EQ(why(secret_verifier()->verify(almost, kNow)), "accepted");
  EXPECT_EQ(why(strict->verify(almost, kNow)), "it is not valid yet");
  EXPECT_EQ(why(strict->verify(hs256(fmt::format(R"({{"exp":{}.5}})", kNowSeconds)), kNow)),
            "accepted");
}

TEST_F(JwtTest, ExpiryMayBeMadeOptional) {
  EXPECT_EQ(
      why(secret_verifier({.expiry = Expiry::optional})->verify(hs256(R"({"sub":"ann"})"), kNow)),
      "accepted");
}

TEST_F(JwtTest, IssuerAndAudienceAreCompared) {
  const auto verifier =
      secret_verifier({.issuer = "https://id.test", .audience = {"headroom", "ops"}});
  const auto result = [&](std::string_view more) {
    return why(verifier->verify(hs256(claims(more)), kNow));
  };
  EXPECT_EQ(result(R"(,"iss":"https://id.test","aud":"ops")"), "accepted");
  EXPECT_EQ(result(R"(,"iss":"https://id.test","aud":["x","headroom"])"), "accepted");
  EXPECT_EQ(result(R"(,"iss":"https://id.test/","aud":"ops")"), "it is from another issuer");
  EXPECT_EQ(result(R"(,"aud":"ops")"), "it is from another issuer");
  EXPECT_EQ(result(R"(,"iss":["https://id.test"],"aud":"ops")"), "it is from another issuer");
  EXPECT_EQ(result(R"(,"iss":"https://id.test")"), "it names no audience");
  EXPECT_EQ(result(R"(,"iss":"https://id.test","aud":"billing")"), "it is for another audience");
  EXPECT_EQ(result(R"(,"iss":"https://id.test","aud":[["ops"]])"), "it is for another audience");
}

struct RoleRow {
  const char* claim;
  const char* more;
  Role role;
};

TEST_F(JwtTest, RoleIsReadFromTheConfiguredClaim) {
  const std::vector<RoleRow> rows{
      {"role", R"(,"role":"super_admin")", Role::admin},
      {"role", R"(,"role":["user","staff","unknown"])", Role::operator_},
      {"role", R"(,"role":"admin")", Role::none},  // a name of ours means nothing unless mapped
      {"role", R"(,"role":"SUPER_ADMIN")", Role::none},
      {"role", R"(,"role":{"super_admin":true})", Role::none},
      {"role", R"(,"role":null)", Role::none},
      {"role", "", Role::none},
      {"role", R"(,"app_metadata":{"role":"super_admin"})", Role::none},
      {"app_metadata.role", R"(,"app_metadata":{"role":"super_admin"})", Role::admin},
      {"realm.access.roles", R"(,"realm":{"access":{"roles":["staff"]}})", Role::operator_},
      {"https://app.test/roles", R"(,"https://app.test/roles":["user"])", Role::viewer},
  };
  for (const RoleRow& row : rows) {
    const auto identity =
        secret_verifier({.role_claim = row.claim})->identify(hs256(claims(row.more)), kNow);
    ASSERT_TRUE(identity) << row.more;
    EXPECT_EQ(identity->role, row.role) << row.claim << row.more;
    EXPECT_EQ(identity->name, "ann");
    EXPECT_EQ(identity->via, Via::jwt);
    EXPECT_EQ(identity->expires, kNow + seconds(300));
  }
}

TEST_F(JwtTest, NameMustBeOneLineOfText) {
  const auto verifier = secret_verifier({.expiry = Expiry::optional});
  for (const char* claims :
       {R"({})", R"({"sub":""})", R"({"sub":7})", R"({"sub":"a\nb"})", R"({"sub":"\u0000"})"})
    EXPECT_EQ(verifier->identify(hs256(claims), kNow).error().message, "its sub is not a name")
        << claims;
  EXPECT_EQ(secret_verifier({.name_claim = "email"})
                ->identify(hs256(claims(R"(,"email":"a@b")")), kNow)
                ->name,
            "a@b");
}

TEST_F(JwtTest, TooManyKeysToTryAreRefusedAtStartUp) {
  EXPECT_FALSE(JwtVerifier::make({}, std::vector<Key>(kMostTries + 1, *Key::hmac(kSecret))));
  EXPECT_TRUE(JwtVerifier::make({}, std::vector<Key>(kMostTries, *Key::hmac(kSecret))));
}

TEST_F(JwtTest, WeakOrMisplacedKeysAreRefused) {
  const Private small(EVP_RSA_gen(1024));
  const Private other_curve(EVP_EC_gen("P-384"));
  const auto said = [](const Result<Key>& key) {
    return key ? std::string("accepted") : key.error().message;
  };
  EXPECT_THAT(said(Key::from_pem(pem_of(small.get()))), HasSubstr("an RSA key of 1024 bits"));
  EXPECT_THAT(said(Key::from_pem(pem_of(other_curve.get()))), HasSubstr("only P-256"));
  EXPECT_THAT(said(Key::from_pem(private_pem_of(rsa()))), HasSubstr("a private key"));
  EXPECT_THAT(said(Key::from_pem("")), HasSubstr("not a public key"));
  EXPECT_THAT(said(Key::from_pem("hello")), HasSubstr("not a public key"));
  EXPECT_THAT(said(Key::from_pem(std::string(70000, 'A'))), HasSubstr("64 KiB"));
  EXPECT_THAT(said(Key::hmac("secret")), HasSubstr("32 or more"));
  EXPECT_THAT(said(Key::hmac(pem_of(rsa()))), HasSubstr("give it as the public key"));
  EXPECT_THAT(said(Key::p256(std::string(32, '\1'), std::string(32, '\1'))), HasSubstr("not"));
  EXPECT_THAT(said(Key::p256("", "")), HasSubstr("32 bytes"));
  EXPECT_THAT(said(Key::ed25519(std::string(31, '\1'))), HasSubstr("not a public key"));
  const std::string modulus = "\xff" + std::string(254, '\x55') + "\x01";
  EXPECT_EQ(said(Key::rsa(modulus, std::string("\1\0\1", 3))), "accepted");
  EXPECT_THAT(said(Key::rsa(modulus, "\x01")), HasSubstr("unsafe exponent"));
  EXPECT_THAT(said(Key::rsa(modulus, "\x02")), HasSubstr("unsafe exponent"));
  EXPECT_THAT(said(Key::rsa(modulus, std::string(1, '\0'))), HasSubstr("without its numbers"));
  EXPECT_THAT(said(Key::rsa("", "\x03")), HasSubstr("without its numbers"));
  EXPECT_THAT(said(Key::rsa(std::string(2000, '\xff'), "\x03")), HasSubstr("more than 8192"));
}

TEST_F(JwtTest, SetKeepsWhatIsUsableAndSaysWhyNotTheRest) {
  const std::string text = fmt::format(
      R"({{"keys":[{},
        {{"kty":"RSA","kid":"old","e":"AQAB","n":"{}"}},
        {{"kty":"RSA","use":"enc","e":"AQAB","n":"AAAA"}},
        {{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}},
        {{"kty":"quantum"}},
        {{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}},
        {{"kty":"OKP","crv":"Ed25519","alg":"ES256","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
        {{"kty":"OKP","crv":"Ed25519","key_ops":["sign"],"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
        {{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="}},
        {{"kid":7,"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}},
        "text"]}})",
      kRfcVectors[2].jwk, base64url("\xff" + std::string(127, '\x55')));
  const auto set = parse_jwks(text);
  ASSERT_TRUE(set) << set.error().message;
  ASSERT_EQ(set->keys.size(), 1U);
  EXPECT_EQ(set->keys[0].algorithm(), Algorithm::es256);
  ASSERT_EQ(set->refused.size(), 10U);
  EXPECT_EQ(set->refused[0],
            "key 2 (kid 'old'): an RSA key of 1024 bits; 2048 to 8192 are accepted");
  EXPECT_EQ(set->refused[1], "key 3: it is not for signatures");
  EXPECT_EQ(set->refused[4], "key 6: a secret (oct) in a set that others can read");
  EXPECT_EQ(set->refused[5], "key 7: its alg is not EdDSA");
  EXPECT_EQ(set->refused[6], "key 8: its operations do not include verify");
}

TEST_F(JwtTest, TextThatIsNoSetIsRefused) {
  for (const std::string& text :
       {std::string(""), std::string("{}"), std::string("[]"), std::string(R"({"keys":{}})"),
        std::string(R"({"keys":[]})"), std::string(R"({"keys":[],"keys":[]})"),
        R"({"keys":[)" + std::string(300000, ' ') + "]}"})
    EXPECT_EQ(parse_jwks(text).error().code, Errc::invalid) << text.substr(0, 40);
  std::string many = R"({"keys":[{})";
  for (int i = 0; i < 64; ++i) many += ",{}";
  EXPECT_THAT(parse_jwks(many + "]}").error().message, HasSubstr("more than 64 keys"));
}

}  // namespace
}  // namespace headroom::auth
