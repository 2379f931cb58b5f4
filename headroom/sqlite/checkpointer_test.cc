#include "headroom/sqlite/checkpointer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <thread>

#include "headroom/base/text.h"

namespace headroom::sqlite {
namespace {

constexpr std::uint32_t kBegin = 2000;

class CheckpointerTest : public ::testing::Test {
 protected:
  CheckpointerTest()
      : directory_(std::filesystem::temp_directory_path() /
                   ("headroom-checkpoint-" + text::random_hex(8))),
        path_(directory_ / "test.db") {
    writer_ = *Database::open(path_, {.wal_autocheckpoint_pages = 0});
    EXPECT_TRUE(writer_->execute("CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT)").has_value());
    checkpointer_ = *Checkpointer::open(path_, kBegin);
  }
  ~CheckpointerTest() override {
    checkpointer_.reset();
    writer_.reset();
    std::filesystem::remove_all(directory_);
  }
  // A commit of a hundred pages and some; the longest the log has been since.
  void write(int times) {
    for (int i = 0; i < times; ++i) {
      const std::string body(400'000, static_cast<char>('a' + written_ % 26));
      ASSERT_TRUE(
          writer_->run("INSERT INTO t(id, body) VALUES (?, ?)", ++written_, body).has_value());
      checkpointer_->committed(*writer_);
      longest_ = std::max(longest_, writer_->wal_pages());
    }
  }
  // Until the log begins anew; a disk may be slow.
  bool begins_anew() {
    const std::uint32_t before = writer_->wal_pages();
    for (int i = 0; i < 2000; ++i) {
      if (writer_->wal_pages() < before) return true;
      EXPECT_TRUE(writer_->run("UPDATE t SET id = id WHERE id = 1").has_value());
      checkpointer_->committed(*writer_);
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  std::filesystem::path directory_;
  std::filesystem::path path_;
  std::unique_ptr<Database> writer_;
  std::unique_ptr<Checkpointer> checkpointer_;
  int written_ = 0;
  std::uint32_t longest_ = 0;
};

// The lengths that the log's file had while there were so many small commits.
std::set<std::uintmax_t> lengths_of_log(Database& writer, int commits) {
  std::set<std::uintmax_t> lengths;
  for (int i = 0; i < commits; ++i) {
    auto transaction = Transaction::begin(writer);
    EXPECT_TRUE(writer.run("INSERT INTO t(body) VALUES ('x')").has_value());
    EXPECT_TRUE(transaction->commit().has_value());
    lengths.insert(std::filesystem::file_size(writer.path() + "-wal"));
  }
  return lengths;
}

TEST_F(CheckpointerTest, ALogThatGrowsInStepsIsAsLongAfterMostCommitsAsBefore) {
  EXPECT_GE(lengths_of_log(*writer_, 300).size(), 300U);
  writer_ = *Database::open(path_, {.wal_autocheckpoint_pages = 0, .wal_step_pages = 256});
  EXPECT_LE(lengths_of_log(*writer_, 300).size(), 3U);
}

TEST_F(CheckpointerTest, WhatLiesInALogThatGrewInStepsIsThereAfterACrash) {
  writer_ = *Database::open(path_, {.wal_autocheckpoint_pages = 0, .wal_step_pages = 256});
  (void)lengths_of_log(*writer_, 500);
  const std::filesystem::path crashed = directory_ / "crashed.db";  // as a kill leaves it
  std::filesystem::copy_file(path_, crashed);
  std::filesystem::copy_file(path_.string() + "-wal", crashed.string() + "-wal");
  auto again = *Database::open(crashed);
  auto count = again->prepare("SELECT count(*) FROM t");
  ASSERT_TRUE(*count->step());
  EXPECT_EQ(count->column<int>(0), 500);
}

TEST_F(CheckpointerTest, ALogThatIsLongBeginsAnewWhileTheWriterGoesOn) {
  write(30);
  EXPECT_GE(longest_, kBegin);  // nobody else copies it
  EXPECT_TRUE(begins_anew());
  write(60);
  EXPECT_TRUE(begins_anew());
  EXPECT_TRUE(writer_->check_integrity().has_value());
  checkpointer_.reset();
  writer_.reset();
  writer_ = *Database::open(path_);
  auto count = writer_->prepare("SELECT count(*), sum(length(body)) FROM t");
  ASSERT_TRUE(count.has_value());
  ASSERT_TRUE(*count->step());
  EXPECT_EQ(count->column<int>(0), written_);
  EXPECT_EQ(count->column<std::int64_t>(1), written_ * std::int64_t{400'000});
}

TEST_F(CheckpointerTest, AReaderThatStaysIsNotDisturbedAndTheLogBeginsAnewAfterIt) {
  write(1);
  auto reader = *Database::open(path_);
  ASSERT_TRUE(reader->execute("BEGIN").has_value());
  {
    auto seen = reader->prepare("SELECT count(*) FROM t");
    ASSERT_TRUE(*seen->step());
    EXPECT_EQ(seen->column<int>(0), 1);
  }
  write(60);
  {
    auto seen = reader->prepare("SELECT count(*) FROM t");
    ASSERT_TRUE(*seen->step());
    EXPECT_EQ(seen->column<int>(0), 1);
  }
  EXPECT_GT(writer_->wal_pages(), 2 * kBegin);
  ASSERT_TRUE(reader->execute("COMMIT").has_value());
  reader.reset();
  write(30);  // it is tried again some pages later
  EXPECT_TRUE(begins_anew());
}

}  // namespace
}  // namespace headroom::sqlite
