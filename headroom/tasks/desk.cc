#include "headroom/tasks/desk.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

std::string state_of(LaneId lane, bool leased) {
  if (leased) return "running";
  if (lane == kScheduled) return "scheduled";
  if (lane == kRetries) return "retrying";
  return lane == kDead ? "dead" : "waiting";
}

JobView view_of(Board::Whereabouts found) {
  return {state_of(found.stored.place.lane, found.leased), std::move(found.stored.job),
          found.stored.place, std::move(found.wid), found.leased_s};
}

}  // namespace

Enqueueing::Enqueueing(const std::vector<std::string>& texts, Bytes limit, link::Spans* spans) {
  const TimePoint began = Clock::now();
  done_.jids.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto job = read_job(with_jid(texts[i], text::random_hex(12)), wall_now(), {.bytes = limit});
    if (job) {
      if (Pushing pushing(spans, *job, began); pushing) traced_.emplace_back(i, std::move(pushing));
      jobs_.emplace_back(i, std::move(*job));
    } else {
      done_.refusals.emplace_back(i, job.error());
    }
  }
  unread_ = done_.refusals.size();
}

Result<> Enqueueing::write(Board& board, const Now& now) {
  done_.refusals.resize(unread_, {0, Error{}});  // it may be run again
  for (auto& [index, job] : jobs_) {
    const std::string jid = job.jid;
    auto pushed = board.offer(job, now);
    if (board.store_error()) return pushed;
    done_.jids[index] = pushed ? jid : "";
    if (!pushed) done_.refusals.emplace_back(index, pushed.error());
  }
  return {};
}

void Enqueueing::ended(bool written) {
  for (auto& [index, pushing] : traced_)
    pushing.ended(written && !done_.jids[index].empty(), Clock::now());
}

template <class F>
net::Task<Result<>> Desk::look(F look) {
  Engine::Look asked = std::move(look);
  co_return co_await engine_.read(worker_, std::move(asked));
}

net::Task<Result<Enqueued>> Desk::enqueue(const std::vector<std::string>& texts) {
  Enqueueing jobs(texts, engine_.job_limit(), engine_.spans());
  auto change = [&jobs](Board& board, const Now& now) { return jobs.write(board, now); };
  Result<> written = co_await engine_.write(worker_, std::move(change));
  jobs.ended(written.has_value());
  if (!written) co_return pass(written);
  co_return jobs.done();
}

net::Task<Result<JobView>> Desk::find(std::string_view jid) {
  Result<std::optional<Board::Whereabouts>> known;
  Track track;
  auto first = [&](Board& board, const Now& now) {
    known = board.whereabouts(jid, now);
    if (known && *known) track = board.track_of(jid);
  };
  Result<> looked = co_await look(first);
  if (!looked) co_return pass(looked);
  if (!known) co_return pass(known);
  if (*known) {
    JobView view = view_of(std::move(**known));
    view.track = std::move(track);
    co_return view;
  }
  for (;;) {
    Searches::Sought sought{.jid = std::string(jid)};
    auto place = co_await engine_.locate(worker_, std::move(sought));
    if (!place) co_return pass(place);
    if (!*place) break;
    Result<std::optional<StoredJob>> stored;
    auto there = [&](Board& board, const Now&) { stored = board.job_at(jid, **place); };
    looked = co_await look(there);
    if (!looked) co_return pass(looked);
    if (!stored) co_return pass(stored);
    if (*stored)
      co_return JobView{state_of((*place)->lane, false), std::move((*stored)->job), **place, "", 0};
    if (group_.stopped()) co_return fail(Errc::cancelled, "the search was ended");
  }
  co_return co_await trace_of(jid);
}

// What is left of a job that has ended.
net::Task<Result<JobView>> Desk::trace_of(std::string_view jid) {
  Track track;
  auto trace = [&](Board& board, const Now&) { track = board.track_of(jid); };
  Result<> looked = co_await look(trace);
  if (!looked) co_return pass(looked);
  if (track.ended == 0) co_return fail(Errc::not_found, "there is no such job");
  JobView view{.state = std::string(to_string(track.state)), .track = track};
  view.job.jid = jid;
  co_return view;
}

net::Task<Result<>> Desk::act_on(std::string_view jid, Board::Act act) {
  auto found = co_await find(jid);
  if (!found) co_return pass(found);
  if (found->track.ended != 0) co_return fail(Errc::not_found, "the job has ended");
  const Place place = found->place;
  if (act == Board::Act::requeue && (place.lane >= kFirstQueue || found->state == "running"))
    co_return fail(Errc::conflict, "the job is " + found->state);
  bool held = false;
  auto change = [&](Board& board, const Now& now) -> Result<> {
    held = board.holds(place);
    return held ? board.act_on(jid, place, act, now) : Result<>{};
  };
  const Result<> done = co_await engine_.write(worker_, std::move(change));
  if (!done || held) co_return done;
  co_return co_await act_on_disk(jid, place, act);
}

