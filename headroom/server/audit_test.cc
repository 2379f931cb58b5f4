#include "headroom/server/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace headroom::server {
namespace {

struct AuditFile : testing::Test {
  std::filesystem::path directory = std::filesystem::temp_directory_path() /
                                    ("headroom-audit-test-" + std::to_string(::getpid()));
  AuditFile() { std::filesystem::create_directories(directory); }
  ~AuditFile() override { std::filesystem::remove_all(directory); }
  static AuditEntry entry(std::string path, unsigned status = 200) {
    return {.who = "ann",
            .role = "operator",
            .from = "::1",
            .method = "POST",
            .path = std::move(path),
            .status = status};
  }
  static std::vector<std::string> paths(Audit& audit, std::size_t most, std::int64_t before = 0) {
    std::vector<std::string> all;
    for (const AuditEntry& each : *audit.newest(most, before)) all.push_back(each.path);
    return all;
  }
};

TEST_F(AuditFile, TheNewestComeFirstPageByPageAlsoAfterARestart) {
  {
    Audit audit(audit_path(directory));
    for (int i = 1; i <= 5; ++i) audit.note(entry("/" + std::to_string(i)));
  }
  Audit audit(audit_path(directory));
  EXPECT_THAT(paths(audit, 2), testing::ElementsAre("/5", "/4"));
  const auto last = audit.newest(2)->back();
  EXPECT_THAT(paths(audit, 2, last.id), testing::ElementsAre("/3", "/2"));
  EXPECT_EQ(last.who, "ann");
  EXPECT_GT(last.at, 1'600'000'000);
}

TEST_F(AuditFile, WhatWasRefusedIsBoundedByItselfAndPushesNothingOut) {
  Audit audit(audit_path(directory));
  audit.note(entry("/done"));
  // As one would be that waited for the disk: many at once.
  for (std::int64_t i = 0; i < Audit::kRefused + 50; ++i) {
    AuditEntry refused = entry("/refused", 403);
    refused.who = std::to_string(i);
    audit.note(std::move(refused));
  }
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.size(), static_cast<std::size_t>(Audit::kRefused + 1));
  EXPECT_EQ(all.back().path, "/done");
}

TEST_F(AuditFile, TheSameRefusalAgainIsACountOnItsEntry) {
  Audit audit(audit_path(directory));
  for (int i = 0; i < 3; ++i) audit.note(entry("/a", 403));
  for (int i = 0; i < 4; ++i) (void)audit.note_later(entry("/a", 403));
  audit.note(entry("/a", 409));
  AuditEntry later = entry("/a", 403);
  later.at = audit.newest(1)->front().at + Audit::kRepeated + 10;
  audit.note(later);
  const auto all = *audit.newest(10);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].times, 1);
  EXPECT_EQ(all[1].status, 409U);
  EXPECT_EQ(all[2].times, 7);
}

TEST_F(AuditFile, WhoIsRefusedForeverHidesNeitherWhatTheyTriedNorWhatOthersDid) {
  Audit audit(audit_path(directory));
  AuditEntry others = entry("/others", 403);
  others.who = "bob";
  audit.note(others);
  audit.note(entry("/api/v1/tokens/admin", 403));
  for (int i = 0; i < 3000; ++i) audit.note(entry("/dull/" + std::to_string(i), 403));
  const auto all = *audit.newest(100'000);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(Audit::kRefusedOfOne) + 2);
  EXPECT_EQ(all.back().path, "/others");
  EXPECT_EQ(all[all.size() - 2].path, "/api/v1/tokens/admin");
  EXPECT_EQ(all.front().path, "further refusals");
  std::int64_t times = 0;
  for (const AuditEntry& each : all) times += each.times;
  EXPECT_EQ(times, 3002);
}

TEST_F(AuditFile, WhoSignsInAndOutForeverPushesOutNothingElse) {
  Audit audit(audit_path(directory));
  audit.note(entry("/done"));
  audit.note(entry("/refused", 403));
  for (std::int64_t i = 0; i < 3 * Audit::kSignIns; ++i) {
    (void)audit.note_later(entry("/api/v1/session", i % 2 == 0 ? 201 : 200));
    if (i % 500 == 0) audit.write_waiting();
  }
  audit.write_waiting();
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.size(), static_cast<std::size_t>(Audit::kSignIns + 2));
  EXPECT_EQ(all.back().path, "/done");
  EXPECT_EQ(audit.lost(), 0U);
}

