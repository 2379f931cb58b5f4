#include "headroom/net/tls.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <unordered_map>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"

namespace headroom::net {
namespace {

constexpr std::size_t kMaxFileBytes = 256U << 10U;
constexpr std::size_t kMaxSessions = 256;
constexpr std::chrono::days kWarnBefore{7};
constexpr const char* kCiphers12 = "ECDHE+AESGCM:ECDHE+CHACHA20";  // those of 1.3 are OpenSSL's own

template <auto Function>
struct FreeBy {
  template <class T>
  void operator()(T* object) const {
    Function(object);
  }
};
void free_stack(STACK_OF(X509) * stack) { sk_X509_pop_free(stack, X509_free); }

using X509Pointer = std::unique_ptr<X509, FreeBy<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, FreeBy<EVP_PKEY_free>>;
using BioPointer = std::unique_ptr<BIO, FreeBy<BIO_free>>;
using ChainPointer = std::unique_ptr<STACK_OF(X509), FreeBy<free_stack>>;
using CipherPointer = std::unique_ptr<EVP_CIPHER, FreeBy<EVP_CIPHER_free>>;
using SessionPointer = std::unique_ptr<SSL_SESSION, FreeBy<SSL_SESSION_free>>;

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown failure" : reason;
}

std::unexpected<Error> refused(const std::string& path, std::string_view what) {
  return fail(Errc::invalid, path + ": " + std::string(what) + " (" + openssl_reason() + ")");
}

// --- files ---

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::unexpected(system_error(path, errno));
  std::string content(kMaxFileBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad()) return std::unexpected(system_error(path, EIO));
  content.resize(static_cast<std::size_t>(file.gcount()));
  if (content.size() > kMaxFileBytes) return fail(Errc::invalid, path + ": larger than 256 KiB");
  return content;
}

BioPointer reading(const std::string& pem) {
  BioPointer bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  HR_ASSERT(bio != nullptr);
  return bio;
}

// A key that needs a passphrase is refused instead of asking a terminal for it.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*data*/) { return -1; }

// The texts of a certificate and its key, read once; each worker parses its own objects from them.
struct PemPair {
  TlsCertificate paths;
  std::string cert;
  std::string key;
  ~PemPair() { OPENSSL_cleanse(key.data(), key.size()); }
};

Result<std::unique_ptr<PemPair>> read_pair(const TlsCertificate& paths) {
  auto cert = read_file(paths.cert);
  if (!cert) return pass(cert, "certificate");
  auto key = read_file(paths.key);
  if (!key) return pass(key, "private key");
  return std::make_unique<PemPair>(PemPair{paths, std::move(*cert), std::move(*key)});
}

struct Identity {
  X509Pointer cert;
  ChainPointer chain;
  KeyPointer key;
};

Result<Identity> parse_identity(const PemPair& pem) {
  ERR_clear_error();
  Identity identity;
  const BioPointer certs = reading(pem.cert);
  identity.cert.reset(PEM_read_bio_X509_AUX(certs.get(), nullptr, no_passphrase, nullptr));
  if (!identity.cert) return refused(pem.paths.cert, "holds no certificate in PEM form");
  identity.chain.reset(sk_X509_new_null());
  while (X509* next = PEM_read_bio_X509(certs.get(), nullptr, no_passphrase, nullptr)) {
    sk_X509_push(identity.chain.get(), next);
  }
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
    return refused(pem.paths.cert, "its chain holds what is no certificate");
  }
  ERR_clear_error();
  identity.key.reset(
      PEM_read_bio_PrivateKey(reading(pem.key).get(), nullptr, no_passphrase, nullptr));
  if (!identity.key)
    return refused(pem.paths.key, "holds no private key in PEM form that needs no passphrase");
  if (X509_check_private_key(identity.cert.get(), identity.key.get()) != 1) {
    return refused(pem.paths.key, "is not the key of " + pem.paths.cert);
  }
  return identity;
}

// --- what a certificate says ---

std::chrono::sys_seconds time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  return std::chrono::sys_seconds(std::chrono::seconds(timegm(&parts)));
}

