#include "headroom/sql/result_cache.h"

#include <algorithm>

#include "headroom/auth/crypto.h"
#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/sql/lexer.h"
#include "headroom/sql/metrics.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kLongestShown = 2000;

// Of what a session says about itself alone.
bool is_neutral(std::string_view setting) { return setting == "application_name"; }

// What decides how its texts are read. Most sessions have one or two settings of their own: quicker walked than searched.
struct Reading {
  const std::string* path;
  const std::string* role;  // who the session acts as: "$user"
  bool alike;               // by the server as here
};

Reading reading_of(const Asker& asker) {
  Reading its{&asker.account_path, &asker.user, asker.reads_alike};
  bool others = false;
  for (const auto& [text, value] : asker.settings) {
    const std::string_view name = text;
    if (name == "search_path")
      its.path = &value;
    else if (name == "role")
      its.role = &value;
    else if (name == "client_encoding" || name == "standard_conforming_strings")
      others = true;
  }
  its.alike = its.alike && !(others && !reads_alike(asker.settings));
  return its;
}

}  // namespace

namespace {

bool has_word(std::string_view small, std::string_view word) {
  return small.find(word) != std::string_view::npos;
}

// By which the statements after it may be read otherwise.
bool sets_something(const Effects& its) {
  return its.sets || its.sets_local || its.resets_all || !its.named.empty() ||
         (its.pins & pin::kSetting) != 0;
}

// What is kept of a plan beside its name, about: nodes and blocks of the heap as they are on 64 bits.
std::size_t size_of(const KnownPlan& known) {
  constexpr std::size_t kEntry = 200;
  constexpr std::size_t kTag = 80;
  return kEntry + sizeof(KnownPlan) + known.plan.why_not.size() +
         kTag * (known.tags.size() + known.page_tags.size()) +
         sizeof(Oid) * (known.plan.reads.size() + known.plan.changes.size());
}

// What a literal means is not seen where it is written by escapes, or in pieces.
bool hides_literals(std::string_view text) {
  if (text.find('\\') != std::string_view::npos) return true;
  for (std::size_t at = text.find('\''); at != std::string_view::npos;
       at = text.find('\'', at + 1)) {
    const std::size_t next = text.find_first_not_of(" \t\r\n", at + 1);
    if (next != std::string_view::npos && next > at + 1 && text[next] == '\'' &&
        text.substr(at, next - at).find('\n') != std::string_view::npos)
      return true;
  }
  return false;
}

}  // namespace

ResultCache::ResultCache(net::Workers& workers, cache::Cache& cache, metrics::Registry& registry,
                         const CacheOptions& options, link::Link* link)
    : workers_(workers), cache_(cache), registry_(registry), options_(options), link_(link) {
  for (std::size_t i = 0; i < workers.size(); ++i) {
    parts_.push_back(std::make_unique<Part>());
    parts_.back()->others.query = "(further queries)";
    parts_.back()->others.is_one = false;
  }
}

void ResultCache::add(const postgres::Means& means, const Database& database,
                      postgres::Credentials who, Sessions sessions) {
  Followed& its = streams_[&database];
  its.counts = std::make_unique<DatabaseCounts>(registry_, database.name);
  its.stream =
      std::make_unique<ChangeStream>(workers_, means, database, std::move(who), cache_, *its.counts,
                                     link_ != nullptr ? &link_->tags_out : nullptr, options_.behind,
                                     options_.blind_ttl > Duration::zero(), std::move(sessions));
  const auto gauge = [&](const Family& family, auto read) {
    its.gauges.push_back(registry_.gauge(
        family, {database.name}, [&stream = *its.stream, read] { return read(stream.report()); }));
  };
  gauge(kCacheCurrent, [](const StreamReport& r) { return r.current ? 1.0 : 0.0; });
  gauge(kCacheLag, [](const StreamReport& r) { return seconds(r.behind); });
  gauge(kCacheBypassed, [](const StreamReport& r) { return seconds(r.bypassed); });
}

void ResultCache::start() {
  for (auto& [database, its] : streams_) its.stream->start();
  if (link_ != nullptr) link_->currency = this;
}

bool ResultCache::current(TimePoint now) {
  bool all = true;
  for (auto& [database, its] : streams_) all = its.stream->current(now) && all;
  return all;
}

