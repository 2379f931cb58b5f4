#include "headroom/edge/view.h"

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/edge/edge.h"
#include "headroom/http/parser.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kMostServers = 64;

// The server of before a reload, if it is still what it was; else a new one that knows what is known of it.
std::shared_ptr<Server> server_of(const View* before, const std::string& group,
                                  const ServerSpec& spec, std::size_t workers,
                                  metrics::Registry& registry) {
  const Server* namesake = nullptr;
  for (const auto& pool :
       before == nullptr ? std::vector<std::shared_ptr<Pool>>{} : before->pools) {
    if (pool->group.options().name != group) continue;
    for (const auto& server : pool->group.servers()) {
      if (server->spec() == spec) return server;
      if (server->spec().text == spec.text) namesake = server.get();
    }
  }
  auto made = std::make_shared<Server>(spec, group, workers, registry);
  if (namesake != nullptr) made->inherit(*namesake);
  return made;
}

std::shared_ptr<Pool> pool_named(const std::vector<std::shared_ptr<Pool>>& pools,
                                 std::string_view name) {
  const auto at =
      std::ranges::find(pools, name, [](const auto& pool) { return pool->group.options().name; });
  return at == pools.end() ? nullptr : *at;
}

class Maker {
 public:
  Maker(const EdgeOptions& options, const cache::Cache* cache, const View* before,
        std::size_t workers, metrics::Registry& registry)
      : options_(options), cache_(cache), before_(before), workers_(workers), registry_(registry) {}

  Result<std::vector<std::shared_ptr<Pool>>> pools() const {
    std::vector<std::shared_ptr<Pool>> pools;
    for (const UpstreamOptions& upstream : all_upstreams()) {
      if (pool_named(pools, upstream.name)) {
        return fail(Errc::invalid, "edge.upstreams: two groups are named '" + upstream.name + "'");
      }
      auto made = pool(upstream);
      if (!made) return pass(made, "edge.upstreams '" + upstream.name + "'");
      pools.push_back(std::move(*made));
    }
    return pools;
  }

  Result<std::vector<Route>> routes(const std::vector<std::shared_ptr<Pool>>& pools) const {
    std::vector<Route> routes;
    for (const RouteOptions& option : options_.routes) {
      auto made = route(option, pools);
      if (!made) return pass(made, "edge.routes '" + option.path + "'");
      if (std::ranges::any_of(routes, [&](const Route& r) { return covers_the_same(r, *made); })) {
        return fail(Errc::invalid,
                    "edge.routes '" + option.host + option.path +
                        "': there are two of this host and path; the second would never match");
      }
      routes.push_back(std::move(*made));
    }
    const bool whole =
        std::ranges::any_of(routes, [](const Route& r) { return r.host.empty() && r.path == "/"; });
    if (!whole && !pools.empty() && (routes.empty() || !options_.app.empty())) {
      RouteOptions rest = route_section().defaults();
      rest.name = "default";
      rest.path = "/";
      auto made = route(rest, pools);
      if (!made) return pass(made);
      routes.push_back(std::move(*made));
    }
    return routes;
  }

 private:
  static bool covers_the_same(const Route& a, const Route& b) {
    return a.wildcard == b.wildcard && a.host == b.host && a.path == b.path;
  }

  // `app` is the group "app" with the defaults of [[edge.upstreams]].
  std::vector<UpstreamOptions> all_upstreams() const {
    std::vector<UpstreamOptions> all;
    if (!options_.app.empty()) {
      UpstreamOptions app = upstream_section().defaults();
      app.name = "app";
      app.servers = options_.app;
      all.push_back(std::move(app));
    }
    all.insert(all.end(), options_.upstreams.begin(), options_.upstreams.end());
    return all;
  }

  Result<std::shared_ptr<Pool>> pool(const UpstreamOptions& upstream) const {
    if (upstream.servers.empty()) return fail(Errc::invalid, "a group needs servers");
    if (upstream.servers.size() > kMostServers)
      return fail(Errc::invalid, "a group has at most 64 servers");
    std::vector<std::shared_ptr<Server>> servers;
    bool tls = false;
    for (const std::string& line : upstream.servers) {
      auto spec = ServerSpec::parse(line);
      if (!spec) return pass(spec);
      if (spec->max_connections == 0) spec->max_connections = upstream.max_connections;
      tls = tls || spec->tls;
      servers.push_back(server_of(before_, upstream.name, *spec, workers_, registry_));
    }
    std::shared_ptr<const net::TlsClient> client;
    if (tls) {
      net::TlsClientOptions wanted;
      wanted.verify = upstream.tls.verify;
      wanted.ca = upstream.tls.ca;
      auto made = net::TlsClient::make(wanted, workers_);
      if (!made) return pass(made);
      client = std::move(*made);
    }
    const auto old = before_ == nullptr ? nullptr : pool_named(before_->pools, upstream.name);
    return std::make_shared<Pool>(upstream, std::move(servers), concurrency(upstream),
                                  std::move(client), old.get());
  }

