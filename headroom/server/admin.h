// headroom/server/admin.h - Headroom's own endpoints: probes, metrics, and /api/v1.
//
// Owns: nothing; the functions it adds borrow `sources`, which must outlive the Api.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_admin_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
