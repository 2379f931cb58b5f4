// headroom/net/stream.h - a connected byte stream, TCP, Unix or TLS, behind one type.
//
// Owns: the socket and its TLS state. Borrows: the TaskGroup it was made with, whose stop() ends its waits.
// Worker: the group's; at most one reader and one writer at a time.
// Invariants: (1) abort() is final: the pending and every later operation answer its code; (2) a passed deadline ends the pending operation
//   with Errc::timeout, and later ones until expire_at() is called again, so that a last answer can still be written; (3) an idle stream holds
//   no buffer of its own (TLS releases its buffers).
// Limits: the caller's spans; deadlines are as exact as the wheel (32 ms).
#pragma once

#include <sys/uio.h>

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <span>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/net/endpoint.h"
#include "headroom/net/task.h"
#include "headroom/net/task_group.h"
#include "headroom/net/worker.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace headroom::net {

// Up to eight pieces of memory written as one; remembers how far it got.
class Gather {
 public:
  static constexpr std::size_t kMax = 8;

  void add(std::string_view piece) {
    if (piece.empty()) return;
    pieces_[count_++] = {const_cast<char*>(piece.data()), piece.size()};  // iovec serves reads too
    left_ += piece.size();
  }
  [[nodiscard]] std::size_t left() const { return left_; }
  [[nodiscard]] std::span<const iovec> pieces() const { return {pieces_.data() + first_, count_ - first_}; }
  void advance(std::size_t written);

 private:
  std::array<iovec, kMax> pieces_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t left_ = 0;
};

class Stream final : private Stoppable, private WheelEntry {
 public:
  // Takes over a connected, non-blocking socket.
  Stream(TaskGroup& group, int fd, int family);
  ~Stream() override;

  // Connects within the deadline; Errc::unavailable (refused, unreachable), timeout, cancelled, overloaded (no descriptors).
  [[nodiscard]] static Task<Result<std::unique_ptr<Stream>>> connect(TaskGroup& group, const Endpoint& to,
                                                                     TimePoint deadline);

  // TLS from here on. `server_name` also asks for the peer's certificate to match it when the context verifies peers.
  [[nodiscard]] Task<Result<>> accept_tls(SSL_CTX* context);
  [[nodiscard]] Task<Result<>> connect_tls(SSL_CTX* context, std::string_view server_name);
  [[nodiscard]] SSL* tls() const { return tls_.get(); }

  // The bytes read, at least one; 0 at the end of the stream.
  [[nodiscard]] Task<Result<std::size_t>> read_some(std::span<char> into);
  // Until a read would not wait, without holding a buffer for it.
  [[nodiscard]] Task<Result<>> wait_readable();
  // Without waiting: whether all of `data` has been written; what was not stays in it.
  [[nodiscard]] Result<bool> write_now(Gather& data);
  // Until all of `data` has been written.
  [[nodiscard]] Task<Result<>> write(Gather& data);
  [[nodiscard]] Task<Result<>> write(std::string_view data);

  // When pending and later operations give up; kNever for no deadline.
  void expire_at(TimePoint due);
  void abort(Errc why);
  // Tells the peer that nothing more comes (TLS: close_notify); reading goes on.
  void finish_writing();
  // Whether a peer that should be silent has closed the stream or sent something. One system call.
  [[nodiscard]] bool idle_and_open();
  // Whether the peer has reset the connection (an error is pending). One system call.
  [[nodiscard]] bool broken();

  [[nodiscard]] int native() { return socket_.native_handle(); }
  [[nodiscard]] bool is_open() const { return socket_.is_open(); }
  void close();

 private:
  using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;
  struct FreeTls {
    void operator()(SSL* tls) const;
  };

  void on_stop() override { abort(Errc::cancelled); }
  void expired() override;
  void wake();
  [[nodiscard]] bool failed() const { return aborted_ || timed_out_; }
  [[nodiscard]] std::unexpected<Error> why() const;
  [[nodiscard]] std::unexpected<Error> failure(const boost::system::error_code& code) const;
  [[nodiscard]] Task<Result<>> handshake();
  [[nodiscard]] Task<Result<>> wait_writable();
  [[nodiscard]] Task<Result<>> wait_for_tls(int tls_error);
  [[nodiscard]] Task<Result<std::size_t>> read_tls(std::span<char> into);
  [[nodiscard]] Result<bool> write_tls(Gather& data);

  Socket socket_;
  std::unique_ptr<SSL, FreeTls> tls_;
  Errc why_ = Errc::cancelled;
  bool aborted_ = false;
  bool timed_out_ = false;
  bool tls_broken_ = false;
};

}  // namespace headroom::net
