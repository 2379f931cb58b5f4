// headroom/edge/cdn_provider.h - the two APIs by which CDNs are purged: requests as their documents describe them, and what answers mean.
//
// Cloudflare: POST /zones/{zone}/purge_cache with {"files"}, {"tags"}, {"prefixes"} or {"purge_everything": true}; at most 100 of them (500
//   files for Enterprise), by a token bucket for each plan. CloudFront: POST /2020-05-31/distribution/{id}/invalidation, an InvalidationBatch in
//   XML, signed (auth/sigv4.h); paths, "path*", "#tag"; 3,000 in progress, 15 with a "*".
// Owns: nothing; pure. Worker: any. Invariant: no secret but in the fields that carry it. Limits: as documented by them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/edge/cdn_purge.h"
#include "headroom/edge/inner_client.h"

namespace headroom::edge {

struct CdnRequest {
  std::string target;
  FieldTexts fields;  // without Host and framing
  std::string body;
};

// `reference` tells CloudFront the same batch from another.
[[nodiscard]] CdnRequest cdn_request(const CdnSettings& settings, const PurgeBatch& batch,
                                     std::int64_t unix_seconds, std::string_view reference);

// The most names of a batch of this kind.
[[nodiscard]] std::size_t most_names(const CdnOptions& options, PurgeKind kind);

struct CdnAnswer {
  unsigned status = 0;
  std::string retry_after;
  std::string body;
};
struct CdnVerdict {
  enum class Kind : std::uint8_t {
    done,
    later,    // the same again after a while
    refused,  // it will never take this batch
  };
  Kind kind = Kind::later;
  std::string why;
  Duration wait{};  // at least
};
[[nodiscard]] CdnVerdict judge(const CdnOptions& options, const CdnAnswer& answer);

// A token bucket.
struct CdnPace {
  double rate = 1;  // a second
  double burst = 1;
};
// How often requests of this kind may be sent; of files, how many names.
[[nodiscard]] CdnPace pace_of(const CdnOptions& options, PurgeKind kind);

}  // namespace headroom::edge