  std::shared_ptr<limit::Concurrency> concurrency(const UpstreamOptions& upstream) const {
    const auto old = before_ == nullptr ? nullptr : pool_named(before_->pools, upstream.name);
    if (old && old->group.options().adaptive == upstream.adaptive &&
        old->group.options().max_in_flight == upstream.max_in_flight) {
      return old->group.shared_concurrency();
    }
    limit::Concurrency::Options wanted;
    wanted.adaptive = upstream.adaptive;
    if (upstream.max_in_flight != 0) {
      wanted.most = upstream.max_in_flight;
      wanted.initial = std::min<std::uint64_t>(wanted.initial, wanted.most);
      wanted.least = std::min(wanted.least, wanted.most);
    }
    if (!upstream.adaptive) wanted.initial = wanted.most;
    return std::make_shared<limit::Concurrency>(wanted);
  }

  Result<RouteCache> cache_of(const RouteCacheOptions& option) const {
    RouteCache made;
    made.enabled = cache_ != nullptr && option.enabled.value_or(options_.cache.enabled);
    made.tags = option.tags;
    made.strip_query = option.strip_query;
    made.rules = {.ignore_cookies = option.ignore_cookies,
                  .store_set_cookie = option.store_set_cookie};
    made.invalidates = option.invalidates;
    made.owners = Owners(option.per_user);
    made.browser = option.browser;
    made.cdn = {options_.cdn.provider, options_.cdn.tag_header, option.cdn};
    for (const auto* tags : {&option.tags, &option.invalidates}) {
      if (!made.owners.any() && std::ranges::any_of(*tags, names_owner))
        return fail(Errc::invalid, "a tag with {user} needs per_user: without it nobody is known");
    }
    if (!http::is_field_value(option.cdn)) return fail(Errc::invalid, "cdn: a control character");
    if (!http::is_field_value(option.browser))
      return fail(Errc::invalid, "browser: a control character");
    if (option.ttl_class.empty() || cache_ == nullptr) return made;
    if (auto known = check_ttl_class(option, cache_->options()); !known) return pass(known);
    made.cls = cache_->class_of(option.ttl_class);
    made.ttl = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::seconds>(cache_->ttl_of(made.cls)).count());
    return made;
  }

  Result<Route> route(const RouteOptions& option,
                      const std::vector<std::shared_ptr<Pool>>& pools) const {
    Route route;
    route.name = !option.name.empty() ? option.name : option.host + option.path;
    route.wildcard = option.host.starts_with("*.");
    route.host = text::lowered(route.wildcard ? option.host.substr(1) : option.host);
    route.path = option.path;
    route.priority = option.priority;
    if (!option.upstream.empty()) {
      route.pool = pool_named(pools, option.upstream);
      if (!route.pool)
        return fail(Errc::invalid, "there is no upstream group '" + option.upstream + "'");
    } else if (!pools.empty()) {
      route.pool = pools.front();
    }
    if (!route.pool && option.redirect.empty())
      return fail(Errc::invalid, "the route has no upstream group and no redirect");
    auto policy = RoutePolicy::compile(option);
    if (!policy) return pass(policy);
    route.policy = std::move(*policy);
    route.body_limit = option.body_limit.value_or(options_.body_limit).count;
    if (route.pool) {
      const UpstreamOptions& upstream = route.pool->group.options();
      route.first_byte_timeout = option.first_byte_timeout.value_or(upstream.first_byte_timeout);
      route.idle_timeout = option.idle_timeout.value_or(upstream.idle_timeout);
      route.retries = option.retries.value_or(upstream.retries);
    }
    if (option.pagination.enabled)
      route.pagination = std::make_unique<Pagination>(option.pagination, workers_);
    auto cached = cache_of(option.cache);
    if (!cached) return pass(cached, "cache");
    route.cache = std::move(*cached);
    auto coding = RouteCoding::compile(options_, option);
    if (!coding) return pass(coding);
    route.coding = std::move(*coding);
    route.metrics = std::make_unique<RouteMetrics>(route.name, workers_, registry_);
    return route;
  }

  const EdgeOptions& options_;
  const cache::Cache* cache_;
  const View* before_;
  const std::size_t workers_;
  metrics::Registry& registry_;
};

}  // namespace

Result<> check_ttl_class(const RouteCacheOptions& route, const cache::CacheOptions& cache) {
  if (route.ttl_class.empty()) return {};
  std::string names;
  for (const cache::TtlClass& known : cache::ttl_classes(cache)) {
    if (known.name == route.ttl_class) return {};
    names.append(names.empty() ? "" : ", ").append(known.name);
  }
  return fail(Errc::invalid,
              "cache.ttl_class: there is no class '" + route.ttl_class + "'; known: " + names);
}

Result<std::shared_ptr<const View>> make_view(std::shared_ptr<const EdgeOptions> options,
                                              std::shared_ptr<const limit::Rules> limits,
                                              const cache::Cache* cache, const View* before,
                                              std::size_t workers, metrics::Registry& registry) {
  const Maker maker(*options, cache, before, workers, registry);
  auto pools = maker.pools();
  if (!pools) return pass(pools);
  auto routes = maker.routes(*pools);
  if (!routes) return pass(routes);
  const auto threshold = static_cast<std::uint64_t>(options->access_log * 4294967296.0);
  return std::make_shared<const View>(View{std::move(options), std::move(*pools),
                                           RouteTable(std::move(*routes)), threshold,
                                           std::move(limits)});
}

}  // namespace headroom::edge
