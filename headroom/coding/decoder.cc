#include "headroom/coding/decoder.h"

#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>

#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/coding/block_cache.h"
#include "headroom/coding/coding.h"
#include "headroom/coding/encoder.h"

namespace headroom::coding {
namespace {

std::unexpected<Error> no_memory() {
  return fail(Errc::overloaded, "no memory for a decompression context");
}
std::unexpected<Error> broken(std::string_view what) {
  return fail(Errc::protocol, "the body is no " + std::string(what));
}

class GzipDecoder final : public Decoder {
 public:
  ~GzipDecoder() override { inflateEnd(&stream_); }

  Result<> open() {
    constexpr int kGzip = 16;
    if (inflateInit2(&stream_, MAX_WBITS + kGzip) != Z_OK) return no_memory();
    return {};
  }
  // zconf.h: 32 KiB of window and about 7 KiB of state.
  std::size_t memory_bytes() const override { return std::size_t{40} * 1024; }
  Coding coding() const override { return Coding::gzip; }

 private:
  Result<> restart() override {
    if (inflateReset(&stream_) != Z_OK) return fail(Errc::internal, "zlib: inflateReset failed");
    return {};
  }

  Result<Step> advance(std::string_view in, std::span<char> out) override {
    if (whole_ && !in.empty()) {
      if (auto done = restart(); !done) return pass(done);
      whole_ = false;
    }
    constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
    const auto in_size = static_cast<uInt>(std::min(in.size(), kMost));
    const auto out_size = static_cast<uInt>(std::min(out.size(), kMost));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib only reads
    stream_.avail_in = in_size;
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = out_size;
    const int done = inflate(&stream_, Z_NO_FLUSH);
    if (done == Z_MEM_ERROR) return no_memory();
    if (done != Z_OK && done != Z_STREAM_END && done != Z_BUF_ERROR) return broken("gzip");
    whole_ = done == Z_STREAM_END;
    Step step{in_size - stream_.avail_in, out_size - stream_.avail_out};
    step.done = step.consumed == in.size() && (whole_ || stream_.avail_out > 0);
    return step;
  }

  z_stream stream_{};
};

class ZstdDecoder final : public Decoder {
 public:
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }

  Result<> open() {
    context_ = ZSTD_createDCtx();
    if (context_ == nullptr) return no_memory();
    constexpr int kMostWindowBits = 23;  // RFC 9659
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kMostWindowBits);
    return {};
  }
  std::size_t memory_bytes() const override { return ZSTD_sizeof_DCtx(context_); }
  Coding coding() const override { return Coding::zstd; }

 private:
  Result<> restart() override {
    ZSTD_DCtx_reset(context_, ZSTD_reset_session_only);
    return {};
  }

  Result<Step> advance(std::string_view in, std::span<char> out) override {
    // At the end of a frame zstd would begin to wait for another one.
    if (whole_ && in.empty()) return Step{0, 0, true};
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    ZSTD_outBuffer sink{out.data(), out.size(), 0};
    const std::size_t wanted = ZSTD_decompressStream(context_, &sink, &source);
    if (ZSTD_isError(wanted) != 0)
      return broken(std::string("zstd (") + ZSTD_getErrorName(wanted) + ")");
    whole_ = wanted == 0;
    const bool drained = whole_ || sink.pos < sink.size;
    return Step{source.pos, sink.pos, source.pos == source.size && drained};
  }

  ZSTD_DCtx* context_ = nullptr;
};

class BrotliDecoder final : public Decoder {
 public:
  explicit BrotliDecoder(BlockCache& blocks) : blocks_(blocks) {}
  ~BrotliDecoder() override { BrotliDecoderDestroyInstance(state_); }

  Result<> open() { return restart(); }
  // Brotli does not tell; the BlockCache knows.
  std::size_t memory_bytes() const override { return 0; }
  Coding coding() const override { return Coding::br; }

 private:
  Result<> restart() override {
    BrotliDecoderDestroyInstance(state_);
    state_ = BrotliDecoderCreateInstance(&BlockCache::take, &BlockCache::give, &blocks_);
    if (state_ == nullptr) return no_memory();
    return {};
  }

  Result<Step> advance(std::string_view in, std::span<char> out) override {
    if (whole_) {
      if (!in.empty()) return broken("brotli: it goes on behind its end");
      return Step{0, 0, true};
    }
    std::size_t in_left = in.size();
    const auto* next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    std::size_t out_left = out.size();
    auto* next_out = reinterpret_cast<std::uint8_t*>(out.data());
    const BrotliDecoderResult done =
        BrotliDecoderDecompressStream(state_, &in_left, &next_in, &out_left, &next_out, nullptr);
    if (done == BROTLI_DECODER_RESULT_ERROR) return broken("brotli");
    whole_ = done == BROTLI_DECODER_RESULT_SUCCESS;
    return Step{in.size() - in_left, out.size() - out_left,
                in_left == 0 && done != BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT};
  }

  BlockCache& blocks_;
  BrotliDecoderState* state_ = nullptr;
};

template <class Kind, class... Arguments>
Result<std::unique_ptr<Decoder>> opened(Arguments&... arguments) {
  auto made = std::make_unique<Kind>(arguments...);
  if (auto done = made->open(); !done) return pass(done);
  return made;
}

}  // namespace

Result<Step> Decoder::step(std::string_view in, std::span<char> out) {
  HR_ASSERT(!out.empty());
  auto step = advance(in, out);
  if (!step) return step;
  taken_ += step->consumed;
  given_ += step->produced;
  if (given_ > limits_.size.count)
    return fail(Errc::overloaded, "the body decodes to more than " + to_string(limits_.size));
  if (given_ > limits_.allowance.count && given_ / limits_.ratio > taken_)
    return fail(Errc::overloaded, "the body decodes to more than " + std::to_string(limits_.ratio) +
                                      " times its size");
  return step;
}

Result<> Decoder::finish() const {
  if (whole_ || taken_ == 0) return {};
  return fail(Errc::protocol, "the encoded body is cut short");
}

Result<> Decoder::reset(const DecodeLimits& limits) {
  limits_ = limits;
  taken_ = given_ = 0;
  whole_ = false;
  return restart();
}

Result<std::unique_ptr<Decoder>> make_decoder(Coding coding, BlockCache& blocks) {
  switch (coding) {
    case Coding::gzip: return opened<GzipDecoder>();
    case Coding::br: return opened<BrotliDecoder>(blocks);
    case Coding::zstd: return opened<ZstdDecoder>();
    case Coding::identity: break;
  }
  return fail(Errc::invalid, "identity has no decoder");
}

}  // namespace headroom::coding
