// Workers, queues, what is shown, what is taken up at the start and written down at the end.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "headroom/base/log.h"
#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kLeaseNote = "lease/";
constexpr std::string_view kTotalsNote = "totals";
constexpr std::size_t kCountedAtOnce = 20'000;  // scheduled and retrying jobs

}  // namespace

Result<> Board::load(const Now& now) {
  auto queues = store_.queues();
  if (!queues) return pass(queues);
  for (const StoredQueue& stored : *queues) {
    auto queue = std::make_unique<Queue>();
    queue->name = stored.name;
    queue->common = {.lane = stored.lane, .stored = true};
    queue->paused = stored.paused;
    next_lane_ = std::max(next_lane_, stored.lane + 1);
    lanes_.emplace(stored.lane, std::make_unique<Lane>(stored.lane));
    queues_.emplace(stored.name, std::move(queue));
  }
  auto shares = store_.shares();
  if (!shares) return pass(shares);
  for (const StoredShare& stored : *shares) {
    const auto queue = queues_.find(stored.queue);
    if (queue == queues_.end()) continue;
    lanes_.emplace(stored.lane, std::make_unique<Lane>(stored.lane));
    next_lane_ = std::max(next_lane_, stored.lane + 1);
    queue->second->shares.emplace(stored.key, Share{.lane = stored.lane, .stored = true});
    ++shares_;
  }
  auto counts = store_.counts();
  if (!counts) return pass(counts);
  for (const LaneCount& count : *counts) {
    if (!lanes_.contains(count.lane)) {
      if (auto taken = take_up_lane(count.lane); !taken) return taken;
    }
    lane(count.lane).begin_spilled(count.jobs);
  }
  if (lane(kScheduled).size() + lane(kRetries).size() <= kCountedAtOnce) {
    for (bool known = false; !known;) {
      auto counted = count_step();
      if (!counted) return pass(counted);
      known = *counted;
    }
  }
  auto last = store_.last_seq();
  if (!last) return pass(last);
  last_seq_ = boot_seq_ = *last;
  auto locks = store_.locks();
  if (!locks) return pass(locks);
  bool old_locks = false;
  for (StoredLock& lock : *locks) {
    old_locks = old_locks || lock.until <= now.wall;
    if (lock.until > now.wall) locks_[lock.key] = {std::move(lock.jid), lock.until};
  }
  if (old_locks) {
    if (auto done = store_.remove_old_locks(now.wall); !done) return done;
  }
  auto totals = store_.notes(kTotalsNote);
  if (!totals) return pass(totals);
  if (!totals->empty()) restore_totals(totals->front().text);
  if (auto restored = restore_rates(now); !restored) return restored;
  if (auto restored = restore_batches_and_tracks(); !restored) return restored;
  if (auto restored = restore_leases(now); !restored) return restored;
  if (auto restored = restore_schedules(now); !restored) return restored;
  for (auto& [id, each] : lanes_) {
    // Of a queue as many as fit: a word may come of what was leased before a crash, and that lay first.
    const bool queued = id >= kFirstQueue;
    while (each->spilled() > 0 && each->held() < kMostHeld &&
           (each->held() == 0 || (queued && bytes_ < options_.memory_limit.count / 2))) {
      if (auto filled = refill(*each, each->held() + 1); !filled) return filled;
    }
    older_on_disk_ = older_on_disk_ || each->spilled() > 0;
  }
  return {};
}

// One whose queue has gone: its jobs say whose they are.
Result<> Board::take_up_lane(LaneId id) {
  auto page = store_.read(id, {std::numeric_limits<std::int64_t>::min(), 0}, 1);
  if (!page) return pass(page);
  next_lane_ = std::max(next_lane_, id + 1);
  lanes_.emplace(id, std::make_unique<Lane>(id));
  if (page->jobs.empty()) return {};
  const std::string& name = page->jobs.front().job.queue;
  log::warn("tasks", "jobs of queue '{}' lie in lane {}, which no queue has: it is taken up", name,
            id);
  auto& queue = queues_[name];
  if (queue == nullptr) {
    queue = std::make_unique<Queue>();
    queue->name = name;
    queue->common = {.lane = id, .stored = true};
    return store_.put_queue({id, name, false});
  }
  const std::string line = fmt::format("\n\n{}", id);  // nobody's key
  queue->shares.emplace(line, Share{.lane = id, .stored = true});
  ++shares_;
  return store_.put_share({id, name, line});
}

