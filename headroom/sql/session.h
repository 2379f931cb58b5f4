// headroom/sql/session.h - one client, from its first byte to its last: logged in, then carried to a server connection for each transaction.
//
// Owns: the client's stream, what its session has (settings, statements, pins), and the server connection while it has one.
// Worker: one coroutine on the worker that accepted it. It waits for both streams at once by one Event; nothing else of it runs, but that
//   while it waits for its client alone stirred() may answer from the cache in its place.
// Invariants: (1) a server connection goes back only when it is idle (ReadyForQuery 'I'), nothing that was sent to it is unanswered, no frame is
//   half sent, and no cancel request is on its way to it; (2) bytes pass as they came, frames are never cut or joined anew; what is read is
//   never more than what one side can take (back-pressure); (3) what Headroom sends for itself (settings, Parse, Close) is answered to
//   nobody, and what it answers for the server comes at its place in the order; (4) a client never sees another's settings, statements or
//   rows: a connection whose state is not known exactly is put right (DISCARD ALL) or closed; (5) once an answer has begun, no part of
//   it is sent twice; (6) a replica runs nothing but single reads outside of transactions and plain reads in READ ONLY ones of READ
//   COMMITTED; what it fails runs on the primary unless a part of its answer has been passed on, and so does the rest of such a transaction.
// Limits: kInspected bytes of a statement are looked at; kMostOutstanding answers expected; buffers of 4 to 128 KiB while something is in them,
//   none while the client is idle.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "headroom/net/listener.h"
#include "headroom/net/stream.h"
#include "headroom/pgwire/messages.h"
#include "headroom/pgwire/startup.h"
#include "headroom/sql/room.h"

namespace headroom::sql {

class CachedReads;

// The statement without a name, as the client has it.
struct Unnamed {
  std::string query{}, types{};
  Effects effects{};
  DecisionPointer decision{};
  std::uint64_t fingerprint = 0;
  bool has = false;
  bool here = false;  // so the server has it, or none, too
};

// An answer that the server owes, or that Headroom gives at this place in the order.
struct Expected {
  enum class Kind : char { query, function, sync, parse, bind, describe, execute, close, set };
  enum class Action : char { pass, swallow, local };
  Kind kind;
  Action action = Action::pass;
  StatementPointer statement{};  // of a Parse with a name, or of its Close or DEALLOCATE
  Insight::Use shape{};          // of a Query, or of an Execute's statement
  bool behind_copy =
      false;              // sent behind a CopyDone that came before the server had asked for data
  std::string name{};     // the client's, of that statement
  bool there = false;     // a Parse of what the server has prepared already
  bool may_fail = false;  // of ours: nobody is told
  bool by_our_name = false;            // asks for what is prepared under it
  bool of_unnamed = false;             // it makes or ends the statement without a name,
  std::unique_ptr<Unnamed> unnamed{};  // which was this before; null: no error keeps it so
  // What a later exchange finds under a name depends on it.
  [[nodiscard]] bool prepares() const {
    return kind == Kind::parse || kind == Kind::close || !name.empty();
  }
  [[nodiscard]] bool changes_unnamed() const {
    return of_unnamed || (kind == Kind::query && action == Action::pass);
  }
  [[nodiscard]] bool concerns(std::string_view its_name, const StatementPointer& its) const {
    return its_name.empty() ? of_unnamed : name == its_name || (its && statement == its);
  }
  [[nodiscard]] bool ends_by_ready() const {
    return kind == Kind::query || kind == Kind::function || kind == Kind::sync || kind == Kind::set;
  }
};

// While a read runs, or a statement that was prepared earlier: what it takes to run it elsewhere instead, or once more, for as long as the client has
// seen nothing of its answer.
struct Attempt {
  std::string sent{};               // by the client since the last ReadyForQuery
  std::vector<std::size_t> ends{};  // behind each Query or Sync in it
  struct Change {
    std::size_t at = 0;
    std::string name{};
    StatementPointer before{};           // null: none
    std::unique_ptr<Unnamed> unnamed{};  // of the one without a name instead
  };
  std::vector<Change> changes{};  // of the client's statements, and where in what was sent
  std::string held{};             // answers that say nothing yet
  std::string text{};             // of the last statement
  StatementPointer statement{};   // it, if it has a name
  bool on_primary = false;
  bool reads =
      false;  // on the primary: nothing but plain reads, which may run once more if it is lost
  bool begins = false;       // a transaction, in an exchange of the extended protocol
  bool ends_failed = false;  // a transaction that has failed, in such an exchange
  bool whole = true;         // sent is all there was
  bool answered = false;
  bool rows = false;        // among what is held, of one read
  bool bound = false;       // a portal is open
  unsigned to_execute = 0;  // portals of this exchange
  bool flush = false;       // the client waits for answers
};

// A setting that a client has begun with and set back to its default.
struct Restore {
  std::string name, value;
  bool local = false;
};

// What the portal of a client ends once it is executed.
struct Bound {
  std::string portal;
  bool drops = false;  // all statements
  std::uint16_t unpins = 0;
  std::vector<Restore> restores;
};

// What SHOW CLIENTS says of one.
struct ClientStatus {
  std::uint32_t pid = 0;
  std::string user{}, database{}, application{}, address{}, state{};
  std::uint32_t server_pid = 0;
  Duration connected{}, in_state{};
  std::uint16_t pins = 0;
  Duration pinned{};
  std::size_t prepared = 0;
  std::uint64_t queries = 0;
  bool tls = false;
};

class Session {
 public:
  Session(Room& room, Part& part, net::Listener::Accepted accepted);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  [[nodiscard]] net::Task<> run();
  // On its worker.
  void cancel(std::string_view key);
  void end(std::string_view sqlstate,
           std::string_view why);  // as soon as it is idle (a drain) or at once (KILL)
  void drain() { event_.set(); }
  void servers_changed();  // another server is the primary, or one has gone
  [[nodiscard]] bool is_with_old_primary();
  [[nodiscard]] ClientStatus status() const;

