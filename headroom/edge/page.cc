#include "headroom/edge/page.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <type_traits>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/edge/heads.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/forwarded.h"
#include "headroom/http/parser.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Name;

Page::Page(std::string_view metadata) {
  static_assert(std::is_trivially_copyable_v<Facts>);
  static_assert(sizeof(Facts) == 88, "another form: change kPageFormat (edge.h) with it");
  HR_ASSERT(metadata.size() >= sizeof facts_);
  std::memcpy(&facts_, metadata.data(), sizeof facts_);
  lines_ = metadata.substr(sizeof facts_, facts_.lines);
  tags_ = metadata.substr(sizeof facts_ + facts_.lines);
}

std::string Page::written(const Facts& facts, std::string_view lines) {
  Facts counted = facts;
  counted.lines = static_cast<std::uint32_t>(lines.size());
  std::string out(sizeof counted, '\0');
  std::memcpy(out.data(), &counted, sizeof counted);
  return out.append(lines);
}

http::Validators Page::validators() const {
  return {at(facts_.etag), at(facts_.modified), facts_.freshness.date};
}

std::string page_of(const http::ResponseHead& head, const http::Freshness& freshness,
                    const Route& route, std::span<const std::string> tags, std::string_view own_tag,
                    CdnMay cdn_may) {
  const auto withheld = http::withheld_fields(head);
  const bool own_cache_control = !route.cache.browser.empty();
  const bool for_cdn =
      route.cache.cdn.on() &&
      !route.cache.owners.any();  // a page that may be one user's is none of the CDN's
  const bool keep_out = for_cdn && cdn_may == CdnMay::not_keep;
  const bool own_cdn_control = for_cdn && !route.cache.cdn.control.empty();
  Page::Facts facts;
  facts.freshness = freshness;
  facts.status = head.status;
  if (head.body == http::Body::length) facts.size = head.content_length;
  if (head.body == http::Body::none) facts.size = 0;
  facts.own_tag = !own_tag.empty();
  facts.codable =
      may_code(route.coding, head,
               facts.size == Page::kUnknownSize ? std::nullopt : std::optional(facts.size));

  std::string lines;
  http::HeadWriter writer(lines);
  const bool own_cookies =
      route.cache.rules.ignore_cookies &&
      !route.cache.rules
           .store_set_cookie;  // nobody's: one session for all would be worse than none
  const auto is_kept = [&](const http::Field& f) {
    if (own_cookies && f.id == Name::set_cookie) return false;
    if (f.id == Name::age || f.id == Name::x_request_id ||
        ((own_cache_control || keep_out) && f.id == Name::cache_control))
      return false;
    if ((own_cdn_control || keep_out) && f.id == Name::cdn_cache_control) return false;
    return is_for_clients(route, f) && std::ranges::none_of(withheld, [&](std::string_view name) {
             return text::equal_ignoring_case(name, f.name);
           });
  };
  const auto is_about_bytes = [](const http::Field& f) {
    return f.id == Name::etag || coding::goes_with_coding(f.name);
  };
  if (facts.codable)
    writer.forward(head.fields,
                   [&](const http::Field& f) { return is_about_bytes(f) && is_kept(f); });
  if (facts.own_tag) lines.append("ETag: ").append(own_tag).append("\r\n");
  if (facts.codable) {
    facts.of_bytes = static_cast<std::uint32_t>(lines.size());
    const Rewrite rewrite{.varies = true};
    writer.forward(head.fields, [&](const http::Field& f) {
      return !is_about_bytes(f) && rewrite.keeps(f) && is_kept(f);
    });
    rewrite.append_lines(lines, head);
  } else {
    writer.forward(head.fields, is_kept);
  }
  lines += "Via: ";
  http::append_via(lines, head, kPseudonym);
  lines += "\r\n";
  if (own_cdn_control && !keep_out)
    lines.append("CDN-Cache-Control: ").append(route.cache.cdn.control).append("\r\n");
  if (for_cdn && !keep_out) lines += cdn_tag_line(route.cache.cdn, tags);
  if (keep_out)
    lines += "Cache-Control: no-store\r\n";
  else if (own_cache_control)
    lines.append("Cache-Control: ").append(route.cache.browser).append("\r\n");

  const auto place = [&](Name name, std::string_view value) {
    if (value.empty()) return Page::Place{};
    const std::string line = std::string(to_string(name)) + ": ";
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
      const std::string_view rest = std::string_view(lines).substr(at);
      if (!text::equal_ignoring_case(rest.substr(0, line.size()), line)) continue;
      if (rest.substr(line.size()).starts_with(value))
        return Page::Place{static_cast<std::uint32_t>(at + line.size()),
                           static_cast<std::uint32_t>(value.size())};
    }
    return Page::Place{};
  };
  facts.etag = place(Name::etag, facts.own_tag ? own_tag : head.value_of(Name::etag));
  facts.modified = place(Name::last_modified, head.value_of(Name::last_modified));
  facts.type = place(Name::content_type, head.value_of(Name::content_type));
  std::string out = Page::written(facts, lines);
  for (const std::string& tag : tags) out.append(tag).append("\n");
  return out;
}

void Page::append_coded_lines(std::string& out, coding::Coding coding) const {
  out.append("Content-Encoding: ").append(coding::to_string(coding)).append("\r\n");
  append_weak_tag(out);
  out += lines_.substr(facts_.of_bytes);
}

void Page::append_weak_tag(std::string& out) const {
  const std::string_view etag = at(facts_.etag);
  if (etag.empty()) return;
  out.append(etag.starts_with("W/") ? "ETag: " : "ETag: W/").append(etag).append("\r\n");
}

std::string marker_of(std::string_view names) { return Page::written({}, names); }

bool parse_page(const Page& page, std::string& text, http::ResponseHead& head) {
  http::HeadWriter(text).status_line(page.status());
  text.append(page.lines()).append("\r\n");
  http::ScanState scan;
  const http::HeadLimits any{text.size() + 1, text.size() + 1, text.size()};
  return http::parse_response_head(text, any, scan, http::Method::head, head).state ==
         http::Parsed::State::complete;
}

}  // namespace headroom::edge
