#include "headroom/monitor/slot.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace headroom::monitor {
namespace {

using metrics::Kind;

enum class Tag : std::uint8_t { whole_counter, counter, whole_gauge, gauge, gauges, histogram };

constexpr double kMostWhole = 9.0e15;  // below 2^53: doubles are exact

bool is_whole(double value) {
  return value >= 0 && value <= kMostWhole && std::floor(value) == value && !std::signbit(value);
}

void put_number(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) out += static_cast<char>((value & 0x7FU) | 0x80U);
  out += static_cast<char>(value);
}

void put_double(std::string& out, double value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

void put_tag(std::string& out, Tag tag) { out += static_cast<char>(tag); }

void put_value(std::string& out, const Value& value) {
  switch (value.kind) {
    case Kind::counter:
      if (is_whole(value.added)) {
        put_tag(out, Tag::whole_counter);
        return put_number(out, static_cast<std::uint64_t>(value.added));
      }
      put_tag(out, Tag::counter);
      return put_double(out, value.added);
    case Kind::gauge:
      if (value.times != 1) {
        put_tag(out, Tag::gauges);
        put_number(out, value.times);
        for (const double part : {value.min, value.max, value.sum}) put_double(out, part);
        return;
      }
      if (is_whole(value.sum)) {
        put_tag(out, Tag::whole_gauge);
        return put_number(out, static_cast<std::uint64_t>(value.sum));
      }
      put_tag(out, Tag::gauge);
      return put_double(out, value.sum);
    case Kind::histogram:
      put_tag(out, Tag::histogram);
      put_number(out, value.sum_ns);
      put_number(out, value.buckets.size());
      std::uint32_t next = 0;
      for (const auto& [index, count] : value.buckets) {
        put_number(out, index - next);
        put_number(out, count);
        next = index + 1;
      }
      return;
  }
}

// Reads with one check at the end: past it all numbers are 0.
class Input {
 public:
  explicit Input(std::string_view bytes) : left_(bytes) {}
  [[nodiscard]] bool empty() const { return left_.empty(); }
  [[nodiscard]] bool good() const { return good_; }
  void fail() { good_ = false, left_ = {}; }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) break;
      const auto byte = static_cast<std::uint8_t>(left_.front());
      left_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  double real() {
    double value = 0;
    if (left_.size() < sizeof value) {
      fail();
      return 0;
    }
    std::memcpy(&value, left_.data(), sizeof value);
    left_.remove_prefix(sizeof value);
    return value;
  }

 private:
  std::string_view left_;
  bool good_ = true;
};

void take_histogram(Input& in, Value& value) {
  value.kind = Kind::histogram;
  value.sum_ns = in.number();
  const std::uint64_t filled = in.number();
  if (filled > CoarseScale::kBuckets) return in.fail();
  value.buckets.reserve(filled);
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < filled && in.good(); ++i) {
    const std::uint64_t gap = in.number();
    const std::uint64_t count = in.number();
    if (gap >= CoarseScale::kBuckets || next + gap >= CoarseScale::kBuckets) return in.fail();
    value.buckets.emplace_back(static_cast<std::uint32_t>(next + gap), count);
    next += gap + 1;
  }
}

Value take_value(Input& in) {
  Value value;
  const std::uint64_t tag = in.number();
  switch (static_cast<Tag>(tag)) {
    case Tag::whole_counter: return Value::counted(static_cast<double>(in.number()));
    case Tag::counter: return Value::counted(in.real());
    case Tag::whole_gauge: return Value::seen(static_cast<double>(in.number()));
    case Tag::gauge: return Value::seen(in.real());
    case Tag::gauges:
      value.kind = Kind::gauge;
      value.times = in.number();
      value.min = in.real();
      value.max = in.real();
      value.sum = in.real();
      return value;
    case Tag::histogram: take_histogram(in, value); return value;
  }
  in.fail();
  return value;
}

