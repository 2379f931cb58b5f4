#include "headroom/auth/key.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <array>
#include <utility>

#include "headroom/auth/crypto.h"

namespace headroom::auth {
namespace {

constexpr std::size_t kLeastSecretBytes = 32;
constexpr int kLeastRsaBits = 2048;
constexpr int kMostRsaBits = 8192;
constexpr int kMostExponentBits = 64;
constexpr std::size_t kMostPemBytes = 64UL << 10U;
constexpr std::size_t kMostKidBytes = 256;
constexpr std::size_t kCoordinateBytes = 32;

// Empties OpenSSL's error queue at the end of a scope: TLS on this thread reads the same queue.
struct ErrorsForgotten {
  ErrorsForgotten() = default;
  ErrorsForgotten(const ErrorsForgotten&) = delete;
  ErrorsForgotten& operator=(const ErrorsForgotten&) = delete;
  ~ErrorsForgotten() { ERR_clear_error(); }
};

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* thing) const {
    Free(thing);
  }
};
using BioPointer = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using BignumPointer = std::unique_ptr<BIGNUM, Freed<BN_free>>;
using BuilderPointer = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using ParamsPointer = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using EcdsaPointer = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;
using CertificatePointer = std::unique_ptr<X509, Freed<X509_free>>;
using DecoderContext = std::unique_ptr<OSSL_DECODER_CTX, Freed<OSSL_DECODER_CTX_free>>;
using PkeyPointer = std::shared_ptr<EVP_PKEY>;

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());  // char may alias
}

PkeyPointer shared(EVP_PKEY* key) { return {key, EVP_PKEY_free}; }

BignumPointer number_of(std::string_view bytes) {
  return BignumPointer(BN_bin2bn(raw(bytes), static_cast<int>(bytes.size()), nullptr));
}

PkeyPointer built(const char* type, OSSL_PARAM_BLD* builder) {
  const ParamsPointer params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyContext context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1)
    return nullptr;
  return shared(key);
}

Result<Algorithm> check_rsa(EVP_PKEY* key) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < kLeastRsaBits || bits > kMostRsaBits)
    return fail(Errc::invalid, fmt::format("an RSA key of {} bits; {} to {} are accepted", bits,
                                           kLeastRsaBits, kMostRsaBits));
  BIGNUM* exponent = nullptr;
  EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent);
  const BignumPointer freed(exponent);
  // With exponent 1 every padded digest signs itself.
  if (exponent == nullptr || !BN_is_odd(exponent) || BN_is_one(exponent) ||
      BN_num_bits(exponent) > kMostExponentBits)
    return fail(Errc::invalid, "an RSA key with an unsafe exponent");
  return Algorithm::rs256;
}

Result<Algorithm> check_ec(EVP_PKEY* key) {
  std::array<char, 64> curve{};
  EVP_PKEY_get_group_name(key, curve.data(), curve.size(), nullptr);
  if (std::string_view(curve.data()) != SN_X9_62_prime256v1)
    return fail(Errc::invalid,
                fmt::format("an EC key on the curve '{}'; only P-256 is accepted", curve.data()));
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (!context || EVP_PKEY_public_check(context.get()) != 1)
    return fail(Errc::invalid, "an EC key whose point is not on its curve");
  return Algorithm::es256;
}

Result<Algorithm> algorithm_of(EVP_PKEY* key) {
  if (EVP_PKEY_is_a(key, "RSA") == 1) return check_rsa(key);
  if (EVP_PKEY_is_a(key, "EC") == 1) return check_ec(key);
  if (EVP_PKEY_is_a(key, "ED25519") == 1) return Algorithm::eddsa;
  return fail(Errc::invalid, "a key of a kind that is not accepted: RSA, EC P-256 and Ed25519 are");
}

Result<> check_kid(std::string_view kid) {
  if (kid.size() <= kMostKidBytes) return {};
  return fail(Errc::invalid, fmt::format("a key's id of more than {} bytes", kMostKidBytes));
}

// JWS writes an ECDSA signature as r and s side by side, OpenSSL reads it in DER. Empty when it has another size.
std::string der_of(std::string_view signature) {
  if (signature.size() != 2 * kCoordinateBytes) return {};
  const EcdsaPointer pair(ECDSA_SIG_new());
  BignumPointer r = number_of(signature.substr(0, kCoordinateBytes));
  BignumPointer s = number_of(signature.substr(kCoordinateBytes));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  r.release();  // the pair owns them now
  s.release();
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair.get(), &der);
  if (size <= 0) return {};
  std::string text(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return text;
}

bool verified(EVP_PKEY* key, const EVP_MD* digest, std::string_view input,
              std::string_view signature) {
  const DigestContext context(EVP_MD_CTX_new());
  return context && EVP_DigestVerifyInit(context.get(), nullptr, digest, nullptr, key) == 1 &&
         EVP_DigestVerify(context.get(), raw(signature), signature.size(), raw(input),
                          input.size()) == 1;
}

