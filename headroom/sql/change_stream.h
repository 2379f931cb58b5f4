// headroom/sql/change_stream.h - what others commit to a database: cached results and pages that read a changed table are dropped, and it is
// known how far that knowledge goes.
//
// Owns: the connection that decodes the log (postgres::Decoding), a connection that asks, the catalogue's snapshot. Borrows: the cache.
// Worker: its tasks run on the first worker; current(), doubt(), changed(), catalogue() and report() are for any thread.
// Invariants: (1) current(now): every commit that was in the log and could be seen `behind` before now, and every one that doubt() was said of, has
//   dropped what it changed; (2) a commit drops when it is decoded, and once more, as soon as that can be asked, when new snapshots see it: between the two a fill
//   may still read what was before, since the log is read before a commit is visible; (3) while the stream is not there, or does not know the catalogue, nothing is
//   current; it begins with a flush; (4) what the log does not tell (an unknown name, a line that is no line) drops all; an empty transaction, as DDL
//   and privileges leave it, makes nothing current until the catalogue's fingerprint says whether something has changed, which then drops all.
// Limits: kMostUnsettled commits not seen yet, then all is dropped; one question at a time to the server, at most one each kShortest.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "headroom/cache/cache.h"
#include "headroom/link/tags_out.h"
#include "headroom/net/task_group.h"
#include "headroom/postgres/decoding.h"
#include "headroom/sql/account.h"
#include "headroom/sql/cache_counts.h"
#include "headroom/sql/catalogue.h"
#include "headroom/sql/drop_positions.h"
#include "headroom/sql/snapshot.h"

namespace headroom::sql {

struct StreamReport {
  std::string state{};  // "current", "behind", or why not
  bool current = false;
  Duration behind{};    // how old the last sign is
  Duration bypassed{};  // in all: how long who asked was not answered from the cache because of it
  std::uint64_t commits = 0, flushes = 0, catalogues = 0, tables = 0;
};

// Of a role ("": of all) in this database, on the stream's worker.
struct Sessions {
  std::function<bool(const std::string& role)> any;    // there may be results of theirs
  std::function<void(const std::string& role)> renew;  // they begin otherwise than before
};

class ChangeStream {
 public:
  static constexpr Duration kShortest = 5ms;
  static constexpr std::size_t kMostUnsettled = 10'000;

  ChangeStream(net::Workers& workers, const postgres::Means& means, const Database& database,
               postgres::Credentials who, cache::Cache& cache, DatabaseCounts& counts,
               link::TagsOut* tags_out, Duration behind, bool may_be_blind, Sessions sessions);
  ChangeStream(const ChangeStream&) = delete;
  ChangeStream& operator=(const ChangeStream&) = delete;

  // From main's thread.
  void start();
  void stop();

  // Any thread, from here on. A no makes the stream look again soon.
  [[nodiscard]] bool current(TimePoint now);
  // Something was committed that may have changed anything: current() says no until the stream has passed this moment.
  void doubt();
  // The tables that a commit has changed, before anybody hears of it.
  void changed(std::span<const Oid> tables);
  // How often what is read of these has been dropped; now and then too high a number.
  [[nodiscard]] std::uint64_t drops_of(std::span<const Oid> tables) const;
  // What a replica must have to be read for a page, as DropPositions::needs().
  [[nodiscard]] std::optional<link::Position> page_needs(std::span<const Oid> tables) {
    return positions_.needs(tables);
  }
  // What tables are may have changed.
  void schema_changed();
  void flush();
  // The server's log cannot be decoded at all, and results may be kept all the same: what others write is not seen.
  [[nodiscard]] bool blind() const {
    return blind_.load(std::memory_order_acquire) &&
           !catalogue_stale_.load(std::memory_order_acquire);
  }
  // Null before it was read. `version()` of the newest one, without a lock.
  [[nodiscard]] CataloguePointer catalogue() const;
  [[nodiscard]] std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  [[nodiscard]] StreamReport report() const;
  [[nodiscard]] DatabaseCounts& counts() const { return counts_; }

  // Of everything that was read from this database; and of one table.
  [[nodiscard]] const std::string& tag() const { return tag_; }
  [[nodiscard]] std::string tag(Oid table) const;

