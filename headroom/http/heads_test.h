// headroom/http/heads_test.h - heads from a few lines of text, for the tests of what reads them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "headroom/http/parser.h"

namespace headroom::http {

// "Name: value\nName: value"
inline std::string with_crlf(std::string_view lines) {
  std::string text;
  for (const char c : lines) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  return text + (lines.empty() ? "\r\n" : "\r\n\r\n");
}

class Request {
 public:
  explicit Request(std::string_view lines, std::string_view first = "GET / HTTP/1.1")
      : bytes_(std::string(first) + "\r\nHost: app.example\r\n" + with_crlf(lines)) {
    ScanState state;
    EXPECT_EQ(parse_request_head(bytes_, {}, state, head_).state, Parsed::State::complete)
        << bytes_;
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  operator const RequestHead&() const { return head_; }  // NOLINT(google-explicit-constructor)

 private:
  std::string bytes_;
  RequestHead head_;
};

class Response {
 public:
  explicit Response(std::string_view lines, unsigned status = 200, Method method = Method::get)
      : bytes_("HTTP/1.1 " + std::to_string(status) + " X\r\n" + with_crlf(lines)) {
    ScanState state;
    EXPECT_EQ(parse_response_head(bytes_, {}, state, method, head_).state, Parsed::State::complete)
        << bytes_;
  }
  Response(const Response&) = delete;
  Response& operator=(const Response&) = delete;
  operator const ResponseHead&() const { return head_; }  // NOLINT(google-explicit-constructor)

 private:
  std::string bytes_;
  ResponseHead head_;
};

}  // namespace headroom::http
