// headroom/tasks/tasks.h - the task server: durable jobs for workers in any language.
//
// Owns: the engine (its thread, the store), the Faktory door, the delivery of jobs to URLs. Borrows: the workers, the registry.
// Worker and threads: made, started and ended from main's thread; connections on every worker; the store on a thread of its own.
// Invariants: those of board.h and engine.h: what was answered is on disk; a job is worked on by one worker at a time, at least once.
// Limits: TasksOptions.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/net/interfaces.h"
#include "headroom/net/listener.h"
#include "headroom/net/worker.h"
#include "headroom/tasks/board.h"
#include "headroom/tasks/chores.h"
#include "headroom/tasks/engine.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/push.h"

namespace headroom::tasks {

// What is to be said of a door that is open to more than this machine and asks for no password.
[[nodiscard]] std::optional<std::string> warning_of_open_door(const TasksOptions& options,
                                                              const net::Endpoint& at);

class Tasks final : public net::Health {
 public:
  Tasks(net::Workers& workers, net::Resolver& resolver, metrics::Registry& registry,
        const TasksOptions& options);
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;
  ~Tasks() override;

  // Listens; nobody is answered yet. `inherited`: the sockets of a server that is taken over. Errc::unavailable, invalid (a certificate).
  [[nodiscard]] Result<> open(const net::Endpoint& at, std::vector<int> inherited);
  // Maintenance of other rooms, done as recurring tasks. Before start().
  void add_chore(Chore chore) { chores_wanted_.push_back(std::move(chore)); }
  // Where the spans of traced jobs go. Before start().
  void trace_to(link::Spans& spans) { spans_ = &spans; }
  // Takes up the store, which no other process may have open any more, and serves. After an error it may be tried again.
  [[nodiscard]] Result<> start(const std::filesystem::path& store);
  [[nodiscard]] bool serving() const { return serves_; }
  // Why the store cannot be opened or written to now, if so.
  [[nodiscard]] std::optional<std::string> trouble() const;

  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::span<const int> sockets() const;

  // No further job is delivered by push from now on, until deliver_again(); how many still are. Before stop(), which cuts them off.
  void deliver_no_more();
  void deliver_again();
  [[nodiscard]] std::size_t delivering() const;
  // Ends the connections, writes leases down and closes the store. With `handed_over` the sockets stay another process's.
  enum class Sockets : std::uint8_t { closed, handed_over };
  void stop(Sockets sockets = Sockets::closed);

  // Null until start().
  [[nodiscard]] Engine* engine() const { return serves_ ? engine_.get() : nullptr; }
  // As it was at most a second ago.
  [[nodiscard]] BoardStatus status() const;
  [[nodiscard]] std::vector<net::HealthReport> health() const override;

 private:
  class Part;
  void make_gauges();
  [[nodiscard]] Result<std::unique_ptr<Engine>> open_engine(const std::filesystem::path& path);

  net::Workers& workers_;
  net::Resolver& resolver_;
  metrics::Registry& registry_;
  const TasksOptions options_;
  std::unique_ptr<Engine> engine_;
  std::vector<Chore> chores_wanted_;
  link::Spans* spans_ = nullptr;
  std::unique_ptr<Chores> chores_;
  std::unique_ptr<Push> push_;
  std::unique_ptr<net::Listener> listener_;
  struct Shared;
  std::unique_ptr<Shared> shared_;
  std::vector<std::unique_ptr<Part>> parts_;  // by worker
  std::vector<metrics::GaugeHandle> gauges_;
  std::atomic<bool> serves_{false};   // engine_ may be asked by any thread
  mutable std::mutex trouble_mutex_;  // written by start()
  std::optional<std::string> start_trouble_;
};

}  // namespace headroom::tasks