net::Task<Result<>> Desk::act_on_disk(std::string_view jid, const Place& place, Board::Act act) {
  std::uint64_t matched = 0;
  std::uint64_t left = 0;
  auto change = [&](Board& board, const Now& now) -> Result<> {
    const Key before{place.key.rank, place.key.seq - 1};
    const auto named = [jid](const Job& job) { return job.jid == jid; };
    auto swept = board.sweep(place.lane, before, 1, act, named, now, Board::Running::taken);
    if (!swept) return pass(swept);
    matched = swept->matched;
    left = swept->left;
    return {};
  };
  Result<> done = co_await engine_.write_alone(worker_, std::move(change));
  if (done && left > 0) co_return fail(Errc::overloaded, std::string(Board::kNoQueue));
  if (done && matched == 0) done = fail(Errc::conflict, std::string(Board::kHasMoved));
  co_return done;
}

net::Task<Result<>> Desk::cancel(std::string_view jid) { return act_on(jid, Board::Act::remove); }

net::Task<Result<>> Desk::retry(std::string_view jid) { return act_on(jid, Board::Act::requeue); }

net::Task<Result<std::vector<LaneId>>> Desk::lanes_of(std::string_view set,
                                                      std::string_view queue) {
  if (set == "scheduled") co_return std::vector{kScheduled};
  if (set == "retrying") co_return std::vector{kRetries};
  if (set == "dead") co_return std::vector{kDead};
  if (set != "waiting")
    co_return fail(
        Errc::invalid,
        "set: expected one of waiting, scheduled, retrying, dead; or running, to look at");
  std::vector<LaneId> lanes;
  auto ask = [&](Board& board, const Now&) { lanes = board.lanes_of(queue); };
  Result<> looked = co_await look(ask);
  if (!looked) co_return pass(looked);
  if (lanes.empty()) co_return fail(Errc::not_found, fmt::format("there is no queue '{}'", queue));
  co_return lanes;
}

net::Task<Result<Desk::Listing>> Desk::list(std::string_view set, std::string_view queue,
                                            const Key& after, std::size_t limit) {
  Listing listing;
  limit = std::clamp<std::size_t>(limit, 1, kPage);
  if (set == "running") {
    auto ask = [&](Board& board, const Now& now) {
      for (auto& found : board.running(after.seq, limit, now))
        listing.jobs.push_back(view_of(std::move(found)));
    };
    Result<> looked = co_await look(ask);
    if (!looked) co_return pass(looked);
    if (listing.jobs.size() == limit) listing.next = Key{0, listing.jobs.back().place.key.seq};
    co_return listing;
  }
  auto lanes = co_await lanes_of(set, queue);
  if (!lanes) co_return pass(lanes);
  bool more = false;
  std::optional<Key> read_to;  // of the lines that have more, the one that was read least far
  for (const LaneId lane : *lanes) {
    Key reached = after;
    auto page = co_await page_of(lane, reached, limit);
    if (!page) co_return pass(page);
    if (!page->end) read_to = read_to ? std::min(*read_to, reached) : reached;
    for (StoredJob& stored : page->jobs)
      listing.jobs.push_back({state_of(lane, false), std::move(stored.job), stored.place, "", 0});
    // What cannot be on this page any more is let go: a queue may have many lines.
    std::ranges::sort(listing.jobs, {}, [](const JobView& job) { return job.place.key; });
    more = more || listing.jobs.size() > limit;
    if (listing.jobs.size() > limit) listing.jobs.resize(limit);
  }
  if (read_to)
    std::erase_if(listing.jobs, [&](const JobView& job) { return job.place.key > *read_to; });
  if (more && listing.jobs.size() == limit) {
    listing.next = listing.jobs.back().place.key;
  } else {
    listing.next = read_to;
  }
  co_return listing;
}

// The next `limit` jobs of a lane that nobody works on, or all; `after` becomes where it stopped.
net::Task<Result<StoredPage>> Desk::page_of(LaneId lane, Key& after, std::size_t limit) {
  StoredPage page{.jobs = {}, .end = false};
  std::size_t bytes = 0;
  while (!page.end && page.jobs.size() < limit && bytes < Store::kPageBytes) {
    if (group_.stopped()) co_return fail(Errc::cancelled, "the listing was ended");
    Result<Board::Swept> swept;
    auto step = [&](Board& board, const Now& now) {
      swept = board.sweep(lane, after, limit - page.jobs.size(), Board::Act::none, {}, now);
    };
    Result<> looked = co_await look(step);
    if (!looked) co_return pass(looked);
    if (!swept) co_return pass(swept);
    page.end = swept->end;
    after = swept->last;
    for (StoredJob& stored : swept->jobs) {
      bytes += stored.job.body.size();
      page.jobs.push_back(std::move(stored));
    }
  }
  co_return page;
}

