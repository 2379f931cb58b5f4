#include "headroom/realtime/outlet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>

#include "headroom/realtime/part.h"

namespace headroom::realtime {
namespace {

constexpr std::uint64_t kAnswersLimit = 1U << 20U;
constexpr std::size_t kMostHad = 4096;
constexpr Duration kHadFor = 3s;
constexpr int kUnsentInKernel = 16 << 10;

// Bytes in the kernel's queue cannot be overtaken.
void keep_kernel_short(int fd) {
  setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentInKernel, sizeof kUnsentInKernel);
}

void fetch_lines(const void* from, std::size_t size) {
  constexpr std::size_t kLine = 64;
  for (std::size_t i = 0; i < size; i += kLine)
    __builtin_prefetch(static_cast<const char*>(from) + i);
}

}  // namespace

Outlet::Outlet(Part& part, net::Stream& stream, Owner& owner, Wire wire)
    : part_(part),
      stream_(stream),
      owner_(owner),
      id_(part.next_socket()),
      batch_(part.worker().wheel(), *this),
      wire_(wire) {
  keep_kernel_short(stream.native());
  part_.outlets().push_back(*this);
}

Outlet::~Outlet() {
  HR_ASSERT(pending_.empty());
  part_.outlets().remove(*this);
  Part::Line::unlink(*this);
}

void Outlet::fetch() const { fetch_lines(this, sizeof *this); }

void Outlet::fetch_stream() const { fetch_lines(&stream_, sizeof stream_); }

void Outlet::send(Bits bytes) {
  if (ended_) return;
  if (!answers_) answers_ = std::make_unique<Answers>();
  answers_->bytes += bytes->size();
  if (answers_->bytes > kAnswersLimit) return stream_.abort(Errc::overloaded);
  answers_->waiting.push_back(std::move(bytes));
  hasten();
}

void Outlet::expect(Subscription& subscription) {
  if (!subscription.in_outlet.linked()) pending_.push_back(subscription);
}

void Outlet::forget(Subscription& subscription) {
  if (subscription.in_outlet.linked()) pending_.remove(subscription);
}

void Outlet::hasten() {
  if (state_ == State::ready || state_ == State::blocked) return;
  batch_.clear();
  state_ = State::ready;
  part_.add_ready(*this);
}

bool Outlet::line_up() {
  if (state_ == State::batching) return true;
  if (state_ != State::quiet) return false;
  const Duration delay = part_.options().batch_delay;
  if (delay == Duration::zero()) {
    hasten();
    return false;
  }
  const TimePoint due = written_ + delay;
  if (due <= Clock::now()) {
    hasten();
    return false;
  }
  state_ = State::batching;
  batch_.set(due - std::min<Duration>(delay, net::Wheel::kTick));  // the wheel may be a tick late
  return true;
}

// Further behind than its channel allows: the connection ends, or it goes on with less and is told so.
void Outlet::catch_up(Chunk& chunk, Subscription& subscription) {
  Channel& channel = subscription.channel;
  if (!channel.is_too_far(subscription)) return;
  const std::uint64_t skipped = channel.skip(subscription);
  part_.cells().dropped[static_cast<std::size_t>(channel.rule().slow)]->add(skipped);
  if (channel.rule().slow == Slow::close) return owner_.end(Owner::End::slow);
  if (skipped > 0) tell(chunk, owner_.missed(subscription, skipped));
}

// Whether the message is for it; counts it then.
bool Outlet::gives(const Subscription& subscription, const Message& message, TimePoint now) {
  const Publication& what = message.what();
  if (what.except == id_ || has_had(what.once, now)) return false;
  const auto i = static_cast<std::size_t>(what.priority);
  part_.cells().delivered[i]->add();
  if (message.at() >= subscription.opened)
    part_.cells().delivery[i].record(elapsed(message.at(), now));
  return true;
}

