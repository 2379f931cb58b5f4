#include "headroom/edge/refresher.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/edge/unkeyed.h"

namespace headroom::edge {

using http::Name;

namespace {

// The names of the fields by which the answer in this place varies (PagePlace::variant is key, names and values in lines).
std::string_view vary_names(const PagePlace& place) {
  if (place.variant.empty()) return {};
  const std::string_view rest = std::string_view(place.variant).substr(place.key.size() + 1);
  return rest.substr(0, rest.find('\n'));
}

bool is_credential(std::string_view name) {
  return name == "cookie" || name == "authorization" || name == "proxy-authorization";
}

// What a proxy before us said of the way here: part of a page's address, and believed from its peer alone.
bool is_of_proxy(Name name) {
  return name == Name::x_forwarded_for || name == Name::x_forwarded_host ||
         name == Name::x_forwarded_proto || name == Name::x_forwarded_port ||
         name == Name::forwarded;
}

FieldTexts fields_for(const Request& r) {
  const std::string_view names = vary_names(r.place);
  const auto varies_by = [&](std::string_view name) {
    return std::ranges::any_of(text::split(names, ','), [&](std::string_view each) {
      return text::equal_ignoring_case(each, name);
    });
  };
  FieldTexts fields;
  for (const http::Field& field : r.head().fields) {
    if (field.hop_by_hop || field.id == Name::host || http::is_framing(field.id)) continue;
    if (varies_by(field.name) ||
        (r.trusted && (is_of_proxy(field.id) || unkeyed(field) == Unkeyed::told_by_proxy)))
      fields.emplace_back(field.name, field.value);
  }
  if (!varies_by("user-agent")) fields.emplace_back("User-Agent", "Headroom (refresh)");
  return fields;
}

}  // namespace

bool Refresher::can(const Request& r) {
  return r.view.options->cache.background_refreshes > 0 && r.place.owner.empty() &&
         std::ranges::none_of(text::split(vary_names(r.place), ','), is_credential);
}

bool Refresher::begin(const Request& r, cache::Lease lease) {
  const std::string& key = r.place.of_answer();
  if (draining_ || rests(key) || running_.contains(key)) return false;
  const EdgeOptions& options = *r.view.options;
  if (running_.size() >= options.cache.background_refreshes) {
    cells_.refused->add();
    return false;
  }
  const http::Peer& peer = r.x.peer();
  auto job =
      std::make_shared<Job>(Job{.key = key,
                                .target = std::string(r.head().path_and_query),
                                .host = std::string(r.head().authority),
                                .fields = fields_for(r),
                                .peer = {peer.address, r.x.local(), peer.tls, peer.known, true},
                                .bounds = {},
                                .lease = std::move(lease)});
  job->bounds.head = {options.head_limit.count * 2, options.line_limit.count,
                      options.field_limit + 32};
  job->bounds.deadline = Clock::now() + options.cache.refresh_timeout;
  job->bounds.keep_body = false;
  running_.emplace(key, job);  // before it begins: it may end while it is being spawned
  if (group_.spawn([this, job] { return run(job); })) return true;
  running_.erase(job->key);
  return false;
}

net::Task<> Refresher::run(std::shared_ptr<Job> job) {
  InnerClient client(group_, door_, job->peer);
  const InnerRequest request{"GET", job->target, job->host, job->fields, {}};
  auto answer = co_await client.ask(request, job->bounds);
  if (!answer) log::debug("edge", "refresh of {}: {}", job->target, answer.error().message);
  job->lease = {};  // unclaimed: its key is another one by now
  running_.erase(job->key);
  const Refreshed outcome = job->outcome;
  (outcome == Refreshed::renewed      ? cells_.renewed
   : outcome == Refreshed::not_stored ? cells_.not_stored
                                      : cells_.failed)
      ->add();
  if (outcome == Refreshed::failed) rest(job->key);
}

cache::Lease Refresher::claim(const std::string& key) {
  const auto at = running_.find(key);
  return at == running_.end() ? cache::Lease() : std::move(at->second->lease);
}

void Refresher::note(const std::string& key, Refreshed outcome) {
  if (const auto at = running_.find(key); at != running_.end()) at->second->outcome = outcome;
}

bool Refresher::rests(const std::string& key) {
  if (resting_.empty()) return false;
  const auto at = resting_.find(key);
  if (at == resting_.end()) return false;
  if (Clock::now() < at->second) return true;
  resting_.erase(at);
  return false;
}

void Refresher::rest(const std::string& key) {
  if (resting_.size() >= kMostResting) {
    std::erase_if(resting_, [now = Clock::now()](const auto& each) { return each.second <= now; });
  }
  if (resting_.size() < kMostResting) resting_.insert_or_assign(key, Clock::now() + kRest);
}

}  // namespace headroom::edge
