#include "headroom/http/path.h"

#include <gtest/gtest.h>

#include "headroom/http/codec_checks.h"

namespace headroom::http {
namespace {

struct Row {
  const char* sentence;
  std::string path;
  std::string outcome;  // "!" refused
};

TEST(Path, EveryRowHasItsOutcome) {
  const std::vector<Row> rows{
      {"nothing to change", "/a/b.c/d", "/a/b.c/d"},
      {"the root", "/", "/"},
      {"OPTIONS *", "*", "*"},
      {"none", "", ""},
      {"unreserved characters are decoded", "/%61%2D%7e", "/a-~"},
      {"other escapes stay, in capitals", "/a%3fb%c3%a4", "/a%3Fb%C3%A4"},
      {"an escaped percent sign stays", "/%252e%252e/", "/%252e%252e/"},
      {"slashes are merged", "//a///b//", "/a/b/"},
      {"a dot segment", "/a/./b", "/a/b"},
      {"a dot at the end", "/a/.", "/a/"},
      {"two dots", "/a/b/../c", "/a/c"},
      {"two dots at the end", "/a/b/..", "/a/"},
      {"two dots to the root", "/a/..", "/"},
      {"names with dots", "/.well-known/..a/...", "/.well-known/..a/..."},
      {"parameters stay", "/a;b=c/d", "/a;b=c/d"},
      {"above the root", "/..", "!"},
      {"above the root, later", "/a/../../b", "!"},
      {"encoded dots", "/a/%2e%2e/b", "!"},
      {"half encoded dots", "/a/.%2E/b", "!"},
      {"an encoded dot", "/a/%2e/b", "!"},
      {"dots with parameters", "/a/..;x/b", "!"},
      {"a dot with parameters", "/a/.;/b", "!"},
      {"an encoded slash", "/a%2fb", "!"},
      {"an encoded backslash", "/a%5Cb", "!"},
      {"a backslash", "/a\\b", "!"},
      {"an encoded NUL", "/a%00", "!"},
      {"an encoded line end", "/a%0d%0a", "!"},
      {"an encoded DEL", "/%7f", "!"},
      {"a broken escape", "/a%2", "!"},
      {"a broken escape before a slash", "/a%2/b", "!"},
      {"an escape that is not hexadecimal", "/%zz", "!"},
      {"not absolute", "a", "!"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.sentence);
    std::string scratch;
    const auto result = normalised_path(row.path, scratch);
    EXPECT_EQ(result ? std::string(*result) : "!", row.outcome);
    checks::check_path(row.path);
  }
}

TEST(Path, IsNotCopiedWhenThereIsNothingToChange) {
  const std::string path = "/a/b";
  std::string scratch;
  EXPECT_EQ(static_cast<const void*>(normalised_path(path, scratch)->data()), path.data());
}

}  // namespace
}  // namespace headroom::http