// What an overtaken subscriber is still given, and what it is told.
void Outlet::collect_kept(Chunk& chunk, Subscription& subscription, TimePoint now) {
  Channel& channel = subscription.channel;
  Overtaken& left = *subscription.overtaken;
  metrics::Cell& dropped = *part_.cells().dropped[static_cast<std::size_t>(channel.rule().slow)];
  if (channel.is_paused(subscription)) {
    if (std::exchange(left.told, true)) return;
    dropped.add(channel.log(Priority::normal).end() - left.place);
    return tell(chunk, owner_.paused(subscription, left.at));
  }
  while (left.given < left.kept.size() && !chunk.full()) {
    const MessagePtr message = std::move(left.kept[left.given++]);
    if (gives(subscription, *message, now)) chunk.add(Bits(message, &message->wire(wire_)));
  }
  if (left.given < left.kept.size()) return;
  const std::uint64_t missed = channel.go_on(subscription);
  dropped.add(missed);
  if (missed > 0) tell(chunk, owner_.missed(subscription, missed));
}

// To who took nothing for a while: of what has come meanwhile the newest of each key.
void Outlet::collect_newest(Chunk& chunk, Subscription& subscription, TimePoint now) {
  constexpr auto kNormal = static_cast<std::size_t>(Priority::normal);
  Channel& channel = subscription.channel;
  const Log& log = channel.log(Priority::normal);
  std::uint64_t passed = 0;
  for (const Log::Place place : channel.newest_of_keys(subscription)) {
    if (chunk.full()) break;
    passed += place - subscription.next[kNormal];
    subscription.next[kNormal] = place + 1;
    const MessagePtr& message = log.at(place);
    if (gives(subscription, *message, now)) chunk.add(message->wire(wire_), message);
  }
  if (passed == 0) return;
  part_.cells().dropped[static_cast<std::size_t>(channel.rule().slow)]->add(passed);
  tell(chunk, owner_.missed(subscription, passed));
}

void Outlet::collect(Chunk& chunk, Priority priority, TimePoint now) {
  const auto i = static_cast<std::size_t>(priority);
  for (Subscription* s = pending_.front(); s != nullptr && !chunk.full();
       s = decltype(pending_)::after(*s)) {
    const Log& log = s->channel.log(priority);
    catch_up(chunk, *s);
    if (priority == Priority::normal && s->overtaken) {
      collect_kept(chunk, *s, now);
      if (s->overtaken) continue;
    }
    if (priority == Priority::normal && lagged_ && s->channel.conflates()) {
      collect_newest(chunk, *s, now);
      continue;
    }
    for (; s->next[i] != log.end() && !chunk.full(); ++s->next[i]) {
      const MessagePtr& message = log.at(s->next[i]);
      if (gives(*s, *message, now)) chunk.add(message->wire(wire_), message);
    }
  }
}

void Outlet::collect_answers(Chunk& chunk) {
  std::vector<Bits>& waiting = answers_->waiting;
  std::size_t taken = 0;
  for (; taken < waiting.size() && !chunk.full(); ++taken) {
    answers_->bytes -= waiting[taken]->size();
    chunk.add(std::move(waiting[taken]));
  }
  waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(taken));
  if (waiting.empty()) answers_.reset();
}

void Outlet::collect(Chunk& chunk, TimePoint now) {
  if (answers_) collect_answers(chunk);
  if (ended_ || held_ || pending_.empty()) return;
  const std::size_t before = chunk.pieces.size();
  collect(chunk, Priority::critical, now);
  collect(chunk, Priority::normal, now);
  if (chunk.pieces.size() == before) return;
  if (std::string mark = owner_.mark(); !mark.empty())
    chunk.add(std::make_shared<const std::string>(std::move(mark)));
}

// Whether the same came over another channel.
bool Outlet::has_had(std::uint64_t once, TimePoint now) {
  if (once == 0) return false;
  if (!had_) had_ = std::make_unique<Had>();
  if (!had_->all.insert(once).second) return true;
  had_->order.push_back({once, now});
  // The other channel's copy comes soon, or waits as long as this connection does.
  while (had_->order.size() > kMostHad ||
         (!lagged_ && elapsed(had_->order.front().at, now) > kHadFor)) {
    had_->all.erase(had_->order.front().once);
    had_->order.pop_front();
  }
  return false;
}

Outlet::Written Outlet::write(Chunk& chunk) {
  net::Gather gather;
  if (chunk.pieces.size() == 1) {
    gather.add(chunk.pieces[0].bytes);
  } else {
    // Copied together: for the kernel, many small pieces cost more than the copy.
    std::string& joined = part_.scratch();
    joined.clear();
    for (const auto& piece : chunk.pieces) joined += piece.bytes;
    gather.add(joined);
  }
  part_.cells().writes.add();
  auto written = stream_.write_now(gather);
  if (!written) {
    stream_.abort(Errc::unavailable);
    return Written::failed;
  }
  if (*written) return Written::all;
  keep_rest(chunk, chunk.bytes - gather.left());
  return Written::cut;
}