std::vector<std::string> names_of(X509* cert) {
  std::vector<std::string> names;
  auto* all =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    const auto* text = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
    names.push_back(
        text::lowered({text, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName))}));
  }
  GENERAL_NAMES_free(all);
  return names;
}

TlsCertificateInfo describe(const std::string& path, X509* cert) {
  return {path, names_of(cert), time_of(X509_get0_notBefore(cert)),
          time_of(X509_get0_notAfter(cert))};
}

void warn_of_dates(const TlsCertificateInfo& info) {
  const auto now = std::chrono::system_clock::now();
  const auto hours = [](auto time) {
    return std::chrono::duration_cast<std::chrono::hours>(time).count();
  };
  if (info.not_after <= now) {
    log::warn("net", "certificate {} has expired {} hours ago", info.path,
              hours(now - info.not_after));
  } else if (info.not_before > now) {
    log::warn("net", "certificate {} is not valid for another {} hours", info.path,
              hours(info.not_before - now));
  } else if (info.not_after - now < kWarnBefore) {
    log::warn("net", "certificate {} expires in {} hours", info.path, hours(info.not_after - now));
  }
}

// --- what a context carries with it ---

// Lives as long as its SSL_CTX, which a connection keeps beyond its TlsServer's end.
struct Attached {
  std::vector<Identity> identities;
  // Names, and wildcards as ".example.org", to the identities that have them: one of each kind of key.
  std::unordered_map<std::string, std::vector<std::size_t>> by_name;
  std::string alpn;  // as on the wire: length, name, length, name
  std::shared_ptr<const TlsTicketKeys> tickets;
  CipherPointer aes;
  std::unordered_map<std::string, SessionPointer> sessions;  // a client's, by server name
};

void free_attached(void* /*parent*/, void* attached, CRYPTO_EX_DATA* /*data*/, int /*index*/,
                   long /*number*/, void* /*pointer*/) {
  delete static_cast<Attached*>(
      attached);  // NOLINT(cppcoreguidelines-owning-memory): the context owns it
}

int attached_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, free_attached);
  return index;
}

Attached* attached_to(const SSL_CTX* context) {
  return static_cast<Attached*>(SSL_CTX_get_ex_data(context, attached_index()));
}

Attached& attach(SSL_CTX* context) {
  auto attached = std::make_unique<Attached>();
  HR_ASSERT(SSL_CTX_set_ex_data(context, attached_index(), attached.get()) == 1);
  return *attached.release();
}

Result<> set_alpn(Attached& to, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255)
      return fail(Errc::invalid, "an ALPN name has 1 to 255 bytes");
    to.alpn += static_cast<char>(name.size());
    to.alpn += name;
  }
  return {};
}