 private:
  struct Commit {
    std::uint32_t xid = 0;
    std::vector<Oid> tables{};
    bool all = false;     // anything may have changed
    bool schema = false;  // what tables are may have changed
  };
  // A question to the server and its answer: what must have been decoded, and who is seen, as of a moment.
  struct Probe {
    TimePoint as_of;
    std::uint64_t position = 0;   // of the log; or
    std::uint64_t heartbeat = 0;  // the number of a message of ours
    Snapshot snapshot;
  };

  [[nodiscard]] net::Task<> run();
  [[nodiscard]] net::Task<Result<>> follow();
  [[nodiscard]] net::Task<Result<>> read_stream(postgres::Decoding& decoding);
  [[nodiscard]] net::Task<Result<>> ask_server(postgres::Server& server);
  [[nodiscard]] postgres::Credentials credentials() const;
  [[nodiscard]] bool follows_primary() const {
    return follows_.load(std::memory_order_acquire) == database_.cluster->primary();
  }
  [[nodiscard]] net::Task<Result<>> go_blind(postgres::Server& server);
  [[nodiscard]] net::Task<Result<>> probe(postgres::Server& server);
  [[nodiscard]] net::Task<Result<>> look_at_catalogue(postgres::Server& server);
  [[nodiscard]] bool is_own(const std::string& role) const;
  [[nodiscard]] bool put(std::shared_ptr<Catalogue> read, const std::vector<std::string>& concerned,
                         bool alike);
  [[nodiscard]] net::Task<> watch_opening(postgres::Server& server, postgres::Decoding& decoding,
                                          bool& opened);
  void take(const postgres::Decoded& line);
  void take_change(const postgres::Decoded& line);
  [[nodiscard]] std::uint64_t heartbeat_of(std::string_view content) const;
  void commit(std::uint32_t xid);
  void settle();
  void drop(const Commit& commit);
  void drop(std::span<const Oid> tables, DropBy by);
  void note_current(bool is, TimePoint now);
  void drop_again(const Commit& commit);
  void invalidate_all();
  void tell_cdn(const std::string& tag);
  void look_anew();
  void say(std::string state);

  net::Worker& worker_;
  const postgres::Means means_;
  const Database& database_;
  const postgres::Credentials who_;
  cache::Cache& cache_;
  DatabaseCounts& counts_;
  link::TagsOut* const tags_out_;  // what a CDN is to be told of; null: nobody is
  const Duration behind_;
  const bool may_be_blind_;
  const Sessions sessions_;
  const std::string tag_;
  const std::string instance_;  // other nodes send heartbeats, too
  DropPositions positions_;     // used where there are replicas
  std::unique_ptr<net::TaskGroup> group_;
  std::unique_ptr<net::Event> wake_;

  // The stream's own.
  std::uint64_t position_ = 0;
  std::uint64_t heartbeat_sent_ = 0, heartbeat_seen_ = 0;
  std::uint64_t heartbeat_begun_ = 0;  // in the transaction at hand
  bool has_content_ = false;           // the transaction at hand changes something, or is a message
  Commit open_{};                      // the transaction at hand
  std::vector<Commit> unsettled_;
  std::optional<Probe> probe_;
  TimePoint probed_{};
  TimePoint looked_{};
  Fingerprint fingerprint_;
  bool stream_ended_ = false;

  // Any thread's.
  std::atomic<bool> ready_{false};
  std::atomic<std::size_t> follows_{0};  // which of the database's servers
  std::atomic<bool> blind_{false};
  std::atomic<bool> catalogue_stale_{true};
  std::atomic<std::uint64_t> catalogue_doubts_{1};
  std::atomic<std::int64_t> verified_{0};
  std::atomic<std::int64_t> doubted_{0};
  std::atomic<std::int64_t> wanted_{0};
  std::atomic<bool> kicked_{false};
  std::atomic<bool> settling_{false};  // a commit has been read that may not be visible to all yet
  std::atomic<std::int64_t> next_probe_{0};
  std::atomic<std::uint64_t> version_{0};
  std::atomic<std::uint64_t> commits_{0}, flushes_{0};
  std::atomic<std::int64_t> bypassed_since_{0};
  std::atomic<bool> flushed_{
      false};  // since the start: who was told of pages before it is not known
  std::array<std::atomic<std::uint64_t>, 1024> drops_{};  // by the oid's rest
  mutable std::mutex mutex_;                              // a copy of a pointer, a line for people
  CataloguePointer catalogue_;
  std::string state_ = "starting";
};

}  // namespace headroom::sql
