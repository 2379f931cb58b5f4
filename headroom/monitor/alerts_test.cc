#include "headroom/monitor/alerts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace headroom::monitor {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr metrics::Family kLevel{"test_level", metrics::Kind::gauge, "", {"of"}};

AlertOptions rule(std::string name, const std::string& of,
                  std::vector<std::string> explained_by = {}) {
  AlertOptions made = alert_section().defaults();
  made.name = std::move(name);
  made.metric = "test_level";
  made.where = {"of:" + of};
  made.windows = {5s};
  made.warning = 10;
  made.hold = 3s;
  made.keep_firing = 3s;
  made.depends_on = std::move(explained_by);
  return made;
}

// Two levels that rise and fall, and the alerts over them; a second passes in no time.
struct AlertsTest : testing::Test {
  fs::path directory =
      fs::temp_directory_path() / ("headroom-alerts-test-" + std::to_string(::getpid()));
  fs::path file = directory / "alerts.db";
  double a = 0, b = 0;
  std::int64_t now = 1'700'000'000;
  metrics::Registry registry{1};
  Trends trends{registry,
                [this] { return std::vector<SampleFamily>{{&kLevel, {{{"a"}, a}, {{"b"}, b}}}}; },
                {}};
  AlertingOptions options{.standard = false, .interval = 1s, .webhook = "http://127.0.0.1:1/"};
  std::optional<Alerts> alerts;

  AlertsTest() {
    fs::create_directories(directory);
    EXPECT_TRUE(trends.open(directory / "trends.db"));
  }
  ~AlertsTest() override {
    alerts.reset();
    trends.close(now);
    fs::remove_all(directory);
  }
  void begin(std::vector<AlertOptions> rules) {
    options.rules = std::move(rules);
    alerts.emplace(trends, options);
    (void)alerts->open(file);
  }
  void pass_seconds(int n) {
    for (int i = 0; i < n; ++i) {
      trends.sample(++now);
      alerts->tick(now);
    }
  }
  // What is to be told, in order.
  std::vector<std::string> told() {
    std::vector<std::string> all;
    for (const AlertEvent& each : *alerts->outbox(100))
      all.push_back(each.name + " " + std::string(to_string(each.change)));
    return all;
  }
  AlertStatus status(std::string_view name) {
    for (AlertStatus& each : alerts->status()) {
      if (each.rule.name == name) return each;
    }
    return {};
  }
};

TEST_F(AlertsTest, ASymptomIsMutedWhileWhatExplainsItFires) {
  begin({rule("down", "a"), rule("slow", "b", {"down"})});
  a = b = 20;
  pass_seconds(30);
  EXPECT_EQ(status("slow").state, AlertState::firing);
  EXPECT_EQ(status("slow").muted_by, "down");
  a = b = 0;
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("down fired", "down resolved"));
}

TEST_F(AlertsTest, ASymptomThatOutlivesWhatExplainedItIsToldThen) {
  begin({rule("down", "a"), rule("slow", "b", {"down"})});
  a = b = 20;
  pass_seconds(30);
  a = 0;
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("down fired", "down resolved", "slow fired"));
  b = 0;
  pass_seconds(30);
  EXPECT_EQ(told().back(), "slow resolved");
}

TEST_F(AlertsTest, WithoutTheDependencyBothAreTold) {
  begin({rule("down", "a"), rule("slow", "b")});
  a = b = 20;
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("down fired", "slow fired"));
}

TEST_F(AlertsTest, AReloadKeepsWhatFiresAndWhatIsSilenced) {
  begin({rule("one", "a"), rule("two", "b")});
  a = b = 20;
  ASSERT_TRUE(alerts->silence("two", now + 1000));
  pass_seconds(30);
  options.rules[0].warning = 15;
  options.rules[0].summary = "another";
  options.rules.push_back(rule("three", "b"));
  alerts->configure(options);
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("one fired", "three fired"));  // neither told again
  EXPECT_EQ(status("one").rule.summary, "another");
  EXPECT_EQ(status("one").state, AlertState::firing);
  EXPECT_GT(status("two").silenced_until, now);
  a = 14;  // below the new threshold
  pass_seconds(30);
  EXPECT_EQ(told().back(), "one resolved");
}

