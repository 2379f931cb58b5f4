// bench/compress/document.h - a page of an API's answer as applications send it: bookings with ids, dates, names, prices, nested objects.
#pragma once

#include <fmt/format.h>

#include <array>
#include <string>
#include <string_view>

#include "headroom/base/hash.h"

namespace headroom::bench {

class Document {
 public:
  // The same for the same seed, `size` bytes or the few more that end its last item.
  static std::string json(std::size_t size, std::uint64_t seed = 42) {
    Document document(seed);
    std::string text = R"({"page":3,"per_page":50,"total":18231,"items":[)";
    while (text.size() + 60 < size) text += document.item() + ",";
    text.back() = ']';
    return text + R"(,"next":"/api/v1/bookings?page=4&per_page=50"})";
  }

 private:
  explicit Document(std::uint64_t seed) : random_(seed) {}

  template <std::size_t n>
  std::string_view one_of(const std::array<std::string_view, n>& words) {
    return words[random_.below(n)];
  }
  std::string uuid() {
    const std::uint64_t a = random_.next();
    const std::uint64_t b = random_.next();
    return fmt::format("{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}", a >> 32U, (a >> 16U) & 0xffffU,
                       a & 0xfffU, b >> 52U, b & 0xffffffffffffU);
  }
  std::string moment() {
    return fmt::format("2024-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", 1 + random_.below(12),
                       1 + random_.below(28), random_.below(24), random_.below(60),
                       random_.below(60), random_.below(1000));
  }
  std::string item();

  Random random_;
};

inline std::string Document::item() {
  static constexpr std::array<std::string_view, 12> kFirst{"Anna",  "Jamal", "Mei",  "Oskar",
                                                           "Priya", "Lucía", "Tom",  "Aisha",
                                                           "Noah",  "Ewa",   "Kofi", "Sara"};
  static constexpr std::array<std::string_view, 10> kLast{
      "Keller", "Okafor",   "Chen",  "Lindqvist", "Sharma",
      "García", "Robinson", "Nowak", "Haddad",    "Ito"};
  static constexpr std::array<std::string_view, 5> kStatus{"confirmed", "pending", "cancelled",
                                                           "completed", "no_show"};
  static constexpr std::array<std::string_view, 8> kService{
      "Haircut", "Beard trim",      "Colour and cut", "Consultation, 30 minutes",
      "Massage", "Hot towel shave", "Kids' haircut",  "Follow-up by video"};
  static constexpr std::array<std::string_view, 6> kNote{"",
                                                         "prefers mornings",
                                                         "first visit, came through the newsletter",
                                                         "please call before",
                                                         "allergic to latex",
                                                         "moved from last week because of illness"};
  const auto first = one_of(kFirst);
  const auto last = one_of(kLast);
  return fmt::format(
      R"({{"id":"{}","number":{},"status":"{}","starts_at":"{}","duration_minutes":{},"service":{{"id":{},"name":"{}",)"
      R"("price":{{"amount":"{}.{:02}","currency":"EUR"}}}},"client":{{"id":{},"name":"{} {}","email":"{}.{}{}@example.com",)"
      R"("phone":"+49 30 {:08}","vip":{}}},"location_id":{},"notes":{},"created_at":"{}","updated_at":"{}"}})",
      uuid(), random_.below(900000) + 100000, one_of(kStatus), moment(),
      15 * (1 + random_.below(8)), random_.below(40), one_of(kService), 10 + random_.below(190),
      random_.below(100), random_.below(20000), first, last, first, last, random_.below(100),
      random_.below(100000000), random_.below(8) == 0, random_.below(12),
      fmt::format("\"{}\"", one_of(kNote)), moment(), moment());
}

}  // namespace headroom::bench
