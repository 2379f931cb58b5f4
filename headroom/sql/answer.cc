// What the server sends: followed frame by frame, so that it is known who is answered and when the connection is free again.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "headroom/base/log.h"
#include "headroom/sql/cached_reads.h"

namespace headroom::sql {
namespace {

namespace from = pgwire::from_server;
using Kind = Expected::Kind;
using Action = Expected::Action;

constexpr std::size_t kMostPopped = 4096;
constexpr std::size_t kLongestControl =
    1U << 20U;  // of what is read as a whole; a longer error passes unread

// These pass in parts; whatever else may be answered behind must be there as a whole.
bool streams(char type) {
  return type == from::kDataRow || type == from::kCopyData || type == from::kNotice ||
         type == from::kNotification || type == from::kFunctionResult;
}

bool kind_ends(Kind kind) { return kind == Kind::query || kind == Kind::set; }

}  // namespace

void Session::process_server() {
  moment_ = {};
  while (!ended_ && server_) {
    const std::string_view left = back_.data().substr(back_ready_);
    if (back_drop_left_ > 0) {
      const std::size_t dropped = std::min<std::uint64_t>(back_drop_left_, left.size());
      if (dropped == 0) break;
      (void)to_client();
      back_.consume(dropped);
      back_drop_left_ -= dropped;
      continue;
    }
    if (back_left_ > 0) {
      const std::size_t passed = std::min<std::uint64_t>(back_left_, left.size());
      if (passed == 0) break;
      if (cached_) cached_->record_more(left.substr(0, passed));
      back_ready_ += passed;
      back_left_ -= passed;
      continue;
    }
    pgwire::Frame frame;
    const pgwire::Found found = pgwire::find_frame(left, frame);
    if (found == pgwire::Found::need_more) break;
    if (found == pgwire::Found::bad)
      return server_lost({Errc::protocol, "the server sent a message of an impossible length"});
    if (!take_answer(frame, left)) break;
  }
  see_batch_end();
  if (attempt_ && attempt_->rows) let_go();
}

// Everything that was passed lies in front of what is written behind it.
std::string& Session::to_client() {
  if (back_ready_ > 0) {
    to_client_.append(back_.data().substr(0, back_ready_));
    back_.consume(std::exchange(back_ready_, 0));
  }
  return to_client_;
}

// A server that takes in a COPY ignores every Sync until its end, which the client may have sent already.
void Session::ignore_syncs() {
  const auto begin = expected_.begin() + static_cast<std::ptrdiff_t>(first_) + 1;
  const auto end = std::find_if(begin, expected_.end(), [](const Expected& each) {
    return each.behind_copy || each.kind != Kind::sync;
  });
  expected_.erase(begin, end);
  for (Expected& each : expected_) each.behind_copy = false;
}

// It was sent before what is answered next, so that no COPY of that is ended by it.
void Session::forget_copy_end() {
  copy_ended_ = false;
  for (Expected& each : expected_) each.behind_copy = false;
}

void Session::pop() {
  if (front().prepares()) --preparing_;
  if (++first_ < expected_.size()) {
    if (front().behind_copy) forget_copy_end();
    if (first_ < kMostPopped) return;
    expected_.erase(
        expected_.begin(),
        expected_.begin() + static_cast<std::ptrdiff_t>(first_));  // of a pipeline without an end
    first_ = 0;
    return;
  }
  expected_.clear();
  first_ = 0;
  if (expected_.capacity() > 16) expected_.shrink_to_fit();
}

// What Headroom answers itself, once its turn has come.
void Session::answer_locals() {
  while (outstanding() > 0 && front().action == Action::local) {
    const Kind kind = front().kind;
    // Behind answers that are held, they are held too.
    std::string& out = attempt_ && !attempt_->answered && !kind_ends(kind)
                           ? attempt_->held
                           : (let_go(), to_client());
    if (kind == Kind::parse) pgwire::append_empty(out, from::kParseComplete);
    if (kind == Kind::close) pgwire::append_empty(out, from::kCloseComplete);
    if (kind_ends(kind)) {
      pgwire::append_command_complete(out, kind == Kind::set ? "SET" : "DEALLOCATE");
      pgwire::append_ready(out, status_);
    }
    pop();
    if (kind_ends(kind) && reads_on_replica() && !attempt_->ends.empty()) next_exchange();
  }
}

// A message of the server. False: more of it is needed.
bool Session::take_answer(const pgwire::Frame& frame, std::string_view bytes) {
  const bool whole = bytes.size() >= frame.size;
  if (!streams(frame.type) && !whole) {
    if (frame.size <= kLongestControl) return false;
    if (frame.type != from::kError) {
      server_lost({Errc::protocol,
                   fmt::format("the server sent '{}' of {} bytes", frame.type, frame.size)});
      return false;
    }
  }
  const std::string_view body = bytes.substr(pgwire::kHeader, whole ? frame.body() : 0);
  const bool asynchronous = frame.type == from::kNotice || frame.type == from::kNotification ||
                            frame.type == from::kParameterStatus;
  const bool swallow = outstanding() > 0 && front().action == Action::swallow &&
                       frame.type != from::kNotice && frame.type != from::kNotification;
  if (outstanding() == 0 && !asynchronous && frame.type != from::kError) {
    server_lost(
        {Errc::protocol, fmt::format("the server sent '{}', which nobody asked for", frame.type)});
    return false;
  }
  if (settling_ && frame.type == from::kError) {
    const auto report = pgwire::parse_report(body);
    unsettle({Errc::unavailable, report ? report->message : "an error"});
    return false;
  }
  const bool ignored = swallow && front().may_fail;
  if (attempt_ && frame.type == from::kError && !ignored && retries_after(body)) return false;
  if (frame.type == from::kError && ends_only_the_server(body)) return false;
  // First where the frame's bytes go, then what it means: an answer of ours comes behind it.
  if (!swallow && holds(frame, whole)) {
    (void)to_client();
    attempt_->rows = attempt_->rows || frame.type == from::kDataRow;
    attempt_->held.append(bytes.substr(0, frame.size));
    if (cached_) cached_->record(frame.type, bytes.substr(0, frame.size));
    back_.consume(frame.size);
  } else if (swallow && (frame.type != from::kError || ignored)) {
    back_drop_left_ = frame.size;
    (void)to_client();
    const std::size_t here = std::min<std::uint64_t>(frame.size, back_.size());
    back_drop_left_ -= here;
    back_.consume(here);
  } else {
    if (attempt_) let_go();
    const std::size_t here = std::min<std::uint64_t>(frame.size, bytes.size());
    if (cached_) cached_->record(frame.type, bytes.substr(0, here));
    back_ready_ += here;
    back_left_ = frame.size - here;
  }
  const Kind kind = outstanding() > 0 ? front().kind : Kind::sync;
  if (!swallow) see_frame(frame);
  switch (frame.type) {
    case from::kParseComplete:
    case from::kBindComplete:
    case from::kCloseComplete:
    case from::kNoData: pop(); break;
    case from::kRowDescription:
      if (kind == Kind::describe) pop();
      break;
    case from::kCommandComplete: {
      const std::string_view tag = body.substr(0, body.find('\0'));
      if (cached_) cached_->completed(tag);
      see_command(tag);
      rolled_back_ = rolled_back_ || tag == "ROLLBACK";
      if (kind == Kind::execute) pop();
      break;
    }
    case from::kEmptyQuery:
    case from::kPortalSuspended:
      see_command({});
      if (kind == Kind::execute) pop();
      break;
    case from::kCopyIn:
      copying_in_ = !std::exchange(copy_ended_, false);
      if (kind == Kind::execute || kind == Kind::query) ignore_syncs();
      break;
    case from::kCopyBoth:
      fatal("0A000", "replication does not pass through the proxy");
      return false;
    case from::kError:
      if (!ignored) take_error(body);
      break;
    case from::kReady: {
      const auto status = pgwire::parse_ready(body);
      if (!status || outstanding() == 0 || !front().ends_by_ready()) {
        server_lost({Errc::protocol, "the server's answers do not fit what it was asked"});
        return false;
      }
      take_ready(*status);
      break;
    }
    case from::kAuthentication:
    case from::kBackendKey:
      server_lost({Errc::protocol, "the server begins a login"});
      return false;
    default: break;
  }
  answer_locals();
  if (attempt_ && attempt_->flush && outstanding() == 0) flushed();
  if (cancel_later_ && outstanding() > 0 && front().action == Action::pass) forward_cancel();
  return !ended_ && server_ != nullptr;
}

// A server that is ended or goes down says so by a FATAL error. It is the server connection's end; the client's only where something of it was there.
bool Session::ends_only_the_server(std::string_view error) {
  if (status_ != pgwire::Status::idle || pins_ != 0) return false;
  const auto report = pgwire::parse_report(error);
  const bool goes_down =
      report && report->severity == "FATAL" && report->sqlstate.starts_with("57P0");
  if ((outstanding() > 0 || discarding_) && !goes_down) return false;
  server_lost(
      {Errc::unavailable, report ? report->message : "it sent an error that nobody asked for"});
  return true;
}

void Session::take_error(std::string_view body) {
  account_->errors.at(worker().index()).add();
  copying_in_ = false;
  failed_ = true;
  const auto report = pgwire::parse_report(body);
  if (report && (report->severity == "FATAL" || report->severity == "PANIC")) {
    fatal_seen_ = true;
    return;
  }
  if (outstanding() == 0) {
    dirty_ = true;  // of what nobody has asked for: what state it is in is not known
    return;
  }
  if (report) see_error(report->sqlstate);
  if (front().action == Action::swallow && front().kind == Kind::query) {
    return server_lost({Errc::internal, fmt::format("the session's settings cannot be restored: {}",
                                                    report ? report->message : "")});
  }
  // What the server has prepared is not what it is taken to have.
  if (report && ((report->sqlstate == "26000" && front().by_our_name) ||
                 report->message.starts_with("cached plan must not change")))
    dirty_ = true;
  if (front().ends_by_ready()) return;
  // The server ignores all until the Sync: what was expected before it does not come.
  undo_names(first_);
  while (outstanding() > 0 && front().kind != Kind::sync) {
    const Expected& skipped = front();
    if (skipped.kind == Kind::parse && skipped.statement && skipped.action != Action::local &&
        !skipped.there)
      server_->prepared.remove(skipped.statement->id);
    if (skipped.kind == Kind::close && skipped.action == Action::swallow && !skipped.of_unnamed)
      dirty_ = true;
    if (attempt_ && skipped.ends_by_ready() && !attempt_->ends.empty())
      attempt_->ends.erase(attempt_->ends.begin());  // its answer does not come
    pop();
  }
  discarding_ = outstanding() == 0;
  if (!discarding_) return;
  one_by_one_ = false;  // what was to be waited for does not come
  if (!leaving_) return;
  discarding_ = false;
  end_exchange();
}

void Session::take_ready(pgwire::Status status) {
  const std::size_t index = worker().index();
  const TimePoint now = moment();
  copying_in_ = false;
  const bool own = front().action == Action::swallow;
  const bool its_sync = own && front().kind == Kind::sync;
  if (front().shape && !failed_) observe(*front().shape, {});
  statement_since_ = now;
  pop();
  if (own) {
    if (its_sync) return exchange_ended(status);
    if (outstanding() == 0) all_answered(status);
    return;
  }
  cancel_later_ = false;
  if (outstanding() == 0) all_answered(status);
  unsettled_ = 0;
  if (outstanding() == 0) copy_ended_ = false;
  if (cached_) cached_->ready(status);
  stays_with_primary_ = replanned_ = false;
  if (tie_ == Tie::exchange || (tie_ == Tie::transaction && status == pgwire::Status::idle))
    untie();
  if (reads_on_replica())
    answered_on_replica();
  else
    attempt_.reset();
  status_ = status;
  state_since_ = now;
  ++queries_;
  account_->queries.at(index).add();
  account_->query_time.at(index).record(
      elapsed(std::min(std::exchange(received_, kNever), query_since_), now));
  seen_ = {};
  waited_ = {};
  if (status == pgwire::Status::idle && outstanding() == 0) bound_ = {};
  if (status == pgwire::Status::idle) account_->transactions.at(index).add();
  if (failed_) {
    if (touched_.resets_all) touched_.sets = true;
  } else {
    if (touched_.drops_statements) {
      server_->prepared.clear();
      statements_.clear();
    }
  }
  end_pins(status == pgwire::Status::idle);
  touched_.drops_statements = false;
  failed_ = false;
  query_since_ = now;
  restore();
}

void Session::all_answered(pgwire::Status status) {
  one_by_one_ = false;  // no earlier answer is what it waits for
  if (status != pgwire::Status::idle) return;
  reading_unsure_ = false;
  bound_portals_.clear();
}

// Once it is committed; and never one that was made in the same transaction, as nobody here knows which of the two came first.
void Session::end_pins(bool idle) {
  if (failed_ || rolled_back_) touched_.unpins = 0;
  rolled_back_ = false;
  if (!idle) return;
  pins_ &= static_cast<std::uint16_t>(~(touched_.unpins & ~fresh_pins_));
  touched_.unpins = fresh_pins_ = 0;
}

// The connection has ended while it was this client's. The client goes on where that is safe: outside of a transaction, with one answer owed
// of which nothing has been sent in part.
void Session::server_lost(const Error& why) {
  if (settling_) return unsettle(why);
  if (reads_on_replica()) cluster().failed(server_at_);
  const bool again = attempt_ && !replanned_ && (reads_on_replica() || attempt_->reads);
  if (again && may_retry()) {
    account_->lost.at(worker().index()).add();
    log::info("sql", "{}/{}: a server was lost with a read, another one is asked: {}",
              account_->database().name, user_, why.message);
    return retry(false);
  }
  const bool clean = status_ == pgwire::Status::idle && back_left_ == 0 && back_drop_left_ == 0 &&
                     in_left_ == 0 && drop_left_ == 0 && !copying_in_;
  const auto ends = std::ranges::count_if(expected_.begin() + static_cast<std::ptrdiff_t>(first_),
                                          expected_.end(), &Expected::ends_by_ready);
  const bool one = ends == 1 && expected_.back().ends_by_ready();
  const bool own = outstanding() > 0 && front().action == Action::swallow;
  account_->lost.at(worker().index()).add();
  moment_ = {};
  if (outstanding() > 0) see_error("08006");
  seen_ = {};
  if (cached_) cached_->lost();
  if (!fatal_seen_)
    log::warn("sql", "{}/{}: a server connection was lost: {}", account_->database().name, user_,
              why.message);
  const bool was_idle = outstanding() == 0;
  const bool in_frame = back_left_ > 0;
  undo_names(first_);
  expected_.clear();
  first_ = preparing_ = 0;
  tell_server(nullptr);
  // A part of a frame that will never be whole goes nowhere.
  (void)to_client();
  back_.clear();
  back_left_ = back_drop_left_ = 0;
  in_.consume(std::exchange(ready_, 0));
  to_server_.clear();
  detach();
  pool_here().close(worker(), std::move(server_));
  if (wrote_) wrote_until(std::nullopt);
  discarding_ = copying_in_ = copy_ended_ = rolled_back_ = false;
  if (fatal_seen_ || in_frame) {
    ended_ =
        true;  // the client has the server's own last word, or a frame that nothing can be said in
    return;
  }
  const std::string message = fmt::format(
      "the connection to the server was lost{}: {}",
      was_idle ? "" : "; the outcome of what was being executed is unknown", why.message);
  if (!clean || (!one && !was_idle) || pins_ != 0 || own) return fatal("08006", message);
  status_ = pgwire::Status::idle;
  failed_ = false;
  touched_ = {};
  unnamed_.here = false;
  if (was_idle) return;
  pgwire::append_error(to_client(), {.sqlstate = "08006", .message = message});
  pgwire::append_ready(to_client(), pgwire::Status::idle);
}

}  // namespace headroom::sql