void ResultCache::tell(link::Request* request, const KnownPlan& plan) const {
  if (link_ == nullptr) return;
  const auto note = [&](auto& reads) {
    if (!plan.tags.empty() && !plan.plan.reads.empty())
      reads.note(plan.tags, plan.plan.reads_known);
    else if (!plan.plan.reads_known)
      reads.note({}, false);
    if (!plan.page_tags.empty()) reads.note(plan.page_tags, true);
  };
  if (request != nullptr)
    note(request->reads);
  else
    note(link_->unclaimed);
}

void ResultCache::tell_unknown(link::Request* request) const {
  if (link_ == nullptr) return;
  if (request != nullptr)
    request->reads.note({}, false);
  else
    link_->unclaimed.note({}, false);
}

void ResultCache::stop() {
  if (link_ != nullptr) link_->currency = nullptr;
  for (auto& [database, its] : streams_) its.stream->stop();
}

ChangeStream* ResultCache::stream(const Database& database) const {
  const auto found = streams_.find(&database);
  return found == streams_.end() ? nullptr : found->second.stream.get();
}

bool ResultCache::usable(ChangeStream& stream, TimePoint now) const {
  return stream.current(now) || stream.blind();
}

std::size_t ResultCache::Part::Hash::operator()(std::string_view text) const {
  return hash64(text);
}

KnownPlanPointer ResultCache::plan(std::size_t worker, Classifier& classifier, ChangeStream& stream,
                                   const Asker& asker, std::string_view text) {
  if (text.size() > kLongestPlan)
    return std::make_shared<const KnownPlan>(make_plan(classifier, stream, asker, text));
  Part& part = *parts_[worker];
  const Reading its = reading_of(asker);
  std::string& name = part.name;
  name.assign(stream.tag()).append(1, '\0').append(*its.path).append(1, '\0');
  name.append(*its.role).append(1, its.alike ? '\0' : '\1').append(text);
  const auto found = part.plans.find(std::string_view(name));
  if (found != part.plans.end() && found->second->is_of(stream.version())) return found->second;
  auto made = std::make_shared<const KnownPlan>(make_plan(classifier, stream, asker, text));
  const std::size_t bytes = name.size() + size_of(*made);
  if (found != part.plans.end()) {  // of another catalogue
    part.plan_bytes -= name.size() + size_of(*found->second);
    part.plans.erase(found);
  }
  if (part.plan_bytes + bytes > kPlanBytes) {
    part.plans.clear();
    part.plan_bytes = 0;
  }
  part.plan_bytes += bytes;
  part.plans.emplace(name, made);
  return made;
}

KnownPlan ResultCache::make_plan(Classifier& classifier, ChangeStream& stream, const Asker& asker,
                                 std::string_view text) const {
  const CataloguePointer catalogue = stream.catalogue();
  KnownPlan known{.plan = {},
                  .tags = {},
                  .page_tags = {},
                  .ttl = {},
                  .fingerprint = 0,
                  .catalogue = catalogue ? catalogue->version() : 0,
                  .effects = effects_of(text)};
  static const Catalogue kNothing;
  const Reading its = reading_of(asker);
  if (!its.alike || hides_names(text)) {
    known.plan = {
        .refusal = Refusal::settings,
        .why_not =
            "its encoding, standard_conforming_strings or names in escapes leave open what "
            "the text says",
        .effect = Plan::Effect::schema};
    known.fingerprint = fingerprint_of(text);
    return known;
  }
  const DecisionPointer decision = classifier.decide(text);
  known.fingerprint = decision->fingerprint;
  known.decision = decision;
  known.plan = plan_for(*decision, catalogue ? *catalogue : kNothing,
                        parse_search_path(*its.path, *its.role));
  const std::string small = text::lowered(text);
  known.single = decision->statements <= 1;
  const bool hidden = hides_literals(text);
  const bool may_set =
      has_word(small, "set") && (!known.single || decision->its_class == Class::session);
  const bool sets = hidden ? may_set : sets_something(known.effects);
  const bool calls_set = std::ranges::any_of(
      decision->functions, [](const ObjectName& each) { return each.name == "set_config"; });
  if (has_word(small, "truncate") && has_word(small, "cascade"))
    known.plan.effect = std::max(known.plan.effect, Plan::Effect::doubt);
  known.renames = sets || calls_set || known.plan.effect >= Plan::Effect::doubt;
  if (hidden) {
    known.plan.cacheable = false;
    known.plan.refuse(Refusal::time, "its literals are written in escapes or pieces");
  }
  const auto calls = [&](const std::string& name) {
    return text.find(name) != std::string_view::npos;
  };
  if (catalogue && std::ranges::any_of(catalogue->column_functions(), calls)) {
    known.plan.cacheable = known.plan.reads_known = known.plan.calm = false;
    known.plan.effect = std::max(known.plan.effect, Plan::Effect::doubt);
    known.plan.refuse(Refusal::function, "it may call a function as a column");
  }
  if (!catalogue) {
    known.plan.cacheable = false;
    known.plan.refusal = Refusal::unknown;  // whatever else there seemed to be
    known.plan.why_not = "the catalogue has not been read yet";
  }
  known.tags.push_back(stream.tag());
  for (const Oid each : known.plan.reads) known.tags.push_back(stream.tag(each));
  for (const Oid each : known.plan.changes) known.page_tags.push_back(stream.tag(each));
  if (known.tags.size() > cache::kTagsLimit) {
    known.plan.cacheable = false;
    known.plan.refuse(Refusal::size, "it reads too many tables");
  }
  if (known.plan.cacheable) apply_rules(known, text);
  return known;
}

