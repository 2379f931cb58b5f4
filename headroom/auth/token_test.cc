#include "headroom/auth/token.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "headroom/auth/token_store.h"
#include "headroom/base/text.h"

namespace headroom::auth {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'800'000'000)};

TEST(Role, IsOrderedAndRead) {
  EXPECT_LT(Role::none, Role::viewer);
  EXPECT_LT(Role::viewer, Role::operator_);
  EXPECT_LT(Role::operator_, Role::admin);
  for (const Role role : {Role::viewer, Role::operator_, Role::admin})
    EXPECT_EQ(parse_role(to_string(role)), role);
  for (const char* text : {"", "none", "Admin", "root", "viewer "})
    EXPECT_EQ(parse_role(text).error().code, Errc::invalid) << text;
}

TEST(Role, MayDoAllOfLessAndNothingWithoutOne) {
  const Identity viewer{.name = "v", .role = Role::viewer};
  EXPECT_TRUE(viewer.may(Role::viewer));
  EXPECT_FALSE(viewer.may(Role::operator_));
  EXPECT_FALSE(Identity{}.may(Role::none));
}

TEST(Token, IsLongRandomAndRecognisable) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string token = make_token();
    EXPECT_EQ(token.size(), 51U);
    EXPECT_TRUE(looks_like_token(token));
    EXPECT_TRUE(digest_of_token(token));
    EXPECT_TRUE(seen.insert(token).second);
  }
}

TEST(Token, MistypedTruncatedAndForeignTextsAreRefusedWithoutBeingShown) {
  const std::string token = make_token();
  std::vector<std::string> bad{"",
                               "hr_",
                               token.substr(0, 50),
                               token + "A",
                               token + " ",
                               "HR_" + token.substr(3),
                               token.substr(3)};
  for (std::size_t i = 3; i < token.size(); ++i) {
    bad.push_back(token);
    bad.back()[i] = bad.back()[i] == 'A' ? 'B' : 'A';
  }
  for (const std::string& text : bad) {
    const auto digest = digest_of_token(text);
    ASSERT_FALSE(digest) << text;
    EXPECT_THAT(digest.error().message, testing::Not(testing::HasSubstr(token.substr(10, 20))));
  }
}

TEST(Token, OfTheSettingsIsGivenPlainOrAsItsDigest) {
  const std::string token = make_token();
  const auto plain = configured_token("ci", Role::viewer, token);
  const auto hashed =
      configured_token("ci", Role::viewer, "sha256:" + text::hex(text_of(sha256(token))));
  ASSERT_TRUE(plain && hashed);
  EXPECT_EQ(plain->digest, hashed->digest);
  EXPECT_FALSE(configured_token("ci", Role::viewer, "secret"));
  EXPECT_FALSE(configured_token("ci", Role::viewer, "sha256:12"));
  EXPECT_FALSE(configured_token("ci", Role::viewer, "sha256:" + std::string(64, 'G')));
  EXPECT_FALSE(configured_token("no spaces", Role::viewer, token));
}

TEST(TokenTable, FindsATokenUntilItExpires) {
  const std::string a = make_token();
  const std::string b = make_token();
  const TokenTable table(
      {{.name = "a", .role = Role::viewer, .digest = sha256(a)},
       {.name = "b", .role = Role::admin, .digest = sha256(b), .expires = kNow + seconds(10)}});
  EXPECT_EQ(table.find(a, kNow)->name, "a");
  EXPECT_EQ(table.find(b, kNow)->role, Role::admin);
  EXPECT_FALSE(table.find(b, kNow + seconds(10)));
  EXPECT_FALSE(table.find(make_token(), kNow));
  EXPECT_EQ(table.find_id(table.find(a, kNow)->token_id, kNow)->name, "a");
  EXPECT_FALSE(table.find_id("", kNow));
  EXPECT_FALSE(table.find_id(base64url(random_bytes(16)), kNow));
}

TEST(TokenTable, NotesUsesToTheMinute) {
  const std::string token = make_token();
  const TokenTable table({{.name = "a", .role = Role::viewer, .digest = sha256(token)}});
  EXPECT_TRUE(table.take_uses().empty());
  ASSERT_TRUE(table.find(token, kNow));
  ASSERT_TRUE(table.find(token, kNow + seconds(30)));
  const auto uses = table.take_uses();
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_EQ(uses[0].last, kNow);
  EXPECT_TRUE(table.take_uses().empty());
  ASSERT_TRUE(table.find(token, kNow + seconds(61)));
  EXPECT_EQ(table.take_uses().at(0).last, kNow + seconds(61));
}

