// headroom/postgres/login.h - logging in to a server: what it asks for is answered, or refused.
//
// Owns: the state of one login. Worker: any; no I/O: feed it each message, write what it answers.
// Invariants: (1) a password goes in clear over TLS only; (2) a server that asks in the wrong order ends the login; (3) success needs
//   AuthenticationOk, after SCRAM only once the server has proven itself.
// Limits: those of ScramClient.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/postgres/scram.h"

namespace headroom::postgres {

// What a user proves itself by; any of them may be empty.
struct Credentials {
  std::string user;
  std::string password;
  std::string md5;  // "md5..." as a server stores it
  std::optional<ScramKeys>
      keys;  // good where the server's verifier is the one they were derived from
};

enum class Transport : std::uint8_t { open, encrypted };  // a Unix socket counts as encrypted

class Login {
 public:
  // `binding`: channel_binding() of the connection.
  Login(const Credentials& who, Transport transport, std::string binding)
      : who_(who), transport_(transport), binding_(std::move(binding)) {}

  // The body of an authentication message; what it answers is appended to `out`. Errc::unauthorized, protocol.
  [[nodiscard]] Result<> take(std::string_view body, std::string& out);
  // Not empty when the keys for this challenge are needed first: then provide() goes on. derive_keys() makes them.
  [[nodiscard]] const std::optional<ScramClient::Challenge>& needs_keys() const {
    return challenge_;
  }
  void provide(const ScramKeys& keys, std::string& out);
  [[nodiscard]] bool ok() const { return step_ == Step::ok; }

 private:
  enum class Step : std::uint8_t {
    begun,
    password_sent,
    sasl_begun,
    sasl_answered,
    sasl_proven,
    ok
  };
  [[nodiscard]] Result<> begin_sasl(std::string_view mechanisms, std::string& out);
  [[nodiscard]] Result<> continue_sasl(std::string_view data, std::string& out);

  const Credentials& who_;
  const Transport transport_;
  const std::string binding_;
  Step step_ = Step::begun;
  std::optional<ScramClient> scram_;
  std::optional<ScramClient::Challenge> challenge_;
};

}  // namespace headroom::postgres
