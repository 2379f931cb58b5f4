// headroom/edge/fill.h - the cache's part in a forwarded request: it asks in its own words, and takes the answer if it may be stored.
//
// Owns: the cache's lease, and the answer once it is there. Borrows: the request. Worker: the request's; lives in Pages' coroutine.
// Invariants: (1) the lease ends by the time the answer's head has been judged, so that who waits learns it; (2) what is not stored is
//   relayed to the client untouched.
#pragma once

#include <string>

#include "headroom/cache/cache.h"
#include "headroom/edge/page.h"
#include "headroom/edge/pages.h"
#include "headroom/edge/refresher.h"
#include "headroom/edge/request.h"
#include "headroom/http/cache_status.h"
#include "headroom/http/cache_tags.h"

namespace headroom::edge {

class Fill final : public Keeper {
 public:
  enum class Kind : std::uint8_t {
    shared,        // others wait for it: holds the lease
    refresh,       // the same in the background: a failure of it changes nothing
    alone,         // nobody may wait for it; stored all the same where it is for all
    invalidating,  // an unsafe request
  };
  Fill(Pages& pages, Request& request, Kind kind, cache::Lease lease);
  Fill(const Fill&) = delete;
  Fill& operator=(const Fill&) = delete;

  // What the request's Cache-Status says of it.
  http::CacheStatus status;

  // Whether a CDN may keep what this request is answered, by the tags of its tables.
  [[nodiscard]] static bool tells_cdn(const Request& request);

  // After the request was forwarded: the answer to send, unless it was relayed.
  [[nodiscard]] bool has_answer() const { return object_ || !metadata_.empty(); }
  [[nodiscard]] std::string_view metadata() const {
    return object_ ? object_->metadata() : std::string_view(metadata_);
  }
  // Keeps nothing: who holds a body's beginning holds up the fill of one that is too large to be kept.
  [[nodiscard]] cache::ObjectRef take_object() { return std::move(object_); }
  [[nodiscard]] std::string_view whole() const { return body_; }
  // Of a refresh.
  [[nodiscard]] Refreshed outcome() const { return outcome_; }
  [[nodiscard]] bool was_answered() const { return judged_; }
  // The server's 304 was about something else: to be forwarded once more, without conditions.
  [[nodiscard]] bool take_again() { return std::exchange(again_, false); }

  // Puts it into the request.
  void tell(Request& request) const;

  [[nodiscard]] bool wants(Request& request, Lease& lease) override;
  [[nodiscard]] net::Task<bool> take(Request& request, Lease& lease) override;
  [[nodiscard]] bool no_answer(std::string_view why) override;
  [[nodiscard]] bool replaces(const http::Field& field) const override;
  [[nodiscard]] std::string_view lines() const override { return lines_; }
  [[nodiscard]] bool is_awaited() const override;

 private:
  [[nodiscard]] bool confirmed(Request& request, const http::ResponseHead& head);
  [[nodiscard]] bool serve_stale(std::uint16_t server_said, std::string_view why);
  [[nodiscard]] net::Task<bool> store(Request& request, Lease& upstream);
  [[nodiscard]] net::Task<bool> store_whole(Request& request, Lease& upstream, cache::Head& head,
                                            std::vector<std::string> tags);
  [[nodiscard]] bool store_growing(Request& request, Lease& upstream, cache::Head& head);
  [[nodiscard]] bool find_place(Request& request, std::string_view names);
  void refuse(Duration remember);
  [[nodiscard]] bool add_reads(const Request& request, std::vector<std::string>& tags);
  void keep_out(const Request& request, const http::ResponseHead& head,
                std::span<const std::string> tags, std::string_view own_tag = {});
  static void hand_out(const Request& request, std::span<const std::string> tags);
  [[nodiscard]] http::Freshness freshness_of(const Request& request, const http::ResponseHead& head,
                                             const http::Directives& directives) const;
  [[nodiscard]] cache::Lifetimes lifetimes_of(const http::Freshness& freshness,
                                              bool has_validator) const;
  [[nodiscard]] std::vector<std::string> tags_for(const Request& request,
                                                  const http::Tags& named) const;
  void write_conditions();
  void count(cache::Cache::Fill outcome, const Request& request);

  Pages& pages_;
  PagePlace& place_;
  const bool trusted_;  // the client is a trusted proxy
  const Kind kind_;
  cache::Lease lease_;
  std::uint64_t since_ = 0;  // as of which invalidation the load began
  std::string lines_;
  bool judged_ = false;  // a server has answered
  bool conditional_ = false;
  bool again_ = false;
  Refreshed outcome_ = Refreshed::failed;
  http::Freshness freshness_;  // of the answer that may be stored

  cache::ObjectRef object_;
  std::string metadata_;  // of an answer that could not be stored
  std::string body_;
};

}  // namespace headroom::edge
