// TRACK and BATCH: the commands of Faktory's paid edition, as its documents describe them and its clients send them.
#include <fmt/format.h>

#include "headroom/base/text.h"
#include "headroom/fwp/reply.h"
#include "headroom/tasks/session.h"

namespace headroom::tasks {
namespace {

constexpr std::size_t kBidBytes = 8;
constexpr std::int64_t kMostPercent = 100;

}  // namespace

net::Task<> Session::track(std::string_view text) {
  const auto said = fwp::parse_track(text);
  if (!said) {
    refuse(said.error());
    co_return;
  }
  if (!said->set) {
    std::string answer;
    auto look = [&](Board& board, const Now&) { answer = board.track_of(said->jid).shown(); };
    const Result<> done = co_await shared_.engine.read(worker_, std::move(look));
    if (!done) {
      refuse(done.error());
      co_return;
    }
    fwp::append_bulk(out_, answer);
    co_return;
  }
  const auto until =
      said->reserve_until.empty() ? std::optional<WallTime>(0) : parse_time(said->reserve_until);
  if (!until || (said->percent && (*said->percent < 0 || *said->percent > kMostPercent))) {
    refuse({Errc::invalid, until ? "percent: expected 0 to 100"
                                 : "reserve_until: expected a time such as 2026-11-21T10:38:57Z"});
    co_return;
  }
  const Board::Progress progress{
      .jid = said->jid, .percent = said->percent, .desc = said->desc, .reserve_until = *until};
  auto change = [&progress](Board& board, const Now& now) {
    return board.note_progress(progress, now);
  };
  const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
  if (!done && done.error().code == Errc::conflict) {
    refuse({Errc::invalid, done.error().message});
    co_return;
  }
  accept_or_refuse(done);
}

net::Task<> Session::act_on_batch(std::string_view text) {
  using Act = fwp::BatchAct::Act;
  const auto said = fwp::parse_batch(text);
  if (!said) {
    refuse(said.error());
    co_return;
  }
  if (said->act == Act::create) {
    auto batch = Batch::read(said->definition, wall_now());
    if (!batch) {
      refuse(batch.error());
      co_return;
    }
    batch->bid = "b-" + text::random_hex(kBidBytes);
    auto change = [&batch](Board& board, const Now& now) { return board.add_batch(*batch, now); };
    const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
    if (!done) {
      refuse(done.error());
      co_return;
    }
    fwp::append_bulk(out_, batch->bid);
    co_return;
  }
  if (said->act == Act::commit) {
    auto change = [&said](Board& board, const Now& now) {
      return board.commit_batch(said->bid, now);
    };
    const Result<> done = co_await shared_.engine.write(worker_, std::move(change));
    accept_or_refuse(done);
    co_return;
  }
  std::optional<Batch> batch;
  auto look = [&](Board& board, const Now&) { batch = board.batch(said->bid); };
  const Result<> done = co_await shared_.engine.read(worker_, std::move(look));
  if (!done) {
    refuse(done.error());
  } else if (!batch || (said->act == Act::open && batch->success != Batch::State::waiting)) {
    refuse({Errc::not_found,
            fmt::format("{} {}", batch ? "Batch is over:" : "No such batch", said->bid)});
  } else {
    fwp::append_bulk(out_, said->act == Act::open ? batch->bid : batch->status());
  }
}

}  // namespace headroom::tasks
