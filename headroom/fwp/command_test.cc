#include "headroom/fwp/command.h"

#include <gtest/gtest.h>

#include "headroom/base/hash.h"
#include "headroom/fwp/reply.h"

namespace headroom::fwp {
namespace {

TEST(FwpCommand, AVerbIsTheFirstWordInCapitalsAndLinesMayEndInEitherWay) {
  EXPECT_EQ(parse_command("FETCH critical default\r").verb, Verb::fetch);
  EXPECT_EQ(parse_command("FETCH critical default\r").arguments, "critical default");
  EXPECT_EQ(parse_command("INFO").verb, Verb::info);
  EXPECT_EQ(parse_command("PUSHB []").verb, Verb::pushb);
  EXPECT_EQ(parse_command("push {}").verb, Verb::unknown);
  EXPECT_EQ(parse_command("").verb, Verb::unknown);
  EXPECT_EQ(parse_command("FETCHX a").verb, Verb::unknown);
}

TEST(FwpCommand, HelloIsReadAndUnknownMembersArePassedOver) {
  const auto hello = parse_hello(
      R"({"v":2,"wid":"abc","hostname":"h","pid":7,"labels":["node"],"pwdhash":"00","new":{"x":1}})");
  ASSERT_TRUE(hello.has_value()) << hello.error().message;
  EXPECT_EQ(hello->wid, "abc");
  EXPECT_EQ(hello->pid, 7);
  EXPECT_EQ(hello->labels, std::vector<std::string>{"node"});
  EXPECT_FALSE(parse_hello("{").has_value());
  EXPECT_FALSE(parse_hello("[]").has_value());
  EXPECT_FALSE(parse_hello(R"({"wid":"two words"})").has_value());
}

TEST(FwpCommand, AMemberOfAWrongTypeIsNamed) {
  const auto ack = parse_ack(R"({"jid":5})");
  ASSERT_FALSE(ack.has_value());
  EXPECT_NE(ack.error().message.find("jid"), std::string::npos) << ack.error().message;
}

TEST(FwpCommand, AResultStaysByteForByte) {
  const auto ack = parse_ack(
      R"({"jid":"12345678","result":{"n":123456789012345678901234567890, "p":19.90,"e":1.0}})");
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->result, R"({"n":123456789012345678901234567890, "p":19.90,"e":1.0})");
}

TEST(FwpCommand, AFailureIsCutToItsLimitsWithoutBreakingACharacter) {
  std::string message(999, 'x');
  message += "\xc3\xa4\xc3\xa4";
  std::string backtrace;
  for (int i = 0; i < 70; ++i) backtrace += (i > 0 ? ",\"l\"" : "\"l\"");
  const auto fail =
      parse_fail(R"({"jid":"j","errtype":")" + std::string(200, 'e') + R"(","message":")" +
                 message + R"(","backtrace":[)" + backtrace + "]}");
  ASSERT_TRUE(fail.has_value()) << fail.error().message;
  EXPECT_EQ(fail->errtype.size(), 100U);
  EXPECT_EQ(fail->message, std::string(999, 'x'));
  EXPECT_EQ(fail->backtrace.size(), 50U);
}

TEST(FwpCommand, QueueNamesArePrintableAndBounded) {
  EXPECT_EQ(parse_words("a  b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(parse_words(""), std::vector<std::string>{});
  EXPECT_FALSE(parse_words("a\tb").has_value());
  EXPECT_FALSE(parse_words(std::string(10240, 'q')).has_value());
  std::string many;
  for (int i = 0; i < 101; ++i) many += "q ";
  EXPECT_FALSE(parse_words(many).has_value());
}

TEST(FwpCommand, AMutationMayHoldSpaces) {
  const auto mutate = parse_mutate(
      R"({"cmd":"kill", "target":"retries", "filter":{"jobtype":"Some Type", "regexp":"*user 5*"}})");
  ASSERT_TRUE(mutate.has_value()) << mutate.error().message;
  EXPECT_EQ(mutate->act, Mutate::Act::kill);
  EXPECT_EQ(mutate->target, Mutate::Target::retries);
  EXPECT_EQ(mutate->jobtype, "Some Type");
  EXPECT_EQ(mutate->pattern, "*user 5*");
  EXPECT_FALSE(parse_mutate(R"({"cmd":"kill","target":"working"})").has_value());
  EXPECT_FALSE(parse_mutate(R"({"cmd":"eat","target":"dead"})").has_value());
}

TEST(FwpCommand, ElementsAreTakenByteForByte) {
  EXPECT_EQ(*elements_of(R"([ {"a":[1,2],"s":"],\"}"} , 12345678901234567890123 ,[] ])"),
            (std::vector<std::string_view>{R"({"a":[1,2],"s":"],\"}"})", "12345678901234567890123",
                                           "[]"}));
  EXPECT_TRUE(elements_of("[]")->empty());
  EXPECT_TRUE(elements_of("[ ]")->empty());
  EXPECT_EQ(elements_of("[1,]")->size(), 2U);  // the empty one is refused by who parses it
  for (const char* wrong : {"", "[", "]", "{}", "[1", "[1]]", "[\"]", "[1] x", "[{]", "[[1]"})
    EXPECT_FALSE(elements_of(wrong).has_value()) << wrong;
}

