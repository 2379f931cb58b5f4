// headroom/edge/cdn_client.h - one call of a CDN's API over TLS, verified.
//
// Owns: the connection, for one call. Borrows: the group, the resolver. Worker: the group's.
// Limits: an answer's head of 32 KiB, 64 KiB of its body; the settings' timeout for all of it.
#pragma once

#include "headroom/edge/cdn_provider.h"
#include "headroom/net/resolver.h"
#include "headroom/net/task_group.h"

namespace headroom::edge {

// Errc::timeout, unavailable, unauthorized (its certificate), protocol, cancelled.
[[nodiscard]] net::Task<Result<CdnAnswer>> call_cdn(net::TaskGroup& group, net::Resolver& resolver,
                                                    const CdnSettings& settings,
                                                    const CdnRequest& request);

}  // namespace headroom::edge
