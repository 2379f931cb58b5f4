#include "headroom/coding/encoder.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>

#include "headroom/base/error.h"
#include "headroom/coding/block_cache.h"
#include "headroom/coding/coding.h"

namespace headroom::coding {
namespace {

std::unexpected<Error> no_memory() {
  return fail(Errc::overloaded, "no memory for a compression context");
}

template <class Length>
Length clamped(std::size_t size) {
  return static_cast<Length>(std::min<std::size_t>(size, std::numeric_limits<Length>::max()));
}

class GzipEncoder final : public Encoder {
 public:
  ~GzipEncoder() override { deflateEnd(&stream_); }

  Result<> open(int level, int window_bits) {
    constexpr int kGzip = 16;
    window_bits_ = std::clamp(window_bits, 9, MAX_WBITS);
    const int done = deflateInit2(&stream_, std::clamp(level, 1, 9), Z_DEFLATED,
                                  window_bits_ + kGzip, kMemoryLevel, Z_DEFAULT_STRATEGY);
    if (done != Z_OK) return no_memory();
    return {};
  }

  Result<Step> step(std::string_view in, std::span<char> out, Flush flush) override {
    static constexpr int kHow[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    const auto in_size = clamped<uInt>(in.size());
    const auto out_size = clamped<uInt>(out.size());
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));  // zlib only reads
    stream_.avail_in = in_size;
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = out_size;
    const int how = in_size < in.size() ? Z_NO_FLUSH : kHow[static_cast<int>(flush)];
    const int done = deflate(&stream_, how);
    if (done != Z_OK && done != Z_STREAM_END && done != Z_BUF_ERROR)
      return fail(Errc::internal, "zlib: deflate failed");
    Step step{in_size - stream_.avail_in, out_size - stream_.avail_out};
    if (step.consumed < in.size()) return step;
    step.done = flush == Flush::no || (flush == Flush::yes && stream_.avail_out > 0) ||
                done == Z_STREAM_END;
    return step;
  }

  Result<> reset() override {
    if (deflateReset(&stream_) != Z_OK) return fail(Errc::internal, "zlib: deflateReset failed");
    return {};
  }
  // zconf.h: "(1 << (windowBits+2)) + (1 << (memLevel+9))", and the state.
  std::size_t memory_bytes() const override {
    return (std::size_t{1} << static_cast<unsigned>(window_bits_ + 2)) +
           (std::size_t{1} << (kMemoryLevel + 9)) + std::size_t{6} * 1024;
  }
  Coding coding() const override { return Coding::gzip; }

 private:
  static constexpr int kMemoryLevel = 8;
  z_stream stream_{};
  int window_bits_ = MAX_WBITS;
};

class ZstdEncoder final : public Encoder {
 public:
  ~ZstdEncoder() override { ZSTD_freeCCtx(context_); }

  Result<> open(int level, int window_bits) {
    context_ = ZSTD_createCCtx();
    if (context_ == nullptr) return no_memory();
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, std::clamp(level, 1, 19));
    ZSTD_CCtx_setParameter(context_, ZSTD_c_windowLog, std::clamp(window_bits, 10, 23));
    return {};
  }

  Result<Step> step(std::string_view in, std::span<char> out, Flush flush) override {
    static constexpr ZSTD_EndDirective kHow[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer source{in.data(), in.size(), 0};
    ZSTD_outBuffer sink{out.data(), out.size(), 0};
    const std::size_t left =
        ZSTD_compressStream2(context_, &sink, &source, kHow[static_cast<int>(flush)]);
    if (ZSTD_isError(left) != 0) {
      return fail(Errc::internal, std::string("zstd: ") + ZSTD_getErrorName(left));
    }
    const bool taken = source.pos == source.size;
    return Step{source.pos, sink.pos, taken && (flush == Flush::no || left == 0)};
  }

  Result<> reset() override {
    ZSTD_CCtx_reset(context_, ZSTD_reset_session_only);
    return {};
  }
  std::size_t memory_bytes() const override { return ZSTD_sizeof_CCtx(context_); }
  Coding coding() const override { return Coding::zstd; }

 private:
  ZSTD_CCtx* context_ = nullptr;
};

class BrotliEncoder final : public Encoder {
 public:
  explicit BrotliEncoder(BlockCache& blocks) : blocks_(blocks) {}
  ~BrotliEncoder() override { BrotliEncoderDestroyInstance(state_); }

  Result<> open(int level, int window_bits) {
    level_ = std::clamp(level, BROTLI_MIN_QUALITY, BROTLI_MAX_QUALITY);
    window_bits_ = std::clamp(window_bits, BROTLI_MIN_WINDOW_BITS, 22);
    return reset();
  }

  Result<Step> step(std::string_view in, std::span<char> out, Flush flush) override {
    static constexpr BrotliEncoderOperation kHow[] = {
        BROTLI_OPERATION_PROCESS, BROTLI_OPERATION_FLUSH, BROTLI_OPERATION_FINISH};
    std::size_t in_left = in.size();
    const auto* next_in = reinterpret_cast<const std::uint8_t*>(in.data());
    std::size_t out_left = out.size();
    auto* next_out = reinterpret_cast<std::uint8_t*>(out.data());
    if (BrotliEncoderCompressStream(state_, kHow[static_cast<int>(flush)], &in_left, &next_in,
                                    &out_left, &next_out, nullptr) == BROTLI_FALSE)
      return fail(Errc::internal, "brotli: the encoder failed");
    const bool drained = BrotliEncoderHasMoreOutput(state_) == BROTLI_FALSE;
    return Step{in.size() - in_left, out.size() - out_left,
                in_left == 0 && (flush == Flush::no || drained)};
  }

  Result<> reset() override {
    BrotliEncoderDestroyInstance(state_);
    state_ = BrotliEncoderCreateInstance(&BlockCache::take, &BlockCache::give, &blocks_);
    if (state_ == nullptr) return no_memory();
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_QUALITY, static_cast<std::uint32_t>(level_));
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_LGWIN, static_cast<std::uint32_t>(window_bits_));
    // Or a large first piece would make it choose tables of 4 MiB.
    BrotliEncoderSetParameter(state_, BROTLI_PARAM_SIZE_HINT, 1U << 18U);
    return {};
  }
  // Brotli does not tell; the BlockCache knows.
  std::size_t memory_bytes() const override { return 0; }
  Coding coding() const override { return Coding::br; }

 private:
  BlockCache& blocks_;
  BrotliEncoderState* state_ = nullptr;
  int level_ = 0;
  int window_bits_ = 0;
};

template <class Kind, class... Arguments>
Result<std::unique_ptr<Encoder>> opened(int level, int window_bits, Arguments&... arguments) {
  auto made = std::make_unique<Kind>(arguments...);
  if (auto done = made->open(level, window_bits); !done) return pass(done);
  return made;
}

}  // namespace

Result<std::unique_ptr<Encoder>> make_encoder(Coding coding, int level, int window_bits,
                                              BlockCache& blocks) {
  switch (coding) {
    case Coding::gzip: return opened<GzipEncoder>(level, window_bits);
    case Coding::br: return opened<BrotliEncoder>(level, window_bits, blocks);
    case Coding::zstd: return opened<ZstdEncoder>(level, window_bits);
    case Coding::identity: break;
  }
  return fail(Errc::invalid, "identity has no encoder");
}

}  // namespace headroom::coding
