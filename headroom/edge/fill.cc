#include "headroom/edge/fill.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/coding/accept.h"
#include "headroom/edge/unkeyed.h"
#include "headroom/http/cache_tags.h"
#include "headroom/http/storable.h"
#include "headroom/http/vary.h"

namespace headroom::edge {

using http::Name;

namespace {

constexpr std::uint64_t kReadWhole = 64U << 10U;
constexpr std::uint64_t kReadWholeForTags = 1U << 20U;  // where queries may come until the end
constexpr Duration kKeepToValidate = 3600s;             // an expired answer with a validator
constexpr Duration kKeepMarker = 86400s;
constexpr Duration kLookAtUpstream = 1s;

// Whether answers differ by what we tell servers, not by what clients send: their keys could not know it. Host and scheme are in every key.
bool varies_by_ours(const Request& r, std::string_view names) {
  return std::ranges::any_of(text::split(names, ','), [&](std::string_view name) {
    const Name id = http::name_of(name);
    if (id == Name::host || id == Name::x_forwarded_host || id == Name::x_forwarded_proto ||
        id == Name::x_forwarded_port)
      return false;
    const http::Field field{id, false, name, {}};
    return is_written_for_servers(field) ||
           (r.route->policy.active() && !r.route->policy.keeps_request_field(field));
  });
}

bool is_failure(std::uint16_t status) {
  return status == 500 || status == 502 || status == 503 || status == 504;
}

// Asked by nobody in particular, an application may say that it wants to know who asks, or that it was asked too often.
bool is_about_the_asker(std::uint16_t status) {
  return status == 302 || status == 303 || status == 307 || status == 401 || status == 403 ||
         status == 407 || status == 429;
}

bool says_how_long(const http::ResponseHead& head, const http::Directives& directives) {
  return directives.max_age != http::CacheControl::kNone ||
         directives.s_maxage != http::CacheControl::kNone || directives.no_cache ||
         head.has(Name::expires);
}

}  // namespace

Fill::Fill(Pages& pages, Request& request, Kind kind, cache::Lease lease)
    : pages_(pages),
      place_(request.place),
      trusted_(request.trusted),
      kind_(kind),
      lease_(std::move(lease)),
      since_(lease_ ? lease_.since() : pages.cache_.memory().snapshot()) {
  if (kind_ != Kind::invalidating) write_conditions();
}

void Fill::write_conditions() {
  if (!lease_ || !lease_.stale()) return;
  const Page page(lease_.stale()->metadata());
  if (page.is_marker() || !page.has_validator()) return;
  http::HeadWriter writer(lines_);
  conditional_ = http::write_validation(page.validators(), writer);
}

bool Fill::replaces(const http::Field& field) const {
  if (kind_ == Kind::invalidating) return false;
  if (http::is_condition(field.id) || field.id == Name::range) return true;
  const Unkeyed kind = unkeyed(field);
  return kind == Unkeyed::override_target || (kind != Unkeyed::no && !trusted_);
}

void Fill::count(cache::Cache::Fill outcome, const Request& request) {
  pages_.cache_.count_fill(pages_.group_.worker().index(), cache::Space::http,
                           request.route->cache.cls, outcome, elapsed(request.began, Clock::now()));
}

bool Fill::is_awaited() const {
  const bool to_its_end = kind_ != Kind::refresh;  // that has a deadline instead of a client
  return lease_ && ((to_its_end && lease_.stale()) || lease_.is_awaited());
}

void Fill::refuse(Duration remember) {
  if (lease_) lease_.uncacheable(remember, Clock::now());
}

bool Fill::serve_stale(std::uint16_t server_said, std::string_view why) {
  if (!lease_) return false;
  object_ = lease_.fail({Errc::unavailable, std::string(why)}, Clock::now());
  if (!object_) return false;
  status.forwarded = http::Forwarded::stale;
  status.forwarded_status = server_said;
  status.detail = "stale-if-error (RFC 5861 4)";
  return true;
}

bool Fill::no_answer(std::string_view why) { return serve_stale(0, why); }

void Fill::tell(Request& r) const {
  r.cache_status.clear();
  if (r.notes_cache_status()) http::append_cache_status(r.cache_status, status);
}

// Everything that needs no waiting: most answers are nothing to be kept.
bool Fill::wants(Request& r, Lease& upstream) {
  const http::ResponseHead& head = upstream.connection->head();
  judged_ = true;
  if (kind_ == Kind::invalidating) {
    if (http::invalidates(r.head(), head.status)) pages_.invalidate_after(r, head);
    return false;
  }
  status.forwarded_status = head.status;
  if (conditional_ && head.status == 304) return confirmed(r, head);
  if (is_failure(head.status) && serve_stale(head.status, "the application failed")) {
    upstream.connection->spoil();
    return true;
  }
  if (kind_ == Kind::refresh && is_about_the_asker(head.status)) {
    if (serve_stale(head.status, "it answers only who is known")) {
      upstream.connection->spoil();
      return true;
    }
    refuse(Duration{});
    tell(r);
    return false;
  }
  const http::Directives directives = http::response_directives(head);
  freshness_ = freshness_of(r, head, directives);
  const http::Decision decision =
      http::storable(r.head(), head, directives, freshness_, place_.rules);
  if (r.explained) status.detail = decision.why;
  if (decision) return true;
  if (kind_ == Kind::refresh && head.status < 500) outcome_ = Refreshed::not_stored;
  status.detail = decision.why;
  if (head.status < 500) r.route->cache.sharing->not_stored();
  if (lease_) count(cache::Cache::Fill::uncacheable, r);
  // A failure says nothing of the next answer; what is not cacheable now is not in a second either.
  refuse(head.status >= 500 ? Duration{} : pages_.cache_.options().bypass_ttl);
  tell(r);
  return false;
}

net::Task<bool> Fill::take(Request& r, Lease& upstream) {
  if (object_ || again_) co_return true;  // there is an answer already, or it is asked for again
  const bool kept = co_await store(r, upstream);
  if (status.stored) outcome_ = Refreshed::renewed;
  tell(r);
  co_return kept;
}

http::Freshness Fill::freshness_of(const Request& r, const http::ResponseHead& head,
                                   const http::Directives& directives) const {
  const EdgeCacheOptions& options = r.view.options->cache;
  const auto seconds = [](Duration span) {
    return static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(span).count());
  };
  const http::FreshnessRules rules{.heuristic_cap = seconds(options.heuristic),
                                   .s_maxage_forbids_stale = options.s_maxage_forbids_stale};
  http::Freshness freshness = http::freshness_of(
      head, directives, {unix_seconds(), elapsed(r.connected, r.first_byte)}, rules);
  if (r.route->cache.ttl && !says_how_long(head, directives) &&
      http::is_heuristically_cacheable(head.status)) {
    freshness.lifetime = *r.route->cache.ttl;
    freshness.heuristic = true;
  }
  // What is not fresh for a moment is not kept for bad times either.
  if (freshness.lifetime > 0 && !freshness.never_stale && !freshness.no_cache) {
    if (directives.stale_while_revalidate == http::CacheControl::kNone)
      freshness.stale_while_revalidate = seconds(options.stale_while_revalidate);
    if (directives.stale_if_error == http::CacheControl::kNone)
      freshness.stale_if_error = seconds(options.stale_if_error);
  }
  return freshness;
}