Result<> Board::restore_leases(const Now& now) {
  auto notes = store_.notes(kLeaseNote);
  if (!notes) return pass(notes);
  if (notes->empty()) return {};
  for (const Note& note : *notes) {
    if (auto restored = restore_lease(note, now); !restored) return restored;
  }
  if (auto begun = store_.begin(); !begun) return begun;
  for (const Note& note : *notes) {
    if (auto gone = store_.remove_note(note.name); !gone) {
      store_.roll_back();
      return gone;
    }
  }
  return store_.commit();
}

// Its worker has as long as a heartbeat may be late to come back.
Result<> Board::restore_lease(const Note& note, const Now& now) {
  auto document = json::parse(note.text);
  if (!document) return pass(document);
  Place place;
  std::string wid;
  std::int64_t left_ms = 0;
  json::Reader in(document->root());
  in.required("lane", place.lane);
  in.required("rank", place.key.rank);
  in.required("seq", place.key.seq);
  in.required("wid", wid);
  in.required("left_ms", left_ms);
  if (auto read = in.finish(); !read) return pass(read);
  const Key before = place.key.seq > 0 ? Key{place.key.rank, place.key.seq - 1} : place.key;
  auto found = store_.read(place.lane, before, 1);
  if (!found) return pass(found);
  if (found->jobs.empty() || found->jobs.front().place != place || !lanes_.contains(place.lane))
    return {};
  auto made = std::make_unique<Entry>();
  made->job = std::move(found->jobs.front().job);
  made->job.body.clear();
  made->place = place;
  Entry* entry = index(std::move(made));
  lane(place.lane).uncount_spilled();
  if (!wid.empty() && !workers_.contains(wid)) {
    auto worker = std::make_unique<Worker>();
    worker->identity.wid = wid;
    worker->alone_since = now.steady;
    worker->patience = options_.worker_timeout;
    workers_.emplace(wid, std::move(worker));
  }
  lease(entry, wid, now, Throttles::Begun::before);
  move_lease_end(entry, now.steady + std::chrono::milliseconds(std::max<std::int64_t>(left_ms, 0)));
  return {};
}

Result<> Board::park(const Now& now) {
  for (const auto& [end, seq] : lease_ends_) {
    const Entry& entry = *entries_.at(seq);
    std::string text;
    json::Writer out(text);
    out.begin_object()
        .field("lane", entry.place.lane)
        .field("rank", entry.place.key.rank)
        .field("seq", seq)
        .field("wid", entry.wid);
    out.field("left_ms",
              std::chrono::duration_cast<std::chrono::milliseconds>(end - now.steady).count())
        .end_object();
    if (auto put = noted(store_.put_note({fmt::format("{}{}", kLeaseNote, seq), text})); !put)
      return put;
  }
  if (auto put = note_rates(now); !put) return put;
  return noted(store_.put_note({std::string(kTotalsNote), totals()}));
}

// What belongs to no throttle any more, or is over, goes.
Result<> Board::restore_rates(const Now& now) {
  auto notes = store_.notes(Throttles::kNote);
  if (!notes) return pass(notes);
  for (const Note& note : *notes) {
    if (throttles_.restore(note, now)) continue;
    if (auto gone = store_.remove_note(note.name); !gone) return gone;
  }
  return {};
}

std::string Board::totals() const {
  std::string text;
  json::Writer out(text);
  const auto write = [&out](std::string_view name, const auto& counts) {
    out.key(name)
        .begin_object()
        .field("pushed", counts.pushed)
        .field("done", counts.done)
        .field("failed", counts.failed)
        .end_object();
  };
  out.begin_object();
  write("", removed_);
  for (const auto& [name, queue] : queues_) write(name, *queue);
  out.end_object();
  return text;
}

