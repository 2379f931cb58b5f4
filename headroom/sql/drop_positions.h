// headroom/sql/drop_positions.h - how far the log had come when what pages were made of was dropped: only a replica that has come as far may be read
// for a page, since an older one would bring back what has just been dropped.
//
// Owns: for each table that was written, when it was last dropped and, once that is known, a place in the log behind every commit that did so.
// Threads: any; a short lock, once for each commit that drops and each read on a replica for a page (only where a database has replicas).
// Invariants: (1) from dropped() until the primary was asked for its position after it, needs() says that only the primary will do; (2) what needs()
//   then gives lies behind every commit of these tables that had been dropped.
// Limits: kMostTables, beyond which all count as dropped now.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include "headroom/base/clock.h"
#include "headroom/link/positions.h"
#include "headroom/sql/catalogue.h"

namespace headroom::sql {

class DropPositions {
 public:
  static constexpr std::size_t kMostTables = 10'000;

  // Before what read these tables is dropped; and before all is.
  void dropped(std::span<const Oid> tables, TimePoint now);
  void dropped_all(TimePoint now);
  // The primary's log had come to `position` when it was asked, at `as_of` or later.
  void asked(TimePoint as_of, const link::Position& position);
  // What a server must have to be read for a page; {}: nothing in particular. Nothing: only the primary will do.
  [[nodiscard]] std::optional<link::Position> needs(std::span<const Oid> tables);

 private:
  struct Drop {
    TimePoint when{};
    link::Position behind{};  // none: not known yet
  };
  [[nodiscard]] bool settle(Drop& drop) const;

  std::mutex mutex_;
  std::unordered_map<Oid, Drop> tables_;
  std::optional<Drop> all_;
  TimePoint asked_{};
  link::Position position_{};
};

}  // namespace headroom::sql
