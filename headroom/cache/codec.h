// headroom/cache/codec.h - compression of values with zstd, where it is worth it.
//
// Owns: a context of zstd. Worker: one. Limits: what is unpacked has the size that was stored with it, checked before memory is taken.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

struct ZSTD_CCtx_s;

namespace headroom::cache {

class Packer {
 public:
  Packer();
  ~Packer();
  // The packed bytes, or nothing where they would not be 15 % fewer.
  [[nodiscard]] std::optional<std::string> pack(std::string_view value);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

[[nodiscard]] Result<std::string> unpack(std::string_view packed, std::uint32_t raw_size);

}  // namespace headroom::cache
