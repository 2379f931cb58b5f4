// Whose request a query belongs to, what its session has written, and what it must see: read-your-writes.
#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/sql/comment.h"
#include "headroom/sql/session.h"

namespace headroom::sql {
namespace {

constexpr Duration kAnswer = 1s;
constexpr std::string_view kSessionSetting = "headroom.session";

}  // namespace

// A traceparent in a trailing comment ties the exchange, or the transaction that it begins, to its request; before a server is taken for it.
void Session::tie(const pgwire::Frame& frame, std::string_view body) {
  std::string_view query = body.substr(0, body.find('\0'));
  if (frame.type == pgwire::from_client::kParse) {
    const auto parse = pgwire::parse_parse(body);
    if (!parse) return;
    query = parse->query;
  }
  const TrailingComment found = cut_comment(query);
  const auto context = link::parse_trace_context(found.traceparent);
  if (!context) return;
  request_ = room_.link.requests.find(context->trace, Clock::now());
  follow_trace(*context);
  tie_ = begins_transaction(found.text) || status_ != pgwire::Status::idle ? Tie::transaction
                                                                           : Tie::exchange;
}

void Session::untie() {
  request_.reset();
  traced_.reset();
  tie_ = Tie::none;
}

// SET headroom.session and headroom.traceparent are for the proxy: answered here, and never sent on.
bool Session::take_own_setting(const pgwire::Frame& frame, std::string_view query) {
  const auto setting = own_setting(query);
  if (!setting) return false;
  if (setting->name == "session") {
    session_name_ = setting->value.substr(0, link::Positions::kLongestId - 2);
  } else {
    const auto context = link::parse_trace_context(setting->value);
    request_ = context ? room_.link.requests.find(context->trace, Clock::now()) : nullptr;
    follow_trace(context.value_or(link::TraceContext{}));
    tie_ = !request_ && !traced_ ? Tie::none : setting->local ? Tie::transaction : Tie::session;
  }
  if (ready_ > 0) (void)to_server();
  drop_frame(frame);
  expect(Expected::Kind::set, Expected::Action::local);
  answer_locals();
  return true;
}

// Where "s:" is the app's own name for a session and what has none is a browser's.
std::vector<std::string> Session::names() const {
  std::vector<std::string> all;
  const auto set = wanted_.find(kSessionSetting);
  const std::string& own =
      !session_name_.empty() || set == wanted_.end() ? session_name_ : set->second;
  if (!own.empty()) all.push_back("s:" + own);
  if (request_ && !request_->session.empty()) all.push_back(request_->session);
  return all;
}

// Before it is sent: from now on this session's reads are for the primary, until it is known how far the log has come with it.
void Session::note_write(const Decision& decision, Refused refused) {
  if (attempt_ && attempt_->reads) attempt_->reads = runs_again(decision);
  const bool more = stays_with_primary_ || refused == Refused::yes;
  if (cluster().alone() || reads_on_replica() || (only_reads(decision) && !more)) return;
  if ((decision.its_class == Class::session || decision.its_class == Class::transaction) &&
      decision.functions.empty())
    return;
  wrote_ = true;
  changed_schema_ = changed_schema_ || decision.its_class >= Class::schema;
  for (std::string& name : names()) {
    if (std::ranges::find(writes_for_, name) != writes_for_.end()) continue;
    room_.link.positions.begin(name, Clock::now());
    writes_for_.push_back(std::move(name));
  }
}

// Nothing: nobody knows where, or whether.
void Session::wrote_until(const std::optional<link::Position>& position) {
  if (!wrote_ && writes_for_.empty()) return;
  const TimePoint now = Clock::now();
  for (const std::string& name : writes_for_) room_.link.positions.end(name, position, now);
  writes_for_.clear();
  if (position) link::take_later(position_, *position);
  if (position) cluster().wrote(*position);
  position_unknown_until_ =
      position ? TimePoint()
               : now + link::Positions::kKept;  // a later one has passed what was not known
  wrote_ = false;
  if (std::exchange(changed_schema_, false)) cluster().schema_changed();
}

// Asked on the connection that has committed it, before that is another client's.
net::Task<> Session::ask_position() {
  auto rows = co_await ask_own(
      "SET LOCAL statement_timeout = 0; SELECT pg_catalog.pg_current_wal_insert_lsn()", kAnswer);
  std::optional<link::Position> position;
  if (rows && rows->size() == 1 && (*rows)[0].size() == 1 && (*rows)[0][0])
    position = cluster().position(server_at_, *(*rows)[0][0]);
  if (!rows) {
    log::warn("sql",
              "{}/{}: the log's position after a write is not known, its session stays with the "
              "primary for a minute: {}",
              account_->database().name, user_, rows.error().message);
    dirty_ = true;
  }
  wrote_until(position);
}

// The position that a replica must have replayed.
std::optional<link::Position> Session::needed() {
  const TimePoint now = Clock::now();
  if (now < position_unknown_until_) return std::nullopt;
  link::Position needs = position_;
  for (const std::string& name : names()) {
    const link::Positions::Needs its = room_.link.positions.needs(name, cluster().system(), now);
    if (its.pending) return std::nullopt;
    link::take_later(needs, its.position);
  }
  // After a fail-over what was written is in the new history as far as that reaches now, or nowhere.
  const link::Position head = cluster().head();
  if (needs && head && needs.timeline < head.timeline) needs = position_ = head;
  return needs;
}

}  // namespace headroom::sql
