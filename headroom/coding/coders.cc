#include "headroom/coding/coders.h"

#include <brotli/encode.h>
#include <libdeflate.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <bit>

#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/coding/block_cache.h"
#include "headroom/coding/coding.h"
#include "headroom/coding/decoder.h"
#include "headroom/coding/encoder.h"

namespace headroom::coding {
namespace {

// Streams: 256 KiB back for zstd and brotli, all that deflate has for gzip.
constexpr int kStreamWindowBits = 18;
constexpr int kMostWindowBits = 22;

int level_in(const Levels& levels, Coding coding) {
  switch (coding) {
    case Coding::gzip: return std::clamp(levels.gzip, 1, 12);
    case Coding::br: return std::clamp(levels.br, 0, 11);
    case Coding::zstd: return std::clamp(levels.zstd, 1, 19);
    case Coding::identity: break;
  }
  return 0;
}

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const {
    libdeflate_free_compressor(compressor);
  }
};
struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
using Brotli = std::unique_ptr<BrotliEncoderState, decltype(&BrotliEncoderDestroyInstance)>;

// Lets `write` put at most `room` bytes behind `out`; it returns how many they are, 0: none.
template <class Write>
bool append(std::string& out, std::size_t room, Write write) {
  const std::size_t old = out.size();
  std::size_t made = 0;
  out.resize_and_overwrite(old + room, [&](char* bytes, std::size_t) {
    made = write(bytes + old, room);
    return old + made;
  });
  return made > 0;
}

// A window that holds the body, for no more memory than it needs.
int window_bits_for(std::size_t body_size) {
  return std::clamp(static_cast<int>(std::bit_width(body_size)), 16, kMostWindowBits);
}

// In pieces, between which it can be given up: at high levels a body takes seconds.
std::size_t brotli_whole(BlockCache& blocks, int level, std::string_view body, char* to,
                         std::size_t room, const std::atomic<bool>* given_up) {
  constexpr std::size_t kPiece = std::size_t{128} * 1024;
  const Brotli state(BrotliEncoderCreateInstance(&BlockCache::take, &BlockCache::give, &blocks),
                     &BrotliEncoderDestroyInstance);
  if (!state) return 0;
  BrotliEncoderSetParameter(state.get(), BROTLI_PARAM_QUALITY, static_cast<std::uint32_t>(level));
  BrotliEncoderSetParameter(state.get(), BROTLI_PARAM_LGWIN,
                            static_cast<std::uint32_t>(window_bits_for(body.size())));
  BrotliEncoderSetParameter(
      state.get(), BROTLI_PARAM_SIZE_HINT,
      static_cast<std::uint32_t>(std::min<std::size_t>(body.size(), 1U << 30U)));
  std::size_t out_left = room;
  auto* out = reinterpret_cast<std::uint8_t*>(to);
  for (bool more = true; more;) {
    if (given_up != nullptr && given_up->load(std::memory_order_relaxed)) return 0;
    const std::string_view piece = body.substr(0, kPiece);
    body.remove_prefix(piece.size());
    more = !body.empty();
    std::size_t left = piece.size();
    const auto* in = reinterpret_cast<const std::uint8_t*>(piece.data());
    const auto operation = more ? BROTLI_OPERATION_PROCESS : BROTLI_OPERATION_FINISH;
    const auto done =
        BrotliEncoderCompressStream(state.get(), operation, &left, &in, &out_left, &out, nullptr);
    if (done == BROTLI_FALSE || left > 0) return 0;
  }
  return BrotliEncoderIsFinished(state.get()) == BROTLI_FALSE ? 0 : room - out_left;
}

std::unexpected<Error> all_lent() {
  return fail(Errc::overloaded, "all content coding contexts are in use");
}

template <class Context>
std::unique_ptr<Context> last_of(std::vector<std::unique_ptr<Context>>& idle) {
  if (idle.empty()) return nullptr;
  auto found = std::move(idle.back());
  idle.pop_back();
  return found;
}

}  // namespace

// The contexts for whole bodies, made when they are first used.
struct Coders::Whole {
  std::array<std::unique_ptr<libdeflate_compressor, FreeCompressor>, 2> gzip;
  std::unique_ptr<ZSTD_CCtx, FreeContext> zstd;

  std::size_t encode_gzip(Effort effort, int level, std::string_view body, char* to,
                          std::size_t room) {
    auto& compressor = gzip[static_cast<std::size_t>(effort)];
    if (!compressor) compressor.reset(libdeflate_alloc_compressor(level));
    if (!compressor) return 0;
    return libdeflate_gzip_compress(compressor.get(), body.data(), body.size(), to, room);
  }

