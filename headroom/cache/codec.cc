#include "headroom/cache/codec.h"

#include <zstd.h>

#include "headroom/base/assert.h"

namespace headroom::cache {
namespace {
constexpr int kLevel = 1;
}

void Packer::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }

Packer::Packer() : context_(ZSTD_createCCtx()) { HR_ASSERT(context_ != nullptr); }
Packer::~Packer() = default;

std::optional<std::string> Packer::pack(std::string_view value) {
  const std::size_t most = value.size() - value.size() * 15 / 100;
  std::string packed(most, '\0');
  // Where the result does not fit, zstd gives up early.
  const std::size_t size = ZSTD_compressCCtx(context_.get(), packed.data(), packed.size(),
                                             value.data(), value.size(), kLevel);
  if (ZSTD_isError(size) != 0U) return std::nullopt;
  packed.resize(size);
  return packed;
}

Result<std::string> unpack(std::string_view packed, std::uint32_t raw_size) {
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != raw_size)
    return fail(Errc::internal, "a packed value has another size than was stored");
  std::string value(raw_size, '\0');
  const std::size_t size =
      ZSTD_decompress(value.data(), value.size(), packed.data(), packed.size());
  if (size != raw_size) return fail(Errc::internal, "a packed value cannot be unpacked");
  return value;
}

}  // namespace headroom::cache
