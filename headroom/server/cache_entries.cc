#include "headroom/server/cache_entries.h"

#include <fmt/format.h>

#include "headroom/base/text.h"
#include "headroom/cache/cache.h"
#include "headroom/cache/leases.h"
#include "headroom/config/values.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

using auth::Role;
using cache::Cache;
using http::Method;
using http::Reply;

constexpr std::size_t kPage = 100;
constexpr std::size_t kMostPage = 1000;
constexpr std::size_t kTagLimit = 1024;         // bytes
constexpr std::size_t kContentTypeLimit = 255;  // bytes
constexpr Duration kLongestTtl = 49 * 24 * 3600s;
constexpr Duration kWait = 5s;
constexpr Duration kLongestWait = 60s;

Reply without_cache() { return refused_as_not_configured("the cache is off (cache.enabled)"); }

std::optional<std::string> given(const Call& call, std::string_view name) {
  for (const std::string_view pair : text::split(call.query, '&')) {
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with('='))
      return call.query_value(name);
  }
  return std::nullopt;
}

// A duration of the query, `otherwise` where it is not given.
Result<Duration> duration_of(const Call& call, std::string_view name, Duration otherwise,
                             Duration least, Duration most) {
  const auto text = given(call, name);
  if (!text) return otherwise;
  const auto value = config::Value<Duration>::parse(*text);
  if (value && *value >= least && *value <= most) return *value;
  using Show = config::Value<Duration>;
  return fail(Errc::invalid, fmt::format("{}: expected {}, from {} to {}", name, Show::accepted(),
                                         Show::show(least), Show::show(most)));
}

Result<cache::ClassId> class_of(const Cache& cache, const Call& call) {
  const auto name = given(call, "class");
  const cache::ClassId cls = cache.class_of(name.value_or("default"));
  if (!name || cls != 0 || *name == "default") return cls;
  std::vector<std::string> names;
  for (const auto& known : cache::ttl_classes(cache.options())) names.push_back(known.name);
  return fail(Errc::invalid,
              fmt::format("class: '{}' is not one of {}", *name, fmt::join(names, ", ")));
}

Result<cache::Storing> storing_of(const Cache& cache, const Call& call) {
  cache::Storing how;
  if (auto cls = class_of(cache, call); !cls) return pass(cls);
  how.cls = given(call, "class").value_or("default");
  if (given(call, "ttl")) {
    auto ttl = duration_of(call, "ttl", {}, 1ms, kLongestTtl);
    if (!ttl) return pass(ttl);
    how.ttl = *ttl;
  }
  const std::string tags = call.query_value("tags");
  for (const std::string_view tag : text::split(tags, ',')) {
    if (tag.empty() || tag.size() > kTagLimit)
      return fail(Errc::invalid, "tags: expected names of 1 to 1024 bytes, separated by commas");
    how.tags.emplace_back(tag);
  }
  if (how.tags.size() > cache::kTagsLimit) return fail(Errc::invalid, "tags: at most 255");
  if (call.content_type.size() > kContentTypeLimit)
    return fail(Errc::invalid, "Content-Type: at most 255 bytes");
  how.content_type = call.content_type;
  return how;
}

std::string lease_fields(const std::string& lease, Duration lease_time) {
  return lease.empty() ? ""
                       : fmt::format("Headroom-Lease: {}\r\nHeadroom-Lease-TTL: {:.3f}\r\n", lease,
                                     seconds(lease_time));
}

Reply value_reply(const cache::Value& value, Duration ttl_left) {
  if (!value.found()) return error_reply(404, "absent", "it is remembered that there is none");
  const std::string_view type = value.content_type();
  return {.status = 200,
          .content_type = type.empty() ? "application/octet-stream" : std::string(type),
          .body = std::string(value.bytes()),
          // What is kept here is not a page of ours.
          .fields = fmt::format("Headroom-TTL: {:.3f}\r\nContent-Security-Policy: sandbox\r\n",
                                seconds(ttl_left))};
}

Reply stored_reply(bool kept) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").field("kept", kept).end_object();
  return json_reply(std::move(body));
}