void Board::restore_totals(std::string_view text) {
  auto document = json::parse(text, {.bytes = Bytes::mib(64)});
  if (!document) return;
  document->root().each_member([this](std::string_view name, json::Value value) {
    const auto add = [](json::Value noted, auto& to) {
      struct {
        std::uint64_t pushed = 0, done = 0, failed = 0;
      } counts;
      json::Reader in(noted);
      in.optional("pushed", counts.pushed);
      in.optional("done", counts.done);
      in.optional("failed", counts.failed);
      in.allow_others();
      (void)in.finish();
      to.pushed += counts.pushed;
      to.done += counts.done;
      to.failed += counts.failed;
    };
    // Of a queue that has gone since they were written, too.
    const auto queue = queues_.find(std::string(name));
    queue == queues_.end() ? add(value, removed_) : add(value, *queue->second);
  });
}

Result<> Board::set_paused(const std::vector<std::string>& names, bool paused) {
  std::vector<std::string> wanted = names;
  if (std::ranges::find(names, "*") != names.end()) wanted = queue_names();
  for (const std::string& name : wanted) {
    if (paused && !queues_.contains(name))
      return fail(Errc::not_found, fmt::format("there is no queue '{}'", name));
  }
  for (const std::string& name : wanted) {
    const auto found = queues_.find(name);
    if (found == queues_.end()) continue;  // nothing is paused there
    Queue* queue = found->second.get();
    if (auto put = noted(store_.put_queue({queue->common.lane, name, paused})); !put) return put;
    staged_pauses_.emplace_back(queue, paused);
  }
  return {};
}

Result<> Board::clear() {
  staged_clear_ = true;
  return noted(store_.clear());
}

void Board::connect(const WorkerIdentity& identity, const Now& now) {
  if (identity.wid.empty()) return;
  auto& worker = workers_[identity.wid];
  if (!worker) worker = std::make_unique<Worker>();
  if (worker->connections == 0) {
    worker->state.clear();  // a new life of it: what was told was the old one's
    const WorkerIdentity& before = worker->identity;
    const bool known = before.pid != 0 || !before.hostname.empty();
    if (known && (before.pid != identity.pid || before.hostname != identity.hostname))
      bury_former(*worker, now);
  }
  worker->identity = identity;
  worker->alone_since = kNever;
  if (worker->beat) worker->beat = now.steady;
  ++worker->connections;
}

// Another process has the name now: what the one before still held returns at once.
void Board::bury_former(Worker& worker, const Now& now) {
  if (worker.running.empty()) return;
  const std::string name = fmt::format("{} (former {})", worker.identity.wid, ++former_);
  auto former = std::make_unique<Worker>();
  former->identity = worker.identity;
  former->identity.wid = name;
  former->alone_since = now.steady;
  former->running = std::exchange(worker.running, {});
  for (const std::uint64_t seq : former->running) entries_.at(seq)->wid = name;
  worker.beat.reset();
  workers_.emplace(name, std::move(former));
}

void Board::disconnect(std::string_view wid, const Now& now) {
  const auto found = workers_.find(std::string(wid));
  if (found == workers_.end() || found->second->connections == 0) return;
  if (--found->second->connections > 0) return;
  found->second->alone_since = now.steady;
  found->second->patience = options_.worker_grace;
}

Result<std::string> Board::beat(std::string_view wid, std::string_view state, std::int64_t rss_kb,
                                const Now& now) {
  const auto found = workers_.find(std::string(wid));
  if (found == workers_.end()) return fail(Errc::not_found, "Unknown worker");
  Worker& worker = *found->second;
  worker.beat = now.steady;
  worker.rss_kb = rss_kb;
  if (worker.state.empty() && (state == "quiet" || state == "terminate")) worker.state = state;
  return worker.state;
}

Result<std::string> allowed_state(std::string state) {
  if (state != "" && state != "quiet" && state != "terminate")
    return fail(Errc::invalid, "expected quiet or terminate");
  return state;
}

