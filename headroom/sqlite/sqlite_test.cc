#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/text.h"
#include "headroom/sqlite/database.h"

namespace headroom::sqlite {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kSteps{
    "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT NOT NULL)",
    "ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'",
    "CREATE TABLE tags(note INTEGER NOT NULL REFERENCES notes(id), tag TEXT NOT NULL);"
    "CREATE UNIQUE INDEX tags_once ON tags(note, tag)",
};

class Sqlite : public testing::Test {
 protected:
  Sqlite() : directory_(fs::temp_directory_path() / ("headroom-sqlite-" + text::random_hex(8))) {}
  ~Sqlite() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }

  [[nodiscard]] fs::path file(std::string_view name = "state.db") const {
    return directory_ / name;
  }

  static std::unique_ptr<Database> opened(const fs::path& path, const Options& options = {}) {
    auto database = Database::open(path, options);
    EXPECT_TRUE(database) << database.error().message;
    return database ? std::move(*database) : nullptr;
  }
  void make() const { ASSERT_NE(notes(), nullptr); }
  [[nodiscard]] std::unique_ptr<Database> notes() const {
    auto database = opened(file());
    must(database->migrate(kSteps));
    return database;
  }
  static void must(const Result<>& result) {
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
  }
  static Result<> add(Database& database, std::string_view body) {
    return database.run("INSERT INTO notes(body) VALUES (?)", body);
  }
  static std::int64_t count(Database& database) {
    auto statement = database.prepare("SELECT count(*) FROM notes");
    EXPECT_TRUE(statement->step().value());
    return statement->column<std::int64_t>(0);
  }
  static unsigned mode(const fs::path& path) {
    struct stat found{};
    return ::stat(path.c_str(), &found) == 0 ? found.st_mode & 07777U : 0U;
  }

  fs::path directory_;
};

using Milliseconds = std::chrono::milliseconds;

TEST_F(Sqlite, AConnectionKeepsNoMoreOfItsFileInMemoryThanItMay) {
  const auto kept_of_eight_megabytes = [this](int cache_kib) {
    auto database = opened(file(fmt::format("{}.db", cache_kib)), {.cache_kib = cache_kib});
    must(database->migrate(kSteps));
    for (int i = 0; i < 2000; ++i)
      must(database->run("INSERT INTO notes(body) VALUES (?)", std::string(4000, 'x')));
    must(database->run("UPDATE notes SET author = 'somebody'"));
    return database->cached_bytes();
  };
  EXPECT_LT(kept_of_eight_megabytes(256), 768 << 10);
  EXPECT_GT(kept_of_eight_megabytes(4096), 3 << 20);
}

TEST_F(Sqlite, FileAndItsParentsAreMadeForTheOwnerAlone) {
  const auto database = opened(file("a/b/state.db"));
  must(database->execute("CREATE TABLE t(x)"));
  EXPECT_EQ(mode(file("a")), 0700U);
  EXPECT_EQ(mode(file("a/b")), 0700U);
  EXPECT_EQ(mode(file("a/b/state.db")), 0600U);
  EXPECT_EQ(mode(file("a/b/state.db-wal")), 0600U);
  EXPECT_EQ(mode(file("a/b/state.db-shm")), 0600U);
}

TEST_F(Sqlite, FileOpenToOthersIsTightened) {
  make();
  fs::permissions(file(), fs::perms(0644));
  make();
  EXPECT_EQ(mode(file()), 0600U);
}

