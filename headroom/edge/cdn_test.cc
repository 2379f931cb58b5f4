#include <gtest/gtest.h>

#include "headroom/edge/cdn_provider.h"
#include "headroom/edge/cdn_purge.h"

namespace headroom::edge {
namespace {

using What = cache::Invalidation::What;
using cache::Space;

std::string shown(const cache::Invalidation& what) {
  const auto item = purge_item(what);
  return item ? std::string(to_string(item->kind)) + " " + item->name : "nothing";
}

std::string of(What what, std::string_view name) {
  return shown({.what = what, .space = Space::http, .name = name});
}

TEST(CdnPurge, NamesWhatWasInvalidatedOrMore) {
  EXPECT_EQ(of(What::key, "http://example.org/a?b=1"), "url example.org/a?b=1");
  EXPECT_EQ(of(What::key, "https://internal|example.org/a"), "url example.org/a");
  EXPECT_EQ(of(What::tag, "news"), "tag news");
  EXPECT_EQ(of(What::prefix, "http://example.org/shop/"), "prefix example.org/shop/");
  EXPECT_EQ(of(What::pattern, "http://example.org/shop/*.html"), "prefix example.org/shop/");
  EXPECT_EQ(of(What::pattern, "http://example.org/a?c"), "prefix example.org/a");
  for (const char* wide : {"", "http", "http://", "http://exam", "http://example.org"})
    EXPECT_EQ(of(What::prefix, wide), "everything ") << wide;
  for (const char* wide : {"*", "*/news/*", "http://*/x"})
    EXPECT_EQ(of(What::pattern, wide), "everything ") << wide;
}

TEST(CdnPurge, LeavesOutWhatNoCdnHas) {
  EXPECT_EQ(shown({.what = What::key, .space = Space::app, .name = "http://example.org/a"}),
            "nothing");
  EXPECT_EQ(shown({.what = What::prefix, .space = Space::app, .name = "a"}), "nothing");
  EXPECT_EQ(shown({.what = What::key,
                   .space = Space::http,
                   .name = "http://example.org/a",
                   .was_there = false}),
            "nothing");
  EXPECT_EQ(of(What::tag, "url:http://example.org/a"), "nothing");
  EXPECT_EQ(of(What::key, "no page"), "nothing");
}

TEST(CdnPurge, SpellsTagsAlikeWhereTheyAreSaidAndPurged) {
  const std::string odd = "group:http://example.org my group";
  EXPECT_EQ(cdn_tag("product:7"), "product:7");
  EXPECT_TRUE(cdn_tag(odd).starts_with("headroom-"));
  EXPECT_EQ(of(What::tag, odd), "tag " + cdn_tag(odd));
  for (const std::string& tag : {std::string("a,b"), std::string("a b"), std::string("\xc3\xa4"),
                                 std::string(), std::string(257, 'x')}) {
    EXPECT_EQ(cdn_tag(tag).size(), std::string_view("headroom-0123456789abcdef").size()) << tag;
  }
}

TEST(CdnPurge, TellsTagsInOneLine) {
  const std::vector<std::string> tags{"a", "b", "a", "url:http://example.org/"};
  EXPECT_EQ(cdn_tag_line({CdnProvider::off, "Cache-Tag", {}}, tags), "");
  EXPECT_EQ(cdn_tag_line({CdnProvider::cloudflare, "Cache-Tag", {}}, {}), "");
  EXPECT_EQ(cdn_tag_line({CdnProvider::cloudflare, "Cache-Tag", {}}, tags), "Cache-Tag: a,b\r\n");
  EXPECT_EQ(cdn_tag_line({CdnProvider::other, "surrogate-key", {}}, tags),
            "surrogate-key: a b\r\n");
  std::vector<std::string> many;
  for (int i = 0; i < 60; ++i) many.push_back("t" + std::to_string(i));
  const std::string line = cdn_tag_line({CdnProvider::cloudfront, "Cache-Tag", {}}, many);
  EXPECT_EQ(std::ranges::count(line, ','), 49);
  EXPECT_TRUE(line.ends_with(",headroom-more\r\n"));
}

const auto kThree = [](PurgeKind) -> std::size_t { return 3; };

TEST(PurgeQueue, GivesEachOnceInBatchesOfAKind) {
  PurgeQueue queue;
  for (const char* name : {"a", "b", "c", "d", "a", "b"})
    EXPECT_TRUE(queue.add({PurgeKind::tag, name}, 100));
  EXPECT_TRUE(queue.add({PurgeKind::url, "a"}, 100));
  EXPECT_EQ(queue.size(), 5U);
  auto batch = queue.take(kThree);
  ASSERT_TRUE(batch);
  EXPECT_EQ(batch->kind, PurgeKind::tag);
  EXPECT_EQ(batch->names, (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(queue.add({PurgeKind::tag, "a"}, 100));  // anew, since the batch was taken
  EXPECT_EQ(queue.take(kThree)->names, (std::vector<std::string>{"a", "d"}));
  EXPECT_EQ(queue.take(kThree)->kind, PurgeKind::url);
  EXPECT_FALSE(queue.take(kThree));
}

TEST(PurgeQueue, BecomesEverythingWhenItIsFullOrTold) {
  PurgeQueue queue;
  EXPECT_TRUE(queue.add({PurgeKind::tag, "a"}, 2));
  EXPECT_TRUE(queue.add({PurgeKind::url, "b"}, 2));
  EXPECT_TRUE(queue.add({PurgeKind::url, "b"}, 2));
  EXPECT_FALSE(queue.add({PurgeKind::url, "c"}, 2));
  EXPECT_TRUE(queue.add({PurgeKind::url, "d"}, 2));
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.take(kThree)->kind, PurgeKind::everything);
  EXPECT_TRUE(queue.empty());
  EXPECT_TRUE(queue.add({PurgeKind::tag, "a"}, 2));
  EXPECT_TRUE(queue.add({PurgeKind::everything, {}}, 2));
  EXPECT_EQ(queue.take(kThree)->kind, PurgeKind::everything);
  EXPECT_FALSE(queue.take(kThree));
}

CdnSettings settings_of(CdnProvider provider) {
  CdnSettings settings;
  settings.options.provider = provider;
  settings.options.zone = "ZONE";
  settings.options.token = "secret";
  settings.options.access_key = "AKIDEXAMPLE";
  settings.options.secret_key = "secret";
  settings.address = *cdn_address(settings.options);
  return settings;
}

std::string body_of(CdnProvider provider, const PurgeBatch& batch) {
  return cdn_request(settings_of(provider), batch, 0, "ref").body;
}

TEST(Cloudflare, IsAskedAsItsDocumentsSay) {
  const CdnRequest request =
      cdn_request(settings_of(CdnProvider::cloudflare), {PurgeKind::everything, {}}, 0, "ref");
  EXPECT_EQ(request.target, "/client/v4/zones/ZONE/purge_cache");
  EXPECT_EQ(request.fields[0],
            (std::pair<std::string, std::string>{"Authorization", "Bearer secret"}));
  EXPECT_EQ(request.body, R"({"purge_everything":true})");
  const auto body = [](const PurgeBatch& batch) { return body_of(CdnProvider::cloudflare, batch); };
  EXPECT_EQ(body({PurgeKind::tag, {"a", "b\""}}), R"({"tags":["a","b\""]})");
  EXPECT_EQ(body({PurgeKind::url, {"example.org/a?b"}}),
            R"({"files":["https://example.org/a?b","http://example.org/a?b"]})");
  EXPECT_EQ(
      body({PurgeKind::prefix, {"example.org/shop/", "example.org/sh", "example.org/a/b?c/d"}}),
      R"({"prefixes":["example.org","example.org/a","example.org/shop"]})");
}

TEST(CloudFront, IsAskedAsItsDocumentsSay) {
  const CdnRequest request = cdn_request(settings_of(CdnProvider::cloudfront),
                                         {PurgeKind::everything, {}}, 1440938160, "ref");
  EXPECT_EQ(request.target, "/2020-05-31/distribution/ZONE/invalidation");
  EXPECT_EQ(request.fields.back().first, "Authorization");
  EXPECT_TRUE(request.fields.back().second.starts_with(
      "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/cloudfront/aws4_request, "
      "SignedHeaders=content-type;host;x-amz-date, Signature="));
  const auto body = [](const PurgeBatch& batch) { return body_of(CdnProvider::cloudfront, batch); };
  EXPECT_EQ(
      body({PurgeKind::everything, {}}),
      R"(<?xml version="1.0" encoding="UTF-8"?><InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity>)"
      R"(<Items><Path>/*</Path></Items></Paths><CallerReference>ref</CallerReference></InvalidationBatch>)");
  EXPECT_NE(body({PurgeKind::tag, {"a&b"}})
                .find("<Quantity>2</Quantity><Items><Path>#a&amp;b</Path><Path>#headroom-more</"
                      "Path></Items>"),
            std::string::npos);
  EXPECT_NE(body({PurgeKind::url, {"example.org/a*?b=\"&c"}})
                .find("<Quantity>1</Quantity><Items><Path>/a%2A?b=&quot;&amp;c</Path></Items>"),
            std::string::npos);
  EXPECT_NE(body({PurgeKind::url, {"a.example/x", "b.example/x"}}).find("<Quantity>1</Quantity>"),
            std::string::npos);
  EXPECT_NE(body({PurgeKind::prefix, {"example.org/shop/"}}).find("<Path>/shop/*</Path>"),
            std::string::npos);
}

using Kind = CdnVerdict::Kind;
Kind kind(CdnProvider provider, unsigned status, std::string body = {}) {
  return judge(settings_of(provider).options, {status, {}, std::move(body)}).kind;
}

TEST(Cloudflare, AnswersAreUnderstood) {
  constexpr auto kOne = CdnProvider::cloudflare;
  EXPECT_EQ(kind(kOne, 200, R"({"success":true,"errors":[],"result":{"id":"x"}})"), Kind::done);
  for (const unsigned status : {200U, 302U, 401U, 403U, 404U, 429U, 500U, 503U})
    EXPECT_EQ(kind(kOne, status, R"({"success":false})"), Kind::later) << status;
  EXPECT_EQ(kind(kOne, 200, "<html>"), Kind::later);
  for (const unsigned status : {400U, 413U, 422U})
    EXPECT_EQ(kind(kOne, status, "{}"), Kind::refused) << status;
  const auto verdict = judge(
      settings_of(kOne).options,
      {429, "7", "{\"success\":false,\"errors\":[{\"code\":1,\"message\":\"slow\\ndown\"}]}"});
  EXPECT_EQ(verdict.why, "status 429: slow?down");
  EXPECT_EQ(verdict.wait, 7s);
  EXPECT_EQ(judge(settings_of(kOne).options, {429, "99999999", {}}).wait, 600s);
  EXPECT_EQ(judge(settings_of(kOne).options, {429, "soon", {}}).wait, 0s);
}

TEST(CloudFront, AnswersAreUnderstood) {
  constexpr auto kOne = CdnProvider::cloudfront;
  const auto error = [](std::string_view code) {
    return "<ErrorResponse><Error><Code>" + std::string(code) +
           "</Code><Message>m</Message></Error></ErrorResponse>";
  };
  EXPECT_EQ(kind(kOne, 201), Kind::done);
  for (const char* code : {"TooManyInvalidationsInProgress", "Throttling", "ThrottlingException"})
    EXPECT_EQ(kind(kOne, 400, error(code)), Kind::later) << code;
  for (const unsigned status : {403U, 404U, 500U, 503U})
    EXPECT_EQ(kind(kOne, status, error("AccessDenied")), Kind::later) << status;
  EXPECT_EQ(kind(kOne, 400, error("InvalidArgument")), Kind::refused);
  EXPECT_EQ(kind(kOne, 413, error("BatchTooLarge")), Kind::refused);
  EXPECT_EQ(judge(settings_of(kOne).options, {400, {}, error("InvalidArgument")}).why,
            "status 400: InvalidArgument m");
}

TEST(CdnLimits, AreThoseOfTheDocuments) {
  CdnOptions options = settings_of(CdnProvider::cloudflare).options;
  EXPECT_EQ(most_names(options, PurgeKind::tag), 100U);
  EXPECT_EQ(most_names(options, PurgeKind::url), 50U);  // by two schemes
  EXPECT_DOUBLE_EQ(pace_of(options, PurgeKind::tag).rate * 60, 5);
  EXPECT_DOUBLE_EQ(pace_of(options, PurgeKind::tag).burst, 25);
  options.plan = CdnPlan::enterprise;
  EXPECT_EQ(most_names(options, PurgeKind::url), 250U);
  EXPECT_DOUBLE_EQ(pace_of(options, PurgeKind::everything).rate, 50);
  EXPECT_DOUBLE_EQ(pace_of(options, PurgeKind::url).rate, 3000);
  options.provider = CdnProvider::cloudfront;
  EXPECT_EQ(most_names(options, PurgeKind::url), 3000U);
  EXPECT_EQ(most_names(options, PurgeKind::prefix), 15U);
}

TEST(CdnAddress, IsHttpsAndNothingElse) {
  CdnOptions options;
  const auto shown = [&](std::string url) {
    options.base_url = std::move(url);
    const auto address = cdn_address(options);
    return address ? address->host + " " + std::to_string(address->port) + " " +
                         address->authority + " " + address->path
                   : "refused";
  };
  EXPECT_EQ(shown("https://api.example:8443/v4/"), "api.example 8443 api.example:8443 /v4");
  EXPECT_EQ(shown("https://[::1]:9"), "::1 9 [::1]:9 ");
  EXPECT_EQ(shown(""), "api.cloudflare.com 443 api.cloudflare.com /client/v4");
  for (const char* wrong : {"http://api.example", "api.example", "https://", "https://a:0",
                            "https://a:99999", "https://u@a", "https://a/?q", "https://a b"})
    EXPECT_EQ(shown(wrong), "refused") << wrong;
}

}  // namespace
}  // namespace headroom::edge
