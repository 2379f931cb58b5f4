// bench/realtime/clients.h - thousands of WebSocket clients on one thread: they subscribe, count what comes and note how old it is.
//
// A message's data is "T<nanoseconds of CLOCK_MONOTONIC>" and padding: both ends are on one machine.
// Faces: `pusher` (the Pusher protocol), `plain` ({"type": "subscribe", "channel"}), `socketio` (Engine.IO 4 over a WebSocket).
//
// Owns: sockets, an epoll, a histogram. Worker: its own thread; it blocks in run_until() alone.
// Invariants: (1) a client that is closed or says what is not understood ends the bench with an error, it is never left out.
// Limits: messages of 64 KiB; connections over 127.0.0.2 to .9, 28,000 each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/metrics.h"

struct ssl_st;
struct ssl_ctx_st;

namespace headroom::bench {

enum class Face : std::uint8_t { pusher, plain, socketio };

[[nodiscard]] std::uint64_t now_ns();
// A masked text frame.
[[nodiscard]] std::string client_frame(std::string_view text);

class Clients {
 public:
  struct Options {
    int port = 0;
    Face face = Face::pusher;
    std::string path;
    std::size_t connections = 0;
    std::function<std::string(std::size_t)> channel;  // of the i-th; "" for none
    bool tls = false;                                 // no certificate is asked for
    std::size_t small_every = 0;  // each so manyth has a small receive buffer; 0: none
  };
  explicit Clients(Options options);
  ~Clients();
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  // Connects all, 200 at once, and waits until each is subscribed.
  void open();
  // Those with a small receive buffer read nothing from now on; how many.
  std::size_t stall_small();
  // Reads until `done` or the deadline; whether it was done.
  bool run_until(TimePoint deadline, const std::function<bool()>& done);

  std::uint64_t received = 0;
  metrics::HistogramValues ages;

 private:
  struct FreeTls {
    void operator()(ssl_st* tls) const;
  };
  struct Client {
    int fd = -1;
    std::unique_ptr<ssl_st, FreeTls> tls{};
    std::size_t number = 0;
    enum class Stage : std::uint8_t {
      connecting,
      upgrading,
      greeting,
      subscribing,
      open
    } stage = Stage::connecting;
    std::string partial{};
  };
  [[nodiscard]] bool is_small(std::size_t number) const {
    return options_.small_every != 0 && number % options_.small_every == 0;
  }
  void connect(std::size_t number);
  void connect_tls(Client& client);
  static void write_to(const Client& client, std::string_view bytes);
  [[nodiscard]] std::ptrdiff_t read_from(const Client& client);
  void on_event(Client& client, std::uint32_t events);
  void on_bytes(Client& client, std::string_view bytes);
  [[nodiscard]] std::size_t frames(Client& client, std::string_view bytes);
  void on_text(Client& client, std::string_view text);
  void on_message(std::string_view text);
  void greet(Client& client, std::string_view text);
  void subscribe(Client& client);
  void say(Client& client, std::string_view text);

  const Options options_;
  int epoll_ = -1;
  ssl_ctx_st* tls_ = nullptr;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<char> buffer_;
  std::size_t ready_ = 0;
  std::size_t opening_ = 0;
};

// One connection that publishes: plain JSON, or Socket.IO's.
class Publisher {
 public:
  Publisher(int port, Face face, const std::string& path, const std::vector<std::string>& channels);
  ~Publisher();
  Publisher(const Publisher&) = delete;
  Publisher& operator=(const Publisher&) = delete;
  // Appends one message, stamped with `at`; flush() sends what is there.
  void add(const std::string& channel, std::uint64_t at, std::size_t bytes);
  void flush();

 private:
  void read_some(bool wait);
  int fd_ = -1;
  const Face face_;
  std::string out_;
};

}  // namespace headroom::bench