net::Task<Reply> get_entry(Cache& cache, http::Exchange& exchange, const Call& call) {
  std::string key(call.parameter("key"));
  auto value = co_await cache.get(exchange.group(), std::move(key));
  if (!value) co_return error_reply(value.error());
  if (!*value) co_return error_reply(404, "not_found", "there is no such entry");
  const cache::ObjectRef& object = (*value)->object();
  co_return value_reply(**value, object ? object->fresh_until() - Clock::now() : Duration{});
}

net::Task<Reply> lease_entry(Cache& cache, http::Exchange& exchange, const Call& call) {
  const auto cls = class_of(cache, call);
  if (!cls) co_return error_reply(cls.error());
  const Duration hard = cache.options().hard_timeout;
  const auto lease_time =
      duration_of(call, "lease_ttl", hard, std::min<Duration>(100ms, hard), hard);
  const auto wait = duration_of(call, "wait", kWait, 0ms, kLongestWait);
  if (!lease_time || !wait) co_return error_reply(!lease_time ? lease_time.error() : wait.error());
  std::string key(call.parameter("key"));
  const TimePoint deadline = Clock::now() + *wait;
  auto offer = co_await cache.leases(exchange.worker().index())
                   .get(exchange.group(), std::move(key), *cls, *lease_time, deadline);
  if (!offer) co_return error_reply(offer.error());
  Reply reply;
  if (offer->value) {
    reply = value_reply(*offer->value, offer->ttl_left);
  } else if (offer->lease.empty()) {
    reply = error_reply(404, "bypass", "known not to be cacheable: compute it for yourself");
  } else {
    reply = error_reply(404, "fill", "compute it and PUT it with ?lease=, or DELETE the lease");
  }
  reply.fields += lease_fields(offer->lease, *lease_time);
  co_return reply;
}

Reply too_large(const Cache& cache) {
  return error_reply(413, "invalid",
                     fmt::format("a value may have {:.0f} bytes (cache.value_share)",
                                 static_cast<double>(cache.options().memory_limit.count) *
                                     cache.options().value_share));
}

net::Task<Reply> put_entry(Cache& cache, http::Exchange& exchange, const Call& call) {
  auto how = storing_of(cache, call);
  if (!how) co_return error_reply(how.error());
  const std::string outcome = call.query_value("outcome");
  cache::Loaded loaded;
  if (outcome == "absent") loaded.outcome = cache::Loaded::Outcome::absent;
  if (outcome == "uncacheable") loaded.outcome = cache::Loaded::Outcome::uncacheable;
  if (!outcome.empty() && loaded.outcome == cache::Loaded::Outcome::found)
    co_return error_reply(400, "invalid", "outcome: expected absent or uncacheable");
  std::string key(call.parameter("key"));
  const auto lease = given(call, "lease");
  const bool large = key.size() + call.body.size() > cache.value_limit();
  if (lease) {
    loaded.value = call.body;
    if (large) loaded.outcome = cache::Loaded::Outcome::uncacheable;
    const auto kept =
        cache.leases(exchange.worker().index()).fill(*lease, key, *how, std::move(loaded));
    if (kept && large) co_return too_large(cache);
    co_return kept ? stored_reply(*kept) : error_reply(kept.error());
  }
  if (!outcome.empty()) co_return error_reply(400, "invalid", "outcome: only with a lease");
  if (large) co_return too_large(cache);
  std::string value = call.body;
  auto set =
      co_await cache.set(exchange.group(), std::move(key), std::move(value), std::move(*how));
  co_return set ? stored_reply(true) : error_reply(set.error());
}

net::Task<Reply> delete_entry(Cache& cache, http::Exchange& exchange, const Call& call) {
  std::string key(call.parameter("key"));
  if (const auto lease = given(call, "lease")) {
    const auto ended = cache.leases(exchange.worker().index()).give_up(*lease, key);
    co_return ended ? json_reply(R"({"status":"ok"})") : error_reply(ended.error());
  }
  const std::string soft = call.query_value("soft");
  if (!soft.empty() && soft != "true" && soft != "false")
    co_return error_reply(400, "invalid", "soft: expected true or false");
  auto erased =
      co_await cache.erase(exchange.group(), std::move(key),
                           soft == "true" ? cache::Hardness::soft : cache::Hardness::hard);
  if (!erased) co_return error_reply(erased.error());
  co_return json_reply(fmt::format(R"({{"status":"ok","erased":{}}})", *erased));
}