Result<> Board::order(std::string_view wid, std::string state) {
  auto wanted = allowed_state(std::move(state));
  if (!wanted) return pass(wanted);
  bool found = false;
  for (auto& [name, worker] : workers_) {
    if (wid != "*" && wid != name) continue;
    if (worker->identity.own) {
      if (wid == "*") continue;
      return fail(Errc::conflict, "it is a part of Headroom; pause its queue instead");
    }
    found = true;
    if (worker->state != "terminate") worker->state = *wanted;
  }
  if (!found && wid != "*") return fail(Errc::not_found, "no such worker");
  return {};
}

BoardStatus Board::status(const Now& now) const {
  BoardStatus status;
  status.pushed = removed_.pushed;
  status.done = removed_.done;
  status.failed = removed_.failed;
  for (const auto& [name, queue] : queues_) {
    std::uint64_t waiting = 0;
    for (const LaneId id : lanes_of(name)) waiting += lanes_.at(id)->size();
    status.queues.push_back({name, queue->shares.size(), queue->paused, waiting, queue->running,
                             queue->pushed, queue->done, queue->failed});
    status.pushed += queue->pushed;
    status.done += queue->done;
    status.failed += queue->failed;
  }
  std::ranges::sort(status.queues, {}, &QueueStatus::name);
  for (const auto& [wid, worker] : workers_) {
    const double ago = worker->beat ? seconds(elapsed(*worker->beat, now.steady)) : -1;
    status.workers.push_back({worker->identity, worker->state, worker->connections,
                              worker->running.size(), worker->rss_kb, ago});
  }
  status.scheduled = lanes_.at(kScheduled)->size();
  status.retries = lanes_.at(kRetries)->size();
  status.dead = lanes_.at(kDead)->size();
  status.running = lease_ends_.size();
  status.bytes_held = bytes_;
  return status;
}

std::vector<std::string> Board::queue_names() const {
  std::vector<std::string> names;
  for (const auto& [name, queue] : queues_) names.push_back(name);
  std::ranges::sort(names);
  return names;
}

double Board::latency_s(std::string_view queue, const Now& now) const {
  Duration longest{};
  for (const LaneId id : lanes_of(queue)) {
    if (Entry* first = lanes_.at(id)->first(); first != nullptr)
      longest = std::max(longest, waited(*first, now));
  }
  return seconds(longest);
}

namespace {

// When it was pushed, as its text says; nothing when it has been tried before: what it waited since is not known.
std::optional<WallTime> pushed_at(const Job& job) {
  const auto document = json::parse(job.body, {.bytes = Bytes{job.body.size()}, .depth = 64});
  if (!document || document->root().find("failure")) return std::nullopt;
  const auto text = document->root().find("enqueued_at");
  return text ? parse_time(text->string().value_or("")) : std::nullopt;
}

}  // namespace

// Of what was read from the store since it became ready its text tells, which is read once.
Duration Board::waited(Entry& entry, const Now& now) {
  if (entry.ready == 0 && !entry.job.body.empty())
    entry.ready = pushed_at(entry.job).value_or(now.wall);
  if (entry.ready == 0) return {};
  return std::chrono::microseconds(std::max<WallTime>(now.wall - entry.ready, 0));
}

std::shared_ptr<const Board::Overview> Board::overview(const Now& now) {
  if (overview_ && overview_at_ == now.steady) return overview_;
  auto made = std::make_shared<Overview>();
  made->board = status(now);
  made->queues.reserve(made->board.queues.size());
  for (const QueueStatus& queue : made->board.queues) {
    QueueView view{.latency_s = latency_s(queue.name, now)};
    if (const auto& times = queues_.at(queue.name)->times) {
      view.wait = TimesShown::of(times->wait);
      view.run = TimesShown::of(times->run);
    }
    made->queues.push_back(view);
  }
  overview_at_ = now.steady;
  overview_ = std::move(made);
  return overview_;
}

}  // namespace headroom::tasks
