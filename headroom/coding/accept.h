// headroom/coding/accept.h - which coding a client gets: Accept-Encoding (RFC 9110 12.5.3) against what we like to send.
//
// Worker: pure. A field that is malformed counts as absent, and who sends none gets identity. Nothing is allocated.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/coding/coding.h"

namespace headroom::coding {

// What a client accepts: a quality from 0 (refused) to 1000 for each coding.
struct Accepted {
  std::array<std::uint16_t, kCodings> quality{1000, 0, 0, 0};

  [[nodiscard]] std::uint16_t of(Coding coding) const {
    return quality[static_cast<std::size_t>(coding)];
  }
  bool operator==(const Accepted&) const = default;
};

// `value` is the field's value; several fields are joined with "," by the caller. Of a coding named twice the first counts.
[[nodiscard]] Accepted accepted(std::string_view value);

// The codings that we send, best first: decides where the client's qualities are equal.
class Preference {
 public:
  // zstd, br, gzip.
  Preference() = default;
  // Errc::invalid for a name that is no coding, for identity and for one named twice. None: nothing is encoded.
  [[nodiscard]] static Result<Preference> of(std::span<const std::string_view> names);

  // The one of highest quality; identity when all of ours are refused, or when the client likes identity better. A client that refuses
  // identity too gets identity nevertheless: better than 406 (RFC 9110 12.5.3 leaves it to us).
  [[nodiscard]] Coding choose(const Accepted& accepted) const;

  // What a request says in one of at most eight spellings, for cache keys and for asking upstream: the codings of ours that it accepts,
  // in our order: "zstd, br, gzip", ..., "gzip", or "identity". A static text.
  [[nodiscard]] std::string_view normalised(const Accepted& accepted) const;

  [[nodiscard]] std::span<const Coding> order() const { return {order_.data(), count_}; }

 private:
  std::array<Coding, 3> order_{Coding::zstd, Coding::br, Coding::gzip};
  std::size_t count_ = 3;
};

}  // namespace headroom::coding
