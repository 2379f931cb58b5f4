// headroom/net/stream.h - a connected byte stream, TCP, Unix or TLS, behind one type.
//
// Owns: the socket and its TLS state. Borrows: the TaskGroup it was made with, whose stop() ends its waits.
// Worker: the group's; at most one reader and one writer at a time.
// Invariants: (1) abort() is final: the pending and every later operation answer its code; (2) a passed deadline ends the pending operation
//   of its direction with Errc::timeout, and later ones until a new one is set, so that a last answer can still be written; reading and
//   writing have one each, for a body may go one way while an answer goes the other; (3) an idle stream holds
//   no buffer of its own (TLS releases its buffers); (4) what write() could not finish is final: later writes answer the same; (5) the end
//   of a TLS stream is its close_notify: a connection that ends without one may have been cut, and is Errc::unavailable.
// Limits: the caller's spans; deadlines are as exact as the wheel (32 ms).
#pragma once

#include <sys/uio.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/net/buffer.h"
#include "headroom/net/endpoint.h"
#include "headroom/net/poller.h"
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
  [[nodiscard]] std::span<const iovec> pieces() const {
    return {pieces_.data() + first_, count_ - first_};
  }
  void advance(std::size_t written);

 private:
  std::array<iovec, kMax> pieces_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t left_ = 0;
};

class Stream final : private Stoppable {
 public:
  // Takes over a connected, non-blocking socket.
  Stream(TaskGroup& group, int fd, int family);
  ~Stream() override;

  // Connects within the deadline; Errc::unavailable (refused, unreachable), timeout, cancelled, overloaded (no descriptors).
  [[nodiscard]] static Task<Result<std::unique_ptr<Stream>>> connect(TaskGroup& group,
                                                                     const Endpoint& to,
                                                                     TimePoint deadline);

  // TLS from here on (tls.h makes contexts). `received`: bytes that were read already and belong to it. `server_name` also asks for the peer's
  // certificate to match it when the context verifies peers. Errc::unauthorized: the client's certificate is missing or not valid;
  // protocol: the handshake failed, the message says why; unavailable: the peer went away.
  [[nodiscard]] Task<Result<>> accept_tls(SSL_CTX* context, std::string_view received = {});
  [[nodiscard]] Task<Result<>> connect_tls(SSL_CTX* context, std::string_view server_name);
  [[nodiscard]] SSL* tls() const { return tls_.get(); }

  // The bytes read, at least one; 0 at the end of the stream.
  [[nodiscard]] Task<Result<std::size_t>> read_some(std::span<char> into);
  // The same into a buffer with room for at least `least`; an empty one holds no memory while nothing has come, and what it then takes is
  // what was used last, still in the processor's cache.
  [[nodiscard]] Task<Result<std::size_t>> read_into(Buffer& in, std::size_t least = 1);
  // The same without a coroutine, for who waits long and by the thousand (tell() says when to ask again). Nothing: nothing has come.
  [[nodiscard]] Result<std::optional<std::size_t>> try_read_into(Buffer& in, std::size_t least = 1);
  // What has arrived, without waiting; 0 when nothing has, at the end, after an error, and with TLS: read_some() then tells.
  [[nodiscard]] std::size_t read_now(std::span<char> into);
  // Until a read would not wait, without holding a buffer for it.
  [[nodiscard]] Task<Result<>> wait_readable();
  // Until a write_now() that could not go on may do so; its deadline is that of writes.
  [[nodiscard]] Task<Result<>> wait_writable();
  // Without waiting: whether all of `data` has been written; what was not stays in it and must be the next that is written.
  [[nodiscard]] Result<bool> write_now(Gather& data);
  // Until all of `data` has been written.
  [[nodiscard]] Task<Result<>> write(Gather& data);
  [[nodiscard]] Task<Result<>> write(std::string_view data);