 private:
  // --- greet.cc: the start-up and the login ---
  [[nodiscard]] net::Task<bool> greet();
  [[nodiscard]] net::Task<Result<pgwire::Startup>> read_startup();
  [[nodiscard]] net::Task<Result<>> secure(bool at_once);
  [[nodiscard]] net::Task<bool> log_in(pgwire::Startup startup);
  [[nodiscard]] net::Task<Result<>> prove(const std::string& user, const Secret* secret,
                                          std::optional<postgres::ScramKeys>& keys);
  [[nodiscard]] net::Task<Result<>> look_up(const std::string& user, const Database* database,
                                            Secret& secret, bool& found);
  [[nodiscard]] net::Task<bool> welcome();
  [[nodiscard]] net::Task<bool> try_settings(postgres::Settings& reported);
  [[nodiscard]] Result<> take_parameters(const pgwire::Startup& startup);
  [[nodiscard]] net::Task<bool> refuse(std::string_view reason, pgwire::Report report);

  void begin_caching();

  // --- session.cc: the loop ---
  [[nodiscard]] net::Task<> serve();
  void stirred();
  [[nodiscard]] bool waits_for_client() const;
  void rest();
  [[nodiscard]] bool pull_client();
  [[nodiscard]] bool pull_server();
  [[nodiscard]] bool push_server();
  [[nodiscard]] bool push_client();
  [[nodiscard]] bool release_due() const;
  [[nodiscard]] net::Task<> release();
  [[nodiscard]] net::Task<Result<postgres::Rows>> ask_own(std::string query, Duration patience);
  [[nodiscard]] std::vector<std::string> unlisted(const Effects& touched) const;
  void end_pins(bool idle);
  void give_back();
  [[nodiscard]] bool acquire_now();
  [[nodiscard]] net::Task<> acquire();
  [[nodiscard]] net::Task<bool> know_primary();
  void settle_in(std::unique_ptr<postgres::Server> server);
  void resume();
  void unsettle(const Error& why);
  void note_wait();
  void forward_cancel();
  [[nodiscard]] TimePoint deadline() const;
  void deadline_passed();
  [[nodiscard]] bool idle() const;
  [[nodiscard]] bool client_gone();
  [[nodiscard]] bool bye_waits() const;
  void lose_client();
  void fatal(std::string_view sqlstate, std::string_view message);
  void unserved(const Error& error, const pgwire::Report& refusal);
  [[nodiscard]] net::Task<> say_goodbye();
  void tell_server(net::Event* event) {
    if (server_) server_->stream->tell(event);
  }

