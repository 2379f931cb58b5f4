// headroom/server/live.h - the overview of this moment: is it well, how much is left and what gives out first, what has changed; once, or each second.
//
// Owns: the text of the last second, made once for all who watch, and only while somebody does. Borrows: `sources`.
// Worker and threads: refresh() on the trends thread after each sample; the endpoints' tasks on a worker take a share of the text.
// Invariants: (1) a watcher who reads slowly misses seconds, never sees old ones late; (2) a stream ends within a second once who watches may no
//   longer (their token is revoked, they sign out), and after kStreamLife.
// Limits: kWatchers streams.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

class Live {
 public:
  static constexpr unsigned kWatchers = 64;
  static constexpr Duration kStreamLife = std::chrono::minutes(15);

  explicit Live(const Sources& sources) : sources_(sources) {}
  void refresh();
  void add_endpoints(Api& api);

 private:
  [[nodiscard]] std::string make() const;
  [[nodiscard]] net::Task<http::Reply> stream(http::Exchange& exchange, const Call& call);

  const Sources& sources_;
  std::atomic<unsigned> watchers_{0};
  std::mutex mutex_;  // of text_: held for a copy of the pointer
  std::shared_ptr<const std::string> text_;
};

}  // namespace headroom::server
