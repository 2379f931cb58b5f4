// headroom/edge/policy.h - what a route does to requests and answers besides choosing a server: redirects, CORS, paths and headers.
//
// Owns: its compiled settings. A value of the route table, made once a reload.
// Worker: any; nothing changes after compile().
// Invariants: (1) nothing that is written can break a line: names are tokens, values hold no control, and what a request puts into them was
//   parsed strictly; (2) framing, hop-by-hop fields and those that Headroom writes itself cannot be set or removed; (3) a redirect goes to
//   a host that the settings or the request's own authority name, whatever the path and the query are.
// Limits: those of the settings file.
//
//   auto policy = RoutePolicy::compile(options);           // Errc::invalid: "redirect: ..."
//   if (policy->active()) {                                // false for most routes: then nothing below need be called
//     if (auto reply = policy->early_reply(head, {tls, tls_port})) ...
//     target = policy->target(head);
//   }
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/edge/options.h"
#include "headroom/http/exchange.h"
#include "headroom/http/message.h"

namespace headroom::edge {

// How a request came to us.
struct Arrival {
  bool tls;                // as a trusted proxy says, or as it is
  std::uint16_t tls_port;  // where redirect_https sends clients; 0 or 443: no port is written
};

// What a header's value may hold as {client_ip}, {request_id}, {host}, {scheme}.
struct Variables {
  std::string_view client_ip;
  std::string_view request_id;
  std::string_view host;
  std::string_view scheme;
};

// Request fields that the edge writes itself, by what it knows: a second opinion would contradict it.
[[nodiscard]] bool is_written_for_servers(http::Name name);
// Also when it is spelled so that some applications take it for one: X_Forwarded_For.
[[nodiscard]] bool is_written_for_servers(const http::Field& field);

class RoutePolicy {
 public:
  // Errc::invalid, naming the setting.
  [[nodiscard]] static Result<RoutePolicy> compile(const RouteOptions& options);

  // False: requests and answers pass as they are.
  [[nodiscard]] bool active() const { return active_; }

  // The answer that needs no server: a redirect, or that to a CORS preflight.
  [[nodiscard]] std::optional<http::Reply> early_reply(const http::RequestHead& head,
                                                       Arrival arrival) const;

  // What is asked of the server: strip_prefix off, add_prefix on, the query as it came.
  [[nodiscard]] std::string target(const http::RequestHead& head) const;

  // Whether a received field is passed on.
  [[nodiscard]] bool keeps_request_field(const http::Field& field) const {
    return !dropped_from_request_.has(field);
  }
  [[nodiscard]] bool keeps_response_field(const http::Field& field) const {
    return !dropped_from_response_.has(field);
  }

  // Whole lines, each with its end, behind the fields passed on.
  void append_request_lines(std::string& out, const Variables& variables) const;
  // Also for answers made here, so that scripts of other origins may read errors.
  void append_response_lines(std::string& out, const http::RequestHead& request, bool tls) const;

 private:
  // A set of field names.
  class Names {
   public:
    void add(std::string_view name);
    [[nodiscard]] bool has(const http::Field& field) const;

   private:
    std::bitset<http::kNames> known_;
    std::vector<std::string> others_;
  };
  enum class Variable : std::uint8_t { none, client_ip, request_id, host, scheme };
  // A line to set: literal text, each piece followed by a variable.
  struct Piece {
    std::string literal;
    Variable variable = Variable::none;
  };
  enum class Part : std::uint8_t { none, uri, path, query, host };
  struct RedirectPiece {
    std::string literal;
    Part part = Part::none;
  };

  [[nodiscard]] Result<> compile_headers(const RouteOptions& options);
  [[nodiscard]] Result<> compile_redirect(const std::string& setting);
  [[nodiscard]] Result<> compile_paths(const RouteOptions& options);
  [[nodiscard]] Result<> compile_cors(const CorsOptions& options);
  [[nodiscard]] std::vector<RedirectPiece> split_redirect(std::string_view url) const;
  [[nodiscard]] http::Reply redirect_to(unsigned status, const std::string& location,
                                        const http::RequestHead& head, bool tls) const;
  [[nodiscard]] std::string location(const http::RequestHead& head) const;
  [[nodiscard]] http::Reply preflight(const http::RequestHead& head, bool tls) const;
  [[nodiscard]] bool allows_origin(std::string_view origin) const;
  void append_cors_origin(std::string& out, std::string_view origin) const;
  static std::string_view value_of(Variable variable, const Variables& variables);

  bool active_ = false;
  bool redirect_https_ = false;
  unsigned redirect_status_ = 0;  // 0: no redirect
  std::vector<RedirectPiece> redirect_;
  std::string strip_prefix_;  // without a slash at its end
  std::string add_prefix_;
  Names dropped_from_request_;
  Names dropped_from_response_;
  std::vector<Piece> request_lines_;
  std::string response_lines_;
  std::string hsts_line_;

  bool cors_ = false;
  bool any_origin_ = false;
  std::vector<std::string> origins_;
  std::string cors_lines_;       // of every answer to an allowed origin
  std::string preflight_lines_;  // of an answer to a preflight
};

}  // namespace headroom::edge
