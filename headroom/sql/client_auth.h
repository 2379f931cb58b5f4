// headroom/sql/client_auth.h - a client proves who it is: an explicit state machine over SCRAM-SHA-256(-PLUS) and md5; or a certificate, by which
// TLS has settled everything before the first message.
//
// Owns: the state of one login. Worker: any; no I/O: begin(), then each message of the client.
// Invariants: (1) only a password message is taken, each in its step, once; anything else ends the login (CVE-2026-107350: a second start-up
//   packet in the midst let one user become another); (2) an unknown user sees the same exchange as a known one and fails at its end;
//   (3) nothing is compared but in constant time.
// Limits: messages of kLongestMessage.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/postgres/scram.h"
#include "headroom/sql/options.h"

struct ssl_st;

namespace headroom::sql {

// What is known of a user's password: in clear, or as a server stores it.
struct Secret {
  std::string password{};
  std::string md5{};
  std::optional<postgres::Verifier> verifier{};  // also made of a password
  bool none = false;                             // no password at all: from the loopback only
};
// Reads "SCRAM-SHA-256$...", "md5...", or a password in clear: its verifier is made (milliseconds), with the salt that a mock exchange would show for that
// user, so that neither a restart nor the user's first login tells one from the other.
[[nodiscard]] Secret parse_secret(std::string_view text, std::string_view user,
                                  std::string_view mock_key);

// Of a name that nobody has: where some of those who are known are asked by md5, half of the others are, the same ones each time, so that the method
// tells nothing of a name.
[[nodiscard]] bool asks_by_md5(std::string_view user, std::string_view mock_key);

// The common name of the certificate that the client has shown, if our CA has signed it; else "". Also for null: no TLS.
[[nodiscard]] std::string certificate_name(const ssl_st* tls);
// Whether who has shown a certificate of that name may log in as `user`: by `users`, or where that is empty as the user of that name. What is said does not
// tell whether the user is known. Errc::unauthorized.
[[nodiscard]] Result<> check_certificate(const std::string& name, const std::string& user,
                                         bool is_known,
                                         const std::map<std::string, std::string>& users);

class ClientAuth {
 public:
  static constexpr std::uint64_t kLongestMessage = 64U << 10U;

  // `secret`: null for an unknown user, whose exchange is a mock one by `mock_key`. `binding`: postgres::channel_binding() of the connection.
  ClientAuth(std::string user, const Secret* secret, Auth preferred, std::string binding,
             std::string_view mock_key);

  void begin(std::string& out);
  // One message. True: the client is who it says. Errc::unauthorized, protocol.
  [[nodiscard]] Result<bool> take(char type, std::string_view body, std::string& out);
  // What it has shown of its keys, once done by SCRAM.
  [[nodiscard]] const std::optional<postgres::ScramKeys>& keys() const { return keys_; }

 private:
  enum class Step : std::uint8_t { begun, md5, scram_first, scram_final, ended };
  [[nodiscard]] Result<bool> take_md5(std::string_view body);
  [[nodiscard]] Result<bool> take_first(std::string_view body, std::string& out);
  [[nodiscard]] Result<bool> take_final(std::string_view body, std::string& out);

  const std::string user_;
  const std::string binding_;
  bool md5_;
  bool doomed_;
  std::string md5_secret_;
  std::string salt_;
  std::optional<postgres::ScramServer> scram_;
  std::optional<postgres::ScramKeys> keys_;
  Step step_ = Step::begun;
};

}  // namespace headroom::sql
