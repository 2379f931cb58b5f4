// A Faktory client's line: no crash whatever it holds; what is accepted keeps to its limits; a job that was accepted is read again from its own text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/fwp/command.h"
#include "headroom/fwp/reply.h"
#include "headroom/tasks/batch.h"
#include "headroom/tasks/job.h"
#include "input.h"

namespace {

using namespace headroom;  // NOLINT(google-build-using-namespace)

void try_job(std::string_view text) {
  const auto job = tasks::read_job(text, 0);
  if (!job) return;
  HR_ASSERT(job->jid.size() <= fwp::kWordLimit);
  const auto again = tasks::read_job(job->body, 0, {.bytes = Bytes::mib(16)});
  HR_ASSERT(again.has_value());
  HR_ASSERT(again->jid == job->jid);
  HR_ASSERT(again->body == job->body);  // nothing is missing any more
  Random random(1);
  const tasks::Verdict verdict =
      tasks::judge(*job, {"E", std::string(text.substr(0, 100)), {}}, 0, tasks::Backoffs(), random);
  if (job->chained) {
    const auto next = tasks::next_in_chain(job->body, "the-next-one");
    HR_ASSERT(next.has_value());
    HR_ASSERT(tasks::read_job(*next, 0, {.bytes = Bytes::mib(16)}).has_value());
  }
  HR_ASSERT(tasks::read_job(verdict.body, 0, {.bytes = Bytes::mib(16)}).has_value());
}

void try_arguments(const fwp::Command& command) {
  const std::string_view text = command.arguments;
  switch (command.verb) {
    case fwp::Verb::hello: (void)fwp::parse_hello(text); return;
    case fwp::Verb::push: return try_job(text);
    case fwp::Verb::pushb:
      if (const auto elements = fwp::elements_of(text)) {
        for (const std::string_view element : *elements) try_job(element);
      }
      return;
    case fwp::Verb::fetch:
      if (const auto words = fwp::parse_words(text)) HR_ASSERT(words->size() <= fwp::kWordsLimit);
      return;
    case fwp::Verb::ack: (void)fwp::parse_ack(text); return;
    case fwp::Verb::fail:
      if (const auto fail = fwp::parse_fail(text)) HR_ASSERT(fail->message.size() <= 1000U);
      return;
    case fwp::Verb::beat: (void)fwp::parse_beat(text); return;
    case fwp::Verb::mutate:
      if (const auto mutate = fwp::parse_mutate(text))
        (void)fwp::glob_matches(mutate->pattern, text);
      return;
    case fwp::Verb::queue: (void)fwp::parse_queue_act(text); return;
    case fwp::Verb::track: (void)fwp::parse_track(text); return;
    case fwp::Verb::batch:
      if (const auto said = fwp::parse_batch(text)) {
        HR_ASSERT(said->bid.size() <= fwp::kWordLimit);
        auto batch = tasks::Batch::read(said->definition, 0);
        if (!batch) return;
        batch->bid = "b-0";
        const auto again = tasks::Batch::restore(batch->text());
        HR_ASSERT(again.has_value());
        HR_ASSERT(again->text() == batch->text());
        if (!batch->on_success.empty())
          HR_ASSERT(tasks::callback_job(batch->on_success, *batch, tasks::Callback::success, 0)
                        .has_value());
      }
      return;
    default: return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = input_text(data, size);
  const std::string_view line = text.substr(0, text.find('\n'));
  try_arguments(fwp::parse_command(line));
  (void)tasks::parse_time(line);
  std::string out;
  fwp::append_error(out, "ERR", line);
  HR_ASSERT(out.find('\n') == out.size() - 1);
  return 0;
}
