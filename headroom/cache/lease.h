// headroom/cache/lease.h - what a look-up answers, and the rights it hands out: to fill a key, to wait for its filler, to write a body.
//
// Owns: a Lease is the one right to fill a key; a Ticket is a place among those who wait for it; a Filler writes the body of an object that
//   was published before it was whole. Worker: a Lease and a Filler may move between workers, one task at a time; a Ticket stays.
// Invariants: (1) a key has at most one Lease; (2) a Lease that ends without a word counts as failed, and one who waits gets it instead;
//   (3) a Filler that ends without finish() fails its object; (4) who waits is woken by the Lease's end, never by polling.
// Limits: waiters_limit tickets for a key; after two failures in a row of one flight all who wait get the error.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "headroom/base/error.h"
#include "headroom/cache/object.h"

namespace headroom::cache {

class MemoryTier;
struct Flight;
struct Waiting;
struct Found;

// What an object is published with.
struct Head {
  std::string_view metadata{};
  Lifetimes lifetimes{};
  std::span<const std::string> tags{};
  ClassId cls = 0;
  Duration age{};                       // how old it is already (HTTP's Age)
  std::optional<std::uint64_t> size{};  // of a body that streams, where it is known
  std::uint32_t raw_size = 0;           // of a value that is compressed with zstd
  Kind kind = Kind::value;
  bool forms = false;    // it may get further forms (MemoryTier::add_form)
  bool is_copy = false;  // read from a tier behind: it has it already
};

// Writes a body. append() never suspends; between appends await room(), which suspends only while the object has left the index and its
// slowest reader is more than Body::kWindow behind.
class Filler {
 public:
  Filler() = default;
  Filler(Filler&&) noexcept = default;
  Filler& operator=(Filler&& other) noexcept;
  ~Filler() { fail("the fill was given up"); }

  explicit operator bool() const { return static_cast<bool>(object_); }
  void append(std::string_view bytes);
  [[nodiscard]] net::Task<Result<>> room(net::TaskGroup& group, TimePoint deadline);
  void finish();
  // Readers get Errc::unavailable with this reason; the object leaves the index.
  void fail(std::string reason);
  // Whether later look-ups can still find it.
  [[nodiscard]] bool indexed() const { return !object_->body()->detached(); }
  // Whether anybody has it or can find it; else one may as well give up.
  [[nodiscard]] bool wanted() const;

 private:
  friend class MemoryTier;
  Filler(MemoryTier& tier, ObjectRef object, std::optional<std::uint64_t> size)
      : tier_(&tier), object_(std::move(object)), expected_(size) {}
  void add_chunk();

  MemoryTier* tier_ = nullptr;
  ObjectRef object_;  // without a place to read from
  std::optional<std::uint64_t> expected_;
};

struct Published {
  Filler filler;
  ObjectRef object;
};

// A place among those who wait for a lease to end.
class Ticket {
 public:
  Ticket() = default;
  Ticket(Ticket&&) noexcept = default;
  Ticket& operator=(Ticket&& other) noexcept;
  ~Ticket() { leave(); }

  explicit operator bool() const { return flight_ != nullptr; }
  // Suspends. Found::answer is fresh, stale, fill (with the lease), bypass, or again (look up anew). Errors: the filler's, timeout, cancelled;
  // after a timeout one may wait again.
  [[nodiscard]] net::Task<Result<Found>> wait(net::TaskGroup& group, TimePoint deadline);
  // Where an expired object may be served if need be (stale-if-error): for those who would not wait long.
  [[nodiscard]] ObjectRef stale() const;

 private:
  friend class MemoryTier;
  Ticket(MemoryTier& tier, std::shared_ptr<Flight> flight, std::shared_ptr<Waiting> waiting)
      : tier_(&tier), flight_(std::move(flight)), waiting_(std::move(waiting)) {}
  void leave();

  MemoryTier* tier_ = nullptr;
  std::shared_ptr<Flight> flight_;
  std::shared_ptr<Waiting> waiting_;
};

class Lease {
 public:
  Lease() = default;
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&& other) noexcept;
  ~Lease() { end(); }

  explicit operator bool() const { return flight_ != nullptr; }
  [[nodiscard]] Space space() const;
  [[nodiscard]] const std::string& key() const;
  // What is there but no longer good enough: to be revalidated, or served on an error. May be null.
  [[nodiscard]] const ObjectRef& stale() const;
  // The invalidation number as of which the load begins; for a tier behind.
  [[nodiscard]] std::uint64_t since() const;

  // Whether anybody waits for it now.
  [[nodiscard]] bool is_awaited() const;
  // A place among those who wait for this lease, for the one who asked for it and lets a task of its own fill it.
  [[nodiscard]] Ticket wait_too();

  // Each of these ends the lease; `now` is the time of the call.
  // The object is seen and read by others from now on.
  [[nodiscard]] Result<Published> publish(const Head& head, TimePoint now);
  // A whole value. What may not be stored (too large, overtaken by an invalidation) is returned all the same, and given to those who wait
  // where that is right. Errc::overloaded: it did not fit; they go on their own.
  [[nodiscard]] Result<ObjectRef> store(const Head& head, std::string_view value, TimePoint now);
  // The stale object's body under a new head (304). Errc::conflict: its body is not whole.
  [[nodiscard]] Result<ObjectRef> renew(const Head& head, TimePoint now);
  // Those who wait go on their own at once, and so does everybody for as long as it is remembered (0: not at all).
  void uncacheable(Duration remember, TimePoint now);
  // One who waits gets the lease; or, where stale-if-error allows, all get the stale object, which is returned.
  ObjectRef fail(const Error& error, TimePoint now);

 private:
  friend class MemoryTier;
  Lease(MemoryTier& tier, std::shared_ptr<Flight> flight)
      : tier_(&tier), flight_(std::move(flight)) {}
  void end();

  MemoryTier* tier_ = nullptr;
  std::shared_ptr<Flight> flight_;
};

enum class Answer : std::uint8_t {
  fresh,       // object; with a lease: refresh it early, besides
  stale,       // object; with a lease: refresh it, besides
  fill,        // lease
  join,        // ticket
  bypass,      // known as not cacheable: go on alone
  overloaded,  // too many wait for this key
  again,       // only from Ticket::wait
};

struct Found {
  Answer answer = Answer::bypass;
  ObjectRef object;
  Lease lease;
  Ticket ticket;
  Duration age{};    // of the object
  Duration stale{};  // how long it has been stale
};

}  // namespace headroom::cache
