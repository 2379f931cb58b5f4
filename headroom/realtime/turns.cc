#include "headroom/realtime/turns.h"

#include "headroom/base/assert.h"

namespace headroom::realtime {

void Turns::take(std::uint64_t address, std::uint64_t most_of_address, TimePoint now,
                 Duration patience, Tell tell) {
  if (stopped_) return;
  Line& line = lines_[address];
  line.most = most_of_address;
  if (waiting_ >= kMostWaiting || line.waiting.size() >= kMostWaiting / 2) return tell(false);
  ++waiting_;
  line.waiting.push_back({now + patience, std::move(tell)});
  put_in_turn(address, line);
  give_places(now);
}

void Turns::end(std::uint64_t address, TimePoint now) {
  if (stopped_) return;
  const auto at = lines_.find(address);
  HR_ASSERT((at != lines_.end() && at->second.under_way > 0));
  --at->second.under_way;
  --under_way_;
  put_in_turn(address, at->second);
  if (at->second.under_way == 0 && at->second.waiting.empty() && !at->second.in_turn)
    lines_.erase(at);
  give_places(now);
}

void Turns::put_in_turn(std::uint64_t address, Line& line) {
  if (line.in_turn || line.waiting.empty()) return;
  if (line.most != 0 && line.under_way >= line.most) return;
  line.in_turn = true;
  turns_.push_back(address);
}

void Turns::give_places(TimePoint now) {
  while (under_way_ < most_ && !turns_.empty()) {
    const std::uint64_t address = turns_.front();
    turns_.pop_front();
    Line& line = lines_[address];
    line.in_turn = false;
    std::vector<Tell> late;
    drop_late(line, now, late);
    for (Tell& tell : late) tell(false);
    const bool may =
        line.most == 0 || line.under_way < line.most;  // the setting may be another now
    if (line.waiting.empty() || !may) continue;
    Tell tell = std::move(line.waiting.front().tell);
    line.waiting.pop_front();
    --waiting_;
    ++line.under_way;
    ++under_way_;
    put_in_turn(address, line);
    tell(true);
  }
}

void Turns::drop_late(Line& line, TimePoint now, std::vector<Tell>& late) {
  while (!line.waiting.empty() && line.waiting.front().deadline <= now) {
    late.push_back(std::move(line.waiting.front().tell));
    line.waiting.pop_front();
    --waiting_;
  }
}

void Turns::stop() {
  stopped_ = true;
  lines_.clear();
  turns_.clear();
}

void Turns::upkeep(TimePoint now) {
  std::vector<Tell> late;
  for (auto& [address, line] : lines_) drop_late(line, now, late);
  std::erase_if(lines_, [](const auto& each) {
    return each.second.under_way == 0 && each.second.waiting.empty() && !each.second.in_turn;
  });
  for (Tell& tell : late) tell(false);
}

}  // namespace headroom::realtime
