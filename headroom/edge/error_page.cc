#include "headroom/edge/error_page.h"

#include <algorithm>
#include <array>
#include <string>

#include "headroom/base/text.h"
#include "headroom/http/writer.h"
#include "headroom/json/writer.h"

namespace headroom::edge {

using http::Name;

namespace {

// RFC 9110 12.4.2, in thousandths: "0.25" is 250. A value that is none counts as 1.
unsigned weight_of(std::string_view parameters) {
  for (const std::string_view parameter : text::split(parameters, ';')) {
    if (parameter.size() < 3 || text::lower(parameter[0]) != 'q' || parameter[1] != '=') continue;
    if (parameter[2] != '0') return 1000;
    unsigned weight = 0;
    unsigned unit = 100;
    for (const char c : parameter.substr(std::min<std::size_t>(parameter.size(), 4))) {
      if (c < '0' || c > '9') break;
      weight += static_cast<unsigned>(c - '0') * unit;
      unit /= 10;
    }
    return weight;
  }
  return 1000;
}

// The weight that Accept gives to a media type: that of the most specific range that covers it.
unsigned weight_for(std::string_view accept, std::string_view type) {
  const std::string whole_type = std::string(type.substr(0, type.find('/'))) + "/*";
  const std::array<std::string_view, 3> ranges{"*/*", whole_type, type};
  std::size_t best = 0;
  unsigned weight = 0;
  bool any = false;
  for (const std::string_view element : text::split(accept, ',')) {
    const auto end = element.find(';');
    const std::string_view range = text::trimmed(element.substr(0, end));
    for (std::size_t i = ranges.size(); i-- > best;) {
      if (!text::equal_ignoring_case(range, ranges[i])) continue;
      if (any && i == best) break;
      weight =
          weight_of(end == std::string_view::npos ? std::string_view{} : element.substr(end + 1));
      best = i;
      any = true;
      break;
    }
  }
  return weight;
}

bool wants_text(const http::RequestHead& head) {
  if (!head.has(Name::accept)) return false;
  std::string accept;  // a list may come in several fields
  for (const http::Field& field : head.fields) {
    if (field.id == Name::accept) accept.append(accept.empty() ? "" : ",").append(field.value);
  }
  const unsigned as_json = weight_for(accept, "application/json");
  return std::max(weight_for(accept, "text/plain"), weight_for(accept, "text/html")) > as_json;
}

std::string json_body(const PageText& text) {
  std::string body;
  json::Writer json(body);
  json.begin_object().key("error").begin_object();
  json.field("code", text.code).field("message", text.message).end_object();
  json.field("request_id", text.id).end_object();
  body += '\n';
  return body;
}

std::string text_body(const PageText& text) {
  std::string body = std::to_string(text.status) + " ";
  body.append(http::reason_of(static_cast<std::uint16_t>(text.status)))
      .append(": ")
      .append(text.message);
  body.append("\nRequest id: ").append(text.id).append("\n");
  return body;
}

}  // namespace

http::Reply error_page(const http::RequestHead& head, const PageText& text) {
  const bool plain = wants_text(head);
  http::Reply reply{text.status, plain ? "text/plain; charset=utf-8" : "application/json",
                    plain ? text_body(text) : json_body(text), "Cache-Control: no-store\r\n"};
  reply.fields.append("X-Request-Id: ").append(text.id).append("\r\n");
  if (text.retry_after > Duration::zero()) {
    const auto whole = std::chrono::ceil<std::chrono::seconds>(text.retry_after);
    reply.fields.append("Retry-After: ").append(std::to_string(whole.count())).append("\r\n");
  }
  return reply;
}

}  // namespace headroom::edge
