// headroom/coding/coders.h - one worker's contexts: whole bodies at once, and encoders and decoders lent for a stream's life.
//
// Owns: the contexts, lent and idle. It outlives every lease.
// Worker: one thread. One for each worker; another for a thread that encodes what is stored.
// Invariants: (1) what is lent comes back by itself when the lease ends; (2) at most `streams` are lent at a time; (3) a context that
//   comes back is kept for the next, up to `idle` for each coding and direction.
// Limits: Options. Memory of one context, measured by coding_test (ContextsStayWithinTheMemoryThatTheFaceStates):
//     encoder   gzip 268 KB · br at most 2 MB · zstd at most 1.9 MB      (levels of the defaults, 256 KiB windows)
//     decoder   gzip 40 KB  · br at most 16 MB  · zstd at most 8.5 MB      (as the sender's window asks; typically under 1 MB)
//   Beyond `streams` a body goes out as it is.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/coding/block_cache.h"
#include "headroom/coding/coding.h"
#include "headroom/coding/decoder.h"
#include "headroom/coding/encoder.h"

namespace headroom::coding {

// For a client that waits, or once for a stored object.
enum class Effort : std::uint8_t { live, stored };

class Coders {
 public:
  struct Options {
    Levels live{};
    Levels stored{.gzip = 9, .br = 6, .zstd = 9};
    Levels stream{};
    std::size_t streams = 256;          // lent at a time
    std::size_t idle = 4;               // kept for each coding and direction
    Bytes idle_blocks = Bytes::mib(8);  // of brotli's, kept
    DecodeLimits decode{};
    const std::atomic<bool>* given_up = nullptr;  // once true, a whole body is not gone on with
  };

  // Levels out of range are brought into it.
  explicit Coders(const Options& options);
  ~Coders();
  Coders(const Coders&) = delete;
  Coders& operator=(const Coders&) = delete;

  // Appends the encoded body to `out`. False: it does not get smaller (or there is no memory, or it was given up), `out` is as it was; send it plain.
  // Takes about 2 us per KiB with live levels: give bodies over 64 KiB to a thread of their own. Not for Coding::identity.
  [[nodiscard]] bool encode(Coding coding, Effort effort, std::string_view body, std::string& out);

  // Appends a whole decoded body; what is appended counts for DecodeLimits, at most `most` bytes. Errors as Decoder's; `out` is then as it was.
  [[nodiscard]] Result<> decode(Coding coding, std::string_view body, Bytes most, std::string& out);

  template <class Context>
  class Return {
   public:
    explicit Return(Coders* owner = nullptr) : owner_(owner) {}
    void operator()(Context* context) const { owner_->take_back(context); }

   private:
    Coders* owner_;
  };
  using EncoderLease = std::unique_ptr<Encoder, Return<Encoder>>;
  using DecoderLease = std::unique_ptr<Decoder, Return<Decoder>>;

  // Errc::overloaded: `streams` are lent, or no memory.
  [[nodiscard]] Result<EncoderLease> encoder(Coding coding);
  [[nodiscard]] Result<DecoderLease> decoder(Coding coding);

  [[nodiscard]] std::size_t lent() const { return lent_; }
  // Of all idle contexts and of brotli's lent ones.
  [[nodiscard]] std::size_t memory_bytes() const;

 private:
  struct Whole;

  template <class Context>
  using Idle = std::array<std::vector<std::unique_ptr<Context>>, kCodings>;

  template <class Context>
  void keep(Context* context, Idle<Context>& all);
  void take_back(Encoder* encoder);
  void take_back(Decoder* decoder);
  [[nodiscard]] int level_of(Coding coding, Effort effort) const;

  const Options options_;
  BlockCache blocks_;
  std::unique_ptr<Whole> whole_;
  Idle<Encoder> encoders_;
  Idle<Decoder> decoders_;
  std::size_t lent_ = 0;
};

}  // namespace headroom::coding
