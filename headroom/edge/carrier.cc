#include "headroom/edge/carrier.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/edge/heads.h"
#include "headroom/edge/tunnel.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Exchange;
using http::Name;

namespace {

constexpr Duration kLookAtClient = 1s;  // how often a waiting request's client is looked at
constexpr unsigned kMostInterim = 32;   // 1xx answers passed on before the real one

}  // namespace

// What did not fit into the socket at once.
net::Task<Result<>> Carrier::send_rest(Request& r, net::Stream& stream, net::Gather& data) {
  stream.expire_writes_at(Clock::now() + r.route->idle_timeout);
  co_return co_await stream.write(data);
}

// Carries the body from the client to the server, piece by piece.
net::Task<> Carrier::pump(Request& r, http::ClientConnection& connection) {
  const bool chunked = r.head().body == http::Body::chunked;
  while (r.pumping) {
    auto piece = co_await r.x.read();
    if (!r.pumping) break;
    if (!piece) {
      const Errc code = piece.error().code;
      r.body_error = code == Errc::overloaded ? 413
                     : code == Errc::protocol ? 400
                     : code == Errc::timeout  ? 408
                                              : kClientGone;
      connection.spoil();
      connection.stream().abort(Errc::cancelled);
      break;
    }
    r.bytes_in += piece->size();
    net::Gather data;
    std::string last;
    std::optional<http::ChunkHeader> chunk;
    if (!chunked) {
      data.add(*piece);
    } else if (piece->empty()) {
      http::append_last_chunk(last, r.x.body().trailers());
      data.add(last);
    } else {
      chunk.emplace(piece->size());
      data.add(chunk->view());
      data.add(*piece);
      data.add(http::kChunkEnd);
    }
    connection.stream().expire_writes_at(Clock::now() + r.route->idle_timeout);
    auto written = co_await connection.stream().write(data);
    if (!written) {
      connection.spoil();
      // A server that takes nothing will not answer either; one that has closed may have said why.
      if (written.error().code == Errc::timeout) connection.stream().abort(Errc::timeout);
      break;
    }
    if (piece->empty()) break;
  }
  r.pumping = false;
}

net::Task<Attempt> Carrier::carry(Request& r, Lease& lease) {
  http::ClientConnection& connection = *lease.connection;
  connection.start(r.head().method);
  net::TaskGroup pumps(group_.worker(),
                       1);  // never stopped: its streams are stopped by the edge's group
  Result<> sent = Result<>{};
  Result<> read = Result<>{};
  {
    // The head is in memory only for as long as it is being written.
    std::string out;
    out.reserve(1024);
    write_request_head(r, lease.server(), out, group_.worker().random());
    net::Gather data;
    data.add(out);
    if (r.body_stored) data.add(r.body);
    auto done = connection.stream().write_now(data);
    if (!done) {
      sent = pass(done);
    } else if (!*done) {
      sent = co_await send_rest(r, connection.stream(), data);
    }
  }
  if (sent) {
    if (r.streams_body()) {
      r.body_begun = r.pumping = true;
      HR_ASSERT(pumps.spawn([&r, &connection]() { return pump(r, connection); }));
    }
    read = co_await await_head(r, connection);
  }
  Attempt outcome = Attempt::answered;
  if (!sent || !read) {
    const Error& why = sent ? read.error() : sent.error();
    r.timed_out = why.code == Errc::timeout;
    connection.spoil();
    connection.stream().abort(Errc::cancelled);
    if (why.code == Errc::protocol) {
      outcome = Attempt::broken;
    } else {
      outcome = lease.reused && !connection.answer_began() && !r.timed_out ? Attempt::stale
                                                                           : Attempt::unanswered;
    }
    if (connection.answer_began()) outcome = Attempt::broken;
    log::debug("edge", "{}: {}", lease.server().spec().text, why.message);
  } else if (connection.head().status == 101) {
    co_await tunnel(r, connection);
  } else {
    lease.slot().first_byte.record(elapsed(r.connected, r.first_byte));
    bool kept = false;
    if (r.keeper != nullptr && r.keeper->wants(r, lease)) kept = co_await r.keeper->take(r, lease);
    if (!kept && !co_await relay(r, connection)) connection.spoil();
  }
  if (r.pumping) {
    // The answer is over before the request is: nobody wants the rest.
    r.pumping = false;
    connection.spoil();
    connection.stream().abort(Errc::cancelled);
    r.x.close_after();
    r.x.stream().expire_reads_at(Clock::now());
  }
  co_await pumps.join();
  if (r.body_error != 0 && !r.x.started()) {
    if (r.body_error == kClientGone) {
      r.status = kClientGone;
      r.x.hijack();
    } else {
      r.x.close_after();
      co_await r.fail(r.body_error, "bad_body",
                      "the request's body is malformed, too large or too slow");
    }
    co_return Attempt::answered;
  }
  if (r.status == kClientGone) co_return Attempt::answered;
  co_return outcome;
}

