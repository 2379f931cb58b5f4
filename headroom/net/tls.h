// headroom/net/tls.h - who we are and whom we trust in TLS: the contexts that Stream::accept_tls and connect_tls use.
//
// Owns: one SSL_CTX a worker, with its own copies of certificates and keys, so that workers share no lock or counter. A connection
//   holds its context, so a replaced TlsServer may end while its connections go on.
// Worker: made anywhere; context(i) is for worker i alone.
// Invariants: (1) nothing changes once it is made: new certificates or ticket keys are a new TlsServer (a reload, a rotation); (2) a ticket
//   is good on every worker, and on every TlsServer and process that holds its key and asks the same of its clients; (3) a certificate
//   whose key does not fit never serves.
// Limits: 256 KiB a file; 256 sessions kept per TlsClient and worker; no renegotiation, no early data, no session cache.
//
//   auto keys = std::make_shared<const TlsTicketKeys>(TlsTicketKeys::fresh());
//   auto server = TlsServer::make(options, workers.size(), keys);                        // refuses with the file's path
//   co_await stream.accept_tls((*server)->context(worker.index()));
//   auto later = TlsServer::make(options, workers.size(), std::make_shared<const TlsTicketKeys>(keys->rotated()));
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/error.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace headroom::net {

// The keys that seal session tickets (RFC 5077 section 4, RFC 8446 4.6.1): the first seals, all of them open.
class TlsTicketKeys {
 public:
  static constexpr std::size_t kKeys = 3;
  // How long a ticket may be used. Keys rotated every kLifetime / 2 or more rarely keep a ticket good for all of it.
  static constexpr std::chrono::hours kLifetime{12};

  struct Key {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> aes;
    std::array<unsigned char, 32> hmac;
  };

  [[nodiscard]] static TlsTicketKeys fresh();
  // bytes() of another process, for a take-over. Errc::invalid.
  [[nodiscard]] static Result<TlsTicketKeys> parse(std::string_view bytes);
  TlsTicketKeys(const TlsTicketKeys&) = default;
  TlsTicketKeys& operator=(const TlsTicketKeys&) = default;
  ~TlsTicketKeys();  // wipes them

  // With a new first key; the oldest falls out.
  [[nodiscard]] TlsTicketKeys rotated() const;
  // Secret.
  [[nodiscard]] std::string bytes() const;
  [[nodiscard]] std::span<const Key, kKeys> keys() const { return keys_; }

 private:
  TlsTicketKeys() = default;
  std::array<Key, kKeys> keys_;
};

// PEM files: the certificate with its chain, and its key, not encrypted.
struct TlsCertificate {
  std::string cert;
  std::string key;
};

enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

enum class TlsClientCertificates : std::uint8_t {
  off,
  request,  // none is fine, a wrong one is not
  require,
};

struct TlsServerOptions {
  std::vector<TlsCertificate>
      certificates{};  // the first serves names that no other one has, and clients without SNI
  TlsVersion min_version = TlsVersion::v1_2;
  TlsClientCertificates client_certificates = TlsClientCertificates::off;
  std::string client_ca{};  // PEM file; needed unless off
  std::vector<std::string> alpn = {
      "http/1.1"};  // in our order; a client that offers only others is refused
};

// What a certificate says, for people and for alerts before it ends.
struct TlsCertificateInfo {
  std::string path;
  std::vector<std::string> names;  // its DNS names in small letters, "*.example.org" among them
  std::chrono::sys_seconds not_before;
  std::chrono::sys_seconds not_after;
};

class TlsServer {
 public:
  // Errc::invalid, not_found, unauthorized, with the file's path. A certificate that is not valid now is logged as a warning and used.
  [[nodiscard]] static Result<std::shared_ptr<const TlsServer>> make(
      const TlsServerOptions& options, std::size_t workers,
      const std::shared_ptr<const TlsTicketKeys>& keys);

  [[nodiscard]] SSL_CTX* context(std::size_t worker) const { return contexts_[worker].get(); }
  [[nodiscard]] std::span<const TlsCertificateInfo> certificates() const { return certificates_; }

 private:
  friend class TlsClient;
  struct Free {
    void operator()(SSL_CTX* context) const;
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;

  TlsServer() = default;
  std::vector<Context> contexts_;
  std::vector<TlsCertificateInfo> certificates_;
};

struct TlsClientOptions {
  bool verify = true;
  std::string ca{};         // PEM file; empty: the system's
  TlsCertificate client{};  // shown to a server that asks; empty: none
  TlsVersion min_version = TlsVersion::v1_2;
  std::vector<std::string> alpn = {"http/1.1"};
  bool resume = true;  // offer a server name's last session
};

class TlsClient {
 public:
  // Errors as TlsServer::make.
  [[nodiscard]] static Result<std::shared_ptr<const TlsClient>> make(
      const TlsClientOptions& options, std::size_t workers);

  [[nodiscard]] SSL_CTX* context(std::size_t worker) const { return contexts_[worker].get(); }

 private:
  TlsClient() = default;
  std::vector<TlsServer::Context> contexts_;
};

// Called by Stream before a client's handshake: offers the session kept under the name that the stream asks for.
void offer_tls_session(SSL* tls, const std::string& server_name);

}  // namespace headroom::net
