// headroom/edge/request.h - one request on its way through the edge: who asks for what by which route, and what has become of it.
//
// Owns: what was read of it and learnt. Borrows: the exchange and the view. Worker: the exchange's. Lives in Proxy::serve()'s frame.
// Limits: those of EdgeOptions.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "headroom/base/text.h"
#include "headroom/edge/browser_session.h"
#include "headroom/edge/view.h"
#include "headroom/http/exchange.h"
#include "headroom/http/storable.h"
#include "headroom/limit/rules.h"
#include "headroom/link/link.h"

namespace headroom::edge {

class Lease;
struct Request;

// Where a request's answer lies in the cache.
struct PagePlace {
  std::string key;      // of the answer, or of the marker where answers vary
  std::string variant;  // of the answer where they vary; else ""
  std::size_t url = 0;  // bytes of the key that are the URL
  std::string owner;    // whose page it is (owner.h); empty: everybody's
  http::StoreRules rules{};
  [[nodiscard]] std::string_view url_key() const { return std::string_view(key).substr(0, url); }
  [[nodiscard]] const std::string& of_answer() const { return variant.empty() ? key : variant; }
};

// Somebody beside the client who wants a forwarded request's answer: the cache.
class Keeper {
 public:
  // The answer's head is there. False: it is relayed to the client, and the keeper has nothing more to do with it.
  [[nodiscard]] virtual bool wants(Request& request, Lease& lease) = 0;
  // After that. True: the whole answer is the keeper's, who may move the lease away; false: it is relayed to the client.
  [[nodiscard]] virtual net::Task<bool> take(Request& request, Lease& lease) = 0;
  // No server has answered. True: the keeper has another answer, no error page is sent.
  [[nodiscard]] virtual bool no_answer(std::string_view why) = 0;
  // Whether a request field is the keeper's to write, or to leave out; and what it writes instead.
  [[nodiscard]] virtual bool replaces(const http::Field& field) const = 0;
  [[nodiscard]] virtual std::string_view lines() const = 0;
  // Whether others may wait for the answer: then it is fetched even when the client has gone.
  [[nodiscard]] virtual bool is_awaited() const = 0;

 protected:
  ~Keeper() = default;
};

struct Request {
  http::Exchange& x;
  const View& view;
  const Route* route = nullptr;
  RouteCells* cells = nullptr;
  TimePoint began;
  TimePoint chosen{};      // a server was chosen
  TimePoint connected{};   // the connection was there
  TimePoint first_byte{};  // the answer's head was there
  IpAddress client;
  bool trusted = false;  // the peer is a trusted proxy
  std::string id;
  std::string target;  // what is forwarded
  std::uint64_t hash = 0;
  Tried tried;
  std::string body;  // read before a server was taken
  bool body_stored = false;
  bool body_begun = false;  // part of it went to a server straight from the client
  bool pumping = false;     // and more is on its way
  unsigned body_error = 0;  // the status for a client's broken body
  unsigned status = 0;      // for counting, when it is not the exchange's
  std::uint64_t bytes_in = 0;
  const Server* server = nullptr;
  http::Refusal refusal;  // a method that is never forwarded
  bool reached = false;   // by at least one attempt, a server
  bool timed_out = false;
  limit::Decision limited;
  Keeper* keeper = nullptr;
  PagePlace place;
  std::string cache_status;                   // what the cache did, for the answer's field
  bool explained = false;                     // an operator asks why (explain.h)
  link::Link* link = nullptr;                 // where its queries are told from others'
  bool tags_pages = false;                    // its page is tagged by what its queries read
  link::RequestPointer at_app{};              // from when it is forwarded
  const BrowserSessions* sessions = nullptr;  // where browsers read what they have written
  BrowserSession session{};
  std::uint64_t unclaimed_since = 0;
  link::Spans* spans = nullptr;        // while traces are recorded (traced.h)
  std::unique_ptr<link::Span> span{};  // of a sampled one
  std::uint64_t attempt_span = 0;      // of the attempt at hand
  TimePoint forwarded{};               // a sampled one went on to a server
  bool hides_trace = false;            // the client's traceparent goes no further

  Request(http::Exchange& exchange, const View& seen)
      : x(exchange), view(seen), began(exchange.began()) {}
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request() {
    if (at_app) link->requests.end(at_app, Clock::now());
  }
  [[nodiscard]] const http::RequestHead& head() const { return x.request(); }
  [[nodiscard]] Group& group() const { return route->pool->group; }
  // Whether the client speaks TLS, to us or to a trusted proxy before us.
  [[nodiscard]] bool secure() const {
    return x.peer().tls ||
           (trusted &&
            text::equal_ignoring_case(head().value_of(http::Name::x_forwarded_proto), "https"));
  }
  // Whether its answer says what the cache did: where that is set, and to ourselves.
  [[nodiscard]] bool tells_cache_status() const {
    return view.options->cache.status || explained || x.peer().own;
  }
  // Whether it is written down what the cache does.
  [[nodiscard]] bool notes_cache_status() const { return span || tells_cache_status(); }
  // What is asked on our own account is turned away first.
  [[nodiscard]] Priority priority() const {
    return x.peer().own ? Priority::background : route->priority;
  }
  [[nodiscard]] bool streams_body() const { return !body_stored && x.has_body(); }

  // Whether the client is no longer there (looked at by a system call); the request is then over.
  [[nodiscard]] bool gone();
  // Answers with an error page, unless an answer has begun.
  [[nodiscard]] net::Task<> fail(unsigned status, std::string_view code, std::string_view message,
                                 Duration retry_after = {});
};

// As nginx counts a client that went away; never sent.
inline constexpr unsigned kClientGone = 499;

}  // namespace headroom::edge
