// headroom/link/link.h - where the edge and the SQL proxy meet: which request a query belongs to, and what its session must see.
//
// Owns: the requests at the app (requests.h) and the positions of sessions (positions.h). Made by main, borrowed by edge and sql.
// Threads: any. Invariants and limits: those of its parts.
#pragma once

#include "headroom/link/positions.h"
#include "headroom/link/requests.h"

namespace headroom::link {

struct Link {
  Requests requests;
  Positions positions;
};

}  // namespace headroom::link
