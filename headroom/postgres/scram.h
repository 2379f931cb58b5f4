// headroom/postgres/scram.h - SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677), both sides, and PostgreSQL's stored verifiers; md5 passwords.
//
// Owns: the exchange's state. Threads: none; derive_keys() takes milliseconds of CPU: not on a worker.
// Invariants: (1) secrets are compared in constant time; (2) a nonce that is not the peer's and ours, a step out of order or a field that is
//   missing ends the exchange; (3) an iteration count is 1 to kMostIterations (CVE-2026-6669), a server's nonce at most 1 KiB (CVE-2026-6665);
//   (4) the client side never takes a server for proven before it has verified its signature.
// Limits: passwords are used as their bytes, without SASLprep: a password beyond ASCII must be in the form it was set in.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "headroom/base/error.h"

typedef struct ssl_st SSL;

namespace headroom::postgres {

inline constexpr std::string_view kScram = "SCRAM-SHA-256";
inline constexpr std::string_view kScramPlus = "SCRAM-SHA-256-PLUS";
inline constexpr unsigned kMostIterations = 1'000'000;

// What proves a user to a server without the password; bound to one salt and count.
struct ScramKeys {
  std::string client_key;
  std::string server_key;
  bool operator==(const ScramKeys&) const = default;
};
// What a server keeps: SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>.
struct Verifier {
  unsigned iterations = 4096;
  std::string salt;
  std::string stored_key;
  std::string server_key;
  bool operator==(const Verifier&) const = default;
};

[[nodiscard]] ScramKeys derive_keys(std::string_view password, std::string_view salt,
                                    unsigned iterations);
// An empty salt: a random one.
[[nodiscard]] Verifier make_verifier(std::string_view password, std::string salt = {});
// Nothing when it is not one.
[[nodiscard]] std::optional<Verifier> parse_verifier(std::string_view text);
// The same for the same name and secret.
[[nodiscard]] std::string salt_of(std::string_view user, std::string_view secret);
// For a user that is not there: the same for the same name and secret, and nobody has its password.
[[nodiscard]] Verifier mock_verifier(std::string_view user, std::string_view secret);

// "md5" and 32 hexadecimal digits.
[[nodiscard]] std::string md5_of(std::string_view text);
[[nodiscard]] std::string md5_password(std::string_view user, std::string_view password);
[[nodiscard]] std::string md5_answer(std::string_view md5_password, std::string_view salt);

// RFC 5929 section 4.1, of the server's certificate; empty when there is none.
[[nodiscard]] std::string channel_binding(SSL* tls);

class ScramClient {
 public:
  // `binding`: channel_binding() where the server offers PLUS, else empty.
  explicit ScramClient(std::string binding);
  [[nodiscard]] std::string first() const;
  // What the server's first message asks for. Errc::protocol.
  struct Challenge {
    std::string salt;
    unsigned iterations = 0;
  };
  [[nodiscard]] Result<Challenge> challenge(std::string_view server_first);
  [[nodiscard]] std::string final(const ScramKeys& keys);
  // Errc::unauthorized when the server has not proven that it knows the password.
  [[nodiscard]] Result<> verify(std::string_view server_final) const;

 private:
  std::string header_;
  std::string binding_;
  std::string nonce_;
  std::string server_first_;
  std::string whole_nonce_;
  std::string expected_signature_;
};

class ScramServer {
 public:
  // `binding`: of our certificate, empty without TLS. `doomed`: the user does not exist; the exchange runs, and fails at its end.
  ScramServer(Verifier verifier, std::string binding, bool doomed)
      : verifier_(std::move(verifier)), binding_(std::move(binding)), doomed_(doomed) {}
  // The server's first message. Errc::protocol.
  [[nodiscard]] Result<std::string> first(std::string_view mechanism,
                                          std::string_view client_first);
  // The server's final message. Errc::protocol; unauthorized: the proof is wrong.
  [[nodiscard]] Result<std::string> final(std::string_view client_final);
  // After final(): what the client has shown.
  [[nodiscard]] const ScramKeys& keys() const { return keys_; }

 private:
  Verifier verifier_;
  std::string binding_;
  bool doomed_;
  bool plus_ = false;
  std::string header_;
  std::string client_first_bare_;
  std::string server_first_;
  std::string nonce_;
  ScramKeys keys_;
};

}  // namespace headroom::postgres
