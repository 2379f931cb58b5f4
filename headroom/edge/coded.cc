#include "headroom/edge/coded.h"

#include <sys/random.h>

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/conditional.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using coding::Coding;
using http::Name;

namespace {

// The values of all fields of that name as one list.
std::string joined(const http::Head& head, Name name) {
  std::string all;
  for (const http::Field& field : head.fields) {
    if (field.id == name) all.append(all.empty() ? "" : ", ").append(field.value);
  }
  return all;
}

bool says_no_transform(const http::ResponseHead& head) {
  if (!head.has(Name::cache_control)) return false;
  http::CacheControl directives;
  for (const http::Field& field : head.fields) {
    if (field.id == Name::cache_control) http::add_cache_control(field.value, directives);
  }
  return directives.no_transform;
}

bool says_no_store(const http::ResponseHead& head) {
  return head.has(Name::cache_control) && http::response_directives(head).no_store;
}

bool shrinks(const RouteCoding& route, std::string_view content_type) {
  if (coding::shrinks(content_type)) return true;
  const std::string_view type = text::trimmed(content_type.substr(0, content_type.find(';')));
  return std::ranges::any_of(route.types, [&](const std::string& known) {
    return text::equal_ignoring_case(known, type);
  });
}

// Credentials that a browser sends along whoever's page asks. A bearer token is put there by the page itself.
bool is_ambient(const http::RequestHead& request) {
  if (request.has(Name::cookie)) return true;
  const std::string_view scheme = request.value_of(Name::authorization);
  return !scheme.empty() && !text::equal_ignoring_case(scheme.substr(0, 7), "Bearer ");
}

bool is_get_or_head(const http::RequestHead& request) {
  return request.method == http::Method::get || request.method == http::Method::head;
}

}  // namespace

Result<RouteCoding> RouteCoding::compile(const EdgeOptions& edge, const RouteOptions& route) {
  const CompressOptions& options = edge.compress;
  RouteCoding made;
  const std::vector<std::string_view> names(options.codings.begin(), options.codings.end());
  auto preference = coding::Preference::of(names);
  if (!preference) return pass(preference, "compress: codings");
  made.preference = *preference;
  made.enabled = route.compress.enabled.value_or(options.enabled) && !names.empty();
  made.least_bytes = route.compress.least.value_or(options.least).count;
  for (const std::string& type : options.types) made.types.push_back(text::lowered(type));
  made.personal = route.compress.personal.value_or(options.personal);
  made.plain_from_app = route.compress.plain_from_app.value_or(options.plain_from_app);
  made.etags = route.etags.value_or(edge.etags);
  return made;
}

bool may_code(const RouteCoding& route, const http::ResponseHead& head,
              std::optional<std::uint64_t> length) {
  if (!route.enabled || length.value_or(route.least_bytes) < route.least_bytes ||
      head.has(Name::content_encoding))
    return false;
  const std::string_view type = head.value_of(Name::content_type);
  if (type.empty() || !shrinks(route, type)) return false;
  coding::Answer answer;
  answer.status = head.status;
  answer.content_type = "text/plain";  // it shrinks, as was found
  answer.has_content_range = head.has(Name::content_range);
  answer.no_transform = says_no_transform(head);
  return coding::is_eligible(answer, 0);
}

std::string accept_encoding(const http::RequestHead& request) {
  return joined(request, Name::accept_encoding);
}

Coding coding_for(const RouteCoding& route, const http::RequestHead& request) {
  if (!route.enabled || !request.has(Name::accept_encoding)) return Coding::identity;
  return route.preference.choose(coding::accepted(accept_encoding(request)));
}

Coding coding_for_events(Coding chosen, const http::RequestHead& request) {
  if (chosen == Coding::identity || chosen == Coding::gzip) return chosen;
  return coding::accepted(accept_encoding(request)).of(Coding::gzip) > 0 ? Coding::gzip : chosen;
}

Asker asker_of(const http::RequestHead& request, SetsCookie sets_cookie) {
  if (!is_ambient(request) && sets_cookie == SetsCookie::no) return Asker::harmless;
  const std::string_view site = request.value_of(Name::sec_fetch_site);
  if (site == "same-origin" || site == "none") return Asker::harmless;
  // Somebody who follows a link does it once, not the thousand times that an attack takes.
  const bool by_hand = request.value_of(Name::sec_fetch_user) == "?1";
  return site == "cross-site" && !by_hand ? Asker::stranger : Asker::unknown;
}

