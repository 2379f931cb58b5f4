#include "headroom/edge/pages.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/coding/accept.h"
#include "headroom/edge/edge.h"
#include "headroom/edge/fill.h"
#include "headroom/edge/heads.h"
#include "headroom/edge/page.h"
#include "headroom/edge/refresher.h"
#include "headroom/edge/unkeyed.h"
#include "headroom/http/cache_control.h"
#include "headroom/http/cache_status.h"
#include "headroom/http/cache_tags.h"
#include "headroom/http/path.h"
#include "headroom/http/ranges.h"
#include "headroom/http/storable.h"
#include "headroom/http/vary.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Exchange;
using http::Forwarded;
using http::Name;

namespace {

constexpr Duration kLookAtUpstream = 1s;

std::string_view accepted_codings(const http::RequestHead& head) {
  static const coding::Preference preference;
  if (!head.has(Name::accept_encoding)) return "identity";
  std::string joined;
  for (const http::Field& field : head.fields) {
    if (field.id == Name::accept_encoding)
      joined.append(joined.empty() ? "" : ",").append(field.value);
  }
  return preference.normalised(coding::accepted(joined));
}

bool is_stripped(const std::vector<std::string>& names, std::string_view parameter) {
  const std::string_view name = parameter.substr(0, parameter.find('='));
  return std::ranges::any_of(names, [&](const std::string& pattern) {
    return pattern.ends_with('*')
               ? name.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1))
               : name == pattern;
  });
}

// A target as keys hold it.
void append_target(std::string& key, std::string_view target,
                   const std::vector<std::string>& stripped) {
  const std::size_t query =
      stripped.empty() ? target.size() : std::min(target.find('?'), target.size());
  key += target.substr(0, query);
  if (query == target.size()) return;
  char before = '?';
  for (const std::string_view parameter : text::split(target.substr(query + 1), '&')) {
    if (!is_stripped(stripped, parameter))
      key.append(1, std::exchange(before, '&')).append(parameter);
  }
}

void append_origin(std::string& key, const Request& r) {
  const http::RequestHead& head = r.head();
  key += r.secure() ? "https://" : "http://";
  const std::size_t from = key.size();
  key += told_host(r).value_or(head.authority);
  for (std::size_t i = from; i < key.size(); ++i) key[i] = text::lower(key[i]);
  const std::string_view default_port = r.secure() ? ":443" : ":80";
  if (std::string_view(key).substr(from).ends_with(default_port))
    key.resize(key.size() - default_port.size());
}

// A URL as requests for it are keyed: the origin in lower case, without its scheme's own port; at least "/" behind it.
std::string keyed_url(std::string_view url) {
  std::string key(url);
  const std::size_t scheme = key.find("://");
  if (scheme == std::string::npos) return key;
  std::size_t end = std::min(key.find_first_of("/?", scheme + 3), key.size());
  for (std::size_t i = 0; i < end; ++i) key[i] = text::lower(key[i]);
  const std::string_view default_port = key.starts_with("https://") ? ":443" : ":80";
  if (std::string_view(key).substr(0, end).ends_with(default_port)) {
    end -= default_port.size();
    key.erase(end, default_port.size());
  }
  if (end == key.size() || key[end] != '/') key.insert(end, 1, '/');
  return key;
}

// All variants. True: there was one.
bool forget_page(cache::Cache& cache, std::string_view key, cache::Hardness hardness) {
  const bool was_there = cache.invalidate_key(cache::Space::http, key, hardness);
  cache.invalidate_tag(Pages::url_tag(key), hardness);
  return was_there;
}

// What a trusted proxy said of the way here besides, as lines: apps make answers of it, and no URL tells.
void append_way(std::string& key, const Request& r) {
  if (!r.trusted) return;
  if (const auto host = told_host(r); host && !text::equal_ignoring_case(*host, r.head().authority))
    key.append("\nhost ").append(r.head().authority);
  for (const http::Field& field : r.head().fields) {
    if (field.id == Name::x_forwarded_port ||
        (field.id != Name::x_forwarded_proto && unkeyed(field) == Unkeyed::told_by_proxy)) {
      key.append("\n").append(text::lowered(field.name)).append(" ").append(field.value);
    }
  }
}

