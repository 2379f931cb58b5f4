// fuzz/jwt.cc - any bytes as a token, as claims with a good signature, as a JWK Set, as a PEM key, as a signed value.
//
// The first byte chooses: '0' the rest is a token; '1' the rest is claims, which are signed here, so that what lies behind
// the signature is reached; '2' a header and claims, split at the first line end, signed; '3' a JWK Set; '4' a PEM text;
// '5' a signed value; '6' a Host, an Origin and a Cookie, a line each.
#include "headroom/auth/jwt.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/auth/access.h"
#include "headroom/auth/crypto.h"
#include "headroom/auth/jwks.h"
#include "headroom/auth/source.h"
#include "headroom/base/assert.h"

namespace {

using namespace headroom;        // NOLINT(google-build-using-namespace)
using namespace headroom::auth;  // NOLINT(google-build-using-namespace)

constexpr WallTime kNow{std::chrono::seconds(1'800'000'000)};
const std::string kSecret(32, 's');

const JwtVerifier& verifier() {
  static const auto made = *JwtVerifier::make(
      {.issuer = "joe",
       .audience = {"ops"},
       .expiry = Expiry::optional,
       .roles = {{"a", Role::admin}}},
      {*Key::hmac(kSecret),
       *Key::p256(*from_base64url("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
                  *from_base64url("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"), "e"),
       *Key::ed25519(*from_base64url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))});
  return *made;
}

std::string signed_token(std::string_view header, std::string_view claims) {
  std::string text = base64url(header) + "." + base64url(claims);
  return text + "." + base64url(text_of(hmac_sha256(kSecret, text)));
}

// Nothing but a token signed with our key is ever accepted.
void check_token(std::string_view token) {
  const auto identity = verifier().identify(token, kNow);
  if (!identity) return;
  const auto dot = token.rfind('.');
  const Digest expected = hmac_sha256(kSecret, token.substr(0, dot));
  HR_ASSERT(base64url(text_of(expected)) == token.substr(dot + 1));
}

std::string_view line(std::string_view& rest) {
  const auto end = rest.find('\n');
  const auto text = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return text;
}

void check_source_lines(std::string_view rest) {
  static const std::vector<std::string> names{"ops.example.com"};
  const auto host = line(rest);
  const auto origin = line(rest);
  static_cast<void>(check_source({.act = Act::change, .host = host, .origin = origin}, names));
  static_cast<void>(cookie_in(rest, kSessionCookie));
  static_cast<void>(bearer_in(rest));
}

void check_signed_value(std::string_view text) {
  static const Signer signer = *Signer::make({kSecret});
  const auto value = signer.open("session", text, kNow);
  if (!value) return;
  const auto dot = text.find('.');
  HR_ASSERT(base64url(*value) == text.substr(0, dot));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case '0': check_token(rest); break;
    case '1': check_token(signed_token(R"({"alg":"HS256"})", rest)); break;
    case '2': {
      const auto header = line(rest);
      check_token(signed_token(header, rest));
      break;
    }
    case '3': static_cast<void>(parse_jwks(rest, SecretKeys::accepted)); break;
    case '4': static_cast<void>(Key::from_pem(rest)); break;
    case '5': check_signed_value(rest); break;
    case '6': check_source_lines(rest); break;
    default: break;
  }
  return 0;
}
