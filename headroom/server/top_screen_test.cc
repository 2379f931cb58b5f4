#include "headroom/server/top_screen.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace headroom::server {
namespace {

json::Document parsed(std::string_view text) {
  auto document = json::parse(text);
  EXPECT_TRUE(document) << document.error().message;
  return std::move(*document);
}

constexpr std::string_view kOverview =
    R"({"version":"0.1.0","stage":"serving","ready":true,"state":"degraded","uptime_seconds":93784,"workers":2,)"
    R"("requests":{"in_flight":3,"error_rate":1.5,"per_second":12345.6,"latency_ms":{"mean":1,"p50":1,"p90":2,"p95":3,"p99":4}},"connections":1000000,)"
    R"("health":[{"component":"tokens","state":"degraded","reason":"the disk\nis full\u001b[31m"},{"component":"tasks","state":"ok","reason":""}],)"
    R"("process":{"cpu_seconds":10,"resident_bytes":1073741824,"threads":9,"open_descriptors":900,"most_descriptors":1000}})";

TopSample sample(std::string_view routes) {
  TopSample made;
  made.overview = parsed(kOverview);
  made.routes = parsed(routes);
  return made;
}

std::string text_of(const std::vector<TopLine>& lines) {
  std::string out;
  for (const TopLine& line : lines) out += line.text + "\n";
  return out;
}

TEST(TopScreen, NoLineIsWiderThanTheTerminalAndAllIsPrintable) {
  const TopSample now = sample(R"({"routes":[{"name":"\u0007evil\u001b]0;title\u0007 é ))" +
                               std::string(300, 'x') + R"(","requests":5}]})");
  for (std::size_t width = 1; width < 200; ++width) {
    for (const TopLine& line : top_lines(now, nullptr, "127.0.0.1:9090", width)) {
      EXPECT_LE(line.text.size(), width);
      EXPECT_TRUE(std::ranges::all_of(line.text, [](char c) { return c >= ' ' && c <= '~'; }))
          << line.text;
    }
  }
}

TEST(TopScreen, NumbersAreShortAndWhatIsNotWellComesFirst) {
  const auto lines = top_lines(sample(R"({"routes":[]})"), nullptr, "127.0.0.1:9090", 80);
  EXPECT_EQ(lines[0].text,
            "headroom 0.1.0  127.0.0.1:9090  serving, degraded  up 1 d 2 h  2 workers");
  EXPECT_EQ(lines[0].mood, Mood::warning);
  EXPECT_EQ(lines[1].text, "  tokens degraded: the disk?is full?[31m");
  EXPECT_EQ(lines[3].text,
            "requests  12.3k/s  in flight 3  connections 1.0M  errors 1.50 % since the start");
  EXPECT_EQ(lines[5].text, "process   cpu 0 %  memory 1.0 GiB  threads 9  descriptors 900 of 1.0k");
  EXPECT_EQ(lines[5].mood, Mood::warning);
}

TEST(TopScreen, FiguresAreOfTheLastMinuteAndNoneWhereNothingHasEnded) {
  TopSample now = sample(R"({"routes":[]})");
  now.now = parsed(
      R"({"last_minute":{"requests":{"total":60,"error_rate":0.5,"latency_ms":{"mean":7,"p50":6,"p90":8,"p95":9,"p99":10}}}})");
  std::string text = text_of(top_lines(now, nullptr, "127.0.0.1:9090", 120));
  EXPECT_NE(
      text.find("errors 0.50 %\nlatency   mean 7.0 ms  p50 6.0  p90 8.0  p95 9.0  p99 10.0\n"),
      std::string::npos)
      << text;
  now.now = parsed(R"({"last_minute":{"requests":{"total":0,"error_rate":0,"latency_ms":{}}}})");
  text = text_of(top_lines(now, nullptr, "127.0.0.1:9090", 120));
  EXPECT_NE(text.find("errors -\nlatency   -\n"), std::string::npos) << text;
}

TEST(TopScreen, WhatGivesOutFirstAndWhatFiresStandAboveTheRest) {
  TopSample now = sample(R"({"routes":[]})");
  now.now = parsed(
      R"({"ceilings":[{"name":"disk","used":950,"limit":1000,"ratio":0.95,"advice":"Free disk space.","full_in_seconds":7260},{"name":"memory","ratio":0.1}],)"
      R"("alerts":{"list":[{"name":"disk","severity":"critical","state":"firing","summary":"The disk is nearly full.","silenced_until":null},)"
      R"({"name":"cpu","severity":"warning","state":"firing","summary":"Busy.","silenced_until":99},{"name":"p95","state":"pending","summary":"Slow."}]},)"
      R"("explanations":{"latency":"The slowest route is a."}})");
  const auto lines = top_lines(now, nullptr, "127.0.0.1:9090", 80);
  const std::string text = text_of(lines);
  EXPECT_EQ(lines[3].text,
            "headroom  [##########] 5 % left  disk 950 B of 1000 B  full in 2 h 1 min");
  EXPECT_EQ(lines[3].mood, Mood::bad);
  EXPECT_NE(text.find("\n          Free disk space.\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\nalert     disk critical: The disk is nearly full.\n"), std::string::npos);
  EXPECT_NE(text.find("\nalert     cpu warning, silent: Busy.\n"), std::string::npos);
  EXPECT_EQ(text.find("Slow."), std::string::npos);
  EXPECT_NE(text.find("\n          The slowest route is a.\n"), std::string::npos);
}

TEST(TopScreen, RatesAreOfTheTimeBetweenTwoLooks) {
  TopSample before =
      sample(R"({"routes":[{"name":"slow","requests":100},{"name":"busy","requests":1000}]})");
  TopSample now = sample(
      R"({"routes":[{"name":"slow","requests":104},{"name":"busy","requests":1500},{"name":"new","requests":2}]})");
  now.at = before.at + 2s;
  const std::string text = text_of(top_lines(now, &before, "127.0.0.1:9090", 80));
  const auto line_of = [&text](std::string_view name) {
    const auto begin = text.find("\n" + std::string(name)) + 1;
    return text.substr(begin, text.find('\n', begin) - begin);
  };
  EXPECT_NE(line_of("busy").find("     1.5k       250 "), std::string::npos) << text;
  EXPECT_NE(line_of("slow").find("      104         2 "), std::string::npos) << text;
  EXPECT_NE(line_of("new ").find("        2         1 "), std::string::npos) << text;
  EXPECT_LT(text.find("\nbusy"), text.find("\nslow"));
}

TEST(TopScreen, AServerThatSaysNothingOrOtherThingsIsShownAllTheSame) {
  TopSample nothing;
  EXPECT_FALSE(top_lines(nothing, nullptr, "here", 80).empty());
  TopSample other;
  other.overview =
      parsed(R"({"requests":"many","health":[1,{"state":2}],"process":[],"ready":"yes"})");
  other.upstreams = parsed(R"({"groups":[{"servers":{}},[],{"servers":[null]}]})");
  other.routes = parsed("[]");
  other.cache = parsed(R"({"memory_limit_bytes":0})");
  other.sql = parsed(R"({"pools":[{"limit":0}]})");
  EXPECT_FALSE(top_lines(other, &nothing, "here", 80).empty());
}

}  // namespace
}  // namespace headroom::server
