#include "headroom/json/writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <utility>

#include "headroom/base/hash.h"
#include "headroom/json/json.h"

namespace headroom::json {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  append_string(out, text);
  return out;
}

TEST(JsonWriter, WritesObjectsArraysAndCommas) {
  std::string out;
  Writer json(out);
  json.begin_object().field("name", "edge").key("ports").begin_array().value(80).value(443U);
  json.end_array().key("empty").begin_object().end_object().field("up", true);
  json.key("nothing").null().key("list").value(std::vector<std::string>{"a", "b"}).end_object();
  EXPECT_EQ(
      out,
      R"({"name":"edge","ports":[80,443],"empty":{},"up":true,"nothing":null,"list":["a","b"]})");
}

TEST(JsonWriter, NumbersAreExactAndNonNumbersAreNull) {
  std::string out;
  Writer json(out);
  json.begin_array().value(0.1).value(1e300).value(std::numeric_limits<double>::quiet_NaN());
  json.value(std::numeric_limits<double>::infinity()).fixed(2.0 / 3, 2).fixed(7, 0);
  json.value(std::numeric_limits<std::int64_t>::min()).value(~std::uint64_t{0}).end_array();
  EXPECT_EQ(out, "[0.1,1e+300,null,null,0.67,7,-9223372036854775808,18446744073709551615]");
}

TEST(JsonWriter, EscapesWhatJsonAndHtmlNeed) {
  EXPECT_EQ(escaped("a\"b\\c\n\r\t\x01\x7f"), R"("a\"b\\c\n\r\t\u0001\u007f")");
  EXPECT_EQ(escaped("</script><!-- a < b"), R"("\u003c/script>\u003c!-- a < b")");
  EXPECT_EQ(escaped("\xE2\x80\xA8\xE2\x80\xA9"), R"("\u2028\u2029")");
  EXPECT_EQ(escaped("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"),
            "\"gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80\"");
}

TEST(JsonWriter, InvalidUtf8BecomesTheReplacementCharacter) {
  const std::string r = "\xEF\xBF\xBD";
  const std::pair<std::string_view, std::string> rows[] = {
      {"\xFFz", r + "z"},                          // never a lead byte
      {"\x80", r},                                 // a lone continuation
      {"\xC0\xAF", r + r},                         // overlong
      {"\xE2\x82", r},                             // cut short: one maximal part
      {"\xED\xA0\x80", r + r + r},                 // a surrogate
      {"\xF0\x9F\x98!", r + "!"},                  // cut short inside
      {"\xF4\x90\x80\x80", r + r + r + r},         // beyond U+10FFFF
      {"\xF8\x88\x80\x80\x80", r + r + r + r + r}  // five-byte form
  };
  for (const auto& [bytes, text] : rows) EXPECT_EQ(escaped(bytes), "\"" + text + "\"");
}

TEST(JsonWriter, AnyBytesGiveAStringThatTheParserAccepts) {
  Random random(11);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes;
    while (random.below(8) != 0) bytes += static_cast<char>(random.below(256));
    const std::string json = escaped(bytes);
    const auto document = parse(json);
    ASSERT_TRUE(document) << json << document.error().message;
    ASSERT_EQ(escaped(*document->root().string()), json);  // valid text is kept as it is
  }
}

TEST(JsonWriterDeathTest, AValueWithoutItsKeyIsABug) {
  std::string out;
  Writer json(out);
  json.begin_object();
  EXPECT_DEATH(json.value(1), "does not hold");
  EXPECT_DEATH(json.end_array(), "does not hold");
}

}  // namespace
}  // namespace headroom::json
