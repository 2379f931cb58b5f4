#include "headroom/edge/owner.h"

#include <gtest/gtest.h>

#include "headroom/http/parser.h"

namespace headroom::edge {
namespace {

struct Asked {
  std::string owner;
  http::StoreRules rules;
};

Asked asked(const std::string& fields) {
  const std::vector<std::string> settings{"authorization", "cookie:session", "header:X-Api-Key"};
  const Owners owners(settings);
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
  http::RequestHead head;
  http::ScanState scan;
  EXPECT_EQ(http::parse_request_head(text, {}, scan, head).state, http::Parsed::State::complete);
  Asked made;
  made.owner = owners.of(head, made.rules);
  return made;
}

TEST(Owner, IsNobodyInParticularWithoutACredential) {
  for (const char* fields :
       {"", "Cookie: theme=dark\r\n", "Cookie: session=\r\n", "Cookie: session=a; session=b\r\n",
        "Cookie: session=a\r\nCookie: session=b\r\n", "Authorization: a\r\nAuthorization: b\r\n"}) {
    const Asked made = asked(fields);
    EXPECT_EQ(made.owner, "") << fields;
    EXPECT_FALSE(made.rules.holds_user || made.rules.holds_authorization || made.rules.holds_cookie)
        << fields;
  }
}

TEST(Owner, IsKnownByTheWholeCredentialAndWhereItStood) {
  const Asked token = asked("Authorization: Bearer secret\r\n");
  EXPECT_EQ(token.owner.size(), 32U);
  EXPECT_EQ(token.owner.find("secret"), std::string::npos);
  EXPECT_EQ(token.owner, asked("Authorization: Bearer secret\r\nCookie: theme=dark\r\n").owner);
  EXPECT_NE(token.owner, asked("Authorization: Bearer secre\r\n").owner);
  EXPECT_NE(token.owner, asked("X-Api-Key: Bearer secret\r\n").owner);
  EXPECT_TRUE(token.rules.holds_authorization && !token.rules.holds_cookie);
  const Asked both = asked("Authorization: a\r\nCookie: session=b\r\n");
  EXPECT_TRUE(both.rules.holds_authorization && both.rules.holds_cookie);
  EXPECT_NE(both.owner, asked("Authorization: a\r\n").owner);
}

TEST(Owner, StandsInTags) {
  EXPECT_EQ(tag_for("tasks:{user}", "17"), "tasks:17");
  EXPECT_EQ(tag_for("tasks", "17"), "tasks");
  EXPECT_EQ(tag_for("{user}", ""), "");
}

}  // namespace
}  // namespace headroom::edge
