#include "headroom/net/stream.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/buffer.hpp>
#include <cerrno>
#include <cstring>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"

namespace headroom::net {
namespace {

constexpr std::size_t kTlsRecord = 16U << 10U;

void send_at_once(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

std::string tls_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "connection closed";
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown failure";
}

}  // namespace

void Gather::advance(std::size_t written) {
  left_ -= written;
  while (written > 0) {
    iovec& piece = pieces_[first_];
    if (written < piece.iov_len) {
      piece.iov_base = static_cast<char*>(piece.iov_base) + written;
      piece.iov_len -= written;
      return;
    }
    written -= piece.iov_len;
    ++first_;
  }
}

void Stream::FreeTls::operator()(SSL* tls) const { SSL_free(tls); }

Stream::Stream(TaskGroup& group, int fd, int family)
    : Stoppable(group),
      WheelEntry(group.worker().wheel()),
      socket_(group.worker().context(), asio::generic::stream_protocol(family, 0), fd) {
  if (family != AF_UNIX) send_at_once(fd);
  if (group.stopped()) abort(Errc::cancelled);
}

Stream::~Stream() { close(); }

Task<Result<std::unique_ptr<Stream>>> Stream::connect(TaskGroup& group, const Endpoint& to,
                                                      TimePoint deadline) {
  if (group.stopped()) co_return fail(Errc::cancelled, "stopped");
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return std::unexpected(system_error("socket", errno));
  auto stream = std::make_unique<Stream>(group, fd, to.family());
  if (::connect(fd, to.data(), to.size()) == 0) co_return stream;
  if (errno != EINPROGRESS) co_return std::unexpected(system_error("connect to " + to.to_string(), errno));
  stream->expire_at(deadline);
  if (auto waited = co_await stream->wait_writable(); !waited) {
    co_return pass(waited, "connect to " + to.to_string());
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return std::unexpected(system_error("connect to " + to.to_string(), error));
  stream->expire_at(kNever);
  co_return stream;
}

void Stream::expire_at(TimePoint due) {
  timed_out_ = false;
  WheelEntry::set(due);
}

void Stream::expired() {
  timed_out_ = true;
  wake();
}

void Stream::abort(Errc why) {
  if (!aborted_) why_ = why;
  aborted_ = true;
  wake();
}

void Stream::wake() {
  boost::system::error_code ignored;
  socket_.cancel(ignored);
}

std::unexpected<Error> Stream::why() const {
  if (aborted_) return fail(why_, why_ == Errc::cancelled ? "stopped" : "aborted");
  return fail(Errc::timeout, "deadline passed");
}

std::unexpected<Error> Stream::failure(const boost::system::error_code& code) const {
  if (failed()) return why();
  return std::unexpected(system_error("connection", code.value()));
}

Task<Result<std::size_t>> Stream::read_some(std::span<char> into) {
  if (failed()) co_return why();
  if (tls_) co_return co_await read_tls(into);
  const asio::mutable_buffer buffer(into.data(), into.size());
  const auto [code, bytes] = co_await socket_.async_receive(buffer, kToken);
  if (!code) co_return bytes;
  if (code == asio::error::eof) co_return std::size_t{0};
  co_return failure(code);
}

Task<Result<>> Stream::wait_readable() {
  if (failed()) co_return why();
  if (tls_ && SSL_pending(tls_.get()) > 0) co_return Result<>{};
  const auto [code] = co_await socket_.async_wait(Socket::wait_read, kToken);
  if (failed()) co_return why();
  if (code) co_return failure(code);
  co_return Result<>{};
}

Task<Result<>> Stream::wait_writable() {
  if (failed()) co_return why();
  const auto [code] = co_await socket_.async_wait(Socket::wait_write, kToken);
  if (failed()) co_return why();
  if (code) co_return failure(code);
  co_return Result<>{};
}

Result<bool> Stream::write_now(Gather& data) {
  if (failed()) return why();
  if (tls_) return write_tls(data);
  while (data.left() > 0) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(data.pieces().data());
    message.msg_iovlen = data.pieces().size();
    const ssize_t written = ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      return std::unexpected(system_error("connection", errno));
    }
    data.advance(static_cast<std::size_t>(written));
  }
  return true;
}

Task<Result<>> Stream::write(Gather& data) {
  for (;;) {
    auto done = write_now(data);
    if (!done) co_return pass(done);
    if (*done) co_return Result<>{};
    if (auto waited = co_await wait_writable(); !waited) co_return waited;
  }
}

Task<Result<>> Stream::write(std::string_view data) {
  Gather gather;
  gather.add(data);
  co_return co_await write(gather);
}