TEST(TokenTable, ManyWorkersReadItWhileUsesAreTaken) {
  const std::string token = make_token();
  const TokenTable table({{.name = "a", .role = Role::viewer, .digest = sha256(token)}});
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker)
    workers.emplace_back([&, worker] {
      for (int i = 0; i < 500; ++i)
        EXPECT_TRUE(table.find(token, kNow + seconds(100 * i + worker)));
    });
  std::size_t taken = 0;
  for (int i = 0; i < 100; ++i) taken += table.take_uses().size();
  for (std::thread& worker : workers) worker.join();
  EXPECT_GE(taken + table.take_uses().size(), 1U);
}

class Store : public testing::Test {
 protected:
  Store() : directory_(fs::temp_directory_path() / ("headroom-auth-" + text::random_hex(8))) {}
  ~Store() override {
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
  }
  [[nodiscard]] fs::path file() const { return directory_ / "tokens.db"; }
  [[nodiscard]] std::unique_ptr<TokenStore> opened() const {
    auto store = TokenStore::open(file());
    EXPECT_TRUE(store) << store.error().message;
    return store ? std::move(*store) : nullptr;
  }
  static std::string created(TokenStore& store, const std::string& name, Role role = Role::viewer) {
    auto token = store.create({.name = name, .role = role}, kNow);
    EXPECT_TRUE(token) << token.error().message;
    return token.value_or("");
  }
  // All bytes of the state directory.
  [[nodiscard]] std::string bytes_on_disk() const {
    std::string all;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      std::ifstream stream(entry.path(), std::ios::binary);
      all.append(std::istreambuf_iterator<char>(stream), {});
    }
    return all;
  }
  fs::path directory_;
};

TEST_F(Store, CreatedTokenIsFoundAfterARestart) {
  const std::string token = created(*opened(), "ci", Role::operator_);
  const auto found = opened()->find(token, kNow);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->name, "ci");
  EXPECT_EQ(found->role, Role::operator_);
  EXPECT_EQ(opened()->find(make_token(), kNow).error().code, Errc::unauthorized);
}

TEST_F(Store, FileIsForItsOwnerAlone) {
  opened()->find("", kNow).error();
  struct stat found{};
  ASSERT_EQ(::stat(file().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0600U);
  ASSERT_EQ(::stat(directory_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0700U);
}

TEST_F(Store, NoPartOfATokenIsOnDiskOrInTheList) {
  const auto store = opened();
  const std::string token = created(*store, "ci");
  const std::string body = token.substr(3);
  std::string listed;
  for (const TokenRecord& record : store->list().value()) listed += record.name;
  for (const std::string& all : {bytes_on_disk(), listed}) {
    EXPECT_EQ(all.find(body.substr(0, 12)), std::string::npos);
    EXPECT_EQ(all.find(body.substr(20, 12)), std::string::npos);
    EXPECT_EQ(all.find(from_base64url(body)->substr(0, 12)), std::string::npos);
  }
  EXPECT_NE(bytes_on_disk().find("ci"), std::string::npos);
}

TEST_F(Store, LiveNameIsRefusedUntilItsTokenIsRevoked) {
  const auto store = opened();
  created(*store, "ci");
  const auto second = store->create({.name = "ci", .role = Role::admin}, kNow);
  EXPECT_EQ(second.error().code, Errc::conflict);
  EXPECT_EQ(second.error().message,
            "a token named 'ci' exists; revoke it first or choose another name");
  ASSERT_TRUE(store->revoke("ci", kNow));
  created(*store, "ci");
  EXPECT_EQ(store->list()->size(), 2U);
}

TEST_F(Store, BadRequestsAreRefused) {
  const auto store = opened();
  const std::vector<TokenRequest> bad{
      {.name = "", .role = Role::viewer},
      {.name = "-x", .role = Role::viewer},
      {.name = "a b", .role = Role::viewer},
      {.name = "a\n", .role = Role::viewer},
      {.name = std::string(65, 'a'), .role = Role::viewer},
      {.name = "fine", .role = Role::none},
      {.name = "fine", .role = Role::viewer, .expires = kNow},
  };
  for (const TokenRequest& request : bad)
    EXPECT_EQ(store->create(request, kNow).error().code, Errc::invalid);
  EXPECT_TRUE(store->list()->empty());
}

TEST_F(Store, RevokedTokenIsNotFoundButStillListed) {
  const auto store = opened();
  const std::string token = created(*store, "ci");
  ASSERT_TRUE(store->revoke("ci", kNow + seconds(5)));
  EXPECT_FALSE(store->find(token, kNow + seconds(5)));
  EXPECT_EQ(store->revoke("ci", kNow).error().code, Errc::not_found);
  const auto records = store->list().value();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].created, kNow);
  EXPECT_EQ(records[0].revoked, kNow + seconds(5));
}