int choose_alpn(SSL* tls, const unsigned char** out, unsigned char* size,
                const unsigned char* offered, unsigned int offered_size, void* /*argument*/) {
  const std::string& ours = attached_to(SSL_get_SSL_CTX(tls))->alpn;
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned int>(ours.size()), offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

// --- choosing a certificate by the client's SNI ---

void index_names(Attached& to, std::size_t identity) {
  const int kind = EVP_PKEY_get_base_id(to.identities[identity].key.get());
  for (std::string name : names_of(to.identities[identity].cert.get())) {
    if (name.starts_with("*.")) name.erase(0, 1);
    auto& with_name = to.by_name[name];
    const bool has_kind = std::ranges::any_of(with_name, [&](std::size_t other) {
      return EVP_PKEY_get_base_id(to.identities[other].key.get()) == kind;
    });
    if (!has_kind) with_name.push_back(identity);
  }
}

const std::vector<std::size_t>* identities_for(const Attached& from, std::string_view server_name) {
  std::string name = text::lowered(server_name);
  if (name.ends_with('.')) name.pop_back();
  if (const auto exact = from.by_name.find(name); exact != from.by_name.end())
    return &exact->second;
  const auto dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return nullptr;
  const auto wildcard = from.by_name.find(name.substr(dot));
  return wildcard == from.by_name.end() ? nullptr : &wildcard->second;
}

int choose_certificate(SSL* tls, void* argument) {
  const Attached& attached = *static_cast<const Attached*>(argument);
  const char* name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
  const auto* chosen = name == nullptr ? nullptr : identities_for(attached, name);
  if (chosen == nullptr || (chosen->size() == 1 && chosen->front() == 0))
    return 1;  // the context's own
  SSL_certs_clear(tls);
  for (const std::size_t i : *chosen) {
    const Identity& identity = attached.identities[i];
    if (SSL_use_cert_and_key(tls, identity.cert.get(), identity.key.get(), identity.chain.get(),
                             1) != 1)
      return 0;
  }
  return 1;
}

// Acknowledged, so that a ticket remembers its name and is not used for another.
int note_server_name(SSL* /*tls*/, int* /*alert*/, void* /*argument*/) { return SSL_TLSEXT_ERR_OK; }

// --- tickets ---

bool set_up_ticket(const Attached& attached, const TlsTicketKeys::Key& key, const unsigned char* iv,
                   EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, int sealing) {
  std::array<OSSL_PARAM, 3> parameters{
      OSSL_PARAM_construct_octet_string(
          OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.hmac.data()), key.hmac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, const_cast<char*>("SHA256"), 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters.data()) == 1 &&
         EVP_CipherInit_ex2(cipher, attached.aes.get(), key.aes.data(), iv, sealing, nullptr) == 1;
}

// SSL_CTX_set_tlsext_ticket_key_evp_cb(3): -1 error, 0 unknown key, 1 good, 2 good but seal a new one.
int ticket_key(SSL* tls, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
               EVP_MAC_CTX* mac, int sealing) {
  const Attached& attached = *attached_to(SSL_get_SSL_CTX(tls));
  const auto keys = attached.tickets->keys();
  if (sealing == 1) {
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(attached.aes.get())) != 1) return -1;
    std::memcpy(name, keys[0].name.data(), keys[0].name.size());
    return set_up_ticket(attached, keys[0], iv, cipher, mac, 1) ? 1 : -1;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (std::memcmp(name, keys[i].name.data(), keys[i].name.size()) != 0) continue;
    if (!set_up_ticket(attached, keys[i], iv, cipher, mac, 0)) return -1;
    // A ticket of TLS 1.3 is used once, so its use must bring another.
    return i == 0 && SSL_version(tls) != TLS1_3_VERSION ? 1 : 2;
  }
  return 0;
}

// --- contexts ---

Result<SSL_CTX*> new_context(const SSL_METHOD* method, TlsVersion least) {
  SSL_CTX* context = SSL_CTX_new(method);
  if (context == nullptr) return fail(Errc::internal, "SSL_CTX_new: " + openssl_reason());
  SSL_CTX_set_min_proto_version(context,
                                least == TlsVersion::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(context, kCiphers12);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  return context;
}

Result<> use_identity(SSL_CTX* context, const Identity& identity, const std::string& path) {
  if (SSL_CTX_use_cert_and_key(context, identity.cert.get(), identity.key.get(),
                               identity.chain.get(), 1) != 1) {
    return refused(path, "cannot be used");
  }
  return {};
}

Result<> trust(SSL_CTX* context, const std::string& pem, const std::string& path) {
  const BioPointer bio = reading(pem);
  std::size_t count = 0;
  while (X509* read = PEM_read_bio_X509(bio.get(), nullptr, no_passphrase, nullptr)) {
    const X509Pointer authority(read);
    ++count;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get()) != 1 ||
        SSL_CTX_add_client_CA(context, authority.get()) != 1) {
      return refused(path, "holds an unusable certificate");
    }
  }
  if (count == 0) return refused(path, "holds no certificate in PEM form");
  ERR_clear_error();
  return {};
}

// Tickets made under another rule for clients must not get around this one: their session id context differs.
void set_session_id_context(SSL_CTX* context, const TlsServerOptions& options,
                            const std::string& client_ca) {
  const std::string rule =
      std::to_string(static_cast<int>(options.client_certificates)) + client_ca;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(rule.data()), rule.size(), digest.data());
  static_assert(SHA256_DIGEST_LENGTH <= SSL_MAX_SID_CTX_LENGTH);
  SSL_CTX_set_session_id_context(context, digest.data(), digest.size());
}

