#include <algorithm>
#include <utility>

#include "headroom/http/writer.h"
#include "headroom/limit/rule.h"
#include "headroom/limit/rules.h"

namespace headroom::limit {
namespace {

constexpr std::uint64_t kMostInteger =
    999'999'999'999'999;  // of a structured field (RFC 9651 3.3.1)

std::uint64_t bounded(std::uint64_t value) { return std::min(value, kMostInteger); }

std::uint64_t seconds_up(Duration d) {
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::seconds>(d).count());
}

bool stricter(const Verdict& a, const Verdict& b) {
  if (a.standing.allowed != b.standing.allowed) return !a.standing.allowed;
  if (!a.standing.allowed) return a.standing.retry_after > b.standing.retry_after;
  return a.standing.remaining < b.standing.remaining;
}

void append_number(std::string& out, std::string_view parameter, std::uint64_t value) {
  out += parameter;
  out += http::Digits(bounded(value)).view();
}

void append_name(std::string& out, const Verdict& v) {
  out += '"';
  out += v.rule->options.name;
  out += '"';
}

void append_policy(std::string& out, const Verdict& v) {
  append_name(out, v);
  append_number(out, ";q=", v.limit);
  if (v.window == Duration(0)) {
    out += R"(;qu="concurrent-requests")";
  } else if (v.window % 1s == Duration(0)) {
    append_number(out, ";w=", static_cast<std::uint64_t>(v.window / 1s));
  }
}

void append_standing(std::string& out, const Verdict& v) {
  const Standing& s = v.standing;
  append_name(out, v);
  append_number(out, ";r=", std::min(s.remaining, v.limit));
  const Duration reset = s.allowed ? s.reset : s.retry_after;
  if (reset > Duration(0)) append_number(out, ";t=", seconds_up(reset));
}

}  // namespace

Decision& Decision::operator=(Decision&& other) noexcept {
  if (this == &other) return *this;
  end();
  allowed_ = other.allowed_;
  fields_ = other.fields_;
  shown_ = other.shown_;
  verdicts_ = other.verdicts_;
  held_ = std::exchange(other.held_, {});
  return *this;
}

void Decision::end() {
  for (const Held& held : held_) {
    Subjects& subjects = held.counters->subjects;
    Subjects::Shard& shard = subjects.shard(held.slot->key);
    const std::scoped_lock lock(shard.mutex);
    const Budget& budget = subjects.budget(held.slot->tier);
    budget.give_back(held.slot->state(), held.cost);
    if (budget.idle(held.slot->state(), TimePoint{})) shard.unused(*held.slot);
  }
  held_.clear();
}

std::string_view Decision::refused_by() const {
  return allowed_ || shown_ == 0 ? std::string_view{} : verdicts_[0].rule->options.name;
}

Duration Decision::retry_after() const {
  return allowed_ || shown_ == 0 ? Duration(1s)
                                 : std::max<Duration>(1s, verdicts_[0].standing.retry_after);
}

void Decision::append_fields(std::string& lines) const {
  if (fields_ && shown_ > 0) {
    const auto line = [&](std::string_view name, auto append) {
      lines += name;
      for (const Verdict& verdict : verdicts()) {
        if (&verdict != verdicts_.data()) lines += ", ";
        append(lines, verdict);
      }
      lines += "\r\n";
    };
    line("RateLimit-Policy: ", append_policy);
    line("RateLimit: ", append_standing);
  }
  if (allowed_) return;
  append_number(lines, "Retry-After: ", seconds_up(retry_after()));
  lines += "\r\n";
}

std::string Decision::explained() const {
  std::string text;
  for (const Verdict& verdict : verdicts()) {
    if (!text.empty()) text += ", ";
    text.append(verdict.rule->options.name).append(verdict.standing.allowed ? ": " : ": refused, ");
    append_number(text, "", verdict.standing.remaining);
    append_number(text, " left of ", verdict.limit);
  }
  return text;
}

void Decision::add(const Verdict& verdict) {
  std::size_t at = shown_;
  while (at > 0 && stricter(verdict, verdicts_[at - 1])) --at;
  if (at == kShown) return;
  if (shown_ < kShown) ++shown_;
  std::copy_backward(verdicts_.begin() + static_cast<std::ptrdiff_t>(at),
                     verdicts_.begin() + static_cast<std::ptrdiff_t>(shown_) - 1,
                     verdicts_.begin() + static_cast<std::ptrdiff_t>(shown_));
  verdicts_[at] = verdict;
}

}  // namespace headroom::limit
