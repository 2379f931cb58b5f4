// Batches: counted in the transaction of what happens to their jobs, and called back in it.
#include <fmt/format.h>

#include "headroom/base/log.h"
#include "headroom/tasks/board_parts.h"

namespace headroom::tasks {
namespace {

constexpr std::string_view kNote = "batch/";
constexpr WallTime kEvery = 10 * kSecond;  // between looks for batches that are over

std::string note_of(std::string_view bid) { return fmt::format("{}{}", kNote, bid); }

}  // namespace

Result<> Board::restore_batches_and_tracks() {
  auto notes = store_.notes(kNote);
  if (!notes) return pass(notes);
  for (const Note& note : *notes) {
    auto batch = Batch::restore(note.text);
    if (!batch) return pass(batch, note.name);
    batches_.emplace(batch->bid, std::move(*batch));
  }
  auto tracks = store_.notes("track/");
  if (!tracks) return pass(tracks);
  for (const Note& note : *tracks) {
    auto track = Track::restore(note.text);
    if (!track) return pass(track, note.name);
    if (track->ended != 0) ended_tracks_.emplace(track->ended, track->jid);
    tracks_.emplace(track->jid, std::move(*track));
  }
  return {};
}

Batch* Board::batch_to_change(const std::string& bid) {
  if (const auto staged = staged_batches_.find(bid); staged != staged_batches_.end())
    return staged->second ? &*staged->second : nullptr;
  const auto known = batches_.find(bid);
  if (known == batches_.end()) return nullptr;
  return &*staged_batches_.emplace(bid, known->second).first->second;
}

Result<> Board::add_batch(Batch batch, const Now& now) {
  if (batches_.size() + staged_batches_.size() >= options_.batches_limit)
    return fail(Errc::overloaded, fmt::format("there are {} batches already (tasks.batches_limit)",
                                              options_.batches_limit));
  Batch* around = nullptr;
  if (!batch.parent.empty()) {
    around = batch_to_change(batch.parent);
    if (around == nullptr) return fail(Errc::not_found, "No such batch " + batch.parent);
    if (around->success != Batch::State::waiting)
      return fail(Errc::invalid, fmt::format("Batch {} is over", batch.parent));
    if (around->depth >= Batch::kMostNested)
      return fail(Errc::invalid, fmt::format("batches lie at most {} deep", Batch::kMostNested));
    batch.depth = around->depth + 1;
  }
  for (const std::string& callback : {batch.on_complete, batch.on_success}) {
    if (callback.empty()) continue;
    // Later it is never refused.
    auto job = callback_job(callback, batch, Callback::success, now.wall);
    if (!job) return pass(job);
    if (auto room = make_room_for_queue(job->queue); !room) return room;
  }
  if (around != nullptr) {
    ++around->incomplete_within;
    ++around->pending_within;
    if (auto put = noted(store_.put_note({note_of(around->bid), around->text()})); !put) return put;
  }
  if (auto put = noted(store_.put_note({note_of(batch.bid), batch.text()})); !put) return put;
  const std::string bid = batch.bid;
  staged_batches_[bid] = std::move(batch);
  return {};
}

Result<> Board::commit_batch(std::string_view bid, const Now& now) {
  Batch* batch = batch_to_change(std::string(bid));
  if (batch == nullptr) return fail(Errc::not_found, fmt::format("No such batch {}", bid));
  batch->committed = true;
  return settle_batch(std::string(bid), now);
}

Result<> Board::check_batch(const Job& job) {
  if (job.bid.empty()) return {};
  const Batch* batch = batch_to_change(job.bid);
  if (batch == nullptr) return fail(Errc::not_found, "No such batch " + job.bid);
  if (batch->success != Batch::State::waiting)
    return fail(Errc::invalid, fmt::format("Batch {} is over", job.bid));
  return {};
}

Result<> Board::join_batch(const Job& job, const Now& now) {
  if (job.bid.empty()) return {};
  Batch* batch = batch_to_change(job.bid);
  ++batch->total;
  ++batch->pending;
  batch->changed = now.wall;
  return noted(store_.put_note({note_of(job.bid), batch->text()}));
}

// A job has ended well, or has failed or gone for the first time.
Result<> Board::count_in_batch(const Job& job, Ending ending, const Now& now) {
  if (job.callback != Callback::none && ending == Ending::done) {
    if (Batch* caller = batch_to_change(job.called_by); caller != nullptr) {
      (job.callback == Callback::complete ? caller->complete : caller->success) =
          Batch::State::done;
      if (auto settled = settle_batch(job.called_by, now); !settled) return settled;
    }
  }
  Batch* batch = job.bid.empty() ? nullptr : batch_to_change(job.bid);
  if (batch == nullptr) return {};
  if (ending == Ending::dropped) {
    if (job.failed) return {};
    ++batch->failed;
  } else {
    if (batch->pending > 0) --batch->pending;
    if (job.failed && batch->failed > 0) --batch->failed;
  }
  return settle_batch(job.bid, now);
}

// What is due is done, for this batch and for those around it.
Result<> Board::settle_batch(std::string bid, const Now& now) {
  while (!bid.empty()) {
    Batch* batch = batch_to_change(bid);
    if (batch == nullptr) return {};
    batch->changed = now.wall;
    const Batch::Due due = batch->advance();
    const Batch snapshot = *batch;
    if (auto put = noted(store_.put_note({note_of(bid), snapshot.text()})); !put) return put;
    if (due.push_complete) {
      if (auto called = call_back(snapshot, Callback::complete, now); !called) return called;
    }
    if (due.push_success) {
      if (auto called = call_back(snapshot, Callback::success, now); !called) return called;
    }
    if (!due.completed && !due.succeeded) return {};
    bid = snapshot.parent;
    Batch* around = bid.empty() ? nullptr : batch_to_change(bid);
    if (around == nullptr) return {};
    if (due.completed && around->incomplete_within > 0) --around->incomplete_within;
    if (due.succeeded && around->pending_within > 0) --around->pending_within;
  }
  return {};
}

Result<> Board::call_back(const Batch& batch, Callback which, const Now& now) {
  auto job = callback_job(which == Callback::complete ? batch.on_complete : batch.on_success, batch,
                          which, now.wall);
  if (!job) return pass(job);
  if (!job->bid.empty() && !check_batch(*job))
    job->bid.clear();  // the batch that it was to join is over
  return push_own(std::move(*job), now);
}

Result<> Board::push_next_in_chain(const Job& ended, const Now& now) {
  auto body = store_.body(ended.seq);
  if (!body) return noted(pass(body));
  const auto text = next_in_chain(*body, fmt::format("{:016x}{:08x}", random_.next(), ended.seq));
  auto job = text ? read_job(*text, now.wall, {.bytes = options_.job_limit})
                  : Result<Job>(fail(text.error().code, text.error().message));
  const Result<> pushed = job ? push_own(std::move(*job), now) : Result<>(pass(job));
  if (store_error_) return pushed;
  if (!pushed)
    log::warn("tasks", "the chain of job {} ends: {}", ended.jid, pushed.error().message);
  return {};
}

// The clock may have jumped back.
bool Board::batches_are_due(const Now& now) const {
  return !batches_.empty() &&
         (now.wall >= batches_looked_at_ + kEvery || now.wall < batches_looked_at_);
}

// Those that nobody will ask for any more. One that was never committed is out of the way of the one around it.
Result<> Board::end_batches(const Now& now) {
  if (!batches_are_due(now)) return {};
  batches_looked_at_ = now.wall;
  const WallTime retention =
      std::chrono::duration_cast<std::chrono::microseconds>(options_.dead_retention).count();
  for (const auto& [bid, batch] : batches_) {
    if (!batch.is_over(now.wall, retention) || staged_batches_.contains(bid)) continue;
    if (auto gone = noted(store_.remove_note(note_of(bid))); !gone) return gone;
    staged_batches_[bid] = std::nullopt;
    Batch* around =
        batch.parent.empty() || batch.is_complete ? nullptr : batch_to_change(batch.parent);
    if (around == nullptr) continue;
    if (around->incomplete_within > 0) --around->incomplete_within;
    if (auto settled = settle_batch(batch.parent, now); !settled) return settled;
  }
  return {};
}

std::optional<Batch> Board::batch(std::string_view bid) const {
  const auto found = batches_.find(bid);
  if (found == batches_.end()) return std::nullopt;
  return found->second;
}

std::vector<std::string> Board::batches(std::size_t limit) const {
  std::vector<std::string> shown;
  for (const auto& [bid, batch] : batches_) {
    if (shown.size() == limit) break;
    shown.push_back(batch.status());
  }
  return shown;
}

void Board::commit_overlays() {
  for (auto& [bid, batch] : staged_batches_) {
    if (batch) {
      batches_.insert_or_assign(bid, std::move(*batch));
    } else {
      batches_.erase(bid);
    }
  }
  for (auto& [jid, track] : staged_tracks_) {
    const auto before = tracks_.find(jid);
    if (before != tracks_.end() && before->second.ended != 0)
      ended_tracks_.erase({before->second.ended, jid});
    if (!track) {
      if (before != tracks_.end()) tracks_.erase(before);
      continue;
    }
    if (track->ended != 0) ended_tracks_.emplace(track->ended, jid);
    if (track->has_outcome()) outcomes_.push_back(jid);
    tracks_.insert_or_assign(jid, std::move(*track));
  }
}

}  // namespace headroom::tasks