// The files of a server, read once.
struct ServerFiles {
  std::vector<std::unique_ptr<PemPair>> pairs;
  std::string client_ca;
};

Result<ServerFiles> read_server_files(const TlsServerOptions& options) {
  if (options.certificates.empty()) return fail(Errc::invalid, "TLS needs a certificate");
  ServerFiles files;
  for (const TlsCertificate& paths : options.certificates) {
    auto pair = read_pair(paths);
    if (!pair) return pass(pair);
    files.pairs.push_back(std::move(*pair));
  }
  if (options.client_certificates != TlsClientCertificates::off) {
    if (options.client_ca.empty())
      return fail(Errc::invalid, "client certificates need a client CA file");
    auto pem = read_file(options.client_ca);
    if (!pem) return pass(pem, "client CA");
    files.client_ca = std::move(*pem);
  }
  return files;
}

Result<> check_clients(SSL_CTX* context, const TlsServerOptions& options,
                       const std::string& client_ca) {
  set_session_id_context(context, options, client_ca);
  if (options.client_certificates == TlsClientCertificates::off) return {};
  const bool required = options.client_certificates == TlsClientCertificates::require;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return trust(context, client_ca, options.client_ca);
}

void use_tickets(SSL_CTX* context, Attached& attached,
                 const std::shared_ptr<const TlsTicketKeys>& keys) {
  attached.tickets = keys;
  attached.aes.reset(EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr));
  HR_ASSERT(attached.aes != nullptr);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ticket_key);
  SSL_CTX_set_timeout(context, std::chrono::seconds(TlsTicketKeys::kLifetime).count());
}

Result<> set_up_server(SSL_CTX* context, const TlsServerOptions& options, const ServerFiles& files,
                       const std::shared_ptr<const TlsTicketKeys>& keys) {
  Attached& attached = attach(context);
  for (const auto& pair : files.pairs) {
    auto identity = parse_identity(*pair);
    if (!identity) return pass(identity);
    attached.identities.push_back(std::move(*identity));
    index_names(attached, attached.identities.size() - 1);
  }
  if (auto used = use_identity(context, attached.identities[0], files.pairs[0]->paths.cert); !used)
    return used;
  SSL_CTX_set_cert_cb(context, choose_certificate, &attached);
  SSL_CTX_set_tlsext_servername_callback(context, note_server_name);
  if (auto set = set_alpn(attached, options.alpn); !set) return set;
  if (!attached.alpn.empty()) SSL_CTX_set_alpn_select_cb(context, choose_alpn, nullptr);
  use_tickets(context, attached, keys);
  return check_clients(context, options, files.client_ca);
}

// --- a client's sessions: the last one of each server name ---

int keep_session(SSL* tls, SSL_SESSION* session) {
  const char* name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
  Attached* attached = attached_to(SSL_get_SSL_CTX(tls));
  if (name == nullptr || attached == nullptr) return 0;
  auto& sessions = attached->sessions;
  if (sessions.size() >= kMaxSessions && !sessions.contains(name)) sessions.erase(sessions.begin());
  sessions[name].reset(session);
  return 1;  // ours now
}

Result<> set_up_client(SSL_CTX* context, const TlsClientOptions& options, const std::string& ca,
                       const PemPair* own) {
  Attached& attached = attach(context);
  if (auto set = set_alpn(attached, options.alpn); !set) return set;
  SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(attached.alpn.data()),
                          static_cast<unsigned int>(attached.alpn.size()));
  if (options.verify) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    if (options.ca.empty()) {
      SSL_CTX_set_default_verify_paths(context);
    } else if (auto trusted = trust(context, ca, options.ca); !trusted) {
      return trusted;
    }
  }
  if (options.resume) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
  }
  if (own == nullptr) return {};
  auto identity = parse_identity(*own);
  if (!identity) return pass(identity);
  return use_identity(context, *identity, own->paths.cert);
}

}  // namespace

