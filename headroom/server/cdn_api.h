// headroom/server/cdn_api.h - what the CDN in front has been told, over the admin API.
//
// Owns: nothing; borrows `sources`, which must outlive the Api.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_cdn_endpoints(Api& api, const Sources& sources);

}  // namespace headroom::server
