#include "headroom/cache/invalidations.h"

#include <algorithm>

namespace headroom::cache {

bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t star_text = 0;
  while (t < text.size()) {
    const bool escaped = p + 1 < pattern.size() && pattern[p] == '\\';
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (escaped ? pattern[p + 1] == text[t]
                       : p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      p += escaped ? 2 : 1;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

void Invalidations::tag(std::string_view name, Hardness hardness) {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t next = seq_.load(std::memory_order_relaxed) + 1;
  tags_.invalidate(name, next, hardness);
  if (journal_ != nullptr) journal_->tag(name, next);
  seq_.store(next, std::memory_order_release);
}

void Invalidations::key(std::uint64_t hash) {
  const std::scoped_lock lock(mutex_);
  const std::uint64_t next = seq_.load(std::memory_order_relaxed) + 1;
  keys_[hash % keys_.size()].store(next, std::memory_order_relaxed);
  seq_.store(next, std::memory_order_release);
}

void Invalidations::ban(Ban ban, Space space) {
  const auto s = static_cast<std::size_t>(space);
  const std::scoped_lock lock(mutex_);
  ban.seq = seq_.load(std::memory_order_relaxed) + 1;
  auto bans = std::make_shared<Bans>(*bans_[s]);
  std::erase_if(*bans, [&](const Ban& b) {
    return b.pattern == ban.pattern && b.hardness == ban.hardness && b.text == ban.text;
  });
  if (bans->size() >= kMostBans) {
    floor_[s].store(bans->front().seq, std::memory_order_relaxed);
    bans->erase(bans->begin());
  }
  const std::uint64_t seq = ban.seq;
  if (journal_ != nullptr) journal_->ban(space, ban.pattern, ban.text, seq);
  bans->push_back(std::move(ban));
  {
    const std::scoped_lock copying(bans_mutex_);
    bans_[s] = std::move(bans);
  }
  last_ban_[s].store(seq, std::memory_order_relaxed);
  seq_.store(seq, std::memory_order_release);
}

Verdict Invalidations::check(Space space, std::string_view key, std::span<const TagId> tags,
                             std::uint64_t seq) const {
  const auto s = static_cast<std::size_t>(space);
  Verdict verdict = Verdict::valid;
  for (const TagId tag : tags) {
    if (tags_.hard_since(tag, seq)) return Verdict::hard;
    if (tags_.soft_since(tag, seq)) verdict = Verdict::soft;
  }
  if (last_ban_[s].load(std::memory_order_relaxed) <= seq) return verdict;
  std::shared_ptr<const Bans> bans;
  {
    const std::scoped_lock copying(bans_mutex_);
    bans = bans_[s];
  }
  // After the copy: what has been taken off the list since has raised the floor before.
  if (floor_[s].load(std::memory_order_relaxed) > seq) return Verdict::hard;
  for (auto ban = std::ranges::upper_bound(*bans, seq, {}, &Ban::seq); ban != bans->end(); ++ban) {
    if (!ban->hits(key)) continue;
    if (ban->hardness == Hardness::hard) return Verdict::hard;
    verdict = Verdict::soft;
  }
  return verdict;
}

void Invalidations::swept(std::uint64_t seq) {
  const std::scoped_lock lock(mutex_);
  for (std::size_t s = 0; s < kSpaces; ++s) {
    const auto keep = std::ranges::upper_bound(*bans_[s], seq, {}, &Ban::seq);
    if (keep == bans_[s]->begin()) continue;
    auto left = std::make_shared<Bans>(keep, bans_[s]->end());
    floor_[s].store((keep - 1)->seq, std::memory_order_relaxed);
    const std::scoped_lock copying(bans_mutex_);
    bans_[s] = std::move(left);
  }
}

std::size_t Invalidations::bans() const {
  const std::scoped_lock lock(bans_mutex_);
  std::size_t all = 0;
  for (const auto& bans : bans_) all += bans->size();
  return all;
}

}  // namespace headroom::cache