TEST_F(Store, TokenExpires) {
  const auto store = opened();
  const auto token =
      store->create({.name = "ci", .role = Role::viewer, .expires = kNow + seconds(60)}, kNow);
  EXPECT_TRUE(store->find(*token, kNow + seconds(59)));
  EXPECT_FALSE(store->find(*token, kNow + seconds(60)));
  EXPECT_EQ(store->list()->at(0).expires, kNow + seconds(60));
}

TEST_F(Store, PollGivesATableOnlyWhenSomethingChanged) {
  const auto server = opened();
  ASSERT_NE(server->poll(kNow).value(), nullptr);
  EXPECT_EQ(server->poll(kNow).value(), nullptr);
  const std::string own = created(*server, "own");
  EXPECT_TRUE(server->poll(kNow).value()->find(own, kNow));
  EXPECT_EQ(server->poll(kNow).value(), nullptr);
}

TEST_F(Store, TokenMadeByAnotherProcessReachesTheRunningServer) {
  const auto server = opened();
  ASSERT_TRUE(server->poll(kNow));
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = TokenStore::open(file());
    const auto token = (*store)->create({.name = "beside", .role = Role::admin}, kNow);
    ::_exit(token && ::write(pipe[1], token->data(), token->size()) == 51 ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  std::string token(51, '\0');
  ASSERT_EQ(::read(pipe[0], token.data(), token.size()), 51);
  const auto table = server->poll(kNow).value();
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->find(token, kNow)->name, "beside");
  ASSERT_TRUE(opened()->revoke("beside", kNow));
  EXPECT_FALSE(server->poll(kNow).value()->find(token, kNow));
}

TEST_F(Store, ConfiguredTokensAreInEveryTable) {
  const auto server = opened();
  const std::string token = make_token();
  server->configure({*configured_token("fixed", Role::viewer, token)});
  EXPECT_TRUE(server->poll(kNow).value()->find(token, kNow));
  server->configure({});
  EXPECT_FALSE(server->poll(kNow).value()->find(token, kNow));
}

TEST_F(Store, LastUseIsWrittenOnceAMinuteAndBeforeATableIsReplaced) {
  const auto server = opened();
  const std::string token = created(*server, "ci");
  const auto table = server->poll(kNow).value();
  EXPECT_TRUE(table->find(token, kNow + seconds(1)));
  ASSERT_TRUE(server->poll(kNow + hours(1)));
  EXPECT_EQ(server->list()->at(0).last_used, kNow + seconds(1));
  EXPECT_TRUE(table->find(token, kNow + hours(2)));
  created(*opened(), "another");
  ASSERT_NE(server->poll(kNow + hours(2)).value(), nullptr);
  EXPECT_EQ(server->list()->at(1).last_used, kNow + hours(2));
}

TEST_F(Store, AnEndedSessionIsSoInEveryProcessUntilItsCookieHasExpired) {
  const auto server = opened();
  const SessionMark session{.id = "one", .begun = kNow, .expires = kNow + hours(1)};
  EXPECT_FALSE(server->poll(kNow).value()->ended(session));
  ASSERT_TRUE(opened()->end_session(session, kNow));
  EXPECT_TRUE(server->poll(kNow).value()->ended(session));
  EXPECT_FALSE(server->poll(kNow).value());  // nothing new
  const SessionMark other{.id = "two", .begun = kNow, .expires = kNow + hours(2)};
  ASSERT_TRUE(server->end_session(
      other, kNow + hours(1)));  // forgets the first one, which no cookie has any more
  const auto table = server->poll(kNow + hours(1)).value();
  EXPECT_FALSE(table->ended(session));
  EXPECT_TRUE(table->ended(other));
}

TEST_F(Store, WhoSignsOutTooOftenEndsAllOfTheirOwnSessionsAndNobodyElses) {
  const auto server = opened();
  const auto mark = [](std::string id, std::string owner, WallTime begun) {
    return SessionMark{std::move(id), begun, kNow + hours(12), std::move(owner)};
  };
  const SessionMark ended = mark("e", "ada", kNow);
  const SessionMark open = mark("o", "ada", kNow);
  ASSERT_TRUE(server->end_session(ended, kNow + seconds(1)));
  for (std::size_t i = 0; i < kMaxEndedSessions + 5; ++i)
    ASSERT_TRUE(
        server->end_session(mark("s" + std::to_string(i), "victor", kNow), kNow + seconds(5)));
  const auto table = server->poll(kNow).value();
  EXPECT_TRUE(table->ended(ended));
  EXPECT_FALSE(table->ended(open));
  EXPECT_TRUE(table->ended(mark("s0", "victor", kNow)));
  EXPECT_TRUE(table->ended(mark("never signed out of", "victor", kNow + seconds(5))));
  EXPECT_FALSE(table->ended(mark("after it", "victor", kNow + seconds(6))));
  // Also once those that were told apart have expired.
  ASSERT_TRUE(server->end_session(mark("x", "ann", kNow), kNow + hours(11)));
  EXPECT_TRUE(server->poll(kNow).value()->ended(mark("late", "victor", kNow + seconds(5))));
}