net::Task<Result<Desk::Sums>> Desk::sweep(std::string_view set, std::string_view queue,
                                          Board::Act act, const Board::Filter& filter) {
  auto lanes = co_await lanes_of(set, queue);
  if (!lanes) co_return pass(lanes);
  Sums sums;
  for (const LaneId lane : *lanes) {
    if (lane == kDead && act == Board::Act::kill) continue;
    auto swept = co_await sweep_lane(lane, act, filter);
    if (!swept) co_return pass(swept);
    sums.matched += swept->matched;
    sums.left += swept->left;
  }
  co_return sums;
}

net::Task<Result<Desk::Sums>> Desk::sweep_lane(LaneId lane, Board::Act act,
                                               const Board::Filter& filter) {
  Sums sums;
  Key after = kBegin;
  for (bool end = false; !end;) {
    if (group_.stopped())
      co_return fail(Errc::cancelled, fmt::format("ended after {} jobs", sums.matched));
    std::optional<Board::Swept> step;
    auto change = [&](Board& board, const Now& now) -> Result<> {
      auto swept = board.sweep(lane, after, kStep, act, filter, now);
      if (!swept) return pass(swept);
      step = std::move(*swept);
      return {};
    };
    Result<> done = co_await engine_.write_alone(worker_, std::move(change));
    if (!done) co_return pass(done);
    sums.matched += step->matched;
    sums.left += step->left;
    after = step->last;
    end = step->end;
  }
  co_return sums;
}

net::Task<Result<Batch>> Desk::batch(std::string_view bid) {
  std::optional<Batch> found;
  auto ask = [&](Board& board, const Now&) { found = board.batch(bid); };
  Result<> looked = co_await look(ask);
  if (!looked) co_return pass(looked);
  if (!found) co_return fail(Errc::not_found, "there is no such batch");
  co_return std::move(*found);
}

net::Task<Result<std::vector<std::string>>> Desk::batches() {
  std::vector<std::string> found;
  auto ask = [&](Board& board, const Now&) { found = board.batches(kPage); };
  Result<> looked = co_await look(ask);
  if (!looked) co_return pass(looked);
  co_return found;
}

net::Task<Result<>> Desk::add_batch(const Batch& batch) {
  auto change = [&](Board& board, const Now& now) { return board.add_batch(batch, now); };
  co_return co_await engine_.write(worker_, std::move(change));
}

net::Task<Result<>> Desk::commit_batch(std::string_view bid) {
  auto change = [&](Board& board, const Now& now) { return board.commit_batch(bid, now); };
  co_return co_await engine_.write(worker_, std::move(change));
}

net::Task<Result<>> Desk::set_paused(std::string_view queue, bool paused) {
  auto change = [&](Board& board, const Now&) -> Result<> {
    if (queue != "*" && board.lanes_of(queue).empty())
      return fail(Errc::not_found, fmt::format("there is no queue '{}'", queue));
    return board.set_paused({std::string(queue)}, paused);
  };
  co_return co_await engine_.write(worker_, std::move(change));
}

net::Task<Result<>> Desk::order(std::string_view wid, std::string_view state) {
  Result<> done;
  auto tell = [&](Board& board, const Now&) { done = board.order(wid, std::string(state)); };
  Result<> asked = co_await look(tell);
  co_return asked ? std::move(done) : std::move(asked);
}

net::Task<Result<Desk::Overview>> Desk::overview() {
  Overview found;
  auto ask = [&](Board& board, const Now& now) { found.shown = board.overview(now); };
  Result<> looked = co_await look(ask);
  if (!looked) co_return pass(looked);
  const std::vector<QueueStatus> before = engine_.last_status().queues;  // by name
  for (const QueueStatus& queue : found.shown->board.queues) {
    const auto same = std::ranges::lower_bound(before, queue.name, {}, &QueueStatus::name);
    const bool known = same != before.end() && same->name == queue.name;
    found.paces.push_back(known ? Overview::Pace{same->pushed_per_s, same->done_per_s}
                                : Overview::Pace{});
  }
  found.wait = TimesShown::of(engine_.wait_times());
  found.run = TimesShown::of(engine_.run_times());
  co_return found;
}

net::Task<Result<Board::Schedules>> Desk::schedules(std::string_view after) {
  Board::Schedules found;
  auto ask = [&](Board& board, const Now&) { found = board.schedules(after, kSchedulesBytes); };
  Result<> looked = co_await look(ask);
  if (!looked) co_return pass(looked);
  co_return found;
}

net::Task<Result<>> Desk::put_schedule(const Schedule& schedule) {
  auto change = [&](Board& board, const Now& now) { return board.put_schedule(schedule, now); };
  co_return co_await engine_.write(worker_, std::move(change));
}

net::Task<Result<>> Desk::remove_schedule(std::string_view name) {
  auto change = [&](Board& board, const Now&) { return board.remove_schedule(name); };
  co_return co_await engine_.write(worker_, std::move(change));
}

}  // namespace headroom::tasks
