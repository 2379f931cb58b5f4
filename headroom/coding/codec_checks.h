// headroom/coding/codec_checks.h - what must hold for any bytes whatever; the tests and the fuzzers call these. Tests only.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/coding/accept.h"
#include "headroom/coding/coders.h"

namespace headroom::coding::checks {

// Drives an encoder until `piece` is taken and flushed, through a buffer of `room` bytes.
inline void encode_piece(Encoder& encoder, std::string_view piece, Flush flush, std::size_t room,
                         std::string& out) {
  std::string buffer(room, '\0');
  for (bool done = false; !done;) {
    const auto step = encoder.step(piece, buffer, flush);
    HR_ASSERT(step.has_value());
    HR_ASSERT(step->consumed <= piece.size());
    HR_ASSERT(step->produced <= room);
    HR_ASSERT((step->done || step->consumed + step->produced > 0U));
    out.append(buffer, 0, step->produced);
    piece.remove_prefix(step->consumed);
    done = step->done;
  }
}

struct Decoded {
  std::string body;
  Errc error = Errc::internal;
  bool fine = false;
  bool operator==(const Decoded&) const = default;
};

// Decodes `bytes`, cut in two at `cut`, through a buffer of `room` bytes.
inline Decoded decode_in_two(Decoder& decoder, std::string_view bytes, std::size_t cut,
                             std::size_t room) {
  Decoded decoded;
  std::string buffer(room, '\0');
  for (std::string_view piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
    for (bool done = false; !done;) {
      const auto step = decoder.step(piece, buffer);
      if (!step) {
        decoded.error = step.error().code;
        return decoded;
      }
      HR_ASSERT(step->consumed <= piece.size());
      HR_ASSERT(step->produced <= room);
      HR_ASSERT((step->done || step->consumed + step->produced > 0U));
      decoded.body.append(buffer, 0, step->produced);
      piece.remove_prefix(step->consumed);
      done = step->done;
    }
  }
  const auto finished = decoder.finish();
  decoded.fine = finished.has_value();
  if (!finished) decoded.error = finished.error().code;
  return decoded;
}

inline Coders::Options small_limits() {
  return {.decode = {.size = Bytes::mib(1), .allowance = Bytes::kib(64), .ratio = 100}};
}

// The outcome does not depend on how the bytes arrive, and nothing grows beyond the limits.
inline void check_decoder(Coding coding, std::string_view bytes) {
  static Coders coders{small_limits()};
  const std::size_t cut = bytes.empty() ? 0 : hash64(bytes) % bytes.size();
  auto whole = coders.decoder(coding);
  const Decoded at_once = decode_in_two(**whole, bytes, 0, 32768);
  whole->reset();
  auto second = coders.decoder(coding);
  const Decoded in_two = decode_in_two(**second, bytes, cut, 777);
  // libzstd checks a frame's announced size only where it has the whole frame at once, if its last block is empty.
  HR_ASSERT((at_once.fine == in_two.fine || coding == Coding::zstd));
  HR_ASSERT(at_once.body.size() <= Bytes::mib(1).count + 32768U);
  if (!at_once.fine || !in_two.fine) return;
  HR_ASSERT((at_once.body == in_two.body));
  std::string again;
  if (coders.encode(coding, Effort::live, at_once.body, again)) {
    std::string back;
    const auto done = coders.decode(coding, again, Bytes::mib(2), back);
    HR_ASSERT((!done || back == at_once.body));
  }
}

inline void check_accept(std::string_view field) {
  const Accepted said = accepted(field);
  const Preference preference;
  const Coding chosen = preference.choose(said);
  const std::string_view normalised = preference.normalised(said);
  HR_ASSERT((chosen == Coding::identity || said.of(chosen) > 0U));
  for (const std::uint16_t quality : said.quality) HR_ASSERT(quality <= 1000U);
  HR_ASSERT(preference.normalised(accepted(normalised)) == normalised);
}

}  // namespace headroom::coding::checks
