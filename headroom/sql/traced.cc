// Queries of a recorded trace as its spans: the app's traceparent says which trace, and which of its spans asks.
#include <algorithm>

#include "headroom/sql/session.h"

namespace headroom::sql {

void Session::follow_trace(const link::TraceContext& context) {
  traced_ = room_.link.spans.on() && context.sampled ? std::optional(context) : std::nullopt;
}

// `query`: its shape, without literals; `sqlstate`: of its error, if it failed.
void Session::record_span(std::string_view query, TimePoint began, TimePoint ended,
                          std::string_view answered_by, std::string_view sqlstate) {
  link::Span span;
  span.trace = traced_->trace;
  span.id = link::fresh_span(worker().random());
  span.parent = traced_->span;
  span.kind = link::Span::Kind::client;
  const std::string_view verb = query.substr(0, query.find_first_of(" (\n\t;"));
  span.name = verb.empty() ? "query" : std::string(verb);
  span.began = began;
  span.ended = ended;
  span.failed = !sqlstate.empty();
  span.note("db.system.name", "postgresql");
  span.note("db.namespace", account_->database().name);
  span.note("db.query.text", query);
  span.note("headroom.sql.answered_by", answered_by);
  if (!sqlstate.empty()) span.note("db.response.status_code", sqlstate);
  room_.link.spans.add(std::move(span));
}

}  // namespace headroom::sql
