// headroom/http/scan.h - finding the byte that ends a run, sixteen at a time (SSE2, part of every x86-64), else one by one.
#pragma once

#include <array>
#include <cstdint>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace headroom::http::scan {

// tchar of RFC 9110 5.6.2.
inline constexpr auto kTokenBytes = [] {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[static_cast<std::size_t>(c)] = true;
  for (const char c :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<std::size_t>(c)] = true;
  }
  return table;
}();

constexpr bool is_token_byte(char c) { return kTokenBytes[static_cast<unsigned char>(c)]; }
// A control byte that no value may hold.
constexpr bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}
// What ends a request target: space and below, '#', DEL and non-ASCII.
constexpr bool ends_target(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte >= 0x7f || byte == '#';
}

#ifdef __SSE2__
inline __m128i load(const char* at) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));  // unaligned load of chars
}
inline unsigned controls(__m128i bytes) {
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del)));
}
inline unsigned target_ends(__m128i bytes) {
  // Signed: 0x80 and above are negative, so they are below '!' too.
  const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8('!'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  const __m128i hash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('#'));
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(low, del), hash)));
}
inline unsigned equal_to(__m128i bytes, char c) {
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c))));
}
#endif

// The first byte in [at, end) that is a control; `end` when there is none.
inline const char* find_control(const char* at, const char* end) {
#ifdef __SSE2__
  for (; end - at >= 16; at += 16) {
    if (const unsigned found = controls(load(at)); found != 0) return at + __builtin_ctz(found);
  }
#endif
  while (at != end && !is_control(*at)) ++at;
  return at;
}

inline const char* find_target_end(const char* at, const char* end) {
#ifdef __SSE2__
  for (; end - at >= 16; at += 16) {
    if (const unsigned found = target_ends(load(at)); found != 0) return at + __builtin_ctz(found);
  }
#endif
  while (at != end && !ends_target(*at)) ++at;
  return at;
}

// The first `c` in [at, end); `end` when there is none. Bytes up to `readable` may be looked at.
inline const char* find_byte(const char* at, const char* end, const char* readable, char c) {
#ifdef __SSE2__
  for (; at < end && readable - at >= 16; at += 16) {
    if (const unsigned found = equal_to(load(at), c); found != 0) {
      const char* hit = at + __builtin_ctz(found);
      return hit < end ? hit : end;
    }
  }
#else
  static_cast<void>(readable);
#endif
  while (at < end && *at != c) ++at;
  return at < end ? at : end;
}

}  // namespace headroom::http::scan
