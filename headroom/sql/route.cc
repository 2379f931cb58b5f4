// Which server runs what a client asks for; and the primary instead of a replica that fails it, unseen by the client.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sql/cached_reads.h"
#include "headroom/sql/comment.h"

namespace headroom::sql {
namespace {

namespace from_client = pgwire::from_client;
namespace from_server = pgwire::from_server;

constexpr std::size_t kMostKept =
    64U << 10U;  // of what would have to be sent again, and of answers held
constexpr Duration kLookAgain = 10ms;
constexpr Duration kGoing = 200ms;  // within which a server that goes is heard to go

// These say nothing that another server would not say as well.
bool says_nothing(char type) {
  return type == from_server::kParseComplete || type == from_server::kBindComplete ||
         type == from_server::kCloseComplete || type == from_server::kNoData ||
         type == from_server::kRowDescription || type == from_server::kParameterDescription;
}

// What a replica refuses because it is one.
bool is_refusal(std::string_view sqlstate) {
  return sqlstate == "25006" || sqlstate == "0A000" || sqlstate == "55000";
}

// What is wrong with the query or its values, whichever server runs it: but a table or a row that a replica lacks may be there already.
bool is_of_the_query(std::string_view sqlstate) {
  constexpr std::array<std::string_view, 8> kClasses{"21", "22", "2F", "34",
                                                     "3D", "3F", "42", "P0"};
  return std::ranges::find(kClasses, sqlstate.substr(0, 2)) != kClasses.end();
}

}  // namespace

bool Session::only_reads(const Decision& decision) const {
  if (!decision.plain_read()) return false;
  const Functions* known = account_->cluster().functions(part_.group.worker());
  return known != nullptr && known->only_reads(decision);
}

bool Session::runs_again(const Decision& decision) const {
  if (!decision.plain_read()) return false;
  const Functions* known = account_->cluster().functions(part_.group.worker());
  return known != nullptr && known->runs_again(decision);
}

// Of a Query or a Parse. A message that is not whole may do anything, and what is long where there is only one server is not parsed for nothing.
const DecisionPointer& Session::decision_of(const pgwire::Frame& frame, std::string_view body) {
  if (decision_) return decision_;
  static const auto kOpaque =
      std::make_shared<const Decision>(Decision{.its_class = Class::opaque, .statements = 1});
  if (body.empty() || (cluster().alone() && body.size() > Classifier::kLongestRemembered))
    return decision_ = kOpaque;
  if (frame.type == from_client::kQuery)
    return decision_ = part_.classifier.decide(body.substr(0, body.find('\0')));
  const auto parse = pgwire::parse_parse(body);
  return decision_ = parse ? part_.classifier.decide(parse->query) : kOpaque;
}

// Of a Query or a Parse that is whole.
bool Session::fits_text(const pgwire::Frame& frame, std::string_view body) {
  const DecisionPointer decision = decision_of(frame, body);
  if (only_reads(*decision)) return true;
  const std::string_view text = text_of(frame, body);
  if (in_replica_transaction()) return fits_transaction(text, *decision);
  return status_ == pgwire::Status::idle && begins_on_replica(text, *decision);
}

// COMMIT and ROLLBACK; all else that is no plain read may be of the session's or the server's own state, and goes on at the primary.
bool Session::fits_transaction(std::string_view text, const Decision& decision) const {
  return decision.its_class == Class::transaction && decision.ends && decision.statements == 1 &&
         !begin_mode(text);
}

// What comes next is not known: so only what can go on at the primary at any moment, because each statement sees what is there when it begins.
bool Session::begins_on_replica(std::string_view query, const Decision& decision) const {
  if (!room_.options().read_only_transactions || decision.its_class != Class::transaction ||
      !decision.begins || decision.statements != 1 || decision.hinted_primary || decision.refused)
    return false;
  const auto mode = begin_mode(query);
  if (!mode || mode->read_write) return false;
  const auto set = [this](const char* name) {
    const auto found = wanted_.find(name);
    return found == wanted_.end() ? std::string() : text::lowered(found->second);
  };
  const std::string only = set("default_transaction_read_only");
  const bool read_only = mode->read_only || only == "on" || only == "true" || only == "1";
  const std::string isolation = set("default_transaction_isolation");
  const bool by_default =
      isolation.empty() ? account_->reads_committed() : isolation == "read committed";
  return read_only && (mode->isolation_given ? mode->read_committed : by_default);
}

// Whether a replica may run what this message begins, or go on with it where one has begun. `body`: as far as it is there.
bool Session::fits_replica(const pgwire::Frame& frame, std::string_view body) {
  if (cluster().alone() || account_->database().mode != Mode::transaction || pins_ != 0 ||
      stays_with_primary_)
    return false;
  if (cached_ && cached_->fills()) return false;
  const bool whole = body.size() >= frame.body();
  const auto fits = [this](std::string_view text, const Decision& decision) {
    if (only_reads(decision)) return true;
    return in_replica_transaction()
               ? fits_transaction(text, decision)
               : status_ == pgwire::Status::idle && begins_on_replica(text, decision);
  };
  const auto reads = [&](const StatementPointer* statement) {
    return statement != nullptr && !(*statement)->refused.load() &&
           fits((*statement)->query, *(*statement)->decision);
  };
  // Only its end is heard; what comes behind that in the same text is for the primary.
  if (status_ == pgwire::Status::failed) {
    if (attempt_ && attempt_->ends_failed &&
        (frame.type == from_client::kParse || frame.type == from_client::kBind))
      return false;
    if (frame.type != from_client::kQuery || !whole) return true;
    const DecisionPointer decision = decision_of(frame, body);
    return decision->statements <= 1 || !decision->ends;
  }
  switch (frame.type) {
    case from_client::kQuery:
    case from_client::kParse:
      return whole && frame.size <= kMostKept && server_reads_alike_ && reads_alike(wanted_) &&
             fits_text(frame, body);
    case from_client::kBind: {
      pgwire::Reader in(body);
      const std::string_view portal = in.text();
      const std::string_view name = in.text();
      if (in.failed()) return false;
      if (in_replica_transaction() && !portal.empty()) return false;  // a cursor lives on
      if (name.empty() && unnamed_.has)
        return unnamed_.decision && server_reads_alike_ && reads_alike(wanted_) &&
               fits(unnamed_.query, *unnamed_.decision);
      const StatementPointer* known = name.empty() ? nullptr : statements_.find(name);
      if (known == nullptr) return attempt_ != nullptr;  // every server says that there is none
      return server_reads_alike_ && reads_alike(wanted_) && reads(known);
    }
    case from_client::kDescribe: {
      const auto target = whole ? pgwire::parse_target(body) : std::nullopt;
      if (!target || target->kind == 'P' || target->name.empty()) return attempt_ != nullptr;
      const StatementPointer* known = statements_.find(target->name);
      return known == nullptr ? attempt_ != nullptr : reads(known);
    }
    case from_client::kFunctionCall: return false;
    default: return attempt_ != nullptr;
  }
}

// Whether the replica at hand has what the next of several exchanges must see: it may be another session's, or follow another connection's write.
bool Session::has_what_it_needs(const pgwire::Frame& frame, std::string_view body) {
  if (frame.type != from_client::kQuery && frame.type != from_client::kParse &&
      frame.type != from_client::kBind)
    return true;
  if (decision_ && decision_->its_class == Class::transaction) return true;
  if (frame.type == from_client::kBind && begins_transaction(text_of(frame, body))) return true;
  if (!look_at_page(frame, body) || !cluster().has(server_at_, page_needs_)) {
    if (!unsynced_ || status_ == pgwire::Status::idle) return false;
    if (room_.results)
      room_.results->tell_unknown(request_.get());  // it goes on here, but no page is made of it
  }
  if (unsynced_) return true;
  const auto needs = needed();
  return needs && cluster().has(server_at_, *needs);
}

// Of what a Query, Parse or Bind is about.
std::string_view Session::text_of(const pgwire::Frame& frame, std::string_view body) const {
  if (frame.type == from_client::kQuery) return without_comment(body.substr(0, body.find('\0')));
  if (frame.type == from_client::kParse) {
    const auto parse = pgwire::parse_parse(body);
    return parse ? without_comment(parse->query) : std::string_view();
  }
  pgwire::Reader in(body);
  (void)in.text();
  const std::string_view name = in.text();
  if (in.failed() || name.empty()) return unnamed_.has ? unnamed_.query : std::string_view();
  const StatementPointer* known = statements_.find(name);
  return known == nullptr ? std::string_view() : std::string_view((*known)->query);
}

// What a page is made of must not be older than the commits that have dropped its tables already. False: only the primary will do.
bool Session::look_at_page(const pgwire::Frame& frame, std::string_view body) {
  page_needs_ = {};
  const bool feeds = room_.tags_pages && (!request_ || request_->feeds_page);
  if (!feeds || frame.type == from_client::kDescribe) return true;
  if (!cached_) return false;
  const auto needs = cached_->page_needs(text_of(frame, body));
  if (needs) page_needs_ = *needs;
  return needs.has_value();
}

void Session::settle_on_replica(std::size_t at, std::unique_ptr<postgres::Server> server) {
  server_at_ = at;
  attempt_ = std::make_unique<Attempt>();
  cluster().begin(at);
  settle_in(std::move(server));
}

// If one is there that needs no wait.
bool Session::take_replica_now() {
  auto needs = needed();
  if (!needs) return false;
  link::take_later(*needs, page_needs_);
  const Cluster::Choice choice = cluster().choose(*needs, worker().random());
  auto server = choice.server ? account_->pool(*choice.server).take_now(worker()) : nullptr;
  if (!server) return false;
  wants_server_ = wants_replica_ = cancelled_ = false;
  settle_on_replica(*choice.server, std::move(server));
  return true;
}

// A connection to a replica that has what this client must see. False: the primary is to be asked.
net::Task<bool> Session::take_replica() {
  const TimePoint give_up = Clock::now() + Cluster::kPatience;
  for (;;) {
    auto needs = needed();
    if (!needs) co_return false;
    link::take_later(*needs, page_needs_);
    const Cluster::Choice choice = cluster().choose(*needs, worker().random());
    if (choice.server) {
      server_at_ = *choice.server;
      postgres::Pool& pool = pool_here();
      auto server = pool.take_now(worker());
      if (!server) {
        waiting_ = true;
        state_since_ = Clock::now();
        std::function<bool()> wanted = [this, at = server_at_] {
          return !cancelled_ && !ended_ && cluster().answers(at) && !client_gone();
        };
        auto waited = co_await pool.take(worker(), event_, std::move(wanted), nullptr);
        waiting_ = false;
        note_wait();
        if (waited)
          server = std::move(*waited);
        else if (cancelled_ || ended_ || part_.group.stopped() ||
                 waited.error().code == Errc::timeout || waited.error().code == Errc::overloaded)
          co_return false;
        else
          cluster().failed(server_at_);
      }
      if (!server) continue;
      settle_on_replica(server_at_, std::move(server));
      co_return true;
    }
    // A page is better made from the primary at once.
    if (!choice.soon || page_needs_ || Clock::now() >= give_up) co_return false;
    waiting_ = true;
    (void)co_await event_.wait(Clock::now() + kLookAgain);
    waiting_ = false;
    if (cancelled_ || ended_ || part_.group.stopped() || client_gone()) co_return false;
  }
}

// The READ ONLY transaction goes on at the primary, once the replica has answered what it was asked.
bool Session::leave_transaction() {
  if (unsynced_ && attempt_->to_execute > 0 && in_replica_transaction() && may_retry())
    return leave_exchange();
  if (unsynced_) leave_replica();
  if (outstanding() > 0 || !to_server_.empty()) return false;
  account_->reads_moved.at(worker().index()).add();
  resume_ = begin_;
  tell_server(nullptr);
  abandon(Cancel::no);
  wants_server_ = true;
  return false;
}

// An exchange that begins a transaction, or has a portal that is yet to be executed, goes on with what is not for a replica: all of it is for the primary.
bool Session::leave_exchange() {
  if (may_retry()) {
    retry(true);
    event_.set();
  } else {
    leave_replica();  // a part of it has been answered
  }
  return false;
}

// What comes next is for the primary: what the replica was asked is ended first, and the client's exchange goes on elsewhere.
void Session::leave_replica() {
  leaving_ = true;
  if (unsynced_) end_exchange();
}

// By a Sync of ours; the client's own is still to come, and all before it waits.
void Session::end_exchange() {
  one_by_one_ = true;
  expect(Expected::Kind::sync, Expected::Action::swallow);
  pgwire::append_empty(to_server(), from_client::kSync);
}

// The server has answered all of the exchange. If an error has ended it, the rest of it is refused to the client's own Sync.
void Session::exchange_ended(pgwire::Status status) {
  let_go();
  one_by_one_ = false;
  status_ = status;
  if (std::exchange(failed_, false)) refusing_ = refusing_exchange_ = true;
  const bool goes =
      status_ == pgwire::Status::idle || (status_ == pgwire::Status::transaction && !refusing_);
  if (!leaving_ || goes) return;
  leaving_ = false;  // a transaction that has failed comes to its end where it is
  *attempt_ = {};
}

void Session::record(std::string_view bytes) {
  if (!attempt_->whole) return;
  attempt_->whole = attempt_->sent.size() + bytes.size() <= kMostKept;
  if (attempt_->whole) {
    attempt_->sent.append(bytes);
  } else {
    attempt_->sent = {};
    attempt_->ends.clear();
    attempt_->changes.clear();
  }
}

// Rows are held to the end of what came with them, as an error may lie right behind.
bool Session::holds(const pgwire::Frame& frame, bool whole) const {
  return attempt_ && !attempt_->answered && attempt_->whole && whole &&
         attempt_->held.size() + frame.size <= kMostKept &&
         (says_nothing(frame.type) || frame.type == from_server::kDataRow ||
          (attempt_->begins && frame.type == from_server::kCommandComplete));
}

// From here on the client has seen a part of the answer.
void Session::let_go() {
  if (!attempt_) return;
  attempt_->answered = true;
  if (!attempt_->held.empty()) to_client().append(std::exchange(attempt_->held, {}));
}

// The client waits for answers: statements prepared so far are so wherever it goes, but an open portal is not.
void Session::flushed() {
  attempt_->flush = false;
  if (attempt_->answered) return;
  if (attempt_->bound || leaving_) return let_go();
  to_client().append(std::exchange(attempt_->held, {}));
  attempt_->sent.clear();
  attempt_->ends.clear();
  attempt_->changes.clear();
}

// An exchange is over; what the client has sent of the next one is kept.
void Session::answered_on_replica() {
  cluster().count_read(server_at_);
  account_->reads_on_replicas.at(worker().index()).add();
  next_exchange();
}

void Session::next_exchange() {
  Attempt& old = *attempt_;
  const std::size_t end =
      old.ends.empty() ? old.sent.size() : std::min(old.ends.front(), old.sent.size());
  Attempt next;
  next.whole = old.whole || outstanding() == 0;
  if (old.whole && end < old.sent.size()) {
    next.sent = old.sent.substr(end);
    for (std::size_t i = 1; i < old.ends.size(); ++i) next.ends.push_back(old.ends[i] - end);
    for (Attempt::Change& each : old.changes) {
      if (each.at < end) continue;
      each.at -= end;
      next.changes.push_back(std::move(each));
    }
    next.text = std::move(old.text);
    next.statement = std::move(old.statement);
    next.bound = old.bound;
    next.to_execute = old.to_execute;
    next.flush = old.flush;
  }
  *attempt_ = std::move(next);
}

// Whether what comes next is the first of an exchange outside of a transaction, at the primary, with nothing before it that is unanswered.
bool Session::begins_an_exchange() const {
  return !attempt_ && pins_ == 0 && status_ == pgwire::Status::idle && !unsynced_ && ready_ == 0 &&
         in_left_ == 0 &&
         std::all_of(expected_.begin() + static_cast<std::ptrdiff_t>(first_), expected_.end(),
                     [](const Expected& e) { return e.action == Expected::Action::swallow; });
}

// Before a Bind: what its statement was planned for may be no more, which the server then says before it has done anything. `reads`: before a read,
// which another server may answer if this one is lost with it.
void Session::watch(bool reads) {
  attempt_ = std::make_unique<Attempt>();
  attempt_->on_primary = true;
  attempt_->reads = reads;
}

// Who has ended the connection of a read that is to run once more: an administrator, who wants it to end, or a server that goes, which its watch
// then hears as well.
net::Task<bool> Session::is_gone() {
  const TimePoint until = Clock::now() + kGoing + 2 * room_.options().replica_check;
  const std::size_t server = *suspect_;
  suspect_.reset();
  waiting_ = true;
  while (cluster().answers(server) && Clock::now() < until && !cancelled_ && !ended_ &&
         !client_gone()) {
    auto woken = co_await event_.wait(Clock::now() + kLookAgain);
    if (!woken && woken.error().code == Errc::cancelled) break;
  }
  waiting_ = false;
  co_return !cluster().answers(server);
}

bool Session::may_retry() const {
  return attempt_ && attempt_->whole && !attempt_->answered && back_left_ == 0 &&
         back_drop_left_ == 0 && drop_left_ == 0 && (outstanding() > 0 || attempt_->begins) &&
         !leaving_ && !ended_ && !client_ended_;
}

// An error of a replica is no answer: a standby has changed nothing, so the primary may be asked instead. But for a cancel of the client's own, and
// for what is wrong with the query itself where the replica has all that the primary is known to have.
bool Session::retries_after(std::string_view error) {
  const auto report = pgwire::parse_report(error);
  if (!report || report->sqlstate == "57014" || !may_retry()) return false;
  if (status_ == pgwire::Status::failed) return false;
  if (in_replica_transaction() && report->sqlstate == "25006")
    return false;  // as the primary would
  if (report->sqlstate == "26000" && !(outstanding() > 0 && front().by_our_name))
    return false;  // of a name that nobody has prepared
  const bool ends = report->severity == "FATAL" || report->severity == "PANIC";
  if (ends && (replanned_ || (attempt_->on_primary && !attempt_->reads))) return false;
  if (ends) {
    if (reads_on_replica()) cluster().failed(server_at_);
    if (report->sqlstate == "57P01") suspect_ = server_at_;
    retry(false);
    return true;
  }
  if (attempt_->on_primary) {
    const bool replan =
        report->sqlstate == "26000" ||
        (report->sqlstate == "0A000" && report->message.starts_with("cached plan must not change"));
    if (!replan || !attempt_->statement || std::exchange(replanned_, true)) return false;
    const StatementPointer fresh = room_.statements.renew(attempt_->statement);
    statements_.replace(attempt_->statement, fresh);
    retry(true);
    return true;
  }
  if (is_of_the_query(report->sqlstate) && cluster().is_abreast(server_at_)) return false;
  if (is_refusal(report->sqlstate)) {
    const std::string& text = attempt_->statement ? attempt_->statement->query : attempt_->text;
    if (attempt_->statement) attempt_->statement->refused.store(true);
    if (!text.empty()) part_.classifier.learn(text);
  }
  retry(true);
  return true;
}

// A connection that has got all that was meant for it can be kept.
void Session::finish_sending() {
  net::Gather data;
  data.add(to_server_);
  data.add(in_.data().substr(0, ready_));
  const auto sent = server_->stream->try_write(data);
  if (!sent || !*sent) return;
  to_server_.clear();
  in_.consume(std::exchange(ready_, 0));
}

// What the client has sent lies in front again, and the primary is taken for it.
void Session::retry(bool server_is_good) {
  const bool lost = attempt_->on_primary && !server_is_good;
  if (reads_on_replica() || lost) account_->reads_moved.at(worker().index()).add();
  const bool in_transaction = in_replica_transaction();
  Attempt attempt = std::move(*attempt_);
  const std::string rest(in_.data().substr(ready_));  // of what is ready, the attempt has a copy
  (void)to_client();
  tell_server(nullptr);
  if (server_is_good) {
    finish_sending();
    abandon(Cancel::no);
  } else {
    detach();
    pool_here().close(worker(), std::move(server_));
  }
  expected_.clear();
  first_ = preparing_ = 0;
  to_server_.clear();
  back_.clear();
  in_.clear();
  in_.append(attempt.sent);
  in_.append(rest);
  ready_ = 0;
  in_left_ = 0;
  while (!attempt.changes.empty()) {
    Attempt::Change& last = attempt.changes.back();
    if (last.unnamed)
      unnamed_ = std::move(*last.unnamed);
    else
      statements_.put(last.name, last.before);
    attempt.changes.pop_back();
  }
  touched_ = {};
  status_ = in_transaction ? pgwire::Status::transaction : pgwire::Status::idle;
  if (in_transaction) resume_ = begin_;
  failed_ = discarding_ = copying_in_ = unnamed_.here = unsynced_ = false;
  stays_with_primary_ = !lost;  // a replica may have it by now
  replanned_ = replanned_ || !server_is_good;
  if (cached_) cached_->begins_again();
}

// The server is given away, or has ended.
void Session::detach() {
  if (reads_on_replica()) cluster().end(server_at_);
  attempt_.reset();
  leaving_ = unsynced_ = one_by_one_ = false;
}

// What it has not committed there is not to be committed any more.
bool Session::is_with_old_primary() {
  return server_ && account_ != nullptr && !cluster().alone() && !reads_on_replica() &&
         server_at_ != cluster().primary();
}

// Who waits asks again which server is the primary; a read on a server that has gone silent goes to another.
void Session::servers_changed() {
  if (waiting_) event_.set();
  if (is_with_old_primary()) {
    if (own_work_)
      dirty_ = true;  // closed when that is done
    else
      server_lost({Errc::unavailable, "another server has become the primary"});
    return event_.set();
  }
  if (!reads_on_replica() || cluster().answers(server_at_) || replanned_ || !may_retry()) return;
  log::info("sql", "{}/{}: a replica does not answer, the primary is asked",
            account_->database().name, user_);
  retry(false);
  event_.set();
}

}  // namespace headroom::sql
