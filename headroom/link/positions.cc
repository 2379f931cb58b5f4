#include "headroom/link/positions.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"

namespace headroom::link {

void take_later(Position& needs, const Position& other) {
  if (other && (!needs || other.timeline > needs.timeline ||
                (other.timeline == needs.timeline && other.lsn > needs.lsn)))
    needs = other;
}

std::string to_string(const Position& position) {
  return fmt::format("{}/{}/{}", position.system, position.timeline, position.lsn);
}

std::optional<Position> parse_position(std::string_view text) {
  const std::vector<std::string_view> parts = text::split(text, '/');
  if (parts.size() != 3) return std::nullopt;
  const auto system = text::to_u64(parts[0]);
  const auto timeline = text::to_u64(parts[1]);
  const auto lsn = text::to_u64(parts[2]);
  if (!system || *system == 0 || !timeline || *timeline > UINT32_MAX || !lsn) return std::nullopt;
  return Position{*system, static_cast<std::uint32_t>(*timeline), *lsn};
}

std::size_t Positions::Hash::operator()(std::string_view text) const { return hash64(text); }

Positions::Shard& Positions::shard(std::string_view session) const {
  return shards_[hash64(session, 1) % kShards];
}

Positions::Session& Positions::touch(Shard& shard, std::string_view session, TimePoint now) {
  const auto [at, fresh] = shard.sessions.try_emplace(std::string(session.substr(0, kLongestId)));
  if (fresh) shard.order.emplace_back(now, at->first);
  at->second.touched = now;
  return at->second;
}

// What was last touched long ago goes; what was touched since it got in line gets in line again.
void Positions::clean(Shard& shard, TimePoint now) {
  const auto over = [&shard] { return shard.sessions.size() > kMostSessions / kShards; };
  for (std::size_t looked = 0; looked < 64 && !shard.order.empty(); ++looked) {
    if (!over() && now - shard.order.front().first < kKept) return;
    const auto [since, name] = std::move(shard.order.front());
    shard.order.pop_front();
    const auto found = shard.sessions.find(name);
    const bool old = now - found->second.touched >= kKept && found->second.writing == 0;
    if (!old && !over()) {
      shard.order.emplace_back(found->second.touched, name);
      continue;
    }
    if (!old) forgotten_.fetch_add(1);
    shard.sessions.erase(found);
  }
}

void Positions::advance(Session& session, const Position& position) {
  const auto known = std::ranges::find(session.positions, position.system, &Position::system);
  if (known == session.positions.end()) {
    if (session.positions.size() >= kMostSystems)
      session.positions.erase(session.positions.begin());
    session.positions.push_back(position);
  } else if (position.timeline > known->timeline ||
             (position.timeline == known->timeline && position.lsn > known->lsn)) {
    *known = position;
  }
}

void Positions::begin(std::string_view session, TimePoint now) {
  if (session.empty()) return;
  Shard& mine = shard(session.substr(0, kLongestId));
  const std::scoped_lock lock(mine.mutex);
  ++touch(mine, session, now).writing;
  clean(mine, now);
}

void Positions::end(std::string_view session, const std::optional<Position>& position,
                    TimePoint now) {
  if (session.empty()) return;
  Shard& mine = shard(session.substr(0, kLongestId));
  const std::scoped_lock lock(mine.mutex);
  Session& its = touch(mine, session, now);
  if (its.writing > 0) --its.writing;
  if (position) advance(its, *position);
  its.unknown_until = position ? TimePoint() : now + kKept;
}

void Positions::bring(std::string_view session, const Position& position, TimePoint now) {
  if (session.empty() || !position) return;
  Shard& mine = shard(session.substr(0, kLongestId));
  const std::scoped_lock lock(mine.mutex);
  advance(touch(mine, session, now), position);
  clean(mine, now);
}

Positions::Needs Positions::needs(std::string_view session, std::uint64_t system,
                                  TimePoint now) const {
  if (session.empty()) return {};
  session = session.substr(0, kLongestId);
  const Shard& mine = shard(session);
  const std::scoped_lock lock(mine.mutex);
  const auto found = mine.sessions.find(session);
  if (found == mine.sessions.end()) return {};
  Needs needs{.pending = found->second.writing > 0 || now < found->second.unknown_until};
  const auto position = std::ranges::find(found->second.positions, system, &Position::system);
  if (position != found->second.positions.end()) needs.position = *position;
  return needs;
}

Positions::Written Positions::written(std::string_view session, TimePoint now) const {
  if (session.empty()) return {};
  session = session.substr(0, kLongestId);
  const Shard& mine = shard(session);
  const std::scoped_lock lock(mine.mutex);
  const auto found = mine.sessions.find(session);
  if (found == mine.sessions.end()) return {};
  return {.pending = found->second.writing > 0 || now < found->second.unknown_until,
          .positions = found->second.positions};
}

}  // namespace headroom::link