TEST_F(Sqlite, CommittedMeansOnDisk) {
  const auto database = notes();
  auto pragma = [&](std::string_view sql) {
    auto statement = database->prepare(sql);
    EXPECT_TRUE(statement->step().value());
    return statement->column<std::string>(0);
  };
  EXPECT_EQ(pragma("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(pragma("PRAGMA synchronous"), "2");
  EXPECT_EQ(pragma("PRAGMA foreign_keys"), "1");
}

TEST_F(Sqlite, MissingFileIsNotFoundWhenItMustExist) {
  const auto database = Database::open(file(), {.must_exist = true});
  EXPECT_EQ(database.error().code, Errc::not_found);
  EXPECT_FALSE(fs::exists(file()));
}

TEST_F(Sqlite, ValuesOfEveryTypeComeBackAsTheyWent) {
  const auto database = opened(file());
  must(database->execute("CREATE TABLE t(a, b, c, d, e, f, g)"));
  const std::string_view raw("\0\xff x", 4);
  must(database->run("INSERT INTO t VALUES (?,?,?,?,?,?,?)", -7, std::string("h\0i", 3),
                     bytes_of(raw), 0.5, true, nullptr, std::optional<int>(9)));
  auto row = database->prepare("SELECT * FROM t");
  ASSERT_TRUE(row->step().value());
  EXPECT_EQ(row->column<int>(0), -7);
  EXPECT_EQ(row->column<std::string>(1), std::string("h\0i", 3));
  EXPECT_EQ(row->column<std::string_view>(2), raw);
  EXPECT_EQ(row->column<double>(3), 0.5);
  EXPECT_TRUE(row->column<bool>(4));
  EXPECT_EQ(row->column<std::optional<int>>(5), std::nullopt);
  EXPECT_EQ(row->column<std::optional<int>>(6), 9);
  EXPECT_FALSE(row->step().value());
}

TEST_F(Sqlite, OneTextMayBeOnLoanTwice) {
  const auto database = notes();
  must(add(*database, "a"));
  must(add(*database, "b"));
  auto outer = database->prepare("SELECT body FROM notes");
  ASSERT_TRUE(outer->step().value());
  {
    auto inner = database->prepare("SELECT body FROM notes");
    ASSERT_TRUE(inner->step().value());
    EXPECT_EQ(inner->column<std::string>(0), "a");
  }
  ASSERT_TRUE(outer->step().value());
  EXPECT_EQ(outer->column<std::string>(0), "b");
}

TEST_F(Sqlite, StatementCacheForgetsTheOldest) {
  const auto database = notes();
  for (int round = 0; round < 2; ++round)
    for (int i = 0; i < 200; ++i) must(database->run(fmt::format("SELECT {} + ?", i), 1));
  must(add(*database, "still fine"));
}

TEST_F(Sqlite, WrongSqlNamesFileAndText) {
  const auto database = notes();
  const auto done = database->run("INSERT INTO nowhere VALUES (1)");
  EXPECT_EQ(done.error().code, Errc::internal);
  EXPECT_THAT(done.error().message, testing::HasSubstr(file().string()));
  EXPECT_THAT(done.error().message, testing::HasSubstr("no such table: nowhere"));
}

TEST_F(Sqlite, TransactionThatIsNotCommittedLeavesNothing) {
  const auto database = notes();
  {
    auto transaction = Transaction::begin(*database);
    must(add(*database, "lost"));
  }
  EXPECT_EQ(count(*database), 0);
  auto transaction = Transaction::begin(*database);
  must(add(*database, "kept"));
  must(transaction->commit());
  EXPECT_EQ(count(*opened(file())), 1);
}

TEST_F(Sqlite, ConstraintIsAConflict) {
  const auto database = notes();
  const auto orphan = database->run("INSERT INTO tags(note, tag) VALUES (?, ?)", 99, "x");
  EXPECT_EQ(orphan.error().code, Errc::conflict);
}

TEST_F(Sqlite, EveryOlderSchemaIsUpgradedWithItsRows) {
  for (std::size_t old = 1; old <= kSteps.size(); ++old) {
    const fs::path path = file(fmt::format("v{}.db", old));
    {
      const auto database = opened(path);
      must(database->migrate(std::span(kSteps).first(old)));
      EXPECT_EQ(database->schema_version(), static_cast<std::int64_t>(old));
      must(add(*database, "from before"));
    }
    const auto database = opened(path);
    must(database->migrate(kSteps));
    EXPECT_EQ(database->schema_version(), 3);
    auto row = database->prepare("SELECT body, author FROM notes");
    ASSERT_TRUE(row->step().value());
    EXPECT_EQ(row->column<std::string>(0), "from before");
    EXPECT_EQ(row->column<std::string>(1), "nobody");
  }
}

TEST_F(Sqlite, NewerSchemaIsRefusedUntouched) {
  make();
  const auto old = opened(file());
  const auto done = old->migrate(std::span(kSteps).first(2));
  EXPECT_EQ(done.error().code, Errc::conflict);
  EXPECT_THAT(done.error().message,
              testing::HasSubstr("newer Headroom (schema version 3, this one knows 2)"));
  EXPECT_EQ(old->schema_version(), 3);
}

TEST_F(Sqlite, FailedUpgradeLeavesTheLastGoodVersionAndGoesOnLater) {
  const auto database = opened(file());
  const std::array<std::string_view, 2> broken{kSteps[0],
                                               "CREATE TABLE half(x); CREATE TABLE notes(y)"};
  const auto done = database->migrate(broken);
  EXPECT_THAT(done.error().message, testing::StartsWith("upgrade to schema version 2: "));
  EXPECT_EQ(database->schema_version(), 1);
  EXPECT_FALSE(database->prepare("SELECT * FROM half"));
  must(database->migrate(kSteps));
}

// Runs `act` in a process of its own.
template <class Act>
pid_t in_another_process(Act act) {
  const pid_t child = ::fork();
  if (child == 0) {
    act();
    ::_exit(0);
  }
  return child;
}

bool ends_well(pid_t child) {
  int status = -1;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_F(Sqlite, WriterInAnotherProcessMakesUsWaitThenUnavailableAndItRecovers) {
  make();
  std::array<int, 2> held{};
  std::array<int, 2> release{};
  ASSERT_EQ(::pipe(held.data()) + ::pipe(release.data()), 0);
  char byte = 0;
  const pid_t child = in_another_process([&] {
    const auto database = opened(file());
    auto transaction = Transaction::begin(*database);
    if (!add(*database, "theirs") || ::write(held[1], "x", 1) != 1 ||
        ::read(release[0], &byte, 1) != 1)
      ::_exit(1);
    if (!transaction->commit()) ::_exit(1);
  });
  ASSERT_EQ(::read(held[0], &byte, 1), 1);

  const auto ours = opened(file(), {.busy_timeout = Milliseconds(50)});
  EXPECT_EQ(count(*ours), 0);  // readers do not wait
  const auto busy = Transaction::begin(*ours);
  EXPECT_EQ(busy.error().code, Errc::unavailable);
  EXPECT_THAT(busy.error().message, testing::HasSubstr("another process or connection holds it"));

  ASSERT_EQ(::write(release[1], "x", 1), 1);
  EXPECT_TRUE(ends_well(child));
  must(add(*ours, "ours"));
  EXPECT_EQ(count(*ours), 2);
}

TEST_F(Sqlite, KilledWriterLeavesNothingHalfDoneAndNoLock) {
  make();
  const pid_t child = in_another_process([&] {
    const auto database = opened(file());
    auto transaction = Transaction::begin(*database);
    if (!add(*database, "half")) ::_exit(1);
    ::raise(SIGKILL);
  });
  EXPECT_FALSE(ends_well(child));
  const auto database = notes();
  EXPECT_EQ(count(*database), 0);
  must(add(*database, "next"));
}

TEST_F(Sqlite, ManyProcessesMayMakeAndUpgradeOneFileAtOnce) {
  fs::create_directory(directory_);
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i)
    children.push_back(in_another_process([&] {
      auto database = Database::open(file());
      if (!database || !(*database)->migrate(kSteps) || !add(**database, "one")) ::_exit(1);
    }));
  for (const pid_t child : children) EXPECT_TRUE(ends_well(child));
  EXPECT_EQ(count(*notes()), 6);
}

TEST_F(Sqlite, DataVersionChangesWhenAnotherConnectionCommits) {
  const auto ours = notes();
  const auto theirs = notes();
  const auto before = ours->data_version().value();
  must(add(*ours, "own"));
  EXPECT_EQ(ours->data_version(), before);
  must(add(*theirs, "other"));
  EXPECT_NE(ours->data_version(), before);
}

TEST_F(Sqlite, FullFileIsOverloadedKeepsWhatWasCommittedAndRecovers) {
  const auto database = notes();
  must(database->execute("PRAGMA max_page_count = 20"));
  const std::string body(3000, 'x');
  Result<> last;
  std::int64_t kept = 0;
  while ((last = add(*database, body))) ++kept;
  EXPECT_EQ(last.error().code, Errc::overloaded);
  EXPECT_THAT(last.error().message, testing::HasSubstr("full; free space on its disk"));
  EXPECT_EQ(count(*database), kept);
  must(database->execute("PRAGMA max_page_count = 1000"));
  must(add(*database, body));
  must(database->check_integrity());
}

TEST_F(Sqlite, FullDiskIsOverloadedAndRecovers) {
  fs::create_directory(directory_);
  if (::mount("none", directory_.c_str(), "tmpfs", 0, "size=400k") != 0)
    GTEST_SKIP() << "mounting a small disk needs root";
  {
    const auto database = notes();
    const std::string body(3000, 'x');
    Result<> last;
    while ((last = add(*database, body))) {
    }
    EXPECT_EQ(last.error().code, Errc::overloaded) << last.error().message;
    const auto kept = count(*database);
    EXPECT_GT(kept, 0);
    EXPECT_EQ(::mount("none", directory_.c_str(), "tmpfs", MS_REMOUNT, "size=4m"), 0);
    must(add(*database, body));
    EXPECT_EQ(count(*database), kept + 1);
    must(database->check_integrity());
  }
  EXPECT_EQ(::umount(directory_.c_str()), 0);
}

TEST_F(Sqlite, ALogThatGrowsInStepsLeavesASmallDiskItsLastRoom) {
  fs::create_directory(directory_);
  if (::mount("none", directory_.c_str(), "tmpfs", 0, "size=400k") != 0)
    GTEST_SKIP() << "mounting a small disk needs root";
  {
    auto database = opened(file(), {.wal_step_pages = 256});  // a MiB at once
    must(database->migrate(kSteps));
    must(add(*database, "small"));
    EXPECT_GT(fs::space(directory_).available, 100U << 10);
    EXPECT_EQ(count(*database), 1);
  }
  EXPECT_EQ(::umount(directory_.c_str()), 0);
}

void overwrite(const fs::path& path, std::streamoff at, std::string_view bytes) {
  std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(at);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST_F(Sqlite, FileThatIsNoDatabaseIsRefusedByName) {
  fs::create_directory(directory_);
  std::ofstream(file()) << std::string(5000, 'z');
  const auto database = Database::open(file());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Errc::internal);
  EXPECT_THAT(database.error().message,
              testing::StartsWith(file().string() + ": file is not a database"));
  EXPECT_THAT(database.error().message, testing::HasSubstr("restore a backup"));
}

TEST_F(Sqlite, DamagedSchemaIsRefusedAtOpen) {
  make();
  overwrite(file(), 100, std::string(3000, '\xee'));
  const auto database = Database::open(file());
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().code, Errc::internal);
  EXPECT_THAT(database.error().message, testing::HasSubstr("it is damaged: restore a backup"));
}

TEST_F(Sqlite, DamagedPageIsFoundByTheIntegrityCheck) {
  {
    const auto database = notes();
    for (int i = 0; i < 50; ++i) must(add(*database, std::string(1000, 'n')));
    must(database->check_integrity());
  }
  overwrite(file(), 5 * 4096, std::string(4096, '\xee'));
  const auto checked = opened(file())->check_integrity();
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::internal);
  EXPECT_THAT(checked.error().message, testing::StartsWith(file().string()));
}