  // --- forward.cc: what the client sends ---
  void process_client();
  [[nodiscard]] bool take_frame(
      const pgwire::Frame& frame,
      std::string_view bytes);  // false: more of it is needed, or a server
  [[nodiscard]] bool take_refused(const pgwire::Frame& frame);
  [[nodiscard]] bool take_query(const pgwire::Frame& frame, std::string_view body, bool whole);
  [[nodiscard]] bool take_parse(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] bool take_bind(const pgwire::Frame& frame, std::string_view bytes);
  void opened();
  void executed(std::string_view body);
  void begin_by_bind(const Decision& decision, std::string_view text);
  [[nodiscard]] bool take_target(const pgwire::Frame& frame, std::string_view body);
  void pass_frame(const pgwire::Frame& frame);
  void drop_frame(const pgwire::Frame& frame);
  void expect(Expected::Kind kind, Expected::Action action = Expected::Action::pass,
              StatementPointer statement = {}, Insight::Use shape = {}, std::string name = {});
  std::string& to_server();  // for a message of ours, behind what was passed
  [[nodiscard]] StatementPointer ensure_prepared(StatementPointer statement);
  [[nodiscard]] std::string reading();
  void ensure_unnamed();
  void note(const Effects& effects);
  void note_bound(std::string_view portal, const Effects& effects);
  void end_by(const Bound& portal);
  [[nodiscard]] bool end_by_execute(std::string_view body);
  void restore();
  void leave(const Effects& effects);
  [[nodiscard]] bool reads_texts_alike() const;
  void name_statement(const std::string& name, const StatementPointer& statement);
  bool close_statement(std::string_view name);
  void undo_names(std::size_t from);
  [[nodiscard]] bool undecided(std::string_view name, const StatementPointer& statement = {}) const;
  [[nodiscard]] bool is_alone() const;
  [[nodiscard]] std::unique_ptr<Unnamed> unnamed_before();
  void restore_unnamed(std::size_t sync, Unnamed before);
  [[nodiscard]] bool waits_for_turn(const Effects& effects) const;
  [[nodiscard]] bool fits_budget(const StatementPointer& statement);
  void refuse_statement(std::string_view limit, std::string message);

  // --- answer.cc: what the server sends ---
  void process_server();
  [[nodiscard]] bool take_answer(const pgwire::Frame& frame, std::string_view bytes);
  void pop();
  void ignore_syncs();
  void forget_copy_end();
  void take_error(std::string_view body);
  void take_ready(pgwire::Status status);
  void all_answered(pgwire::Status status);
  void answer_locals();
  std::string& to_client();
  void server_lost(const Error& why);
  [[nodiscard]] bool ends_only_the_server(std::string_view error);

  // --- observe.cc: what is counted of each statement ---
  [[nodiscard]] Insight::Use shape_for(std::uint64_t fingerprint, std::string_view query);
  void take_sample(const Insight::Use& shape, const Decision* decision, std::string_view query,
                   std::string_view types, std::string_view bind);
  void see_frame(const pgwire::Frame& frame);
  void see_command(std::string_view tag);
  void see_error(std::string_view sqlstate);
  void see_batch_end();
  void observe(Insight::Shape& shape, std::string_view sqlstate);
  // The time at which the server's bytes at hand were read.
  [[nodiscard]] TimePoint moment() {
    return moment_ == TimePoint() ? moment_ = Clock::now() : moment_;
  }

  // --- route.cc: which server runs it, and the primary instead of a replica that does not ---
  [[nodiscard]] Cluster& cluster() { return account_->cluster(); }
  [[nodiscard]] postgres::Pool& pool_here() { return account_->pool(server_at_); }
  [[nodiscard]] bool only_reads(const Decision& decision) const;
  [[nodiscard]] bool runs_again(const Decision& decision) const;
  [[nodiscard]] const DecisionPointer& decision_of(const pgwire::Frame& frame,
                                                   std::string_view body);
  [[nodiscard]] bool fits_replica(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] bool fits_text(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] bool fits_transaction(std::string_view text, const Decision& decision) const;
  [[nodiscard]] bool begins_on_replica(std::string_view text, const Decision& decision) const;
  [[nodiscard]] bool in_replica_transaction() const {
    return reads_on_replica() && status_ == pgwire::Status::transaction;
  }
  [[nodiscard]] bool leave_transaction();
  [[nodiscard]] bool leave_exchange();
  [[nodiscard]] bool has_what_it_needs(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] std::string_view text_of(const pgwire::Frame& frame, std::string_view body) const;
  [[nodiscard]] bool look_at_page(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] bool take_replica_now();
  [[nodiscard]] net::Task<bool> take_replica();
  void settle_on_replica(std::size_t at, std::unique_ptr<postgres::Server> server);
  void leave_replica();
  void end_exchange();
  void exchange_ended(pgwire::Status status);
  void record(std::string_view bytes);
  [[nodiscard]] bool holds(const pgwire::Frame& frame, bool whole) const;
  [[nodiscard]] bool reads_on_replica() const { return attempt_ && !attempt_->on_primary; }
  void watch(bool reads);
  [[nodiscard]] bool begins_an_exchange() const;
  [[nodiscard]] net::Task<bool> is_gone();
  void let_go();
  void flushed();
  void answered_on_replica();
  void next_exchange();
  [[nodiscard]] bool may_retry() const;
  [[nodiscard]] bool retries_after(std::string_view error);
  void finish_sending();
  void retry(bool server_is_good);
  void detach();

