// Queries of a recorded trace as its spans: the app's traceparent says which trace, and which of its spans asks.
#include <algorithm>

#include "headroom/sql/session.h"

namespace headroom::sql {

void Session::follow_trace(std::string_view traceparent) {
  traced_.reset();
  if (!room_.link.spans.on()) return;
  const auto context = link::parse_trace_context(traceparent);
  if (context && context->sampled) traced_ = context;
}

// `query`: its shape, without literals.
void Session::record_span(std::string_view query, TimePoint began, TimePoint ended,
                          bool from_cache) {
  link::Span span;
  span.trace = traced_->trace;
  span.id = link::fresh_span(worker().random());
  span.parent = traced_->span;
  span.kind = link::Span::Kind::client;
  const std::string_view verb = query.substr(0, query.find_first_of(" (\n\t;"));
  span.name = verb.empty() ? "query" : std::string(verb);
  span.began = began;
  span.ended = ended;
  span.failed = failed_ && !from_cache;
  span.note("db.system.name", "postgresql");
  span.note("db.namespace", account_->database().name);
  span.note("db.query.text", query);
  if (from_cache) {
    span.note("headroom.sql.answered_by", "cache");
  } else {
    span.note("headroom.sql.answered_by",
              server_at_ == cluster().primary() ? "primary" : "replica");
    if (failed_) span.note("error.type", "database");
  }
  room_.link.spans.add(std::move(span));
}

}  // namespace headroom::sql
