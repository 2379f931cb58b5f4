// headroom/edge/refresher.h - stored answers asked for anew in the background: stale-while-revalidate, and early refresh (XFetch).
//
// A client that meets such an answer gets it at once; the right to fill that came with it (the cache's lease) is handed to a task here, which
//   makes a request of our own by InnerClient. That request claims the lease when it comes to Pages: so it is routed, admitted, forwarded,
//   stored and logged by the same code as any other.
// Owns: the leases until they are claimed, a task each, and which keys rest after a failure. Borrows: the group, the door. Worker: one.
// Invariants: (1) a key is refreshed once at a time, and who needs the answer meanwhile waits for it (the lease sees to both); (2) a refresh
//   carries the fields that the answer varies by and nothing else of a user's; an answer that varies by credentials is not refreshed here;
//   (3) what does not come to an answer leaves the stored one, and its key rests for kRest; (4) after drain() none begins.
// Limits: edge.cache.background_refreshes at once on each worker, each for refresh_timeout; 1,024 resting keys.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "headroom/base/metrics.h"
#include "headroom/cache/lease.h"
#include "headroom/edge/inner_client.h"
#include "headroom/edge/request.h"

namespace headroom::edge {

enum class Refreshed : std::uint8_t { renewed, not_stored, failed };

struct RefreshCells {
  metrics::Cell* renewed = nullptr;
  metrics::Cell* not_stored = nullptr;
  metrics::Cell* failed = nullptr;
  metrics::Cell* refused = nullptr;  // too many at once
};

class Refresher {
 public:
  static constexpr Duration kRest = std::chrono::seconds(1);
  static constexpr std::size_t kMostResting = 1024;

  Refresher(net::TaskGroup& group, InnerDoor& door, const RefreshCells& cells)
      : group_(group), door_(door), cells_(cells) {}
  Refresher(const Refresher&) = delete;
  Refresher& operator=(const Refresher&) = delete;

  // Whether the answer that lies in the request's place can be asked for without its user.
  [[nodiscard]] static bool can(const Request& request);
  // Refreshes what lies there. False: not now, and the lease has ended.
  [[nodiscard]] bool begin(const Request& request, cache::Lease lease);

  // For the request of our own that asks for this key: what it fills; empty when it is none of begin()'s.
  [[nodiscard]] cache::Lease claim(const std::string& key);
  // How that went.
  void note(const std::string& key, Refreshed outcome);

  void drain() { draining_ = true; }

 private:
  struct Job {
    std::string key;
    std::string target;
    std::string host;
    FieldTexts fields;
    InnerPeer peer;
    InnerBounds bounds;
    cache::Lease lease;
    Refreshed outcome = Refreshed::failed;
  };

  [[nodiscard]] bool rests(const std::string& key);
  void rest(const std::string& key);
  [[nodiscard]] net::Task<> run(std::shared_ptr<Job> job);

  net::TaskGroup& group_;
  InnerDoor& door_;
  const RefreshCells cells_;
  std::unordered_map<std::string, std::shared_ptr<Job>> running_;
  std::unordered_map<std::string, TimePoint> resting_;
  bool draining_ = false;
};

}  // namespace headroom::edge
