#include "headroom/sql/client_auth.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "headroom/auth/crypto.h"
#include "headroom/pgwire/messages.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kMd5Text = 35;  // "md5" and 32 digits

std::unexpected<Error> refused(const std::string& user) {
  return fail(Errc::unauthorized,
              fmt::format("password authentication failed for user \"{}\"", user));
}

}  // namespace

Secret parse_secret(std::string_view text, std::string_view user, std::string_view mock_key) {
  if (text.empty()) return {.none = true};
  if (auto verifier = postgres::parse_verifier(text)) return {.verifier = std::move(verifier)};
  if (text.size() == kMd5Text && text.starts_with("md5") &&
      text.find_first_not_of("0123456789abcdef", 3) == std::string_view::npos)
    return {.md5 = std::string(text)};
  return {.password = std::string(text),
          .verifier = postgres::make_verifier(text, postgres::salt_of(user, mock_key))};
}

bool asks_by_md5(std::string_view user, std::string_view mock_key) {
  const std::string never_shown = postgres::mock_verifier(user, mock_key).stored_key;
  return (static_cast<unsigned char>(never_shown.front()) & 1U) != 0;
}

// A name with a NUL in it is none: it would look like another one to whoever stops there (CVE-2009-4034).
std::string certificate_name(const ssl_st* tls) {
  if (tls == nullptr || SSL_get_verify_result(tls) != X509_V_OK) return {};
  const std::unique_ptr<X509, decltype(&X509_free)> shown(SSL_get1_peer_certificate(tls),
                                                          &X509_free);
  if (!shown) return {};
  X509_NAME* const subject = X509_get_subject_name(shown.get());
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  // Of several none counts: which one is meant is not said.
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* text = nullptr;
  const int size =
      ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size <= 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  return name.find('\0') == std::string::npos ? name : std::string();
}

Result<> check_certificate(const std::string& name, const std::string& user, bool is_known,
                           const std::map<std::string, std::string>& users) {
  if (name.empty())
    return fail(Errc::unauthorized,
                "a login takes TLS with a certificate of the client's (sql.auth)");
  const auto mapped = users.find(name);
  const bool is_its =
      users.empty() ? name == user : mapped != users.end() && mapped->second == user;
  if (is_its && is_known) return {};
  return fail(Errc::unauthorized,
              fmt::format("certificate authentication failed for user \"{}\"", user));
}

ClientAuth::ClientAuth(std::string user, const Secret* secret, Auth preferred, std::string binding,
                       std::string_view mock_key)
    : user_(std::move(user)),
      binding_(std::move(binding)),
      md5_(preferred == Auth::md5),
      doomed_(secret == nullptr) {
  // Of a password in clear both can be asked; of what a server stores, only its own kind.
  if (secret != nullptr && secret->password.empty()) md5_ = !secret->md5.empty();
  if (secret != nullptr && md5_)
    md5_secret_ =
        secret->md5.empty() ? postgres::md5_password(user_, secret->password) : secret->md5;
  if (secret == nullptr) md5_secret_ = postgres::md5_password(user_, auth::random_bytes(16));
  if (md5_) return;
  if (secret != nullptr && !secret->verifier) doomed_ = true;
  auto verifier = doomed_ ? postgres::mock_verifier(user_, mock_key) : *secret->verifier;
  scram_.emplace(std::move(verifier), binding_, doomed_);
}

void ClientAuth::begin(std::string& out) {
  if (md5_) {
    step_ = Step::md5;
    salt_ = auth::random_bytes(4);
    return pgwire::append_auth(out, pgwire::Auth::md5, salt_);
  }
  step_ = Step::scram_first;
  std::string mechanisms;
  if (!binding_.empty()) mechanisms += std::string(postgres::kScramPlus) + '\0';
  mechanisms += std::string(postgres::kScram) + '\0';
  mechanisms += '\0';
  pgwire::append_auth(out, pgwire::Auth::sasl, mechanisms);
}

Result<bool> ClientAuth::take(char type, std::string_view body, std::string& out) {
  const Step step = std::exchange(step_, Step::ended);
  if (type != pgwire::from_client::kPassword || body.size() > kLongestMessage)
    return fail(Errc::protocol, "expected a password message");
  switch (step) {
    case Step::md5: return take_md5(body);
    case Step::scram_first: return take_first(body, out);
    case Step::scram_final: return take_final(body, out);
    default: return fail(Errc::protocol, "the login has ended already");
  }
}

Result<bool> ClientAuth::take_md5(std::string_view body) {
  pgwire::Reader in(body);
  const std::string_view answer = in.text();
  if (!in.done()) return fail(Errc::protocol, "malformed password message");
  const bool right = auth::constant_time_equal(answer, postgres::md5_answer(md5_secret_, salt_));
  if (!right || doomed_) return refused(user_);
  return true;
}

Result<bool> ClientAuth::take_first(std::string_view body, std::string& out) {
  pgwire::Reader in(body);
  const std::string_view mechanism = in.text();
  const std::uint32_t size = in.u32();
  const std::string_view first = in.bytes(size);
  if (!in.done()) return fail(Errc::protocol, "malformed SASL message");
  auto answer = scram_->first(mechanism, first);
  if (!answer) return pass(answer);
  step_ = Step::scram_final;
  pgwire::append_auth(out, pgwire::Auth::sasl_continue, *answer);
  return false;
}

Result<bool> ClientAuth::take_final(std::string_view body, std::string& out) {
  auto answer = scram_->final(body);
  if (!answer && answer.error().code == Errc::unauthorized) return refused(user_);
  if (!answer) return pass(answer);
  keys_ = scram_->keys();
  pgwire::append_auth(out, pgwire::Auth::sasl_final, *answer);
  return true;
}

}  // namespace headroom::sql
