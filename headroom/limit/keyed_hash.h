// headroom/limit/keyed_hash.h - SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): without its key nobody can tell
// which texts share a hash, nor find the text of one.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace headroom::limit {

using HashKey = std::array<std::uint64_t, 2>;

[[nodiscard]] HashKey random_hash_key();
[[nodiscard]] std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes);

}  // namespace headroom::limit