TEST_F(AuditFile, WhoFailsToSignInForeverPushesOutNoRefusal) {
  Audit audit(audit_path(directory));
  audit.note(entry("/refused", 403));
  audit.note(entry("/api/v1/session", 201));
  for (std::int64_t i = 0; i < 3 * Audit::kSignIns; ++i) {
    (void)audit.note_later(entry("/api/v1/session", 401));
    if (i % 500 == 0) audit.write_waiting();
  }
  audit.write_waiting();
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.size(), static_cast<std::size_t>(Audit::kSignIns + 2));
  EXPECT_EQ(all.back().path, "/refused");
}

TEST_F(AuditFile, WhatIsNotedLaterIsWrittenAtOnceWithAllThatWaitsAndAskedForOnce) {
  Audit audit(audit_path(directory));
  EXPECT_EQ(audit.note_later(entry("/1")), Audit::Write::ask_for_it);
  EXPECT_EQ(audit.note_later(entry("/2")), Audit::Write::is_asked_for);
  EXPECT_FALSE(std::filesystem::exists(audit_path(directory)));  // no disk was waited for
  audit.write_waiting();
  EXPECT_THAT(paths(audit, 9), testing::ElementsAre("/2", "/1"));
  EXPECT_EQ(audit.note_later(entry("/3")), Audit::Write::ask_for_it);
  audit.note(entry("/4"));
  EXPECT_THAT(paths(audit, 9), testing::ElementsAre("/4", "/3", "/2", "/1"));
}

TEST_F(AuditFile, WhatIsLostIsCountedAndSaidInTheLogItselfAndRefusalsDisplaceNoChange) {
  Audit audit(audit_path(directory));
  (void)audit.note_later(entry("/done"));
  for (std::size_t i = 0; i < Audit::kWaiting + 7; ++i)
    (void)audit.note_later(entry("/refused/" + std::to_string(i), 401));
  EXPECT_EQ(audit.lost(), 7U);
  audit.write_waiting();
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.back().path, "/done");
  EXPECT_EQ(all.front().path, "7 entries were lost");
}

TEST_F(AuditFile, OfWhatWaitsForTheDiskEachKindIsBoundedAndTheOldestGo) {
  const auto place = directory / "not-yet";
  {
    std::ofstream(place) << "a file where a directory must be";
  }
  Audit audit(audit_path(place));
  audit.note(entry("/first"));
  for (std::size_t i = 0; i < Audit::kWaiting; ++i) {
    (void)audit.note_later(entry("/" + std::to_string(i)));
    if (i % 100 == 0) audit.write_waiting();  // fails, and puts back
  }
  EXPECT_EQ(audit.lost(), 1U);
  std::filesystem::remove(place);
  audit.write_waiting();
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.size(), Audit::kWaiting + 1);
  EXPECT_EQ(all.front().path, "1 entry was lost");
  EXPECT_EQ(all.back().path, "/0");
}

TEST_F(AuditFile, AFileOfTheFirstSchemaIsBroughtUp) {
  auto old = sqlite::Database::open(audit_path(directory));
  ASSERT_TRUE(old);
  ASSERT_TRUE((*old)->execute(
      "CREATE TABLE entries(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, who TEXT "
      "NOT NULL, role TEXT NOT NULL, source TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT "
      "NULL, status INTEGER NOT NULL); CREATE INDEX refused ON entries(id) WHERE status >= 400;"
      "CREATE INDEX done ON entries(id) WHERE status < 400; INSERT INTO entries(at, who, role, "
      "source, method, path, status) VALUES (1, 'ann', '', '', '', '/old', 200); PRAGMA "
      "user_version = 1"));
  old->reset();
  Audit audit(audit_path(directory));
  audit.note(entry("/new"));
  EXPECT_THAT(paths(audit, 9), testing::ElementsAre("/new", "/old"));
}

TEST_F(AuditFile, WhatTheDiskRefusesWaitsAndIsWrittenLater) {
  const auto place = directory / "not-yet";
  {
    std::ofstream(place) << "a file where a directory must be";
  }
  Audit audit(audit_path(place));
  audit.note(entry("/1"));
  EXPECT_EQ(audit.health().size(), 1U);
  EXPECT_FALSE(audit.newest(1));
  std::filesystem::remove(place);
  audit.write_waiting();
  EXPECT_TRUE(audit.health().empty());  // and it recovers
  audit.note(entry("/2"));
  EXPECT_THAT(paths(audit, 9), testing::ElementsAre("/2", "/1"));
}

TEST_F(AuditFile, LongTextsAreCut) {
  Audit audit(audit_path(directory));
  audit.note(entry(std::string(10'000, 'x')));
  EXPECT_EQ(audit.newest(1)->front().path.size(), Audit::kLongest);
}

}  // namespace
}  // namespace headroom::server
