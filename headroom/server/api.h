// headroom/server/api.h - a table of endpoints as a Service: who may ask what, answered in JSON.
//
// Owns: the endpoints, and for each worker who may ask (auth::Access) and the addresses that failed to log in.
//   Borrows: the two pools of threads.
// Worker: serve() on any worker, each with its own state; add() before the first request; give_access() and set_hosts() from any thread.
// Invariants: (1) the order of refusals is source (Host, Origin, content type), path, method, credential, role, body: nothing is read
//   from who may not ask; (2) a handler that may block never runs on a worker; (3) a change is logged, and noted in the audit log, with who made it (of the app's own data only
//   at level debug); (4) errors are {"error": {"code", "message"}} and hold no secret; (5) a form of another site's page can send no body that is
//   taken: bodies are JSON, but for methods that no form has.
// Limits: bodies of kBodyLimit, or kBytesLimit where an endpoint takes any bytes, or what the endpoint says, of those kBytesInFlight at once on each worker;
//   answers beyond kSmallAnswer that wait for who asked to read them: kAnswersInFlight on each worker;
//   auth::LoginLimits bad credentials of an address on each worker are told what is wrong; a good one is never held up.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/auth/access.h"
#include "headroom/auth/login_limit.h"
#include "headroom/base/metrics.h"
#include "headroom/http/exchange.h"
#include "headroom/http/service.h"
#include "headroom/net/offload.h"
#include "headroom/net/worker.h"

namespace headroom::server {

// A request that may be answered.
struct Call {
  std::vector<std::pair<std::string_view, std::string>> parameters;  // of the path, decoded
  std::string query;
  std::string body;
  std::string content_type;
  std::string accept;
  std::string accept_encoding{};
  auth::Identity who;  // Role::none where none is needed
  // With Run::waiting, for what goes on for long: whether who asked may still ask so. On the request's worker.
  std::function<bool()> still_allowed{};

  [[nodiscard]] std::string_view parameter(std::string_view name) const;
  // The decoded value of a query's `name=value`, or "".
  [[nodiscard]] std::string query_value(std::string_view name) const;
};

// Where a handler runs.
enum class Run : std::uint8_t {
  here,     // on the worker: bounded, no I/O, no locks
  waiting,  // on the worker, as a task
  reading,  // a thread that reads metrics and states
  control,  // one thread for what changes something or may wait for the disk; never two at once
  trends,   // the one thread of metrics over time, which may wait for the disk
};

// Whether the edge answers it too, when [admin] on_edge says so.
enum class Place : std::uint8_t { admin, admin_and_edge };

// What a body may be. `bytes`: anything; only with PUT, which no form sends.
enum class Takes : std::uint8_t { json, bytes };

struct Endpoint {
  http::Method method = http::Method::get;
  std::string
      path{};  // "/api/v1/upstreams/{group}/{server...}/drain": {x} is one segment, {x...} one or more
  auth::Role role = auth::Role::viewer;  // none: no credential is looked at
  Run run = Run::reading;
  std::string_view tag{};
  std::string_view summary{};
  std::string_view request_schema{};  // JSON Schema of the body; empty: none is taken
  std::string_view content_type = "application/json";
  Place place = Place::admin;
  std::string_view
      query{};  // the names of what the query may say, separated by spaces; others are refused. Empty: nobody looks
  Takes takes = Takes::json;
  bool audited = true;           // where it changes something; false: the app's own data
  std::uint64_t body_limit = 0;  // 0: the Api's
  std::function<http::Reply(const Call&)> answer{};
  // With Role::none: what the edge answers who shows no viewer's token; empty: the same.
  std::function<http::Reply(const Call&)> for_strangers{};
  std::function<net::Task<http::Reply>(http::Exchange&, const Call&)>
      task{};  // instead, with Run::waiting
};

// What a change was, for people: "otto: gives a server no new requests (app http://127.0.0.1:3000)".
[[nodiscard]] std::string describe(std::string_view summary, const Call& call);

[[nodiscard]] http::Reply json_reply(std::string body, unsigned status = 200);
// What is asked of a room that is not there: its fields (between spaces) are null; what would change something is refused.
[[nodiscard]] http::Reply not_configured(std::string_view fields);
[[nodiscard]] http::Reply refused_as_not_configured(std::string_view why);
// {"error": {"code", "message"}}.
[[nodiscard]] http::Reply error_reply(unsigned status, std::string_view code,
                                      std::string_view message);
// By the one table of codes and statuses.
[[nodiscard]] http::Reply error_reply(const Error& error);

class Api {
 public:
  static constexpr std::uint64_t kBodyLimit = 64U << 10U;
  static constexpr std::uint64_t kBytesLimit = 8U << 20U;
  static constexpr std::uint64_t kBytesInFlight = 64U << 20U;
  static constexpr std::uint64_t kAnswersInFlight = 64U << 20U;
  static constexpr std::uint64_t kSmallAnswer = 256U << 10U;

  Api(net::Workers& workers, net::Offload& reading, net::Offload& control,
      metrics::Registry& registry);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  void add(Endpoint endpoint);
  [[nodiscard]] const std::vector<Endpoint>& endpoints() const { return endpoints_; }

