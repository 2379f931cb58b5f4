// headroom/postgres/decoding.h - what a database commits, as it commits it: logical decoding over a temporary slot by test_decoding, without a
// publication.
//
// Owns: the connection to the server's walsender, and with it the slot, which the server drops when the connection ends: no log is held after a crash.
// Worker: the group's; one task calls open(), then next() over and over.
// Invariants: (1) what open() has begun reports every commit from its return on, in the order of commits; (2) position() is behind every commit that
//   next() has given, and never ahead of one that it has not; (3) what was given is confirmed to the server each second that it says something, and at
//   once when it asks, so that it holds no log for it.
// Limits: kKept bytes of a line are looked at, the rest is skipped as it comes: it holds values, which nobody here wants.
#pragma once

#include <memory>
#include <string>

#include "headroom/postgres/decoded.h"
#include "headroom/postgres/server.h"

namespace headroom::postgres {

class Decoding {
 public:
  static constexpr std::size_t kKept = 64U << 10U;

  // Connects. Errc::invalid (`refusal` has the server's words: no REPLICATION, wal_level), unauthorized, unavailable, timeout.
  [[nodiscard]] static net::Task<Result<std::unique_ptr<Decoding>>> connect(
      net::TaskGroup& group, const Means& means, const Route& route, Credentials who,
      std::string database, TimePoint deadline, pgwire::Report* refusal);
  // Makes the slot and starts. The server waits for every transaction that is open and has written, in any of its databases: pg_blocking_pids(pid())
  // says for whom.
  [[nodiscard]] net::Task<Result<>> open(TimePoint deadline);

  struct Event {
    enum class Kind : std::uint8_t { line, alive };  // alive: only position() may have moved
    Kind kind{};
    Decoded decoded{};
  };
  // Suspends. After an error the stream is over.
  [[nodiscard]] net::Task<Result<Event>> next();

  [[nodiscard]] std::uint32_t pid() const { return server_->pid; }
  // Everything committed before this place in the log has been given.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  // Ends it: next() answers Errc::cancelled.
  void abort() { server_->stream->abort(Errc::cancelled); }

 private:
  Decoding(net::Worker& worker, std::unique_ptr<Server> server);
  [[nodiscard]] net::Task<Result<std::string>> read_frame(char& type);
  [[nodiscard]] net::Task<Result<>> confirm();

  std::unique_ptr<Server> server_;
  net::Buffer in_;
  std::uint64_t position_ = 0;
  TimePoint confirmed_{};
  bool confirm_due_ = false;
};

}  // namespace headroom::postgres
