// What is counted of each statement: its time, rows, bytes, errors and waits, under its shape.
//
// A statement begins when it is sent, or when the one before it in its pipeline has ended; it ends with its CommandComplete (extended protocol) or with
// ReadyForQuery (simple). Bytes that were read together have one time, so that a short answer costs one look at the clock.
#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/sql/effects.h"
#include "headroom/sql/session.h"

namespace headroom::sql {
namespace {

namespace from = pgwire::from_server;
using Kind = Expected::Kind;

// "INSERT 0 5": 5. "BEGIN": 0.
std::uint64_t rows_of(std::string_view tag) {
  const std::size_t space = tag.rfind(' ');
  return space == std::string_view::npos ? 0 : text::to_u64(tag.substr(space + 1)).value_or(0);
}

// The formats and values of a Bind, without its names and the formats of its results.
std::string_view values_of(std::string_view body) {
  pgwire::Reader in(body);
  (void)in.text();
  (void)in.text();
  const std::size_t begin = body.size() - in.left();
  (void)in.bytes(2U * in.u16());
  for (unsigned left = in.u16(); left > 0 && !in.failed(); --left) {
    const std::uint32_t size = in.u32();
    if (size != 0xffffffff) (void)in.bytes(size);
  }
  return in.failed() ? std::string_view() : body.substr(begin, body.size() - in.left() - begin);
}

// The same, with "5 bytes" for each value; NULL stays.
std::string sizes_of(std::string_view values) {
  pgwire::Reader in(values);
  (void)in.bytes(2U * in.u16());
  const unsigned count = in.u16();
  std::string made("\0\0", 2);
  const auto append = [&made](std::uint32_t number, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      made.push_back(static_cast<char>(number >> shift));
  };
  append(count, 2);
  for (unsigned left = count; left > 0 && !in.failed(); --left) {
    const std::uint32_t size = in.u32();
    if (size == 0xffffffff) {
      append(size, 4);
      continue;
    }
    (void)in.bytes(size);
    const std::string said = std::to_string(size) + (size == 1 ? " byte" : " bytes");
    append(static_cast<std::uint32_t>(said.size()), 4);
    made += said;
  }
  return made;
}

}  // namespace

Insight::Use Session::shape_for(std::uint64_t fingerprint, std::string_view query) {
  return part_.insight.note(fingerprint, query, account_->asking());
}

// Of a read or a write that is alone in its exchange, where samples are kept: what else there is may hold passwords. `decision`: null for what is
// known to be a read.
void Session::take_sample(const Insight::Use& shape, const Decision* decision,
                          std::string_view query, std::string_view types, std::string_view bind) {
  if (room_.options().samples == Samples::none) return;
  const bool plain = decision == nullptr || decision->its_class == Class::read ||
                     decision->its_class == Class::write;
  const auto begin = expected_.begin() + static_cast<std::ptrdiff_t>(first_);
  const bool alone = std::none_of(begin, expected_.end(),
                                  [](const Expected& e) { return static_cast<bool>(e.shape); });
  const std::string_view values = bind.empty() ? bind : values_of(bind);
  const bool fits = shape && !query.empty() &&
                    query.size() + types.size() + values.size() <= Insight::kLongestSample;
  if (!plain || !alone || !fits || (!types.empty() && values.empty())) {
    sampled_.reset();
    return;
  }
  sampled_ = std::make_unique<Sampled>();
  sampled_->of = shape->id;
  const bool redacted = room_.options().samples == Samples::redacted;
  sampled_->sample.query = redacted ? normalised(query) : std::string(query);
  sampled_->sample.types = types;
  sampled_->sample.values = redacted && !values.empty() ? sizes_of(values) : std::string(values);
  if (const auto path = wanted_.find("search_path"); path != wanted_.end())
    sampled_->sample.search_path = path->second;
}

void Session::see_frame(const pgwire::Frame& frame) {
  seen_.bytes += frame.size;
  if (frame.type == from::kDataRow) ++seen_.rows;
}

// Of a simple query there may be several; of an Execute it is the end.
void Session::see_command(std::string_view tag) {
  seen_.commands += rows_of(tag);
  if (outstanding() == 0 || front().kind != Kind::execute || !front().shape) return;
  observe(*front().shape, {});
  statement_since_ = moment();
}

// The error of a Parse or a Bind is its Execute's, if that was sent with it.
void Session::see_error(std::string_view sqlstate) {
  for (std::size_t i = first_; i < expected_.size(); ++i) {
    const Expected& each = expected_[i];
    if (each.action == Expected::Action::swallow && each.kind == Kind::query) return;
    if (each.shape) return observe(*each.shape, sqlstate);
    if (each.ends_by_ready()) break;
  }
  // Of a Parse that was too large to be kept nothing is known.
  const Expected& failed = front();
  if (failed.kind != Kind::parse || (!failed.statement && !unnamed_.has)) return;
  const Insight::Use shape = failed.statement
                                 ? shape_for(failed.statement->fingerprint, failed.statement->query)
                                 : shape_for(unnamed_.fingerprint, unnamed_.query);
  observe(*shape, sqlstate);
}

// When the first row came, where the rest is still to come; and the next bytes have another time.
void Session::see_batch_end() {
  if (seen_.rows > 0 && seen_.first_row == TimePoint()) seen_.first_row = moment();
  moment_ = {};
}

void Session::observe(Insight::Shape& shape, std::string_view sqlstate) {
  const TimePoint now = moment();
  Observation seen{.now = now,
                   .time = elapsed(statement_since_, now),
                   .waited = std::exchange(waited_, {}),
                   .rows = std::max(seen_.rows, seen_.commands),
                   .bytes = seen_.bytes,
                   .sqlstate = sqlstate,
                   .on_replica = reads_on_replica()};
  if (seen_.rows > 0)
    seen.first_row =
        seen_.first_row == TimePoint() ? seen.time : elapsed(statement_since_, seen_.first_row);
  seen_ = {};
  Insight::record(shape, seen);
  if (traced_)
    record_span(shape.query, now - seen.time, now, seen.on_replica ? "replica" : "primary",
                sqlstate);
  const Duration slow = room_.options().slow_query;
  if (slow > Duration::zero() && seen.time + seen.waited >= slow)
    log::warn("sql", "{}/{}: {:.0f} ms, {:.0f} ms of waiting before it, {} rows: {}",
              account_->database().name, user_, milliseconds(seen.time), milliseconds(seen.waited),
              seen.rows, shape.query);
  const std::unique_ptr<Sampled> sampled = std::move(sampled_);
  if (!sampled || sampled->of != shape.id || !Insight::wants_sample(shape, seen.time, now)) return;
  sampled->sample.time = seen.time;
  sampled->sample.at = now;
  part_.insight.keep_sample(shape, std::move(sampled->sample));
}

}  // namespace headroom::sql
