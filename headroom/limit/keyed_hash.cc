#include "headroom/limit/keyed_hash.h"

#include <bit>
#include <cstring>
#include <string>

#include "headroom/auth/crypto.h"

namespace headroom::limit {
namespace {

static_assert(std::endian::native == std::endian::little);

struct State {
  std::uint64_t a, b, c, d;

  void round() {
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32) + d;
    c += b;
    d = std::rotl(d, 21) ^ a;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  }
  void take(std::uint64_t word) {
    d ^= word;
    round();
    a ^= word;
  }
};

}  // namespace

HashKey random_hash_key() {
  const std::string bytes = auth::random_bytes(sizeof(HashKey));
  HashKey key;
  std::memcpy(key.data(), bytes.data(), sizeof(key));
  return key;
}

std::uint64_t keyed_hash(const HashKey& key, std::string_view bytes) {
  State s{key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU, key[0] ^ 0x6c7967656e657261U,
          key[1] ^ 0x7465646279746573U};
  std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56U;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    s.take(word);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    last |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  s.take(last);
  s.c ^= 0xff;
  for (int i = 0; i < 3; ++i) s.round();
  return s.a ^ s.b ^ s.c ^ s.d;
}

}  // namespace headroom::limit