TEST_F(Store, WhereTooManySessionsEndAllDo) {
  const auto server = opened();
  const auto mark = [](std::size_t i, WallTime begun) {
    return SessionMark{.id = "s" + std::to_string(i),
                       .begun = begun,
                       .expires = kNow + hours(12),
                       .owner = "owner" + std::to_string(i)};
  };
  for (std::size_t i = 0; i <= kMaxEndedSessions; ++i)
    ASSERT_TRUE(server->end_session(mark(i, kNow), kNow + seconds(5)));
  const auto table = server->poll(kNow).value();
  EXPECT_TRUE(table->ended(mark(0, kNow)));
  EXPECT_TRUE(table->ended(mark(999999, kNow + seconds(5))));  // nobody signed out of it
  EXPECT_FALSE(table->ended(mark(999999, kNow + seconds(6))));
}

TEST_F(Store, AFileOfTheFirstSchemaIsBroughtUpAndItsTokensStay) {
  fs::create_directories(directory_);
  auto old = sqlite::Database::open(file());
  ASSERT_TRUE(old);
  ASSERT_TRUE((*old)->execute(
      "CREATE TABLE tokens(id INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest "
      "BLOB NOT NULL UNIQUE,"
      " created INTEGER NOT NULL, expires INTEGER, revoked INTEGER, last_used INTEGER) STRICT;"
      "CREATE TABLE session_keys(id INTEGER PRIMARY KEY, key BLOB NOT NULL, created INTEGER NOT "
      "NULL) STRICT;"
      "INSERT INTO tokens(name, role, digest, created) VALUES ('ci', 'viewer', zeroblob(32), 1);"
      "PRAGMA user_version = 1"));
  old->reset();
  const auto store = opened();
  EXPECT_EQ(store->list()->at(0).name, "ci");
  EXPECT_TRUE(store->end_session({.id = "one", .begun = kNow, .expires = kNow + hours(1)}, kNow));
}

TEST_F(Store, SessionsThatEndedBeforeOwnersWereWrittenDownStayEnded) {
  fs::create_directories(directory_);
  auto old = sqlite::Database::open(file());
  ASSERT_TRUE(old);
  ASSERT_TRUE((*old)->execute(fmt::format(
      "CREATE TABLE tokens(id INTEGER PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, digest "
      "BLOB NOT NULL UNIQUE, created INTEGER NOT NULL, expires INTEGER, revoked INTEGER, "
      "last_used INTEGER) STRICT; CREATE TABLE ended_sessions(id TEXT PRIMARY KEY NOT NULL, until "
      "INTEGER NOT NULL) STRICT; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
      "WHERE i < {}) INSERT INTO ended_sessions SELECT 'old' || i, {} FROM n; PRAGMA user_version "
      "= 2",
      kMaxEndedSessions, (kNow + hours(12)).time_since_epoch().count())));
  old->reset();
  const auto store = opened();
  const SessionMark first{"old1", kNow, kNow + hours(12), "ada"};
  EXPECT_TRUE(store->poll(kNow).value()->ended(first));
  ASSERT_TRUE(store->end_session({"new", kNow, kNow + hours(12), "ada"}, kNow + seconds(1)));
  EXPECT_TRUE(store->poll(kNow).value()->ended(first));
}

TEST_F(Store, DamagedFileIsRefusedByName) {
  fs::create_directories(directory_);
  std::ofstream(file())
      << "not a database, and longer than the header of one, which has a hundred bytes. "
         "So this goes on for a while, until it is long enough.";
  const auto store = TokenStore::open(file());
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().message, testing::HasSubstr(file().string()));
}

TEST_F(Store, BackupHoldsTheTokens) {
  const auto store = opened();
  const std::string token = created(*store, "ci");
  ASSERT_TRUE(store->backup_to(directory_ / "copy/tokens.db"));
  EXPECT_TRUE((*TokenStore::open(directory_ / "copy/tokens.db"))->find(token, kNow));
}

}  // namespace
}  // namespace headroom::auth
