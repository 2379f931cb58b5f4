#include "headroom/monitor/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/monitor/metrics.h"

namespace headroom::monitor {
namespace {

using metrics::Labels;
using metrics::Scale;

constexpr std::string_view kTotal = "_total";

constexpr unsigned kFirstBorderBit = 7;

constexpr Duration border(std::size_t i) {
  return Duration((std::int64_t{1} << (kFirstBorderBit + i)) << Scale::kUnitBits);
}

const std::array<std::string, kBorders>& border_texts() {
  static const auto texts = [] {
    std::array<std::string, kBorders> made;
    for (std::size_t i = 0; i < kBorders; ++i) made[i] = fmt::format("{}", seconds(border(i)));
    return made;
  }();
  return texts;
}

bool valid_name(std::string_view name) {
  return !name.empty() && (name[0] < '0' || name[0] > '9') && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  if (text.find_first_of("\\\n\"") == std::string_view::npos) {
    out += text;
    return;
  }
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (value == std::floor(value) && std::abs(value) < 1e15)
    return fmt::to_string(static_cast<std::int64_t>(value));
  return fmt::format("{}", value);
}

class Text final : public metrics::Registry::Visitor {
 public:
  Text(TextFormat format, std::size_t most) : format_(format), most_(most) {
    out_.reserve(64U << 10U);
  }

  void family(const Family& family) override {
    HR_ASSERT(valid_name(family.name));
    HR_ASSERT((family.kind == Kind::counter) == family.name.ends_with(kTotal));
    family_ = &family;
    if (full()) return;
    std::string_view name = family.name;
    if (format_ == TextFormat::open_metrics && family.kind == Kind::counter)
      name.remove_suffix(kTotal.size());
    out_ += "# HELP ";
    out_ += name;
    out_ += ' ';
    append_escaped(out_, family.help, format_ == TextFormat::open_metrics);
    out_ += "\n# TYPE ";
    out_ += name;
    out_ += family.kind == Kind::counter ? " counter\n"
            : family.kind == Kind::gauge ? " gauge\n"
                                         : " histogram\n";
  }

  void counter(const Labels& labels, std::uint64_t value) override {
    line(labels, fmt::to_string(value));
  }
  void gauge(const Labels& labels, double value) override { line(labels, number(value)); }

  // Its labels are written once, and copied to each of its lines.
  void histogram(const Labels& labels, const metrics::HistogramValues& values) override {
    if (full()) {
      ++left_out_;
      return;
    }
    labels_.clear();
    append_labels(labels_, labels);
    const BucketCounts below = counts_below_borders(values);
    for (std::size_t i = 0; i < kBorders; ++i) bucket(border_texts()[i], below[i]);
    bucket("+Inf", below.back());
    part("_sum", number(seconds(values.sum)));
    part("_count", fmt::to_string(below.back()));
  }

  void sample(const Sample& sample) { line(sample.labels, number(sample.value)); }

  [[nodiscard]] std::string end() && {
    if (left_out_ > 0) {
      const double missing = static_cast<double>(left_out_);
      most_ = out_.size() + 1000;
      family(kLeftOut);
      gauge({}, missing);
    }
    if (format_ == TextFormat::open_metrics) out_ += "# EOF\n";
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool full() const { return out_.size() >= most_; }

  void line(const Labels& labels, std::string_view value) {
    if (full()) {
      ++left_out_;
      return;
    }
    labels_.clear();
    append_labels(labels_, labels);
    part("", value);
  }

  // a="b",c="d"
  void append_labels(std::string& out, const Labels& labels) const {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (i > 0) out += ',';
      out += family_->labels[i];
      out += "=\"";
      append_escaped(out, labels[i], true);
      out += '"';
    }
  }

  void bucket(std::string_view border, std::uint64_t count) {
    out_ += family_->name;
    out_ += "_bucket{";
    out_ += labels_;
    out_ += labels_.empty() ? "le=\"" : ",le=\"";
    out_ += border;
    out_ += "\"} ";
    const fmt::format_int digits(count);
    out_.append(digits.data(), digits.size());
    out_ += '\n';
  }

  void part(std::string_view suffix, std::string_view value) {
    out_ += family_->name;
    out_ += suffix;
    if (!labels_.empty()) {
      out_ += '{';
      out_ += labels_;
      out_ += '}';
    }
    out_ += ' ';
    out_ += value;
    out_ += '\n';
  }

  const TextFormat format_;
  std::size_t most_;
  const Family* family_ = nullptr;
  std::string out_;
  std::string labels_;  // of the series at hand
  std::uint64_t left_out_ = 0;
};

// The quality (RFC 9110 12.4.2) that `accept` gives the media type, or a negative number when it does not name it.
double quality_of(std::string_view accept, std::string_view type) {
  for (const std::string_view item : text::split(accept, ',')) {
    const auto parts = text::split(item, ';');
    if (parts.empty() || !text::equal_ignoring_case(parts[0], type)) continue;
    for (const std::string_view parameter : std::span(parts).subspan(1)) {
      double quality = 1;
      if (!parameter.starts_with("q=") && !parameter.starts_with("Q=")) continue;
      const char* end = parameter.data() + parameter.size();
      return std::from_chars(parameter.data() + 2, end, quality).ec == std::errc{} ? quality : 0;
    }
    return 1;
  }
  return -1;
}

}  // namespace

const std::array<double, kBorders>& bucket_borders() {
  static const auto borders = [] {
    std::array<double, kBorders> made{};
    for (std::size_t i = 0; i < kBorders; ++i) made[i] = seconds(border(i));
    return made;
  }();
  return borders;
}

BucketCounts counts_below_borders(const metrics::HistogramValues& values) {
  BucketCounts counts{};
  std::uint64_t below = 0;
  std::size_t next = 0;
  for (std::size_t i = 0; i < kBorders; ++i) {
    for (const std::size_t end = Scale::index(border(i)); next < end; ++next)
      below += values.buckets[next];
    counts[i] = below;
  }
  for (; next < values.buckets.size(); ++next) below += values.buckets[next];
  counts.back() = below;
  return counts;
}

TextFormat format_for(std::string_view accept) {
  const double open = quality_of(accept, "application/openmetrics-text");
  return open > 0 && open >= quality_of(accept, "text/plain") ? TextFormat::open_metrics
                                                              : TextFormat::prometheus;
}

std::string_view content_type(TextFormat format) {
  return format == TextFormat::open_metrics
             ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
             : "text/plain; version=0.0.4; charset=utf-8";
}

std::string render(const metrics::Registry& registry, std::span<const SampleFamily> own,
                   TextFormat format, Bytes most) {
  Text text(format, most.count);
  registry.visit(text);
  for (const SampleFamily& row : own) {
    if (row.samples.empty()) continue;
    text.family(*row.family);
    for (const Sample& sample : row.samples) text.sample(sample);
  }
  return std::move(text).end();
}

}  // namespace headroom::monitor