PkeyPointer public_key_in(std::string_view pem) {
  const BioPointer bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  EVP_PKEY* key = nullptr;
  const DecoderContext context(OSSL_DECODER_CTX_new_for_pkey(
      &key, "PEM", nullptr, nullptr, EVP_PKEY_PUBLIC_KEY, nullptr, nullptr));
  if (!bio || !context || OSSL_DECODER_from_bio(context.get(), bio.get()) != 1) return nullptr;
  return shared(key);
}

PkeyPointer key_of_certificate(std::string_view pem) {
  const BioPointer bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (!bio) return nullptr;
  const CertificatePointer certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  return certificate ? shared(X509_get_pubkey(certificate.get())) : nullptr;
}

}  // namespace

std::string_view to_string(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::hs256: return "HS256";
    case Algorithm::rs256: return "RS256";
    case Algorithm::es256: return "ES256";
    case Algorithm::eddsa: return "EdDSA";
  }
  return "";
}

Result<Key> Key::hmac(std::string_view secret, std::string kid) {
  if (auto good = check_kid(kid); !good) return pass(good);
  if (secret.starts_with("-----BEGIN"))
    return fail(Errc::invalid,
                "a PEM key given as an HS256 secret; give it as the public key instead");
  if (secret.size() < kLeastSecretBytes)
    return fail(Errc::invalid,
                fmt::format("an HS256 secret of {} bytes; {} or more are needed, as it can be "
                            "guessed from any token",
                            secret.size(), kLeastSecretBytes));
  Key key(Algorithm::hs256, std::move(kid));
  key.secret_ = secret;
  return key;
}

Result<Key> Key::of_public(std::shared_ptr<evp_pkey_st> key, std::string kid) {
  if (auto good = check_kid(kid); !good) return pass(good);
  if (!key) return fail(Errc::invalid, "not a public key that can be read");
  auto algorithm = algorithm_of(key.get());
  if (!algorithm) return pass(algorithm);
  Key made(*algorithm, std::move(kid));
  made.public_ = std::move(key);
  return made;
}

Result<Key> Key::rsa(std::string_view modulus, std::string_view exponent, std::string kid) {
  const ErrorsForgotten at_end;
  if (modulus.size() > kMostRsaBits / 8 + 1 || exponent.size() > kMostExponentBits / 8)
    return fail(Errc::invalid, fmt::format("an RSA key of more than {} bits", kMostRsaBits));
  const BignumPointer n = number_of(modulus);
  const BignumPointer e = number_of(exponent);
  const BuilderPointer builder(OSSL_PARAM_BLD_new());
  if (!n || !e || BN_is_zero(n.get()) || BN_is_zero(e.get()) || !builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1)
    return fail(Errc::invalid, "an RSA key without its numbers");
  return of_public(built("RSA", builder.get()), std::move(kid));
}

Result<Key> Key::p256(std::string_view x, std::string_view y, std::string kid) {
  const ErrorsForgotten at_end;
  if (x.size() != kCoordinateBytes || y.size() != kCoordinateBytes)
    return fail(Errc::invalid, "a P-256 key has coordinates of 32 bytes");
  std::string point("\x04");  // uncompressed, SEC 1 section 2.3.3
  point.append(x).append(y);
  const BuilderPointer builder(OSSL_PARAM_BLD_new());
  if (!builder ||
      OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME,
                                      SN_X9_62_prime256v1, 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                       point.size()) != 1)
    return fail(Errc::overloaded, "out of memory");
  return of_public(built("EC", builder.get()), std::move(kid));
}

Result<Key> Key::ed25519(std::string_view point, std::string kid) {
  const ErrorsForgotten at_end;
  return of_public(
      shared(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw(point), point.size())),
      std::move(kid));
}

Result<Key> Key::from_pem(std::string_view pem, std::string kid) {
  const ErrorsForgotten at_end;
  if (pem.size() > kMostPemBytes) return fail(Errc::invalid, "a PEM text of more than 64 KiB");
  if (pem.contains("PRIVATE KEY-----"))
    return fail(Errc::invalid, "a private key; Headroom only verifies: give the public key");
  if (pem.contains("-----BEGIN CERTIFICATE-----"))
    return of_public(key_of_certificate(pem), std::move(kid));
  return of_public(public_key_in(pem), std::move(kid));
}

bool Key::verifies(std::string_view input, std::string_view signature) const {
  const ErrorsForgotten at_end;
  switch (algorithm_) {
    case Algorithm::hs256: {
      const Digest expected = hmac_sha256(secret_, input);
      return constant_time_equal(text_of(expected), signature);
    }
    case Algorithm::rs256: return verified(public_.get(), EVP_sha256(), input, signature);
    case Algorithm::es256: {
      const std::string der = der_of(signature);
      return !der.empty() && verified(public_.get(), EVP_sha256(), input, der);
    }
    case Algorithm::eddsa: return verified(public_.get(), nullptr, input, signature);
  }
  return false;
}

Digest Key::digest() const {
  const ErrorsForgotten at_end;
  std::string all = fmt::format("{} {}\n", to_string(algorithm_), kid_) + secret_;
  if (public_) {
    unsigned char* der = nullptr;
    const int size = i2d_PUBKEY(public_.get(), &der);
    if (size > 0) all.append(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
  }
  return sha256(all);
}

}  // namespace headroom::auth
