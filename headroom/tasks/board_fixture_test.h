// headroom/tasks/board_fixture_test.h - a small language for tests of the board: a store in a directory of its own, a clock that is set by hand.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/tasks/board.h"
#include "headroom/tasks/sqlite_store.h"

namespace headroom::tasks {

// A store between the board and its file whose writing fails when it is told to.
class FailingStore final : public Store {
 public:
  explicit FailingStore(Store& behind) : behind_(behind) {}
  std::optional<Errc> fails{};  // every write
  bool commit_fails = false;

  [[nodiscard]] Result<> begin() override { return behind_.begin(); }
  [[nodiscard]] Result<> commit() override {
    if (commit_fails) return fail(Errc::overloaded, "no space (test)");
    return behind_.commit();
  }
  void roll_back() override { behind_.roll_back(); }
  [[nodiscard]] Result<> add(const Job& job, const Place& place) override {
    return fails ? broken() : behind_.add(job, place);
  }
  [[nodiscard]] Result<> move(std::string_view jid, const Place& from, const Place& to) override {
    return fails ? broken() : behind_.move(jid, from, to);
  }
  [[nodiscard]] Result<> rewrite(const Job& job) override {
    return fails ? broken() : behind_.rewrite(job);
  }
  [[nodiscard]] Result<> remove(const Place& place) override {
    return fails ? broken() : behind_.remove(place);
  }
  [[nodiscard]] Result<> put_queue(const StoredQueue& queue) override {
    return fails ? broken() : behind_.put_queue(queue);
  }
  [[nodiscard]] Result<> remove_queue(LaneId lane) override {
    return fails ? broken() : behind_.remove_queue(lane);
  }
  [[nodiscard]] Result<> put_share(const StoredShare& share) override {
    return fails ? broken() : behind_.put_share(share);
  }
  [[nodiscard]] Result<> remove_share(LaneId lane) override {
    return fails ? broken() : behind_.remove_share(lane);
  }
  [[nodiscard]] Result<> put_lock(const StoredLock& lock) override {
    return fails ? broken() : behind_.put_lock(lock);
  }
  [[nodiscard]] Result<> remove_lock(std::string_view key) override {
    return fails ? broken() : behind_.remove_lock(key);
  }
  [[nodiscard]] Result<> remove_old_locks(WallTime now) override {
    return fails ? broken() : behind_.remove_old_locks(now);
  }
  [[nodiscard]] Result<> put_note(const Note& note) override {
    return fails ? broken() : behind_.put_note(note);
  }
  [[nodiscard]] Result<> remove_note(std::string_view name) override {
    return fails ? broken() : behind_.remove_note(name);
  }
  [[nodiscard]] Result<> clear() override { return fails ? broken() : behind_.clear(); }
  [[nodiscard]] Result<std::vector<LaneCount>> counts() override { return behind_.counts(); }
  [[nodiscard]] Result<QueueCounts> counts_by_queue(LaneId lane, const Key& after,
                                                    std::size_t rows) override {
    return behind_.counts_by_queue(lane, after, rows);
  }
  [[nodiscard]] Result<std::uint64_t> last_seq() override { return behind_.last_seq(); }
  [[nodiscard]] Result<std::vector<StoredQueue>> queues() override { return behind_.queues(); }
  [[nodiscard]] Result<std::vector<StoredShare>> shares() override { return behind_.shares(); }
  [[nodiscard]] Result<std::vector<StoredLock>> locks() override { return behind_.locks(); }
  [[nodiscard]] Result<std::vector<Note>> notes(std::string_view prefix) override {
    return behind_.notes(prefix);
  }
  [[nodiscard]] Result<std::optional<std::string>> note(std::string_view name) override {
    return behind_.note(name);
  }
  [[nodiscard]] Result<StoredPage> read(LaneId lane, const Key& after, std::size_t limit,
                                        std::size_t bytes) override {
    return behind_.read(lane, after, limit, bytes);
  }
  [[nodiscard]] Result<std::string> body(std::uint64_t seq) override { return behind_.body(seq); }
  [[nodiscard]] Result<Search> search(const std::unordered_set<std::string>& jids,
                                      const Place& after, std::size_t rows) override {
    return behind_.search(jids, after, rows);
  }

