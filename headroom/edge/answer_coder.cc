#include "headroom/edge/answer_coder.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/edge/heads.h"
#include "headroom/edge/metrics.h"

namespace headroom::edge {

using coding::Coding;
using coding::Flush;
using http::Exchange;

namespace {

constexpr Duration kLookAtClient = 1s;  // as the carrier does
constexpr std::size_t kLeastRoom = 4U << 10U;
constexpr std::size_t kMostRoom = 64U << 10U;

coding::Coders::Options coders_options(const CompressOptions& options) {
  coding::Coders::Options made;
  made.live = {static_cast<int>(options.gzip_level), static_cast<int>(options.br_level),
               static_cast<int>(options.zstd_level)};
  made.stream = made.live;
  made.streams = options.streams;
  return made;
}

bool is_event_stream(const http::ResponseHead& head) {
  return coding::is_event_stream(head.value_of(http::Name::content_type));
}

Duration idle_of(const Request& r) { return std::min(r.route->idle_timeout, kLookAtClient); }

// The next piece, for as long as the route allows and the client is there.
net::Task<Result<std::string_view>> more(Request& r, http::BodySource& body) {
  for (Duration quiet{};;) {
    auto piece = co_await body.next();
    if (piece || piece.error().code != Errc::timeout) co_return piece;
    quiet += kLookAtClient;
    if (quiet >= r.route->idle_timeout) co_return piece;
    if (r.gone()) co_return fail(Errc::cancelled, "the client has gone");
  }
}

net::Task<Result<>> send_all(Exchange& x, std::string_view bytes, Exchange::Last last) {
  auto sent = co_await x.send(bytes, last);
  if (!sent) log::debug("edge", "answer not delivered: {}", sent.error().message);
  co_return sent;
}

// Without those that describe bytes which the client does not get.
void pass_trailers(Exchange& x, std::span<const http::Field> trailers, bool coded) {
  std::vector<http::Field> kept;
  std::ranges::copy_if(trailers, std::back_inserter(kept), [&](const http::Field& f) {
    return !coded || !coding::goes_with_coding(f.name);
  });
  x.trailers(kept);
}

Exchange::Last last_if(bool last) { return last ? Exchange::Last::yes : Exchange::Last::no; }

}  // namespace

CodingCells coding_cells(metrics::Registry& registry, std::size_t worker) {
  CodingCells cells;
  for (const Coding coding : {Coding::gzip, Coding::br, Coding::zstd}) {
    const auto at = static_cast<std::size_t>(coding);
    const std::string name(coding::to_string(coding));
    cells.answers[at] = &registry.counter(kCodedAnswers, {name}).at(worker);
    cells.bytes_in[at] = &registry.counter(kCodedBytesIn, {name}).at(worker);
    cells.bytes_out[at] = &registry.counter(kCodedBytesOut, {name}).at(worker);
  }
  cells.tagged = &registry.counter(kTagged).at(worker);
  cells.confirmed = &registry.counter(kConfirmed).at(worker);
  return cells;
}

AnswerCoder::AnswerCoder(const CompressOptions& options, CodingCells cells, Encodings* encodings)
    : coders_(coders_options(options)), cells_(cells), encodings_(encodings) {}

AnswerCoder::Form AnswerCoder::form(const cache::ObjectRef& object, Coding coding) {
  const cache::Forms* forms = object ? object->forms() : nullptr;
  if (forms == nullptr || encodings_ == nullptr) return {};
  Form found{forms->get(form_of(coding)), forms->is_useless(form_of(coding))};
  if (found.bytes) count(coding, object->size(), found.bytes->size());
  if (!found.bytes && !found.is_useless) encodings_->order(object, coding);
  return found;
}

void AnswerCoder::count(Coding coding, std::uint64_t plain, std::uint64_t coded) {
  const auto at = static_cast<std::size_t>(coding);
  cells_.answers[at]->add();
  cells_.bytes_in[at]->add(plain);
  cells_.bytes_out[at]->add(coded);
}

bool AnswerCoder::encode(Coding coding, std::string_view body, std::string& out) {
  const std::size_t before = out.size();
  if (!coders_.encode(coding, coding::Effort::live, body, out)) return false;
  count(coding, body.size(), out.size() - before);
  return true;
}

Result<coding::Coders::EncoderLease> AnswerCoder::encoder(Coding coding) {
  auto lease = coders_.encoder(coding);
  if (lease) cells_.answers[static_cast<std::size_t>(coding)]->add();
  return lease;
}

net::Task<bool> AnswerCoder::relay(Request& r, http::ClientConnection& connection, Plan plan) {
  if (plan.confirmed) return confirm(r, connection, plan);
  if (connection.head().body != http::Body::length) return relay_unannounced(r, connection, plan);
  const bool here = connection.body().is_here() && connection.head().content_length <= kWhole;
  return here ? relay_here(r, connection, plan) : relay_arriving(r, connection, plan);
}

// Begins the answer with a body that is known; what is then to be sent may lie in `coded`.
std::string_view AnswerCoder::begin_whole(Request& r, const http::ResponseHead& head, Plan plan,
                                          std::string_view body, std::string& coded) {
  Rewrite rewrite{.varies = plan.varies};
  std::string tag;
  if (plan.tagged && body.size() <= kTaggedBytes) {
    tag = content_tag(body);
    cells_.tagged->add();
    plan.confirmed = has_it(r.head(), tag);
  }
  if (plan.confirmed) {
    cells_.confirmed->add();
    rewrite.not_modified = true;
    rewrite.coding = plan.coding;
    body = {};
  } else if (plan.is_coded() && body.size() >= r.route->coding.least_bytes &&
             encode(plan.coding, body, coded)) {
    rewrite.coding = plan.coding;
    rewrite.padded = plan.padded;
    body = coded;
  }
  rewrite.etag = tag;
  rewrite.length = body.size();
  begin_answer(r, head, rewrite);
  return body;
}

net::Task<bool> AnswerCoder::relay_here(Request& r, http::ClientConnection& connection, Plan plan) {
  const auto piece = connection.body().buffered();
  if (!piece) co_return false;
  std::string coded;
  const std::string_view out = begin_whole(r, connection.head(), plan, *piece, coded);
  auto sent = r.x.send_now(out, Exchange::Last::yes);
  if (sent && !*sent) {
    auto finished = co_await r.x.finish_send();
    if (!finished) sent = pass(finished);
  }
  if (!sent) log::debug("edge", "answer not delivered: {}", sent.error().message);
  const auto end = connection.body().buffered();
  co_return sent&& end;
}

net::Task<bool> AnswerCoder::relay_arriving(Request& r, http::ClientConnection& connection,
                                            Plan plan) {
  connection.keep_head();
  http::BodySource& body = connection.body();
  if (!is_event_stream(connection.head()) && body.left() <= kWhole) {
    auto here = co_await body.arrive(Clock::now() + kQuiet);
    if (here) co_return co_await relay_here(r, connection, plan);
    if (here.error().code != Errc::timeout && plan.is_coded()) {
      co_await r.fail(502, "bad_gateway", "the application broke off its answer");
      co_return false;
    }
  }
  co_return co_await stream(r, connection, plan, {});
}

// What of a body of unknown length is there already; it may be all.
net::Task<bool> AnswerCoder::relay_unannounced(Request& r, http::ClientConnection& connection,
                                               Plan plan) {
  connection.keep_head();
  http::BodySource& body = connection.body();
  std::string gathered;
  while (!body.done() && gathered.size() < kWhole) {
    const auto piece = body.buffered();
    if (!piece) {
      co_await r.fail(502, "bad_gateway", "the application broke off its answer");
      co_return false;
    }
    if (piece->empty() && !body.done()) break;
    gathered += *piece;
  }
  if (!body.done() || !body.trailers().empty())
    co_return co_await stream(r, connection, plan, gathered);
  std::string coded;
  const std::string_view out = begin_whole(r, connection.head(), plan, gathered, coded);
  auto sent = co_await send_all(r.x, out, Exchange::Last::yes);
  co_return sent.has_value();
}

net::Task<bool> AnswerCoder::stream(Request& r, http::ClientConnection& connection, Plan plan,
                                    std::string_view begun) {
  const http::ResponseHead& head = connection.head();
  http::BodySource& body = connection.body();
  const bool events = is_event_stream(head);
  coding::Coders::EncoderLease encoder(nullptr);
  if (plan.is_coded()) {
    auto lease = this->encoder(events ? coding_for_events(plan.coding, r.head()) : plan.coding);
    if (lease) encoder = std::move(*lease);
  }
  Rewrite rewrite{.varies = plan.varies};
  if (encoder) {
    rewrite.coding = encoder->coding();
    rewrite.padded = plan.padded;
  }
  begin_answer(r, head, rewrite);
  std::string_view piece = begun;
  for (;;) {
    const bool last = body.done();
    const Flush flush = last ? Flush::end : events ? Flush::yes : Flush::no;
    if (last) pass_trailers(r.x, body.trailers(), encoder != nullptr);
    Result<> sent;
    if (encoder) {
      sent = co_await send(r.x, *encoder, piece, flush);
    } else {
      sent = co_await send_all(r.x, piece, last_if(last));
    }
    if (!sent) co_return false;
    if (last) co_return true;
    auto following = body.buffered();
    if (following && following->empty() && !body.done()) {
      bool ready = true;
      if (encoder && flush == Flush::no) {
        // Who waits for what the encoder holds back should not wait long.
        body.set_idle(kQuiet);
        following = co_await body.next();
        body.set_idle(idle_of(r));
        ready = following || following.error().code != Errc::timeout;
        if (!ready) sent = co_await send(r.x, *encoder, {}, Flush::yes);
        if (!sent) co_return false;
      } else {
        ready = false;
      }
      if (!ready) following = co_await more(r, body);
    }
    if (!following) co_return false;
    piece = *following;
  }
}

net::Task<Result<>> AnswerCoder::send(Exchange& x, coding::Encoder& encoder, std::string_view piece,
                                      Flush flush) {
  const auto at = static_cast<std::size_t>(encoder.coding());
  const std::size_t room = std::clamp(piece.size(), kLeastRoom, kMostRoom);
  const auto out = std::make_unique_for_overwrite<char[]>(room);
  for (bool done = false; !done;) {
    auto step = encoder.step(piece, {out.get(), room}, flush);
    if (!step) co_return pass(step);
    piece.remove_prefix(step->consumed);
    done = step->done;
    cells_.bytes_in[at]->add(step->consumed);
    cells_.bytes_out[at]->add(step->produced);
    const bool last = done && flush == Flush::end;
    if (step->produced == 0 && !last) continue;
    auto sent = co_await send_all(x, {out.get(), step->produced}, last_if(last));
    if (!sent) co_return sent;
  }
  co_return Result<>{};
}

// The client has what the server sends: the server did not see that, because we had changed the tag or left the condition out.
net::Task<bool> AnswerCoder::confirm(Request& r, http::ClientConnection& connection, Plan plan) {
  cells_.confirmed->add();
  begin_answer(r, connection.head(),
               {.coding = plan.coding, .varies = plan.varies, .not_modified = true});
  auto sent = co_await send_all(r.x, {}, Exchange::Last::yes);
  http::BodySource& body = connection.body();
  while (sent && !body.done() && body.received() + body.left() <= kTaggedBytes) {
    auto piece = co_await more(r, body);
    if (!piece) co_return false;
  }
  co_return body.done();
}

}  // namespace headroom::edge
