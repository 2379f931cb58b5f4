// headroom/coding/decoder.h - decodes a body piece by piece, into memory that the caller bounds. Lent by Coders.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/coding/coding.h"
#include "headroom/coding/encoder.h"

namespace headroom::coding {

// Against bombs: a body may grow to `size`, and beyond `allowance` to `ratio` times what came in.
struct DecodeLimits {
  Bytes size = Bytes::mib(1024);
  Bytes allowance = Bytes::mib(4);
  std::uint64_t ratio = 200;
};

class Decoder {
 public:
  virtual ~Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // done: all of `in` is taken and what it decodes to is out; until then call again with the rest of `in` and more room (not empty).
  // Errc::protocol: it is no such coding, or goes on behind its end; Errc::overloaded: beyond the limits. After an error only reset().
  [[nodiscard]] Result<Step> step(std::string_view in, std::span<char> out);
  // There is no more input. Errc::protocol: the body is cut short. No byte at all is an empty body.
  [[nodiscard]] Result<> finish() const;
  [[nodiscard]] Result<> reset(const DecodeLimits& limits);

  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
  [[nodiscard]] virtual Coding coding() const = 0;

 protected:
  Decoder() = default;
  // As step(), without limits; whole_ says whether a body may end here.
  [[nodiscard]] virtual Result<Step> advance(std::string_view in, std::span<char> out) = 0;
  [[nodiscard]] virtual Result<> restart() = 0;

  bool whole_ = false;

 private:
  DecodeLimits limits_;
  std::uint64_t taken_ = 0;
  std::uint64_t given_ = 0;
};

// Ready for a body under the default limits. Several gzip members and several zstd frames are one body (RFC 1952 2.2, RFC 8878 3.1).
// Errc::overloaded: no memory. `blocks` outlives it. Not for Coding::identity.
[[nodiscard]] Result<std::unique_ptr<Decoder>> make_decoder(Coding coding, BlockCache& blocks);

}  // namespace headroom::coding
