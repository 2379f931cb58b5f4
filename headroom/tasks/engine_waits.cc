// Who waits for what: a fetch for a job, somebody for an outcome, who looks for a job for the search.
#include "headroom/tasks/engine.h"

namespace headroom::tasks {

void Engine::look_and_fetch(std::span<Request* const> batch, const Now& now) {
  for (Request* request : batch) {
    if (request->kind == Kind::read) {
      request->look(*board_, now);
      answer(request);
    } else if (request->kind == Kind::fetch && !try_fetch(request, now)) {
      waiters_.push_back(request);
    } else if (request->kind == Kind::outcome && !try_outcome(request, now)) {
      awaited_.emplace(request->wid, request);
    } else if (request->kind == Kind::locate) {
      locate(request);
    }
  }
}

bool Engine::try_fetch(Request* fetch, const Now& now) {
  auto taken = board_->take(*fetch->queues, fetch->wid, now);
  if (!taken) {
    fetch->result = pass(taken);
  } else if (!*taken) {
    return false;
  } else {
    wait_recorder_.record((*taken)->waited);
    traced_.began(**taken);
    fetch->job = std::move(**taken);
  }
  answer(fetch);
  return true;
}

void Engine::serve_waiters(const Now& now) {
  Board::News news = board_->take_news(now);
  if (!news || waiters_.empty()) return;
  const std::vector<std::string>* empty = nullptr;  // queues that have nothing now
  const auto concerned = [&](const std::string& queue) { return news.queues.contains(queue); };
  std::erase_if(waiters_, [&](Request* waiter) {
    if (!news.everywhere && std::ranges::none_of(*waiter->queues, concerned)) return false;
    if (empty != nullptr && *empty == *waiter->queues) return false;
    if (try_fetch(waiter, now)) return true;
    if (!board_->is_quiet(waiter->wid)) empty = waiter->queues;
    return false;
  });
}

// Answered once its job has an outcome, its time is over, or it is followed no more.
bool Engine::try_outcome(Request* request, const Now& now) {
  Track track = board_->track_of(request->wid);
  if (track.state == TrackState::unknown) {
    request->result = fail(Errc::not_found, "the job is not tracked, or not any more");
  } else if (!track.has_outcome() && request->until > now.steady && !no_waiting_) {
    return false;
  }
  request->track = std::move(track);
  answer(request);
  return true;
}

void Engine::serve_outcomes(const Now& now) {
  for (const std::string& jid : board_->take_outcomes()) {
    const auto [begin, end] = awaited_.equal_range(jid);
    for (auto at = begin; at != end;)
      at = try_outcome(at->second, now) ? awaited_.erase(at) : std::next(at);
  }
}

void Engine::locate(Request* request) {
  searches_.add(std::move(request->sought), [this, request](Located found) {
    if (found) {
      request->place = *found;
    } else {
      request->result = pass(found);
    }
    answer(request);
  });
}

// One step a round: others have their turn between.
void Engine::search() {
  if (searches_.empty()) return;
  if (no_waiting_) {
    searches_.end({Errc::cancelled, "the search was ended"});
  } else {
    searches_.step();
  }
  const auto first = searches_.take_first_seq();
  if (first && (*first == 0 || *first > board_->boot_seq())) board_->note_none_older();
  flush();
}

void Engine::end_waiters(const Now& now) {
  std::erase_if(waiters_, [&](Request* waiter) {
    if (waiter->until > now.steady && !no_waiting_) return false;
    answer(waiter);
    return true;
  });
  std::erase_if(awaited_, [&](const auto& awaited) {
    const bool over = awaited.second->until <= now.steady || no_waiting_;
    return over && try_outcome(awaited.second, now);
  });
}

}  // namespace headroom::tasks
