#include "headroom/monitor/otlp.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>
#include <variant>

#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"

namespace headroom::monitor {
namespace {

using metrics::Family;
using metrics::Kind;
using metrics::Labels;

constexpr int kCumulative = 2;
constexpr int kError = 2;
constexpr std::size_t kLongestMessage = 200;

void attribute(json::Writer& out, std::string_view name, std::string_view value) {
  out.begin_object().field("key", name).key("value").begin_object();
  out.field("stringValue", value).end_object().end_object();
}

void attribute(json::Writer& out, std::string_view name, std::int64_t value) {
  out.begin_object().field("key", name).key("value").begin_object();
  out.field("intValue", fmt::to_string(value)).end_object().end_object();
}

void moment(json::Writer& out, std::string_view name, std::int64_t ns) {
  out.field(name, fmt::to_string(ns));
}

// "resource" and the beginning of the one scope, up to its list of `items`.
void begin_body(json::Writer& out, const OtlpSender& sender, std::string_view resources,
                std::string_view scopes, std::string_view items) {
  out.begin_object().key(resources).begin_array().begin_object();
  out.key("resource").begin_object().key("attributes").begin_array();
  attribute(out, "service.name", sender.service);
  attribute(out, "service.version", sender.version);
  attribute(out, "service.instance.id", sender.instance);
  attribute(out, "host.name", sender.host);
  out.end_array().end_object().key(scopes).begin_array().begin_object();
  out.key("scope").begin_object().field("name", "headroom").field("version", sender.version);
  out.end_object().key(items).begin_array();
}

void end_body(json::Writer& out) {
  out.end_array().end_object().end_array().end_object().end_array().end_object();
}

void write_span(json::Writer& out, const link::Span& span, const OtlpSender& sender) {
  const auto at = [&](TimePoint when) {
    return sender.steady_zero + Duration(when.time_since_epoch()).count();
  };
  out.begin_object()
      .field("traceId", to_string(span.trace))
      .field("spanId", link::span_text(span.id));
  if (span.parent != 0) out.field("parentSpanId", link::span_text(span.parent));
  out.field("name", span.name).field("kind", static_cast<int>(span.kind));
  moment(out, "startTimeUnixNano", at(span.began));
  moment(out, "endTimeUnixNano", at(std::max(span.began, span.ended)));
  out.key("attributes").begin_array();
  for (const auto& [name, value] : span.attributes)
    std::visit([&](const auto& held) { attribute(out, name, held); }, value);
  out.end_array();
  if (span.cause != 0) {
    out.key("links").begin_array().begin_object().field("traceId", to_string(span.trace));
    out.field("spanId", link::span_text(span.cause)).end_object().end_array();
  }
  out.key("status").begin_object();
  if (span.failed) out.field("code", kError);
  out.end_object().end_object();
}

std::string_view unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(6);
  return name.ends_with("_seconds") ? "s" : name.ends_with("_bytes") ? "By" : "1";
}

// Bodies, each of so many points; a family begins anew in each.
class MetricBodies final : public metrics::Registry::Visitor {
 public:
  MetricBodies(const OtlpSender& sender, std::size_t most) : sender_(sender), most_(most) {}

  void family(const Family& family) override {
    end_family();
    family_ = &family;
  }
  void counter(const Labels& labels, std::uint64_t value) override {
    point(labels).field("asInt", fmt::to_string(value)).end_object();
  }
  void gauge(const Labels& labels, double value) override {
    if (std::isfinite(value)) point(labels).field("asDouble", value).end_object();
  }
  void histogram(const Labels& labels, const metrics::HistogramValues& values) override {
    const BucketCounts below = counts_below_borders(values);
    json::Writer& out = point(labels);
    out.field("count", fmt::to_string(below.back())).field("sum", seconds(values.sum));
    out.key("bucketCounts").begin_array();
    std::uint64_t before = 0;
    for (const std::uint64_t all : below)
      out.value(fmt::to_string(all - std::exchange(before, all)));
    out.end_array().key("explicitBounds").begin_array();
    for (const double border : bucket_borders()) out.value(border);
    out.end_array().end_object();
  }
  void samples(const SampleFamily& from) {
    family(*from.family);
    for (const Sample& sample : from.samples) gauge(sample.labels, sample.value);
  }
  std::vector<std::string> end() {
    end_body_at_hand();
    return std::move(bodies_);
  }

 private:
  // Begins the object of a data point.
  json::Writer& point(const Labels& labels) {
    if (points_++ >= most_) {
      end_body_at_hand();
      points_ = 1;
    }
    if (!out_)
      begin_body(out_.emplace(body_), sender_, "resourceMetrics", "scopeMetrics", "metrics");
    if (!in_family_) begin_family();
    out_->begin_object().key("attributes").begin_array();
    for (std::size_t i = 0; i < labels.size(); ++i) attribute(*out_, family_->labels[i], labels[i]);
    out_->end_array();
    if (family_->kind != Kind::gauge) moment(*out_, "startTimeUnixNano", sender_.started);
    moment(*out_, "timeUnixNano", sender_.now);
    return *out_;
  }
  void begin_family() {
    in_family_ = true;
    out_->begin_object().field("name", family_->name).field("description", family_->help);
    out_->field("unit", unit_of(family_->name));
    out_->key(family_->kind == Kind::counter ? "sum"
              : family_->kind == Kind::gauge ? "gauge"
                                             : "histogram");
    out_->begin_object();
    if (family_->kind != Kind::gauge) out_->field("aggregationTemporality", kCumulative);
    if (family_->kind == Kind::counter) out_->field("isMonotonic", true);
    out_->key("dataPoints").begin_array();
  }
  void end_family() {
    if (std::exchange(in_family_, false)) out_->end_array().end_object().end_object();
  }
  void end_body_at_hand() {
    end_family();
    if (!out_) return;
    end_body(*out_);
    out_.reset();
    bodies_.push_back(std::exchange(body_, {}));
  }

  const OtlpSender& sender_;
  const std::size_t most_;
  const Family* family_ = nullptr;
  std::vector<std::string> bodies_;
  std::string body_;
  std::optional<json::Writer> out_;
  bool in_family_ = false;
  std::size_t points_ = 0;
};

}  // namespace

std::string otlp_traces(std::span<const link::Span> spans, const OtlpSender& sender) {
  std::string body;
  json::Writer out(body);
  begin_body(out, sender, "resourceSpans", "scopeSpans", "spans");
  for (const link::Span& span : spans) write_span(out, span, sender);
  end_body(out);
  return body;
}

std::vector<std::string> otlp_metrics(const metrics::Registry& registry,
                                      std::span<const SampleFamily> own, const OtlpSender& sender,
                                      std::size_t most) {
  MetricBodies bodies(sender, most);
  registry.visit(bodies);
  for (const SampleFamily& family : own) bodies.samples(family);
  return bodies.end();
}

OtlpRejected otlp_rejected(std::string_view body) {
  const auto document = json::parse(body);
  if (!document) return {};
  const auto partial = document->root().find("partialSuccess");
  if (!partial) return {};
  OtlpRejected rejected;
  for (const std::string_view name : {"rejectedSpans", "rejectedDataPoints"}) {
    const auto count = partial->find(name);
    if (!count) continue;
    if (const auto text = count->string()) {
      rejected.count = text::to_u64(*text).value_or(0);
    } else {
      rejected.count = count->natural().value_or(0);
    }
  }
  if (const auto message = partial->find("errorMessage"))
    rejected.message = message->string().value_or("").substr(0, kLongestMessage);
  return rejected;
}

}  // namespace headroom::monitor
