#include "headroom/server/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace headroom::server {
namespace {

using json::Value;

constexpr std::size_t kMostRoutes = 10;
constexpr std::size_t kMostAlerts = 5;
constexpr double kNearlyFull = 0.9;
constexpr double kMuchUsed = 0.8;

// A member by its path: "requests.latency_ms.p99".
std::optional<Value> at(std::optional<Value> from, std::string_view path) {
  while (from && !path.empty()) {
    const std::size_t dot = path.find('.');
    from = from->find(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return from;
}

std::optional<Value> at(const std::optional<json::Document>& document, std::string_view path) {
  return document ? at(document->root(), path) : std::nullopt;
}

double number(std::optional<Value> value) { return value ? value->number().value_or(0) : 0; }
template <class From>
double number(const From& from, std::string_view path) {
  return number(at(from, path));
}

template <class From>
bool has_number(const From& from, std::string_view path) {
  const auto value = at(from, path);
  return value && value->number();
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

template <class From>
std::string words(const From& from, std::string_view path) {
  const auto value = at(from, path);
  return value ? printable(value->string().value_or("")) : "";
}

std::vector<Value> items(std::optional<Value> array) {
  std::vector<Value> out;
  for (std::size_t i = 0; array && array->kind() == json::Kind::array && i < array->size(); ++i)
    out.push_back(array->item(i));
  return out;
}

// 950, 12.3k, 4.5M: at most five characters.
std::string count(double n) {
  constexpr std::array kUnits{"", "k", "M", "G", "T"};
  std::size_t unit = 0;
  for (; n >= 999.95 && unit + 1 < kUnits.size(); ++unit) n /= 1000;
  return unit == 0 && n == static_cast<double>(static_cast<std::int64_t>(n))
             ? fmt::format("{:.0f}", n)
             : fmt::format("{:.1f}{}", n, kUnits[unit]);
}

std::string bytes(double n) {
  constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; n >= 1023.95 && unit + 1 < kUnits.size(); ++unit) n /= 1024;
  return fmt::format("{:.{}f} {}", n, unit == 0 || n >= 100 ? 0 : 1, kUnits[unit]);
}

std::string span_of(double total) {
  const auto s = static_cast<std::int64_t>(total);
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  if (s < 86400) return fmt::format("{} h {} min", s / 3600, s / 60 % 60);
  return fmt::format("{} d {} h", s / 86400, s / 3600 % 24);
}

std::string bar(double share) {
  constexpr int kCells = 10;
  const int full = std::clamp(static_cast<int>(share * kCells + 0.5), 0, kCells);
  return "[" + std::string(static_cast<std::size_t>(full), '#') +
         std::string(static_cast<std::size_t>(kCells - full), '.') + "]";
}

Mood of_use(double share) { return share >= kMuchUsed ? Mood::warning : Mood::plain; }
Mood of_state(std::string_view state) {
  if (state == "ok" || state == "up") return Mood::good;
  return state == "failed" || state == "down" ? Mood::bad : Mood::warning;
}

class Page {
 public:
  Page(const TopSample& now, const TopSample* before, std::size_t width)
      : now_(now), before_(before), width_(width) {}

  std::vector<TopLine> lines(std::string_view door) {
    heading(door);
    headroom();
    alerts();
    requests();
    process();
    rooms();
    servers();
    routes();
    return std::move(lines_);
  }

 private:
  void add(Mood mood, std::string text) {
    if (text.size() > width_) text.resize(width_);
    while (text.ends_with(' ')) text.pop_back();
    lines_.push_back({std::move(text), mood});
  }

  [[nodiscard]] double since() const {
    return before_ == nullptr ? 0 : seconds(elapsed(before_->at, now_.at));
  }

  void heading(std::string_view door) {
    const bool ready =
        at(now_.overview, "ready").and_then([](Value v) { return v.boolean(); }).value_or(false);
    const std::string state = words(now_.overview, "state");
    add(ready ? of_state(state) : Mood::bad,
        fmt::format("headroom {}  {}  {}, {}  up {}  {:.0f} workers",
                    words(now_.overview, "version"), door, words(now_.overview, "stage"),
                    ready ? state : "not ready", span_of(number(now_.overview, "uptime_seconds")),
                    number(now_.overview, "workers")));
    for (const Value& part : items(at(now_.overview, "health"))) {
      const std::string how = words(part, "state");
      if (how != "ok")
        add(of_state(how),
            fmt::format("  {} {}: {}", words(part, "component"), how, words(part, "reason")));
    }
    add(Mood::plain, "");
  }

  // How much is left of what gives out first.
  void headroom() {
    const auto all = items(at(now_.now, "ceilings"));
    if (all.empty()) return;
    const Value& first = all[0];
    const double used = number(first, "ratio");
    const std::string name = words(first, "name");
    const bool in_bytes = name == "memory" || name == "disk";
    const auto show = [in_bytes](double n) { return in_bytes ? bytes(n) : count(n); };
    std::string text = fmt::format("headroom  {} {:.0f} % left  {} {} of {}", bar(used),
                                   100 * std::max(0.0, 1 - used), name, show(number(first, "used")),
                                   show(number(first, "limit")));
    if (has_number(first, "full_in_seconds"))
      text += fmt::format("  full in {}", span_of(number(first, "full_in_seconds")));
    add(used >= kNearlyFull ? Mood::bad : of_use(used), std::move(text));
    if (used >= kMuchUsed) add(Mood::plain, fmt::format("          {}", words(first, "advice")));
  }

  void alerts() {
    std::size_t shown = 0;
    for (const Value& alert : items(at(now_.now, "alerts.list"))) {
      if (words(alert, "state") != "firing" || shown == kMostAlerts) continue;
      ++shown;
      const std::string severity = words(alert, "severity");
      const bool quiet = has_number(alert, "silenced_until") || !words(alert, "muted_by").empty();
      add(quiet                    ? Mood::plain
          : severity == "critical" ? Mood::bad
                                   : Mood::warning,
          fmt::format("alert     {} {}{}: {}", words(alert, "name"), severity,
                      quiet ? ", silent" : "", words(alert, "summary")));
    }
  }

  // Of the last minute, as the advice below them is; without trends of all the time since the start.
  void requests() {
    const auto ever = at(now_.overview, "requests");
    const auto minute = at(now_.now, "last_minute.requests");
    const bool recent = has_number(minute, "total");
    const bool any = !recent || number(minute, "total") > 0;
    const auto figures = recent ? minute : ever;
    const std::string_view since = recent ? "" : " since the start";
    const double errors = number(figures, "error_rate");
    add(any && errors >= 1 ? Mood::warning : Mood::plain,
        fmt::format("requests  {}/s  in flight {}  connections {}  errors {}",
                    count(number(ever, "per_second")), count(number(ever, "in_flight")),
                    count(number(now_.overview, "connections")),
                    any ? fmt::format("{:.2f} %{}", errors, since) : "-"));
    const auto latency = at(figures, "latency_ms");
    add(Mood::plain,
        any ? fmt::format(
                  "latency   mean {:.1f} ms  p50 {:.1f}  p90 {:.1f}  p95 {:.1f}  p99 {:.1f}{}",
                  number(latency, "mean"), number(latency, "p50"), number(latency, "p90"),
                  number(latency, "p95"), number(latency, "p99"), since)
            : "latency   -");
    if (const std::string why = words(now_.now, "explanations.latency"); !why.empty())
      add(Mood::plain, fmt::format("          {}", why));
  }

  void process() {
    const auto own = at(now_.overview, "process");
    const double spent = number(own, "cpu_seconds");
    const double cpu =
        before_ == nullptr
            ? spent / std::max(number(now_.overview, "uptime_seconds"), 0.001)
            : (spent - number(before_->overview, "process.cpu_seconds")) / std::max(since(), 0.001);
    const double descriptors =
        number(own, "open_descriptors") / std::max(number(own, "most_descriptors"), 1.0);
    add(of_use(descriptors),
        fmt::format("process   cpu {:.0f} %  memory {}  threads {:.0f}  descriptors {} of {}",
                    100 * cpu, bytes(number(own, "resident_bytes")), number(own, "threads"),
                    count(number(own, "open_descriptors")),
                    count(number(own, "most_descriptors"))));
  }

  void rooms() {
    if (has_number(now_.cache, "memory_limit_bytes")) {
      const double used = number(now_.cache, "memory_bytes");
      const double limit = std::max(number(now_.cache, "memory_limit_bytes"), 1.0);
      add(Mood::plain,
          fmt::format("cache     hits {:.1f} %  {} {} of {}  entries {}",
                      100 * number(now_.cache, "hit_ratio"), bar(used / limit), bytes(used),
                      bytes(limit), count(number(now_.cache, "entries"))));
    }
    for (const Value& pool : items(at(now_.sql, "pools"))) {
      const double used = number(pool, "open") - number(pool, "idle");
      const double limit = std::max(number(pool, "limit"), 1.0);
      add(of_use(used / limit),
          fmt::format("sql       {}/{}  {} {:.0f} of {:.0f} in use  waiting {}",
                      words(pool, "database"), words(pool, "user"), bar(used / limit), used, limit,
                      count(number(pool, "waiting"))));
    }
    if (has_number(now_.realtime, "connections")) {
      add(Mood::plain,
          fmt::format("realtime  connections {}  channels {}  published {}  delivered {}",
                      count(number(now_.realtime, "connections")),
                      count(number(now_.realtime, "channels")),
                      count(number(now_.realtime, "published")),
                      count(number(now_.realtime, "delivered"))));
    }
    if (has_number(now_.tasks, "running")) {
      double waiting = 0;
      for (const Value& queue : items(at(now_.tasks, "queues")))
        waiting += number(queue, "waiting");
      const double dead = number(now_.tasks, "dead");
      add(dead > 0 ? Mood::warning : Mood::plain,
          fmt::format("tasks     waiting {}  running {}  retrying {}  dead {}  done {}",
                      count(waiting), count(number(now_.tasks, "running")),
                      count(number(now_.tasks, "retrying")), count(dead),
                      count(number(now_.tasks, "done"))));
    }
  }

  void servers() {
    const std::size_t name = width_ > 52 ? width_ - 46 : 6;
    add(Mood::plain, "");
    add(Mood::title, fmt::format("{:<{}} {:<10} {:>9} {:>8} {:>8} {:>6}", "SERVER", name, "STATE",
                                 "IN FLIGHT", "P95 ms", "P99 ms", "FAILED"));
    for (const Value& group : items(at(now_.upstreams, "groups"))) {
      for (const Value& server : items(at(group, "servers"))) {
        const std::string state = words(server, "state");
        const std::string label =
            fmt::format("{} {}", words(group, "name"), words(server, "address"));
        add(of_state(state),
            fmt::format("{:<{}.{}} {:<10.10} {:>9} {:>8.1f} {:>8.1f} {:>6}", label, name, name,
                        state, count(number(server, "in_flight")), number(server, "latency_ms.p95"),
                        number(server, "latency_ms.p99"), count(number(server, "failures"))));
      }
    }
  }

  // Requests of a route until `sample`.
  static double requests_of(const TopSample& sample, std::string_view route) {
    for (const Value& other : items(at(sample.routes, "routes"))) {
      const auto name = at(other, "name");
      if (name && name->string() == route) return number(other, "requests");
    }
    return 0;
  }

  void routes() {
    const std::size_t name = width_ > 52 ? width_ - 46 : 6;
    auto all = items(at(now_.routes, "routes"));
    std::ranges::sort(all, std::greater(), [](const Value& route) {
      return std::pair(number(route, "requests"), words(route, "name"));
    });
    add(Mood::plain, "");
    add(Mood::title, fmt::format("{:<{}} {:>10} {:>9} {:>8} {:>8} {:>6}", "ROUTE", name, "REQUESTS",
                                 "PER s", "P95 ms", "P99 ms", "ERR %"));
    for (std::size_t i = 0; i < std::min(all.size(), kMostRoutes); ++i) {
      const Value& route = all[i];
      const double total = number(route, "requests");
      const std::string_view plain =
          at(route, "name").and_then([](Value v) { return v.string(); }).value_or("");
      const std::string rate = before_ == nullptr
                                   ? "-"
                                   : count(std::max(0.0, total - requests_of(*before_, plain)) /
                                           std::max(since(), 0.001));
      const double errors = number(route, "error_rate");
      add(errors >= 1 ? Mood::warning : Mood::plain,
          fmt::format("{:<{}.{}} {:>10} {:>9} {:>8.1f} {:>8.1f} {:>6.2f}", printable(plain), name,
                      name, count(total), rate, number(route, "latency_ms.total.p95"),
                      number(route, "latency_ms.total.p99"), errors));
    }
  }

  const TopSample& now_;
  const TopSample* before_;
  const std::size_t width_;
  std::vector<TopLine> lines_;
};

}  // namespace

std::vector<TopLine> top_lines(const TopSample& now, const TopSample* before, std::string_view door,
                               std::size_t width) {
  return Page(now, before, width).lines(door);
}

}  // namespace headroom::server