cache::Lifetimes Fill::lifetimes_of(const http::Freshness& f, bool has_validator) const {
  using std::chrono::seconds;
  return {.ttl = f.no_cache ? Duration{} : Duration(seconds(f.lifetime)),
          .stale_while_revalidate = f.never_stale || f.no_cache
                                        ? Duration{}
                                        : Duration(seconds(f.stale_while_revalidate)),
          .stale_if_error =
              f.never_stale || f.no_cache ? Duration{} : Duration(seconds(f.stale_if_error)),
          .keep = has_validator ? Duration(kKeepToValidate) : Duration{}};
}

std::vector<std::string> Fill::tags_for(const Request& r, const http::Tags& named) const {
  std::vector<std::string> tags;
  for (const std::string& tag : r.route->cache.tags) tags.push_back(tag_for(tag, place_.owner));
  tags.insert(tags.end(), named.tags.begin(), named.tags.end());
  for (const std::string& group : named.groups) tags.push_back(Pages::group_tag(r, group));
  if (!place_.variant.empty() || place_.key.size() != place_.url)
    tags.push_back(Pages::url_tag(place_.url_key()));
  return tags;
}

// What the queries of this request have read until now; and those of nobody. False: something that is not known.
bool Fill::add_reads(const Request& r, std::vector<std::string>& tags) {
  if (!r.tags_pages) return true;
  if (!r.at_app) return false;
  link::ReadTags reads;
  r.at_app->reads.add_to(reads);
  r.link->unclaimed.add_to(reads, r.unclaimed_since);
  tags.insert(tags.end(), reads.tags.begin(), reads.tags.end());
  if (reads.known && tags.size() <= cache::kTagsLimit) return true;
  status.detail = "its queries read what is not known (SHOW CACHE)";
  return false;
}

