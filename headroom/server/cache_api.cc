#include "headroom/server/cache_api.h"

#include "headroom/cache/cache.h"
#include "headroom/edge/edge.h"
#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::server {
namespace {

using auth::Role;
using cache::Cache;
using cache::Hardness;
using cache::Space;
using http::Method;
using http::Reply;

constexpr std::size_t kMostTags = 256;

constexpr std::string_view kClearSchema =
    R"({"type":"object","additionalProperties":false,"properties":{
  "key":{"type":"string","description":"of a page: scheme, host, path and query, http://example.org/a?b=1"},
  "prefix":{"type":"string"},"pattern":{"type":"string","description":"* and ?"},"entity":{"type":"string"},
  "tags":{"type":"array","items":{"type":"string"},"maxItems":256},"soft":{"type":"boolean","description":"stale at once, still there on an error"}}})";
constexpr std::string_view kTagsSchema =
    R"({"type":"object","required":["tags"],"properties":{"tags":{"type":"array","items":{"type":"string"},"maxItems":256}}})";

Reply without_cache(bool asked, std::string_view fields) {
  return asked ? not_configured(fields)
               : refused_as_not_configured("the cache is off (cache.enabled)");
}

std::uint64_t evictions(const cache::Stats& stats) {
  return stats.removals[static_cast<std::size_t>(cache::Removal::capacity)];
}

void write_disk(json::Writer& out, const cache::Stats& stats) {
  out.key("disk");
  if (!stats.disk) return static_cast<void>(out.null());
  const auto& disk = *stats.disk;
  out.begin_object()
      .field("up", disk.up)
      .field("entries", disk.entries)
      .field("bytes", disk.bytes)
      .field("limit_bytes", disk.bytes_limit);
  out.field("hits", disk.hits)
      .field("written", disk.written)
      .field("skipped", disk.skipped)
      .field("errors", disk.errors)
      .end_object();
}

void write_classes(json::Writer& out, const cache::Stats& stats) {
  out.key("classes").begin_array();
  for (const auto& cls : stats.classes) {
    out.begin_object()
        .field("name", cls.name)
        .field("ttl_s", seconds(cls.ttl))
        .field("entries", cls.entries)
        .field("memory_bytes", cls.bytes);
    out.field("hits", cls.hits)
        .field("stale_hits", cls.stale_hits)
        .field("misses", cls.misses)
        .field("coalesced", cls.coalesced)
        .field("fills", cls.fills);
    out.field("load_p50_ms", milliseconds(cls.load_p50))
        .field("load_p99_ms", milliseconds(cls.load_p99))
        .end_object();
  }
  out.end_array();
}

// FastNext's fields (hit_ratio, memory_bytes, evictions) and all others.
Reply stats_of(const Cache& cache) {
  const cache::Stats stats = cache.stats();
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("hit_ratio", stats.hit_ratio())
      .field("memory_bytes", stats.bytes);
  out.field("memory_limit_bytes", stats.bytes_limit)
      .field("evictions", evictions(stats))
      .field("entries", stats.entries);
  out.field("hits", stats.hits)
      .field("stale_hits", stats.stale_hits)
      .field("misses", stats.misses)
      .field("coalesced", stats.coalesced);
  out.field("bypasses", stats.bypasses)
      .field("overloads", stats.overloads)
      .key("removals")
      .begin_object();
  for (std::size_t i = 0; i < cache::kRemovals; ++i)
    out.field(to_string(static_cast<cache::Removal>(i)), stats.removals[i]);
  out.end_object();
  write_disk(out, stats);
  write_classes(out, stats);
  out.key("tags").begin_array();
  for (const auto& tag : stats.tags) {
    out.begin_object().field("tag", tag.name).field("entries", tag.entries).field("hits", tag.hits);
    out.field("fills", tag.fills).field("invalidations", tag.invalidations).end_object();
  }
  out.end_array().end_object();
  return json_reply(std::move(body));
}

Reply acube_stats(const Cache& cache) {
  const cache::Stats stats = cache.stats();
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("hit_rate", 100 * stats.hit_ratio())
      .field("cache_size", stats.entries);
  out.field("total_requests", stats.lookups())
      .field("hits", stats.answered())
      .field("misses", stats.misses)
      .end_object();
  return json_reply(std::move(body));
}

Reply sixfb_stats(const Cache& cache) {
  const cache::Stats stats = cache.stats();
  std::string body;
  json::Writer out(body);
  out.begin_object()
      .field("status", "ok")
      .field("hit_rate", 100 * stats.hit_ratio())
      .field("memory_bytes", stats.bytes);
  out.field("entries", stats.entries).end_object();
  return json_reply(std::move(body));
}

Reply done(std::string_view what, std::uint64_t count) {
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", "ok").field(what, count).end_object();
  return json_reply(std::move(body));
}

// By an epoch: what it covers is gone at once, and nobody has counted it.
Reply cleared_unseen() { return json_reply(R"({"status":"ok","cleared":null})"); }

