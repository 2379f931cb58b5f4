// headroom/edge/page_sender.h - sends stored answers: whole, encoded, in part, or as the 304 that suffices.
//
// Owns: nothing. Borrows: the group of the edge's tasks, the worker's coder. Worker: one; every call on its thread.
// Invariants: (1) an object is held no longer than it is read, so that a body that still grows can let go of what all have read; (2) conditions
//   are looked at first (RFC 9110 13.2.2); (3) parts are of the plain bytes.
// Limits: several parts at once only of answers that lie in one piece (64 KiB); else the whole.
#pragma once

#include <functional>
#include <string_view>

#include "headroom/cache/cache.h"
#include "headroom/edge/answer_coder.h"
#include "headroom/edge/page.h"
#include "headroom/edge/request.h"
#include "headroom/http/ranges.h"

namespace headroom::edge {

class PageSender {
 public:
  PageSender(net::TaskGroup& group, AnswerCoder& coder) : group_(group), coder_(coder) {}

  // Sends a stored answer (`whole`: of one that is in no object): 200 and its kin, 206, 304, 412, 416.
  [[nodiscard]] net::Task<> send(Request& request, std::string_view metadata,
                                 cache::ObjectRef object, std::string_view whole);

 private:
  [[nodiscard]] net::Task<> send_outcome(Request& request, const Page& page);
  // From a body that may still grow: all of it, or a part.
  [[nodiscard]] net::Task<> send_body(Request& request, cache::ObjectRef object,
                                      http::ByteRange part = {0, UINT64_MAX - 1});
  [[nodiscard]] net::Task<> send_not_modified(Request& request, const Page& page, Coded coded);
  [[nodiscard]] bool send_whole(Request& request, const Page& page, std::string_view whole);
  // The plain bytes.
  [[nodiscard]] net::Task<> send_plain(Request& request, const Page& page, cache::ObjectRef object,
                                       std::string_view whole);
  // The same answer, encoded.
  [[nodiscard]] net::Task<> send_coded(Request& request, const Page& page, Coded coded,
                                       cache::ObjectRef object, std::string_view whole);
  [[nodiscard]] static net::Task<> send_bytes(Request& request, std::string_view bytes);
  [[nodiscard]] net::Task<> send_stream(Request& request, const Page& page, Coded coded,
                                        cache::ObjectRef object);
  [[nodiscard]] net::Task<> send_part(Request& request, const Page& page, cache::ObjectRef object,
                                      std::string_view whole, const http::RangeAnswer& answer);
  // The head of an answer, with the stored lines that `keep` wants; all without one.
  void begin(Request& request, const Page& page, unsigned status, http::Exchange::Length length,
             const std::function<bool(const http::Field&)>& keep = {}, Coded coded = {});

  net::TaskGroup& group_;
  AnswerCoder& coder_;
};

}  // namespace headroom::edge
