#include "headroom/edge/cdn_purge.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"

namespace headroom::edge {
namespace {

constexpr std::size_t kTagLimit = 256;
constexpr std::string_view kTableTag = "sql:";  // what the database is called is nobody's business
constexpr std::string_view kUrlTag = "url:";    // a page's variants: the CDN has its own of them

// "example.org/shop" of a page's key "https://internal|example.org/shop"; nothing when host or path are not there.
std::optional<std::string> without_scheme(std::string_view key) {
  const std::size_t scheme = key.find("://");
  if (scheme == std::string_view::npos) return std::nullopt;
  key = key.substr(scheme + 3, key.find('\n') - (scheme + 3));  // without whose page it is
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos || slash == 0) return std::nullopt;
  if (const std::size_t bar = key.substr(0, slash).rfind('|'); bar != std::string_view::npos)
    key.remove_prefix(bar + 1);
  return std::string(key);
}

PurgeItem prefix_item(std::string_view prefix) {
  auto name = without_scheme(prefix);
  return name ? PurgeItem{PurgeKind::prefix, std::move(*name)}
              : PurgeItem{PurgeKind::everything, {}};
}

}  // namespace

std::string_view to_string(PurgeKind kind) {
  static constexpr std::array<std::string_view, kPurgeKinds> kNames{"everything", "tag", "prefix",
                                                                    "url"};
  return kNames[static_cast<std::size_t>(kind)];
}

std::optional<PurgeItem> purge_item(const cache::Invalidation& what) {
  using What = cache::Invalidation::What;
  if (what.what == What::tag) {
    return what.name.starts_with(kUrlTag)
               ? std::nullopt
               : std::optional(PurgeItem{PurgeKind::tag, cdn_tag(what.name)});
  }
  if (what.space != cache::Space::http) return std::nullopt;
  if (what.what == What::prefix) return prefix_item(what.name);
  if (what.what == What::pattern)
    return prefix_item(what.name.substr(0, what.name.find_first_of("*?")));
  if (!what.was_there) return std::nullopt;
  auto name = without_scheme(what.name);
  return name ? std::optional(PurgeItem{PurgeKind::url, std::move(*name)}) : std::nullopt;
}

bool PurgeQueue::add(PurgeItem item, std::size_t limit) {
  if (everything_) return true;
  if (item.kind != PurgeKind::everything && size() >= limit &&
      !names_[static_cast<std::size_t>(item.kind)].contains(item.name)) {
    *this = {};
    everything_ = true;
    return false;
  }
  if (item.kind == PurgeKind::everything) {
    *this = {};
    everything_ = true;
  } else {
    names_[static_cast<std::size_t>(item.kind)].insert(std::move(item.name));
  }
  return true;
}

std::size_t PurgeQueue::size() const {
  std::size_t all = everything_ ? 1 : 0;
  for (const auto& names : names_) all += names.size();
  return all;
}

std::optional<PurgeBatch> PurgeQueue::take_of(PurgeKind kind, std::size_t most) {
  PurgeBatch batch{kind, {}};
  if (kind == PurgeKind::everything) {
    if (!everything_) return std::nullopt;
    *this = {};
    return batch;
  }
  auto& names = names_[static_cast<std::size_t>(kind)];
  while (!names.empty() && batch.names.size() < most)
    batch.names.push_back(std::move(names.extract(names.begin()).value()));
  return batch.names.empty() ? std::nullopt : std::optional(std::move(batch));
}

std::string cdn_tag(std::string_view tag) {
  const bool plain =
      !tag.empty() && !tag.starts_with(kTableTag) && tag.size() <= kTagLimit &&
      std::ranges::all_of(tag, [](char c) { return c > ' ' && c < 0x7f && c != ','; });
  return plain ? std::string(tag) : fmt::format("headroom-{:016x}", hash64(tag));
}

std::string cdn_tag_line(const CdnHeaders& headers, std::span<const std::string> tags) {
  if (!headers.on()) return {};
  std::vector<std::string> told;
  for (const std::string& tag : tags) {
    if (tag.starts_with(kUrlTag)) continue;
    std::string name = cdn_tag(tag);
    if (std::ranges::find(told, name) == told.end()) told.push_back(std::move(name));
  }
  if (told.empty()) return {};
  if (headers.provider == CdnProvider::cloudfront && told.size() > kCloudFrontTags) {
    told.resize(kCloudFrontTags - 1);
    told.emplace_back(kMoreTags);
  }
  const bool spaces = text::equal_ignoring_case(headers.tag_header, "surrogate-key") ||
                      text::equal_ignoring_case(headers.tag_header, "xkey");
  return fmt::format("{}: {}\r\n", headers.tag_header, fmt::join(told, spaces ? " " : ","));
}

}  // namespace headroom::edge
