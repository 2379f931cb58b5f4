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
  for (std::int64_t i = 0; i < Audit::kRefused + 50; ++i) audit.note(entry("/refused", 403));
  const auto all = *audit.newest(100'000);
  EXPECT_EQ(all.size(), static_cast<std::size_t>(Audit::kRefused + 1));
  EXPECT_EQ(all.back().path, "/done");
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
  audit.retry();
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
