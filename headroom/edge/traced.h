// headroom/edge/traced.h - the spans of a sampled request: itself, what the cache said, each attempt at a server (link/spans.h).
//
// A trace is fresh, and sampled by chance, unless a trusted proxy's traceparent says otherwise: then that one is continued, as it was decided there.
// The server is told the span of its attempt; while traces are recorded, a client's own traceparent goes no further.
//
// Functions of a request, on its worker. Invariants: (1) where nothing is exported, or this request is not sampled, no span is made;
//   (2) of a sampled request exactly one span is of kind server.
#pragma once

#include "headroom/edge/forwarder.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

// Once it is known who asks. `spans` is on.
void begin_trace(Request& request, link::Spans& spans, Random& random);
// When it has been answered.
void end_trace(Request& request, unsigned status, TimePoint now, Random& random);

// Before and after an attempt at request.server. Only where request.span is.
void begin_attempt(Request& request, Random& random);
void end_attempt(Request& request, Attempt outcome, TimePoint began);

}  // namespace headroom::edge
