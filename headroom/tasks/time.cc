#include "headroom/tasks/time.h"

#include <chrono>

#include "headroom/base/text.h"

namespace headroom::tasks {
namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

// Takes the digits of a number and what must follow it from the text's begin.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  unsigned number(std::size_t digits) {
    const auto value = rest_.size() < digits ? std::nullopt : text::to_u64(rest_.substr(0, digits));
    good_ = good_ && value.has_value();
    if (!good_) return 0;
    rest_.remove_prefix(digits);
    return static_cast<unsigned>(*value);
  }
  bool take(std::string_view any_of) {
    if (rest_.empty() || !any_of.contains(rest_.front())) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(std::string_view any_of) { good_ = take(any_of) && good_; }
  // Digits of a fraction, as microseconds.
  unsigned fraction() {
    unsigned micros = 0;
    unsigned unit = 100'000;
    std::size_t digits = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      micros += unit * static_cast<unsigned>(rest_.front() - '0');
      unit /= 10;
      rest_.remove_prefix(1);
      ++digits;
    }
    good_ = good_ && digits > 0;
    return micros;
  }
  char sign() {
    for (const char c : {'+', '-'}) {
      if (take(std::string_view(&c, 1))) return c;
    }
    return 0;
  }
  [[nodiscard]] bool done() const { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

}  // namespace

WallTime wall_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::optional<WallTime> parse_time(std::string_view text) {
  Scanner in(text);
  const unsigned year = in.number(4);
  in.expect("-");
  const unsigned month = in.number(2);
  in.expect("-");
  const unsigned day = in.number(2);
  in.expect("Tt ");
  const unsigned hour = in.number(2);
  in.expect(":");
  const unsigned minute = in.number(2);
  in.expect(":");
  const unsigned second = in.number(2);
  const unsigned micros = in.take(".") ? in.fraction() : 0;
  WallTime offset = 0;
  if (!in.take("Zz")) {
    const char sign = in.sign();
    const unsigned hours = in.number(2);
    in.expect(":");
    const unsigned minutes = in.number(2);
    if (sign == 0 || hours > 23 || minutes > 59) return std::nullopt;
    offset = (sign == '-' ? -1 : 1) * static_cast<WallTime>(hours * 60 + minutes) * 60 * kSecond;
  }
  if (!in.done() || year < 1970 || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  const year_month_day date{std::chrono::year(static_cast<int>(year)), std::chrono::month(month),
                            std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  const WallTime days = sys_days(date).time_since_epoch().count();
  const WallTime seconds = days * 86400 + hour * 3600 + minute * 60 + second;
  return seconds * kSecond + micros - offset;
}

std::string format_time(WallTime time) {
  const WallTime seconds = time >= 0 ? time / kSecond : (time - kSecond + 1) / kSecond;
  const std::chrono::sys_seconds at{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(at);
  const year_month_day date(day);
  const auto clock = (at - day).count();
  // By hand: it is done twice for each job that comes.
  std::string text = "0000-00-00T00:00:00.000000Z";
  const auto put = [&text](std::size_t begin, std::size_t digits, std::int64_t value) {
    for (std::size_t i = begin + digits; i > begin; value /= 10)
      text[--i] = static_cast<char>('0' + value % 10);
  };
  put(0, 4, static_cast<int>(date.year()));
  put(5, 2, static_cast<unsigned>(date.month()));
  put(8, 2, static_cast<unsigned>(date.day()));
  put(11, 2, clock / 3600);
  put(14, 2, clock / 60 % 60);
  put(17, 2, clock % 60);
  put(20, 6, time - seconds * kSecond);
  return text;
}

}  // namespace headroom::tasks
