#include "headroom/config/values.h"

#include <gtest/gtest.h>

#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/clock.h"
#include "headroom/base/hash.h"

namespace headroom::config {
namespace {

using std::chrono_literals::operator""h;
using std::chrono_literals::operator""min;

enum class Balance : std::uint8_t { least, random };
constexpr std::array<Choice<Balance>, 2> kBalances{
    {{"least", Balance::least}, {"random", Balance::random}}};
constexpr const auto& setting_choices(Balance /*of*/) { return kBalances; }

template <class T>
void accepts(std::string_view text, const T& value) {
  const auto parsed = Value<T>::parse(text);
  ASSERT_TRUE(parsed) << text;
  EXPECT_EQ(*parsed, value) << text;
  EXPECT_EQ(Value<T>::parse(Value<T>::show(value)), value) << Value<T>::show(value);
}

template <class T>
void refuses(std::initializer_list<std::string_view> texts) {
  for (const auto text : texts) EXPECT_FALSE(Value<T>::parse(text)) << text;
}

TEST(Values, BooleansAsEnvironmentsSayThem) {
  for (const auto text : {"true", "True", "ON", "yes", "1"}) accepts(text, true);
  for (const auto text : {"false", "FALSE", "off", "No", "0"}) accepts(text, false);
  refuses<bool>({"", "2", "t", "truth", " true"});
}

TEST(Values, IntegersFitTheirType) {
  accepts<std::uint16_t>("65535", 65535);
  accepts<std::int32_t>("-5", -5);
  accepts<std::uint64_t>("18446744073709551615", ~0ULL);
  refuses<std::uint16_t>({"65536", "-1", "+1", "1.0", "0x10", "", " 1", "1 "});
  EXPECT_EQ(Value<std::uint16_t>::accepted(), "a whole number from 0 to 65535");
}

TEST(Values, NumbersAreFinite) {
  accepts("0.5", 0.5);
  accepts("-2", -2.0);
  accepts("1e3", 1000.0);
  refuses<double>({"nan", "inf", "1e999", "", "0,5", "0x"});
}

TEST(Values, TextHoldsNoNul) {
  accepts<std::string>("", "");
  refuses<std::string>({std::string_view("a\0b", 3)});
}

TEST(Values, DurationsHaveUnits) {
  accepts<Duration>("0", 0s);
  accepts<Duration>("30s", 30s);
  accepts<Duration>("500ms", 500ms);
  accepts<Duration>("7us", 7us);
  accepts<Duration>("9ns", Duration(9));
  accepts<Duration>("2m", 2min);
  accepts<Duration>("15min", 15min);
  accepts<Duration>("1h", 1h);
  accepts<Duration>("1d", 24h);
  accepts<Duration>("106751d", 24h * 106751);
  refuses<Duration>(
      {"", "5", "s", "-5s", "1.5s", "5 s", "5S", "1h30m", "106752d", "99999999999999999999s"});
  EXPECT_EQ(Value<Duration>::show(90s), "90s");
  EXPECT_EQ(Value<Duration>::show(120s), "2m");
  EXPECT_EQ(Value<Duration>::show(48h), "2d");
}

TEST(Values, SizesAreIn1024s) {
  accepts<Bytes>("0", Bytes{0});
  accepts<Bytes>("1025", Bytes{1025});
  accepts<Bytes>("256MiB", Bytes::mib(256));
  accepts<Bytes>("2gb", Bytes::mib(2048));
  accepts<Bytes>("10KiB", Bytes::kib(10));
  accepts<Bytes>("64k", Bytes::kib(64));
  accepts<Bytes>("17B", Bytes{17});
  accepts<Bytes>("1T", Bytes::mib(1024ULL * 1024));
  refuses<Bytes>({"", "k", "-1", "1.5k", "1 k", "1kbit", "16777216TiB", "18446744073709551616"});
}

TEST(Values, RatesAreCountsPerPeriod) {
  accepts<Rate>("100/min", {100, 1min});
  accepts<Rate>("100r/s", {100, 1s});
  accepts<Rate>("1000/15min", {1000, 15min});
  accepts<Rate>("5/h", {5, 1h});
  accepts<Rate>("5/day", {5, 24h});
  accepts<Rate>("60r/m", {60, 1min});
  refuses<Rate>(
      {"", "100", "0/s", "100/", "/s", "100/0s", "-1/s", "1.5/s", "100/15", "r/s", "1/s/s"});
  EXPECT_EQ(Value<Rate>::show({100, 1min}), "100/min");
  EXPECT_EQ(Value<Rate>::show({100, 60s}), "100/min");
  EXPECT_EQ(Value<Rate>::show({1000, 15min}), "1000/15min");
  EXPECT_EQ(Value<Rate>::show({3, 10s}), "3/10s");
  EXPECT_EQ(Value<Rate>::show({3, 11h}), "3/11h");
}

TEST(Values, AddressesAreTcpOrUnix) {
  accepts<Address>("127.0.0.1:8080", {.host = "127.0.0.1", .port = 8080});
  accepts<Address>("[::1]:0", {.host = "::1", .port = 0});
  accepts<Address>("[fe80::1%eth0]:80", {.host = "fe80::1%eth0", .port = 80});
  accepts<Address>("db-1.internal:5432", {.host = "db-1.internal", .port = 5432});
  accepts<Address>(":8080", {.host = "", .port = 8080});
  accepts<Address>("unix:/run/a.sock", {.unix_path = "/run/a.sock"});
  refuses<Address>({"", "localhost", "8080", "localhost:", "localhost:65536", "::1:80", "[::1]",
                    "[zz]:80", "[]:80", "a b:80", "http://a:80", "unix:", "unix:run/a.sock", "a:-1",
                    "a/b:80"});
  EXPECT_FALSE(Value<Address>::parse("unix:/" + std::string(107, 'a')));
  EXPECT_FALSE(Value<Address>::parse(std::string(254, 'a') + ":80"));
}

TEST(Values, ChoicesListWhatTheyAccept) {
  accepts("random", Balance::random);
  refuses<Balance>({"", "Random", "most"});
  EXPECT_EQ(Value<Balance>::accepted(), "one of least, random");
}

template <class T>
void survives_mutations(const std::vector<std::string>& seeds) {
  Random random(5);
  for (int i = 0; i < 20000; ++i) {
    std::string text = seeds[random.below(seeds.size())];
    for (std::uint64_t edits = random.below(3); edits > 0 && !text.empty(); --edits) {
      text[random.below(text.size())] = "0123456789smhkGiB:/.-[]r "[random.below(25)];
    }
    const auto value = Value<T>::parse(text);
    if (value) {
      ASSERT_EQ(Value<T>::parse(Value<T>::show(*value)), value) << text;
    }
  }
}

TEST(Values, WhatIsShownReadsBackAsTheSameValue) {
  survives_mutations<Duration>({"30s", "500ms", "0", "9223372036854775807ns", "15min"});
  survives_mutations<Bytes>({"256MiB", "2gb", "17179869183GiB", "64k"});
  survives_mutations<Rate>({"100/min", "100r/s", "1000/15min", "7/90s"});
  survives_mutations<Address>({"127.0.0.1:8080", "[::1]:80", ":0", "unix:/run/a.sock"});
  survives_mutations<double>({"0.5", "12345678", "1.000"});
}

TEST(Values, PasswordsOfUrlsAreMasked) {
  const std::vector<std::pair<std::string_view, std::string_view>> rows{
      {"postgres://me:hush@db:5432/app", "postgres://me:***@db:5432/app"},
      {"postgres://me:h@us:h@db/app?a=b@c", "postgres://me:***@db/app?a=b@c"},
      {"redis://:hush@db", "redis://:***@db"},
      {"postgres://me@db:5432/app", "postgres://me@db:5432/app"},
      {"http://db:5432/a:b@c", "http://db:5432/a:b@c"},
      {"postgres://db/app?password=hush&sslmode=on", "postgres://db/app?password=***&sslmode=on"},
      {"host=db Password=hush user=me", "host=db Password=*** user=me"},
      {"nothing:special@here", "nothing:special@here"},
      {"", ""}};
  for (const auto& [text, masked] : rows) EXPECT_EQ(without_password(text), masked);
}

}  // namespace
}  // namespace headroom::config