  // For a task that carries between several streams and waits for all of them at once. `event` is set whenever this one may have become readable
  // or writable, or was aborted; null: nobody. Deadlines are then the event's.
  void tell(Event* event);
  // The same by a call, which must not end the stream; null: nobody. A passed deadline is told of too.
  void tell(void (*told)(void*), void* whom) { watch_.listen(told, whom); }
  [[nodiscard]] bool may_read() const { return watch_.ready(Direction::read) || tls_holds_input(); }
  [[nodiscard]] bool may_write() const { return watch_.ready(Direction::write); }
  // Without waiting. Nothing: nothing has come; 0: the end of the stream.
  [[nodiscard]] Result<std::optional<std::size_t>> try_read(std::span<char> into);
  // As write_now(); after false, may_write() and the event tell when to go on.
  [[nodiscard]] Result<bool> try_write(Gather& data);

  // The connection without its worker: a named hand-over. This stream is closed to its owner; the next is made of it elsewhere.
  struct Moved {
    int fd = -1;
    int family = 0;
    SSL* tls = nullptr;
  };
  [[nodiscard]] Moved move_out();
  Stream(TaskGroup& group, Moved moved);

  // When pending and later operations give up; kNever for no deadline. Both directions, or one.
  void expire_at(TimePoint due) {
    expire_reads_at(due);
    expire_writes_at(due);
  }
  void expire_reads_at(TimePoint due) { reading_.set(due); }
  void expire_writes_at(TimePoint due) { writing_.set(due); }
  void abort(Errc why);
  // Tells the peer that nothing more comes (TLS: close_notify); reading goes on.
  void finish_writing();
  // Whether a peer that should be silent has closed the stream or sent something. One system call.
  [[nodiscard]] bool idle_and_open();
  // The same by what the worker's last round of events said: no system call in the common case.
  [[nodiscard]] bool silent();
  // Whether the peer has reset the connection (an error is pending). One system call.
  [[nodiscard]] bool broken();

  [[nodiscard]] int native() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  void close();
  // Closes so that the peer sees a broken connection, not an end.
  void reset();

 private:
  struct FreeTls {
    void operator()(SSL* tls) const;
  };

  // The deadline of one direction.
  class Deadline final : private WheelEntry {
   public:
    Deadline(Wheel& wheel, Stream& stream) : WheelEntry(wheel), stream_(stream) {}
    void set(TimePoint due) {
      passed_ = false;
      WheelEntry::set(due);
    }
    void clear() { WheelEntry::clear(); }
    [[nodiscard]] bool passed() const { return passed_; }

   private:
    void expired() override;
    Stream& stream_;
    bool passed_ = false;
  };

  void on_stop() override { abort(Errc::cancelled); }
  // Ends the waits of both directions; the one that has nothing to give up for goes on waiting.
  void wake() { watch_.cancel(); }
  [[nodiscard]] bool failed(const Deadline& deadline) const {
    return aborted_ || deadline.passed();
  }
  [[nodiscard]] std::unexpected<Error> why() const;
  // Until the socket may be ready, for an operation with this deadline.
  [[nodiscard]] Task<Result<>> wait(Direction direction, const Deadline& deadline);
  [[nodiscard]] Result<std::optional<std::size_t>> receive(std::span<char> into);
  [[nodiscard]] Result<std::optional<std::size_t>> receive_tls(std::span<char> into);
  [[nodiscard]] bool has_had_its_turn();
  [[nodiscard]] Result<> start_tls(SSL_CTX* context, std::string_view received);
  [[nodiscard]] Task<Result<>> handshake();
  enum class TlsWait : std::uint8_t { read, write };
  [[nodiscard]] Result<TlsWait> after_tls(int done);
  [[nodiscard]] Task<Result<>> wait_for_tls(TlsWait wait) {
    const Direction direction = wait == TlsWait::read ? Direction::read : Direction::write;
    watch_.drained(direction);
    return this->wait(direction, reading_);
  }
  [[nodiscard]] Result<bool> write_tls(Gather& data);
  [[nodiscard]] bool tls_holds_input() const;
  [[nodiscard]] bool only_tls_tickets();

  int fd_;
  const bool local_;  // a Unix socket
  bool aborted_ = false;
  bool tls_broken_ = false;         // OpenSSL must not be called again but to free
  std::uint8_t reads_in_turn_ = 0;  // without a wait between them
  Watch watch_;
  std::unique_ptr<SSL, FreeTls> tls_;
  Deadline reading_;  // and handshakes
  Deadline writing_;
  Errc why_ = Errc::cancelled;
  std::optional<Errc> write_cut_;  // why a write() ended in the middle of its data
};

}  // namespace headroom::net
