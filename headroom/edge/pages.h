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

#include <functional>
#include <string>
#include <string_view>

#include "headroom/cache/cache.h"
#include "headroom/edge/forwarder.h"
#include "headroom/edge/page.h"
#include "headroom/edge/request.h"
#include "headroom/http/ranges.h"

namespace headroom::edge {

// A fill, or an unsafe request that invalidates; lives in the coroutine that answers the request.
class Fill;
class Refresher;

class Pages {
 public:
  Pages(net::TaskGroup& group, cache::Cache& cache, Forwarder& forwarder, Refresher& refresher, AnswerCoder& coder)
      : group_(group), cache_(cache), forwarder_(forwarder), refresher_(refresher), coder_(coder) {}

  // Answers a request whose route caches: from memory, or by a server. The request has a pool.
  [[nodiscard]] net::Task<> answer(Request& request);
  // Of all variants of a page.
  [[nodiscard]] static std::string url_tag(std::string_view key);

 private:
  friend class Fill;
  using Place = PagePlace;

  [[nodiscard]] bool make_key(Request& request) const;
  [[nodiscard]] bool make_variant(const Request& request, std::string_view names, Place& place) const;
  [[nodiscard]] cache::Found look(const Request& request, Place& place, TimePoint now);
  [[nodiscard]] cache::ObjectRef peek(const Request& request, Place& place);

  [[nodiscard]] bool may_wait(const Request& request, Place& place);
  [[nodiscard]] net::Task<> answer_shared(Request& request, Place& place);
  [[nodiscard]] net::Task<> answer_alone(Request& request, Place& place, const http::CacheControl& directives);
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

  // Sends a stored answer (`whole`: of one that is in no object): 200 and its kin, 206, 304, 412, 416.
  [[nodiscard]] net::Task<> send(Request& request, std::string_view metadata, cache::ObjectRef object, std::string_view whole);
  [[nodiscard]] net::Task<> send_outcome(Request& request, const Page& page);
  // From a body that may still grow: all of it, or a part.
  [[nodiscard]] net::Task<> send_body(Request& request, cache::ObjectRef object, http::ByteRange part = {0, UINT64_MAX - 1});
  [[nodiscard]] net::Task<> send_not_modified(Request& request, const Page& page, Coded coded);
  // The plain bytes.
  [[nodiscard]] net::Task<> send_plain(Request& request, const Page& page, cache::ObjectRef object, std::string_view whole);
  // The same answer, encoded.
  [[nodiscard]] net::Task<> send_coded(Request& request, const Page& page, Coded coded, cache::ObjectRef object, std::string_view whole);
  [[nodiscard]] static net::Task<> send_bytes(Request& request, std::string_view bytes);
  [[nodiscard]] net::Task<> send_stream(Request& request, const Page& page, Coded coded, cache::ObjectRef object);
  [[nodiscard]] net::Task<> send_part(Request& request, const Page& page, cache::ObjectRef object, std::string_view whole, const http::RangeAnswer& answer);
  // The head of an answer, with the stored lines that `keep` wants; all without one.
  void begin(Request& request, const Page& page, unsigned status, http::Exchange::Length length,
             const std::function<bool(const http::Field&)>& keep = {}, Coded coded = {});
  [[nodiscard]] net::Task<> copy(Lease lease, cache::Filler filler, Duration idle);

  net::TaskGroup& group_;
  cache::Cache& cache_;
  Forwarder& forwarder_;
  Refresher& refresher_;
  AnswerCoder& coder_;
};

}  // namespace headroom::edge
