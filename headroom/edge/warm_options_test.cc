#include "headroom/edge/warm_options.h"

#include <gtest/gtest.h>

namespace headroom::edge {
namespace {

std::vector<std::string> urls(const WarmOptions& options) {
  std::vector<std::string> urls;
  auto made = warm_requests(options);
  if (!made) return {made.error().message};
  for (const WarmRequest& request : *made) {
    std::string url = request.url();
    for (const auto& [name, value] : request.fields)
      url.append(" ").append(name).append("=").append(value);
    urls.push_back(std::move(url));
  }
  return urls;
}

using Urls = std::vector<std::string>;

TEST(WarmRequests, AreUrlsAndPathsOfAnOrigin) {
  EXPECT_EQ(urls({.urls = {"http://A.example:8080/x?y=1", "https://b.example"}}),
            (Urls{"http://a.example:8080/x?y=1", "https://b.example/"}));
  EXPECT_EQ(urls({.urls = {"/", "/x"}, .origin = "https://shop.example"}),
            (Urls{"https://shop.example/", "https://shop.example/x"}));
}

TEST(WarmRequests, AreMadeWithEachCombinationOfHeaders) {
  EXPECT_EQ(urls({.urls = {"http://a/"},
                  .headers = {{"Accept-Encoding", "gzip|br"}, {"Accept-Language", "de | en"}}}),
            (Urls{"http://a/ Accept-Encoding=gzip Accept-Language=de",
                  "http://a/ Accept-Encoding=br Accept-Language=de",
                  "http://a/ Accept-Encoding=gzip Accept-Language=en",
                  "http://a/ Accept-Encoding=br Accept-Language=en"}));
}

TEST(WarmRequests, ThatCannotBeSentAreRefusedWithTheReason) {
  for (const char* url : {"/x", "ftp://a/", "http://", "http:///x", "http://a b/", "http://a/x y",
                          "http://a/#x", "http://user@a/", "http://a/\r\nX: y", "", "x"}) {
    EXPECT_FALSE(warm_requests({.urls = {url}})) << url;
  }
  for (const char* origin : {"shop.example", "https://shop.example/x", "https://"}) {
    EXPECT_FALSE(warm_requests({.urls = {"/"}, .origin = origin})) << origin;
  }
  for (const char* name : {"Host", "Connection", "content-length", "Range", "a b", ""}) {
    EXPECT_FALSE(warm_requests({.urls = {"http://a/"}, .headers = {{name, "x"}}})) << name;
  }
  EXPECT_FALSE(warm_requests({.urls = {"http://a/"}, .headers = {{"X", "a\r\nb"}}}));
}

TEST(WarmRequests, AreLimited) {
  std::string many = "0";
  for (int i = 1; i < 101; ++i) many += "|" + std::to_string(i);
  EXPECT_FALSE(warm_requests({.urls = {"http://a/"}, .headers = {{"A", many}, {"B", many}}}));
  EXPECT_TRUE(warm_requests({.urls = {"http://a/"}, .headers = {{"A", many}}}));
}

}  // namespace
}  // namespace headroom::edge