 private:
  [[nodiscard]] Result<> broken() const { return fail(*fails, "the disk is gone (test)"); }
  Store& behind_;
};

class BoardTest : public ::testing::Test {
 protected:
  BoardTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("headroom-board-" + text::random_hex(8))),
        options_(tasks_section().defaults()) {
    now_.steady = Clock::now();
    now_.wall = *parse_time("2026-11-21T12:00:00Z");
  }
  ~BoardTest() override {
    board_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  // The board, opened on first use.
  Board& board() {
    if (!board_) open();
    return *board_;
  }
  FailingStore& faults() {
    (void)board();
    return *faults_;
  }
  void open() {
    auto opened = SqliteStore::open(directory_ / "tasks.db");
    HR_ASSERT(opened.has_value());
    store_ = std::move(*opened);
    faults_ = std::make_unique<FailingStore>(*store_);
    board_ = std::make_unique<Board>(*faults_, options_, 7);
    const auto loaded = board_->load(now_);
    HR_ASSERT(loaded.has_value());
  }
  // As after a kill -9: nothing is written down.
  void crash() {
    board_.reset();
    faults_.reset();
    store_.reset();
    open();
  }
  void restart() {
    ASSERT_TRUE(write([this](Board& b) { return b.park(now_); }).has_value());
    crash();
  }

  template <class F>
  Result<> write(F change) {
    Board& b = board();
    Result<> done = faults_->begin();
    Result<> own;
    if (done) own = change(b);
    if (b.store_error()) done = std::unexpected(*b.store_error());
    if (done) done = faults_->commit();
    if (!done) {
      faults_->roll_back();
      b.rolled_back();
      return done;
    }
    b.committed(now_);
    return own;
  }

  static std::string text(std::string_view jid, std::string_view more = "") {
    return fmt::format(R"({{"jid":"the-job-{}","jobtype":"T","args":[1]{}{}}})", jid,
                       more.empty() ? "" : ",", more);
  }
  Result<> push(std::string_view jid, std::string_view more = "") {
    auto job = read_job(text(jid, more), now_.wall);
    if (!job) return pass(job);
    return write([&](Board& b) { return b.push(*job, now_); });
  }
  // The jid of what was leased, without "the-job-"; "" when there was nothing.
  std::string take(std::string_view wid = "", std::vector<std::string> queues = {"default"}) {
    auto taken = board().take(queues, wid, now_);
    HR_ASSERT(taken.has_value());
    if (!*taken) return "";
    last_ = **taken;
    const auto document = json::parse((*taken)->body);
    HR_ASSERT(document.has_value());
    return std::string(document->root().find("jid")->string()->substr(8));
  }
  Result<> ack(std::string_view jid, std::string_view wid = "") {
    return write(
        [&](Board& b) { return b.acknowledge(fmt::format("the-job-{}", jid), wid, now_); });
  }
  Result<> fail_it(std::string_view jid, std::string_view wid = "") {
    return write([&](Board& b) {
      return b.fail_job(fmt::format("the-job-{}", jid), wid, {"E", "went wrong", {}}, now_);
    });
  }
  void connect(std::string_view wid) { board().connect({.wid = std::string(wid)}, now_); }
  // Time goes on by both clocks, and what it brings is done.
  void pass_time(Duration time) {
    now_.steady += time;
    now_.wall += std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    upkeep();
  }
  void upkeep() {
    for (int i = 0; i < 10; ++i) {
      ASSERT_TRUE(board().prepare(now_).has_value());
      if (!board().needs_upkeep(now_)) return;
      ASSERT_TRUE(write([&](Board& b) { return b.upkeep(now_); }).has_value());
    }
  }
  BoardStatus status() { return board().status(now_); }
  std::uint64_t waiting() {
    std::uint64_t sum = 0;
    for (const QueueStatus& queue : status().queues) sum += queue.waiting;
    return sum;
  }

  std::filesystem::path directory_;
  TasksOptions options_;
  Now now_;
  Leased last_;
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<FailingStore> faults_;
  std::unique_ptr<Board> board_;
};

}  // namespace headroom::tasks
