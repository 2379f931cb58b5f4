#include "headroom/tasks/acknowledging.h"

namespace headroom::tasks {
namespace {

constexpr int kTries = 5;  // a job may move while it is looked for

}  // namespace

net::Task<Result<>> acknowledge(Engine& engine, net::Worker& worker, Acknowledgement said) {
  bool older = false;
  std::uint64_t boot_seq = 0;
  auto change = [&](Board& board, const Now& now) -> Result<> {
    older = board.may_be_older(said.jid, said.wid);
    boot_seq = board.boot_seq();
    return older ? Result<>{} : board.acknowledge(said.jid, said.wid, now, said.result);
  };
  Result<> done = co_await engine.write(worker, std::move(change));
  for (int i = 0; older && i < kTries; ++i) {
    Searches::Sought sought{.jid = std::string(said.jid), .up_to = boot_seq, .waiting = true};
    auto place = co_await engine.locate(worker, std::move(sought));
    if (!place) co_return pass(place);
    // Where it is not found, nothing of that name waits; unless it has come into memory meanwhile.
    auto there = [&](Board& board, const Now& now) {
      return *place ? board.acknowledge_at(said.jid, **place, said.wid, now, said.result)
                    : board.acknowledge(said.jid, said.wid, now, said.result);
    };
    done = co_await engine.write(worker, std::move(there));
    older = !done && done.error().code == Errc::conflict;
  }
  if (older) co_return fail(Errc::unavailable, "the job moves about; say it again");
  co_return done;
}

}  // namespace headroom::tasks
