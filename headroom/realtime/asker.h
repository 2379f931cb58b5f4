// headroom/realtime/asker.h - asks the app who may listen to what: once for all who ask the same at once, and remembers a yes for seconds.
//
//   POST {[realtime.authorization] url}       with the client's Cookie, Authorization and CSRF fields
//   Content-Type: application/x-www-form-urlencoded
//   socket_id=1.2&channel_name=orders[&user_id=ann]
//   Headroom-Signature: t=..,v1=..            with [realtime.authorization] secret: the hub asks, so user_id can be believed
//
//   200 {"auth"?: "key:signature", "channel_data"?: "{...}"}   yes; any other status: no
//
// That is what the Pusher protocol's clients ask for a private channel, so one endpoint of the app serves all faces. When everybody comes back
// at once, the app hears a question once: so a storm of reconnects is none of questions.
//
// Owns: what is remembered, the questions under way and their connections. Borrows: the resolver, the shards.
// Worker: one; each worker has an Asker, and a question belongs to the one that its session and channel hash to. ask() is for any worker.
// Invariants: (1) only a yes is remembered, for `remember` at most, under a hash of all that the client showed and the channel; (2) an answer
//   that holds more than `auth` and `channel_data` (a shared secret) is the asker's alone; (3) no answer is a no; (4) a
//   question has its turn when the first of the addresses that ask it has, and those of an address that has waited too long are told so, with who of it came later.
// Limits: kMostRemembered answers; kMostAsked questions under way on all workers, questions_per_address of them of one address: the others wait
//   their turn (turns.h), `timeout` at most; kMostWaiting who wait, beyond which the answer is Errc::overloaded; `timeout` for the app.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/base/metrics.h"
#include "headroom/http/call.h"
#include "headroom/net/task_group.h"
#include "headroom/realtime/settings.h"

namespace headroom::realtime {

// What the client shows of itself: fields of its request that the app may know it by.
using Credentials = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Credentials credentials_in(const http::RequestHead& head);

struct Question {
  Credentials credentials;
  std::string socket_id;
  std::string channel;
  std::string user;  // as a token said; "" unknown
  IpAddress from{};  // whose question it is
};

struct Answer {
  bool allowed = false;
  unsigned status = 403;
  std::string body;          // as the app wrote it
  std::string channel_data;  // of a presence channel
  bool shared =
      false;  // it was another's question, or is remembered: `body` is signed for another socket
  bool alone = false;  // `body` holds what is for one socket only
};

class Shards;

class Asker {
 public:
  static constexpr std::size_t kMostRemembered = 20000;
  static constexpr std::size_t kMostAsked = 1000;
  static constexpr std::size_t kMostWaiting = 20000;
  // Of one client; who asks for it sees to that.
  static constexpr std::size_t kAskedAtOnce = 4;

  Asker(Shards& shards, net::Worker& worker, net::Resolver& resolver, metrics::Registry& registry);
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  // From any worker, the group's. Errc::unavailable, timeout, overloaded, protocol: the app has not answered; cancelled: the group stops.
  [[nodiscard]] static net::Task<Result<Answer>> ask(Shards& shards, net::TaskGroup& group,
                                                     std::shared_ptr<const Settings> settings,
                                                     Question question);
  // Several at once, answered together; the caller keeps them few. Errc::cancelled.
  [[nodiscard]] static net::Task<Result<std::vector<Result<Answer>>>> ask_all(
      Shards& shards, net::TaskGroup& group, std::shared_ptr<const Settings> settings,
      std::vector<Question> questions);
  // Anything else that a client asks there: to the app, and back, in the turn of its address. On the group's worker.
  [[nodiscard]] net::Task<Result<Answer>> pass_on(net::TaskGroup& group,
                                                  std::shared_ptr<const Settings> settings,
                                                  Credentials credentials, std::string content_type,
                                                  std::string body, IpAddress from);
  void upkeep(TimePoint now);
  [[nodiscard]] net::TaskGroup& tasks() { return tasks_; }

 private:
  // Who waits: answered on the worker that asked.
  struct Waiting {
    Question question;
    std::shared_ptr<const Settings> settings;
    std::function<void(Result<Answer>)> tell;
  };
  struct Asked {
    std::vector<Waiting> waiting;  // the first is whose question is under way
    std::uint64_t number = 0;      // so that a turn for an earlier one is not taken for one to this
    bool begun = false;
    std::set<std::uint64_t> addresses;  // that wait their turn for it
  };
  struct Known {
    Answer answer;
    TimePoint until{};
  };
  void take(const std::string& key, Waiting who);
  void await_turn(const std::string& key, Asked& asked, const Waiting& who);
  // The address has its turn for the question of that number, or has waited too long.
  void take_turn(const std::string& key, std::uint64_t number, std::uint64_t address);
  void miss_turn(const std::string& key, std::uint64_t number, std::uint64_t address);
  void end_turn(std::uint64_t address);
  // Until an address has its turn, which end_turn() ends. Errc::overloaded, cancelled.
  [[nodiscard]] net::Task<Result<>> own_turn(net::TaskGroup& group, std::uint64_t address,
                                             const AuthorizationOptions& options);
  void settle(const std::string& key, const Result<Answer>& answer, Duration remember);
  [[nodiscard]] net::Task<> call(std::string key, std::uint64_t address,
                                 std::shared_ptr<const Settings> settings, Question question);

  Shards& shards_;
  net::Worker& worker_;
  net::Resolver& resolver_;
  metrics::Cell& calls_;
  metrics::Cell& spared_;
  metrics::Cell& failed_;
  metrics::Cell& refused_;
  std::unordered_map<std::string, Known> known_;
  std::map<std::string, Asked> asked_;  // by key
  std::size_t waiting_ = 0;
  std::uint64_t numbers_ = 0;
  net::TaskGroup tasks_;
};

}  // namespace headroom::realtime
