// headroom/edge/pagination.h - pagination for routes whose app has none: Link fields by page or offset, totals remembered for a while.
//
// A route's rule ([edge.routes.pagination]) names the query fields. The total is what the answer says (total_header), else what was remembered of
//   the same list, else what count_path answers, asked as the same client.
// Owns: a route's rule and, for each worker, the totals it remembers. Worker: Pagination is read by all, each uses only its own Totals.
// Invariants: (1) an answer that has a Link of its own is left as it is; (2) a total is remembered for one list (path, query without the
//   page's fields) of one client (Authorization, Cookie); (3) one request at a time asks for a total, the others do not wait for it.
// Limits: kMostTotals a worker and route; page, offset and limit up to kMostNumber; asking takes kPatience at most.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/options.h"
#include "headroom/http/message.h"

namespace headroom::edge {

struct Request;

// One worker's.
class Totals {
 public:
  using Key = std::array<std::byte, 32>;
  static constexpr std::size_t kMostTotals = 4096;

  [[nodiscard]] std::optional<std::uint64_t> find(const Key& key, TimePoint now) const;
  // Whether nothing is known and nobody asks: the caller then does, and ends with put() or forget().
  [[nodiscard]] bool begin(const Key& key, TimePoint now, Duration patience);
  void put(const Key& key, std::uint64_t total, TimePoint until);
  void forget(const Key& key) { known_.erase(key); }

 private:
  struct Known {
    std::optional<std::uint64_t> total;
    TimePoint until;
  };
  void make_room(TimePoint now);
  std::map<Key, Known> known_;
};

class Pagination {
 public:
  static constexpr std::uint64_t kMostNumber = 1'000'000'000;
  static constexpr Duration kPatience = 2s;

  // The part of a list that a request asks for.
  struct Part {
    bool by_page = false;
    std::uint64_t start = 0;  // page from 1, or offset from 0
    std::uint64_t limit = 0;
  };

  Pagination(const PaginationOptions& options, std::size_t workers)
      : options_(options), totals_(workers) {}

  [[nodiscard]] std::optional<Part> part_of(const http::RequestHead& head) const;
  // `Link: </a?page=1>; rel="first", ...` as a whole line.
  [[nodiscard]] std::string link_line(const http::RequestHead& head, const Part& part,
                                      std::optional<std::uint64_t> total) const;
  // The query without what names the part.
  [[nodiscard]] std::string list_query(const http::RequestHead& head) const;

  // Before a request is forwarded: asks for the total where it is not known.
  [[nodiscard]] net::Task<> prepare(const Request& r, InnerDoor& door);
  // The lines for an answer; remembers the total that it says.
  void append_lines(std::string& out, const Request& r, const http::ResponseHead& answer);

 private:
  [[nodiscard]] bool is_page_field(std::string_view name) const;
  [[nodiscard]] Totals::Key key_of(const http::RequestHead& head) const;
  [[nodiscard]] std::string reference(const http::RequestHead& head, const Part& part,
                                      std::uint64_t start) const;
  [[nodiscard]] net::Task<std::optional<std::uint64_t>> ask(const Request& r,
                                                            InnerDoor& door) const;
  [[nodiscard]] std::optional<std::uint64_t> total_in(const InnerAnswer& answer) const;

  const PaginationOptions options_;
  std::vector<Totals> totals_;  // by worker
};

}  // namespace headroom::edge
