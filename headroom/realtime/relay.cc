#include "headroom/realtime/relay.h"

#include <sys/socket.h>

#include "headroom/base/log.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {
namespace {

using Is = RelayLine::Is;

constexpr Duration kPatience = 30s;

}  // namespace

Relay::Relay(Shards& shards, net::Worker& worker, Cells& cells, int fd, Role role,
             std::function<void(bool)> told)
    : shards_(shards),
      worker_(worker),
      cells_(cells),
      role_(role),
      told_(std::move(told)),
      tasks_(worker),
      stream_(tasks_, fd, AF_UNIX),
      wake_(tasks_) {
  HR_ASSERT(tasks_.spawn([this] { return read(); }));
  HR_ASSERT(tasks_.spawn([this] { return write(); }));
}

void Relay::lead() { send(relay_line({.is = Is::lead, .places = true})); }

void Relay::ordered(const Message& message) {
  if (ended_.load(std::memory_order_relaxed)) return;
  post([this, line = relay_line(RelayLine::of(Is::ordered, message))]() mutable {
    send(std::move(line));
  });
}

void Relay::forward(Publication what) {
  post([this, what = std::move(what)]() mutable {
    what.number = 0;
    what.relayed = true;  // the app has been told of it already
    if (ended_) return publish(std::move(what));
    const std::uint64_t number = ++numbers_;
    forwarded_bytes_ += what.data.size() + what.channel.size();
    RelayLine line{.is = Is::publish, .what = what};
    line.what.number = number;
    forwarded_[number] = std::move(what);
    if (forwarded_bytes_ > kMostWaiting) return end();
    send(relay_line(line));
  });
}

void Relay::tell(std::string lines) {
  post([this, lines = std::move(lines)]() mutable {
    if (--still_telling_ == 0) lines += relay_line({.is = Is::told});
    most_waiting_ += lines.size();
    send(std::move(lines));
  });
}

void Relay::ask_place(const std::string& app, const std::string& channel) {
  RelayLine line{.is = Is::where};
  line.what.app = app;
  line.what.channel = channel;
  post([this, text = relay_line(line)]() mutable { send(std::move(text)); });
}

void Relay::tell_place(std::string whole, std::string without_messages, std::string end) {
  post([this, whole = std::move(whole), bare = std::move(without_messages), end = std::move(end)] {
    const bool fits = waiting_.size() + whole.size() <= kMostWaiting / 2;
    send((fits ? whole : bare) + end);
  });
}

void Relay::send(std::string line) {
  if (ended_) return;
  if (waiting_.size() + line.size() > most_waiting_) {
    cells_.relay_dropped.add();
    return end();  // what is left out would be missing in the other's order
  }
  if (waiting_.empty()) wake_.set();
  waiting_ += line;
}

void Relay::say_bye() {
  if (role_ != Role::follows || ended_ || writing_) return;
  const std::string last = std::exchange(waiting_, {}) + relay_line({.is = Is::bye});
  net::Gather gather;
  gather.add(last);
  (void)stream_.write_now(gather);
}

void Relay::got_back(std::uint64_t number) {
  const auto at = forwarded_.find(number);
  if (at == forwarded_.end()) return;
  forwarded_bytes_ -= at->second.data.size() + at->second.channel.size();
  forwarded_.erase(at);
}

void Relay::adopt(RelayLine line) {
  std::string key = channel_key(line.what.app, line.what.channel);
  shards_.post_home(key, [key, line = std::move(line)](Shard& shard) mutable {
    shard.homes.adopt(key, std::move(line));
  });
}

// Behind what was posted to the channel's home before.
void Relay::publish(Publication what) {
  std::string key = channel_key(what.app, what.channel);
  shards_.post_home(key, [key, what = std::move(what)](Shard& shard) mutable {
    shard.homes.publish(key, std::move(what));
  });
}

bool Relay::take_as_leader(RelayLine line) {
  std::string key = channel_key(line.what.app, line.what.channel);
  switch (line.is) {
    case Is::home:
    case Is::kept:
    case Is::last: adopt(std::move(line)); return true;
    case Is::where:
      shards_.post_home(key, [this, key, line = std::move(line)](Shard& shard) {
        shard.homes.tell_place(key, line, *this);
      });
      return true;
    case Is::told:
      if (told_) std::exchange(told_, {})(true);
      return true;
    case Is::bye: return bye_ = true;
    case Is::publish:
      cells_.relayed.add();
      publish(std::move(line.what));
      return true;
    default: return false;
  }
}

bool Relay::take(RelayLine line) {
  if (role_ == Role::leads) return take_as_leader(std::move(line));
  if (role_ == Role::asked && line.is == Is::lead) {
    role_ = Role::follows;
    tells_places_ = line.places;
    still_telling_ = shards_.size();
    shards_.follow(*this);
    return true;
  }
  return role_ == Role::follows && take_as_follower(std::move(line));
}

bool Relay::take_as_follower(RelayLine line) {
  std::string key = channel_key(line.what.app, line.what.channel);
  switch (line.is) {
    case Is::home:
    case Is::kept:
    case Is::last: adopt(std::move(line)); return true;
    case Is::here:
      shards_.post_home(key, [key](Shard& shard) { shard.homes.placed(key); });
      return true;
    case Is::ordered:
      cells_.relayed.add();
      got_back(line.what.number);
      shards_.post_home(key, [key, line = std::move(line)](Shard& shard) mutable {
        shard.homes.ordered(key, std::move(line));
      });
      return true;
    default: return false;
  }
}

// False: a line that is none.
bool Relay::take_lines(std::string& waiting) {
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = waiting.find('\n', begin)) != std::string::npos;
       begin = end + 1) {
    auto line = read_relay_line(std::string_view(waiting).substr(begin, end - begin));
    if (line && take(std::move(*line))) continue;
    log::warn("realtime", "relay: {}", line ? "a line out of turn" : line.error().message);
    return false;
  }
  waiting.erase(0, begin);
  return waiting.size() <= kMostRelayLine;
}

net::Task<> Relay::read() {
  std::string waiting;
  std::vector<char> piece(64U << 10U);
  for (;;) {
    auto bytes = co_await stream_.read_some(piece);
    if (!bytes || *bytes == 0) break;
    try {
      waiting.append(piece.data(), *bytes);
      if (!take_lines(waiting)) break;
    } catch (const std::exception& error) {
      log::error("realtime", "relay: {}", error.what());
      break;
    }
  }
  over();
}

void Relay::over() {
  ended_ = true;
  waiting_ = {};
  stream_.abort(Errc::cancelled);
  wake_.set();
  if (told_) std::exchange(told_, {})(false);
  if (role_ == Role::leads && !tasks_.stopped()) shards_.relay_ended(bye_);
  if (role_ == Role::follows && !tasks_.stopped()) {
    log::warn("realtime",
              "no longer connected to the process that took over: clients are told to come back");
    shards_.order_alone();
    for (auto& [number, what] : std::exchange(forwarded_, {})) publish(std::move(what));
  }
  shards_.forget(*this);
}

net::Task<> Relay::write() {
  while (!ended_) {
    if (waiting_.empty()) {
      auto woken = co_await wake_.wait();
      if (!woken) co_return;
      continue;
    }
    const std::string lines = std::exchange(waiting_, {});
    stream_.expire_writes_at(Clock::now() + kPatience);
    writing_ = true;
    auto written = co_await stream_.write(lines);
    writing_ = false;
    if (!written) {
      stream_.abort(Errc::cancelled);
      co_return;
    }
  }
}

}  // namespace headroom::realtime