TEST_F(AlertsTest, ARuleThatIsTakenAwayWhileItFiresIsResolvedAndForgotten) {
  begin({rule("one", "a"), rule("two", "b")});
  a = 20;
  pass_seconds(30);
  options.rules.erase(options.rules.begin());
  alerts->configure(options);
  EXPECT_THAT(told(), ElementsAre("one fired", "one resolved"));
  EXPECT_EQ(alerts->status().size(), 1U);
  options.rules.push_back(rule("one", "a"));
  alerts->configure(options);
  pass_seconds(2);
  EXPECT_EQ(status("one").state, AlertState::pending);  // from its beginning
}

TEST_F(AlertsTest, TurnedOffByAReloadNothingIsWatchedAndTurnedOnItIs) {
  begin({rule("one", "a")});
  options.enabled = false;
  alerts->configure(options);
  EXPECT_FALSE(alerts->enabled());
  a = 20;
  pass_seconds(30);
  EXPECT_THAT(told(), IsEmpty());
  options.enabled = true;
  alerts->configure(options);
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("one fired"));
}

TEST_F(AlertsTest, AFileThatCannotBeOpenedIsTriedAgainAndThenAllIsTold) {
  file = directory / "place" / "alerts.db";
  {
    std::ofstream(directory / "place") << "no directory";
  }
  begin({rule("one", "a")});
  EXPECT_EQ(alerts->health().size(), 1U);
  a = 20;
  pass_seconds(30);
  EXPECT_EQ(alerts->history(10).error().code, Errc::unavailable);
  fs::remove(directory / "place");
  pass_seconds(10);
  EXPECT_TRUE(alerts->health().empty());  // and it recovers
  EXPECT_THAT(told(), ElementsAre("one fired"));
}

TEST_F(AlertsTest, ARestartKeepsWhatFiresAndIsToldOnce) {
  begin({rule("one", "a")});
  a = 20;
  pass_seconds(30);
  begin({rule("one", "a")});
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("one fired"));
  a = 0;
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("one fired", "one resolved"));
}

TEST_F(AlertsTest, WhatGotWorseWhileSilencedIsToldWhenTheSilenceEnds) {
  AlertOptions two = rule("one", "a");
  two.critical = 20;
  begin({two});
  a = 15;
  pass_seconds(20);
  EXPECT_THAT(told(), ElementsAre("one fired"));
  ASSERT_TRUE(alerts->silence("one", now + 60));
  a = 25;
  pass_seconds(30);
  EXPECT_EQ(status("one").severity, Severity::critical);
  EXPECT_THAT(told(), ElementsAre("one fired"));
  pass_seconds(40);
  EXPECT_THAT(told(), ElementsAre("one fired", "one changed"));
  EXPECT_EQ(alerts->outbox(10)->back().severity, Severity::critical);
  pass_seconds(40);
  EXPECT_EQ(told().size(), 2U);
  a = 0;
  pass_seconds(40);
  EXPECT_EQ(told().back(), "one resolved");
}

TEST_F(AlertsTest, ARuleThatIsGoneAfterARestartIsResolvedForWhoWasTold) {
  begin({rule("one", "a"), rule("muted", "b")});
  a = b = 15;
  ASSERT_TRUE(alerts->silence("muted", now + 3600));
  pass_seconds(20);
  EXPECT_THAT(told(), ElementsAre("one fired"));
  alerts.reset();
  begin({});
  EXPECT_THAT(told(), ElementsAre("one fired", "one resolved"));
  alerts.reset();
  begin({rule("one", "a")});
  pass_seconds(20);
  EXPECT_THAT(told(), ElementsAre("one fired", "one resolved", "one fired"));
}

TEST_F(AlertsTest, NoDataIsAStateOfItsOwnWhereTheRuleSaysSo) {
  AlertOptions absent = rule("absent", "nowhere");
  absent.no_data = NoData::fire;
  AlertOptions kept = rule("kept", "nowhere");
  kept.no_data = NoData::keep;
  begin({absent, kept, rule("well", "nowhere")});
  pass_seconds(30);
  EXPECT_THAT(told(), ElementsAre("absent fired"));
  EXPECT_EQ(status("kept").state, AlertState::no_data);
  EXPECT_EQ(status("well").state, AlertState::ok);
}

TEST_F(AlertsTest, WhatFiredWithoutAWebhookIsToldOnceThereIsOne) {
  options.webhook = "";
  begin({rule("a", "a")});
  a = 20;
  pass_seconds(10);
  EXPECT_EQ(status("a").state, AlertState::firing);
  EXPECT_THAT(told(), IsEmpty());
  options.webhook = "http://127.0.0.1:1/";
  alerts->configure(options);
  pass_seconds(5);
  EXPECT_THAT(told(), ElementsAre("a fired"));
}

