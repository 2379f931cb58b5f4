#include "headroom/monitor/alerts.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sqlite/transaction.h"

namespace headroom::monitor {
namespace {

constexpr std::size_t kHistory = 1000;
constexpr std::array<std::string_view, 2> kSchema{R"(
CREATE TABLE alerts(name TEXT PRIMARY KEY, state INTEGER NOT NULL, severity INTEGER NOT NULL, since INTEGER NOT NULL, beyond_since INTEGER NOT NULL,
  wanted INTEGER NOT NULL, wanted_since INTEGER NOT NULL, flaps TEXT NOT NULL, silenced_until INTEGER NOT NULL, told INTEGER NOT NULL, began INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, name TEXT NOT NULL, change INTEGER NOT NULL, severity INTEGER NOT NULL,
  value REAL, began INTEGER NOT NULL, summary TEXT NOT NULL, to_tell INTEGER NOT NULL);
)",
                                                  R"(
ALTER TABLE alerts ADD COLUMN critical_since INTEGER NOT NULL DEFAULT 0;
UPDATE alerts SET told = severity WHERE told;
)"};

// All curves of a range merged in time; counters and histograms in one, gauges each by itself.
std::vector<Value> sums(const AlertOptions& rule, const std::string& metric, Trends& trends,
                        std::int64_t from, std::int64_t to) {
  TrendQuery query{.metric = metric, .from = from, .to = to};
  for (const std::string& label : rule.where) {
    const std::size_t colon = label.find(':');
    query.where.emplace_back(label.substr(0, colon), label.substr(colon + 1));
  }
  std::vector<Value> all;
  const auto answer = trends.query(query);
  if (!answer) return all;
  for (const TrendCurve& curve : answer->curves) {
    Value sum;
    sum.kind = answer->kind;
    for (const auto& point : curve.points) {
      if (point) sum.merge(*point);
    }
    if (answer->kind == metrics::Kind::gauge) {
      if (sum.times > 0) all.push_back(std::move(sum));
    } else if (all.empty()) {
      all.push_back(std::move(sum));
    } else {
      all.front().merge(sum);
    }
  }
  return all;
}

double added(const std::vector<Value>& all) { return all.empty() ? 0 : all.front().added; }

std::optional<double> value_over(const AlertOptions& rule, Trends& trends, std::int64_t from,
                                 std::int64_t to) {
  const auto all = sums(rule, rule.metric, trends, from, to);
  if (rule.figure == Figure::share || rule.figure == Figure::miss_free) {
    const double part = added(all);
    const double other = added(sums(rule, rule.of, trends, from, to));
    const double whole = rule.figure == Figure::share ? other : other + part;
    if (whole <= 0 || whole < rule.least) return std::nullopt;
    return 100 * (rule.figure == Figure::share ? part : other) / whole;
  }
  if (all.empty()) return std::nullopt;
  if (all.front().kind == metrics::Kind::counter)
    return added(all) / static_cast<double>(to - from);
  if (all.front().kind == metrics::Kind::gauge) {
    double worst = rule.side == Side::above ? -1e308 : 1e308;
    for (const Value& each : all) {
      const double value = rule.figure == Figure::max
                               ? (rule.side == Side::above ? each.max : each.min)
                               : each.mean();
      worst = rule.side == Side::above ? std::max(worst, value) : std::min(worst, value);
    }
    return worst;
  }
  const Value& times = all.front();
  const auto count = static_cast<double>(times.count());
  if (rule.figure == Figure::rate) return count / static_cast<double>(to - from);
  if (count <= 0 || count < rule.least) return std::nullopt;
  switch (rule.figure) {
    case Figure::p50: return times.quantile_seconds(0.5);
    case Figure::p95: return times.quantile_seconds(0.95);
    case Figure::p99: return times.quantile_seconds(0.99);
    default: return times.mean_seconds();
  }
}

std::vector<std::int64_t> numbers(std::string_view text) {
  std::vector<std::int64_t> all;
  for (const std::string_view part : text::split(text, ' ')) {
    if (const auto number = text::to_u64(part)) all.push_back(static_cast<std::int64_t>(*number));
  }
  return all;
}

}  // namespace

