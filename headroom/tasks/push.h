// headroom/tasks/push.h - jobs of a queue, POSTed to a URL: no worker process at all.
//
//   POST /jobs HTTP/1.1
//   Content-Type: application/json
//   Headroom-Job: 0f8e...            its jid; Headroom-Job-Type, Headroom-Attempt (from 1)
//   Headroom-Signature: t=1795257600,v1=<hex HMAC-SHA256 of "<t>.<body>" with the secret>
//
//   {"jid": "0f8e...", "jobtype": "Mail", "args": [...], ...}
//
// 2xx acknowledges; any other answer, or none, is a failure: the job is tried again by its back-off, not before what Retry-After says.
//
// Owns: a Runner for each target. Borrows: the engine, the workers. Worker and threads: those of the Runner; look-ups on the resolver's.
// Invariants: (1) redirects are not followed; (2) the address is looked up for each attempt, judged, and connected to as it was judged; one that
//   is not public is refused unless `allow` has it; (3) with https the certificate is verified; (4) secrets are never logged.
// Limits: `at_once` requests a target, `timeout` each; of an answer kMostAnswer bytes are read; Retry-After counts up to a day.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/address.h"
#include "headroom/net/resolver.h"
#include "headroom/net/tls.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/runner.h"

namespace headroom::tasks {

struct PushUrl {
  bool tls = false;
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::string authority;  // as the Host field has it
  std::string target;     // path and query
};
// "https://app.example/jobs?x=1". Errc::invalid: another scheme, user data, a fragment.
[[nodiscard]] Result<PushUrl> parse_push_url(const std::string& text);

// Neither private, loopback, link-local (metadata services), shared, reserved nor multicast.
[[nodiscard]] bool is_public(const IpAddress& address);

// "t=<seconds>,v1=<hex>".
[[nodiscard]] std::string signature(std::string_view secret, std::string_view body, WallTime at);

// The time that a Retry-After means, at most a day ahead; 0: none.
[[nodiscard]] WallTime retry_time(std::string_view field, WallTime now);

class Push {
 public:
  static constexpr std::size_t kMostAnswer = 64U << 10U;

  // Errc::invalid: a certificate file.
  [[nodiscard]] static Result<std::unique_ptr<Push>> make(Engine& engine, net::Workers& workers,
                                                          net::Resolver& resolver,
                                                          const std::vector<PushOptions>& targets);
  ~Push();

  void start();
  // Runner::fetch_no_more(), fetch_again(), running() of all targets.
  void fetch_no_more();
  void fetch_again();
  [[nodiscard]] std::size_t running() const;
  void stop();

 private:
  struct Target;
  Push() = default;
  [[nodiscard]] static net::Task<Result<>> deliver(Target& target, Work& work);

  std::vector<std::unique_ptr<Target>> targets_;
};

}  // namespace headroom::tasks
