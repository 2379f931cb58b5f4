#include "headroom/link/requests.h"

namespace headroom::link {

void Requests::clean(Shard& shard, TimePoint now) {
  while (!shard.ended.empty() && now - shard.ended.front().first >= kKept) {
    const auto found = shard.by_trace.find(shard.ended.front().second);
    if (found != shard.by_trace.end() && found->second.ended <= shard.ended.front().first)
      shard.by_trace.erase(found);
    shard.ended.pop_front();
  }
  while (!shard.begun.empty() && (shard.by_trace.size() > kMostRequests / kShards ||
                                  !shard.by_trace.contains(shard.begun.front()))) {
    shard.by_trace.erase(shard.begun.front());
    shard.begun.pop_front();
  }
  // Behind one that takes for ever.
  if (shard.begun.size() > 2 * kMostRequests / kShards)
    std::erase_if(shard.begun,
                  [&shard](const Trace& trace) { return !shard.by_trace.contains(trace); });
}

RequestPointer Requests::begin(const Trace& trace, std::string session, TimePoint now,
                               Feeds feeds) {
  auto request = std::make_shared<Request>(trace, std::move(session));
  request->feeds_page = feeds == Feeds::page;
  Shard& mine = shard(trace);
  const std::scoped_lock lock(mine.mutex);
  const bool fresh = mine.by_trace.insert_or_assign(trace, Entry{request}).second;
  if (fresh) mine.begun.push_back(trace);
  clean(mine, now);
  return request;
}

void Requests::end(const RequestPointer& request, TimePoint now) {
  Shard& mine = shard(request->trace);
  const std::scoped_lock lock(mine.mutex);
  const auto found = mine.by_trace.find(request->trace);
  if (found == mine.by_trace.end() || found->second.request != request) return;
  found->second.ended = now;
  mine.ended.emplace_back(now, request->trace);
}

RequestPointer Requests::find(const Trace& trace, TimePoint now) const {
  const Shard& mine = shard(trace);
  const std::scoped_lock lock(mine.mutex);
  const auto found = mine.by_trace.find(trace);
  if (found == mine.by_trace.end() ||
      (found->second.ended != kNever && now - found->second.ended >= kKept))
    return nullptr;
  return found->second.request;
}

std::size_t Requests::size() const {
  std::size_t all = 0;
  for (const Shard& each : shards_) {
    const std::scoped_lock lock(each.mutex);
    all += each.by_trace.size();
  }
  return all;
}

}  // namespace headroom::link
