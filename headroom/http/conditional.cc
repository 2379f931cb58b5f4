#include "headroom/http/conditional.h"

#include <algorithm>
#include <vector>

#include "headroom/base/text.h"
#include "headroom/http/date.h"

namespace headroom::http {
namespace {

std::string_view opaque(std::string_view tag) {
  return tag.starts_with("W/") ? tag.substr(2) : tag;
}

bool is_opaque_tag(std::string_view tag) {
  return tag.size() >= 2 && tag.starts_with('"') && tag.ends_with('"');
}

// Takes the tag at the front of a list; "" at its end and at what is no tag. Commas may stand inside a tag.
std::string_view take_tag(std::string_view& list) {
  list.remove_prefix(std::min(list.find_first_not_of(", \t"), list.size()));
  const std::size_t open = list.starts_with("W/") ? 2 : 0;
  const std::size_t close =
      list.substr(open).starts_with('"') ? list.find('"', open + 1) : std::string_view::npos;
  if (close == std::string_view::npos) {
    list = {};
    return {};
  }
  const std::string_view tag = list.substr(0, close + 1);
  list.remove_prefix(close + 1);
  return tag;
}

template <class Same>
bool lists(const RequestHead& request, Name name, std::string_view etag, Same same) {
  for (const Field& field : request.fields) {
    if (field.id != name) continue;
    if (field.value == "*") return true;
    std::string_view list = field.value;
    for (std::string_view tag = take_tag(list); !tag.empty(); tag = take_tag(list)) {
      if (same(tag, etag)) return true;
    }
  }
  return false;
}

std::optional<std::int64_t> date_of(std::string_view text, std::int64_t now) {
  return text.empty() ? std::nullopt : parse_http_date(text, now);
}

bool is_get_or_head(const RequestHead& request) {
  return request.method == Method::get || request.method == Method::head;
}

bool unmodified_since(const RequestHead& request, const Validators& stored) {
  const auto since = date_of(request.value_of(Name::if_unmodified_since), stored.date);
  if (!since) return true;
  return date_of(stored.last_modified, stored.date).value_or(stored.date) <= *since;
}

bool modified_since(const RequestHead& request, const Validators& stored) {
  const std::string_view text = request.value_of(Name::if_modified_since);
  if (!stored.last_modified.empty() && text == stored.last_modified) return false;
  const auto since = date_of(text, stored.date);
  if (!since) return true;
  return date_of(stored.last_modified, stored.date).value_or(stored.date) > *since;
}

bool is_strong_date(const Validators& stored) {
  const auto modified = date_of(stored.last_modified, stored.date);
  return modified && *modified + 60 <= stored.date;
}

bool describes_the_bytes(Name name) {
  switch (name) {
    case Name::content_digest:
    case Name::content_encoding:
    case Name::content_md5:
    case Name::content_range:
    case Name::digest:
    case Name::repr_digest: return true;
    default: return false;
  }
}

bool same_name(const Field& a, const Field& b) {
  return a.id == b.id && (a.id != Name::other || text::equal_ignoring_case(a.name, b.name));
}

}  // namespace

Validators Validators::of(const ResponseHead& head, std::int64_t date) {
  return {head.value_of(Name::etag), head.value_of(Name::last_modified), date};
}

bool same_strongly(std::string_view a, std::string_view b) { return a == b && is_opaque_tag(a); }
bool same_weakly(std::string_view a, std::string_view b) {
  return opaque(a) == opaque(b) && is_opaque_tag(opaque(a));
}

Condition evaluate(const RequestHead& request, const Validators& stored) {
  if (request.has(Name::if_match)) {
    if (!lists(request, Name::if_match, stored.etag, same_strongly)) return Condition::failed;
  } else if (request.has(Name::if_unmodified_since) && !unmodified_since(request, stored)) {
    return Condition::failed;
  }
  if (request.has(Name::if_none_match)) {
    if (!lists(request, Name::if_none_match, stored.etag, same_weakly)) return Condition::holds;
    return is_get_or_head(request) ? Condition::not_modified : Condition::failed;
  }
  if (request.has(Name::if_modified_since) && is_get_or_head(request) &&
      !modified_since(request, stored))
    return Condition::not_modified;
  return Condition::holds;
}

bool range_applies(const RequestHead& request, const Validators& stored) {
  if (request.method != Method::get || !request.has(Name::range)) return false;
  const Field* const if_range = request.find(Name::if_range);
  if (if_range == nullptr) return true;
  if (if_range->value.contains('"')) return same_strongly(if_range->value, stored.etag);
  return if_range->value == stored.last_modified && is_strong_date(stored);
}

bool confirms_by_head(const ResponseHead& answer, const ResponseHead& stored) {
  const auto agrees = [&](Name name) {
    return !answer.has(name) || answer.value_of(name) == stored.value_of(name);
  };
  const bool same_length = !answer.has_content_length || !stored.has_content_length ||
                           answer.content_length == stored.content_length;
  return answer.status == stored.status && same_length && agrees(Name::etag) &&
         agrees(Name::last_modified);
}

bool goes_into_304(const Field& field) {
  switch (field.id) {
    case Name::content_language:
    case Name::content_length:
    case Name::content_type: return false;
    default: return !field.hop_by_hop && !describes_the_bytes(field.id);
  }
}

bool write_validation(const Validators& stored, HeadWriter& to) {
  const bool has_tag = is_opaque_tag(opaque(stored.etag));
  if (has_tag) to.field(Name::if_none_match, stored.etag);
  if (!stored.last_modified.empty()) to.field(Name::if_modified_since, stored.last_modified);
  return has_tag || !stored.last_modified.empty();
}

bool confirms(const ResponseHead& not_modified, const Validators& stored) {
  if (const Field* const etag = not_modified.find(Name::etag)) {
    const bool is_weak = etag->value.starts_with("W/");
    return is_weak ? same_weakly(etag->value, stored.etag)
                   : same_strongly(etag->value, stored.etag);
  }
  if (const Field* const modified = not_modified.find(Name::last_modified))
    return stored.last_modified.empty() ? !stored.etag.empty()
                                        : modified->value == stored.last_modified;
  return true;
}

bool updates_stored(const Field& field) {
  return !field.hop_by_hop && !is_framing(field.id) && !describes_the_bytes(field.id) &&
         field.id != Name::etag;
}

void write_merged(const ResponseHead& stored, const ResponseHead& not_modified, HeadWriter& to) {
  const auto replaced = [&](const Field& field) {
    return std::ranges::any_of(not_modified.fields, [&](const Field& newer) {
      return updates_stored(newer) && same_name(field, newer);
    });
  };
  for (const Field& field : stored.fields) {
    if (field.id != Name::age && !field.hop_by_hop && !is_framing(field.id) && !replaced(field))
      to.field(field.name, field.value);
  }
  for (const Field& field : not_modified.fields) {
    if (updates_stored(field)) to.field(field.name, field.value);
  }
}

}  // namespace headroom::http