std::optional<double> value_of(const AlertOptions& rule, Trends& trends, std::int64_t now) {
  std::optional<double> mildest;
  for (const Duration window : rule.windows) {
    const auto length = std::chrono::duration_cast<std::chrono::seconds>(window).count();
    const auto value = value_over(rule, trends, now + 1 - length, now + 1);
    if (!value) return std::nullopt;
    const bool milder =
        !mildest || (rule.side == Side::above ? *value < *mildest : *value > *mildest);
    if (milder) mildest = value;
  }
  return mildest;
}

Alerts::Alerts(Trends& trends, const AlertingOptions& options)
    : trends_(trends), options_(options), enabled_(options.enabled) {
  adopt();
  publish();
}

Result<> Alerts::open(const std::filesystem::path& path) {
  path_ = path;
  const auto opened = [&]() -> Result<> {
    auto database = sqlite::Database::open(path);
    if (!database) return pass(database);
    if (auto ready = (*database)->migrate(kSchema); !ready) return ready;
    database_ = std::move(*database);
    return load();
  }();
  if (!opened) database_.reset();
  failing_ = !opened;
  publish();
  return opened;
}

void Alerts::close() {
  database_.reset();
  path_.clear();
}

// The rules in force; those of a name that was there before go on where they are.
void Alerts::adopt() {
  auto before = std::exchange(rules_, {});
  for (AlertOptions& rule :
       options_.enabled ? alerts_in_force(options_) : std::vector<AlertOptions>{}) {
    const auto found = std::ranges::find_if(
        before, [&](const auto& each) { return each && each->rule.name == rule.name; });
    auto made = std::make_unique<Watched>(std::move(rule));
    if (found != before.end()) {
      made->watch.remember((*found)->watch.memory());
      made->silenced_until = (*found)->silenced_until;
      made->told = (*found)->told;
      before.erase(found);
    }
    rules_.push_back(std::move(made));
  }
  std::ranges::move(before, std::back_inserter(gone_));
  retire_gone(last_tick_);
}

void Alerts::retire_gone(std::int64_t now) {
  std::erase_if(gone_, [&](const auto& each) { return retire(*each, now); });
}

// Who was told that it fires hears that it does no longer.
bool Alerts::retire(Watched& each, std::int64_t now) {
  if (!database_) return true;  // its row is found once the file is opened
  const bool fires = each.watch.state() == AlertState::firing;
  if (fires || each.told != Severity::none) {
    keep(each, now, AlertChange::resolved);
    if (each.unwritten) return false;
    each.watch.remember({});
  }
  auto gone = database_->run("DELETE FROM alerts WHERE name = ?", each.rule.name);
  if (!gone) failed(gone.error());
  return gone.has_value();
}

void Alerts::failed(const Error& error) {
  if (!failing_.exchange(true))
    log::error("monitor", "alerts cannot be written, trying again: {}", error.message);
}

void Alerts::configure(const AlertingOptions& options) {
  options_ = options;
  enabled_ = options.enabled;
  adopt();
  next_ = 0;
  publish();
}

std::vector<net::HealthReport> Alerts::health() const {
  if (!failing_.load() || !enabled()) return {};
  return {{"monitor", net::HealthReport::State::degraded, "alerts cannot be kept in alerts.db"}};
}

Result<> Alerts::load() {
  std::vector<std::unique_ptr<Watched>> gone;  // their rules were taken away meanwhile
  if (auto read = load_rows(gone); !read) return read;
  std::ranges::move(gone, std::back_inserter(gone_));
  retire_gone(last_tick_ > 0 ? last_tick_ : unix_seconds());
  return {};
}

Result<> Alerts::load_rows(std::vector<std::unique_ptr<Watched>>& gone) {
  auto all = database_->prepare(
      "SELECT name, state, severity, since, beyond_since, wanted, wanted_since, flaps, "
      "silenced_until, told, began, critical_since FROM alerts");
  if (!all) return pass(all);
  for (;;) {
    auto row = all->step();
    if (!row) return pass(row);
    if (!*row) return {};
    const auto name = all->column<std::string>(0);
    const auto found =
        std::ranges::find_if(rules_, [&](const auto& each) { return each->rule.name == name; });
    if (found == rules_.end()) {
      AlertOptions rule;
      rule.name = name;
      rule.summary = "Its rule is no longer there.";
      gone.push_back(std::make_unique<Watched>(std::move(rule)));
    }
    Watched& each = found == rules_.end() ? *gone.back() : **found;
    AlertWatch::Memory memory;
    memory.state = static_cast<AlertState>(all->column<int>(1));
    memory.severity = static_cast<Severity>(all->column<int>(2));
    memory.since = all->column<std::int64_t>(3);
    memory.beyond_since = all->column<std::int64_t>(4);
    memory.wanted = static_cast<Severity>(all->column<int>(5));
    memory.wanted_since = all->column<std::int64_t>(6);
    memory.flaps = numbers(all->column<std::string_view>(7));
    memory.began = all->column<std::int64_t>(10);
    memory.critical_since = all->column<std::int64_t>(11);
    each.watch.remember(std::move(memory));
    each.silenced_until = all->column<std::int64_t>(8);
    each.told = static_cast<Severity>(all->column<int>(9));
  }
}

