// headroom/cache/object.h - what is cached: an immutable head (key, metadata, tags, lifetimes) and a body, whole or still growing.
//
// Owns: Object and Chunk are counted blocks of memory; ObjectRef and Reader hold counts. A small value lies behind the head in one block; a
//   body that streams is a list of chunks, each of which holds the next.
// Worker: an Object is read from any worker. A Filler writes it from one task; Readers follow on theirs. A Reader belongs to one task.
// Invariants: (1) bytes that a reader may see never change or move; (2) an ObjectRef can always be read from the first byte, also after its
//   object has left the index; (3) a reader is woken by a post to its worker, never by polling.
// Limits: keys of 1 KiB, 255 tags, metadata of 4 GiB less a byte; times are kept in milliseconds, time to live up to 49 days, the other
//   spans rounded down by at most 1/2048.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "headroom/base/clock.h"
#include "headroom/base/error.h"
#include "headroom/cache/forms.h"
#include "headroom/cache/memory.h"
#include "headroom/cache/wake.h"
#include "headroom/net/task.h"

namespace headroom::cache {

enum class Space : std::uint8_t { app, http, sql };
inline constexpr std::size_t kSpaces = 3;
[[nodiscard]] std::string_view to_string(Space space);

inline constexpr std::size_t kKeyLimit = 1024;
inline constexpr std::size_t kTagsLimit = 255;

using ClassId = std::uint8_t;
using TagId = std::uint32_t;

// How long an object is fresh, and what it is good for afterwards; the last three count from the end of `ttl`.
struct Lifetimes {
  Duration ttl{};
  Duration stale_while_revalidate{};
  Duration stale_if_error{};
  Duration keep{};  // as something to revalidate
};

// A span of milliseconds in 16 bits: exact below 2048, then 11 significant bits, rounded down.
class Span16 {
 public:
  Span16() = default;
  explicit Span16(Duration span);
  [[nodiscard]] Duration value() const;

 private:
  std::uint16_t bits_ = 0;
};

// A number below 2^48 in six bytes.
class Packed48 {
 public:
  Packed48() = default;
  explicit Packed48(std::uint64_t value)
      : parts_{static_cast<std::uint16_t>(value), static_cast<std::uint16_t>(value >> 16U),
               static_cast<std::uint16_t>(value >> 32U)} {}
  [[nodiscard]] std::uint64_t value() const {
    return parts_[0] | (std::uint64_t{parts_[1]} << 16U) | (std::uint64_t{parts_[2]} << 32U);
  }

 private:
  std::array<std::uint16_t, 3> parts_{};
};

class Body;
struct Chunk;

enum class Codec : std::uint8_t { raw, zstd };
enum class Kind : std::uint8_t {
  value,
  absent,
  bypass
};  // absent: a remembered "there is none"; bypass: a remembered "not cacheable"

// 36 bytes; then, each only where it is needed: the addresses of body and forms, the sizes of Extra; tags, key, metadata, value.
class Object {
 public:
  struct Extra {
    std::uint32_t metadata_size = 0;
    std::uint32_t raw_size = 0;  // of a compressed value
  };
  struct Init {
    Space space{};
    std::string_view key;
    std::string_view metadata;
    std::string_view value;
    std::span<const TagId> tags;
    Lifetimes lifetimes;
    TimePoint born;
    Duration load_time{};
    std::uint64_t seq = 0;
    std::uint32_t raw_size = 0;
    ClassId cls = 0;
    Codec codec{};
    Kind kind{};
    Body* body = nullptr;    // the object takes over one count
    Forms* forms = nullptr;  // likewise
  };
  // Bytes of the block, as the heap counts them.
  [[nodiscard]] static std::size_t bytes_for(const Init& init);
  // `bytes_for` bytes must have been reserved. Has one count.
  [[nodiscard]] static Object* make(const Init& init);

