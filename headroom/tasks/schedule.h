// headroom/tasks/schedule.h - a recurring task: a cron expression and the job it makes.
//
// Owns: its values. Threads: any; the board keeps the living ones.
// Invariants: (1) its text form keeps everything, the last slot too; (2) for a slot there is one job: it is pushed in the transaction
//   that writes the slot down.
// Limits: names of 200 characters; catch_up_limit jobs for what was missed.
#pragma once

#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/tasks/cron.h"
#include "headroom/tasks/job.h"

namespace headroom::tasks {

// What becomes of slots that passed while nothing ran.
enum class CatchUp : std::uint8_t { skip, once, all };

struct Schedule {
  // A slot that is found so much late or less is not missed.
  static constexpr WallTime kOnTime = 60 * kSecond;

  std::string name;
  std::string cron;
  std::string zone;
  std::string job;  // JSON: what a job has, without jid
  std::uint32_t jitter_s = 0;
  CatchUp catch_up = CatchUp::once;
  std::uint32_t catch_up_limit = 100;
  Gap gap = Gap::shift;
  Fold fold = Fold::first;
  bool paused = false;
  WallTime last =
      0;  // up to here all is settled: the slot that was looked at last, or since when it waits for one
  WallTime ran = 0;  // the slot whose job was made last; 0: none yet

  [[nodiscard]] Result<Cron> parsed() const { return Cron::parse(cron, zone, gap, fold); }
  // {"cron": ..., "zone": ..., "job": {...}, ...}. Errc::invalid says what is wrong; the job is read too.
  [[nodiscard]] static Result<Schedule> read(std::string name, std::string_view json);
  [[nodiscard]] std::string text() const;
};

// The slots that are due, by the schedule's rule for missed ones; `last` is the one up to which all is settled then.
struct DueSlots {
  std::vector<WallTime> run;
  WallTime last = 0;
};
[[nodiscard]] DueSlots due_slots(const Schedule& schedule, const Cron& cron, WallTime now);

// The job of a slot; its jid is made of both, its time is the slot's and its share of the jitter.
[[nodiscard]] Result<Job> job_of(const Schedule& schedule, WallTime slot, WallTime now);

}  // namespace headroom::tasks