void Alerts::tick(std::int64_t now) {
  if (now < last_tick_) {  // the wall clock was set back: what was due then is due now
    next_ = 0;
    for (const auto& each : rules_) each->next = 0;
  }
  if (now < next_ || path_.empty()) return;
  const auto interval = std::max<std::int64_t>(
      1, std::chrono::duration_cast<std::chrono::seconds>(options_.interval).count());
  next_ = now + interval;
  last_tick_ = now;
  if (!database_) {
    if (!open(path_)) return;  // it has been said
    log::info("monitor", "alerts are kept again");
  }
  retire_gone(now);
  for (const auto& each : rules_) {
    if (now < each->next && !each->unwritten) continue;
    const Duration longest = *std::ranges::max_element(each->rule.windows);
    each->next =
        now +
        std::max(interval, std::chrono::duration_cast<std::chrono::seconds>(longest).count() / 60);
    look(*each, now);
  }
  if (failing_ && gone_.empty() &&
      std::ranges::none_of(rules_, [](const auto& each) { return each->unwritten; })) {
    failing_ = false;
    log::info("monitor", "alerts are written again");
  }
  publish();
}

std::string Alerts::muted_by(const Watched& each) const {
  for (const auto& other : rules_) {
    const bool named =
        std::ranges::find(each.rule.depends_on, other->rule.name) != each.rule.depends_on.end();
    if (named && other->watch.state() == AlertState::firing) return other->rule.name;
  }
  return {};
}

void Alerts::look(Watched& each, std::int64_t now) {
  const auto before = each.watch.state();
  each.value = value_of(each.rule, trends_, now);
  auto change = each.watch.see(now, each.value);
  if (!change) change = each.unwritten_change;
  if (each.silenced_until != 0 && each.silenced_until <= now) each.silenced_until = 0;
  const bool quiet = nobody_hears_of(each, now);
  const bool fires = each.watch.state() == AlertState::firing;
  if (change) return keep(each, now, change);
  if (fires && !quiet && each.told != each.watch.severity()) {
    // What happened while nobody was to hear of it.
    keep(each, now, each.told == Severity::none ? AlertChange::fired : AlertChange::changed);
  } else if (!fires && each.told != Severity::none) {
    keep(each, now, AlertChange::resolved);  // which could not be written
  } else if (before != each.watch.state() || each.unwritten) {
    keep(each, now, std::nullopt);
  }
}

bool Alerts::nobody_hears_of(const Watched& each, std::int64_t now) const {
  return options_.webhook.empty() || each.silenced_until > now || !muted_by(each).empty();
}

// Into the file first.
void Alerts::keep(Watched& each, std::int64_t now, std::optional<AlertChange> change) {
  const bool resolved = change == AlertChange::resolved;
  const bool tell =
      change && (resolved ? each.told != Severity::none : !nobody_hears_of(each, now));
  if (change == AlertChange::changed && tell && each.told == Severity::none)
    change = AlertChange::fired;  // for who hears of it now
  const Severity told_before = each.told;
  if (resolved)
    each.told = Severity::none;
  else if (tell)
    each.told = each.watch.severity();
  const auto written = [&]() -> Result<> {
    auto transaction = sqlite::Transaction::begin(*database_);
    if (!transaction) return pass(transaction);
    if (auto stored = store(each); !stored) return stored;
    if (change) {
      if (auto stored = store_event(each, now, *change, tell); !stored) return stored;
    }
    return transaction->commit();
  }();
  each.unwritten = !written;
  each.unwritten_change = written ? std::nullopt : change;
  if (!written) {
    each.told = told_before;  // it is told when it can be written
    return failed(written.error());
  }
  if (change)
    log::change(
        log::Level::warn, "monitor", "alert",
        fmt::format("alert {} {} ({}){}: {}", each.rule.name, to_string(*change),
                    to_string(each.watch.severity()), tell ? "" : ", muted", each.rule.summary));
}