  [[nodiscard]] Space space() const { return space_; }
  [[nodiscard]] std::string_view key() const { return {tail() + key_at(), key_size_}; }
  [[nodiscard]] std::string_view metadata() const {
    return {tail() + key_at() + key_size_, extra().metadata_size};
  }
  // The value as stored; empty where there is a body.
  [[nodiscard]] std::string_view stored() const {
    return {tail() + key_at() + key_size_ + extra().metadata_size, value_size_};
  }
  [[nodiscard]] std::span<const TagId> tags()
      const;  // in place: make() writes them by memcpy, which begins their lives there ([intro.object]); 36 + 8 n is aligned for them
  [[nodiscard]] Body* body() const;
  // Null: it may get none.
  [[nodiscard]] Forms* forms() const;
  [[nodiscard]] Codec codec() const { return codec_; }
  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] ClassId cls() const { return static_cast<ClassId>(born_cls_.value()); }
  [[nodiscard]] std::uint32_t raw_size() const { return extra().raw_size; }
  // Of the value; of a growing body, so far.
  [[nodiscard]] std::uint64_t size() const;

  [[nodiscard]] TimePoint born() const;
  [[nodiscard]] Duration ttl() const { return std::chrono::milliseconds(ttl_ms_); }
  [[nodiscard]] TimePoint fresh_until() const { return born() + ttl(); }
  [[nodiscard]] TimePoint revalidate_until() const {
    return fresh_until() + stale_while_revalidate_.value();
  }
  [[nodiscard]] TimePoint error_until() const { return fresh_until() + stale_if_error_.value(); }
  [[nodiscard]] TimePoint kept_until() const;
  [[nodiscard]] Duration load_time() const { return load_time_.value(); }

  // Of the head's block.
  [[nodiscard]] std::size_t bytes() const;

 private:
  friend class ObjectRef;
  friend class Shard;

  Object() = default;
  // What follows the object in its block (make()): bytes may be read through any object's address ([basic.lval]); numbers are copied out by memcpy, but for tags().
  [[nodiscard]] const char* tail() const { return reinterpret_cast<const char*>(this + 1); }
  [[nodiscard]] Extra extra() const;
  [[nodiscard]] std::size_t addresses() const {
    return (has_body_ ? sizeof(Body*) : 0U) + (has_forms_ ? sizeof(Forms*) : 0U);
  }
  [[nodiscard]] std::size_t tags_at() const {
    return addresses() + (has_extra_ ? sizeof(Extra) : 0U);
  }
  [[nodiscard]] std::size_t key_at() const { return tags_at() + tag_count_ * sizeof(TagId); }
  // Makes it stale as of `now`. Under the shard's lock.
  void soften(TimePoint now);
  static void release(Object* object, Memory& memory);

  std::atomic<std::uint32_t> refs_{1};
  std::uint16_t key_size_ = 0;
  std::uint8_t tag_count_ = 0;
  Space space_ : 2 {};
  Kind kind_ : 2 {};
  Codec codec_ : 1 {};
  bool has_body_ : 1 = false;
  bool has_extra_ : 1 = false;
  bool has_forms_ : 1 = false;
  std::atomic<std::uint32_t> ttl_ms_{0};  // a soft invalidation shortens it
  std::uint32_t value_size_ = 0;
  Span16 stale_while_revalidate_;
  Span16 stale_if_error_;
  Span16 keep_;
  Span16 load_time_;
  Packed48 seq_;       // valid as of this invalidation; under the shard's lock
  Packed48 born_cls_;  // milliseconds in 40 bits, the class in 8
};
static_assert(sizeof(Object) == 36);

// One stretch of a body.
struct Chunk {
  std::atomic<std::uint32_t> refs{1};
  std::uint32_t capacity = 0;
  std::atomic<std::uint32_t> size{0};
  std::atomic<Chunk*> next{nullptr};  // holds a count
  Body* body = nullptr;
  [[nodiscard]] char* data() {
    return reinterpret_cast<char*>(this + 1);
  }  // of the same block: bytes
};

enum class BodyState : std::uint8_t { growing, whole, failed };

// A body in chunks: one filler, any number of readers. While its object is in the index all chunks are kept; once detached, only those from
// the slowest reader on, and the filler is held back while they are more than the window.
class Body {
 public:
  static constexpr std::uint64_t kWindow = 1U << 20U;

