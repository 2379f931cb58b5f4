// headroom/edge/heads.h - the heads of forwarded messages, written anew: what a server is told, and what a client.
//
// Owns: nothing; functions.
#pragma once

#include <string>

#include "headroom/edge/request.h"

namespace headroom::edge {

// The whole head of the request as `server` gets it: framing, forwarding fields and the route's policy.
void write_request_head(Request& request, const Server& server, std::string& out);
// Begins the answer in the exchange (Exchange::start) and appends its field lines.
void begin_answer(Request& request, const http::ResponseHead& head);
// The head of a 101 that is passed on.
void write_upgrade_head(const http::ResponseHead& head, std::string& out);

}  // namespace headroom::edge
