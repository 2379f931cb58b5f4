#include "headroom/realtime/look.h"

#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

// Not through a character of UTF-8.
std::string beginning(const std::string& text) {
  if (text.size() <= Look::kMostData) return text;
  std::size_t end = Look::kMostData;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end);
}

Sight sight_of(const Message& message) {
  const Publication& what = message.what();
  return {.app = what.app,
          .channel = what.channel,
          .event = what.event,
          .user_id = what.user_id,
          .data = beginning(what.data),
          .bytes = what.data.size(),
          .offset = message.position().offset,
          .critical = what.priority == Priority::critical};
}

}  // namespace

Look::Look(Shards& shards, net::TaskGroup& group, std::string app, std::string pattern)
    : shards_(shards), wake_(group) {
  if (shards_.taps().fetch_add(1) >= Tap::kMostTaps) {
    shards_.taps().fetch_sub(1);
    return;
  }
  tap_ = std::make_shared<Tap>(group.worker().index(), std::move(app), std::move(pattern));
  tap_->wakes(&wake_);
  for (const std::size_t worker : shards_.all())
    shards_.post(worker, [tap = tap_](Shard& shard) { shard.homes.add(tap); });
}

Look::~Look() {
  if (!tap_) return;
  tap_->wakes(nullptr);
  for (const std::size_t worker : shards_.all())
    shards_.post(worker, [tap = tap_](Shard& shard) { shard.homes.remove(tap.get()); });
  shards_.taps().fetch_sub(1);
}

net::Task<Result<>> Look::wait(TimePoint deadline) {
  if (tap_->has_more()) co_return Result<>{};
  co_return co_await wake_.wait(deadline);
}

std::vector<Sight> Look::take(std::size_t most) {
  std::vector<Sight> all;
  for (const MessagePtr& message : tap_->shown(most)) all.push_back(sight_of(*message));
  return all;
}

std::uint64_t Look::skipped() { return tap_->skipped(); }

}  // namespace headroom::realtime
