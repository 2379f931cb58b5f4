#include "headroom/net/stream.h"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "headroom/base/assert.h"
#include "headroom/net/tls.h"
#include "headroom/net/tls_socket.h"

namespace headroom::net {
namespace {

constexpr std::size_t kTlsRecord = 16U << 10U;
constexpr unsigned kReadsInTurn = 16;  // then others have theirs

void send_at_once(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Why a call of OpenSSL failed for good. `error` is SSL_get_error()'s, `number` the errno it left.
Error tls_error(SSL* tls, int error, int number) {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const int reason = ERR_GET_REASON(code);
  const bool cut = code == 0 || (ERR_GET_LIB(code) == ERR_LIB_SSL &&
                                 reason == SSL_R_UNEXPECTED_EOF_WHILE_READING);
  if (error == SSL_ERROR_SYSCALL && code == 0 && number != 0)
    return system_error("connection", number);
  if (cut)
    return {Errc::unavailable, "TLS: the peer closed the connection without ending the session"};
  const char* text = ERR_reason_error_string(code);
  std::string message = text != nullptr ? text : "unknown failure";
  const bool server = SSL_is_server(tls) == 1;
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    message += ": ";
    message += X509_verify_cert_error_string(SSL_get_verify_result(tls));
    return {server ? Errc::unauthorized : Errc::protocol, message};
  }
  const bool none_shown =
      ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  return {server && none_shown ? Errc::unauthorized : Errc::protocol, message};
}

// Before each call of OpenSSL whose outcome after_tls() reads: both are left over from other calls, of other connections too.
void forget_errors() {
  ERR_clear_error();
  errno = 0;
}

// What goes into the next record: small pieces share one. `joined` is where they are put together.
std::string_view next_record(const Gather& data, std::span<char, kTlsRecord> joined) {
  const std::span<const iovec> pieces = data.pieces();
  const std::string_view first{static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len};
  if (first.size() >= kTlsRecord) return first.substr(0, kTlsRecord);
  if (pieces.size() == 1) return first;
  std::size_t size = 0;
  for (const iovec& piece : pieces) {
    const std::size_t take = std::min(piece.iov_len, joined.size() - size);
    std::memcpy(joined.data() + size, piece.iov_base, take);
    size += take;
  }
  return {joined.data(), size};
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
      fd_(fd),
      local_(family == AF_UNIX),
      watch_(group.worker(), fd),
      reading_(group.worker().wheel(), *this),
      writing_(group.worker().wheel(), *this) {
  if (!local_) send_at_once(fd);
  if (!watch_.attached()) abort(Errc::overloaded);
  if (group.stopped()) abort(Errc::cancelled);
}

Stream::Stream(TaskGroup& group, Moved moved) : Stream(group, moved.fd, moved.family) {
  tls_.reset(moved.tls);
}

Stream::~Stream() { close(); }

Stream::Moved Stream::move_out() {
  reading_.clear();
  writing_.clear();
  watch_.detach();
  return {std::exchange(fd_, -1), local_ ? AF_UNIX : AF_INET, tls_.release()};
}

void Stream::tell(Event* event) {
  watch_.listen(
      event == nullptr ? nullptr : [](void* whom) { static_cast<Event*>(whom)->set(); }, event);
}

Result<std::optional<std::size_t>> Stream::try_read(std::span<char> into) {
  if (failed(reading_)) return why();
  return may_read() ? receive(into) : std::optional<std::size_t>();
}

Result<bool> Stream::try_write(Gather& data) {
  auto done = write_now(data);
  if (done && !*done) watch_.drained(Direction::write);
  return done;
}

Task<Result<std::unique_ptr<Stream>>> Stream::connect(TaskGroup& group, const Endpoint& to,
                                                      TimePoint deadline) {
  if (group.stopped()) co_return fail(Errc::cancelled, "stopped");
  const int fd = ::socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return std::unexpected(system_error("socket", errno));
  auto stream = std::make_unique<Stream>(group, fd, to.family());
  if (::connect(fd, to.data(), to.size()) == 0) co_return stream;
  if (errno != EINPROGRESS)
    co_return std::unexpected(system_error("connect to " + to.to_string(), errno));
  stream->expire_at(deadline);
  stream->watch_.drained(Direction::write);
  if (auto waited = co_await stream->wait(Direction::write, stream->writing_); !waited) {
    co_return pass(waited, "connect to " + to.to_string());
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return std::unexpected(system_error("connect to " + to.to_string(), error));
  stream->expire_at(kNever);
  co_return stream;
}

void Stream::Deadline::expired() {
  passed_ = true;
  stream_.wake();
}

void Stream::abort(Errc why) {
  if (!aborted_) why_ = why;
  aborted_ = true;
  wake();
}

std::unexpected<Error> Stream::why() const {
  if (aborted_) return fail(why_, why_ == Errc::cancelled ? "stopped" : "aborted");
  return fail(Errc::timeout, "deadline passed");
}

// Who always finds something to read lets others go first now and then.
bool Stream::has_had_its_turn() {
  if (++reads_in_turn_ <= kReadsInTurn) return false;
  reads_in_turn_ = 0;
  return true;
}

Task<Result<std::size_t>> Stream::read_some(std::span<char> into) {
  while (!failed(reading_)) {
    if (may_read()) {
      if (has_had_its_turn()) {
        co_await group().worker().yield();
        continue;
      }
      auto bytes = receive(into);
      if (!bytes) co_return pass(bytes);
      if (*bytes) co_return **bytes;
    }
    reads_in_turn_ = 0;
    co_await watch_.wait(Direction::read);
  }
  co_return why();
}

Result<std::optional<std::size_t>> Stream::try_read_into(Buffer& in, std::size_t least) {
  if (failed(reading_)) return why();
  if (may_read()) {
    auto bytes = receive(in.space(least));
    if (!bytes) return bytes;
    if (*bytes) {
      in.commit(**bytes);
      return bytes;
    }
  }
  if (in.empty()) in.release();
  return std::nullopt;
}

Task<Result<std::size_t>> Stream::read_into(Buffer& in, std::size_t least) {
  while (!failed(reading_)) {
    if (may_read()) {
      if (has_had_its_turn()) {
        co_await group().worker().yield();
        continue;
      }
      auto bytes = receive(in.space(least));
      if (!bytes) co_return pass(bytes);
      if (*bytes) {
        in.commit(**bytes);
        co_return **bytes;
      }
    }
    if (in.empty()) in.release();
    reads_in_turn_ = 0;
    co_await watch_.wait(Direction::read);
  }
  co_return why();
}

// Nothing: nothing is there; 0: the end of the stream.
Result<std::optional<std::size_t>> Stream::receive(std::span<char> into) {
  if (tls_) return receive_tls(into);
  for (;;) {
    const ssize_t bytes = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
      return std::unexpected(system_error("connection", errno));
    // Less than there was room for: that was all, unless an end or an error comes behind it.
    const bool short_read = bytes > 0 && static_cast<std::size_t>(bytes) < into.size();
    const bool all = bytes < 0 || (short_read && !local_ && !watch_.reads_may_stop_short());
    if (all) watch_.drained(Direction::read);
    if (bytes < 0) return std::nullopt;
    return static_cast<std::size_t>(bytes);
  }
}

Task<Result<>> Stream::wait(Direction direction, const Deadline& deadline) {
  while (!failed(deadline)) {
    if (watch_.ready(direction)) co_return Result<>{};
    co_await watch_.wait(direction);
  }
  co_return why();
}

Task<Result<>> Stream::wait_readable() {
  if (failed(reading_)) co_return why();
  if (tls_holds_input()) co_return Result<>{};
  pollfd look{fd_, POLLIN, 0};
  if (watch_.ready(Direction::read) && ::poll(&look, 1, 0) == 0) watch_.drained(Direction::read);
  co_return co_await wait(Direction::read, reading_);
}

Task<Result<>> Stream::wait_writable() {
  watch_.drained(Direction::write);
  return wait(Direction::write, writing_);
}

std::size_t Stream::read_now(std::span<char> into) {
  if (tls_ || failed(reading_)) return 0;
  const ssize_t bytes = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

namespace {

// Up to so many bytes a copy costs less than the kernel's walk through several pieces.
constexpr std::size_t kCopied = 2048;

ssize_t send_copy(int fd, const Gather& data) {
  std::array<char, kCopied> bytes;  // NOLINT(*-member-init): written just below
  std::size_t size = 0;
  for (const iovec& piece : data.pieces()) {
    std::memcpy(bytes.data() + size, piece.iov_base, piece.iov_len);
    size += piece.iov_len;
  }
  return ::send(fd, bytes.data(), size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t send_pieces(int fd, const Gather& data) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(data.pieces().data());
  message.msg_iovlen = data.pieces().size();
  return ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Result<bool> Stream::write_now(Gather& data) {
  if (failed(writing_)) return why();
  if (write_cut_) return fail(*write_cut_, "an earlier write was cut");
  if (tls_) return write_tls(data);
  while (data.left() > 0) {
    const ssize_t written =
        data.left() <= kCopied ? send_copy(native(), data) : send_pieces(native(), data);
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
    watch_.drained(Direction::write);
    auto waited = co_await wait(Direction::write, writing_);
    if (!waited) {
      write_cut_ = waited.error().code;
      co_return waited;
    }
  }
}

Task<Result<>> Stream::write(std::string_view data) {
  Gather gather;
  gather.add(data);
  co_return co_await write(gather);
}

void Stream::finish_writing() {
  if (!is_open()) return;
  if (tls_ && !tls_broken_ && SSL_is_init_finished(tls_.get()) == 1) {
    SSL_shutdown(tls_.get());  // close_notify, if the socket takes it
    ERR_clear_error();
  }
  ::shutdown(native(), SHUT_WR);
}

bool Stream::idle_and_open() {
  if (failed(reading_) || tls_broken_ || tls_holds_input()) return false;
  char byte = 0;
  const ssize_t n = ::recv(native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
  return n > 0 && tls_ && only_tls_tickets();
}

// What came may be no data but session tickets, which servers send when they like.
bool Stream::only_tls_tickets() {
  forget_errors();
  char byte = 0;
  std::size_t bytes = 0;
  const int done = SSL_peek_ex(tls_.get(), &byte, 1, &bytes);
  if (done == 1 || SSL_get_error(tls_.get(), done) == SSL_ERROR_ZERO_RETURN) return false;
  const auto wait = after_tls(done);
  return wait && *wait == TlsWait::read;
}

bool Stream::silent() {
  if (tls_ || watch_.ready(Direction::read)) return idle_and_open();
  return !failed(reading_);
}

bool Stream::broken() {
  int error = 0;
  socklen_t size = sizeof error;
  return aborted_ || getsockopt(native(), SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0;
}

void Stream::close() {
  reading_.clear();
  writing_.clear();
  // Else OpenSSL would spoil the session for resuming, as TLS 1.0 wanted.
  if (tls_ && !tls_broken_) SSL_set_shutdown(tls_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  watch_.forget();
  if (fd_ < 0) return;
  abort(Errc::cancelled);  // who waits in it
  ::close(std::exchange(fd_, -1));
}

void Stream::reset() {
  if (!is_open()) return;
  const linger at_once{1, 0};
  setsockopt(native(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close();
}

// --- TLS: OpenSSL works on the socket itself, so that an idle connection holds neither BIO nor record buffers. ---

Result<> Stream::start_tls(SSL_CTX* context, std::string_view received) {
  forget_errors();
  tls_.reset(SSL_new(context));
  if (!tls_ || !attach_socket(tls_.get(), native(), received))
    return fail(Errc::internal, "TLS: no memory");
  return {};
}

Task<Result<>> Stream::accept_tls(SSL_CTX* context, std::string_view received) {
  if (auto started = start_tls(context, received); !started) co_return started;
  SSL_set_accept_state(tls_.get());
  co_return co_await handshake();
}

Task<Result<>> Stream::connect_tls(SSL_CTX* context, std::string_view server_name) {
  if (auto started = start_tls(context, {}); !started) co_return started;
  const std::string name(server_name);
  if (IpAddress::parse(name)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), name.c_str());
  } else {
    SSL_set_tlsext_host_name(tls_.get(), name.c_str());
    SSL_set_hostflags(tls_.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(tls_.get(), name.c_str());
    offer_tls_session(tls_.get(), name);
  }
  SSL_set_connect_state(tls_.get());
  co_return co_await handshake();
}

Task<Result<>> Stream::handshake() {
  for (;;) {
    if (failed(reading_)) co_return why();
    forget_errors();
    const int done = SSL_do_handshake(tls_.get());
    if (done == 1) co_return Result<>{};
    auto wait = after_tls(done);
    if (!wait) co_return pass(wait, "TLS handshake");
    auto waited = co_await wait_for_tls(*wait);
    if (!waited) co_return pass(waited, "TLS handshake");
  }
}

// What OpenSSL needs after a call that did not succeed, or why the stream has ended.
Result<Stream::TlsWait> Stream::after_tls(int done) {
  const int number = errno;
  const int error = SSL_get_error(tls_.get(), done);
  if (error == SSL_ERROR_WANT_READ) return TlsWait::read;
  if (error == SSL_ERROR_WANT_WRITE) return TlsWait::write;
  tls_broken_ = true;
  return std::unexpected(tls_error(tls_.get(), error, number));
}

bool Stream::tls_holds_input() const {
  return tls_ && (SSL_pending(tls_.get()) > 0 || BIO_pending(SSL_get_rbio(tls_.get())) > 0);
}

Result<std::optional<std::size_t>> Stream::receive_tls(std::span<char> into) {
  if (tls_broken_) return fail(Errc::unavailable, "TLS: the connection has failed before");
  forget_errors();
  std::size_t bytes = 0;
  const int done = SSL_read_ex(tls_.get(), into.data(), into.size(), &bytes);
  if (done == 1) return bytes;
  if (SSL_get_error(tls_.get(), done) == SSL_ERROR_ZERO_RETURN) return std::size_t{0};
  // Wanting to write: an answer to new keys, which goes out with the next write.
  if (auto wait = after_tls(done); !wait) return pass(wait);
  watch_.drained(Direction::read);
  return std::nullopt;
}

Result<bool> Stream::write_tls(Gather& data) {
  if (tls_broken_) return fail(Errc::unavailable, "TLS: the connection has failed before");
  std::array<char, kTlsRecord> joined;
  while (data.left() > 0) {
    // A record that the socket refused lies encrypted in OpenSSL: the same bytes are offered again, from wherever they then lie.
    const std::string_view record = next_record(data, joined);
    forget_errors();
    std::size_t written = 0;
    const int done = SSL_write_ex(tls_.get(), record.data(), record.size(), &written);
    if (done == 1) {
      data.advance(written);
      continue;
    }
    auto wait = after_tls(done);
    if (!wait) return pass(wait);
    if (*wait == TlsWait::write) return false;
    tls_broken_ = true;
    return fail(Errc::protocol, "TLS: the peer asks for a new handshake");
  }
  return true;
}

}  // namespace headroom::net