void Stream::finish_writing() {
  if (!socket_.is_open()) return;
  if (tls_ && !tls_broken_) SSL_shutdown(tls_.get());
  ::shutdown(native(), SHUT_WR);
}

bool Stream::idle_and_open() {
  if (failed() || (tls_ && SSL_pending(tls_.get()) > 0)) return false;
  char byte = 0;
  const ssize_t n = ::recv(native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool Stream::broken() {
  int error = 0;
  socklen_t size = sizeof error;
  return failed() || getsockopt(native(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0;
}

void Stream::close() {
  WheelEntry::clear();
  boost::system::error_code ignored;
  socket_.close(ignored);
}

// --- TLS: OpenSSL works on the socket itself, so that an idle connection holds neither BIO nor record buffers. ---

Task<Result<>> Stream::accept_tls(SSL_CTX* context) {
  tls_.reset(SSL_new(context));
  if (!tls_ || SSL_set_fd(tls_.get(), native()) != 1) co_return fail(Errc::internal, tls_reason());
  SSL_set_accept_state(tls_.get());
  co_return co_await handshake();
}

Task<Result<>> Stream::connect_tls(SSL_CTX* context, std::string_view server_name) {
  tls_.reset(SSL_new(context));
  if (!tls_ || SSL_set_fd(tls_.get(), native()) != 1) co_return fail(Errc::internal, tls_reason());
  const std::string name(server_name);
  if (IpAddress::parse(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), name.c_str());
  } else {
    SSL_set_tlsext_host_name(tls_.get(), name.c_str());
    SSL_set1_host(tls_.get(), name.c_str());
  }
  SSL_set_connect_state(tls_.get());
  co_return co_await handshake();
}

Task<Result<>> Stream::handshake() {
  for (;;) {
    if (failed()) co_return why();
    ERR_clear_error();
    const int done = SSL_do_handshake(tls_.get());
    if (done == 1) co_return Result<>{};
    const int error = SSL_get_error(tls_.get(), done);
    auto waited = co_await wait_for_tls(error);
    if (!waited) co_return pass(waited, "TLS handshake");
  }
}

Task<Result<>> Stream::wait_for_tls(int tls_error) {
  if (tls_error == SSL_ERROR_WANT_READ) {
    const auto [code] = co_await socket_.async_wait(Socket::wait_read, kToken);
    if (failed()) co_return why();
    if (code) co_return failure(code);
    co_return Result<>{};
  }
  if (tls_error == SSL_ERROR_WANT_WRITE) co_return co_await wait_writable();
  tls_broken_ = true;
  if (tls_error == SSL_ERROR_SYSCALL && errno != 0 && ERR_peek_error() == 0) {
    co_return std::unexpected(system_error("connection", errno));
  }
  co_return fail(Errc::protocol, tls_reason());
}

Task<Result<std::size_t>> Stream::read_tls(std::span<char> into) {
  for (;;) {
    if (failed()) co_return why();
    ERR_clear_error();
    errno = 0;
    std::size_t bytes = 0;
    const int done = SSL_read_ex(tls_.get(), into.data(), into.size(), &bytes);
    if (done == 1) co_return bytes;
    const int error = SSL_get_error(tls_.get(), done);
    if (error == SSL_ERROR_ZERO_RETURN) co_return std::size_t{0};
    auto waited = co_await wait_for_tls(error);
    if (!waited) co_return pass(waited);
  }
}

Result<bool> Stream::write_tls(Gather& data) {
  std::array<char, kTlsRecord> joined;
  while (data.left() > 0) {
    // Small pieces share a record; after a refusal the same bytes are offered again, from wherever they then lie.
    std::string_view record{static_cast<const char*>(data.pieces()[0].iov_base),
                            data.pieces()[0].iov_len};
    if (record.size() < kTlsRecord && data.pieces().size() > 1) {
      std::size_t size = 0;
      for (const iovec& piece : data.pieces()) {
        const std::size_t take = std::min(piece.iov_len, joined.size() - size);
        std::memcpy(joined.data() + size, piece.iov_base, take);
        size += take;
      }
      record = {joined.data(), size};
    }
    ERR_clear_error();
    errno = 0;
    std::size_t written = 0;
    const int done = SSL_write_ex(tls_.get(), record.data(), record.size(), &written);
    if (done == 1) {
      data.advance(written);
      continue;
    }
    const int error = SSL_get_error(tls_.get(), done);
    if (error == SSL_ERROR_WANT_WRITE) return false;  // renegotiation is off: a write never waits for a read
    tls_broken_ = true;
    if (error == SSL_ERROR_SYSCALL && errno != 0) {
      return std::unexpected(system_error("connection", errno));
    }
    return fail(Errc::protocol, "TLS: " + tls_reason());
  }
  return true;
}

}  // namespace headroom::net
