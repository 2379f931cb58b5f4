// headroom/edge/proxy.h - one worker's part of the edge: answers each request by a route's policy or an upstream.
//
// Owns: the worker's view of routes and groups. Borrows: the group of the edge's tasks, hosted services.
// Worker: one; every call on its thread.
// Invariants and limits: those of edge.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "headroom/edge/access_log.h"
#include "headroom/edge/batch.h"
#include "headroom/edge/explain.h"
#include "headroom/edge/forwarder.h"
#include "headroom/edge/pages.h"
#include "headroom/edge/refresher.h"
#include "headroom/edge/request_id.h"
#include "headroom/edge/view.h"
#include "headroom/http/exchange.h"
#include "headroom/http/service.h"

namespace headroom::edge {

// A service of another room that answers a path and what lies below it.
struct Hosted {
  std::string prefix;
  http::Service* service;
};

// What other rooms do at this door.
struct Hosting {
  std::vector<Hosted> services;
  MayAsk may_ask;  // empty: nobody
  link::Link* link = nullptr;
  std::optional<BrowserSessions> sessions{};  // nothing: browsers get no cookie of ours
};

// What the whole edge counts, beside its routes.
struct ProxyCells {
  metrics::Cell* begun = nullptr;
  metrics::Cell* ended = nullptr;
  metrics::Cell* errors = nullptr;
  std::map<unsigned, metrics::Cell*> bad_requests;  // by status; 0: any other
};

class Proxy final : public http::Service {
 public:
  Proxy(net::TaskGroup& group, const Hosting& hosting, AccessLog& log, cache::Cache* cache,
        ProxyCells cells, InnerDoor& inner, Batch& batch, Refresher& refresher, AnswerCoder& coder);

  void set_view(const std::shared_ptr<const View>& view);
  // Closes idle upstream connections that are no longer wanted. Every second.
  void trim();

  [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override;
  void refused(http::Exchange& exchange, unsigned status, std::string_view reason) override;

 private:
  [[nodiscard]] bool goes_to_server(const Request& request) const;
  [[nodiscard]] static bool is_batch(const Request& request);
  [[nodiscard]] static bool body_too_large(const Request& request);
  [[nodiscard]] net::Task<> answer_here(Request& request);
  [[nodiscard]] net::Task<> pass_on(Request& request);
  [[nodiscard]] const Hosted* hosted(const Request& request) const;
  [[nodiscard]] Result<> identify(Request& request);
  [[nodiscard]] bool may_ask_why(const Request& request) const;
  void account(Request& request);
  void write_log(const Request& request, unsigned status, TimePoint now);

  net::TaskGroup& group_;
  Forwarder forwarder_;
  std::optional<Pages> pages_;  // where there is a cache
  const Hosting& hosting_;
  AccessLog& log_;
  const ProxyCells cells_;
  InnerDoor& inner_;
  Batch& batch_;
  std::shared_ptr<const View> view_;
  RequestIds ids_;
  std::string scratch_path_;
};

}  // namespace headroom::edge
