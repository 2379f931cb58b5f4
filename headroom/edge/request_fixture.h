// headroom/edge/request_fixture.h - requests for tests, parsed from text as the proxy parses them.
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/http/message.h"
#include "headroom/http/parser.h"

namespace headroom::edge {

// "GET /path" and "Name: value" lines; Host: app.test unless given.
class TestRequest {
 public:
  explicit TestRequest(std::string_view line, std::string_view fields = {})
      : text_(std::string(line) + " HTTP/1.1\r\n") {
    if (fields.find("Host:") == std::string_view::npos) text_ += "Host: app.test\r\n";
    text_ +=
        std::string(fields) + (fields.empty() || fields.ends_with("\r\n") ? "\r\n" : "\r\n\r\n");
    http::ScanState state;
    const http::Parsed parsed = http::parse_request_head(text_, {}, state, head_);
    HR_ASSERT(std::string_view(parsed.refusal.reason) == std::string_view());
  }
  TestRequest(const TestRequest&) = delete;
  TestRequest& operator=(const TestRequest&) = delete;

  [[nodiscard]] const http::RequestHead& head() const { return head_; }

 private:
  std::string text_;
  http::RequestHead head_;
};

}  // namespace headroom::edge
