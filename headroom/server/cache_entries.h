// headroom/server/cache_entries.h - the app's own values over HTTP: get, put, delete, list, and get-or-compute by a lease.
//
//   GET    /api/v1/cache/entries/{key}              200 with the value; 404 not_found, or absent where it is remembered that there is none
//   POST   /api/v1/cache/entries/{key}/lease        the same; on a miss one caller gets 404 fill with a lease, the others wait for what he puts
//   PUT    /api/v1/cache/entries/{key}?ttl=&class=&tags=&lease=      the body is the value, Content-Type is kept with it
//   DELETE /api/v1/cache/entries/{key}?lease=       without a lease the entry; with one the lease: another may try
//   GET    /api/v1/cache/entries?prefix=&limit=&from=                keys with what is known of them, a page at a time
//
// A key is the rest of the path, percent-decoded, slashes included. An answer with a value says Headroom-TTL (seconds left; negative: stale) and,
// for who is to refresh it, Headroom-Lease and Headroom-Lease-TTL. Space `app` only: pages and query results cannot be read here.
//
// Owns: nothing. Worker: the one that serves; `sources` must outlive the Api.
#pragma once

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_cache_entries(Api& api, const Sources& sources);

}  // namespace headroom::server
