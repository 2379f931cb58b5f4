#include "headroom/tasks/log_ins.h"

#include <optional>

#include "headroom/base/hash.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kNetBytes = 8;  // of an IPv6 address

std::uint64_t line_of(const IpAddress& address) {
  const auto bytes = address.bytes();
  const std::size_t counted = address.is_v4() ? bytes.size() : kNetBytes;
  return hash64({reinterpret_cast<const char*>(bytes.data()), counted});
}

}  // namespace

net::Task<Result<std::string>> LogIns::run(net::Worker& worker, const IpAddress& address,
                                           std::function<std::string()> work) {
  std::optional<std::string> answer;
  net::TaskGroup own(worker);  // never stopped: the work uses this frame
  net::Event done(own);
  const bool accepted = line_up(line_of(address), [&] {
    if (!ended_) answer = work();
    worker.post([&] { done.set(); });
  });
  if (!accepted) co_return fail(Errc::overloaded, "too many log in at once");
  (void)co_await done.wait();
  if (!answer) co_return fail(Errc::cancelled, "the server ends");
  co_return std::move(*answer);
}

bool LogIns::line_up(std::uint64_t line, Work work) {
  {
    const std::scoped_lock lock(mutex_);
    std::deque<Work>& waiting = lines_[line];
    if (waiting.size() >= kMostOfAddress) return false;
    // Each in a line has one of these to run it, or whoever has its turn then.
    if (!thread_.submit([this] { run_next(); })) {
      if (waiting.empty()) lines_.erase(line);
      return false;
    }
    if (waiting.empty()) turns_.push_back(line);
    waiting.push_back(std::move(work));
  }
  return true;
}

void LogIns::run_next() {
  Work work;
  {
    const std::scoped_lock lock(mutex_);
    const std::uint64_t line = turns_.front();
    turns_.pop_front();
    const auto at = lines_.find(line);
    work = std::move(at->second.front());
    at->second.pop_front();
    if (at->second.empty()) {
      lines_.erase(at);
    } else {
      turns_.push_back(line);
    }
  }
  work();
}

}  // namespace headroom::tasks