void ResultCache::apply_rules(KnownPlan& known, std::string_view text) const {
  known.ttl = known.plan.counts ? options_.count_ttl : options_.ttl;
  const std::string shown = options_.rules.empty() ? std::string() : normalised(text);
  for (const CacheRule& rule : options_.rules) {
    if (!cache::matches(rule.query, shown)) continue;
    if (rule.ttl > Duration::zero()) known.ttl = rule.ttl;
    known.plan.cacheable = rule.cache;
    if (!rule.cache) known.plan.refuse(Refusal::rule, "a rule says so");
    return;
  }
  if (options_.automatic) return;
  known.plan.cacheable = false;
  known.plan.refuse(Refusal::rule, "no rule names it");
}

const std::string& ResultCache::key(std::size_t worker, const Asker& asker,
                                    std::initializer_list<std::string_view> request) {
  std::string& key = parts_[worker]->key;
  key.assign(asker.database.name);
  const std::size_t prefix = key.size();
  key.append(1, '\0').append(asker.user).append(1, '\0').append(asker.account_path).append(1, '\0');
  for (const auto& [name, value] : asker.settings) {
    if (!is_neutral(name)) key.append(name).append(1, '=').append(value).append(1, '\0');
  }
  key.append(1, '\0');
  for (const std::string_view piece : request) key.append(piece);
  if (key.size() <= cache::kKeyLimit) return key;
  const auth::Digest digest = auth::sha256(key);
  key.resize(prefix);
  key.append(1, '\1').append(reinterpret_cast<const char*>(digest.data()), digest.size());
  return key;
}

ShapeCounts& ResultCache::counts(std::size_t worker, const Asker& asker, const KnownPlan& plan,
                                 std::string_view text) {
  if (plan.counts != nullptr) return *plan.counts;
  Part& part = *parts_[worker];
  const std::uint64_t key = hash64(asker.database.name, plan.fingerprint);
  const auto found = part.counts.find(key);
  if (found != part.counts.end()) return *(plan.counts = &found->second);
  if (part.counts.size() >= kMostShapes) return *(plan.counts = &part.others);
  ShapeCounts& made = *(plan.counts = &part.counts[key]);
  made.database = asker.database.name;
  made.query = normalised(text).substr(0, kLongestShown);
  return made;
}

std::vector<CacheLine> ResultCache::lines(std::size_t worker) const {
  const TimePoint now = Clock::now();
  std::vector<CacheLine> all;
  const auto add = [&](const ShapeCounts& each) {
    all.push_back({each.database, each.query, each.why_not, each.hits, each.misses, each.stored,
                   each.refused, each.passed_by, each.worth.verdict(now)});
  };
  for (const auto& [key, counts] : parts_[worker]->counts) add(counts);
  if (all.size() >= kMostShapes) add(parts_[worker]->others);
  return all;
}

std::vector<std::pair<std::string, const ChangeStream*>> ResultCache::streams() const {
  std::vector<std::pair<std::string, const ChangeStream*>> all;
  for (const auto& [database, its] : streams_) all.emplace_back(database->name, its.stream.get());
  return all;
}

}  // namespace headroom::sql