Coded guarded(const RouteCoding& route, Coding coding, Asker asker) {
  if (route.personal == PersonalAnswers::on || asker == Asker::harmless) return {coding};
  if (route.personal == PersonalAnswers::off || asker == Asker::stranger) return {};
  return {coding, coding != Coding::identity};
}

Plan plan_for(const RouteCoding& route, const http::RequestHead& request,
              const http::ResponseHead& head) {
  Plan plan;
  std::optional<std::uint64_t> length;
  if (head.body == http::Body::length || head.has_content_length) length = head.content_length;
  const bool has_body = head.body != http::Body::none;
  if ((has_body || request.method == http::Method::head) && may_code(route, head, length)) {
    plan.varies = true;
    const auto sets_cookie = head.has(Name::set_cookie) ? SetsCookie::yes : SetsCookie::no;
    const Coded coded = guarded(route, coding_for(route, request), asker_of(request, sets_cookie));
    plan.coding = coded.coding;
    plan.padded = coded.padded;
  }
  if (!has_body || head.status != 200 || !is_get_or_head(request)) return plan;
  const std::string_view etag = head.value_of(Name::etag);
  plan.confirmed = !etag.empty() && has_it(request, etag);
  plan.tagged = wants_tag(route, head);
  return plan;
}

bool Rewrite::keeps(const http::Field& field) const {
  if (field.id == Name::vary) return !varies;
  if (field.id == Name::etag) return !is_coded() && etag.empty();
  if (not_modified && !http::goes_into_304(field)) return false;
  return !is_coded() || !coding::goes_with_coding(field.name);
}

void Rewrite::append_lines(std::string& out, const http::ResponseHead& head) const {
  const auto line = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) out.append(name).append(": ").append(value).append("\r\n");
  };
  if (varies) line("Vary", coding::merged_vary(joined(head, Name::vary)));
  if (is_coded()) {
    if (!not_modified) line("Content-Encoding", coding::to_string(coding));
    line("ETag", coding::weakened(etag.empty() ? head.value_of(Name::etag) : etag));
  } else {
    line("ETag", etag);
  }
  if (padded && !not_modified) append_padding(out);
}

Rewrite rewrite_of_304(const http::RequestHead& request, const http::ResponseHead& head) {
  Rewrite rewrite;
  const std::string_view etag = head.value_of(Name::etag);
  if (!etag.starts_with('"') || !request.has(Name::if_none_match)) return rewrite;
  const std::string said = joined(request, Name::if_none_match);
  const std::string weak = "W/" + std::string(etag);
  bool has_weak = false;
  bool has_strong = false;
  for (const std::string_view tag : text::split(said, ',')) {
    has_weak = has_weak || text::trimmed(tag) == weak;
    has_strong = has_strong || text::trimmed(tag) == etag;
  }
  if (!has_weak || has_strong) return rewrite;
  rewrite.varies = true;
  rewrite.not_modified = true;
  rewrite.coding = Coding::gzip;  // whichever: a 304 does not name it
  return rewrite;
}

bool wants_tag(const RouteCoding& route, const http::ResponseHead& head) {
  const bool is_small = head.body == http::Body::length && head.content_length <= kTaggedBytes;
  return route.etags && is_small && head.status == 200 && !head.has(Name::etag) &&
         !head.has(Name::last_modified) && !says_no_store(head);
}

std::string content_tag(std::string_view body) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string tag = "\"";
  for (std::uint64_t hash = hash64(body), i = 0; i < 16; ++i, hash <<= 4U)
    tag += kDigits[hash >> 60U];
  return tag += '"';
}

bool has_it(const http::RequestHead& request, std::string_view etag) {
  if (!request.has(Name::if_none_match) || request.has(Name::if_match)) return false;
  return http::evaluate(request, http::Validators{etag, {}, 0}) == http::Condition::not_modified;
}

void append_padding(std::string& out) {
  std::uint8_t random = 0;
  HR_ASSERT(getrandom(&random, 1, 0) == 1);  // what can be foretold would hide nothing
  out.append("X-Padding: ").append(1 + (random % kMostPadding), 'x').append("\r\n");
}

}  // namespace headroom::edge
