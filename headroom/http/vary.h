// headroom/http/vary.h - the secondary key of a stored response: which fields of the request it varies on, and their values (RFC 9111 4.1).
//
// Worker: pure. Two requests match exactly when their vary_key() under the stored names are equal.
// What is made equal: white space around the commas outside quotes; several fields of one name joined with ","; the letter case of
//   Accept-Language and Accept-Charset; Accept-Encoding, in the spelling that the caller chose. Nothing else: the order of languages means
//   something to applications, whatever the RFC says.
// Limits: VaryLimits; beyond them the response is never reused.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/http/message.h"

namespace headroom::http {

struct VaryLimits {
  std::size_t fields = 16;
  std::size_t key_bytes = 4096;
};

// The names of all Vary fields, in small letters, sorted, each once, joined with ",": "" when it does not vary. Nothing for "*", for what is
// no list of names, and beyond the limits: never store or reuse.
[[nodiscard]] std::optional<std::string> vary_names(const Head& response,
                                                    const VaryLimits& limits = {});

// Appends the request's values of those names to `key`. `accept_encoding` stands for its Accept-Encoding (coding::Preference::normalised).
// False when it would be longer than the limit: bypass the cache.
[[nodiscard]] bool append_vary_key(std::string_view names, const RequestHead& request,
                                   std::string_view accept_encoding, std::string& key,
                                   const VaryLimits& limits = {});

}  // namespace headroom::http