Result<> Alerts::store(const Watched& each) {
  const auto& memory = each.watch.memory();
  std::string flaps;
  for (const std::int64_t at : memory.flaps) flaps += std::to_string(at) + " ";
  return database_->run(
      "INSERT OR REPLACE INTO alerts VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", each.rule.name,
      static_cast<int>(memory.state), static_cast<int>(memory.severity), memory.since,
      memory.beyond_since, static_cast<int>(memory.wanted), memory.wanted_since, flaps,
      each.silenced_until, static_cast<int>(each.told), memory.began, memory.critical_since);
}

Result<> Alerts::store_event(const Watched& each, std::int64_t now, AlertChange change, bool tell) {
  const auto& memory = each.watch.memory();
  auto stored = database_->run(
      "INSERT INTO events(at, name, change, severity, value, began, summary, to_tell) VALUES "
      "(?,?,?,?,?,?,?,?)",
      now, each.rule.name, static_cast<int>(change), static_cast<int>(memory.severity), each.value,
      memory.began, each.rule.summary, tell && !options_.webhook.empty());
  if (!stored) return stored;
  return database_->run("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?",
                        static_cast<std::int64_t>(kHistory));
}

void Alerts::publish() {
  std::vector<AlertStatus> all;
  for (const auto& each : rules_) {
    all.push_back({each->rule, each->watch.state(), each->watch.severity(), each->watch.since(),
                   each->value, each->silenced_until, muted_by(*each)});
  }
  const std::scoped_lock lock(mutex_);
  status_ = std::move(all);
}

std::vector<AlertStatus> Alerts::status() const {
  const std::scoped_lock lock(mutex_);
  return status_;
}

Result<> Alerts::silence(std::string_view name, std::int64_t until) {
  const auto found =
      std::ranges::find_if(rules_, [&](const auto& each) { return each->rule.name == name; });
  if (found == rules_.end()) return fail(Errc::not_found, "no alert of that name");
  if (!database_) return fail(Errc::unavailable, "alerts are not kept now");
  const std::int64_t before = std::exchange((*found)->silenced_until, until);
  auto stored = store(**found);
  if (!stored) (*found)->silenced_until = before;  // who is told of an error silenced nothing
  publish();
  return stored;
}

namespace {

Result<std::vector<AlertEvent>> read_events(sqlite::Database& database, std::string_view sql,
                                            std::size_t most) {
  auto rows = database.prepare(sql);
  if (!rows) return pass(rows);
  rows->bind(static_cast<std::int64_t>(most));
  std::vector<AlertEvent> all;
  for (;;) {
    auto row = rows->step();
    if (!row) return pass(row);
    if (!*row) return all;
    all.push_back({rows->column<std::int64_t>(0), rows->column<std::int64_t>(1),
                   rows->column<std::string>(2), static_cast<AlertChange>(rows->column<int>(3)),
                   static_cast<Severity>(rows->column<int>(4)),
                   rows->column<std::optional<double>>(5), rows->column<std::int64_t>(6),
                   rows->column<std::string>(7)});
  }
}

}  // namespace

Result<std::vector<AlertEvent>> Alerts::history(std::size_t most) {
  if (!database_) return fail(Errc::unavailable, "alerts are not kept now");
  return read_events(*database_,
                     "SELECT id, at, name, change, severity, value, began, summary FROM events "
                     "ORDER BY id DESC LIMIT ?",
                     most);
}

Result<std::vector<AlertEvent>> Alerts::outbox(std::size_t most) {
  if (!database_) return std::vector<AlertEvent>{};
  return read_events(*database_,
                     "SELECT id, at, name, change, severity, value, began, summary FROM events "
                     "WHERE to_tell ORDER BY id LIMIT ?",
                     most);
}

Result<> Alerts::told(std::int64_t up_to_id) {
  if (!database_) return {};
  return database_->run("UPDATE events SET to_tell = 0 WHERE to_tell AND id <= ?", up_to_id);
}

}  // namespace headroom::monitor