std::string origin_of(const Request& r) {
  std::string origin;
  append_origin(origin, r);
  return origin;
}

}  // namespace

bool drop_page(cache::Cache& cache, std::string_view url, cache::Hardness hardness) {
  const std::string key = keyed_url(url);
  const bool was_there = forget_page(cache, key, hardness);
  // Who drops a page by its name means it, whether this memory still holds it or only a cache in front.
  if (!was_there)
    cache.tell({.what = cache::Invalidation::What::key, .space = cache::Space::http, .name = key});
  return was_there;
}

std::string Pages::url_tag(std::string_view key) { return "url:" + std::string(key); }

std::string Pages::group_tag(const Request& r, std::string_view group) {
  return "group:" + origin_of(r) + " " + std::string(group);
}

bool Pages::make_key(Request& r) const {
  Place& place = r.place;
  const RouteCache& rules = r.route->cache;
  place.rules = rules.rules;
  if (rules.owners.any()) place.owner = rules.owners.of(r.head(), place.rules);
  place.key.reserve(16 + r.head().authority.size() + r.head().path_and_query.size() +
                    place.owner.size());
  append_origin(place.key, r);
  append_target(place.key, r.head().path_and_query, rules.strip_query);
  place.url = place.key.size();
  append_way(place.key, r);
  if (!place.owner.empty()) place.key.append("\nuser ").append(place.owner);
  return place.key.size() <= cache::kKeyLimit;
}

bool Pages::make_variant(const Request& r, std::string_view names, Place& place) const {
  place.variant = place.key;
  place.variant += '\n';
  std::string values;
  if (!http::append_vary_key(names, r.head(), accepted_codings(r.head()), values)) return false;
  place.variant.append(names).append("\n").append(values);
  return place.variant.size() <= cache::kKeyLimit;
}

cache::Found Pages::look(const Request& r, Place& place, TimePoint now) {
  const std::size_t worker = group_.worker().index();
  place.variant.clear();
  cache::Found found = cache_.lookup(
      worker, {.space = cache::Space::http, .key = place.key, .now = now}, r.route->cache.cls);
  if (!found.object || found.object->metadata().empty()) return found;
  const Page page(found.object->metadata());
  if (!page.is_marker()) return found;
  if (!make_variant(r, page.names(), place)) return {};
  return cache_.lookup(worker, {.space = cache::Space::http, .key = place.variant, .now = now},
                       r.route->cache.cls);
}

cache::ObjectRef Pages::peek(const Request& r, Place& place) {
  place.variant.clear();
  const TimePoint now = r.began;
  cache::ObjectRef object =
      cache_.memory().peek({.space = cache::Space::http, .key = place.key, .now = now});
  if (!object || object->kind() != cache::Kind::value) return {};
  const Page page(object->metadata());
  if (!page.is_marker()) return object;
  if (!make_variant(r, page.names(), place)) return {};
  object = cache_.memory().peek({.space = cache::Space::http, .key = place.variant, .now = now});
  return object && object->kind() == cache::Kind::value ? object : cache::ObjectRef{};
}

// For another's answer. Where nothing is known of it only if that has paid lately.
bool Pages::may_wait(const Request& r, Place& place) {
  if (r.route->cache.sharing->pays()) return true;
  const auto holds = [&](std::string_view key) {
    return cache_.memory().holds({.space = cache::Space::http, .key = key, .now = r.began});
  };
  if (!holds(place.key)) return false;
  (void)peek(r, place);  // finds out whether answers vary
  return place.variant.empty() || holds(place.variant);
}

net::Task<> Pages::answer(Request& r) {
  Place& place = r.place;
  if (!make_key(r)) return go_alone(r, "a key over 1 KiB");
  if (!http::is_safe(r.head().method)) return invalidating(r);
  if (r.tags_pages && !r.link->current(Clock::now()))
    return go_alone(r, "what was written to the database is not known now");
  if (r.x.peer().own) {
    (void)peek(r, place);  // finds out whether answers vary
    if (cache::Lease lease = refresher_.claim(place.of_answer()))
      return refresh(r, place, std::move(lease));
  }
  const http::CacheControl directives = http::request_directives(r.head());
  if (const http::Decision decision = http::is_cacheable(r.head(), directives); !decision)
    return go_alone(r, decision.why);
  const bool whole_get = r.head().method == http::Method::get && !r.head().has(Name::range);
  const bool together = !directives.only_if_cached && whole_get &&
                        http::may_coalesce(r.head(), nullptr, r.place.rules) && may_wait(r, place);
  return together ? answer_shared(r, place) : answer_alone(r, place, directives.only_if_cached);
}

