// headroom/net/authority_fixture.h - an authority of a test's own, for its certificates.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "headroom/net/tls.h"

namespace headroom::net {

// An authority that signs certificates into files of a directory of the test's own.
class Authority {
 public:
  explicit Authority(std::string name) : name_(std::move(name)), key_(EVP_EC_gen("P-256")) {
    char pattern[] = "/tmp/hr_tls_XXXXXX";
    folder_ = mkdtemp(pattern);
    cert_ = sign(name_, {}, key_, 30);
    std::ofstream(ca()) << pem(cert_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;
  ~Authority() {
    X509_free(cert_);
    EVP_PKEY_free(key_);
    std::filesystem::remove_all(folder_);
  }

  [[nodiscard]] std::string ca() const { return folder_ + "/ca.pem"; }
  [[nodiscard]] std::string path(const std::string& file) const { return folder_ + "/" + file; }

  // `alternatives` as in openssl.cnf: "DNS:a.test,IP:127.0.0.1".
  TlsCertificate issue(const std::string& file, const std::string& alternatives, int days = 30) {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* cert = sign(file, alternatives, key, days);
    const TlsCertificate paths{path(file + ".crt"), path(file + ".key")};
    std::ofstream(paths.cert) << pem(cert) << pem(cert_);
    std::ofstream(paths.key) << pem(key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return paths;
  }

 private:
  X509* sign(const std::string& name, const std::string& alternatives, EVP_PKEY* key, int days) {
    X509* cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial_);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400L * 2);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * days);
    X509_set_pubkey(cert, key);
    set_name(X509_get_subject_name(cert), name);
    set_name(X509_get_issuer_name(cert), name_);
    if (alternatives.empty()) {
      extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    } else {
      extend(cert, NID_subject_alt_name, alternatives.c_str());
    }
    X509_sign(cert, key_, EVP_sha256());
    return cert;
  }
  static void set_name(X509_NAME* to, const std::string& name) {
    X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  }
  static void extend(X509* cert, int nid, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static std::string drain(BIO* bio) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return text;
  }
  static std::string pem(X509* cert) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    return drain(bio);
  }
  static std::string pem(EVP_PKEY* key) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    return drain(bio);
  }

  std::string name_;
  std::string folder_;
  EVP_PKEY* key_;
  X509* cert_ = nullptr;
  long serial_ = 0;
};

}  // namespace headroom::net