TEST_F(Sqlite, BackupOfALiveFileIsWholeAndRestores) {
  const auto database = notes();
  for (int i = 0; i < 100; ++i) must(add(*database, "before"));
  const fs::path copy = file("copies/state.db");
  must(database->backup_to(copy));
  must(add(*database, "after"));
  EXPECT_EQ(mode(copy), 0600U);
  EXPECT_FALSE(fs::exists(copy.string() + "-wal"));
  EXPECT_FALSE(fs::exists(copy.string() + ".part"));
  const auto restored = opened(copy);
  must(restored->migrate(kSteps));
  EXPECT_EQ(count(*restored), 100);
  must(add(*restored, "goes on"));
}

TEST_F(Sqlite, BackupReplacesAnOlderOneWholeOrNotAtAll) {
  const auto database = notes();
  const fs::path copy = file("copy.db");
  must(database->backup_to(copy));
  must(add(*database, "new"));
  must(database->backup_to(copy));
  EXPECT_EQ(count(*opened(copy)), 1);
  const auto refused = database->backup_to(file("copy.db/inside.db"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(count(*opened(copy)), 1);
}

TEST_F(Sqlite, BackupGoesOnWhileAnotherConnectionWrites) {
  const auto database = notes();
  const auto writer = notes();
  auto transaction = Transaction::begin(*writer);
  must(add(*writer, "not yet"));
  must(database->backup_to(file("copy.db")));
  must(transaction->commit());
  EXPECT_EQ(count(*opened(file("copy.db"))), 0);
}

}  // namespace
}  // namespace headroom::sqlite