void write_entry(json::Writer& out, const Cache& cache, const cache::EntryInfo& entry) {
  out.begin_object()
      .field("key", entry.key)
      .field("class", cache.class_name(entry.cls))
      .field("size", entry.size);
  out.key("age").fixed(seconds(entry.age), 3).key("ttl").fixed(seconds(entry.ttl_left), 3);
  out.field("absent", entry.kind == cache::Kind::absent).key("tags").begin_array();
  for (const std::string& tag : entry.tags) out.value(tag);
  out.end_array().end_object();
}

Reply list_entries(Cache& cache, const Call& call) {
  const std::string asked = call.query_value("limit");
  const std::string place = call.query_value("from");
  const auto limit = asked.empty() ? std::optional<std::uint64_t>(kPage) : text::to_u64(asked);
  const auto from = place.empty() ? std::optional<std::uint64_t>(0) : text::to_u64(place);
  if (!limit || *limit == 0 || *limit > kMostPage)
    return error_reply(400, "invalid", fmt::format("limit: expected 1 to {}", kMostPage));
  if (!from) return error_reply(400, "invalid", "from: expected `next` of the page before");
  const cache::Listing page =
      cache.list(cache::Space::app, call.query_value("prefix"), *limit, *from);
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").key("entries").begin_array();
  for (const cache::EntryInfo& entry : page.entries) write_entry(out, cache, entry);
  out.end_array().key("next");
  page.next == 0 ? out.null() : out.value(std::to_string(page.next));
  out.end_object();
  return json_reply(std::move(body));
}

using Task = net::Task<Reply> (*)(Cache& cache, http::Exchange& exchange, const Call& call);
struct Row {
  Method method;
  std::string_view path;
  std::string_view query;
  std::string_view summary;
  Task task;
};
constexpr std::array kRows{
    Row{Method::get, "/api/v1/cache/entries/{key...}", "",
        "A value of the app's, with its content type and Headroom-TTL.", get_entry},
    Row{Method::put, "/api/v1/cache/entries/{key...}", "ttl class tags lease outcome",
        "Keeps the body as a value; with a lease it ends the lease.", put_entry},
    Row{Method::delete_, "/api/v1/cache/entries/{key...}", "soft lease",
        "Drops an entry, or gives a lease up.", delete_entry},
    Row{Method::post, "/api/v1/cache/entries/{key...}/lease", "class lease_ttl wait",
        "The value; on a miss a lease for one, the others wait for it.", lease_entry},
};

}  // namespace

void add_cache_entries(Api& api, const Sources& sources) {
  for (const Row& row : kRows) {
    api.add(
        {.method = row.method,
         .path = std::string(row.path),
         .role = row.method == Method::get ? Role::viewer : Role::operator_,
         .run = Run::waiting,
         .tag = "cache",
         .summary = row.summary,
         .query = row.query,
         .takes = row.method == Method::put ? Takes::bytes : Takes::json,
         .audited = false,
         .task = [&row, &sources](http::Exchange& exchange, const Call& call) -> net::Task<Reply> {
           Cache* cache = sources.cache ? sources.cache() : nullptr;
           if (cache == nullptr) co_return without_cache();
           co_return co_await row.task(*cache, exchange, call);
         }});
  }
  api.add({.path = "/api/v1/cache/entries",
           .tag = "cache",
           .summary = "Keys of the app's values that begin with a prefix, with what is known of "
                      "them; a page at a time.",
           .query = "prefix limit from",
           .answer = [&sources](const Call& call) {
             Cache* cache = sources.cache ? sources.cache() : nullptr;
             return cache != nullptr ? list_entries(*cache, call) : without_cache();
           }});
}

}  // namespace headroom::server