void merge_buckets(Value& into, const Value& other) {
  decltype(into.buckets) all;
  all.reserve(into.buckets.size() + other.buckets.size());
  auto a = into.buckets.begin();
  auto b = other.buckets.begin();
  while (a != into.buckets.end() || b != other.buckets.end()) {
    if (b == other.buckets.end() || (a != into.buckets.end() && a->first < b->first)) {
      all.push_back(*a++);
    } else if (a == into.buckets.end() || b->first < a->first) {
      all.push_back(*b++);
    } else {
      all.emplace_back(a->first, a->second + b->second);
      ++a, ++b;
    }
  }
  into.buckets = std::move(all);
  into.sum_ns += other.sum_ns;
}

}  // namespace

Value Value::counted(double added) {
  Value value;
  value.added = added;
  return value;
}

Value Value::seen(double now) {
  Value value;
  value.kind = Kind::gauge;
  value.times = 1;
  value.min = value.max = value.sum = now;
  return value;
}

void Value::merge(const Value& later) {
  if (kind != later.kind) return;  // the name has got another meaning: the older one stays
  switch (kind) {
    case Kind::counter: added += later.added; return;
    case Kind::gauge:
      min = times == 0 ? later.min : std::min(min, later.min);
      max = times == 0 ? later.max : std::max(max, later.max);
      sum += later.sum;
      times += later.times;
      return;
    case Kind::histogram: merge_buckets(*this, later); return;
  }
}

void Value::add(const Value& beside) {
  if (kind != beside.kind || kind != Kind::gauge) return merge(beside);
  const double mine = mean();
  min += beside.min;
  max += beside.max;
  times = std::max(times, beside.times);
  sum = (mine + beside.mean()) * static_cast<double>(times);
}

std::uint64_t Value::count() const {
  std::uint64_t all = 0;
  for (const auto& [index, count] : buckets) all += count;
  return all;
}

double Value::mean() const { return times == 0 ? 0 : sum / static_cast<double>(times); }

double Value::mean_seconds() const {
  const std::uint64_t all = count();
  return all == 0 ? 0 : static_cast<double>(sum_ns) * 1e-9 / static_cast<double>(all);
}

double Value::quantile_seconds(double q) const {
  const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(count());
  double below = 0;
  for (const auto& [index, filled] : buckets) {
    const auto here = static_cast<double>(filled);
    if (here > 0 && below + here >= rank) {
      const double from = seconds(CoarseScale::lower_bound(index));
      const double to = seconds(CoarseScale::lower_bound(index + 1));
      return from + ((to - from) * std::clamp((rank - below) / here, 0.0, 1.0));
    }
    below += here;
  }
  return 0;
}

void merge(Slot& into, const Slot& later) {
  Slot all;
  all.reserve(std::max(into.size(), later.size()));
  auto a = into.begin();
  auto b = later.begin();
  while (a != into.end() || b != later.end()) {
    if (b == later.end() || (a != into.end() && a->first < b->first)) {
      all.push_back(std::move(*a++));
    } else if (a == into.end() || b->first < a->first) {
      all.push_back(*b++);
    } else {
      a->second.merge(b->second);
      all.push_back(std::move(*a));
      ++a, ++b;
    }
  }
  into = std::move(all);
}

std::string encode(const Slot& slot) {
  std::string out;
  std::uint64_t next = 0;
  for (const auto& [id, value] : slot) {
    put_number(out, id - next);
    put_value(out, value);
    next = static_cast<std::uint64_t>(id) + 1;
  }
  return out;
}

Result<> decode(std::string_view bytes, const std::function<bool(SeriesId)>& wanted,
                const std::function<void(SeriesId, Value&&)>& take) {
  Input in(bytes);
  std::uint64_t next = 0;
  while (!in.empty()) {
    const std::uint64_t gap = in.number();
    if (gap > UINT32_MAX || next + gap > UINT32_MAX) in.fail();
    const auto id = static_cast<SeriesId>(next + gap);
    Value value = take_value(in);
    if (!in.good()) break;
    if (wanted(id)) take(id, std::move(value));
    next = static_cast<std::uint64_t>(id) + 1;
  }
  if (!in.good()) return fail(Errc::internal, "these are not the bytes of a slot");
  return {};
}

Result<Slot> decode(std::string_view bytes) {
  Slot slot;
  auto done = decode(
      bytes, [](SeriesId) { return true; },
      [&](SeriesId id, Value&& value) { slot.emplace_back(id, std::move(value)); });
  if (!done) return pass(done);
  return slot;
}

}  // namespace headroom::monitor