  // Who may ask from now on; before the first, requests that need a credential are answered 503.
  void give_access(const std::shared_ptr<const auth::Access>& access);
  // Where Run::trends runs, before the first request; else it is the reading threads.
  void give_trends(net::Offload& trends) { trends_ = &trends; }
  // Where changes are noted, before the first request.
  void give_audit(class Audit& audit) { audit_ = &audit; }
  // Host names beside IP addresses and localhost.
  void set_hosts(std::vector<std::string> hosts);

  // What a login form does: a bad token counts as a failure of its address. The value is for auth::kSessionCookie.
  struct Session {
    auth::Identity who;
    std::string cookie;
    std::chrono::seconds life{};
  };
  [[nodiscard]] std::expected<Session, http::Reply> open_session(http::Exchange& exchange,
                                                                 std::string_view token);
  // Ends the session of the request's cookie, here and in every process of this state directory; no session is no error.
  [[nodiscard]] net::Task<Result<>> end_session(http::Exchange& exchange);
  // For a token that nobody knows: looks whether it has been made a moment ago (at most once each kLookEvery on a worker).
  [[nodiscard]] net::Task<> look_for(http::Exchange& exchange, std::string_view token);
  static constexpr Duration kLookEvery = std::chrono::milliseconds(50);
  // What look_for() does on the control thread, before the first request.
  void look_by(std::function<void()> look) { look_ = std::move(look); }
  // What end_session() does on the control thread, before the first request.
  using EndSession = std::function<Result<>(const auth::SessionMark& session)>;
  void end_sessions_by(EndSession end) { end_session_ = std::move(end); }

  // Whether an operator's token is shown by who is at that address, for doors other than ours; on the worker of that index. Counts failures as
  // for our own endpoints.
  [[nodiscard]] bool is_operator(std::string_view token, const IpAddress& address,
                                 std::size_t worker);

  // For the admin listener, and for the edge (which has no Host of its own to check and answers Place::admin_and_edge only).
  [[nodiscard]] http::Service& on_admin() { return on_admin_; }
  [[nodiscard]] http::Service& on_edge() { return on_edge_; }

 private:
  class Door final : public http::Service {
   public:
    Door(Api& api, Place place) : api_(api), place_(place) {}
    [[nodiscard]] net::Task<> serve(http::Exchange& exchange) override {
      return api_.serve(exchange, place_);
    }

   private:
    Api& api_;
    Place place_;
  };
  struct PerWorker {
    std::shared_ptr<const auth::Access> access;
    std::shared_ptr<const std::vector<std::string>> hosts;
    auth::LoginLimit logins;
    TimePoint looked{};           // when the file of tokens was looked at for an unknown one
    std::uint64_t in_flight = 0;  // bytes of bodies
    std::uint64_t answering = 0;  // bytes of answers
  };
  struct Match;
  // The bytes of one body, until it has been answered; of one answer, until it has been sent.
  struct Held {
    explicit Held(std::uint64_t& all, std::uint64_t now = 0) : in_flight(all), bytes(now) {
      all += now;
    }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() { in_flight -= bytes; }
    std::uint64_t& in_flight;
    std::uint64_t bytes;
  };

  [[nodiscard]] net::Task<> serve(http::Exchange& exchange, Place place);
  [[nodiscard]] net::Task<http::Reply> answer(http::Exchange& exchange, Place place);
  [[nodiscard]] net::Task<Result<std::string>> read_body(http::Exchange& exchange,
                                                         const Endpoint& endpoint, Held& held);
  [[nodiscard]] std::expected<Match, http::Reply> match(const http::RequestHead& head,
                                                        Place place) const;
  [[nodiscard]] std::expected<auth::Identity, http::Reply> identify(http::Exchange& exchange,
                                                                    auth::Role role);
  [[nodiscard]] std::function<bool()> allowance(const http::Exchange& exchange, auth::Role role);
  [[nodiscard]] bool shows(const http::Exchange& exchange, auth::Role role);
  [[nodiscard]] bool has_role(std::string_view token, const IpAddress& address, std::size_t worker,
                              auth::Role role);
  // What a bad credential is answered.
  struct Refusal {
    http::Reply reply;
    bool counted = false;  // as a failure of its address
  };
  [[nodiscard]] Refusal refuse_credential(const http::Exchange& exchange,
                                          std::string_view credential, std::string_view reason);
  [[nodiscard]] std::optional<http::Reply> check_source(const http::Exchange& exchange, Place place,
                                                        Takes takes);
  [[nodiscard]] PerWorker& mine(const http::Exchange& exchange) {
    return *state_[exchange.worker().index()];
  }
  void refused(const http::Exchange& exchange, std::string_view reason);
  // By the control thread.
  void note_later(http::Exchange& exchange, const auth::Identity& who, unsigned status);
  void note_later(struct AuditEntry entry);
  static void tell(const Endpoint& endpoint, const Call& call, std::string_view what,
                   unsigned status);

  net::Workers& workers_;
  net::Offload& reading_;
  net::Offload& control_;
  net::Offload* trends_ = &reading_;
  class Audit* audit_ = nullptr;
  EndSession end_session_;
  std::function<void()> look_;
  std::vector<Endpoint> endpoints_;
  std::vector<std::unique_ptr<PerWorker>> state_;
  std::array<metrics::Counter*, 6> answered_{};  // by the status's first digit
  std::map<std::string, metrics::Counter*, std::less<>> refused_;
  Door on_admin_{*this, Place::admin};
  Door on_edge_{*this, Place::admin_and_edge};
};

}  // namespace headroom::server
