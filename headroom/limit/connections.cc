#include "headroom/limit/connections.h"

#include <utility>

#include "headroom/base/hash.h"

namespace headroom::limit {

std::uint64_t Connections::key_of(const IpAddress& address) {
  const auto bytes = address.bytes();
  const std::size_t counted = address.is_v4() ? bytes.size() : 8;
  return hash64({reinterpret_cast<const char*>(bytes.data()), counted});
}

Connections::Ticket& Connections::Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    end();
    owner_ = std::exchange(other.owner_, nullptr);
    key_ = other.key_;
  }
  return *this;
}

void Connections::Ticket::end() {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->end(key_);
}

void Connections::set_limits(std::uint64_t most, std::uint64_t most_per_address) {
  most_.store(most, std::memory_order_relaxed);
  most_per_address_.store(most_per_address, std::memory_order_relaxed);
}

Connections::Ticket Connections::admit(const IpAddress& address) { return admit(key_of(address)); }

Connections::Ticket Connections::admit(std::uint64_t key) {
  Ticket ticket;
  const std::uint64_t most = most_.load(std::memory_order_relaxed);
  if (open_.fetch_add(1, std::memory_order_relaxed) >= most && most != 0) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return ticket;
  }
  const std::uint64_t per_address = most_per_address_.load(std::memory_order_relaxed);
  Shard& home = shard(key);
  const std::scoped_lock lock(home.mutex);
  std::uint32_t& count = home.open[key];
  if (per_address != 0 && count >= per_address) {
    open_.fetch_sub(1, std::memory_order_relaxed);
    return ticket;
  }
  ++count;
  ticket.owner_ = this;
  ticket.key_ = key;
  return ticket;
}

void Connections::end(std::uint64_t key) {
  open_.fetch_sub(1, std::memory_order_relaxed);
  Shard& home = shard(key);
  const std::scoped_lock lock(home.mutex);
  const auto at = home.open.find(key);
  if (--at->second == 0) home.open.erase(at);
}

}  // namespace headroom::limit
