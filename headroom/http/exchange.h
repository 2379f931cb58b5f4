// headroom/http/exchange.h - one request being answered: its head, its body as it arrives, and the answer as it is written.
//
// Owns: nothing that outlives the request; the connection keeps buffers and reuses the exchange. Worker: the connection's.
// Invariants: (1) the answer's framing is always written here, from start()'s Length, never copied from elsewhere; (2) an answer shorter or
//   longer than announced ends the connection; (3) "100 Continue" is sent when the service first asks for the body.
// Limits: those of ServerOptions; one answer per request; 32 KiB of head written.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/error.h"
#include "headroom/http/body.h"
#include "headroom/http/message.h"
#include "headroom/http/service.h"
#include "headroom/http/writer.h"
#include "headroom/net/stream.h"

namespace headroom::http {

struct ServerOptions;

// The Date field's value, formatted once a second. One per server and worker.
class DateText {
 public:
  [[nodiscard]] std::string_view now();

 private:
  std::chrono::sys_seconds second_{};
  HttpDate text_{second_};
};

// Who is at the other end.
struct Peer {
  net::Endpoint address;  // of the connection, or what a trusted PROXY header said
  std::unique_ptr<const net::Endpoint> told_local;  // where it connected to, if a PROXY header said
  bool tls = false;
  bool known = true;   // false: the PROXY header said no address, so this is only the proxy's
  bool inner = false;  // a request of our own, made for who is named here (Server::take_inner)
  bool own = false;    // and on nobody's behalf
};

// Who asks in the end, as far as a proxy before us can be believed.
struct ClientFacts {
  IpAddress address;
  bool secure = false;  // speaks TLS, to us or to that proxy
};

// A whole small answer.
struct Reply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::string fields;  // further lines, each ending in CRLF
};

class Exchange {
 public:
  Exchange(net::TaskGroup& group, net::Stream& stream, net::Buffer& in, Peer peer, DateText& date);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  [[nodiscard]] const RequestHead& request() const { return request_; }
  [[nodiscard]] const Peer& peer() const { return peer_; }
  // The peer, unless who hosts the service knows better.
  [[nodiscard]] ClientFacts client() const {
    return client_ ? *client_ : ClientFacts{peer_.address.ip(), peer_.tls};
  }
  void tell_client(const ClientFacts& facts) { client_ = facts; }
  // Where the client connected to. A system call unless a PROXY header said.
  [[nodiscard]] net::Endpoint local() {
    return peer_.told_local ? *peer_.told_local : net::Endpoint::local_of(stream_.native());
  }
  [[nodiscard]] net::TaskGroup& group() const { return group_; }
  [[nodiscard]] net::Worker& worker() const { return group_.worker(); }
  // When the head was complete.
  [[nodiscard]] TimePoint began() const { return began_; }
  [[nodiscard]] const ServerOptions& options() const { return *options_; }

  // Takes our own cookie out of the request, whose later readers find no trace of it: its values, as there may be several.
  [[nodiscard]] std::vector<std::string> take_cookie(std::string_view name);

  // --- the request's body ---
  // Over this many bytes the body is refused (Errc::overloaded); 0 = no limit. Before the first read().
  void limit_body(std::uint64_t bytes);
  [[nodiscard]] bool has_body() const { return !body_.done(); }
  [[nodiscard]] BodySource& body() { return body_; }
  // The next piece, "" at the end; sends 100 Continue first where it is waited for.
  [[nodiscard]] net::Task<Result<std::string_view>> read();

  // --- the answer ---
  struct Length {
    enum class Kind : std::uint8_t { known, unknown, none } kind = Kind::none;
    std::uint64_t bytes = 0;
  };
  // Begins the head: status line, framing and connection fields. Then append other field lines ("Name: value\r\n") to head().
  void start(unsigned status, std::string_view reason, Length length);
  [[nodiscard]] std::string& head() { return out_; }
  // Writes a piece, the head before it if it is not yet written. `last` ends the answer.
  enum class Last : bool { no, yes };
  [[nodiscard]] net::Task<Result<>> send(std::string_view piece, Last last);
  // The same without waiting: nothing when all of it is written; otherwise what remains is for finish_send().
  [[nodiscard]] Result<bool> send_now(std::string_view piece, Last last);
  [[nodiscard]] net::Task<Result<>> finish_send();
  // The trailers of a chunked answer, before the last send; dropped where the answer is not chunked.
  void trailers(std::span<const Field> fields);
  [[nodiscard]] net::Task<Result<>> reply(const Reply& reply);
  // A 1xx answer; `lines` are its field lines.
  [[nodiscard]] net::Task<Result<>> informational(unsigned status, std::string_view lines);
  // After this answer the connection closes. Before start(), so that the client is told.
  void close_after() { close_after_ = true; }

  // --- for services that speak another protocol from here on ---
  [[nodiscard]] net::Stream& stream() { return stream_; }
  // Bytes the client sent behind the request.
  [[nodiscard]] net::Buffer& input() { return in_; }
  // The answer is no longer HTTP: when serve() returns, the connection is closed.
  void hijack() { hijacked_ = true; }
  // The same for long: when serve() returns, the request, its head and all buffers are given up, and `next` has the stream. What input()
  // holds is for `next` to take before.
  void leave(unsigned status, std::unique_ptr<Onward> next) {
    hijacked_ = true;
    status_ = status;
    finished_ = true;
    onward_ = std::move(next);
  }

  // --- what has happened, for logs and metrics ---
  [[nodiscard]] bool started() const { return started_; }
  [[nodiscard]] bool finished() const { return finished_; }
  [[nodiscard]] unsigned status() const { return status_; }
  [[nodiscard]] std::uint64_t bytes_sent() const { return bytes_sent_; }

 private:
  friend class ServerConnection;
  void reset(const ServerOptions& options, TimePoint now);
  // Gives back what memory the last request needed.
  void release();
  [[nodiscard]] bool must_close() const;
  // Only the connection's end says where the answer ends: one that is cut must not look whole.
  [[nodiscard]] bool ends_with_connection() const {
    return head_written_ && length_.kind == Length::Kind::unknown && !chunked_;
  }
  void keep_head();
  void frame_piece(std::string_view piece, Last last);

  net::TaskGroup& group_;
  net::Stream& stream_;
  net::Buffer& in_;
  Peer peer_;
  std::optional<ClientFacts> client_;  // of the current request
  DateText& date_;
  RequestHead request_;
  std::string_view head_bytes_;  // what request_ views: in the buffer, or in kept_head_
  std::string kept_head_;
  BodySource body_;
  const ServerOptions* options_ = nullptr;
  TimePoint began_{};

  std::string out_;  // the head, until it is written
  std::string trailers_;
  ChunkHeader chunk_{1};
  net::Gather gather_;
  Length length_;
  unsigned status_ = 0;
  std::uint64_t bytes_sent_ = 0;
  std::unique_ptr<Onward> onward_;
  bool chunked_ = false;
  bool head_written_ = false;
  bool started_ = false;
  bool finished_ = false;
  bool close_after_ = false;
  bool hijacked_ = false;
  bool continue_wanted_ = false;
};

}  // namespace headroom::http
