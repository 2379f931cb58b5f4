// headroom/coding/coding.h - content codings (RFC 9110 8.4.1): gzip, zstd and brotli, which to choose, and encoding and decoding bodies.
//
// Owns: nothing here; the contexts of the libraries belong to a Coders (coders.h), one for each worker. No I/O, no Asio.
// Worker: values and pure functions; a Coders and what it lends belong to one thread.
// Invariants: (1) what is decoded never exceeds DecodeLimits, whatever the input; (2) an Encoder's output is one complete body of its coding
//   once step() with Flush::end says done; (3) nobody is sent a coding that Accept-Encoding refuses.
// Limits: windows of at most 8 MiB (RFC 9659 for zstd; brotli's format allows 16 MiB to read); contexts as Coders::Options says. Memory
//   of each context: coders.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headroom::coding {

enum class Coding : std::uint8_t { identity, gzip, br, zstd };
inline constexpr std::size_t kCodings = 4;

// The token of Content-Encoding and Accept-Encoding; "identity" for none.
[[nodiscard]] std::string_view to_string(Coding coding);
// In any letter case; "x-gzip" is gzip (RFC 9110 8.4.1.3). Nothing for codings that we neither read nor write.
[[nodiscard]] std::optional<Coding> coding_of(std::string_view token);
// Of a whole Content-Encoding value: identity when it is empty; nothing when it is unknown or more than one.
[[nodiscard]] std::optional<Coding> sole_coding(std::string_view content_encoding);

// One number for each coding, as settings give them. gzip 1 to 12 (libdeflate; streams 1 to 9, zlib), br 0 to 11, zstd 1 to 19.
struct Levels {
  int gzip = 1;
  int br = 3;
  int zstd = 3;
};

}  // namespace headroom::coding
