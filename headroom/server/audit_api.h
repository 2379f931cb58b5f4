// headroom/server/audit_api.h - the audit log over the admin API.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_audit_endpoint(Api& api, const Sources& sources);

}  // namespace headroom::server