// Waits for the answer's head, passing 1xx on; gives up at the deadline or when the client has gone.
net::Task<Result<>> Carrier::await_head(Request& r, http::ClientConnection& connection) {
  const http::HeadLimits limits{r.view.options->head_limit.count, r.view.options->line_limit.count,
                                r.view.options->field_limit};
  http::BodyPace pace;
  pace.idle = std::min(r.route->idle_timeout, kLookAtClient);  // relay() adds them up
  TimePoint due = Clock::now() + r.route->first_byte_timeout;
  unsigned interim = 0;
  for (;;) {
    // The time to answer begins when the request is whole. Until then the pump has deadlines, and sees whether the client has gone.
    const TimePoint now = Clock::now();
    if (r.pumping) due = now + r.route->first_byte_timeout;
    connection.stream().expire_reads_at(std::min(due, now + kLookAtClient));
    auto read = co_await connection.read_head(limits, pace);
    if (!read) {
      if (read.error().code != Errc::timeout || Clock::now() >= due) co_return read;
      if (r.gone()) {
        co_return fail(Errc::cancelled, "the client has gone");
      }
      continue;
    }
    const http::ResponseHead& head = connection.head();
    if (head.status == 101 && !text::equal_ignoring_case(head.upgrade, r.head().upgrade)) {
      co_return fail(Errc::protocol, "an upgrade that was not asked for");
    }
    if (head.status >= 200 || head.status == 101) break;
    if (++interim > kMostInterim) co_return fail(Errc::protocol, "too many 1xx answers");
    if (head.status == 100) continue;  // the client has had ours
    std::string lines;
    http::HeadWriter(lines).forward(head.fields);
    auto told = co_await r.x.informational(head.status, lines);
    if (!told) co_return fail(Errc::cancelled, "the client has gone");
  }
  r.first_byte = Clock::now();
  co_return Result<>{};
}

// The server has agreed to another protocol: from here on only bytes pass.
net::Task<> Carrier::tunnel(Request& r, http::ClientConnection& connection) {
  r.status = 101;
  r.x.hijack();
  std::string out;
  write_upgrade_head(connection.head(), out);
  auto sent = co_await r.x.stream().write(out);
  if (!sent) co_return;
  r.cells->upgrades->add();
  const Duration idle = r.view.options->upgrade_idle_timeout;
  co_await edge::tunnel(group_, {r.x.stream(), r.x.input()},
                        {connection.stream(), connection.input()}, idle);
  connection.spoil();
}

// False when the answer could not be carried to its end.
net::Task<bool> Carrier::relay(Request& r, http::ClientConnection& connection) {
  const Plan plan = plan_for(r.route->coding, r.head(), connection.head());
  if (AnswerCoder::has_work(plan, connection.head())) return coder_.relay(r, connection, plan);
  return pass_on(r, connection, plan);
}

// Writes the answer as it comes.
net::Task<bool> Carrier::pass_on(Request& r, http::ClientConnection& connection, Plan plan) {
  const bool is_304 = connection.head().status == 304 && r.route->coding.enabled;
  begin_answer(r, connection.head(),
               is_304 ? rewrite_of_304(r.head(), connection.head())
                      : Rewrite{.coding = plan.coding, .varies = plan.varies});
  http::BodySource& body = connection.body();
  body.top_up();
  Result<std::string_view> piece = body.buffered();
  for (;;) {
    if (!piece) co_return false;
    Result<std::string_view> following = std::string_view{};
    if (!body.done()) following = body.buffered();
    const bool last = body.done() && following && following->empty();
    if (last) r.x.trailers(body.trailers());
    auto sent = r.x.send_now(*piece, last ? Exchange::Last::yes : Exchange::Last::no);
    if (sent && !*sent) {
      auto finished = co_await r.x.finish_send();
      if (!finished) sent = pass(finished);
    }
    if (!sent) {
      log::debug("edge", "answer not delivered: {}", sent.error().message);
      co_return false;
    }
    if (last) co_return true;
    for (Duration quiet{}; following && following->empty() && !body.done();) {
      following = co_await body.next();
      if (following || following.error().code != Errc::timeout) break;
      quiet += kLookAtClient;
      if (quiet < r.route->idle_timeout && !r.gone()) following = std::string_view{};
    }
    piece = std::move(following);
  }
}

}  // namespace headroom::edge
