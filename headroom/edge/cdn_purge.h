// headroom/edge/cdn_purge.h - what a CDN is to be told: invalidations as items it knows, those that wait, and an answer's tags as it keeps them.
//
// Owns: a PurgeQueue its items. Worker: pure; the queue is its caller's to guard.
// Invariants: (1) what is purged is never less than what was invalidated: what a CDN cannot name exactly becomes a wider prefix, or
//   everything; (2) an item waits once; (3) beyond its limit a queue holds one item: everything.
// Limits: PurgeQueue's; tags of 256 visible ASCII characters without commas, others by their hash.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/cache/watcher.h"
#include "headroom/edge/cdn_options.h"

namespace headroom::edge {

enum class PurgeKind : std::uint8_t { everything, tag, prefix, url };
inline constexpr std::size_t kPurgeKinds = 4;
[[nodiscard]] std::string_view to_string(PurgeKind kind);

struct PurgeItem {
  PurgeKind kind{};
  std::string
      name;  // a tag as the CDN knows it; "example.org/shop" without scheme; "" of everything
  bool operator==(const PurgeItem&) const = default;
};
// Nothing: no CDN has it (values of the app, keys that were not there).
[[nodiscard]] std::optional<PurgeItem> purge_item(const cache::Invalidation& what);

struct PurgeBatch {
  PurgeKind kind{};
  std::vector<std::string> names;
};

class PurgeQueue {
 public:
  // False: it was full, and holds everything now.
  bool add(PurgeItem item, std::size_t limit);
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool has_everything() const { return everything_; }
  // Up to `most(kind)` of one kind; of everything, all: what waits is part of it.
  template <class Most>
  [[nodiscard]] std::optional<PurgeBatch> take(const Most& most) {
    for (std::size_t i = 0; i < kPurgeKinds; ++i) {
      const auto kind = static_cast<PurgeKind>(i);
      if (auto batch = take_of(kind, most(kind))) return batch;
    }
    return std::nullopt;
  }

 private:
  [[nodiscard]] std::optional<PurgeBatch> take_of(PurgeKind kind, std::size_t most);

  bool everything_ = false;
  std::array<std::set<std::string>, kPurgeKinds> names_;
};

// A tag as CDNs take it.
[[nodiscard]] std::string cdn_tag(std::string_view tag);
// What a route's answers tell a CDN.
struct CdnHeaders {
  CdnProvider provider{};
  std::string tag_header;
  std::string control;  // CDN-Cache-Control; "": the app's
  [[nodiscard]] bool on() const { return provider != CdnProvider::off; }
};
// The line that tells a CDN an answer's tags; "" without tags, or without a CDN.
[[nodiscard]] std::string cdn_tag_line(const CdnHeaders& headers,
                                       std::span<const std::string> tags);
// What CloudFront's answers carry whose tags are too many; purged with every tag.
inline constexpr std::string_view kMoreTags = "headroom-more";
inline constexpr std::size_t kCloudFrontTags = 50;

}  // namespace headroom::edge
