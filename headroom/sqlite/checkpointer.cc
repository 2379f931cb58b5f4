#include "headroom/sqlite/checkpointer.h"

#include <sys/resource.h>
#include <unistd.h>

#include "headroom/base/log.h"

namespace headroom::sqlite {
namespace {

constexpr int kNice = 10;       // on a busy core the writer goes first
constexpr int kMostPasses = 8;  // a writer that is faster than the disk ends it, too

}  // namespace

Result<std::unique_ptr<Checkpointer>> Checkpointer::open(const std::filesystem::path& path,
                                                         std::uint32_t begin) {
  auto own = Database::open(path, {.wal_autocheckpoint_pages = 0, .must_exist = true});
  if (!own) return pass(own);
  return std::unique_ptr<Checkpointer>(new Checkpointer(std::move(*own), begin));
}

Checkpointer::Checkpointer(std::unique_ptr<Database> own, std::uint32_t begin)
    : own_(std::move(own)), begin_(begin), thread_([this] { run(); }) {}

Checkpointer::~Checkpointer() {
  state_ = State::ending;
  state_.notify_one();
  thread_.join();
}

void Checkpointer::committed(Database& writer) {
  const std::uint32_t pages = writer.wal_pages();
  if (pages < pages_.load(std::memory_order_relaxed)) next_ = begin_;  // it has begun anew
  pages_.store(pages, std::memory_order_relaxed);
  const State state = state_.load(std::memory_order_acquire);
  if (state == State::copied) {
    next_ = pages + begin_;  // should somebody still read the old one
    if (auto rest = writer.checkpoint(); !rest && rest.error().code != Errc::unavailable)
      log::warn("sqlite", "the log is not copied now: {}", rest.error().message);
    state_.store(State::idle, std::memory_order_release);
  } else if (state == State::idle && pages >= next_) {
    state_.store(State::copying, std::memory_order_release);
    state_.notify_one();
  }
}

void Checkpointer::run() {
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);  // of this thread
  for (;;) {
    State state = state_.load(std::memory_order_acquire);
    if (state == State::ending) return;
    if (state != State::copying) {
      state_.wait(state);
      continue;
    }
    copy();
    // Unless it ends meanwhile.
    state_.compare_exchange_strong(state, State::copied, std::memory_order_release,
                                   std::memory_order_relaxed);
  }
}

void Checkpointer::copy() {
  for (int pass = 0; pass < kMostPasses; ++pass) {
    const auto copied = own_->checkpoint();
    if (!copied) {
      if (copied.error().code != Errc::unavailable)
        log::warn("sqlite", "the log is not copied now: {}", copied.error().message);
      return;
    }
    const std::uint32_t pages = pages_.load(std::memory_order_relaxed);
    if (pages <= *copied + kRest || state_.load(std::memory_order_relaxed) == State::ending) return;
  }
}

}  // namespace headroom::sqlite
