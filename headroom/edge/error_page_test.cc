#include "headroom/edge/error_page.h"

#include <gmock/gmock.h>

#include "headroom/edge/request_fixture.h"
#include "headroom/json/json.h"

namespace headroom::edge {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ErrorPage, IsJsonUnlessAcceptPrefersTextOrHtml) {
  struct Case {
    std::string accept;
    bool json;
  };
  const std::vector<Case> table{
      {"", true},
      {"Accept: */*", true},
      {"Accept: application/json", true},
      {"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
      {"Accept: text/plain", false},
      {"Accept: text/*", false},
      {"Accept: TEXT/PLAIN;Q=0.5, application/json;q=0.4", false},
      {"Accept: text/plain;q=0.5, application/json;q=0.6", true},
      {"Accept: text/html, application/json", true},
      {"Accept: application/json;q=0, */*", false},
      {"Accept: */*, application/json;q=0", false},
      {"Accept: text/plain;q=0.001, application/*;q=0", false},
      {"Accept: image/png", true},
      {"Accept: application/json;q=0.5\r\nAccept: text/html", false},
      {"Accept: ,;,q=, text/plain ;q=x", false},
  };
  for (const Case& row : table) {
    const TestRequest request("GET /", row.accept);
    const auto page = error_page(
        request.head(), {502, "bad_gateway", "the app broke off", "id-1", Duration::zero()});
    EXPECT_EQ(page.content_type == "application/json", row.json) << row.accept;
  }
}

TEST(ErrorPage, SaysStatusReasonIdAndWhenToComeBack) {
  const TestRequest as_json("GET /");
  const auto page =
      error_page(as_json.head(), {503, "overloaded", "say \"later\"", "id-1", 1500ms});
  EXPECT_EQ(page.status, 503U);
  EXPECT_EQ(page.body,
            "{\"error\":{\"code\":\"overloaded\",\"message\":\"say "
            "\\\"later\\\"\"},\"request_id\":\"id-1\"}\n");
  EXPECT_TRUE(json::parse(page.body));
  EXPECT_THAT(page.fields, HasSubstr("Retry-After: 2\r\n"));
  EXPECT_THAT(page.fields, HasSubstr("X-Request-Id: id-1\r\n"));

  const TestRequest as_text("GET /", "Accept: text/html");
  const auto text = error_page(
      as_text.head(), {504, "upstream_timeout", "the app took too long", "id-2", Duration::zero()});
  EXPECT_EQ(text.body, "504 Gateway Timeout: the app took too long\nRequest id: id-2\n");
  EXPECT_THAT(text.fields, Not(HasSubstr("Retry-After")));
}

}  // namespace
}  // namespace headroom::edge
