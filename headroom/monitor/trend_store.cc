#include "headroom/monitor/trend_store.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sqlite/transaction.h"

namespace headroom::monitor {
namespace {

// A slot's key: the tier, then the second, so that a tier's slots lie in order.
constexpr std::array<std::string_view, 1> kSchema{R"(
CREATE TABLE series(id INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, name TEXT NOT NULL UNIQUE, seen INTEGER NOT NULL);
CREATE TABLE slots(key INTEGER PRIMARY KEY, data BLOB NOT NULL);
)"};
constexpr std::int64_t kTierKeys = std::int64_t{1} << 40;
constexpr std::int64_t kHour = 3600;
constexpr std::uint64_t kPage = 4096;
constexpr char kEnd = '\x1f';  // between the parts of a name; no label value of ours has it

std::int64_t key_of(std::size_t tier, std::int64_t at) {
  return (static_cast<std::int64_t>(tier) * kTierKeys) + at;
}
std::int64_t floor_to(std::int64_t at, std::int64_t step) { return at - (at % step); }

std::string joined(const SeriesName& name) {
  std::string text = name.metric;
  for (const auto& [label, value] : name.labels)
    text.append(1, kEnd).append(label).append(1, '=').append(value);
  return text;
}

SeriesName parted(std::string_view text) {
  SeriesName name;
  std::size_t from = text.find(kEnd);
  name.metric = text.substr(0, from);
  while (from != std::string_view::npos) {
    const std::size_t end = text.find(kEnd, from + 1);
    const std::string_view pair =
        text.substr(from + 1, end == std::string_view::npos ? end : end - from - 1);
    const std::size_t equals = pair.find('=');
    if (equals != std::string_view::npos)
      name.labels.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
    from = end;
  }
  return name;
}

Result<std::unique_ptr<sqlite::Database>> open_database(const std::filesystem::path& path) {
  auto database = sqlite::Database::open(path);
  if (!database) return database;
  if (auto ready = (*database)->migrate(kSchema); !ready) return pass(ready);
  return database;
}

}  // namespace

Result<std::unique_ptr<TrendStore>> TrendStore::open(const std::filesystem::path& path,
                                                     const Limits& limits) {
  auto database = open_database(path);
  if (!database && database.error().code == Errc::internal) {
    log::error("monitor", "{}: put aside as {}.damaged", database.error().message, path.string());
    std::error_code failed;
    std::filesystem::rename(path, path.string() + ".damaged", failed);
    for (const char* end : {"-wal", "-shm"}) std::filesystem::remove(path.string() + end, failed);
    database = open_database(path);
  }
  if (!database) return pass(database);
  std::unique_ptr<TrendStore> store(new TrendStore(std::move(*database), limits));
  if (auto loaded = store->load(); !loaded) return pass(loaded);
  return store;
}

Result<> TrendStore::load() {
  const auto pages = std::max<std::uint64_t>(limits_.disk.count / kPage, 64);
  if (auto set = database_->execute("PRAGMA max_page_count = " + std::to_string(pages)); !set)
    return set;
  auto all = database_->prepare("SELECT id, kind, name, seen FROM series");
  if (!all) return pass(all);
  for (;;) {
    auto row = all->step();
    if (!row) return pass(row);
    if (!*row) break;
    next_id_ = std::max(next_id_, all->column<SeriesId>(0) + 1);
    series_.emplace(parted(all->column<std::string_view>(2)),
                    Known{all->column<SeriesId>(0), static_cast<metrics::Kind>(all->column<int>(1)),
                          all->column<std::int64_t>(3)});
  }
  auto used = database_->prepare("SELECT seq FROM sqlite_sequence WHERE name = 'series'");
  if (!used) return pass(used);
  auto any = used->step();
  if (!any) return pass(any);
  if (*any) next_id_ = std::max(next_id_, used->column<SeriesId>(0) + 1);
  return {};
}

std::optional<SeriesId> TrendStore::id_of(const SeriesName& name, metrics::Kind kind,
                                          std::int64_t now) {
  const std::int64_t hour = floor_to(now, kHour);
  if (const auto known = series_.find(name); known != series_.end()) {
    if (known->second.seen != hour || known->second.kind != kind) {
      known->second.seen = hour;
      known->second.kind = kind;
      changed_.insert(name);
    }
    return known->second.id;
  }
  if (series_.size() >= limits_.series && !forget_one(hour)) return std::nullopt;
  series_.emplace(name, Known{next_id_, kind, hour});
  changed_.insert(name);
  return next_id_++;
}

// The series longest unseen, if there is one that was not seen in this hour.
bool TrendStore::forget_one(std::int64_t hour) {
  const auto oldest =
      std::ranges::min_element(series_, {}, [](const auto& each) { return each.second.seen; });
  if (oldest == series_.end() || oldest->second.seen >= hour) return false;
  forgotten_.push_back(oldest->second.id);
  changed_.erase(oldest->first);
  series_.erase(oldest);
  return true;
}

Result<> TrendStore::write_series() {
  for (const SeriesId id : forgotten_) {
    if (auto gone = database_->run("DELETE FROM series WHERE id = ?", id); !gone) return gone;
  }
  for (const SeriesName& name : changed_) {
    const Known& known = series_.at(name);
    auto told =
        database_->run("INSERT OR REPLACE INTO series(id, kind, name, seen) VALUES (?, ?, ?, ?)",
                       known.id, static_cast<int>(known.kind), joined(name), known.seen);
    if (!told) return told;
  }
  return {};
}

Result<> TrendStore::write(const std::map<std::int64_t, Slot>& slots, std::int64_t now,
                           Clock clock) {
  for (;;) {
    auto written = write_all(slots, now, clock);
    if (written) return written;
    if (written.error().code != Errc::overloaded) return written;
    auto shorter = shorten();  // full: by our own limit, or the disk is
    if (!shorter) return pass(shorter);
    if (!*shorter) return written;
  }
}

Result<> TrendStore::write_all(const std::map<std::int64_t, Slot>& slots, std::int64_t now,
                               Clock clock) {
  auto transaction = sqlite::Transaction::begin(*database_);
  if (!transaction) return pass(transaction);
  if (auto told = write_series(); !told) return told;
  for (const auto& [at, slot] : slots) {
    if (auto stored = put_second(at, slot); !stored) return stored;
  }
  if (clock == Clock::even) {
    if (auto tidied = tidy(now); !tidied) return tidied;
  }
  auto committed = transaction->commit();
  if (!committed) return committed;
  changed_.clear();
  forgotten_.clear();
  return {};
}

// What goes for its age is in a coarser tier by then.
Result<> TrendStore::tidy(std::int64_t now) {
  for (std::size_t tier = 1; tier < kTiers.size(); ++tier) {
    if (auto rolled = roll_up(tier, now); !rolled) return rolled;
  }
  return prune(now);
}

Result<> TrendStore::put(std::size_t tier, std::int64_t at, const Slot& slot) {
  const std::string bytes = encode(slot);
  return database_->run("INSERT OR REPLACE INTO slots(key, data) VALUES (?, ?)", key_of(tier, at),
                        bytes_of(bytes));
}

// The process before us may have ended in the same second: that second is the sum of both.
Result<> TrendStore::put_second(std::int64_t at, const Slot& slot) {
  Slot all;
  auto there = read(0, at, at + 1, [&](std::int64_t, std::string_view bytes) -> Result<> {
    auto before = decode(bytes);
    if (!before) return pass(before);
    all = std::move(*before);
    return {};
  });
  if (!there) return there;
  merge(all, slot);
  return put(0, at, all);
}

Result<std::optional<std::int64_t>> TrendStore::first_from(std::size_t tier, std::int64_t at) {
  auto first = database_->prepare("SELECT min(key) FROM slots WHERE key >= ? AND key < ?");
  if (!first) return pass(first);
  auto row = first->bind(key_of(tier, at), key_of(tier + 1, 0)).step();
  if (!row) return pass(row);
  const auto key = first->column<std::optional<std::int64_t>>(0);
  return key ? std::optional(*key - key_of(tier, 0)) : std::nullopt;
}

Result<std::int64_t> TrendStore::rolled_up(std::size_t tier, std::int64_t now) {
  if (tier == 0) return 0;
  auto last = database_->prepare("SELECT max(key) FROM slots WHERE key >= ? AND key < ?");
  if (!last) return pass(last);
  auto row = last->bind(key_of(tier, 0), key_of(tier, now)).step();
  if (!row) return pass(row);
  const auto key = last->column<std::optional<std::int64_t>>(0);
  return key ? *key - key_of(tier, 0) + kTiers[tier].step : 0;
}

Result<> TrendStore::roll_up(std::size_t tier, std::int64_t now) {
  const std::int64_t step = kTiers[tier].step;
  auto done = rolled_up(tier, now);
  if (!done) return pass(done);
  for (;;) {
    auto next = first_from(tier - 1, *done);
    if (!next) return pass(next);
    if (!*next) return {};
    const std::int64_t at = floor_to(**next, step);
    if (at + step > now) return {};
    Slot all;
    auto read_all =
        read(tier - 1, at, at + step, [&](std::int64_t, std::string_view bytes) -> Result<> {
          auto slot = decode(bytes);
          if (!slot) return pass(slot);
          merge(all, *slot);
          return {};
        });
    if (!read_all) return read_all;
    if (auto stored = put(tier, at, all); !stored) return stored;
    *done = at + step;
  }
}

Result<> TrendStore::prune(std::int64_t now) {
  for (std::size_t tier = 0; tier < kTiers.size(); ++tier) {
    auto gone = database_->run("DELETE FROM slots WHERE key >= ? AND key < ?", key_of(tier, 0),
                               key_of(tier, std::max<std::int64_t>(0, now - kTiers[tier].kept)));
    if (!gone) return gone;
  }
  return {};
}

// Removes the older half of the finest tier that has slots to spare; false when none has.
Result<bool> TrendStore::shorten() {
  for (std::size_t tier = 0; tier < kTiers.size(); ++tier) {
    auto range = database_->prepare(
        "SELECT min(key), max(key), count(*) FROM slots WHERE key >= ? AND key < ?");
    if (!range) return pass(range);
    auto row = range->bind(key_of(tier, 0), key_of(tier + 1, 0)).step();
    if (!row) return pass(row);
    if (range->column<std::int64_t>(2) < 16) continue;
    const std::int64_t middle =
        (range->column<std::int64_t>(0) + range->column<std::int64_t>(1)) / 2;
    if (auto gone = database_->run("DELETE FROM slots WHERE key >= ? AND key <= ?", key_of(tier, 0),
                                   middle);
        !gone)
      return pass(gone);
    ++shortened_;
    return true;
  }
  return false;
}

std::vector<Series> TrendStore::series_of(std::string_view metric) const {
  std::vector<Series> found;
  for (auto at = series_.lower_bound(SeriesName{std::string(metric), {}});
       at != series_.end() && at->first.metric == metric; ++at) {
    found.push_back({at->second.id, at->second.kind, at->first});
  }
  return found;
}

std::vector<std::string> TrendStore::metrics() const {
  std::vector<std::string> names;
  for (const auto& [name, known] : series_) {
    if (names.empty() || names.back() != name.metric) names.push_back(name.metric);
  }
  return names;
}

Result<> TrendStore::read(
    std::size_t tier, std::int64_t from, std::int64_t to,
    const std::function<Result<>(std::int64_t at, std::string_view bytes)>& take) {
  auto rows =
      database_->prepare("SELECT key, data FROM slots WHERE key >= ? AND key < ? ORDER BY key");
  if (!rows) return pass(rows);
  rows->bind(key_of(tier, std::max<std::int64_t>(0, from)),
             key_of(tier, std::max<std::int64_t>(0, to)));
  for (;;) {
    auto row = rows->step();
    if (!row) return pass(row);
    if (!*row) return {};
    auto taken =
        take(rows->column<std::int64_t>(0) - key_of(tier, 0), rows->column<std::string_view>(1));
    if (!taken) return taken;
  }
}

Bytes TrendStore::size() const {
  std::error_code failed;
  std::uint64_t bytes = 0;
  for (const char* end : {"", "-wal"}) {
    const auto size = std::filesystem::file_size(database_->path() + end, failed);
    if (!failed) bytes += size;
  }
  return Bytes{bytes};
}

}  // namespace headroom::monitor
