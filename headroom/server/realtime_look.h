// headroom/server/realtime_look.h - the hub's channels, and what is published to them as it comes, over the admin API.
//
// Owns: nothing; the functions it adds borrow `sources`, which must outlive the Api.
// Invariants: (1) what is in messages is shown to admins alone, and who looks is logged; (2) who looks is no subscriber: nothing is counted, told
//   or held up for it; (3) a stream ends after kStreamLife, so that who may look is asked again.
// Limits: those of realtime::Look; kShownInTurn messages every kTurn.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_realtime_look_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