  // --- tie.cc: whose request it is, and what its session has written ---
  void tie(const pgwire::Frame& frame, std::string_view body);
  [[nodiscard]] bool take_own_setting(const pgwire::Frame& frame, std::string_view query);
  void untie();
  // --- traced.cc ---
  // Whether it is recorded, and whose part this is.
  void follow_trace(const link::TraceContext& context);
  void record_span(std::string_view query, TimePoint began, TimePoint ended,
                   std::string_view answered_by, std::string_view sqlstate);
  [[nodiscard]] std::vector<std::string> names() const;
  // `refused`: by a replica, once: it does more than its text tells.
  enum class Refused : bool { no, yes };
  void note_write(const Decision& decision, Refused refused = Refused::no);
  void wrote_until(const std::optional<link::Position>& position);
  [[nodiscard]] net::Task<> ask_position();
  [[nodiscard]] std::optional<link::Position> needed();  // nothing: what only the primary has

  // --- recover.cc: what becomes of a server connection whose client has gone ---
  enum class Cancel : std::uint8_t { yes, no };
  void abandon(Cancel cancel = Cancel::yes);
  struct Abandoned {
    std::string begun;       // read already, not looked at
    std::uint64_t skip = 0;  // of a frame that was being passed
    unsigned owed = 0;       // ReadyForQuery to come
    bool cancels = false;
    pgwire::Status status{};
    bool untouched = true;  // by settings and pins
  };
  [[nodiscard]] static net::Task<> recover(postgres::Pool& pool, net::Worker& worker,
                                           std::unique_ptr<postgres::Server> server,
                                           Abandoned left);

  [[nodiscard]] net::Worker& worker() { return part_.group.worker(); }
  [[nodiscard]] std::size_t outstanding() const { return expected_.size() - first_; }
  [[nodiscard]] Expected& front() { return expected_[first_]; }

  Room& room_;
  Part& part_;
  const net::Endpoint peer_;
  net::Event event_;
  net::Stream client_;
  std::uint32_t pid_ = 0;
  std::string key_;
  Account* account_ = nullptr;
  std::string user_;
  bool admin_database_ = false;

  // The session.
  postgres::Settings baseline_;  // of the start-up packet
  postgres::Settings wanted_;
  std::string reading_;               // reading_settings() of wanted_
  bool reading_unsure_ = false;       // in this transaction, they may have been set
  std::uint64_t readings_ = 0;        // of those that are nobody else's
  std::vector<Restore> restores_;     // behind this exchange
  std::vector<Bound> bound_portals_;  // of this transaction
  bool restores_of_several_ = false;  // by a text of several statements
  ClientStatements statements_;
  Unnamed unnamed_;
  std::uint16_t pins_ = 0;
  TimePoint pinned_since_{};
  pgwire::Status status_ = pgwire::Status::idle;

  // Towards the server: to_server_, then the first ready_ bytes of in_.
  net::Buffer in_;
  std::size_t ready_ = 0;
  std::uint64_t in_left_ = 0;    // of the frame at the end of what is ready
  std::uint64_t drop_left_ = 0;  // of a frame that nobody gets
  std::string to_server_;

  // Towards the client: to_client_, then the first back_ready_ bytes of back_.
  net::Buffer back_;
  std::size_t back_ready_ = 0;
  std::uint64_t back_left_ = 0;
  std::uint64_t back_drop_left_ = 0;
  std::size_t read_size_ = 0;
  std::string to_client_;

