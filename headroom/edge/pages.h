// headroom/edge/pages.h - the shared HTTP cache (RFC 9111) of one worker: answers from memory, fills, validates, invalidates.
//
// Owns: nothing that lasts; stored answers belong to the cache. Borrows: the cache, the group of the edge's tasks, the forwarder.
// Worker: one; every call on its thread.
// Invariants: (1) an answer is stored, and given to somebody else, only where http/storable.h allows it; (2) of the requests for a missing
//   answer that may share it one goes to a server, and its answer streams to all; (3) a fill goes on when the client that caused it has gone;
//   (4) a successful unsafe request invalidates its target before its own answer is passed on; (5) who may have an expired answer
//   (stale-while-revalidate) does not wait for its renewal (refresher.h).
// Limits: keys of 1 KiB; answers up to 64 KiB are read whole before they are passed on, larger ones are followed as they grow.
#pragma once

#include <string>
#include <string_view>

#include "headroom/cache/cache.h"
#include "headroom/edge/forwarder.h"
#include "headroom/edge/page.h"
#include "headroom/edge/page_sender.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

// A fill, or an unsafe request that invalidates; lives in the coroutine that answers the request.
class Fill;
class Refresher;

class Pages {
 public:
  Pages(net::TaskGroup& group, cache::Cache& cache, Forwarder& forwarder, Refresher& refresher,
        AnswerCoder& coder)
      : group_(group),
        cache_(cache),
        forwarder_(forwarder),
        refresher_(refresher),
        sender_(group, coder) {}

  // Answers a request whose route caches: from memory, or by a server. The request has a pool.
  [[nodiscard]] net::Task<> answer(Request& request);
  // Of all variants of a page.
  [[nodiscard]] static std::string url_tag(std::string_view key);

 private:
  friend class Fill;
  using Place = PagePlace;

  [[nodiscard]] bool make_key(Request& request) const;
  [[nodiscard]] bool make_variant(const Request& request, std::string_view names,
                                  Place& place) const;
  [[nodiscard]] cache::Found look(const Request& request, Place& place, TimePoint now);
  [[nodiscard]] cache::ObjectRef peek(const Request& request, Place& place);

  [[nodiscard]] bool may_wait(const Request& request, Place& place);
  [[nodiscard]] net::Task<> answer_shared(Request& request, Place& place);
  [[nodiscard]] net::Task<> answer_alone(Request& request, Place& place, bool only_if_cached);
  [[nodiscard]] net::Task<> invalidating(Request& request);
  [[nodiscard]] net::Task<> fill(Request& request, Place& place, cache::Lease lease);
  // A request of our own that Refresher has sent for this lease.
  [[nodiscard]] net::Task<> refresh(Request& request, Place& place, cache::Lease lease);
  // What is fresh, or stale and still good, with the right to renew it. True: it can be sent now.
  [[nodiscard]] bool renew_behind(Request& request, cache::Found& found, std::string_view& detail);
  // By a server, or what a fill has instead of its answer.
  [[nodiscard]] net::Task<> forward(Request& request, Fill& fill);
  [[nodiscard]] net::Task<> go_alone(Request& request, std::string_view why);
  void invalidate(const Request& request, std::string_view path_and_query);
  void invalidate_after(const Request& request, const http::ResponseHead& head);
  [[nodiscard]] static std::string group_tag(const Request& request, std::string_view group);

  [[nodiscard]] net::Task<> copy(Lease lease, cache::Filler filler, Duration idle);

  net::TaskGroup& group_;
  cache::Cache& cache_;
  Forwarder& forwarder_;
  Refresher& refresher_;
  PageSender sender_;
};

}  // namespace headroom::edge
