#include "headroom/coding/accept.h"

#include <algorithm>
#include <optional>
#include <string>

#include "headroom/base/error.h"
#include "headroom/base/text.h"
#include "headroom/coding/coding.h"

namespace headroom::coding {
namespace {

constexpr std::uint16_t kUnsaid = 0xffff;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }

constexpr bool is_tchar(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").contains(c);
}

// qvalue of RFC 9110 12.4.2 in thousandths: "0", "0.5", "1.000".
std::optional<std::uint16_t> quality_of(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  unsigned value = text[0] == '1' ? 1000U : 0U;
  unsigned unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (!is_digit(c)) return std::nullopt;
    value += unit * static_cast<unsigned>(c - '0');
    unit /= 10;
  }
  if (value > 1000) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

struct Item {
  std::string_view token;
  std::uint16_t quality = 1000;
};

// "token [;q=value]"
std::optional<Item> item_of(std::string_view text) {
  const std::size_t semicolon = text.find(';');
  Item item{text::trimmed(text.substr(0, semicolon))};
  if (item.token.empty() || !std::ranges::all_of(item.token, is_tchar)) return std::nullopt;
  if (semicolon == std::string_view::npos) return item;
  const std::string_view weight = text::trimmed(text.substr(semicolon + 1));
  if (weight.size() < 3 || text::lower(weight[0]) != 'q' || weight[1] != '=') return std::nullopt;
  const auto quality = quality_of(weight.substr(2));
  if (!quality) return std::nullopt;
  item.quality = *quality;
  return item;
}

// What is not named has the quality of "*", or else the one of its absence: identity is fine unless refused, others are not.
Accepted with_wildcard(Accepted said, std::uint16_t wildcard) {
  for (std::uint16_t& quality : said.quality) {
    if (quality != kUnsaid) continue;
    const bool is_identity = &quality == said.quality.data();
    if (wildcard == kUnsaid) {
      // 1: acceptable, but less than what was asked for by name.
      quality = is_identity ? 1 : 0;
    } else {
      quality = is_identity && wildcard > 0 ? 1 : wildcard;
    }
  }
  return said;
}

struct Spelling {
  std::array<Coding, 3> order;
  std::string_view text;
};
using enum Coding;
// Every order of every non-empty set; unused places are identity.
constexpr std::array kSpellings{
    Spelling{{zstd, br, gzip}, "zstd, br, gzip"},   Spelling{{zstd, gzip, br}, "zstd, gzip, br"},
    Spelling{{br, zstd, gzip}, "br, zstd, gzip"},   Spelling{{br, gzip, zstd}, "br, gzip, zstd"},
    Spelling{{gzip, zstd, br}, "gzip, zstd, br"},   Spelling{{gzip, br, zstd}, "gzip, br, zstd"},
    Spelling{{zstd, br, identity}, "zstd, br"},     Spelling{{zstd, gzip, identity}, "zstd, gzip"},
    Spelling{{br, zstd, identity}, "br, zstd"},     Spelling{{br, gzip, identity}, "br, gzip"},
    Spelling{{gzip, zstd, identity}, "gzip, zstd"}, Spelling{{gzip, br, identity}, "gzip, br"},
    Spelling{{zstd, identity, identity}, "zstd"},   Spelling{{br, identity, identity}, "br"},
    Spelling{{gzip, identity, identity}, "gzip"},
};

}  // namespace

Accepted accepted(std::string_view value) {
  Accepted said{{kUnsaid, kUnsaid, kUnsaid, kUnsaid}};
  std::uint16_t wildcard = kUnsaid;
  while (!value.empty()) {
    const std::size_t comma = value.find(',');
    const std::string_view text = text::trimmed(value.substr(0, comma));
    value = comma == std::string_view::npos ? std::string_view{} : value.substr(comma + 1);
    if (text.empty()) continue;
    const auto item = item_of(text);
    if (!item) return {};
    if (item->token == "*") {
      if (wildcard == kUnsaid) wildcard = item->quality;
    } else if (const auto coding = coding_of(item->token)) {
      std::uint16_t& quality = said.quality[static_cast<std::size_t>(*coding)];
      if (quality == kUnsaid) quality = item->quality;
    }
  }
  return with_wildcard(said, wildcard);
}

Result<Preference> Preference::of(std::span<const std::string_view> names) {
  Preference made;
  made.order_.fill(Coding::identity);
  made.count_ = 0;
  for (const std::string_view name : names) {
    const auto coding = coding_of(name);
    if (!coding || *coding == Coding::identity)
      return fail(Errc::invalid, "no coding '" + std::string(name) + "'; known are zstd, br, gzip");
    if (std::ranges::find(made.order(), *coding) != made.order().end())
      return fail(Errc::invalid, "coding '" + std::string(name) + "' is named twice");
    made.order_[made.count_++] = *coding;
  }
  return made;
}

Coding Preference::choose(const Accepted& accepted) const {
  Coding best = Coding::identity;
  std::uint16_t quality = 0;
  for (const Coding coding : order()) {
    if (accepted.of(coding) <= quality) continue;
    best = coding;
    quality = accepted.of(coding);
  }
  return accepted.of(Coding::identity) > quality ? Coding::identity : best;
}

std::string_view Preference::normalised(const Accepted& accepted) const {
  std::array<Coding, 3> wanted{};
  std::size_t count = 0;
  for (const Coding coding : order()) {
    if (accepted.of(coding) > 0) wanted[count++] = coding;
  }
  const auto* const found = std::ranges::find(kSpellings, wanted, &Spelling::order);
  return found == kSpellings.end() ? to_string(Coding::identity) : found->text;
}

}  // namespace headroom::coding
