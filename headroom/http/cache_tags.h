// headroom/http/cache_tags.h - the tags that a server gives a response, by which it is invalidated later: Surrogate-Key and xkey (names between
// spaces), Cache-Tag (between commas), Cache-Groups (RFC 9875: a structured list of strings, scoped to the origin).
//
// Worker: pure; views into the head, except the groups, whose escapes are gone.
// Invariant: a name that cannot be kept whole is told (`complete`), so that nobody stores what could not be invalidated. An empty value is no tag.
// Limits: TagLimits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "headroom/http/message.h"

namespace headroom::http {

struct TagLimits {
  std::size_t tags = 128;
  std::size_t tag_bytes = 256;  // of one
  std::size_t bytes = 8192;     // of all
};

struct Tags {
  std::vector<std::string_view> tags;  // each once, letter case as it came
  std::vector<std::string> groups;     // Cache-Groups; a field that is malformed has none
  bool complete = true;                // false: beyond the limits; do not store
};

[[nodiscard]] Tags tags_of(const ResponseHead& response, const TagLimits& limits = {});

// Cache-Group-Invalidation of an answer to an unsafe request (RFC 9875 3): these groups of its origin are invalidated.
[[nodiscard]] std::vector<std::string> invalidated_groups(const ResponseHead& response,
                                                          const TagLimits& limits = {});

// The fields that end here: they are for caches in front of the server, not for clients. Cache-Groups stays (RFC 9875 is for every cache).
[[nodiscard]] constexpr bool is_for_surrogates(Name name) {
  return name == Name::surrogate_key || name == Name::surrogate_control ||
         name == Name::cache_tag || name == Name::xkey;
}

}  // namespace headroom::http
