#include "headroom/http/cache_tags.h"

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/http/structured.h"

namespace headroom::http {
namespace {

// Counts what is kept against the limits.
class Budget {
 public:
  explicit Budget(const TagLimits& limits) : limits_(limits) {}
  bool fits(std::string_view tag) {
    bytes_ += tag.size();
    return tag.size() <= limits_.tag_bytes && bytes_ <= limits_.bytes && ++tags_ <= limits_.tags;
  }

 private:
  const TagLimits& limits_;
  std::size_t tags_ = 0;
  std::size_t bytes_ = 0;
};

void add_tags(std::string_view value, char separator, Budget& budget, Tags& to) {
  for (const std::string_view tag : text::split(value, separator)) {
    if (tag.empty() || std::ranges::find(to.tags, tag) != to.tags.end()) continue;
    if (!budget.fits(tag)) {
      to.complete = false;
      return;
    }
    to.tags.push_back(tag);
  }
}

std::string joined(const ResponseHead& response, Name name) {
  std::string all;
  for (const Field& field : response.fields) {
    if (field.id == name) all += (all.empty() ? "" : ",") + std::string(field.value);
  }
  return all;
}

// False beyond the limits.
bool add_groups(const ResponseHead& response, Name name, Budget& budget,
                std::vector<std::string>& to) {
  if (!response.has(name)) return true;
  const std::string field = joined(response, name);
  const auto values = structured::parse_list(field);
  if (!values) return true;
  for (const structured::Value& value : *values) {
    if (value.kind != structured::Kind::string || value.raw.empty()) continue;
    std::string group = value.text();
    if (!budget.fits(group)) return false;
    to.push_back(std::move(group));
  }
  return true;
}

}  // namespace

Tags tags_of(const ResponseHead& response, const TagLimits& limits) {
  Tags found;
  Budget budget(limits);
  for (const Field& field : response.fields) {
    if (field.id == Name::surrogate_key || field.id == Name::xkey)
      add_tags(field.value, ' ', budget, found);
    if (field.id == Name::cache_tag) add_tags(field.value, ',', budget, found);
  }
  if (!add_groups(response, Name::cache_groups, budget, found.groups)) found.complete = false;
  return found;
}

std::vector<std::string> invalidated_groups(const ResponseHead& response, const TagLimits& limits) {
  std::vector<std::string> groups;
  Budget budget(limits);
  static_cast<void>(add_groups(response, Name::cache_group_invalidation, budget, groups));
  return groups;
}

}  // namespace headroom::http