TEST(FwpCommand, ThereAreAtMostSoManyElements) {
  std::string text = "[0";
  for (std::size_t i = 1; i < kElementsLimit; ++i) text += ",0";
  EXPECT_EQ(elements_of(text + "]")->size(), kElementsLimit);
  EXPECT_FALSE(elements_of(text + ",0]").has_value());
}

// What a glob means, without regard to its cost: `?` and plain letters and stars alone.
bool matches_plainly(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*')
    return matches_plainly(pattern.substr(1), text) ||
           (!text.empty() && matches_plainly(pattern, text.substr(1)));
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         matches_plainly(pattern.substr(1), text.substr(1));
}

TEST(FwpCommand, GlobsMeanWhatTheSlowWayOfReadingThemMeans) {
  Random random(11);
  const auto any = [&](std::string_view letters, std::uint64_t most) {
    std::string word;
    for (std::uint64_t left = random.below(most + 1); left > 0; --left)
      word += letters[static_cast<std::size_t>(random.below(letters.size()))];
    return word;
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string pattern = any("ab*?", 8);
    const std::string text = any("ab", 10);
    ASSERT_EQ(glob_matches(pattern, text), matches_plainly(pattern, text))
        << pattern << " " << text;
  }
}

TEST(FwpCommand, AGlobThatTakesTooLongDoesNotMatch) {
  const std::string text(1'000'000, 'a');
  EXPECT_TRUE(glob_matches("*??????*a", text));
  // A thousand times too long: this ends because it is given up.
  EXPECT_FALSE(glob_matches("*" + std::string(200, '?') + "b*", std::string(100'000'000, 'a')));
}

TEST(FwpCommand, GlobsMatchAsInRedis) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*user:5*", R"({"args":["user:5"]})"));
  EXPECT_TRUE(glob_matches("h?llo", "hello"));
  EXPECT_TRUE(glob_matches("h[a-e]llo", "hello"));
  EXPECT_FALSE(glob_matches("h[^e]llo", "hello"));
  EXPECT_TRUE(glob_matches("a\\*b", "a*b"));
  EXPECT_FALSE(glob_matches("a\\*b", "axb"));
  EXPECT_FALSE(glob_matches("abc", "ab"));
  EXPECT_FALSE(glob_matches("ab", "abc"));
  EXPECT_FALSE(glob_matches("[", "a"));
}

TEST(FwpReply, ALineNeverHoldsALineEnd) {
  std::string out;
  append_error(out, "ERR", "a\r\n+OK\r\nb");
  EXPECT_EQ(out, "-ERR a  +OK  b\r\n");
}

TEST(FwpReply, ALineIsPlainTextWhateverItTellsAgain) {
  std::string out;
  append_error(out, "ERR", std::string_view("Unknown command \xff\x00\x7f\xc3", 20));
  EXPECT_EQ(out, "-ERR Unknown command ????\r\n");
}

TEST(FwpReply, TheGreetingHoldsNoSpaceWithinItsJson) {
  EXPECT_EQ(greeting(), "+HI {\"v\":2}\r\n");
  EXPECT_EQ(greeting("5e5e", 4321), "+HI {\"v\":2,\"i\":4321,\"s\":\"5e5e\"}\r\n");
}

}  // namespace
}  // namespace headroom::fwp
