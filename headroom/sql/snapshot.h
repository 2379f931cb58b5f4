// headroom/sql/snapshot.h - which transactions are over, as txid_current_snapshot() says it: "xmin:xmax:xip,xip".
//
// A value. Numbers are compared by their low 32 bits, as the log has them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace headroom::sql {

class Snapshot {
 public:
  [[nodiscard]] static std::optional<Snapshot> parse(std::string_view text);
  // Whether who takes a snapshot now sees the end of this transaction, which has ended already, or is about to.
  [[nodiscard]] bool sees(std::uint32_t xid) const;

 private:
  std::uint32_t xmin_ = 0, xmax_ = 0;
  std::vector<std::uint32_t> running_;
};

}  // namespace headroom::sql