TlsTicketKeys TlsTicketKeys::fresh() {
  TlsTicketKeys keys;
  for (Key& key : keys.keys_) {
    HR_ASSERT(RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) == 1);
    HR_ASSERT(RAND_priv_bytes(key.aes.data(), static_cast<int>(key.aes.size())) == 1);
    HR_ASSERT(RAND_priv_bytes(key.hmac.data(), static_cast<int>(key.hmac.size())) == 1);
  }
  return keys;
}

TlsTicketKeys::~TlsTicketKeys() { OPENSSL_cleanse(keys_.data(), sizeof keys_); }

TlsTicketKeys TlsTicketKeys::rotated() const {
  TlsTicketKeys keys = fresh();
  std::copy_n(keys_.begin(), kKeys - 1, keys.keys_.begin() + 1);
  return keys;
}

std::string TlsTicketKeys::bytes() const {
  static_assert(sizeof keys_ == kKeys * 80);
  return {reinterpret_cast<const char*>(keys_.data()), sizeof keys_};
}

Result<TlsTicketKeys> TlsTicketKeys::parse(std::string_view bytes) {
  TlsTicketKeys keys;
  if (bytes.size() != sizeof keys.keys_)
    return fail(Errc::invalid, "ticket keys have another size");
  std::memcpy(keys.keys_.data(), bytes.data(), bytes.size());
  return keys;
}

void TlsServer::Free::operator()(SSL_CTX* context) const { SSL_CTX_free(context); }

Result<std::shared_ptr<const TlsServer>> TlsServer::make(
    const TlsServerOptions& options, std::size_t workers,
    const std::shared_ptr<const TlsTicketKeys>& keys) {
  HR_ASSERT(keys != nullptr);
  auto files = read_server_files(options);
  if (!files) return pass(files, "TLS");
  std::shared_ptr<TlsServer> server(new TlsServer);
  for (std::size_t i = 0; i < workers; ++i) {
    auto context = new_context(TLS_server_method(), options.min_version);
    if (!context) return pass(context);
    server->contexts_.emplace_back(*context);
    if (auto done = set_up_server(*context, options, *files, keys); !done) return pass(done, "TLS");
  }
  if (workers > 0) {
    const auto& identities = attached_to(server->context(0))->identities;
    for (std::size_t i = 0; i < identities.size(); ++i) {
      server->certificates_.push_back(
          describe(options.certificates[i].cert, identities[i].cert.get()));
      warn_of_dates(server->certificates_.back());
    }
  }
  return server;
}

Result<std::shared_ptr<const TlsClient>> TlsClient::make(const TlsClientOptions& options,
                                                         std::size_t workers) {
  std::string ca;
  if (options.verify && !options.ca.empty()) {
    auto pem = read_file(options.ca);
    if (!pem) return pass(pem, "TLS: CA");
    ca = std::move(*pem);
  }
  std::unique_ptr<PemPair> own;
  if (!options.client.cert.empty()) {
    auto pair = read_pair(options.client);
    if (!pair) return pass(pair, "TLS");
    own = std::move(*pair);
  }
  std::shared_ptr<TlsClient> client(new TlsClient);
  for (std::size_t i = 0; i < workers; ++i) {
    auto context = new_context(TLS_client_method(), options.min_version);
    if (!context) return pass(context);
    client->contexts_.emplace_back(*context);
    if (auto done = set_up_client(*context, options, ca, own.get()); !done)
      return pass(done, "TLS");
  }
  return client;
}

void offer_tls_session(SSL* tls, const std::string& server_name) {
  Attached* attached = attached_to(SSL_get_SSL_CTX(tls));
  if (attached == nullptr) return;  // a context that is not ours
  const auto found = attached->sessions.find(server_name);
  if (found == attached->sessions.end()) return;
  // A ticket of TLS 1.3 is used once (RFC 8446 C.4) and its use brings another; one of 1.2 is used again. A copy is used, since OpenSSL
  // spoils a session that is renewed.
  SSL_SESSION* const kept = found->second.get();
  const SessionPointer session(SSL_SESSION_dup(kept));
  if (session && SSL_SESSION_is_resumable(session.get()) == 1) SSL_set_session(tls, session.get());
  if (SSL_SESSION_get_protocol_version(kept) == TLS1_3_VERSION) attached->sessions.erase(found);
}

}  // namespace headroom::net
