#include "headroom/sql/cached_reads.h"

#include <algorithm>

#include "headroom/sql/comment.h"
#include "headroom/sql/lexer.h"

namespace headroom::sql {
namespace {

namespace from_client = pgwire::from_client;
namespace from_server = pgwire::from_server;

constexpr std::size_t kLongestRequest = 256U << 10U;
constexpr std::size_t kMostUnread = 64U << 10U;  // of answers that the client has not taken
constexpr Duration kLongestWait = 10s;
constexpr Duration kLook = 100ms;  // at the client, while it waits
constexpr unsigned kMostAgain = 3;
constexpr Duration kReplicasHear = 10s;  // of ALTER ROLE, or they are taken out

// The body of the frame that begins at `at`, if it is whole and of this type; moves behind it.
std::optional<std::string_view> take(std::string_view bytes, std::size_t& at, char type) {
  pgwire::Frame frame;
  const std::string_view left = bytes.substr(at);
  if (pgwire::find_frame(left, frame) != pgwire::Found::frame || frame.type != type ||
      frame.size > kLongestRequest || left.size() < frame.size)
    return std::nullopt;
  at += frame.size;
  return left.substr(pgwire::kHeader, frame.body());
}

// Whether a value of a Bind, read as text, means the time at which it is read: behind the formats and their count.
bool any_means_now(std::string_view values) {
  pgwire::Reader in(values);
  (void)in.bytes(2U * in.u16());
  for (unsigned left = in.u16(); left > 0 && !in.failed(); --left) {
    const std::uint32_t size = in.u32();
    if (size != 0xffffffff && means_now(in.bytes(size))) return true;
  }
  return in.failed();
}

}  // namespace

bool CachedReads::in_transaction() const { return s_.status_ != pgwire::Status::idle; }

bool CachedReads::may_be_cached() const {
  if (!in_transaction()) return true;
  return calm_ && s_.status_ == pgwire::Status::transaction && begins().reads_committed &&
         !s_.wanted_.contains("default_transaction_isolation");
}

const CachedReads::Begins& CachedReads::begins() const {
  const std::uint64_t version = stream_.version();
  if (version != 0 && begins_.version == version) return begins_;
  const CataloguePointer catalogue = stream_.catalogue();
  const auto value = [&](const char* name) {
    return catalogue ? catalogue->begins_with(s_.user_, name) : nullptr;
  };
  const std::string* path = value("search_path");
  const std::string* isolation = value("default_transaction_isolation");
  const TimePoint since = catalogue ? catalogue->begin_alike_since(s_.user_) : TimePoint{};
  begins_ = {.version = catalogue ? catalogue->version() : 0,
             .path = path != nullptr ? *path : s_.account_->path(),
             .known = path != nullptr || since == TimePoint{},
             .reads_committed = isolation != nullptr ? *isolation == "read committed"
                                                     : s_.account_->reads_committed(),
             .since = since};
  return begins_;
}

// A replica hears of it later.
bool CachedReads::began_otherwise() const {
  const Begins& its = begins();
  if (!its.known) return true;
  if (!s_.server_ || its.since == TimePoint{}) return false;
  return s_.server_->born <= its.since + (s_.reads_on_replica() ? kReplicasHear : 0s);
}

Asker CachedReads::asker() const {
  return {s_.account_->database(), s_.user_, s_.wanted_, begins().path, s_.server_reads_alike_};
}

// A Query; or Bind, Describe of the portal, Execute of all its rows and Sync, perhaps with the Parse of a statement without a name before them.
std::optional<CachedReads::Request> CachedReads::find_request() const {
  const std::string_view bytes = s_.in_.data();
  Request made;
  const auto cut = [&made](std::string_view text) {
    const TrailingComment found = cut_comment(text);
    made.text = found.text;
    made.traceparent = found.traceparent;
  };
  std::size_t at = 0;
  if (const auto query = take(bytes, at, from_client::kQuery)) {
    if (query->empty() || query->find('\0') != query->size() - 1) return std::nullopt;
    made.simple = true;
    cut(query->substr(0, query->size() - 1));
    made.size = at;
    return made;
  }
  if (const auto body = take(bytes, at, from_client::kParse)) {
    const auto parse = pgwire::parse_parse(*body);
    if (!parse || !parse->name.empty()) return std::nullopt;
    made.parses = true;
    cut(parse->query);
    made.types = parse->types;
  }
  const auto bound = take(bytes, at, from_client::kBind);
  const auto bind = bound ? pgwire::parse_bind(*bound) : std::nullopt;
  if (!bind || !bind->portal.empty()) return std::nullopt;
  if (bind->statement.empty() && !made.parses) {
    if (!s_.unnamed_.has) return std::nullopt;
    made.text = s_.unnamed_.query;
    made.types = s_.unnamed_.types;
  } else if (!bind->statement.empty()) {
    const StatementPointer* known = s_.statements_.find(bind->statement);
    if (known == nullptr || made.parses) return std::nullopt;
    made.text = (*known)->query;
    made.types = (*known)->types;
  }
  made.values = bind->rest;
  if (const auto described = take(bytes, at, from_client::kDescribe)) {
    if (*described != std::string_view("P\0", 2)) return std::nullopt;
    made.describes = true;
  }
  const auto executed = take(bytes, at, from_client::kExecute);
  if (!executed || *executed != std::string_view("\0\0\0\0\0", 5)) return std::nullopt;
  const auto synced = take(bytes, at, from_client::kSync);
  if (!synced || !synced->empty()) return std::nullopt;
  made.size = at;
  return made;
}

KnownPlanPointer CachedReads::plan_of(std::string_view text) {
  return results_.plan(s_.worker().index(), s_.part_.classifier, stream_, asker(), text);
}

CachedReads::Look CachedReads::look() {
  if (ticket_) return Look::later;
  if (!asked_ && s_.outstanding() == 0) planned_ = false;
  if (asked_ || fill_ || s_.outstanding() > 0 || !may_be_cached() || s_.pins_ != 0 ||
      s_.ready_ > 0 || !s_.to_server_.empty() || s_.touched_.any() || s_.attempt_ ||
      began_otherwise())
    return Look::pass;
  if (s_.to_client_.size() + s_.back_ready_ > kMostUnread) return Look::later;
  const auto request = find_request();
  if (!request) return Look::pass;
  asked_ = true;
  return look_up(*request);
}

CachedReads::Look CachedReads::look_up(const Request& request) {
  std::optional<Waited> waited = std::exchange(waited_, {});
  const std::size_t worker = s_.worker().index();
  const TimePoint now = Clock::now();
  const Asker asks = asker();
  plan_ = results_.plan(worker, s_.part_.classifier, stream_, asks, request.text);
  planned_ = true;
  planned_by_ = begins().version;
  shape_ = s_.shape_for(plan_->fingerprint, request.text);
  counts_ = &results_.counts(worker, asks, *plan_, request.text);
  const Plan& plan = plan_->plan;
  if (!plan.cacheable) return pass_by(plan.refusal, plan.why_not);
  if (!request.simple && any_means_now(request.values))
    return pass_by(Refusal::time, "a value means the time ('today')");
  if (counts_->is_one && counts_->worth.rests(stream_.drops_of(plan.reads), now))
    return pass_by(Refusal::too_often, "its tables are written too often for it to pay");
  if (!results_.usable(stream_, now))
    return pass_by(Refusal::stream, "the stream of changes is not current");
  constexpr std::string_view kEnd("\0", 1);
  const std::string& key = request.simple
                               ? results_.key(worker, asks, {"Q", request.text})
                               : results_.key(worker, asks,
                                              {request.describes ? "D" : "E", request.text, kEnd,
                                               request.types, request.values});
  if (waited && waited->key == key) return take_found(request, std::move(waited->found), now);
  counts_->worth.looked_up();
  cache::Found found = results_.cache().lookup(
      worker,
      {.space = cache::Space::sql, .key = key, .now = now, .refresh = cache::Refresh::when_stale});
  if (found.answer == cache::Answer::join) key_ = key;
  return take_found(request, std::move(found), now);
}

// To the database, with the reason for people.
CachedReads::Look CachedReads::pass_by(Refusal reason, std::string_view why) {
  const bool may_be_kept = plan_->plan.cacheable && reason != Refusal::time;
  const CacheEvent event = may_be_kept ? CacheEvent::passed_by : CacheEvent::refused;
  counts_->note(event, why);
  stream_.counts().note(s_.worker().index(), event, reason);
  return Look::pass;
}

CachedReads::Look CachedReads::take_found(const Request& request, cache::Found found,
                                          TimePoint now) {
  const std::size_t worker = s_.worker().index();
  switch (found.answer) {
    case cache::Answer::fresh:
    case cache::Answer::stale:
      counts_->note(CacheEvent::hit, {});
      counts_->worth.hit();
      stream_.counts().note(worker, CacheEvent::hit);
      answer(request, found.object, now);
      return Look::taken;
    case cache::Answer::fill:
      counts_->note(CacheEvent::miss, {});
      stream_.counts().note(worker, CacheEvent::miss);
      fill_.emplace(Fill{.lease = std::move(found.lease),
                         .plan = planned_by_ == plan_->catalogue ? plan_ : nullptr,
                         .counts = counts_,
                         .began = now});
      return Look::pass;
    case cache::Answer::join:
      ticket_ = std::move(found.ticket);
      asked_ = false;
      return Look::later;
    case cache::Answer::again:
      if (++again_ > kMostAgain) break;
      return look_up(request);
    case cache::Answer::bypass:
    case cache::Answer::overloaded: break;
  }
  return pass_by(Refusal::busy, found.answer == cache::Answer::overloaded
                                    ? "too many wait for it"
                                    : "its result was not kept");
}

net::Task<> CachedReads::wait() {
  cache::Ticket ticket = std::move(ticket_);
  const TimePoint deadline = Clock::now() + kLongestWait;
  s_.cancelled_ = false;
  s_.waiting_ = true;
  s_.state_since_ = Clock::now();
  std::optional<cache::Found> brought;
  bool goes = false;
  while (!brought && !goes) {
    auto found = co_await ticket.wait(s_.part_.group, Clock::now() + kLook);
    if (found) brought = std::move(*found);
    goes = s_.ended_ || s_.client_gone();
    if (!found && (found.error().code != Errc::timeout || Clock::now() >= deadline)) break;
    if (s_.cancelled_) break;
  }
  s_.waiting_ = false;
  // In a transaction its server goes on: there a cancel request comes too early to be of use.
  const bool cancelled = std::exchange(s_.cancelled_, false) && !in_transaction();
  if (goes || !brought || cancelled)
    asked_ = true;  // by itself, if at all
  else
    waited_ = {.key = key_, .found = std::move(*brought)};
  if (cancelled && !goes)
    s_.unserved({Errc::cancelled, "canceling statement due to user request"},
                {.sqlstate = "57014"});
}

// As the server would: with the answers to Parse and Bind before it and ReadyForQuery behind.
void CachedReads::answer(const Request& request, const cache::ObjectRef& object, TimePoint now) {
  asked_ = planned_ = false;
  again_ = 0;
  if (request.parses) {
    s_.unnamed_.query = request.text;
    s_.unnamed_.types = request.types;
    s_.unnamed_.effects = plan_->effects;
    s_.unnamed_.fingerprint = plan_->fingerprint;
    s_.unnamed_.decision.reset();
    s_.unnamed_.has = true;
    s_.unnamed_.here = false;
  } else if (request.simple) {
    s_.unnamed_.has = s_.unnamed_.here = false;
  }
  note_hit(request, now);
  std::string& out = s_.to_client();
  if (request.parses) pgwire::append_empty(out, from_server::kParseComplete);
  if (!request.simple) pgwire::append_empty(out, from_server::kBindComplete);
  out.append(object.stored());
  pgwire::append_ready(out, s_.status_);
  s_.in_.consume(request.size);
  s_.state_since_ = now;
  ++s_.queries_;
  const std::size_t index = s_.worker().index();
  s_.account_->queries.at(index).add();
  if (!in_transaction()) s_.account_->transactions.at(index).add();
  Insight::record_hit(*shape_, now, object.stored().size());
}

// For whose request it is, and its trace.
void CachedReads::note_hit(const Request& request, TimePoint now) {
  const auto context =
      request.traceparent.empty() ? std::nullopt : link::parse_trace_context(request.traceparent);
  if (!context) {
    results_.tell(s_.request_.get(), *plan_);
    if (s_.traced_) s_.record_span(shape_->query, now, Clock::now(), "cache", {});
    return;
  }
  const link::RequestPointer its = s_.room_.link.requests.find(context->trace, now);
  results_.tell(its.get(), *plan_);
  const auto before = s_.traced_;
  s_.follow_trace(*context);
  if (s_.traced_) s_.record_span(shape_->query, now, Clock::now(), "cache", {});
  s_.traced_ = before;
}

// A page that read what is not known is not kept.
std::optional<link::Position> CachedReads::page_needs(std::string_view text) {
  if (!stream_.current(Clock::now()))
    return std::nullopt;  // some drops, or the tables, may not be known yet
  const KnownPlanPointer known =
      results_.plan(s_.worker().index(), s_.part_.classifier, stream_, asker(), text);
  if (!known->plan.reads_known) return link::Position{};
  return stream_.page_needs(known->plan.reads);
}

void CachedReads::sent(std::optional<std::string_view> text) {
  rolled_back_ = false;
  const bool first = statements_++ == 0;
  if (first && !in_transaction() && !s_.touched_.any()) names_unknown_ = false;
  if (!text) {
    planned_ = false;
    names_unknown_ = true;
    effect_ = Plan::Effect::schema;
    calm_ = false;
    results_.tell_unknown(s_.request_.get());
    return;
  }
  const bool planned = std::exchange(planned_, false) && plan_->is_of(stream_.version()) &&
                       planned_by_ == plan_->catalogue;
  const KnownPlanPointer known = planned ? plan_ : plan_of(*text);
  effect_ = std::max(effect_, known->plan.effect);
  const bool otherwise = began_otherwise();
  if (otherwise && fill_) fill_->failed = true;
  const bool pinned = (s_.pins_ & pin::kSetting) != 0;  // by what may have set the search_path
  const bool unknown = otherwise || pinned || names_unknown_ || (known->renames && !known->single);
  names_unknown_ = names_unknown_ || known->renames;
  if (unknown && known->plan.effect != Plan::Effect::none)
    effect_ = std::max(effect_, Plan::Effect::doubt);
  if (unknown && !(known->plan.reads.empty() && known->plan.reads_known))
    results_.tell_unknown(s_.request_.get());
  results_.tell(s_.request_.get(), *known);
  const bool begins = first && (!known->decision || known->decision->begins);
  calm_ = in_transaction() ? calm_ && known->plan.calm : begins && is_plain_begin(*text);
  if (known->plan.changes.empty() || changes_ == known->plan.changes) return;
  changes_.insert(changes_.end(), known->plan.changes.begin(), known->plan.changes.end());
  std::ranges::sort(changes_);
  changes_.erase(std::ranges::unique(changes_).begin(), changes_.end());
}

void CachedReads::record(char type, std::string_view bytes) {
  if (!fill_) return;
  fill_->records = false;
  switch (type) {
    case from_server::kParseComplete:
    case from_server::kBindComplete:
    case from_server::kReady:
    case from_server::kNotification: return;
    case from_server::kRowDescription:
    case from_server::kDataRow:
    case from_server::kCommandComplete: break;
    default: fill_->failed = true; return;
  }
  fill_->records = true;
  record_more(bytes);
}

void CachedReads::record_more(std::string_view bytes) {
  if (!fill_ || !fill_->records || fill_->failed) return;
  if (fill_->bytes.size() + bytes.size() > results_.options().max_result.count) {
    fill_->failed = true;
    fill_->bytes = {};
    fill_->counts->note(CacheEvent::refused, "its result is larger than sql.cache.max_result");
    stream_.counts().refused(s_.worker().index(), Refusal::size);
    fill_->lease.uncacheable(results_.cache().options().bypass_ttl, Clock::now());
    return;
  }
  fill_->bytes.append(bytes);
}

void CachedReads::begins_again() {
  if (fill_) fill_->bytes.clear();
}

void CachedReads::completed(std::string_view tag) {
  rolled_back_ = tag == "ROLLBACK";
  if (tag == "COMMIT PREPARED") stream_.doubt();  // of another transaction's changes
  // COMMIT; or, where there is no transaction, the statement's own.
  if (tag == "COMMIT" || !in_transaction()) drop();
}

void CachedReads::ready(pgwire::Status status) {
  if (s_.outstanding() == 0) statements_ = 0;
  if (status == pgwire::Status::idle) {
    calm_ = false;
    const bool last = s_.outstanding() == 0;
    if (!rolled_back_ || !last) drop();
    if (last) {
      changes_.clear();
      effect_ = Plan::Effect::none;
    }
    rolled_back_ = false;
  }
  if (fill_) finish_fill(status);
}

void CachedReads::drop() {
  if (!changes_.empty()) stream_.changed(changes_);
  if (effect_ == Plan::Effect::schema)
    stream_.schema_changed();
  else if (effect_ == Plan::Effect::doubt)
    stream_.doubt();
}

void CachedReads::refused() {
  lost();
  ticket_ = {};
  waited_.reset();
  asked_ = false;
  again_ = 0;
}

void CachedReads::lost() {
  planned_ = false;
  if (effect_ != Plan::Effect::none) {
    drop();
    stream_.doubt();
  }
  changes_.clear();
  effect_ = Plan::Effect::none;
  fail_fill();
}

void CachedReads::fail_fill() {
  if (!fill_) return;
  if (fill_->lease) fill_->lease.uncacheable(Duration::zero(), Clock::now());
  fill_.reset();
}

void CachedReads::finish_fill(pgwire::Status status) {
  Fill fill = std::move(*fill_);
  fill_.reset();
  const TimePoint now = Clock::now();
  const bool good = !fill.failed && !s_.failed_ && status == s_.status_ && !fill.bytes.empty() &&
                    fill.plan && fill.plan->is_of(stream_.version());
  fill.counts->worth.filled(elapsed(fill.began, now));
  if (!fill.lease) return;
  if (!good) {
    stream_.counts().filled(s_.worker().index(), false);
    return fill.lease.uncacheable(Duration::zero(), now);
  }
  Duration ttl = fill.plan->ttl;
  if (stream_.blind()) ttl = std::min(ttl, results_.options().blind_ttl);
  const cache::Head head{.metadata = {},
                         .lifetimes = {.ttl = ttl},
                         .tags = fill.plan->tags,
                         .is_copy = true};  // not to the disk: nobody decodes while it lies there
  const auto object = fill.lease.store(head, fill.bytes, now);
  const bool stored = object && results_.cache().memory().holds(*object);
  const std::size_t worker = s_.worker().index();
  results_.cache().count_fill(worker, cache::Space::sql, 0,
                              stored ? cache::Cache::Fill::stored : cache::Cache::Fill::failed,
                              elapsed(fill.began, now));
  stream_.counts().filled(worker, stored);
  if (!stored) return;
  ++fill.counts->stored;
  fill.counts->why_not.clear();
}

}  // namespace headroom::sql
