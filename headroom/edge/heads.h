// headroom/edge/heads.h - the heads of forwarded messages, written anew: what a server is told, and what a client.
//
// Owns: nothing; functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/hash.h"
#include "headroom/edge/coded.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

// What we call ourselves in Via.
inline constexpr std::string_view kPseudonym = "headroom";

// The host of the client's URL, if a trusted proxy tells one.
[[nodiscard]] std::optional<std::string_view> told_host(const Request& request);
// The whole head of the request as `server` gets it: framing, forwarding fields and the route's policy.
void write_request_head(Request& request, const Server& server, std::string& out, Random& random);
// Begins the answer in the exchange (Exchange::start) and appends its field lines.
void begin_answer(Request& request, const http::ResponseHead& head, const Rewrite& rewrite = {});
// Whether a server's field is passed on to clients of this route (Via is written anew).
[[nodiscard]] bool is_for_clients(const Route& route, const http::Field& field);
// What each answer gets anew, whether it comes from a server or from memory: the route's lines, Cache-Status, limits.
void append_own_fields(Request& request, std::string& out);
// The head of a 101 that is passed on.
void write_upgrade_head(const http::ResponseHead& head, std::string& out);

}  // namespace headroom::edge