Reply clear_tags(Cache& cache, const std::vector<std::string>& tags, Hardness hardness) {
  if (tags.size() > kMostTags) return error_reply(400, "invalid", "at most 256 tags at once");
  for (const std::string& tag : tags) cache.invalidate_tag(tag, hardness);
  return done("tags_cleared", tags.size());
}

Reply clear(Cache& cache, const Call& call) {
  auto document = json::parse(call.body);
  if (!document) return error_reply(document.error());
  std::optional<std::string> key, prefix, pattern, entity;
  std::vector<std::string> tags;
  bool soft = false;
  json::Reader in(document->root());
  in.optional("key", key);
  in.optional("prefix", prefix);
  in.optional("pattern", pattern);
  in.optional("entity", entity);
  in.optional("tags", tags);
  in.optional("soft", soft);
  if (auto read = in.finish(); !read) return error_reply(read.error());
  const int named = (key ? 1 : 0) + (prefix ? 1 : 0) + (pattern ? 1 : 0) + (entity ? 1 : 0) +
                    (tags.empty() ? 0 : 1);
  if (named != 1)
    return error_reply(400, "invalid", "name one of key, prefix, pattern, entity, tags");
  const Hardness hardness = soft ? Hardness::soft : Hardness::hard;
  if (!tags.empty()) return clear_tags(cache, tags, hardness);
  if (key) {
    const bool value = cache.invalidate_key(Space::app, *key, hardness);
    const bool page = edge::drop_page(cache, *key, hardness);
    return done("cleared", (value ? 1 : 0) + (page ? 1 : 0));
  }
  if (entity) cache.invalidate_entity(*entity, hardness);
  for (const Space space : {Space::app, Space::http}) {
    if (prefix) cache.invalidate_prefix(space, *prefix, hardness);
    if (pattern) cache.invalidate_pattern(space, *pattern, hardness);
  }
  return cleared_unseen();
}

Reply clear_tags_of(Cache& cache, const Call& call) {
  auto document = json::parse(call.body);
  if (!document) return error_reply(document.error());
  std::vector<std::string> tags;
  json::Reader in(document->root());
  in.required("tags", tags);
  if (auto read = in.finish(); !read) return error_reply(read.error());
  return clear_tags(cache, tags, Hardness::hard);
}

Reply clear_entity(Cache& cache, const Call& call) {
  cache.invalidate_entity(call.parameter("entity_type"));
  return cleared_unseen();
}

struct Row {
  Method method;
  std::string_view path;
  std::string_view summary;
  std::string_view fields;  // null in a GET's answer without a cache
  Reply (*answer)(Cache& cache, const Call& call);
  std::string_view schema{};
  bool seed = true;
};
constexpr std::array kRows{
    Row{Method::get, "/api/v1/cache/stats", "The cache in all, by class and by tag. (FastNext)",
        "hit_ratio memory_bytes evictions",
        [](Cache& cache, const Call&) { return stats_of(cache); }},
    Row{Method::post, "/api/v1/cache/clear",
        "Drops what a key, prefix, pattern, entity type or tags name.", "", clear, kClearSchema,
        false},
    Row{Method::post, "/api/v1/cache/clear-tags", "Drops what has one of the tags. (FastNext)", "",
        clear_tags_of, kTagsSchema},
    Row{Method::get, "/api/phase14/scalability/cache/stats", "A-Cube: hits and misses.",
        "hit_rate cache_size total_requests hits misses",
        [](Cache& cache, const Call&) { return acube_stats(cache); }},
    Row{Method::post, "/api/phase14/scalability/cache/clear/{entity_type}",
        "A-Cube: drops what an entity type names.", "", clear_entity},
    Row{Method::delete_, "/api/phase14/scalability/cache/cleanup", "A-Cube: frees what is dead.",
        "", [](Cache& cache, const Call&) { return done("removed", cache.clean_up()); }},
    Row{Method::get, "/api/v1/performance/scalability/cache", "6FB: hit rate and memory.",
        "hit_rate memory_bytes entries",
        [](Cache& cache, const Call&) { return sixfb_stats(cache); }},
};

}  // namespace

void add_cache_endpoints(Api& api, const Sources& sources) {
  for (const Row& row : kRows) {
    api.add({.method = row.method,
             .path = std::string(row.path),
             .role = row.method == Method::get ? Role::viewer : Role::operator_,
             .run = row.method == Method::get ? Run::reading : Run::control,
             .tag = "cache",
             .summary = row.summary,
             .request_schema = row.schema,
             .place = row.seed ? Place::admin_and_edge : Place::admin,
             .answer = [&row, &sources](const Call& call) {
               Cache* cache = sources.cache ? sources.cache() : nullptr;
               return cache != nullptr ? row.answer(*cache, call)
                                       : without_cache(row.method == Method::get, row.fields);
             }});
  }
}

std::vector<std::string> cache_seed_paths() {
  std::vector<std::string> paths;
  for (const Row& row : kRows) {
    if (row.seed) paths.emplace_back(row.path.substr(0, row.path.find("/{")));
  }
  return paths;
}

}  // namespace headroom::server
