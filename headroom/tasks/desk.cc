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

Enqueueing::Enqueueing(const std::vector<std::string>& texts, Bytes limit) {
  done_.jids.resize(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    auto job = read_job(with_jid(texts[i], text::random_hex(12)), wall_now(), {.bytes = limit});
    if (job) {
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

Result<Enqueued> Desk::enqueue(const std::vector<std::string>& texts) {
  Enqueueing jobs(texts, options_.job_limit);
  auto written =
      engine_.run_write([&](Board& board, const Now& now) { return jobs.write(board, now); });
  if (!written) return pass(written);
  return jobs.done();
}

Result<JobView> Desk::find(std::string_view jid) {
  Result<std::optional<Board::Whereabouts>> known;
  auto looked =
      engine_.run_read([&](Board& board, const Now& now) { known = board.whereabouts(jid, now); });
  if (!looked) return pass(looked);
  if (!known) return pass(known);
  if (*known) {
    JobView view = view_of(std::move(**known));
    looked = engine_.run_read([&](Board& board, const Now&) { view.track = board.track_of(jid); });
    if (!looked) return pass(looked);
    return view;
  }
  std::uint64_t after = 0;
  for (bool end = false; !end;) {
    Result<Board::Searched> searched;
    looked = engine_.run_read(
        [&](Board& board, const Now&) { searched = board.search(jid, after, kSearchStep); });
    if (!looked) return pass(looked);
    if (!searched) return pass(searched);
    if (searched->job)
      return JobView{state_of(searched->job->place.lane, false), std::move(searched->job->job),
                     searched->job->place, "", 0};
    after = searched->looked_to;
    end = searched->end;
  }
  return trace_of(jid);
}

// What is left of a job that has ended.
Result<JobView> Desk::trace_of(std::string_view jid) {
  Track track;
  auto looked = engine_.run_read([&](Board& board, const Now&) { track = board.track_of(jid); });
  if (!looked) return pass(looked);
  if (track.ended == 0) return fail(Errc::not_found, "there is no such job");
  JobView view{.state = std::string(to_string(track.state)), .track = track};
  view.job.jid = jid;
  return view;
}

Result<> Desk::act_on(std::string_view jid, Board::Act act) {
  auto found = find(jid);
  if (!found) return pass(found);
  if (found->track.ended != 0) return fail(Errc::not_found, "the job has ended");
  const Place place = found->place;
  if (act == Board::Act::requeue && (place.lane >= kFirstQueue || found->state == "running"))
    return fail(Errc::conflict, "the job is " + found->state);
  std::uint64_t matched = 0;
  auto done = engine_.run_write_alone([&](Board& board, const Now& now) -> Result<> {
    const Key before{place.key.rank, place.key.seq - 1};
    auto swept = board.sweep(
        place.lane, before, 1, act, [jid](const Job& job) { return job.jid == jid; }, now,
        Board::Running::taken);
    if (!swept) return pass(swept);
    matched = swept->matched;
    return {};
  });
  if (!done) return done;
  if (matched == 0) return fail(Errc::conflict, "the job has moved meanwhile; ask again");
  return {};
}

Result<> Desk::cancel(std::string_view jid) { return act_on(jid, Board::Act::remove); }

Result<> Desk::retry(std::string_view jid) { return act_on(jid, Board::Act::requeue); }

Result<std::vector<LaneId>> Desk::lanes_of(std::string_view set, std::string_view queue) {
  if (set == "scheduled") return std::vector{kScheduled};
  if (set == "retrying") return std::vector{kRetries};
  if (set == "dead") return std::vector{kDead};
  if (set != "waiting")
    return fail(Errc::invalid, "expected one of waiting, scheduled, retrying, dead");
  std::vector<LaneId> lanes;
  auto looked = engine_.run_read([&](Board& board, const Now&) { lanes = board.lanes_of(queue); });
  if (!looked) return pass(looked);
  if (lanes.empty()) return fail(Errc::not_found, fmt::format("there is no queue '{}'", queue));
  return lanes;
}

Result<Desk::Listing> Desk::list(std::string_view set, std::string_view queue, const Key& after,
                                 std::size_t limit) {
  Listing listing;
  limit = std::clamp<std::size_t>(limit, 1, kPage);
  if (set == "running") {
    auto looked = engine_.run_read([&](Board& board, const Now& now) {
      for (auto& found : board.running(limit, now))
        listing.jobs.push_back(view_of(std::move(found)));
    });
    if (!looked) return pass(looked);
    return listing;
  }
  auto lanes = lanes_of(set, queue);
  if (!lanes) return pass(lanes);
  bool more = false;
  for (const LaneId lane : *lanes) {
    auto page = page_of(lane, after, limit);
    if (!page) return pass(page);
    more = more || !page->end;
    for (StoredJob& stored : page->jobs)
      listing.jobs.push_back({state_of(lane, false), std::move(stored.job), stored.place, "", 0});
    // What cannot be on this page any more is let go: a queue may have many lines.
    std::ranges::sort(listing.jobs, {}, [](const JobView& job) { return job.place.key; });
    more = more || listing.jobs.size() > limit;
    if (listing.jobs.size() > limit) listing.jobs.resize(limit);
  }
  if (more && !listing.jobs.empty()) listing.next = listing.jobs.back().place.key;
  return listing;
}

// The next `limit` jobs of a lane that nobody works on, or all.
Result<StoredPage> Desk::page_of(LaneId lane, Key after, std::size_t limit) {
  StoredPage page{.jobs = {}, .end = false};
  std::size_t bytes = 0;
  while (!page.end && page.jobs.size() < limit && bytes < Store::kPageBytes) {
    Result<Board::Swept> swept;
    auto looked = engine_.run_read([&](Board& board, const Now& now) {
      swept = board.sweep(lane, after, limit - page.jobs.size(), Board::Act::none, {}, now);
    });
    if (!looked) return pass(looked);
    if (!swept) return pass(swept);
    page.end = swept->end;
    after = swept->last;
    for (StoredJob& stored : swept->jobs) {
      bytes += stored.job.body.size();
      page.jobs.push_back(std::move(stored));
    }
  }
  return page;
}

Result<std::uint64_t> Desk::sweep(std::string_view set, std::string_view queue, Board::Act act,
                                  const Board::Filter& filter) {
  auto lanes = lanes_of(set, queue);
  if (!lanes) return pass(lanes);
  std::uint64_t matched = 0;
  for (const LaneId lane : *lanes) {
    if (lane == kDead && act == Board::Act::kill) continue;
    auto swept = sweep_lane(lane, act, filter);
    if (!swept) return swept;
    matched += *swept;
  }
  return matched;
}

Result<std::uint64_t> Desk::sweep_lane(LaneId lane, Board::Act act, const Board::Filter& filter) {
  std::uint64_t matched = 0;
  Key after = kBegin;
  for (bool end = false; !end;) {
    std::optional<Board::Swept> step;
    auto done = engine_.run_write_alone([&](Board& board, const Now& now) -> Result<> {
      auto swept = board.sweep(lane, after, kStep, act, filter, now);
      if (!swept) return pass(swept);
      step = std::move(*swept);
      return {};
    });
    if (!done) return pass(done);
    matched += step->matched;
    after = step->last;
    end = step->end;
  }
  return matched;
}

Result<Batch> Desk::batch(std::string_view bid) {
  std::optional<Batch> found;
  auto looked = engine_.run_read([&](Board& board, const Now&) { found = board.batch(bid); });
  if (!looked) return pass(looked);
  if (!found) return fail(Errc::not_found, "there is no such batch");
  return std::move(*found);
}

Result<std::vector<Batch>> Desk::batches() {
  std::vector<Batch> found;
  auto looked = engine_.run_read([&](Board& board, const Now&) { found = board.batches(kPage); });
  if (!looked) return pass(looked);
  return found;
}

Result<> Desk::add_batch(const Batch& batch) {
  return engine_.run_write(
      [&](Board& board, const Now& now) { return board.add_batch(batch, now); });
}

Result<> Desk::commit_batch(std::string_view bid) {
  return engine_.run_write(
      [&](Board& board, const Now& now) { return board.commit_batch(bid, now); });
}

Result<> Desk::set_paused(const std::string& queue, bool paused) {
  return engine_.run_write([&](Board& board, const Now&) -> Result<> {
    if (queue != "*" && board.lanes_of(queue).empty())
      return fail(Errc::not_found, fmt::format("there is no queue '{}'", queue));
    return board.set_paused({queue}, paused);
  });
}

Result<> Desk::order(const std::string& wid, const std::string& state) {
  Result<> done;
  auto asked = engine_.run_read([&](Board& board, const Now&) { done = board.order(wid, state); });
  return asked ? std::move(done) : std::move(asked);
}

Result<BoardStatus> Desk::status() {
  BoardStatus status;
  auto looked = engine_.run_read([&](Board& board, const Now& now) { status = board.status(now); });
  if (!looked) return pass(looked);
  return status;
}

Result<std::vector<std::pair<std::string, double>>> Desk::latencies() {
  std::vector<std::pair<std::string, double>> found;
  auto looked = engine_.run_read([&](Board& board, const Now& now) {
    for (const std::string& name : board.queue_names())
      found.emplace_back(name, board.latency_s(name, now));
  });
  if (!looked) return pass(looked);
  return found;
}

Result<QueueTimes> Desk::times(std::string_view queue) {
  QueueTimes times;
  auto looked = engine_.run_read([&](Board& board, const Now&) { times = board.times_of(queue); });
  if (!looked) return pass(looked);
  return times;
}

Result<std::vector<Board::ScheduleStatus>> Desk::schedules() {
  std::vector<Board::ScheduleStatus> found;
  auto looked = engine_.run_read([&](Board& board, const Now&) { found = board.schedules(); });
  if (!looked) return pass(looked);
  return found;
}

Result<> Desk::put_schedule(const Schedule& schedule) {
  return engine_.run_write(
      [&](Board& board, const Now& now) { return board.put_schedule(schedule, now); });
}

Result<> Desk::remove_schedule(const std::string& name) {
  return engine_.run_write([&](Board& board, const Now&) { return board.remove_schedule(name); });
}

}  // namespace headroom::tasks
