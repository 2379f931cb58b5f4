#include "headroom/net/tls_socket.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

namespace headroom::net {
namespace {

struct Socket {
  int fd = -1;
  std::string received;  // not yet read by OpenSSL
};

Socket& socket_of(BIO* bio) { return *static_cast<Socket*>(BIO_get_data(bio)); }

bool would_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int write_socket(BIO* bio, const char* data, std::size_t size, std::size_t* written) {
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::send(socket_of(bio).fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n < 0) {
    if (would_wait()) BIO_set_retry_write(bio);
    return 0;
  }
  *written = static_cast<std::size_t>(n);
  return 1;
}

int read_socket(BIO* bio, char* data, std::size_t size, std::size_t* read) {
  BIO_clear_retry_flags(bio);
  Socket& socket = socket_of(bio);
  if (!socket.received.empty()) {
    *read = std::min(size, socket.received.size());
    std::memcpy(data, socket.received.data(), *read);
    socket.received.erase(0, *read);
    if (socket.received.empty()) socket.received.shrink_to_fit();
    return 1;
  }
  const ssize_t n = ::recv(socket.fd, data, size, MSG_DONTWAIT);
  if (n < 0) {
    if (would_wait()) BIO_set_retry_read(bio);
    return 0;
  }
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  *read = static_cast<std::size_t>(n);
  return n > 0 ? 1 : 0;
}

long control_socket(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  switch (command) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP: return 1;
    case BIO_CTRL_PENDING: return static_cast<long>(socket_of(bio).received.size());
    case BIO_CTRL_EOF: return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    default: return 0;
  }
}

int destroy_socket(BIO* bio) {
  delete static_cast<Socket*>(
      BIO_get_data(bio));  // NOLINT(cppcoreguidelines-owning-memory): the BIO owns it
  return 1;
}

struct FreeMethod {
  void operator()(BIO_METHOD* method) const { BIO_meth_free(method); }
};

const BIO_METHOD* socket_method() {
  static const std::unique_ptr<BIO_METHOD, FreeMethod> method = [] {
    std::unique_ptr<BIO_METHOD, FreeMethod> made(
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "headroom socket"));
    BIO_meth_set_write_ex(made.get(), write_socket);
    BIO_meth_set_read_ex(made.get(), read_socket);
    BIO_meth_set_ctrl(made.get(), control_socket);
    BIO_meth_set_destroy(made.get(), destroy_socket);
    return made;
  }();
  return method.get();
}

}  // namespace

bool attach_socket(SSL* tls, int fd, std::string_view received) {
  BIO* bio = BIO_new(socket_method());
  if (bio == nullptr) return false;
  auto socket = std::make_unique<Socket>(Socket{fd, std::string(received)});
  BIO_set_data(bio, socket.release());
  BIO_set_init(bio, 1);
  SSL_set_bio(tls, bio, bio);  // takes the BIO
  return true;
}

}  // namespace headroom::net