net::Task<> Pages::go_alone(Request& r, std::string_view why) {
  if (r.notes_cache_status())
    http::append_cache_status(r.cache_status, {.forwarded = Forwarded::bypass, .detail = why});
  co_await forwarder_.forward(r);
}

net::Task<> Pages::invalidating(Request& r) {
  Fill fill(*this, r, Fill::Kind::invalidating, {});
  fill.status.forwarded = Forwarded::method;
  fill.tell(r);
  co_await forward(r, fill);
  if (fill.was_answered() || !r.reached) co_return;
  // It may have been done, and nobody heard.
  invalidate(r, r.head().path_and_query);
  for (const std::string& tag : r.route->cache.invalidates)
    cache_.invalidate_tag(tag_for(tag, r.place.owner));
}

void Pages::invalidate(const Request& r, std::string_view path_and_query) {
  std::string key = origin_of(r);
  std::string scratch;
  const auto path =
      http::normalised_path(path_and_query.substr(0, path_and_query.find('?')), scratch);
  const Route* const theirs =
      path ? r.view.routes.match(without_port(r.head().authority), *path) : nullptr;
  append_target(key, path_and_query, (theirs == nullptr ? r.route : theirs)->cache.strip_query);
  (void)forget_page(cache_, key, cache::Hardness::hard);
}

void Pages::invalidate_after(const Request& r, const http::ResponseHead& head) {
  invalidate(r, r.head().path_and_query);
  for (const std::string& target :
       http::also_invalidated(r.head(), head, r.secure() ? "https" : "http"))
    invalidate(r, target);
  for (const std::string& group : http::invalidated_groups(head))
    cache_.invalidate_tag(group_tag(r, group));
  for (const std::string& tag : r.route->cache.invalidates)
    cache_.invalidate_tag(tag_for(tag, r.place.owner));
}

// Nobody may wait for this answer, nor it for another's: what is there and for all is served, what comes and is for all is stored.
net::Task<> Pages::answer_alone(Request& r, Place& place, bool only_if_cached) {
  if (const cache::ObjectRef object = peek(r, place); object) {
    const Page page(object->metadata());
    const bool whole_get = r.head().method == http::Method::get && !r.head().has(Name::range);
    if (object->fresh_until() <= r.began && whole_get && !only_if_cached &&
        http::may_coalesce(r.head(), &page.freshness(), r.place.rules)) {
      co_return co_await answer_shared(r, place);  // it is for all: one who may wait refreshes it
    }
    if (http::may_answer(r.head(), page.freshness(), r.place.rules)) {
      if (r.notes_cache_status())
        http::append_cache_status(r.cache_status,
                                  {.ttl = http::remaining_at(page.freshness(), unix_seconds())});
      co_return co_await sender_.send(r, object->metadata(), object, {});
    }
  }
  if (only_if_cached) {
    co_return co_await r.fail(504, "not_cached",
                              "only-if-cached, and nothing is stored (RFC 9111 5.2.1.7)");
  }
  const bool may_store = r.head().method == http::Method::get && !r.head().has(Name::range);
  if (!may_store)
    co_return co_await go_alone(r, r.head().has(Name::range) ? "a part was asked for" : "");
  Fill fill(*this, r, Fill::Kind::alone, {});
  fill.status.forwarded = Forwarded::uri_miss;
  co_await forward(r, fill);
}

