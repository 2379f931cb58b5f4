// headroom/limit/rules_fixture_test.h - rules made from the text of a settings file, and requests by a few words.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "headroom/config/config.h"
#include "headroom/http/message.h"
#include "headroom/limit/rules.h"

namespace headroom::limit {

inline Result<LimitOptions> options_in(const std::string& toml) {
  config::Schema schema;
  schema.add(limit_section());
  auto settings = schema.load({.file = config::Document{"headroom.toml", toml}});
  if (!settings) return pass(settings);
  return (*settings)->get<LimitOptions>();
}

// A request that keeps its texts.
struct Request {
  std::string path = "/";
  std::string address = "10.0.0.1";
  std::vector<std::pair<std::string, std::string>> headers{};
  std::string method = "GET";
  std::string route{};
  std::string host = "example.org";
  bool trusted = false;
};

class RulesTest : public ::testing::Test {
 protected:
  void use(const std::string& toml) {
    auto options = options_in(toml);
    ASSERT_TRUE(options) << options.error().message;
    auto made = Rules::make(*options, rules_.get(), registry_);
    ASSERT_TRUE(made) << made.error().message;
    rules_ = std::move(*made);
  }
  Decision ask(const Request& request, std::size_t worker = 0) {
    http::RequestHead head;
    head.method = http::method_of(request.method);
    head.method_text = request.method;
    for (const auto& [name, value] : request.headers)
      head.add({.id = http::name_of(name), .name = name, .value = value});
    const Asked asked{.head = head,
                      .route = request.route,
                      .host = request.host,
                      .path = request.path,
                      .client = *IpAddress::parse(request.address),
                      .trusted = request.trusted};
    return rules_->decide(asked, worker, now_);
  }
  // How many of `count` are allowed, one after the other.
  int allowed_of(int count, const Request& request = {}) {
    int allowed = 0;
    while (count-- > 0) allowed += ask(request).allowed() ? 1 : 0;
    return allowed;
  }
  RuleStatus status(std::string_view name) {
    for (auto& status : rules_->snapshot(now_, 10)) {
      if (status.name == name) return status;
    }
    ADD_FAILURE() << "no rule " << name;
    return {};
  }

  metrics::Registry registry_{8};
  TimePoint now_{5000s};
  std::shared_ptr<const Rules> rules_;
};

}  // namespace headroom::limit
