#include "headroom/postgres/scram.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "headroom/auth/crypto.h"
#include "headroom/base/assert.h"
#include "headroom/base/text.h"

namespace headroom::postgres {
namespace {

constexpr std::size_t kKeySize = 32;
constexpr std::size_t kSaltSize = 16;
constexpr std::size_t kNonceSize = 18;
constexpr std::size_t kLongestNonce = 1024;

std::string text_of(const auth::Digest& digest) { return std::string(headroom::text_of(digest)); }
std::string hmac(std::string_view key, std::string_view message) {
  return text_of(auth::hmac_sha256(key, message));
}

std::string exclusive_or(std::string_view a, std::string_view b) {
  HR_ASSERT(a.size() == b.size());
  std::string both(a);
  for (std::size_t i = 0; i < both.size(); ++i) both[i] = static_cast<char>(both[i] ^ b[i]);
  return both;
}

const unsigned char* raw(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}  // char may alias

// The value of the next attribute, which must be `name`.
std::optional<std::string_view> attribute(std::string_view& in, char name) {
  if (in.size() < 2 || in[0] != name || in[1] != '=') return std::nullopt;
  const std::size_t end = std::min(in.find(','), in.size());
  const std::string_view value = in.substr(2, end - 2);
  in.remove_prefix(std::min(end + 1, in.size()));
  return value;
}

std::unexpected<Error> malformed(std::string_view what) {
  return fail(Errc::protocol, fmt::format("malformed SCRAM message: {}", what));
}

bool is_printable(std::string_view nonce) {
  return !nonce.empty() && nonce.size() <= kLongestNonce &&
         nonce.find_first_not_of(
             "!\"#$%&'()*+-./"
             "0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") ==
             std::string_view::npos;
}

}  // namespace

ScramKeys derive_keys(std::string_view password, std::string_view salt, unsigned iterations) {
  std::string salted(kKeySize, '\0');
  const int made =
      PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), raw(salt),
                        static_cast<int>(salt.size()), static_cast<int>(iterations), EVP_sha256(),
                        kKeySize, reinterpret_cast<unsigned char*>(salted.data()));
  HR_ASSERT(made == 1);
  return {hmac(salted, "Client Key"), hmac(salted, "Server Key")};
}

Verifier make_verifier(std::string_view password, std::string salt) {
  if (salt.empty()) salt = auth::random_bytes(kSaltSize);
  Verifier made{.salt = std::move(salt), .stored_key = {}, .server_key = {}};
  ScramKeys keys = derive_keys(password, made.salt, made.iterations);
  made.stored_key = text_of(auth::sha256(keys.client_key));
  made.server_key = std::move(keys.server_key);
  return made;
}

std::optional<Verifier> parse_verifier(std::string_view text) {
  constexpr std::string_view kPrefix = "SCRAM-SHA-256$";
  if (!text.starts_with(kPrefix)) return std::nullopt;
  text.remove_prefix(kPrefix.size());
  const std::size_t colon = text.find(':');
  const std::size_t dollar = text.find('$');
  const std::size_t last = text.rfind(':');
  if (colon == std::string_view::npos || dollar == std::string_view::npos || colon > dollar ||
      last < dollar)
    return std::nullopt;
  const auto iterations = text::to_u64(text.substr(0, colon));
  auto salt = auth::from_base64(text.substr(colon + 1, dollar - colon - 1));
  auto stored = auth::from_base64(text.substr(dollar + 1, last - dollar - 1));
  auto server = auth::from_base64(text.substr(last + 1));
  if (!iterations || *iterations == 0 || *iterations > kMostIterations || !salt || !stored ||
      !server)
    return std::nullopt;
  if (stored->size() != kKeySize || server->size() != kKeySize || salt->empty())
    return std::nullopt;
  return Verifier{static_cast<unsigned>(*iterations), std::move(*salt), std::move(*stored),
                  std::move(*server)};
}

std::string salt_of(std::string_view user, std::string_view secret) {
  return hmac(secret, fmt::format("salt of {}", user)).substr(0, kSaltSize);
}

Verifier mock_verifier(std::string_view user, std::string_view secret) {
  Verifier made{.salt = salt_of(user, secret), .stored_key = {}, .server_key = {}};
  made.stored_key = hmac(secret, fmt::format("stored key of {}", user));
  made.server_key = hmac(secret, fmt::format("server key of {}", user));
  return made;
}

std::string md5_of(std::string_view text) {
  std::string digest(16, '\0');
  unsigned size = 0;
  const int made =
      EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_md5(), nullptr);
  HR_ASSERT(made == 1);
  return text::hex(digest);
}

std::string md5_password(std::string_view user, std::string_view password) {
  return "md5" + md5_of(std::string(password).append(user));
}

std::string md5_answer(std::string_view md5_password, std::string_view salt) {
  return "md5" + md5_of(std::string(md5_password.substr(3)).append(salt));
}

std::string channel_binding(SSL* tls) {
  if (tls == nullptr) return {};
  const bool server = SSL_is_server(tls) == 1;
  X509* certificate = server ? SSL_get_certificate(tls) : SSL_get0_peer_certificate(tls);
  if (certificate == nullptr) return {};
  int digest_id = NID_undef;
  if (OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest_id, nullptr) != 1) return {};
  if (digest_id == NID_md5 || digest_id == NID_sha1) digest_id = NID_sha256;
  const EVP_MD* kind = EVP_get_digestbynid(digest_id);
  if (kind == nullptr) return {};
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (X509_digest(certificate, kind, reinterpret_cast<unsigned char*>(digest.data()), &size) != 1)
    return {};
  digest.resize(size);
  return digest;
}

