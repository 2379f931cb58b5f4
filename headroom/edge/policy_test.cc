#include "headroom/edge/policy.h"

#include <gmock/gmock.h>

#include "headroom/edge/request_fixture.h"

namespace headroom::edge {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Arrival kPlain{false, 8443};
constexpr Arrival kTls{true, 8443};

RoutePolicy compiled(const RouteOptions& options) {
  auto policy = RoutePolicy::compile(options);
  EXPECT_TRUE(policy) << policy.error().message;
  return std::move(*policy);
}

std::string refusal(const RouteOptions& options) {
  const auto policy = RoutePolicy::compile(options);
  if (policy) return "accepted";
  EXPECT_EQ(policy.error().code, Errc::invalid);
  return policy.error().message;
}

std::string location_of(const std::optional<http::Reply>& reply) {
  if (!reply) return "none";
  const auto at = reply->fields.find("Location: ");
  if (at == std::string::npos) return std::to_string(reply->status);
  return std::to_string(reply->status) + " " +
         reply->fields.substr(at + 10, reply->fields.find("\r\n", at) - at - 10);
}

TEST(RoutePolicy, ARouteWithoutPolicyIsInactive) {
  RouteOptions plain;
  plain.path = "/api";
  plain.upstream = "app";
  EXPECT_FALSE(compiled(plain).active());
}

TEST(RoutePolicy, PlainRequestsAreSentToTheTlsDoorWithTheirHostAndTarget) {
  RouteOptions options;
  options.redirect_https = true;
  const RoutePolicy policy = compiled(options);
  EXPECT_TRUE(policy.active());
  struct Case {
    std::string line;
    std::string fields;
    Arrival arrival;
    std::string location;
  };
  const std::vector<Case> table{
      {"GET /a/b?c=d", "", kPlain, "308 https://app.test:8443/a/b?c=d"},
      {"POST /a", "Host: APP.test:8080\r\nContent-Length: 0", kPlain,
       "308 https://APP.test:8443/a"},
      {"GET /", "Host: [2001:db8::1]:8080", kPlain, "308 https://[2001:db8::1]:8443/"},
      {"GET /", "Host: [2001:db8::1]", {false, 443}, "308 https://[2001:db8::1]/"},
      {"GET //evil.example/", "", {false, 0}, "308 https://app.test//evil.example/"},
      {"GET http://app.test/x", "", {false, 443}, "308 https://app.test/x"},
      {"OPTIONS *", "", kPlain, "308 https://app.test:8443/"},
      {"GET /a", "", kTls, "none"},
  };
  for (const Case& row : table) {
    const TestRequest request(row.line, row.fields);
    EXPECT_EQ(location_of(policy.early_reply(request.head(), row.arrival)), row.location)
        << row.line;
  }
}

TEST(RoutePolicy, RedirectTemplatesAreFilledFromTheRequest) {
  struct Case {
    std::string redirect;
    std::string line;
    std::string location;
  };
  const std::vector<Case> table{
      {"308 https://example.org{uri}", "GET /a?b=c", "308 https://example.org/a?b=c"},
      {"301 https://example.org/new{path}?{query}&from=old", "GET /a?b=c",
       "301 https://example.org/new/a?b=c&from=old"},
      {"302 https://{host}:444{path}", "GET /a?b=c", "302 https://app.test:444/a"},
      {"303 /login", "GET /a", "303 /login"},
      {"307 /v2{uri}", "GET //evil.example", "307 /v2//evil.example"},
      {"308 https://example.org{uri}", "OPTIONS *", "308 https://example.org/"},
      {"308 http://example.org?{query}", "GET /?x", "308 http://example.org?x"},
  };
  for (const Case& row : table) {
    RouteOptions options;
    options.redirect = row.redirect;
    const TestRequest request(row.line);
    EXPECT_EQ(location_of(compiled(options).early_reply(request.head(), kTls)), row.location)
        << row.redirect;
  }
}

TEST(RoutePolicy, RedirectsWhoseHostARequestCouldChooseAreRefused) {
  const std::vector<std::string> table{"https://example.org",
                                       "200 https://example.org",
                                       "308",
                                       "308 ",
                                       "308 example.org{uri}",
                                       "308 {uri}",
                                       "308 /{uri}",
                                       "308 /{query}",
                                       "308 //example.org",
                                       "308 https://{uri}",
                                       "308 https://example.org{query}",
                                       "308 https://user@example.org/",
                                       "308 https://exa mple.org/",
                                       "308 https://example.org/\r\nSet-Cookie: a=b",
                                       "308 javascript:alert(1)",
                                       "308 https://example.org{url}"};
  for (const std::string& redirect : table) {
    RouteOptions options;
    options.redirect = redirect;
    EXPECT_THAT(refusal(options), HasSubstr("redirect: ")) << redirect;
  }
}

TEST(RoutePolicy, PrefixesAreTakenOffAndPutOnAtSegmentBoundariesAndTheQueryStays) {
  struct Case {
    std::string strip;
    std::string add;
    std::string target;
    std::string expected;
  };
  const std::vector<Case> table{
      {"/api", "", "/api/users?a=/b", "/users?a=/b"},
      {"/api", "", "/api", "/"},
      {"/api", "", "/api?x", "/?x"},
      {"/api", "", "/api/", "/"},
      {"/api/", "", "/api/users", "/users"},
      {"/api", "", "/apis/users", "/apis/users"},
      {"/api", "", "/other", "/other"},
      {"", "/v2", "/users?x", "/v2/users?x"},
      {"", "/v2/", "/", "/v2/"},
      {"/api", "/v2", "/api/users", "/v2/users"},
      {"/api", "/v2", "/api", "/v2/"},
      {"/", "", "/a", "/a"},
      {"/api", "", "/%61pi/users", "/users"},
      {"/api", "", "/x/../api/us%65rs", "/users"},
      {"/api", "", "/api//evil.example/", "/evil.example/"},
      {"/api", "", "/api/us%65rs%20a/?", "/us%65rs%20a/?"},
  };
  for (const Case& row : table) {
    RouteOptions options;
    options.strip_prefix = row.strip;
    options.add_prefix = row.add;
    const TestRequest request("GET " + row.target);
    EXPECT_EQ(compiled(options).target(request.head()), row.expected)
        << row.strip << " " << row.add << " " << row.target;
  }
  RouteOptions options;
  options.add_prefix = "/v2";
  const TestRequest star("OPTIONS *");
  EXPECT_EQ(compiled(options).target(star.head()), "*");
  for (const std::string bad :
       {"api", "/a b", "/a?b", "/a/../b", "/a\r\nb", "/%41", "/caf\xc3\xa9"}) {
    options.add_prefix = bad;
    EXPECT_THAT(refusal(options), HasSubstr("add_prefix: ")) << bad;
  }
}

TEST(RoutePolicy, RequestHeadersAreSetWithVariablesReplacedAndRemoved) {
  RouteOptions options;
  options.set_request_headers = {{"X-Client", "{client_ip} via {host}"},
                                 {"X-Trace", "{request_id};{scheme}"},
                                 {"X-Raw", "{\"a\": {}}"}};
  options.remove_request_headers = {"Cookie", "X-Debug"};
  const RoutePolicy policy = compiled(options);
  const TestRequest request(
      "GET /", "Cookie: a=b\r\nx-debug: 1\r\nX-CLIENT: 6.6.6.6\r\nAccept: */*\r\nX-Other: 1");
  std::string kept;
  for (const http::Field& field : request.head().fields) {
    if (policy.keeps_request_field(field)) kept += std::string(field.name) + " ";
    EXPECT_TRUE(policy.keeps_response_field(field));
  }
  EXPECT_EQ(kept, "Host Accept X-Other ");
  std::string lines;
  policy.append_request_lines(lines, {"192.0.2.1", "id-1", "app.test", "https"});
  EXPECT_EQ(lines,
            "X-Client: 192.0.2.1 via app.test\r\nX-Raw: {\"a\": {}}\r\nX-Trace: id-1;https\r\n");
}

TEST(RoutePolicy, ResponseHeadersAreSetAndRemoved) {
  RouteOptions options;
  options.set_response_headers = {{"X-Frame-Options", "DENY"}};
  options.remove_response_headers = {"Server", "X-Powered-By"};
  const RoutePolicy policy = compiled(options);
  const TestRequest request("GET /");
  std::string lines;
  policy.append_response_lines(lines, request.head(), false);
  EXPECT_EQ(lines, "X-Frame-Options: DENY\r\n");
  const auto field = [](std::string_view name) {
    return http::Field{http::name_of(name), false, name, "x"};
  };
  EXPECT_FALSE(policy.keeps_response_field(field("x-frame-options")));
  EXPECT_FALSE(policy.keeps_response_field(field("server")));
  EXPECT_FALSE(policy.keeps_response_field(field("x-powered-BY")));
  EXPECT_TRUE(policy.keeps_response_field(field("Content-Type")));
  EXPECT_TRUE(policy.keeps_request_field(field("Server")));
}

TEST(RoutePolicy, HeadersThatWouldBreakFramingOrContradictHeadroomAreRefused) {
  using Edit = std::function<void(RouteOptions&)>;
  const std::vector<std::pair<Edit, std::string>> table{
      {[](RouteOptions& o) { o.set_request_headers = {{"X Y", "1"}}; },
       "set_request_headers: 'X Y' is no header name"},
      {[](RouteOptions& o) { o.set_request_headers = {{"", "1"}}; }, "is no header name"},
      {[](RouteOptions& o) { o.set_request_headers = {{"X-Y", "1\r\nEvil: 1"}}; },
       "holds a control character"},
      {[](RouteOptions& o) { o.set_request_headers = {{"content-length", "1"}}; },
       "belongs to the connection"},
      {[](RouteOptions& o) { o.set_request_headers = {{"Transfer-Encoding", "x"}}; },
       "belongs to the connection"},
      {[](RouteOptions& o) { o.remove_request_headers = {"Connection"}; },
       "belongs to the connection"},
      {[](RouteOptions& o) { o.remove_request_headers = {"X-Forwarded-For"}; },
       "is written by Headroom"},
      {[](RouteOptions& o) { o.set_request_headers = {{"Host", "x"}}; },
       "upstream group's setting 'host'"},
      {[](RouteOptions& o) { o.set_request_headers = {{"X-A", "{client_up}"}}; },
       "unknown variable {client_up}"},
      {[](RouteOptions& o) { o.set_response_headers = {{"Trailer", "x"}}; },
       "belongs to the connection"},
      {[](RouteOptions& o) { o.set_response_headers = {{"X-A", std::string("a\0b", 3)}}; },
       "holds a control character"},
      {[](RouteOptions& o) { o.remove_response_headers = {"Date"}; }, "is written by Headroom"},
      {[](RouteOptions& o) { o.remove_response_headers = {"upgrade"}; },
       "remove_response_headers: upgrade belongs"},
  };
  for (const auto& [edit, message] : table) {
    RouteOptions options;
    edit(options);
    EXPECT_THAT(refusal(options), HasSubstr(message));
  }
}

TEST(RoutePolicy, HstsIsSentOnTlsOnlyAndReplacesTheApps) {
  RouteOptions options;
  options.hsts = std::chrono::hours(24);
  const RoutePolicy policy = compiled(options);
  const TestRequest request("GET /");
  std::string on_tls;
  std::string plain;
  policy.append_response_lines(on_tls, request.head(), true);
  policy.append_response_lines(plain, request.head(), false);
  EXPECT_EQ(on_tls, "Strict-Transport-Security: max-age=86400\r\n");
  EXPECT_EQ(plain, "");
  EXPECT_FALSE(policy.keeps_response_field(
      {http::Name::strict_transport_security, false, "Strict-Transport-Security", "x"}));
}

RouteOptions with_cors(std::vector<std::string> origins) {
  RouteOptions options;
  options.cors.origins = std::move(origins);
  options.cors.methods = {"GET", "PUT"};
  options.cors.headers = {"Content-Type", "X-A"};
  options.cors.expose = {"X-Total"};
  options.cors.max_age = 600s;
  return options;
}

std::string preflight(const RouteOptions& options, std::string_view fields) {
  const TestRequest request("OPTIONS /a", fields);
  const auto reply = compiled(options).early_reply(request.head(), kPlain);
  return reply ? std::to_string(reply->status) + "\n" + reply->fields : "none";
}

TEST(Cors, APreflightOfAnAllowedOriginIsAnsweredHere) {
  auto options = with_cors({"https://a.test", "http://localhost:3000"});
  constexpr std::string_view kFields =
      "Origin: https://a.test\r\nAccess-Control-Request-Method: PUT";
  EXPECT_EQ(
      preflight(options, kFields),
      "204\nVary: Origin, Access-Control-Request-Private-Network\r\nAccess-Control-Allow-Origin: "
      "https://a.test\r\n"
      "Access-Control-Allow-Methods: GET, PUT\r\nAccess-Control-Allow-Headers: Content-Type, "
      "X-A\r\nAccess-Control-Max-Age: 600\r\n");
  options.cors.credentials = true;
  EXPECT_THAT(preflight(options, kFields), HasSubstr("Access-Control-Allow-Credentials: true\r\n"));
  EXPECT_THAT(
      preflight(options, std::string(kFields) + "\r\nAccess-Control-Request-Private-Network: true"),
      HasSubstr("Access-Control-Allow-Private-Network: true\r\n"));
}

TEST(Cors, OriginsAreComparedExactly) {
  const auto options = with_cors({"https://a.test"});
  for (const std::string origin : {"https://a.test.evil", "https://A.test", "http://a.test",
                                   "https://a.test:443", "https://xa.test", "null"}) {
    const std::string reply =
        preflight(options, "Origin: " + origin + "\r\nAccess-Control-Request-Method: PUT");
    EXPECT_THAT(reply, HasSubstr("403\n")) << origin;
    EXPECT_THAT(reply, Not(HasSubstr("Allow-Origin"))) << origin;
  }
}

TEST(Cors, OptionsThatIsNoPreflightAndRoutesWithoutCorsReachTheApp) {
  EXPECT_EQ(preflight(with_cors({"https://a.test"}), "Origin: https://a.test"), "none");
  EXPECT_EQ(preflight(with_cors({"https://a.test"}), "Access-Control-Request-Method: PUT"), "none");
  EXPECT_EQ(
      preflight(RouteOptions{}, "Origin: https://a.test\r\nAccess-Control-Request-Method: PUT"),
      "none");
}

TEST(Cors, AnswersCarryTheOriginAndVaryAndTheAppsOwnFieldsAreReplaced) {
  const RoutePolicy policy = compiled(with_cors({"https://a.test"}));
  const auto lines = [&](std::string_view fields) {
    const TestRequest request("GET /", fields);
    std::string out;
    policy.append_response_lines(out, request.head(), false);
    return out;
  };
  EXPECT_EQ(lines("Origin: https://a.test"),
            "Vary: Origin\r\nAccess-Control-Allow-Origin: "
            "https://a.test\r\nAccess-Control-Expose-Headers: X-Total\r\n");
  EXPECT_EQ(lines("Origin: https://b.test"), "Vary: Origin\r\n");
  EXPECT_EQ(lines(""), "Vary: Origin\r\n");
  EXPECT_FALSE(policy.keeps_response_field(
      {http::Name::access_control_allow_origin, false, "Access-Control-Allow-Origin", "*"}));
}

TEST(Cors, AnyOriginIsAStarWithoutVaryAndNeverWithCredentials) {
  auto options = with_cors({"*"});
  const TestRequest request("GET /", "Origin: https://x.test");
  std::string out;
  compiled(options).append_response_lines(out, request.head(), false);
  EXPECT_EQ(out, "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: X-Total\r\n");
  EXPECT_THAT(preflight(options,
                        "Origin: https://x.test\r\nAccess-Control-Request-Method: "
                        "PUT\r\nAccess-Control-Request-Private-Network: true"),
              Not(HasSubstr("Private")));
  options.cors.credentials = true;
  EXPECT_THAT(refusal(options), HasSubstr("cors.credentials: not with origin *"));
}

TEST(Cors, SettingsThatAreNoOriginsOrTokensAreRefused) {
  for (const std::string bad : {"a.test", "https://", "https://a.test/", "https://A.test",
                                "https://*.a.test", "https://a.test\r\n", "://a"}) {
    EXPECT_THAT(refusal(with_cors({bad})), HasSubstr("cors.origins: ")) << bad;
  }
  auto options = with_cors({"https://a.test"});
  options.cors.headers = {"X A"};
  EXPECT_THAT(refusal(options), HasSubstr("cors.headers: 'X A' is no token"));
}

}  // namespace
}  // namespace headroom::edge
