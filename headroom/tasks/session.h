// headroom/tasks/session.h - one connection of a Faktory client: greeting, HELLO, then commands and answers until END.
//
// Owns: the stream, its buffers. Borrows: what all connections of a worker share (Shared).
// Worker: one; it runs as a task of the group and ends with it.
// Invariants: (1) nothing is read from who has not said HELLO with the right password; (2) answers come in the order of the commands; (3) a job
//   whose answer could not be written goes back at once; (4) the worker of a connection is told of its end; (5) waiting for a command holds no
//   buffer.
// Limits: those of LogIns; kHelloTime and kHelloLimit for the HELLO, kLineTime for the rest of a line that has begun, kWriteTime for an answer; line_limit.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/address.h"
#include "headroom/fwp/command.h"
#include "headroom/net/stream.h"
#include "headroom/net/tls.h"
#include "headroom/tasks/engine.h"
#include "headroom/tasks/log_ins.h"
#include "headroom/tasks/metrics.h"

namespace headroom::tasks {

// What the connections of the Faktory door share.
struct SessionShared {
  Engine& engine;
  const TasksOptions& options;
  LogIns& log_ins;
  std::shared_ptr<const net::TlsServer> tls;
  WallTime started = 0;
  metrics::Registry& registry;
  std::atomic<std::uint64_t>& commands;  // since the start, for INFO
};

// The counters of one worker.
class SessionCells {
 public:
  SessionCells(metrics::Registry& registry, std::size_t worker);
  void connected() { connections_->add(); }
  void refused_limit() { refused_limit_->add(); }
  void refused_hello() { refused_hello_->add(); }
  void refused_password() { refused_password_->add(); }
  void command(fwp::Verb verb, bool done) {
    commands_[static_cast<std::size_t>(verb)][done ? 1 : 0]->add();
  }

 private:
  metrics::Cell* connections_;
  metrics::Cell* refused_limit_;
  metrics::Cell* refused_hello_;
  metrics::Cell* refused_password_;
  std::array<std::array<metrics::Cell*, 2>, static_cast<std::size_t>(fwp::Verb::unknown) + 1>
      commands_{};
};

class Session {
 public:
  static constexpr Duration kHelloTime = 2s;
  static constexpr std::size_t kHelloLimit = 8192;
  static constexpr Duration kLineTime = 30s;
  static constexpr Duration kWriteTime = 30s;

  Session(const SessionShared& shared, SessionCells& cells, net::TaskGroup& group, int fd,
          const net::Endpoint& peer);
  [[nodiscard]] net::Task<> run();

 private:
  [[nodiscard]] net::Task<bool> greet();
  [[nodiscard]] net::Task<Result<bool>> password_fits(const fwp::Hello& hello, std::string salt,
                                                      std::uint32_t rounds);
  // The next line without its end; it lies in the buffer until finish_line(). Nothing at the end of the connection.
  [[nodiscard]] net::Task<std::optional<std::string_view>> read_line();
  void finish_line();
  [[nodiscard]] net::Task<bool> write();

  // Each appends its answer to `out_`.
  [[nodiscard]] net::Task<> obey(const fwp::Command& command);
  [[nodiscard]] net::Task<> unknown(std::string_view name);
  [[nodiscard]] net::Task<> push(std::string_view text);
  [[nodiscard]] net::Task<> push_many(std::string_view text);
  [[nodiscard]] net::Task<> fetch(std::string_view text);
  [[nodiscard]] net::Task<> acknowledge(std::string_view text);
  [[nodiscard]] net::Task<> fail_job(std::string_view text);
  [[nodiscard]] net::Task<> beat(std::string_view text);
  [[nodiscard]] net::Task<> info();
  [[nodiscard]] net::Task<> flush();
  [[nodiscard]] net::Task<> mutate(std::string_view text);
  [[nodiscard]] net::Task<> act_on_queues(std::string_view text);
  [[nodiscard]] net::Task<> track(std::string_view text);
  [[nodiscard]] net::Task<> act_on_batch(std::string_view text);
  [[nodiscard]] net::Task<Result<>> sweep(LaneId lane, Board::Act act, Board::Filter filter);
  void refuse(const Error& error);
  void accept_or_refuse(const Result<>& done);

  const SessionShared& shared_;
  SessionCells& cells_;
  net::TaskGroup& group_;
  net::Worker& worker_;
  const IpAddress peer_;
  net::Stream stream_;
  net::Buffer in_;
  std::size_t line_bytes_ = 0;  // of the line in `in_`, with its end
  std::string out_;
  std::string wid_;
  std::optional<Lease> fetched_;  // its answer is not written yet
  bool greeted_ = false;
  bool refused_ = false;  // the command of now
};

}  // namespace headroom::tasks