  std::unique_ptr<Attempt>
      attempt_;                // while server_ is a replica, or a statement prepared earlier runs
  std::size_t server_at_ = 0;  // of the cluster
  DecisionPointer decision_;   // of the message at the front, once it was looked at
  bool wants_replica_ = false;
  link::Position page_needs_;  // of a replica, for the read at hand; none: no page is made of it
  bool replanned_ = false;     // this exchange has been sent again already
  std::optional<std::size_t>
      suspect_;  // has ended the connection with a read: is it going, or was only the read ended?
  bool stays_with_primary_ = false;  // for this exchange
  bool leaving_ = false;             // the replica, for what comes next
  bool one_by_one_ = false;          // what comes next waits until this exchange is answered
  bool ends_pins_ = false;           // something of it ends pins or statements
  bool rolled_back_ = false;
  bool copy_ended_ = false;       // by the client, and the server has not asked for data yet
  std::uint16_t fresh_pins_ = 0;  // of this transaction
  std::string begin_;             // of the READ ONLY transaction that a replica runs
  std::string resume_;            // to be sent first: its transaction goes on there
  bool unsynced_ = false;         // an exchange is open that only a Sync ends
  bool settling_ = false;         // nothing of the client's is sent before its settings are there
  unsigned unsettled_ = 0;        // connections on which they could not be made, one after another
  unsigned preparing_ = 0;        // of what is outstanding

  // Ties to requests and to what was written (tie.cc).
  std::string session_name_;  // SET headroom.session
  link::RequestPointer
      request_;  // of this exchange, this transaction or (SET headroom.traceparent) all that follows
  enum class Tie : std::uint8_t { none, exchange, transaction, session } tie_ = Tie::none;
  std::optional<link::TraceContext> traced_;  // as long as the tie: who asks, of a recorded trace
  link::Position position_;                   // what this connection has written lies before it
  TimePoint position_unknown_until_{};
  std::vector<std::string> writes_for_;  // sessions that were told that a write has begun
  bool wrote_ = false;                   // in this transaction, something may have been
  bool changed_schema_ = false;
  bool server_reads_alike_ = true;  // without settings of the client's own

  std::unique_ptr<postgres::Server> server_;
  std::vector<Expected> expected_;
  std::size_t first_ = 0;
  bool wants_server_ = false;
  bool rests_ = false;       // serve() waits for the client alone
  bool discarding_ = false;  // the server ignores all until a Sync
  bool copying_in_ = false;
  bool refusing_ = false;           // the client's messages are ours to ignore until the next Sync
  bool refusing_exchange_ = false;  // a Query or a function call does not end it
  bool ended_ = false;
  bool client_closed_ = false;    // its stream: nothing more comes from it
  bool client_ended_ = false;     // and nothing of what came is to be done any more
  bool client_said_bye_ = false;  // what it sent before is to be done
  bool fatal_seen_ = false;
  bool failed_ = false;  // an error since the last ReadyForQuery
  bool own_work_ = false;
  bool waiting_ = false;
  bool cancelled_ = false;
  bool cancel_later_ = false;
  bool dirty_ = false;  // the server's state is not known exactly
  Effects touched_;     // in this transaction

  // Of the statement whose answer is at hand (observe.cc).
  Insight::Use bound_;  // whose portal was bound last
  struct Seen {
    std::uint64_t rows = 0;      // as DataRow
    std::uint64_t commands = 0;  // as CommandComplete says
    std::uint64_t bytes = 0;
    TimePoint first_row{};
  } seen_;
  TimePoint moment_{};
  TimePoint statement_since_{};
  TimePoint received_ = kNever;  // what had to wait for a server connection
  Duration waited_{};            // for a server connection
  struct Sampled {
    Sample sample{};
    std::uint64_t of = 0;  // its shape
  };
  std::unique_ptr<Sampled> sampled_;  // where samples are kept

  TimePoint server_since_{};
  TimePoint query_since_{};
  TimePoint state_since_ = Clock::now();
  const TimePoint connected_ = state_since_;
  std::uint64_t queries_ = 0;
  unsigned cancels_ = 0;  // on their way

  std::unique_ptr<CachedReads> cached_;  // null: nothing of this database is cached

  friend class Admin;
  friend class CachedReads;
};

// Of an idle connection that another client had: its settings are those of the login again.
[[nodiscard]] net::Task<Result<>> clear_settings(postgres::Server& server, TimePoint deadline);

}  // namespace headroom::sql