  std::size_t encode_zstd(int level, std::string_view body, char* to, std::size_t room) {
    if (!zstd) zstd.reset(ZSTD_createCCtx());
    if (!zstd) return 0;
    ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(zstd.get(), ZSTD_c_windowLog, window_bits_for(body.size()));
    const std::size_t size = ZSTD_compress2(zstd.get(), to, room, body.data(), body.size());
    return ZSTD_isError(size) != 0 ? 0 : size;
  }
};

Coders::Coders(const Options& options)
    : options_(options), blocks_(options.idle_blocks), whole_(std::make_unique<Whole>()) {}

Coders::~Coders() { HR_ASSERT(lent_ == 0U); }

int Coders::level_of(Coding coding, Effort effort) const {
  return level_in(effort == Effort::live ? options_.live : options_.stored, coding);
}

bool Coders::encode(Coding coding, Effort effort, std::string_view body, std::string& out) {
  const int level = level_of(coding, effort);
  if (body.size() < 2) return false;
  return append(out, body.size() - 1, [&](char* to, std::size_t room) -> std::size_t {
    switch (coding) {
      case Coding::gzip: return whole_->encode_gzip(effort, level, body, to, room);
      case Coding::br: return brotli_whole(blocks_, level, body, to, room, options_.given_up);
      case Coding::zstd: return whole_->encode_zstd(level, body, to, room);
      case Coding::identity: break;
    }
    return 0;
  });
}

Result<> Coders::decode(Coding coding, std::string_view body, Bytes most, std::string& out) {
  auto lease = decoder(coding);
  if (!lease) return pass(lease);
  const std::size_t old = out.size();
  constexpr std::size_t kPiece = std::size_t{32} * 1024;
  for (bool done = false; !done;) {
    Result<Step> step = Step{};
    append(out, kPiece, [&](char* to, std::size_t room) {
      step = (*lease)->step(body, {to, room});
      return step ? step->produced : 0;
    });
    if (step && out.size() - old > most.count)
      step = fail(Errc::overloaded, "the body decodes to more than " + to_string(most));
    if (!step) {
      out.resize(old);
      return pass(step);
    }
    body.remove_prefix(step->consumed);
    done = step->done;
  }
  auto finished = (*lease)->finish();
  if (!finished) out.resize(old);
  return finished;
}

Result<Coders::EncoderLease> Coders::encoder(Coding coding) {
  if (lent_ >= options_.streams) return all_lent();
  auto found = last_of(encoders_[static_cast<std::size_t>(coding)]);
  if (found) {
    if (auto done = found->reset(); !done) return pass(done);
  } else {
    auto made = make_encoder(coding, level_in(options_.stream, coding), kStreamWindowBits, blocks_);
    if (!made) return pass(made);
    found = std::move(*made);
  }
  ++lent_;
  return EncoderLease(found.release(), Return<Encoder>(this));
}

Result<Coders::DecoderLease> Coders::decoder(Coding coding) {
  if (lent_ >= options_.streams) return all_lent();
  auto found = last_of(decoders_[static_cast<std::size_t>(coding)]);
  if (!found) {
    auto made = make_decoder(coding, blocks_);
    if (!made) return pass(made);
    found = std::move(*made);
  }
  if (auto done = found->reset(options_.decode); !done) return pass(done);
  ++lent_;
  return DecoderLease(found.release(), Return<Decoder>(this));
}

// Brotli's contexts are not worth keeping: their memory is, and blocks_ has it.
template <class Context>
void Coders::keep(Context* context, Idle<Context>& all) {
  std::unique_ptr<Context> back(context);
  --lent_;
  auto& idle = all[static_cast<std::size_t>(back->coding())];
  if (back->coding() != Coding::br && idle.size() < options_.idle) idle.push_back(std::move(back));
}

void Coders::take_back(Encoder* encoder) { keep(encoder, encoders_); }
void Coders::take_back(Decoder* decoder) { keep(decoder, decoders_); }

std::size_t Coders::memory_bytes() const {
  std::size_t sum = blocks_.lent_bytes() + blocks_.free_bytes();
  for (const auto& kind : encoders_) {
    for (const auto& encoder : kind) sum += encoder->memory_bytes();
  }
  for (const auto& kind : decoders_) {
    for (const auto& decoder : kind) sum += decoder->memory_bytes();
  }
  return sum + (whole_->zstd ? ZSTD_sizeof_CCtx(whole_->zstd.get()) : 0);
}

}  // namespace headroom::coding
