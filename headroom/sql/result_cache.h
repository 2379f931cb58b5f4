// headroom/sql/result_cache.h - which results are kept, under which key and for how long, and why others are not.
//
// Owns: a ChangeStream for each database, the plans of statements and counts of each worker. Borrows: the cache, whose space sql holds the results.
// Worker: plan() and note() are for the worker's own part; the streams are for any.
// Invariants: (1) a key has everything that a result depends on beside the tables: database, user, role and all other settings of the session but
//   its name, the protocol, the exact text, types, values and formats; (2) a result is tagged by every table it read, and by its database;
//   (3) it is stored only if the catalogue by which it was tagged is still the newest.
// Limits: plans of kPlanBytes in all and kMostShapes shapes of queries a worker; results of max_result.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/link/link.h"
#include "headroom/sql/cache_counts.h"
#include "headroom/sql/cache_options.h"
#include "headroom/sql/change_stream.h"
#include "headroom/sql/effects.h"
#include "headroom/sql/plan.h"

namespace headroom::sql {

// What a session asks by.
struct Asker {
  const Database& database;
  const std::string& user;
  const postgres::Settings& settings;  // of the session, beside its account's
  const std::string& account_path;     // search_path without them
  bool reads_alike = true;  // the server reads texts as they are read here, but for these settings
};

// A plan with what follows from the settings.
struct KnownPlan {
  Plan plan;
  std::vector<std::string> tags;       // of its reads, the database's among them
  std::vector<std::string> page_tags;  // besides: of what it changes, as it may return it
  Duration ttl{};
  std::uint64_t fingerprint = 0;  // for statistics
  std::uint64_t catalogue = 0;    // the version by which it was made; 0: there was none yet
  DecisionPointer decision{};     // of which it was made; null: the text was not looked at
  Effects effects{};
  bool renames =
      false;  // later names may be read by another search_path or role: SET LOCAL and its kind
  bool single = true;                     // one statement, so that its own names are not
  mutable ShapeCounts* counts = nullptr;  // its shape's on the worker that has made it, once asked

  [[nodiscard]] bool is_of(std::uint64_t version) const {
    return catalogue != 0 && catalogue == version;
  }
};
using KnownPlanPointer = std::shared_ptr<const KnownPlan>;

class ResultCache final : public link::Currency {
 public:
  static constexpr std::size_t kPlanBytes = 8U << 20U;     // with their names, about
  static constexpr std::size_t kLongestPlan = 16U << 10U;  // longer ones are planned each time
  static constexpr std::size_t kMostShapes = 1000;

  // `link`: who is told what queries read; null: nobody.
  ResultCache(net::Workers& workers, cache::Cache& cache, metrics::Registry& registry,
              const CacheOptions& options, link::Link* link);

  // Before the workers' first session, from main's thread.
  void add(const postgres::Means& means, const Database& database, postgres::Credentials who,
           Sessions sessions);
  void start();
  void stop();

  // Of all databases, for pages. Any thread.
  [[nodiscard]] bool current(TimePoint now) override;
  // What a statement reads, before it is sent or answered, for the request that it belongs to; null: nobody's.
  void tell(link::Request* request, const KnownPlan& plan) const;
  void tell_unknown(link::Request* request) const;

  // Null: nothing of this database is cached.
  [[nodiscard]] ChangeStream* stream(const Database& database) const;
  [[nodiscard]] cache::Cache& cache() { return cache_; }
  [[nodiscard]] const CacheOptions& options() const { return options_; }

  // On a worker, whose `classifier` it is.
  [[nodiscard]] KnownPlanPointer plan(std::size_t worker, Classifier& classifier,
                                      ChangeStream& stream, const Asker& asker,
                                      std::string_view text);
  [[nodiscard]] std::size_t plan_bytes(std::size_t worker) const {
    return parts_[worker]->plan_bytes;
  }
  // Whether hits may be given now: else the database is asked.
  [[nodiscard]] bool usable(ChangeStream& stream, TimePoint now) const;
  // Of the shape of a query, which stay where they are; those beyond kMostShapes are counted as one.
  [[nodiscard]] ShapeCounts& counts(std::size_t worker, const Asker& asker, const KnownPlan& plan,
                                    std::string_view text);
  // `request`: protocol, text, types, values and formats. It stays until the worker's next one.
  [[nodiscard]] const std::string& key(std::size_t worker, const Asker& asker,
                                       std::initializer_list<std::string_view> request);

  // For SHOW CACHE; the lines of one worker, on it.
  [[nodiscard]] std::vector<CacheLine> lines(std::size_t worker) const;
  [[nodiscard]] std::vector<std::pair<std::string, const ChangeStream*>> streams() const;

 private:
  struct Part {
    struct Hash {
      using is_transparent = void;
      std::size_t operator()(std::string_view text) const;
    };
    std::unordered_map<std::string, KnownPlanPointer, Hash, std::equal_to<>> plans;
    std::size_t plan_bytes = 0;
    std::string name, key;                                  // of what is looked for
    std::unordered_map<std::uint64_t, ShapeCounts> counts;  // by database and fingerprint
    ShapeCounts others;
  };
  [[nodiscard]] KnownPlan make_plan(Classifier& classifier, ChangeStream& stream,
                                    const Asker& asker, std::string_view text) const;
  void apply_rules(KnownPlan& known, std::string_view text) const;

  net::Workers& workers_;
  cache::Cache& cache_;
  metrics::Registry& registry_;
  const CacheOptions& options_;
  link::Link* const link_;
  struct Followed {
    std::unique_ptr<DatabaseCounts> counts;
    std::unique_ptr<ChangeStream> stream;
    std::vector<metrics::GaugeHandle> gauges{};
  };
  std::map<const Database*, Followed> streams_;
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace headroom::sql
