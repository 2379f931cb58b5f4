#include "headroom/net/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "headroom/base/assert.h"
#include "headroom/net/worker.h"

namespace headroom::net {
namespace {

constexpr std::uint32_t kReads = EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET;
constexpr std::uint32_t kEnds = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

}  // namespace

Watch::Watch(Worker& worker, int fd) : worker_(worker), fd_(fd) {
  if (fd_ >= 0 && !worker_.poller().add(*this)) fd_ = -1;
}

void Watch::forget() {
  if (fd_ < 0) return;
  worker_.poller().skip(*this);
  fd_ = -1;
}

void Watch::detach() {
  if (fd_ < 0) return;
  worker_.poller().remove(*this);
  forget();
}

void Watch::drained(Direction direction) {
  (direction == Direction::read ? readable_ : writable_) = false;
  if (direction == Direction::read || writes_watched_ || fd_ < 0) return;
  writes_watched_ = true;
  if (!worker_.poller().watch_writes(*this)) writable_ = true;
}

void Watch::keep(Direction direction, Waiter waiter) {
  Waiter& waiting = this->waiter(direction);
  HR_ASSERT(!waiting);
  waiting = std::move(waiter);
  if (ready(direction) || fd_ < 0) resume_later(waiting);
}

void Watch::resume_later(Waiter& waiter) {
  if (waiter) worker_.post(std::exchange(waiter, nullptr));
}

void Watch::cancel() {
  resume_later(reader_);
  resume_later(writer_);
  if (told_ != nullptr) told_(whom_);
}

void Watch::happened(std::uint32_t events) {
  if ((events & (kEnds | EPOLLPRI)) != 0) reads_may_stop_short_ = true;
  const bool reads = (events & (EPOLLIN | EPOLLPRI | kEnds)) != 0;
  const bool writes = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
  if (reads) readable_ = true;
  if (writes) writable_ = true;
  if (told_ != nullptr) told_(whom_);
  const bool wakes_reader = reads && reader_;
  const bool wakes_writer = writes && writer_;
  if (wakes_reader && wakes_writer)
    resume_later(writer_);  // who is resumed here and now may end this watch
  if (!wakes_reader && !wakes_writer) return;
  auto waiter = std::exchange(wakes_reader ? reader_ : writer_, nullptr);
  waiter();
}

Poller::Poller()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  HR_ASSERT(epoll_ >= 0);
  HR_ASSERT(wake_ >= 0);
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  HR_ASSERT(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0);
}

Poller::~Poller() {
  ::close(wake_);
  ::close(epoll_);
}

bool Poller::add(Watch& watch) {
  epoll_event event{};
  event.events = kReads;
  event.data.ptr = &watch;
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, watch.fd_, &event) == 0;
}

bool Poller::watch_writes(Watch& watch) {
  epoll_event event{};
  event.events = kReads | EPOLLOUT;
  event.data.ptr = &watch;
  return ::epoll_ctl(epoll_, EPOLL_CTL_MOD, watch.fd_, &event) == 0;
}

void Poller::remove(Watch& watch) {
  epoll_event event{};
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, watch.fd_, &event);
}

void Poller::skip(const Watch& watch) {
  for (std::size_t i = next_; i < count_; ++i) {
    if (events_[i].data.ptr == &watch) events_[i].data.ptr = nullptr;
  }
}

void Poller::wait(Duration most) {
  // The queue is long, and what was found before has not been told yet: an edge comes once.
  if (next_ < count_) return;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(std::max(most, Duration::zero()));
  const int found = ::epoll_wait(epoll_, events_.data(), static_cast<int>(kEvents),
                                 static_cast<int>(whole.count()));
  woken_.store(false);  // before the worker looks what has been posted
  next_ = 0;
  count_ = found > 0 ? static_cast<std::size_t>(found) : 0;
}

void Poller::round() {
  while (next_ < count_) {
    const epoll_event& event = events_[next_++];
    if (event.data.ptr != nullptr) static_cast<Watch*>(event.data.ptr)->happened(event.events);
  }
}

void Poller::wake() {
  if (woken_.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

}  // namespace headroom::net
