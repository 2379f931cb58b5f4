// headroom/sql/cached_reads.h - a session's way to the cache of results: its reads are answered from there, its misses fill it, its commits drop.
//
// Owns: the lease of a result that is being read, or the place among those who wait for one; what the open transaction may have changed.
// Worker: the session's; part of it, in its coroutine.
// Invariants: (1) what a transaction may have changed is dropped, or doubted, before a byte that tells of its commit goes to the client; (2) only
//   the whole answer of one request is stored under that request's key, and given to that request, outside of a transaction or in one of READ COMMITTED that has done nothing but read; (3) a request is looked up once, and then passed on as it came.
// Limits: kLongestWait for another's fill; [sql.cache] max_result.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "headroom/sql/result_cache.h"
#include "headroom/sql/session.h"

namespace headroom::sql {

class CachedReads {
 public:
  CachedReads(Session& session, ResultCache& results, ChangeStream& stream)
      : s_(session), results_(results), stream_(stream) {}

  enum class Look : std::uint8_t {
    pass,   // to the server
    taken,  // answered
    later,  // it stays where it is for now
  };
  // At the first frame of a request, while nothing is outstanding.
  [[nodiscard]] Look look();
  // Whether the session must wait() before it goes on.
  [[nodiscard]] bool waits() const { return static_cast<bool>(ticket_); }
  [[nodiscard]] net::Task<> wait();
  // What is asked now is to be kept: it must not come from a replica, which may lack what has just dropped it.
  [[nodiscard]] bool fills() const { return fill_.has_value(); }

  // Of the request that look() has let pass, as far as it is known from there; else null. Where replicas refuse statements a newer one may know of it.
  [[nodiscard]] DecisionPointer decision() const {
    return planned_ && s_.cluster().alone() ? plan_->decision : nullptr;
  }
  // What a replica must have to run a read whose rows may go into a page; nothing: only the primary will do.
  [[nodiscard]] std::optional<link::Position> page_needs(std::string_view text);

  // A statement goes to the server; nothing: of unknown text.
  void sent(std::optional<std::string_view> text);
  // It has been passed on, or refused: the next one is looked up again.
  void passed() {
    asked_ = false;
    again_ = 0;
    waited_.reset();
  }
  // What goes to the client, at once or held for a moment: the beginning of a frame, and more of it.
  void record(char type, std::string_view bytes);
  void record_more(std::string_view bytes);
  // What was held is thrown away, and asked for again.
  void begins_again();
  // CommandComplete, ReadyForQuery; the connection was lost.
  void completed(std::string_view tag);
  void ready(pgwire::Status status);
  void lost();
  // The request at hand gets an error of ours: nothing of it is for the next one.
  void refused();

 private:
  // The frames of one request, as they lie in the session's buffer.
  struct Request {
    std::size_t size = 0;
    bool simple = false;
    bool parses = false;     // the statement without a name
    bool describes = false;  // its portal
    std::string_view text{}, types{}, values{};
    std::string_view traceparent{};  // of the comment behind the text, which has been cut off
  };
  struct Fill {
    cache::Lease lease;
    KnownPlanPointer plan;
    ShapeCounts* counts;
    std::string bytes{};
    TimePoint began{};
    bool failed = false;
    bool records = false;  // the frame at hand
  };
  // For that request alone.
  struct Waited {
    std::string key;
    cache::Found found;
  };
  [[nodiscard]] std::optional<Request> find_request() const;
  [[nodiscard]] Look look_up(const Request& request);
  [[nodiscard]] Look take_found(const Request& request, cache::Found found, TimePoint now);
  [[nodiscard]] Asker asker() const;
  // What the session begins with, as the newest catalogue knows.
  struct Begins {
    std::uint64_t version = 0;
    std::string path{};
    bool known = true;  // the path
    bool reads_committed = false;
    TimePoint since{};  // by all server connections made after it
  };
  [[nodiscard]] const Begins& begins() const;
  // The server connection at hand may be of before: what names mean there is not known.
  [[nodiscard]] bool began_otherwise() const;
  [[nodiscard]] KnownPlanPointer plan_of(std::string_view text);
  [[nodiscard]] Look pass_by(Refusal reason, std::string_view why);
  void answer(const Request& request, const cache::ObjectRef& object, TimePoint now);
  void note_hit(const Request& request, TimePoint now);
  void finish_fill(pgwire::Status status);
  void fail_fill();
  void drop();
  [[nodiscard]] bool in_transaction() const;
  [[nodiscard]] bool may_be_cached() const;

  Session& s_;
  ResultCache& results_;
  ChangeStream& stream_;
  bool asked_ = false;
  unsigned again_ = 0;

  KnownPlanPointer plan_;  // of the request at hand
  mutable Begins begins_;
  std::uint64_t planned_by_ = 0;  // the version of begins() for plan_
  bool planned_ = false;          // plan_ is that of the next statement that is sent
  Insight::Use shape_;
  ShapeCounts* counts_ = nullptr;
  cache::Ticket ticket_;
  std::optional<Fill> fill_;
  std::string key_;               // of what the ticket is for
  std::optional<Waited> waited_;  // what the ticket brought

  // Of the open transaction.
  std::vector<Oid> changes_;
  Plan::Effect effect_ = Plan::Effect::none;
  bool rolled_back_ = false;
  bool names_unknown_ =
      false;                 // by which search_path and role they are read, since a SET of its own
  bool calm_ = false;        // it is READ COMMITTED, and nothing but calm reads so far
  unsigned statements_ = 0;  // since the last ReadyForQuery
};

}  // namespace headroom::sql
