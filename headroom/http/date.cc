#include "headroom/http/date.h"

#include <array>
#include <chrono>

namespace headroom::http {
namespace {

constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::array<std::string_view, 7> kDays{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                "Thursday", "Friday", "Saturday"};

// Takes what it reads from the front; after the first mismatch it is not fine() and takes no more.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  void literal(std::string_view text) {
    if (!left_.starts_with(text)) return stop();
    left_.remove_prefix(text.size());
  }
  int digits(std::size_t count) {
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (left_.empty() || left_[0] < '0' || left_[0] > '9') return stop(), 0;
      value = value * 10 + (left_[0] - '0');
      left_.remove_prefix(1);
    }
    return value;
  }
  // asctime's day: two digits, or a space and one.
  int padded_day() {
    if (!left_.starts_with(' ')) return digits(2);
    literal(" ");
    return digits(1);
  }
  int month() {
    for (std::size_t i = 0; i < kMonths.size(); ++i) {
      if (left_.starts_with(kMonths[i])) return literal(kMonths[i]), static_cast<int>(i) + 1;
    }
    return stop(), 1;
  }
  enum class DayName : std::uint8_t { shortened, full };
  void day_name(DayName form) {
    for (const std::string_view day : kDays) {
      const std::string_view name = form == DayName::full ? day : day.substr(0, 3);
      if (left_.starts_with(name)) return literal(name);
    }
    stop();
  }
  bool at_end() const { return fine_ && left_.empty(); }

 private:
  void stop() {
    fine_ = false;
    left_ = {};
  }
  std::string_view left_;
  bool fine_ = true;
};

struct Parts {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
};

void read_time(Reader& reader, Parts& parts) {
  parts.hour = reader.digits(2);
  reader.literal(":");
  parts.minute = reader.digits(2);
  reader.literal(":");
  parts.second = reader.digits(2);
}

// "Sun, 06 Nov 1994 08:49:37 GMT" and, with "-" and a short year, "Sunday, 06-Nov-94 08:49:37 GMT".
std::optional<Parts> day_first(std::string_view text, Reader::DayName form,
                               std::string_view separator, std::size_t year_digits) {
  Reader reader(text);
  Parts parts;
  reader.day_name(form);
  reader.literal(", ");
  parts.day = reader.digits(2);
  reader.literal(separator);
  parts.month = reader.month();
  reader.literal(separator);
  parts.year = reader.digits(year_digits);
  reader.literal(" ");
  read_time(reader, parts);
  reader.literal(" GMT");
  return reader.at_end() ? std::optional(parts) : std::nullopt;
}

std::optional<Parts> rfc_850(std::string_view text, std::int64_t now) {
  auto parts = day_first(text, Reader::DayName::full, "-", 2);
  if (!parts) return parts;
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  const year_month_day today(floor<days>(sys_seconds(seconds(now))));
  const int this_year = static_cast<int>(today.year());
  parts->year += this_year / 100 * 100;
  if (parts->year > this_year + 50) parts->year -= 100;
  return parts;
}

std::optional<Parts> asctime(std::string_view text) {
  Reader reader(text);
  Parts parts;
  reader.day_name(Reader::DayName::shortened);
  reader.literal(" ");
  parts.month = reader.month();
  reader.literal(" ");
  parts.day = reader.padded_day();
  reader.literal(" ");
  read_time(reader, parts);
  reader.literal(" ");
  parts.year = reader.digits(4);
  return reader.at_end() ? std::optional(parts) : std::nullopt;
}

}  // namespace

std::optional<std::int64_t> parse_http_date(std::string_view text, std::int64_t now) {
  // Neither of the other two has a comma behind a three letters' day.
  auto parts = day_first(text, Reader::DayName::shortened, " ", 4);
  if (!parts) parts = rfc_850(text, now);
  if (!parts) parts = asctime(text);
  if (!parts || parts->hour > 23 || parts->minute > 59 || parts->second > 60) return std::nullopt;
  using namespace std::chrono;  // NOLINT(google-build-using-namespace)
  const year_month_day date(year(parts->year), month(static_cast<unsigned>(parts->month)),
                            day(static_cast<unsigned>(parts->day)));
  if (!date.ok()) return std::nullopt;
  const sys_seconds when =
      sys_days(date) + hours(parts->hour) + minutes(parts->minute) + seconds(parts->second);
  return when.time_since_epoch().count();
}

}  // namespace headroom::http
