#include "headroom/tasks/filter.h"

#include <fmt/format.h>

#include "headroom/fwp/command.h"

namespace headroom::tasks {

Result<JobFilter> JobFilter::make(Words words, Names names) {
  if (words.jids && words.jids->size() > kMostJids)
    return fail(Errc::invalid, fmt::format("jids: at most {} at once", kMostJids));
  if (words.pattern.size() > kPatternLimit)
    return fail(Errc::invalid, fmt::format("the pattern is longer than {} bytes", kPatternLimit));
  JobFilter filter;
  if (words.jids)
    filter.jids_.emplace(std::make_move_iterator(words.jids->begin()),
                         std::make_move_iterator(words.jids->end()));
  filter.jobtype_ = std::move(words.jobtype);
  filter.pattern_ = std::move(words.pattern);
  filter.names_ = names;
  return filter;
}

bool JobFilter::operator()(const Job& job) const {
  if (jids_) {
    if (!jids_->contains(job.jid)) return false;
    if (names_ == Names::alone) return true;
  }
  if (!jobtype_.empty() && (job.jobtype.empty() ? type_of(job) : job.jobtype) != jobtype_)
    return false;
  return pattern_.empty() || fwp::glob_matches(pattern_, job.body);
}

}  // namespace headroom::tasks
