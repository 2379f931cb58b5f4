// headroom/monitor/trend_store.h - slots of time in an SQLite file, fine ones for minutes, coarse ones for a year.
//
// Four tiers, each made from the one before: 1 s for 10 min, 10 s for 6 h, 1 min for 2 d, 1 h for 400 d. A slot is one row, so writing a second is
// one write, and a roll-up reads at most 60 rows. What is unfinished when the process ends is rolled up by the next one.
// Owns: the file. Worker and threads: one thread at a time, never a worker.
// Invariants: (1) a slot of a coarser tier is made once its time is over, from all finer slots of that time; (2) the file never grows beyond
//   disk_limit: old slots go early, the finest tier's first; (3) an id means one series for ever: ids are not used again.
// Limits: disk_limit; series_limit ids, beyond which those longest unseen are forgotten.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/metrics.h"
#include "headroom/monitor/slot.h"
#include "headroom/sqlite/database.h"

namespace headroom::monitor {

struct Tier {
  std::int64_t step;  // seconds
  std::int64_t kept;
};
inline constexpr std::array<Tier, 4> kTiers{
    {{1, 600}, {10, 6 * 3600}, {60, 2 * 86400}, {3600, 400 * 86400}}};

// What a series is called: a family's name, and its labels.
struct SeriesName {
  std::string metric;
  std::vector<std::pair<std::string, std::string>> labels;
  auto operator<=>(const SeriesName&) const = default;
};
struct Series {
  SeriesId id = 0;
  metrics::Kind kind = metrics::Kind::counter;
  SeriesName name;
};

class TrendStore {
 public:
  struct Limits {
    Bytes disk = Bytes::mib(256);
    std::size_t series = 5000;
  };
  // A file that is no database is put aside as <path>.damaged and begun anew.
  [[nodiscard]] static Result<std::unique_ptr<TrendStore>> open(const std::filesystem::path& path,
                                                                const Limits& limits);

  // The id of a series, made if need be; nothing when there are series_limit of them and all are in use.
  // Told to the file with the next write().
  [[nodiscard]] std::optional<SeriesId> id_of(const SeriesName& name, metrics::Kind kind,
                                              std::int64_t now);

  // Stores slots of the finest tier by their second; by an even clock also rolls up what is over at `now` and removes what is too old.
  enum class Clock : std::uint8_t { even, doubtful };
  [[nodiscard]] Result<> write(const std::map<std::int64_t, Slot>& slots, std::int64_t now,
                               Clock clock = Clock::even);

  // The series of a metric.
  [[nodiscard]] std::vector<Series> series_of(std::string_view metric) const;
  [[nodiscard]] std::vector<std::string> metrics() const;
  // Every slot of a tier from `from` to before `to`, in order.
  [[nodiscard]] Result<> read(
      std::size_t tier, std::int64_t from, std::int64_t to,
      const std::function<Result<>(std::int64_t at, std::string_view bytes)>& take);

  // Up to where a coarser tier is made, of what lies before `now` (a clock that was ahead may have left more); 0 for the finest.
  [[nodiscard]] Result<std::int64_t> rolled_up(std::size_t tier, std::int64_t now);

  [[nodiscard]] std::size_t series_count() const { return series_.size(); }
  // Times that slots went early.
  [[nodiscard]] std::uint64_t shortened() const { return shortened_; }
  [[nodiscard]] Bytes size() const;

 private:
  struct Known {
    SeriesId id;
    metrics::Kind kind;
    std::int64_t seen;  // the last hour in which it was asked for
  };

  TrendStore(std::unique_ptr<sqlite::Database> database, const Limits& limits)
      : database_(std::move(database)), limits_(limits) {}
  [[nodiscard]] Result<> load();
  [[nodiscard]] bool forget_one(std::int64_t hour);
  [[nodiscard]] Result<> write_series();
  [[nodiscard]] Result<> write_all(const std::map<std::int64_t, Slot>& slots, std::int64_t now,
                                   Clock clock);
  [[nodiscard]] Result<> tidy(std::int64_t now);
  [[nodiscard]] Result<> roll_up(std::size_t tier, std::int64_t now);
  [[nodiscard]] Result<> put_second(std::int64_t at, const Slot& slot);
  [[nodiscard]] Result<> put(std::size_t tier, std::int64_t at, const Slot& slot);
  [[nodiscard]] Result<std::optional<std::int64_t>> first_from(std::size_t tier, std::int64_t at);
  [[nodiscard]] Result<> prune(std::int64_t now);
  [[nodiscard]] Result<bool> shorten();

  std::unique_ptr<sqlite::Database> database_;
  const Limits limits_;
  std::map<SeriesName, Known> series_;
  SeriesId next_id_ = 1;
  std::set<SeriesName> changed_;  // series the file does not know so yet
  std::vector<SeriesId> forgotten_;
  std::uint64_t shortened_ = 0;
};

}  // namespace headroom::monitor
