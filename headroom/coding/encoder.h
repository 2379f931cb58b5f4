// headroom/coding/encoder.h - encodes a body piece by piece, into memory that the caller bounds. Lent by Coders.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/coding/coding.h"

namespace headroom::coding {

class BlockCache;

// What one call did.
struct Step {
  std::size_t consumed = 0;  // bytes of the input
  std::size_t produced = 0;  // bytes of the output
  bool done = false;
  bool operator==(const Step&) const = default;
};

// no: what is taken may be kept back for a while. yes: all of it can be decoded from what is out once done (event streams). end: the body ends here.
enum class Flush : std::uint8_t { no, yes, end };

class Encoder {
 public:
  virtual ~Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  // Until done, call again with the rest of `in`, more room and the same `flush`. done: all of `in` is taken and what `flush` asks for
  // is out. After done with Flush::end only reset(). `out` must have at least kLeastRoom bytes. Errc::internal: the body cannot be ended well.
  [[nodiscard]] virtual Result<Step> step(std::string_view in, std::span<char> out,
                                          Flush flush) = 0;
  // Ready for another body. Errc::overloaded: no memory.
  [[nodiscard]] virtual Result<> reset() = 0;
  // What the context holds now; brotli's is counted by the BlockCache instead.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
  [[nodiscard]] virtual Coding coding() const = 0;

  static constexpr std::size_t kLeastRoom = 64;

 protected:
  Encoder() = default;
};

// `window_bits`: how far back matches may lie, 2^window_bits bytes (zlib: 15 at most); the memory follows from it.
// Errc::overloaded: no memory. `blocks` outlives it. Not for Coding::identity.
[[nodiscard]] Result<std::unique_ptr<Encoder>> make_encoder(Coding coding, int level,
                                                            int window_bits, BlockCache& blocks);

}  // namespace headroom::coding