net::Task<> Pages::answer_shared(Request& r, Place& place) {
  for (unsigned round = 0; round < 4; ++round) {
    cache::Found found = look(r, place, round == 0 ? r.began : Clock::now());
    bool collapsed = false;
    if (found.answer == cache::Answer::join) {
      const Duration patience =
          r.x.peer().own ? r.view.options->warming.timeout : r.view.options->cache.wait;
      auto waited = co_await found.ticket.wait(group_, Clock::now() + patience);
      if (!waited) {
        r.route->cache.sharing->waited_in_vain();
        break;
      }
      found = std::move(*waited);
      collapsed = true;
      if (found.answer == cache::Answer::again) continue;
      if (found.object && Page(found.object->metadata()).is_marker()) continue;
    }
    if (found.lease && !found.object) co_return co_await fill(r, place, std::move(found.lease));
    if (found.answer == cache::Answer::bypass)
      co_return co_await go_alone(r, "known as not cacheable");
    if (!found.object) break;
    // It is as old as this request, but a CDN would keep it after the write that has overtaken it.
    if (collapsed && Fill::tells_cdn(r) && !cache_.memory().holds(found.object)) break;
    const Page page(found.object->metadata());
    if (!http::may_answer(r.head(), page.freshness(), r.place.rules)) break;
    std::string_view detail;
    if (!renew_behind(r, found, detail)) co_return co_await fill(r, place, std::move(found.lease));
    if (r.notes_cache_status()) {
      http::append_cache_status(r.cache_status,
                                {.collapsed = collapsed,
                                 .ttl = http::remaining_at(page.freshness(), unix_seconds()),
                                 .detail = detail});
    }
    const std::string_view metadata = found.object->metadata();
    co_return co_await sender_.send(r, metadata, std::move(found.object), {});
  }
  co_await go_alone(r, "waited for another's answer in vain");
}

net::Task<> Pages::fill(Request& r, Place& place, cache::Lease lease) {
  const bool had_stale = static_cast<bool>(lease.stale());
  Fill fill(*this, r, Fill::Kind::shared, std::move(lease));
  fill.status.forwarded = had_stale               ? Forwarded::stale
                          : place.variant.empty() ? Forwarded::uri_miss
                                                  : Forwarded::vary_miss;
  co_await forward(r, fill);
}

net::Task<> Pages::refresh(Request& r, Place& place, cache::Lease lease) {
  const std::string key = place.of_answer();
  Fill fill(*this, r, Fill::Kind::refresh, std::move(lease));
  fill.status.forwarded = Forwarded::stale;
  co_await forward(r, fill);
  refresher_.note(key, fill.outcome());
}

bool Pages::renew_behind(Request& r, cache::Found& found, std::string_view& detail) {
  const bool stale = found.answer == cache::Answer::stale;
  if (stale) detail = "stale-while-revalidate (RFC 5861 3)";
  if (!found.lease) return true;
  if (!Refresher::can(r)) return !stale;
  const bool begun = refresher_.begin(r, std::move(found.lease));
  if (begun)
    detail = stale ? "stale-while-revalidate (RFC 5861 3), refresh begun" : "early refresh begun";
  return true;
}

net::Task<> Pages::forward(Request& r, Fill& fill) {
  do {
    r.keeper = &fill;
    co_await forwarder_.forward(r);
    r.keeper = nullptr;
  } while (fill.take_again());
  if (!fill.has_answer() || r.x.started()) co_return;
  fill.tell(r);
  const std::string_view metadata = fill.metadata();
  co_await sender_.send(r, metadata, fill.take_object(), fill.whole());
}

// A server's answer into the cache, whoever still wants it.
net::Task<> Pages::copy(Lease lease, cache::Filler filler, Duration idle) {
  http::ClientConnection& connection = *lease.connection;
  http::BodySource& source = connection.body();
  Duration quiet{};
  while (!source.done()) {
    auto piece = co_await source.next();
    if (!piece && piece.error().code == Errc::timeout && (quiet += kLookAtUpstream) < idle)
      continue;
    if (piece) {
      quiet = {};
      filler.append(*piece);
      auto room = co_await filler.room(group_, Clock::now() + idle);
      if (!room) piece = pass(room);
    }
    if (!piece || !filler.wanted()) {
      connection.spoil();
      filler.fail(piece ? "nobody wants it" : piece.error().message);
      co_return;
    }
  }
  filler.finish();
}

}  // namespace headroom::edge
