// headroom/net/tls_socket.h - OpenSSL's way to a socket: plain send and recv, without signals, after bytes that were read already.
//
// OpenSSL's own socket BIO writes with write(), which raises SIGPIPE when the peer has gone.
#pragma once

#include <string_view>

typedef struct ssl_st SSL;

namespace headroom::net {

// Lets `tls` work on `fd`, which stays the caller's. `received`: bytes that were read from it before, which come first. False: no memory.
[[nodiscard]] bool attach_socket(SSL* tls, int fd, std::string_view received);

}  // namespace headroom::net