TEST_F(AlertsTest, WhatWasNeverToldIsNotToldToBeOver) {
  options.webhook = "";
  begin({rule("a", "a")});
  a = 20;
  pass_seconds(10);
  a = 0;
  pass_seconds(20);
  EXPECT_EQ(status("a").state, AlertState::ok);
  options.webhook = "http://127.0.0.1:1/";
  alerts->configure(options);
  pass_seconds(5);
  EXPECT_THAT(told(), IsEmpty());
  EXPECT_EQ(alerts->history(10)->size(), 2U);  // fired, resolved
}

TEST_F(AlertsTest, TurnedOffOverARestartWhatWasToldIsResolved) {
  begin({rule("a", "a")});
  a = 20;
  pass_seconds(10);
  EXPECT_THAT(told(), ElementsAre("a fired"));
  options.enabled = false;
  begin({rule("a", "a")});
  EXPECT_THAT(told(), ElementsAre("a fired", "a resolved"));
}

// A file that takes nothing, as on a full disk, until it is let go.
struct Refusing {
  explicit Refusing(const fs::path& path) : file(*sqlite::Database::open(path)) {
    for (const char* what : {"INSERT ON alerts", "INSERT ON events", "DELETE ON alerts"})
      EXPECT_TRUE(file->execute("CREATE TRIGGER \"" + std::string(what) + "\" BEFORE " + what +
                                " BEGIN SELECT RAISE(FAIL, 'the disk is full'); END"));
  }
  Refusing(const Refusing&) = delete;
  Refusing& operator=(const Refusing&) = delete;
  ~Refusing() {
    for (const char* what : {"INSERT ON alerts", "INSERT ON events", "DELETE ON alerts"})
      EXPECT_TRUE(file->execute("DROP TRIGGER \"" + std::string(what) + "\""));
  }
  std::unique_ptr<sqlite::Database> file;
};

TEST_F(AlertsTest, AStateThatCouldNotBeWrittenIsWrittenAtTheNextTickAndAllIsWellAgain) {
  options.rules = {rule("a", "a")};
  options.rules[0].hold = 60s;
  begin(options.rules);
  pass_seconds(2);
  {
    const Refusing full(file);
    a = 20;
    pass_seconds(5);
    EXPECT_EQ(status("a").state, AlertState::pending);
    EXPECT_EQ(alerts->health().size(), 1U);
  }
  pass_seconds(1);
  EXPECT_TRUE(alerts->health().empty());  // and it recovers, though nothing changes
  begin(options.rules);                   // also over a restart
  EXPECT_EQ(status("a").state, AlertState::pending);
}

TEST_F(AlertsTest, WhatFiredWhileTheFileTookNothingIsInTheHistoryAndToldOnce) {
  begin({rule("a", "a")});
  pass_seconds(2);
  {
    const Refusing full(file);
    a = 20;
    pass_seconds(10);
    EXPECT_EQ(status("a").state, AlertState::firing);
    EXPECT_THAT(told(), IsEmpty());
  }
  pass_seconds(5);
  EXPECT_THAT(told(), ElementsAre("a fired"));
  EXPECT_EQ(alerts->history(10)->size(), 1U);
}

TEST_F(AlertsTest, ARuleTakenAwayWhileTheFileTakesNothingIsResolvedOnceItDoes) {
  begin({rule("a", "a")});
  a = 20;
  pass_seconds(10);
  {
    const Refusing full(file);
    options.rules = {};
    alerts->configure(options);
    pass_seconds(2);
    EXPECT_THAT(told(), ElementsAre("a fired"));
    EXPECT_EQ(alerts->health().size(), 1U);
  }
  pass_seconds(2);
  EXPECT_THAT(told(), ElementsAre("a fired", "a resolved"));
  EXPECT_TRUE(alerts->health().empty());
}

TEST_F(AlertsTest, ASilenceThatCouldNotBeWrittenIsNotInForce) {
  begin({rule("a", "a")});
  pass_seconds(2);
  {
    const Refusing full(file);
    EXPECT_FALSE(alerts->silence("a", now + 100));
  }
  EXPECT_EQ(status("a").silenced_until, 0);
  EXPECT_TRUE(alerts->silence("a", now + 100));
  {
    const Refusing full(file);
    EXPECT_FALSE(alerts->silence("a", 0));
  }
  EXPECT_EQ(status("a").silenced_until, now + 100);
}

}  // namespace
}  // namespace headroom::monitor