// --- the client ---

ScramClient::ScramClient(std::string binding)
    : header_(binding.empty() ? "n,," : "p=tls-server-end-point,,"),
      binding_(std::move(binding)),
      nonce_(auth::base64(auth::random_bytes(kNonceSize))) {}

std::string ScramClient::first() const { return fmt::format("{}n=,r={}", header_, nonce_); }

Result<ScramClient::Challenge> ScramClient::challenge(std::string_view server_first) {
  server_first_ = server_first;
  std::string_view in = server_first;
  const auto nonce = attribute(in, 'r');
  if (!nonce || !is_printable(*nonce) || !nonce->starts_with(nonce_) ||
      nonce->size() == nonce_.size())
    return malformed("the server's nonce");
  const auto salt_text = attribute(in, 's');
  auto salt = auth::from_base64(salt_text.value_or("?"));
  if (!salt || salt->empty()) return malformed("the salt");
  const auto iterations_text = attribute(in, 'i');
  const auto iterations = text::to_u64(iterations_text.value_or(""));
  if (!iterations || *iterations == 0 || *iterations > kMostIterations)
    return malformed("the iteration count");
  if (!in.empty()) return malformed("an unknown attribute");
  whole_nonce_ = *nonce;
  return Challenge{std::move(*salt), static_cast<unsigned>(*iterations)};
}

std::string ScramClient::final(const ScramKeys& keys) {
  const std::string without_proof =
      fmt::format("c={},r={}", auth::base64(header_ + binding_), whole_nonce_);
  const std::string message = fmt::format("n=,r={},{},{}", nonce_, server_first_, without_proof);
  const std::string signature = hmac(text_of(auth::sha256(keys.client_key)), message);
  expected_signature_ = hmac(keys.server_key, message);
  return fmt::format("{},p={}", without_proof,
                     auth::base64(exclusive_or(keys.client_key, signature)));
}

Result<> ScramClient::verify(std::string_view server_final) const {
  if (server_final.starts_with("e="))
    return fail(Errc::unauthorized, fmt::format("the server refused: {}", server_final.substr(2)));
  std::string_view in = server_final;
  const auto text = attribute(in, 'v');
  const auto signature = auth::from_base64(text.value_or("?"));
  if (!signature || !in.empty()) return malformed("the server's signature");
  if (expected_signature_.empty() || !auth::constant_time_equal(*signature, expected_signature_))
    return fail(Errc::unauthorized, "the server does not know the password");
  return {};
}

// --- the server ---

Result<std::string> ScramServer::first(std::string_view mechanism, std::string_view client_first) {
  plus_ = mechanism == kScramPlus;
  if ((!plus_ && mechanism != kScram) || (plus_ && binding_.empty()))
    return malformed("an unknown mechanism");
  std::string_view in = client_first;
  const std::string_view flag = in.substr(0, in.find(','));
  if (flag == "p=tls-server-end-point" ? !plus_ : plus_)
    return malformed("the channel binding flag does not fit the mechanism");
  if (flag != "p=tls-server-end-point" && flag != "n" && flag != "y")
    return malformed("the channel binding flag");
  if (flag == "y" && !binding_.empty())
    return fail(
        Errc::unauthorized,
        "the client believes that channel binding is not offered, but it is: somebody is between");
  in.remove_prefix(flag.size());
  if (!in.starts_with(",,")) return malformed("an authorization identity");
  in.remove_prefix(2);
  header_ = client_first.substr(0, flag.size() + 2);
  client_first_bare_ = in;
  if (!attribute(in, 'n')) return malformed("the user name");
  const auto nonce = attribute(in, 'r');
  if (!nonce || !is_printable(*nonce)) return malformed("the nonce");
  if (!in.empty()) return malformed("an unknown attribute");
  nonce_ = std::string(*nonce) + auth::base64(auth::random_bytes(kNonceSize));
  server_first_ =
      fmt::format("r={},s={},i={}", nonce_, auth::base64(verifier_.salt), verifier_.iterations);
  return server_first_;
}

Result<std::string> ScramServer::final(std::string_view client_final) {
  if (server_first_.empty()) return malformed("out of order");
  std::string_view in = client_final;
  const auto binding = attribute(in, 'c');
  if (!binding || *binding != auth::base64(plus_ ? header_ + binding_ : header_))
    return malformed("the channel binding");
  const auto nonce = attribute(in, 'r');
  if (!nonce || !auth::constant_time_equal(*nonce, nonce_)) return malformed("the nonce");
  const std::size_t before_proof = client_final.size() - in.size();
  const auto proof_text = attribute(in, 'p');
  const auto proof = auth::from_base64(proof_text.value_or("?"));
  if (!proof || proof->size() != kKeySize || !in.empty()) return malformed("the proof");
  const std::string_view without_proof = client_final.substr(0, before_proof - 1);
  const std::string message =
      fmt::format("{},{},{}", client_first_bare_, server_first_, without_proof);
  server_first_.clear();  // one try
  keys_.client_key = exclusive_or(*proof, hmac(verifier_.stored_key, message));
  keys_.server_key = verifier_.server_key;
  const bool right =
      auth::constant_time_equal(text_of(auth::sha256(keys_.client_key)), verifier_.stored_key);
  if (!right || doomed_) return fail(Errc::unauthorized, "password authentication failed");
  return fmt::format("v={}", auth::base64(hmac(verifier_.server_key, message)));
}

}  // namespace headroom::postgres