  // own_bytes() must have been reserved.
  explicit Body(Memory& memory);
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  [[nodiscard]] static std::size_t own_bytes();
  [[nodiscard]] BodyState state() const { return state_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t size() const { return size_.load(std::memory_order_acquire); }
  [[nodiscard]] bool detached() const { return detached_.load(std::memory_order_acquire); }
  // A count on the first chunk; null once detached. Under the shard's lock, or by whoever holds the only reference.
  [[nodiscard]] Chunk* begin();
  void detach();
  // Chunk bytes held now.
  [[nodiscard]] std::uint64_t held() const { return held_.load(std::memory_order_relaxed); }

  // The filler's side. `space` is what the last chunk has left; a new chunk must have been counted in Memory.
  [[nodiscard]] std::span<char> space();
  void commit(std::size_t bytes);
  void add_chunk(std::uint32_t capacity);
  [[nodiscard]] static std::size_t chunk_bytes(std::uint32_t capacity) {
    return heap_bytes(sizeof(Chunk) + capacity);
  }
  void end(BodyState state, std::string reason);
  // False: registered, sleep; true: the filler may go on.
  [[nodiscard]] bool has_room_or_watch(const WakerRef& waker);

  // The reader's side. False: there is more than `seen` or it has ended; else `waker` is woken when that changes.
  [[nodiscard]] bool watch(std::uint64_t seen, const WakerRef& waker);
  [[nodiscard]] std::string reason();

  static void release(Chunk* chunk);
  void share() { refs_.fetch_add(1, std::memory_order_relaxed); }
  static void release(Body* body);

  std::uint64_t weight = 0;  // as counted by the index; under the shard's lock

 private:
  ~Body() = default;
  void wake_readers();

  Memory& memory_;
  std::atomic<std::uint32_t> refs_{1};
  std::atomic<BodyState> state_{BodyState::growing};
  std::atomic<bool> detached_{false};
  std::atomic<std::uint64_t> size_{0};
  std::atomic<std::uint64_t> held_{0};
  Chunk* tail_;       // the filler's; holds a count until the end
  std::mutex mutex_;  // guards what follows; short
  Chunk* head_;
  std::vector<WakerRef> readers_;
  WakerRef filler_;
  std::string reason_;
};

// An object, and the place from which its body can be read. Copying counts; a null one is false.
class ObjectRef {
 public:
  ObjectRef() = default;
  // Takes over one count of the object, and of the chunk where there is one.
  ObjectRef(Memory& memory, Object* object, Chunk* from)
      : memory_(&memory), object_(object), from_(from) {}
  ObjectRef(const ObjectRef& other);
  ObjectRef(ObjectRef&& other) noexcept
      : memory_(other.memory_),
        object_(std::exchange(other.object_, nullptr)),
        from_(std::exchange(other.from_, nullptr)) {}
  ObjectRef& operator=(ObjectRef other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(object_, other.object_);
    std::swap(from_, other.from_);
    return *this;
  }
  ~ObjectRef() {
    if (object_ != nullptr) drop();
  }

  explicit operator bool() const { return object_ != nullptr; }
  const Object* operator->() const { return object_; }
  const Object& operator*() const { return *object_; }

  // The whole value as stored, where it lies in one piece (always, where there is no body).
  [[nodiscard]] std::string_view stored() const { return object_->stored(); }
  [[nodiscard]] BodyState state() const;
  // A copy of the whole value; "" while it is not whole, or cannot be read from here.
  [[nodiscard]] std::string copy() const;

 private:
  friend class Shard;
  friend class MemoryTier;
  friend class Reader;
  friend class Filler;
  void drop();

  Memory* memory_ = nullptr;
  Object* object_ = nullptr;
  Chunk* from_ = nullptr;
};

// Follows an object's value from its first byte. Stays valid whatever becomes of the object.
class Reader {
 public:
  Reader(net::TaskGroup& group, ObjectRef object);
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader();

  [[nodiscard]] const Object& object() const { return *object_; }
  // The contiguous bytes that are there now, behind what was consumed; never suspends. Valid until
  // consume(); asked again, it may be longer.
  [[nodiscard]] std::string_view available();
  void consume(std::size_t bytes);
  // Suspends until available() has bytes: true; false: everything has been read. Errc::unavailable when the fill failed, timeout, cancelled.
  [[nodiscard]] net::Task<Result<bool>> wait(TimePoint deadline);
  // What wait() would answer without suspending, or nothing when it would suspend.
  [[nodiscard]] std::optional<Result<bool>> poll();

 private:
  net::TaskGroup& group_;
  ObjectRef object_;
  Chunk* chunk_ = nullptr;  // holds a count
  std::size_t at_ = 0;      // in the chunk, or in the stored value
  std::uint64_t read_ = 0;
};

}  // namespace headroom::cache