bool Fill::tells_cdn(const Request& r) {
  return r.link != nullptr && r.route->cache.cdn.on() && !r.route->cache.owners.any();
}

void Fill::hand_out(const Request& r, std::span<const std::string> tags) {
  if (tells_cdn(r)) r.link->tags_out.hand_out(tags);
}

// What is not kept here, as a write may have overtaken it, a CDN may not keep either.
void Fill::keep_out(const Request& r, const http::ResponseHead& head,
                    std::span<const std::string> tags, std::string_view own_tag) {
  if (!tells_cdn(r)) return;
  if (object_ && object_->body() != nullptr) return;
  if (object_) body_ = object_->stored();
  object_ = {};
  metadata_ = page_of(head, freshness_, *r.route, tags, own_tag, CdnMay::not_keep);
}

// A 304 to our own question: the stored body under a head brought up to date.
bool Fill::confirmed(Request& r, const http::ResponseHead& head) {
  const Page before(lease_.stale()->metadata());
  std::string old_text;
  http::ResponseHead old;
  if (!http::confirms(head, before.validators()) || !parse_page(before, old_text, old)) {
    lines_.clear();
    conditional_ = false;
    return again_ = true;
  }
  std::string text;
  http::HeadWriter writer(text);
  writer.status_line(before.status());
  http::write_merged(old, head, writer);
  text += "\r\n";
  http::ResponseHead merged;
  http::ScanState scan;
  const http::HeadLimits any{text.size() + 1, text.size() + 1, text.size()};
  if (http::parse_response_head(text, any, scan, http::Method::head, merged).state !=
      http::Parsed::State::complete) {
    lines_.clear();
    conditional_ = false;
    return again_ = true;
  }
  const http::Directives directives = http::response_directives(merged);
  const http::Freshness freshness = freshness_of(r, merged, directives);
  freshness_ = freshness;
  merged.body = before.size() == Page::kUnknownSize ? http::Body::chunked : http::Body::length;
  merged.content_length = before.size();
  std::vector<std::string> tags = tags_for(r, http::tags_of(head));
  for (const std::string_view tag : text::split(before.tags(), '\n')) {
    if (!tag.empty() && std::ranges::find(tags, tag) == tags.end()) tags.emplace_back(tag);
  }
  const bool known = add_reads(r, tags);
  hand_out(r, tags);
  const std::string metadata = page_of(merged, freshness, *r.route, tags);
  const cache::Head made{.metadata = metadata,
                         .lifetimes = lifetimes_of(freshness, true),
                         .tags = tags,
                         .cls = r.route->cache.cls,
                         .age = std::chrono::seconds(freshness.initial_age)};
  cache::ObjectRef stale = lease_.stale();
  if (!known) {
    refuse(Duration{});
    object_ = std::move(stale);
    keep_out(r, merged, tags);
    return true;
  }
  auto renewed = lease_.renew(made, Clock::now());
  if (renewed) outcome_ = Refreshed::renewed;
  count(cache::Cache::Fill::stored, r);
  object_ = renewed ? std::move(*renewed) : std::move(stale);
  if (!renewed || !pages_.cache_.memory().holds(object_)) keep_out(r, merged, tags);
  status.forwarded = http::Forwarded::stale;
  return true;
}

// Where answers vary, theirs is another key; the place that was asked for gets a marker. False: somebody else fills that one.
bool Fill::find_place(Request& r, std::string_view names) {
  const std::string asked = place_.of_answer();
  const bool varied = !place_.variant.empty();
  if (names.empty() && !varied) return true;
  if (names.empty()) {
    place_.variant.clear();
  } else if (!pages_.make_variant(r, names, place_)) {
    return false;
  }
  if (place_.of_answer() == asked) return true;
  const TimePoint now = Clock::now();
  if (names.empty())
    pages_.cache_.memory().erase(cache::Space::http, place_.key, cache::Hardness::hard,
                                 now);  // the marker
  cache::Found found;
  if (lease_) {
    found = pages_.cache_.memory().lookup({.space = cache::Space::http,
                                           .key = place_.of_answer(),
                                           .now = now,
                                           .refresh = cache::Refresh::when_stale,
                                           .since = since_});
  }
  if (!names.empty()) {
    const std::string marker = marker_of(names);
    const cache::Head made{.metadata = marker, .lifetimes = {.ttl = kKeepMarker}};
    if (lease_ && !varied) {
      (void)lease_.store(made, {}, now);
    } else {
      (void)pages_.cache_.memory().set(cache::Space::http, place_.key, made, {}, now, since_);
    }
  }
  refuse(Duration{});
  lease_ = std::move(found.lease);
  return kind_ == Kind::alone || static_cast<bool>(lease_);
}

