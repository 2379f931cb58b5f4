#include "headroom/sql/statements.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"

namespace headroom::sql {

struct Statements::Index {
  mutable std::mutex mutex;
  std::uint64_t next = 1;
  std::size_t bytes = 0;
  std::size_t most = SIZE_MAX;
  std::unordered_multimap<std::uint64_t, std::weak_ptr<const Statement>> by_hash;

  // One of this hash has ended.
  void forget(std::uint64_t hash, std::size_t its_bytes) {
    const std::scoped_lock lock(mutex);
    bytes -= its_bytes;
    const auto [begin, end] = by_hash.equal_range(hash);
    for (auto at = begin; at != end; ++at) {
      if (!at->second.expired()) continue;
      by_hash.erase(at);
      return;
    }
  }
};

// The random part keeps clients from naming other clients' statements.
Statements::Statements()
    : index_(std::make_shared<Index>()), prefix_("headroom_" + text::random_hex(6)) {}

std::string Statements::name_of(std::uint64_t id) const {
  return fmt::format("{}_{}", prefix_, id);
}

std::size_t Statements::size() const {
  const std::scoped_lock lock(index_->mutex);
  return index_->by_hash.size();
}

std::size_t Statements::bytes() const {
  const std::scoped_lock lock(index_->mutex);
  return index_->bytes;
}

void Statements::limit(std::size_t most) {
  const std::scoped_lock lock(index_->mutex);
  index_->most = most;
}

std::string reading_settings(const postgres::Settings& settings) {
  std::vector<std::string> read;
  for (const auto& [name, value] : settings) {
    if (!is_read_by(name)) continue;
    read.push_back(fmt::format("{} {} {}", name, value.size(), value));
  }
  std::ranges::sort(read);
  std::string all;
  for (const std::string& each : read) all += each;
  return all;
}

namespace {

std::uint64_t hash_of(std::string_view query, std::string_view types, std::string_view read_by) {
  return hash64(query, hash64(types, hash64(read_by)));
}

}  // namespace

StatementPointer Statements::intern(std::string_view query, std::string_view types,
                                    std::string_view read_by) {
  const std::uint64_t hash = hash_of(query, types, read_by);
  std::vector<StatementPointer> held;  // ends after the lock, which the end of a statement takes
  const std::scoped_lock lock(index_->mutex);
  const auto [begin, end] = index_->by_hash.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    auto one = at->second.lock();
    if (!one) continue;
    held.push_back(one);
    if (one->query == query && one->types == types && one->read_by == read_by) return one;
  }
  if (index_->bytes + query.size() + types.size() > index_->most) return nullptr;
  return make(hash, query, types, read_by);
}

StatementPointer Statements::make(std::uint64_t hash, std::string_view query,
                                  std::string_view types, std::string_view read_by) {
  const std::uint64_t id = index_->next++;
  auto* made = new Statement{id,
                             name_of(id),
                             std::string(query),
                             std::string(types),
                             std::string(read_by),
                             effects_of(query),
                             std::make_shared<const Decision>(classify(query)),
                             fingerprint_of(query)};
  StatementPointer statement(made, [index = index_, hash](const Statement* gone) {
    const std::size_t bytes = gone->bytes();
    delete gone;
    index->forget(hash, bytes);
  });
  index_->bytes += statement->bytes();
  index_->by_hash.emplace(hash, statement);
  return statement;
}

// Who comes later with the old one gets what the first has made.
StatementPointer Statements::renew(const StatementPointer& old) {
  const std::uint64_t hash = hash_of(old->query, old->types, old->read_by);
  {
    const std::scoped_lock lock(index_->mutex);
    const auto [begin, end] = index_->by_hash.equal_range(hash);
    for (auto at = begin; at != end; ++at) {
      if (at->second.owner_before(old) || old.owner_before(at->second)) continue;
      index_->by_hash.erase(at);
      return make(hash, old->query, old->types, old->read_by);
    }
  }
  auto made = intern(old->query, old->types, old->read_by);
  return made ? made : old;
}

const StatementPointer* ClientStatements::find(std::string_view name) const {
  const auto found = by_name_.find(std::string(name));
  return found == by_name_.end() ? nullptr : &found->second;
}

StatementPointer ClientStatements::put(const std::string& name, const StatementPointer& statement) {
  StatementPointer before;
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    before = std::move(found->second);
    bytes_ -= before->bytes();
    by_name_.erase(found);
  }
  if (statement) {
    bytes_ += statement->bytes();
    by_name_.emplace(name, statement);
  }
  return before;
}

void ClientStatements::replace(const StatementPointer& old, const StatementPointer& fresh) {
  for (auto& [name, statement] : by_name_) {
    if (statement == old) statement = fresh;  // of the same text
  }
}

void ClientStatements::clear() {
  by_name_.clear();
  bytes_ = 0;
}

}  // namespace headroom::sql
