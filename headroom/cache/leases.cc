#include "headroom/cache/leases.h"

#include "headroom/base/text.h"

namespace headroom::cache {

net::Task<Result<Leases::Offer>> Leases::get(net::TaskGroup& group, std::string key, ClassId cls,
                                             Duration lease_time, TimePoint deadline) {
  if (key.empty() || key.size() > kKeyLimit)
    co_return fail(Errc::invalid, "a key has 1 to 1024 bytes");
  const std::size_t worker = group_.worker().index();
  while (true) {
    Found found =
        cache_.lookup(worker, {.space = Space::app, .key = key, .now = cache_.now_()}, cls);
    if (found.answer == Answer::join) {
      Ticket ticket = std::move(found.ticket);
      auto waited = co_await cache_.wait(group, ticket, deadline);
      if (waited) {
        found = std::move(*waited);
      } else if (ObjectRef stale = ticket.stale(); stale && waited.error().code == Errc::timeout) {
        found.answer = Answer::stale;
        found.object = std::move(stale);
      } else {
        co_return pass(waited);
      }
    }
    if (found.answer != Answer::again) co_return offer(std::move(found), lease_time);
  }
}

Result<Leases::Offer> Leases::offer(Found found, Duration lease_time) {
  if (found.answer == Answer::overloaded)
    return headroom::fail(Errc::overloaded, "too many wait for this key");
  Offer made;
  if (found.object) {
    auto value = cache_.open(found.object);
    if (!value) return pass(value);
    made.value = std::move(*value);
    made.ttl_left = found.object->fresh_until() - cache_.now_();
  }
  if (!found.lease) return made;
  auto id = give(std::move(found.lease), lease_time);
  if (!id && !made.value) return pass(id);
  if (id) made.lease = std::move(*id);
  return made;
}

Result<std::string> Leases::give(Lease lease, Duration lease_time) {
  if (out_.size() >= kMost) return headroom::fail(Errc::overloaded, "too many leases are out");
  std::string id = text::random_hex(16);
  const TimePoint now = Clock::now();
  const auto due = due_.emplace(now + lease_time, id);
  out_.emplace(id, Out{std::move(lease), now, due});
  if (earlier_ != nullptr && due == due_.begin()) earlier_->set();
  if (!expiring_) {
    expiring_ = group_.spawn([this] { return expire(); });
    if (!expiring_) {
      static_cast<void>(take(id, out_.at(id).lease.key()));
      return headroom::fail(Errc::overloaded, "too many loads run");
    }
  }
  return id;
}

net::Task<> Leases::expire() {
  net::Event earlier(group_);
  earlier_ = &earlier;
  while (!due_.empty()) {
    const TimePoint next = due_.begin()->first;
    auto waited = co_await earlier.wait(next);
    if (!waited && waited.error().code == Errc::cancelled) break;
    while (!due_.empty() && due_.begin()->first <= Clock::now()) {
      const auto at = out_.find(due_.begin()->second);
      due_.erase(due_.begin());
      const Lease ended = std::move(at->second.lease);  // its end gives it to one who waits
      out_.erase(at);
    }
  }
  earlier_ = nullptr;
  expiring_ = false;
}

Result<Leases::Out> Leases::take(std::string_view id, std::string_view key) {
  const auto at = out_.find(std::string(id));
  if (at == out_.end() || at->second.lease.key() != key) {
    return headroom::fail(
        Errc::conflict,
        "there is no such lease of this key: it has ended, or was given by another process");
  }
  Out taken = std::move(at->second);
  due_.erase(taken.due);
  out_.erase(at);
  return taken;
}

Result<bool> Leases::fill(std::string_view id, std::string_view key, const Storing& how,
                          Loaded loaded) {
  auto taken = take(id, key);
  if (!taken) return pass(taken);
  const auto kept = cache_.keep(group_.worker().index(), std::move(taken->lease), how,
                                std::move(loaded), elapsed(taken->began, Clock::now()));
  if (!kept || !*kept) return false;
  const ObjectRef seen =
      cache_.memory_.peek({.space = Space::app, .key = key, .now = cache_.now_()});
  return seen && &*seen == &**kept;
}

Result<> Leases::give_up(std::string_view id, std::string_view key) {
  auto taken = take(id, key);
  if (!taken) return pass(taken);
  return {};
}

void Leases::end() {
  due_.clear();
  out_.clear();
}

}  // namespace headroom::cache