// What is left, with references that hold it.
void Outlet::keep_rest(Chunk& chunk, std::size_t done) {
  rest_ = std::make_unique<Rest>();
  for (auto& piece : chunk.pieces) {
    if (rest_->pieces.empty() && piece.bytes.size() <= done) {
      done -= piece.bytes.size();
      continue;
    }
    Bits whole = piece.message == nullptr ? std::move(piece.own)
                                          : Bits(*piece.message, &(*piece.message)->wire(wire_));
    // `bytes` may be the end of the whole.
    if (rest_->pieces.empty()) rest_->begun = whole->size() - piece.bytes.size() + done;
    rest_->pieces.push_back(std::move(whole));
  }
}

void Outlet::write() {
  if (state_ == State::blocked) return;
  Part::Line::unlink(*this);
  batch_.clear();
  written_ = Clock::now();
  Chunk& chunk = part_.chunk();
  for (;;) {
    chunk.clear();
    collect(chunk, written_);
    if (chunk.empty()) break;
    const bool is_all = !chunk.full();
    const Written done = write(chunk);
    if (done == Written::cut) return wait_to_write();
    if (done == Written::failed) {
      state_ = State::blocked;  // for good: the session is about to end
      return chunk.clear();
    }
    if (is_all) break;
  }
  chunk.clear();
  state_ = ended_ ? State::blocked : State::quiet;
  lagged_ = false;
  if (!is_writing()) writing_.reset();
  if (ended_ || held_) return;
  settle_all();
  owner_.written();
}

void Outlet::settle_all() {
  while (Subscription* const subscription = pending_.front()) {
    pending_.remove(*subscription);
    subscription->channel.settle(*subscription);
  }
}

void Outlet::wait_to_write() {
  part_.chunk().clear();
  state_ = State::blocked;
  lagged_ = true;
  part_.cells().blocked.add();
  part_.blocked().push_back(*this);
  for (Subscription* s = pending_.front(); s != nullptr; s = decltype(pending_)::after(*s))
    s->channel.hasten(*s);
  if (!writing_) writing_ = std::make_unique<net::TaskGroup>(part_.worker(), 1);
  if (writing_->running() == 0 && !writing_->spawn([this] { return go_on(); }))
    stream_.abort(Errc::cancelled);
}

net::Task<> Outlet::join() {
  if (writing_) co_await writing_->join();
}

void Outlet::give_up() {
  part_.chunk().clear();
  state_ = State::blocked;  // for good: the session is about to end
  stream_.abort(Errc::internal);
}

// While the connection takes no more: waits until it does.
net::Task<> Outlet::go_on() {
  while (state_ == State::blocked) {
    stream_.expire_writes_at(Clock::now() + part_.options().write_timeout);
    auto writable = co_await stream_.wait_writable();
    if (!writable) {
      if (writable.error().code == Errc::timeout) part_.cells().refuse(Refusal::slow);
      stream_.abort(Errc::timeout);
      co_return;
    }
    stream_.expire_writes_at(kNever);
    // What a TLS record was refused with must be offered again whole: all of the rest, as it was.
    Chunk chunk;
    const std::unique_ptr<Rest> rest = std::move(rest_);
    for (std::size_t i = 0; i < rest->pieces.size(); ++i)
      chunk.add(rest->pieces[i], i == 0 ? rest->begun : 0);
    const Written done = write(chunk);
    if (done == Written::cut) continue;
    if (done == Written::failed) co_return;
    state_ = State::quiet;
    write();
  }
}

void Outlet::look_at_distance() {
  for (Subscription* s = pending_.front(); s != nullptr; s = decltype(pending_)::after(*s)) {
    if (s->channel.rule().slow != Slow::close || !s->channel.is_too_far(*s)) continue;
    const std::uint64_t skipped = s->channel.skip(*s);
    part_.cells().dropped[static_cast<std::size_t>(Slow::close)]->add(skipped);
    return owner_.end(Owner::End::slow);
  }
}

}  // namespace headroom::realtime
