#include "headroom/edge/encodings.h"

#include <sys/resource.h>
#include <unistd.h>

#include "headroom/edge/metrics.h"

namespace headroom::edge {

using coding::Coding;

namespace {

constexpr int kNice = 10;  // requests come first

coding::Coders::Options stored_options(const CompressOptions& options,
                                       const std::atomic<bool>& ending) {
  coding::Coders::Options made;
  made.given_up = &ending;
  made.stored = {static_cast<int>(options.stored_gzip_level),
                 static_cast<int>(options.stored_br_level),
                 static_cast<int>(options.stored_zstd_level)};
  return made;
}

}  // namespace

Encodings::Encodings(cache::Cache& cache, metrics::Registry& registry,
                     const CompressOptions& options)
    : cache_(cache),
      largest_(options.stored_limit.count),
      coders_(stored_options(options, ending_)) {
  for (const Coding coding : {Coding::gzip, Coding::br, Coding::zstd}) {
    std::size_t outcome = 0;
    for (const char* name : {"made", "useless", "dropped"}) {
      outcomes_[form_of(coding)][outcome++] =
          &registry.counter(kEncodings, {std::string(coding::to_string(coding)), name});
    }
  }
  // Of this thread alone; where it is refused all works as well.
  (void)thread_.submit(
      [] { (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice); });
}

void Encodings::order(const cache::ObjectRef& object, Coding coding) {
  cache::Forms* const forms = object->forms();
  const std::uint64_t size = object->size();
  if (forms == nullptr || object.state() != cache::BodyState::whole || size > largest_) return;
  if (!forms->should_make(form_of(coding))) return;
  const std::uint64_t waiting = waiting_bytes_.fetch_add(size, std::memory_order_relaxed);
  const auto work = [this, object, coding, size] {
    if (!ending_.load(std::memory_order_relaxed)) count(coding, make(object, coding));
    waiting_bytes_.fetch_sub(size, std::memory_order_relaxed);
  };
  if ((waiting == 0 || waiting + size <= kMostBytes) && thread_.submit(work)) return;
  waiting_bytes_.fetch_sub(size, std::memory_order_relaxed);
  forms->forget(form_of(coding));
  count(coding, Outcome::dropped);
}

Encodings::Outcome Encodings::make(const cache::ObjectRef& object, Coding coding) {
  cache::Forms& forms = *object->forms();
  const std::size_t form = form_of(coding);
  const bool in_one = object->body() == nullptr;
  const std::string copied = in_one ? std::string() : object.copy();
  const std::string_view body = in_one ? object.stored() : std::string_view(copied);
  std::string coded;
  if (!coders_.encode(coding, coding::Effort::stored, body, coded)) {
    if (ending_.load(std::memory_order_relaxed)) return Outcome::dropped;
    forms.rule_out(form);
    return Outcome::useless;
  }
  if (cache_.memory().add_form(object, form, coded)) return Outcome::made;
  forms.forget(form);
  return Outcome::dropped;
}

}  // namespace headroom::edge
