// What the client sends: looked at as far as need be, passed on as it came.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/sql/cached_reads.h"
#include "headroom/sql/comment.h"
#include "headroom/sql/lexer.h"
#include "headroom/sql/values.h"

namespace headroom::sql {
namespace {

namespace from = pgwire::from_client;
using Kind = Expected::Kind;
using Action = Expected::Action;

constexpr std::size_t kInspected = 256U << 10U;  // a longer statement is not looked at as a whole
constexpr std::size_t kMostBound = 16;           // portals whose Execute ends something
constexpr std::size_t kLongestName = 4096;       // of portals and statements

bool is_copy(char type) {
  return type == from::kCopyData || type == from::kCopyDone || type == from::kCopyFail;
}

// Of a function call: what drivers use it for. Any other may be set_config() or pg_advisory_lock().
bool calls_large_object(std::string_view body) {
  constexpr auto kTheirs = std::to_array<std::uint32_t>(
      {715, 764, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172});
  return std::ranges::find(kTheirs, pgwire::Reader(body).u32()) != kTheirs.end();
}

// A list of names as SET takes it: each folded as a server folds it.
std::string listed(std::string_view value) {
  std::string list;
  Lexer lexer(value);
  for (Token token = lexer.next(); token.kind != Token::Kind::end; token = lexer.next()) {
    if (token.is(',')) continue;
    std::string name =
        token.kind == Token::Kind::quoted ? std::string(token.text) : text::lowered(token.text);
    for (std::size_t at = name.find("\"\""); at != std::string::npos;
         at = name.find("\"\"", at + 1))
      name.erase(at, 1);
    list += (list.empty() ? "" : ", ") + literal(name);
  }
  return list.empty() ? "''" : list;
}

// Without a snapshot, which the transaction may not have yet.
std::string restored(const std::vector<Restore>& restores) {
  std::string query;
  for (const Restore& each : restores) {
    const bool list = each.name == "search_path" || each.name == "temp_tablespaces";
    query += fmt::format("SET {}{} TO {};", each.local ? "LOCAL " : "", identifier(each.name),
                         list ? listed(each.value) : literal(each.value));
  }
  return query;
}

// Behind a text that may have set something else since.
std::string restored_where_unset(const std::vector<Restore>& restores) {
  std::string values;
  for (const Restore& each : restores)
    values += fmt::format("{}({}, {}, {})", values.empty() ? "" : ", ", literal(each.name),
                          literal(each.value), each.local);
  return fmt::format(
      "SELECT pg_catalog.set_config(s.name, v.value, v.local) FROM (VALUES {}) v (name, value, "
      "local) JOIN pg_catalog.pg_settings s ON pg_catalog.lower(s.name) = v.name WHERE s.source <> "
      "'session'",
      values);
}

// A Bind's body; empty while it is not whole.
std::string_view bind_values(const pgwire::Frame& frame, std::string_view bytes) {
  return bytes.size() < frame.size ? std::string_view()
                                   : bytes.substr(pgwire::kHeader, frame.body());
}

}  // namespace

void Session::process_client() {
  while (!ended_ && !wants_server_) {
    const std::string_view left = in_.data().substr(ready_);
    if (drop_left_ > 0) {
      const std::size_t dropped = std::min<std::uint64_t>(drop_left_, left.size());
      if (dropped == 0) return;
      if (ready_ > 0) (void)to_server();
      in_.consume(dropped);
      drop_left_ -= dropped;
      continue;
    }
    if (in_left_ > 0) {
      const std::size_t passed = std::min<std::uint64_t>(in_left_, left.size());
      if (passed == 0) return;
      if (attempt_) record(left.substr(0, passed));
      ready_ += passed;
      in_left_ -= passed;
      continue;
    }
    if (leaving_ && in_replica_transaction() && outstanding() == 0 && to_server_.empty()) {
      (void)leave_transaction();
      return;
    }
    if (leaving_ || (one_by_one_ && !copying_in_)) return;
    if (settling_) {
      if (outstanding() > 0) return;
      settling_ = false;
      resume();
    }
    if (outstanding() == 0 && cancels_ > 0)
      return;  // a cancel request must not meet what comes next
    pgwire::Frame frame;
    const pgwire::Found found = pgwire::find_frame(left, frame);
    if (found == pgwire::Found::need_more) return;
    if (found == pgwire::Found::bad) return fatal("08P01", "invalid message length");
    const bool refused = refusing_;
    if (!take_frame(frame, left)) return;
    if (!attempt_ || refused) continue;
    // What lies behind an exchange at the primary may have been done when that is known to have failed.
    if (attempt_->on_primary && !attempt_->ends.empty()) attempt_->whole = false;
    // A view of what may have been consumed, but the buffer has not moved; what is left of the frame is recorded as it passes.
    record(left.substr(0, std::min<std::uint64_t>(frame.size - in_left_, left.size())));
    if (frame.type == from::kQuery || frame.type == from::kSync)
      attempt_->ends.push_back(attempt_->sent.size() + in_left_);
    if (reads_on_replica() && outstanding() == 0 && !unsynced_ && !attempt_->ends.empty())
      next_exchange();  // it was answered here
  }
}

// Everything that was passed lies in front of what is written behind it.
std::string& Session::to_server() {
  if (ready_ > 0) {
    to_server_.append(in_.data().substr(0, ready_));
    in_.consume(std::exchange(ready_, 0));
  }
  return to_server_;
}

void Session::pass_frame(const pgwire::Frame& frame) {
  HR_ASSERT(server_ != nullptr);
  const std::size_t here = std::min<std::uint64_t>(frame.size, in_.size() - ready_);
  ready_ += here;
  in_left_ = frame.size - here;
}

void Session::drop_frame(const pgwire::Frame& frame) { drop_left_ = frame.size; }

void Session::expect(Kind kind, Action action, StatementPointer statement, Insight::Use shape,
                     std::string name) {
  if (outstanding() == 0) query_since_ = statement_since_ = state_since_ = Clock::now();
  if (cached_) cached_->passed();
  unsynced_ =
      kind != Kind::query && kind != Kind::sync && kind != Kind::function && kind != Kind::set;
  expected_.push_back(
      {kind, action, std::move(statement), std::move(shape), copy_ended_, std::move(name)});
  if (expected_.back().prepares()) ++preparing_;
}

// A text that the server reads by other rules than effects_of() may leave anything, and what it seems to end it may not.
void Session::note(const Effects& effects) {
  reading_unsure_ = reading_unsure_ || effects.reading || effects.resets_all ||
                    (effects.pins & pin::kSetting) != 0;
  if (reads_texts_alike()) return leave(effects);
  Effects any = effects;
  any.pins |= pin::kSetting;
  any.unpins = 0;
  leave(any);
}

bool Session::reads_texts_alike() const {
  return server_reads_alike_ && !touched_.reads_otherwise &&
         (wanted_.empty() || reads_alike(wanted_));
}

void Session::leave(const Effects& effects) {
  if (!effects.any()) return;
  touched_.merge(effects);
  if (status_ != pgwire::Status::idle || outstanding() > 0)
    touched_.sets = touched_.sets || effects.resets_all;  // a ROLLBACK may take it back
  if (effects.pins != 0 && pins_ == 0) pinned_since_ = Clock::now();
  pins_ |= effects.pins;
  fresh_pins_ |= effects.pins;
  ends_pins_ = ends_pins_ || effects.unpins != 0 || effects.drops_statements;
  for (const Effects::Default& each : effects.defaults) {
    const auto begun = baseline_.find(each.name);
    if (begun != baseline_.end()) restores_.push_back({each.name, begun->second, each.local});
  }
  if (!effects.resets_all) return;
  for (const auto& [name, value] : baseline_) restores_.push_back({name, value, false});
}

// Statements and pins are ended, and settings reset, by an Execute, which may not come.
void Session::note_bound(std::string_view portal, const Effects& effects) {
  std::erase_if(bound_portals_, [portal](const Bound& each) { return each.portal == portal; });
  const bool drops = std::exchange(touched_.drops_statements, false);
  const std::uint16_t unpins = std::exchange(touched_.unpins, std::uint16_t{0});
  std::vector<Restore> restores = std::exchange(restores_, {});
  note(effects);
  Bound its{std::string(portal), std::exchange(touched_.drops_statements, drops),
            std::exchange(touched_.unpins, unpins), std::exchange(restores_, std::move(restores))};
  if (!its.drops && its.unpins == 0 && its.restores.empty()) return;
  if (bound_portals_.size() == kMostBound)
    end_by(std::exchange(bound_portals_.front(), std::move(its)));
  else
    bound_portals_.push_back(std::move(its));
}

void Session::end_by(const Bound& portal) {
  touched_.drops_statements = touched_.drops_statements || portal.drops;
  touched_.unpins |= portal.unpins;
  restores_.insert(restores_.end(), portal.restores.begin(), portal.restores.end());
}

// At an Execute. False: what it ends it ends with its own exchange and no earlier one, which is unanswered.
bool Session::end_by_execute(std::string_view body) {
  const std::string_view portal = pgwire::Reader(body).text();
  const auto its = std::ranges::find(bound_portals_, portal, &Bound::portal);
  if (its == bound_portals_.end()) return true;
  if (!copying_in_ && !is_alone()) return false;
  end_by(*its);
  bound_portals_.erase(its);
  return true;
}

// What has been set back to its default is set to what the client has begun with. A transaction that has failed takes it all back (and PostgreSQL 15 crashes there
// by a query that fails behind a portal that was bound); outside of one release() does it, but for who keeps the connection.
void Session::restore() {
  if (restores_.empty() || outstanding() > 0) return;
  const std::vector<Restore> restores = std::exchange(restores_, {});
  const bool several = std::exchange(restores_of_several_, false);
  const bool inside = status_ == pgwire::Status::transaction;
  if (!inside && (pins_ == 0 || status_ == pgwire::Status::failed)) return;
  expect(Kind::query, Action::swallow);
  expected_.back().may_fail = true;
  pgwire::append_query(to_server(),
                       inside && !several ? restored(restores) : restored_where_unset(restores));
  unnamed_.here = false;
}

// A message of the client. False: it stays where it is until more has come, or a server.
bool Session::take_frame(const pgwire::Frame& frame, std::string_view bytes) {
  if (refusing_) return take_refused(frame);
  if (frame.type == from::kTerminate) {
    // What was sent before it is the server's to do, but for a COPY, which waits for its data.
    if (server_ && !copying_in_ && (ready_ > 0 || !to_server_.empty())) return false;
    return client_said_bye_ = ended_ = true;
  }
  if (cached_) {
    const CachedReads::Look look = cached_->look();
    if (look != CachedReads::Look::pass) return look == CachedReads::Look::taken;
  }
  // With a body the server would answer a Flush, which nobody waits for, and then ignore whoever has the connection next.
  if ((frame.type == from::kSync || frame.type == from::kFlush) && frame.body() > 0) {
    fatal("08P01", "invalid message format");
    return false;
  }
  if (is_copy(frame.type) && outstanding() == 0) {  // of a COPY that has failed already
    drop_frame(frame);
    return true;
  }
  if (!server_ && frame.type == from::kSync) {
    drop_frame(frame);
    pgwire::append_ready(to_client(), status_);
    return true;
  }
  if (!server_ && frame.type == from::kFlush) {
    drop_frame(frame);
    return true;
  }
  const bool whole = bytes.size() >= frame.size;
  const bool large = frame.size > kInspected;
  // A Bind is passed on while it comes, once its names are there.
  const bool enough =
      whole || is_copy(frame.type) ||
      (frame.type == from::kBind ? bytes.size() >= pgwire::kHeader + 2 * kLongestName : large);
  if (!enough) return false;
  const std::string_view body =
      bytes.substr(pgwire::kHeader, whole ? frame.body() : std::string_view::npos);
  if (frame.type == from::kQuery && whole &&
      take_own_setting(frame, body.substr(0, body.find('\0'))))
    return true;
  // Whose read it is decides which replica may run it.
  if (whole && (frame.type == from::kQuery || frame.type == from::kParse)) tie(frame, body);
  if (!server_) {
    wants_replica_ = resume_.empty() && fits_replica(frame, body) && look_at_page(frame, body);
    wants_server_ = true;
    return false;
  }
  if (reads_on_replica() && !discarding_ &&
      (!fits_replica(frame, body) || !has_what_it_needs(frame, body))) {
    if (status_ != pgwire::Status::idle) return leave_transaction();
    if (attempt_->begins || (unsynced_ && attempt_->to_execute > 0)) return leave_exchange();
    leave_replica();
    return false;
  }
  if (discarding_ && frame.type != from::kSync) {
    pass_frame(frame);
    return true;
  }
  switch (frame.type) {
    case from::kQuery: return take_query(frame, body, whole);
    case from::kParse: return take_parse(frame, whole ? body : std::string_view());
    case from::kBind: return take_bind(frame, bytes);
    case from::kDescribe:
    case from::kClose: return take_target(frame, whole ? body : std::string_view());
    case from::kExecute:
      if (!bound_portals_.empty() && !end_by_execute(body)) return false;
      if (attempt_) executed(body);
      expect(Kind::execute, Action::pass, {}, bound_ ? Insight::Use(*bound_) : Insight::Use());
      break;
    case from::kFunctionCall:
      if (cached_) cached_->sent(std::nullopt);
      note_write({.its_class = Class::opaque});
      if (!calls_large_object(body)) note({.sets = true, .pins = pin::kSetting});
      expect(Kind::function);
      break;
    case from::kSync:
      discarding_ = false;
      if (attempt_) attempt_->to_execute = 0;
      if (!copying_in_) expect(Kind::sync);  // a server that takes in a COPY ignores it
      if (std::exchange(ends_pins_, false) || !restores_.empty() ||
          (attempt_ && (attempt_->begins || attempt_->ends_failed)))
        one_by_one_ = true;
      break;
    case from::kCopyDone:
    case from::kCopyFail:
      copy_ended_ = !copying_in_;
      copying_in_ = false;
      break;
    case from::kFlush:
      if (attempt_ && attempt_->begins) return leave_exchange();
      if (attempt_) attempt_->flush = true;
      break;
    case from::kCopyData: break;
    default:
      fatal("08P01", fmt::format("invalid message type {}", static_cast<int>(frame.type)));
      return false;
  }
  pass_frame(frame);
  return true;
}

// After an error of ours: what belongs to the same exchange is ignored, as a server would.
bool Session::take_refused(const pgwire::Frame& frame) {
  if (frame.type == from::kTerminate) return client_said_bye_ = ended_ = true;
  decision_.reset();
  const bool alone = frame.type == from::kQuery || frame.type == from::kFunctionCall;
  if (frame.type == from::kSync || (alone && !refusing_exchange_)) {
    refusing_ = refusing_exchange_ = false;
    pgwire::append_ready(to_client(), status_);
  } else if (frame.type != from::kFlush) {
    refusing_exchange_ = true;
  }
  drop_frame(frame);
  return true;
}

bool Session::take_query(const pgwire::Frame& frame, std::string_view body, bool whole) {
  std::string_view query = body.substr(0, body.find('\0'));
  if (whole) query = without_comment(query);
  // What is remembered of its form says that it leaves nothing behind, or it is looked at.
  if (whole && cached_ && !decision_) decision_ = cached_->decision();
  const DecisionPointer decision = decision_of(frame, whole ? body : std::string_view());
  const bool known = decision->fingerprint != 0;
  const bool nothing = known && decision->leaves_nothing && !hides_names(query);
  const Effects effects = nothing ? Effects() : effects_of(query);
  if (waits_for_turn(effects)) return false;
  const StatementPointer* deallocated =
      whole && !effects.deallocates.empty() ? statements_.find(effects.deallocates) : nullptr;
  if (deallocated != nullptr) {
    // Its name on servers is another one; in a transaction that has failed the server says so.
    // As any Query it ends what has no Sync yet.
    if (unsynced_) end_exchange();
    if (outstanding() > 0) return false;
    if (status_ == pgwire::Status::failed) {
      decision_.reset();
      expect(Kind::query);
      pass_frame(frame);
      return true;
    }
    drop_frame(frame);
    decision_.reset();
    expect(Kind::query, Action::local, *deallocated, {}, effects.deallocates);
    name_statement(effects.deallocates, nullptr);
    unnamed_.has = unnamed_.here = false;
    answer_locals();
    return true;
  }
  if (attempt_) attempt_->text = query;
  if (cached_) cached_->sent(whole ? std::optional(query) : std::nullopt);
  if (begins_an_exchange() && !cluster().alone() && runs_again(*decision)) watch(true);
  Insight::Use shape = shape_for(known ? decision->fingerprint : fingerprint_of(query), query);
  take_sample(shape, decision.get(), whole ? query : std::string_view(), {}, {});
  if (decision->begins && reads_on_replica()) {
    one_by_one_ = true;
    begin_ = query;
  }
  // Until the failed transaction has ended, what comes behind cannot be told from what is only refused in it.
  if (decision->ends && reads_on_replica() && status_ == pgwire::Status::failed) one_by_one_ = true;
  note_write(*decision);
  decision_.reset();
  if (!whole) note({.sets = true});  // what lies further back
  note(effects);
  restores_of_several_ = !restores_.empty() && (!whole || decision->statements != 1);
  std::unique_ptr<Unnamed> before = unnamed_before();
  unnamed_.has = unnamed_.here = false;
  // What is sent behind it must not be taken for what it ends.
  if (std::exchange(ends_pins_, false) || !restores_.empty()) one_by_one_ = true;
  expect(Kind::query, Action::pass, {}, std::move(shape));
  expected_.back().unnamed = std::move(before);
  if (whole && query.size() + 1 != body.size()) {  // without the comment that tied it
    pgwire::append_query(to_server(), std::string(query));
    in_.consume(frame.size);
    return true;
  }
  pass_frame(frame);
  return true;
}

// Null: it is no more.
void Session::name_statement(const std::string& name, const StatementPointer& statement) {
  const StatementPointer before = statements_.put(name, statement);
  if (attempt_ && attempt_->whole)
    attempt_->changes.push_back({attempt_->sent.size(), name, before, {}});
}

// Answered here: it stays on the server, for others and for later.
bool Session::close_statement(std::string_view name) {
  const StatementPointer* known = statements_.find(name);
  expect(Kind::close, Action::local, known == nullptr ? nullptr : *known, {}, std::string(name));
  if (known != nullptr) name_statement(std::string(name), nullptr);
  answer_locals();
  return true;
}

// What an error keeps the server from doing: from expected_[from] to the Sync, the last first.
void Session::undo_names(std::size_t from) {
  std::size_t end = from;
  while (end < expected_.size() && expected_[end].kind != Kind::sync) ++end;
  const std::size_t sync = end;
  while (end-- > from) {
    Expected& each = expected_[end];
    if (each.unnamed && end > from)
      restore_unnamed(sync, std::move(*each.unnamed));
    else if (each.of_unnamed && each.action == Action::swallow)
      unnamed_.here = false;
    else if (each.of_unnamed)
      restore_unnamed(sync, {.here = true});
    if (each.name.empty() || !each.statement) continue;
    const StatementPointer* now = statements_.find(each.name);
    if (each.kind != Kind::parse && now == nullptr) statements_.put(each.name, each.statement);
    if (each.kind == Kind::parse && now != nullptr && *now == each.statement)
      statements_.put(each.name, nullptr);
  }
}

// Whether an earlier exchange has made or ended it: what that comes to is not known before it is answered.
bool Session::undecided(std::string_view name, const StatementPointer& statement) const {
  if (preparing_ == 0 || copying_in_) return false;
  bool earlier = false;
  for (std::size_t at = expected_.size(); at-- > first_;) {
    if (expected_[at].concerns(name, statement)) return earlier;
    earlier = earlier || expected_[at].ends_by_ready();
  }
  return false;
}

// All that was sent before the exchange at hand is answered.
bool Session::is_alone() const {
  return std::none_of(expected_.begin() + static_cast<std::ptrdiff_t>(first_), expected_.end(),
                      std::mem_fn(&Expected::ends_by_ready));
}

// To be kept with what changes it, as an error of what comes before that in the same exchange would.
std::unique_ptr<Unnamed> Session::unnamed_before() {
  if (!unsynced_) return nullptr;
  if (attempt_ && attempt_->whole)
    attempt_->changes.push_back(
        {attempt_->sent.size(), {}, {}, std::make_unique<Unnamed>(unnamed_)});
  return std::make_unique<Unnamed>(std::move(unnamed_));
}

// What the exchange that ends at `sync` would have changed is as it was: that is what the client has now, or had when it sent what has changed it again.
void Session::restore_unnamed(std::size_t sync, Unnamed before) {
  const auto next = std::find_if(expected_.begin() + static_cast<std::ptrdiff_t>(sync),
                                 expected_.end(), std::mem_fn(&Expected::changes_unnamed));
  if (next == expected_.end())
    unnamed_ = std::move(before);
  else if (next->unnamed)
    *next->unnamed = std::move(before);
}

// What ends statements and pins ends them with its own exchange, and no earlier one.
bool Session::waits_for_turn(const Effects& effects) const {
  if (!effects.deallocates.empty() && undecided(effects.deallocates)) return true;
  if ((effects.unpins == 0 && !effects.drops_statements) || copying_in_) return false;
  return !is_alone();
}

bool Session::fits_budget(const StatementPointer& statement) {
  const SqlOptions& o = room_.options();
  if (statements_.size() >= o.max_prepared) {
    refuse_statement("number", fmt::format("more than {} prepared statements (sql.max_prepared)",
                                           o.max_prepared));
  } else if (!statement) {
    refuse_statement("all", fmt::format("the prepared statements of all clients take more than {} "
                                        "(sql.max_prepared_memory)",
                                        to_string(o.max_prepared_memory)));
  } else if (statements_.bytes() + statement->bytes() > o.max_prepared_bytes.count) {
    refuse_statement("client", fmt::format("the prepared statements of this client take more than "
                                           "{} (sql.max_prepared_bytes)",
                                           to_string(o.max_prepared_bytes)));
  } else {
    return true;
  }
  return false;
}

// The server itself raises the error, so that it comes at its place, and the transaction and what follows are as after any other.
void Session::refuse_statement(std::string_view limit, std::string message) {
  part_.unprepared.at(limit)->add();
  const std::string text = fmt::format(
      "DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53400'', MESSAGE = ''{}''; END'", message);
  expect(Kind::parse, Action::swallow);
  expect(Kind::bind, Action::swallow);
  expect(Kind::execute);
  std::string& out = to_server();
  pgwire::append_parse(out, "", text, std::string_view("\0\0", 2));
  pgwire::Message(out, from::kBind).text("").text("").u16(0).u16(0).u16(0);
  pgwire::Message(out, from::kExecute).text("").u32(0);
  unnamed_.here = false;
}

bool Session::take_parse(const pgwire::Frame& frame, std::string_view body) {
  if (body.empty()) {  // too long to be kept: the connection is
    note({.sets = true, .pins = pin::kLarge});
    if (cached_) cached_->sent(std::nullopt);
    note_write({.its_class = Class::opaque});
    unnamed_.has = false;
    unnamed_.here = true;  // if it has no name, it is there from now on
    expect(Kind::parse);
    pass_frame(frame);
    return true;
  }
  const auto parse = pgwire::parse_parse(body);
  if (!parse) {
    fatal("08P01", "malformed Parse message");
    return false;
  }
  const std::string_view query = without_comment(parse->query);
  if (parse->name.empty()) {
    if (cached_ && !decision_) decision_ = cached_->decision();
    std::unique_ptr<Unnamed> before = unnamed_before();
    unnamed_.decision = decision_of(frame, body);
    unnamed_.query = query;
    unnamed_.types = parse->types;
    const bool known = unnamed_.decision->fingerprint != 0;
    unnamed_.fingerprint = known ? unnamed_.decision->fingerprint : fingerprint_of(query);
    const bool nothing = known && unnamed_.decision->leaves_nothing && !hides_names(query);
    unnamed_.effects = nothing ? Effects() : effects_of(query);
    unnamed_.has = unnamed_.here = true;
    if (!reads_texts_alike()) note({});
    if (begins_an_exchange() && !cluster().alone() && runs_again(*unnamed_.decision)) watch(true);
    decision_.reset();
    expect(Kind::parse);
    expected_.back().of_unnamed = true;
    expected_.back().unnamed = std::move(before);
    if (query.size() == parse->query.size()) {
      pass_frame(frame);
    } else {
      pgwire::append_parse(to_server(), "", unnamed_.query, unnamed_.types);
      in_.consume(frame.size);
    }
    return true;
  }
  if (undecided(parse->name)) return false;
  if (const StatementPointer* known = statements_.find(parse->name)) {
    decision_.reset();
    // The server says what it thinks of a name that is there already.
    StatementPointer there = *known;
    if (undecided(parse->name, there)) return false;
    there = ensure_prepared(std::move(there));
    expect(Kind::parse);
    pgwire::append_parse(to_server(), there->name, parse->query, parse->types);
    in_.consume(frame.size);
    return true;
  }
  if (!reads_texts_alike()) note({});  // what it leaves is read now, and noted when it runs
  const StatementPointer statement = room_.statements.intern(query, parse->types, reading());
  if (statement && undecided(parse->name, statement)) return false;
  if (!fits_budget(statement)) {
    decision_.reset();
    in_.consume(frame.size);
    return true;
  }
  if (begins_an_exchange() && !cluster().alone() && runs_again(*statement->decision)) watch(true);
  if (!cluster().alone() && decision_of(frame, body)->refused) statement->refused.store(true);
  decision_.reset();
  const std::string its_name(parse->name);
  name_statement(its_name, statement);
  if (!server_->prepared.use(statement->id)) {
    expect(Kind::parse, Action::pass, statement, {}, its_name);
    pgwire::append_parse(to_server(), statement->name, statement->query, statement->types);
    server_->prepared.add(statement->id);
  } else if (status_ != pgwire::Status::failed && is_alone()) {
    expect(Kind::parse, Action::local, statement, {}, its_name);
  } else {  // the transaction may have failed: the server says
    expect(Kind::parse, Action::pass, statement, {}, its_name);
    expected_.back().there = true;
    unnamed_.here = false;
    pgwire::append_parse(to_server(), "", statement->query, statement->types);
  }
  (void)to_server();
  in_.consume(frame.size);
  answer_locals();
  return true;
}

// By which settings a text that is parsed now is read.
std::string Session::reading() {
  if (!reading_unsure_ && (pins_ & pin::kSetting) == 0) return reading_;
  return fmt::format("{} {}", pid_, ++readings_);
}

// On this server connection, under our name, before what needs it. Where other settings are in force than those that it was first read by it is another one:
// nobody else's statement is to be read by them.
StatementPointer Session::ensure_prepared(StatementPointer statement) {
  if (server_->prepared.use(statement->id)) return statement;
  if (std::string now = reading(); now != statement->read_by) {
    auto fresh = room_.statements.intern(statement->query, statement->types, now);
    if (!fresh) fresh = room_.statements.renew(statement);
    statements_.replace(statement, fresh);
    statement = std::move(fresh);
    if (server_->prepared.use(statement->id)) return statement;
  }
  if (server_->prepared.size() >= postgres::kMostPrepared) {
    const std::uint64_t oldest = server_->prepared.oldest();
    server_->prepared.remove(oldest);
    expect(Kind::close, Action::swallow);
    const std::string name = room_.statements.name_of(oldest);
    pgwire::append_target(to_server(), from::kClose, {'S', name});
  }
  expect(Kind::parse, Action::swallow, statement);
  pgwire::append_parse(to_server(), statement->name, statement->query, statement->types);
  server_->prepared.add(statement->id);
  return statement;
}

// The statement without a name lives as long as the session, and so on each connection that the client comes to; and nobody finds another's there.
void Session::ensure_unnamed() {
  if (std::exchange(unnamed_.here, true)) return;
  expect(unnamed_.has ? Kind::parse : Kind::close, Action::swallow);
  expected_.back().of_unnamed = true;
  if (unnamed_.has)
    pgwire::append_parse(to_server(), "", unnamed_.query, unnamed_.types);
  else
    pgwire::append_target(to_server(), from::kClose, {'S', ""});
}

bool Session::take_bind(const pgwire::Frame& frame, std::string_view bytes) {
  const std::string_view head = bytes.substr(
      pgwire::kHeader, std::min<std::uint64_t>(frame.body(), bytes.size() - pgwire::kHeader));
  pgwire::Reader in(head.substr(0, 2 * kLongestName));
  const std::string_view portal = in.text();
  const std::string_view name = in.text();
  if (in.failed()) {
    fatal("08P01", "malformed Bind message");
    return false;
  }
  const StatementPointer* known = name.empty() ? nullptr : statements_.find(name);
  if (undecided(name, known == nullptr ? nullptr : *known)) return false;
  if (waits_for_turn(known != nullptr ? (*known)->effects : unnamed_.effects)) return false;
  if (known == nullptr) {
    if (name.empty()) {
      if (begins_an_exchange() && !cluster().alone() && unnamed_.has && unnamed_.decision &&
          runs_again(*unnamed_.decision))
        watch(true);
      ensure_unnamed();
      note_bound(portal, unnamed_.effects);
      if (cached_)
        cached_->sent(unnamed_.has ? std::optional<std::string_view>(unnamed_.query)
                                   : std::nullopt);
      if (unnamed_.has && unnamed_.decision) note_write(*unnamed_.decision);
      if (unnamed_.has && unnamed_.decision) begin_by_bind(*unnamed_.decision, unnamed_.query);
      if (attempt_) attempt_->text = unnamed_.query;
      bound_ = unnamed_.has ? shape_for(unnamed_.fingerprint, unnamed_.query) : Insight::Use();
      take_sample(bound_, unnamed_.decision.get(), unnamed_.query, unnamed_.types,
                  bind_values(frame, bytes));
    }
    opened();
    expect(Kind::bind);
    pass_frame(frame);
    return true;
  }
  StatementPointer statement = *known;
  if (!cluster().alone())
    note_write(*statement->decision, statement->refused.load() ? Refused::yes : Refused::no);
  if (pins_ == 0 && begins_an_exchange())
    watch(!cluster().alone() && !statement->refused.load() && runs_again(*statement->decision));
  if (attempt_) attempt_->statement = statement;
  opened();
  begin_by_bind(*statement->decision, statement->query);
  decision_.reset();
  const std::string its_portal(portal);
  const std::size_t names = portal.size() + name.size() + 2;
  note_bound(its_portal, statement->effects);
  if (cached_) cached_->sent(statement->query);
  bound_ = shape_for(statement->fingerprint, statement->query);
  take_sample(bound_, statement->decision.get(), statement->query, statement->types,
              bind_values(frame, bytes));
  statement = ensure_prepared(std::move(statement));
  expect(Kind::bind);
  expected_.back().by_our_name = true;
  std::string& out = to_server();
  out.push_back(from::kBind);
  const std::uint64_t length =
      frame.size - 1 - names + its_portal.size() + statement->name.size() + 2;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  out.append(its_portal).push_back('\0');
  out.append(statement->name).push_back('\0');
  in_.consume(pgwire::kHeader + names);
  in_left_ = frame.size - pgwire::kHeader - names;
  return true;
}

// A portal.
void Session::opened() {
  if (!attempt_) return;
  attempt_->bound = true;
  ++attempt_->to_execute;
}

// An Execute, of all its rows or of some.
void Session::executed(std::string_view body) {
  pgwire::Reader in(body);
  (void)in.text();
  if (in.u32() == 0 && attempt_->to_execute > 0) --attempt_->to_execute;
}

// Once it is executed, what comes next is of a transaction.
void Session::begin_by_bind(const Decision& decision, std::string_view text) {
  if (reads_on_replica() && decision.ends && status_ == pgwire::Status::failed)
    attempt_->ends_failed = true;
  if (!decision.begins || !reads_on_replica()) return;
  attempt_->begins = true;
  begin_ = text;
}

// Describe and Close.
bool Session::take_target(const pgwire::Frame& frame, std::string_view body) {
  const auto target = pgwire::parse_target(body);
  if (!target) {
    fatal("08P01", "malformed Describe or Close message");
    return false;
  }
  const bool closes = frame.type == from::kClose;
  const Kind kind = closes ? Kind::close : Kind::describe;
  if (target->kind == 'P' || target->name.empty()) {
    if (target->kind == 'S' && undecided("")) return false;
    if (target->kind == 'S' && !closes) ensure_unnamed();
    std::unique_ptr<Unnamed> before;
    const bool ends = target->kind == 'S' && closes;
    if (ends) before = unnamed_before();
    expect(kind);
    expected_.back().of_unnamed = ends;
    expected_.back().unnamed = std::move(before);
    if (ends) unnamed_.has = false;
    if (ends) unnamed_.here = true;
    pass_frame(frame);
    return true;
  }
  const StatementPointer* known = statements_.find(target->name);
  if (undecided(target->name, known == nullptr ? nullptr : *known)) return false;
  if (closes && known == nullptr && (pins_ & pin::kLarge) != 0) {  // the server has it by this name
    expect(kind);
    pass_frame(frame);
    return true;
  }
  if (closes) {
    const std::string name(target->name);
    (void)to_server();
    in_.consume(frame.size);
    return close_statement(name);
  }
  if (known == nullptr) {
    expect(kind);
    pass_frame(frame);
    return true;
  }
  StatementPointer statement = *known;
  statement = ensure_prepared(std::move(statement));
  expect(kind);
  expected_.back().by_our_name = true;
  pgwire::append_target(to_server(), from::kDescribe, {'S', statement->name});
  in_.consume(frame.size);
  return true;
}

}  // namespace headroom::sql
