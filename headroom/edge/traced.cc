#include "headroom/edge/traced.h"

#include <fmt/format.h>

namespace headroom::edge {
namespace {

using http::Name;

std::string_view to_string(Attempt outcome) {
  switch (outcome) {
    case Attempt::answered: return "answered";
    case Attempt::not_sent: return "not_sent";
    case Attempt::unanswered: return "unanswered";
    case Attempt::stale: return "stale";
    case Attempt::broken: return "broken";
  }
  return "broken";
}

link::Span part_of(const Request& r, std::uint64_t id, link::Span::Kind kind, std::string name) {
  link::Span span;
  span.trace = r.span->trace;
  span.id = id;
  span.parent = r.span->id;
  span.kind = kind;
  span.name = std::move(name);
  return span;
}

// From when it was asked until the request went on to a server, or had its answer.
void note_cache(Request& r, TimePoint now, Random& random) {
  if (r.cache_status.empty()) return;
  link::Span span = part_of(r, link::fresh_span(random), link::Span::Kind::internal, "cache");
  span.began = r.span->began;
  span.ended = r.forwarded == TimePoint{} ? now : r.forwarded;
  span.note("headroom.cache.status", r.cache_status);
  span.note("headroom.cache.hit", r.forwarded == TimePoint{} ? std::int64_t{1} : std::int64_t{0});
  r.spans->add(std::move(span));
}

}  // namespace

void begin_trace(Request& r, link::Spans& spans, Random& random) {
  if (r.x.peer().own) return;
  r.spans = &spans;
  const bool told = r.head().has(Name::traceparent) || r.head().has(Name::tracestate);
  const auto inbound = told && r.trusted
                           ? link::parse_trace_context(r.head().value_of(Name::traceparent))
                           : std::nullopt;
  const bool sampled = inbound ? inbound->sampled : spans.draw(random);
  r.hides_trace = told && (sampled || !r.trusted);
  if (!sampled) return;
  r.span = std::make_unique<link::Span>();
  r.span->trace = inbound ? inbound->trace : link::mint(random);
  r.span->parent = inbound ? inbound->span : 0;
  r.span->id = link::fresh_span(random);
  r.span->kind = link::Span::Kind::server;
  r.span->began = r.began;
}

void end_trace(Request& r, unsigned status, TimePoint now, Random& random) {
  note_cache(r, now, random);
  link::Span& span = *r.span;
  span.ended = now;
  span.failed = status == 0 || status >= 500;
  const std::string_view route = r.route == nullptr ? std::string_view() : r.route->name;
  span.name = route.empty() ? std::string(r.head().method_text)
                            : fmt::format("{} {}", r.head().method_text, route);
  span.note("http.request.method", r.head().method_text);
  span.note("url.path", r.head().path);
  span.note("url.scheme", r.secure() ? "https" : "http");
  span.note("server.address", r.head().authority);
  span.note("client.address", headroom::to_string(r.client));
  if (!route.empty()) span.note("http.route", route);
  if (status != 0) span.note("http.response.status_code", std::int64_t{status});
  if (status == 0) span.note("error.type", "unanswered");
  if (status >= 500) span.note("error.type", fmt::to_string(status));
  span.note("headroom.request_id", r.id);
  r.spans->add(std::move(span));
  r.span.reset();
}

void begin_attempt(Request& r, Random& random) { r.attempt_span = link::fresh_span(random); }

void end_attempt(Request& r, Attempt outcome, TimePoint began) {
  link::Span span =
      part_of(r, r.attempt_span, link::Span::Kind::client, fmt::format("{}", r.head().method_text));
  span.began = began;
  span.ended = Clock::now();
  const bool answered = outcome == Attempt::answered && r.first_byte != TimePoint{};
  span.failed = !answered || r.x.status() >= 500;
  span.note("http.request.method", r.head().method_text);
  span.note("server.address", r.server->spec().text);
  if (answered) span.note("http.response.status_code", std::int64_t{r.x.status()});
  if (!answered) span.note("error.type", to_string(outcome));
  if (r.connected > began && r.connected != TimePoint{})
    span.note(
        "headroom.connect_us",
        std::chrono::duration_cast<std::chrono::microseconds>(elapsed(began, r.connected)).count());
  r.spans->add(std::move(span));
}

}  // namespace headroom::edge