net::Task<bool> Fill::store(Request& r, Lease& upstream) {
  const http::ResponseHead& head = upstream.connection->head();
  const auto names = http::vary_names(head);
  const http::Tags tags = http::tags_of(head);
  const bool ours = names && varies_by_ours(r, *names);
  if (!names || ours || !tags.complete) {
    status.detail = !names ? "Vary: * or too much (RFC 9111 4.1)"
                    : ours ? "Vary names a field that is written here"
                           : "more tags than are kept";
    refuse(pages_.cache_.options().bypass_ttl);
    co_return false;
  }
  if (!find_place(r, *names)) co_return false;
  const std::vector<std::string> all = tags_for(r, tags);
  metadata_ = page_of(head, freshness_, *r.route, all);
  const Page page(metadata_);
  cache::Head made{.metadata = metadata_,
                   .lifetimes = lifetimes_of(freshness_, page.has_validator()),
                   .tags = all,
                   .cls = r.route->cache.cls,
                   .age = std::chrono::seconds(freshness_.initial_age),
                   .forms = page.may_be_coded()};
  status.stored = true;
  r.route->cache.sharing->stored();
  if (page.size() <= (r.tags_pages ? kReadWholeForTags : kReadWhole))
    co_return co_await store_whole(r, upstream, made, all);
  if (r.tags_pages) {
    status.detail = "over 1 MiB, or of unknown size, with sql_tags";
    refuse(pages_.cache_.options().bypass_ttl);
  }
  if (lease_) co_return store_growing(r, upstream, made);
  metadata_.clear();
  status.stored = false;
  co_return false;
}

net::Task<bool> Fill::store_whole(Request& r, Lease& upstream, cache::Head& made,
                                  std::vector<std::string> tags) {
  const http::ResponseHead& head = upstream.connection->head();
  http::BodySource& source = upstream.connection->body();
  const bool tagged = wants_tag(r.route->coding, head);
  if (tagged && !source.is_here()) upstream.connection->keep_head();
  Duration quiet{};
  while (!source.done()) {
    auto piece = co_await source.next();
    if (piece) {
      quiet = {};
      body_ += *piece;
    } else if (piece.error().code != Errc::timeout ||
               (quiet += kLookAtUpstream) >= r.route->idle_timeout) {
      upstream.connection->spoil();
      metadata_.clear();
      status.stored = false;
      if (!serve_stale(0, piece.error().message))
        co_await r.fail(502, "bad_gateway", "the application broke off its answer");
      co_return true;
    }
  }
  const bool known = add_reads(r, tags);
  hand_out(r, tags);
  const std::string own_tag = tagged ? content_tag(body_) : std::string();
  if (tagged || r.tags_pages) {
    metadata_ = page_of(head, freshness_, *r.route, tags, own_tag);
    made.metadata = metadata_;
    made.tags = tags;
  }
  if (!known) {
    status.stored = false;
    refuse(Duration{});
    keep_out(r, head, tags, own_tag);
    co_return true;
  }
  if (!lease_) {
    status.stored =
        pages_.cache_.memory()
            .set(cache::Space::http, place_.of_answer(), made, body_, Clock::now(), since_)
            .has_value();
    if (!status.stored) keep_out(r, head, tags, own_tag);
    co_return true;
  }
  auto stored = lease_.store(made, body_, Clock::now());
  count(cache::Cache::Fill::stored, r);
  status.stored = stored.has_value();
  if (stored) object_ = std::move(*stored);
  if (!stored || (tells_cdn(r) && !pages_.cache_.memory().holds(object_)))
    keep_out(r, head, tags, own_tag);
  co_return true;
}

bool Fill::store_growing(Request& r, Lease& upstream, cache::Head& made) {
  const Page page(metadata_);
  if (page.size() != Page::kUnknownSize) made.size = page.size();
  auto published = lease_.publish(made, Clock::now());
  if (!published) {
    metadata_.clear();
    status.stored = false;
    return false;
  }
  count(cache::Cache::Fill::stored, r);
  object_ = std::move(published->object);
  auto copy = [&pages = pages_, kept = r.route->pool, from = std::move(upstream),
               to = std::move(published->filler), idle = r.route->idle_timeout]() mutable {
    return pages.copy(std::move(from), std::move(to), idle);
  };
  (void)pages_.group_.spawn(
      std::move(copy));  // refused when stopping: the filler's end tells its readers
  return true;
}

}  // namespace headroom::edge
