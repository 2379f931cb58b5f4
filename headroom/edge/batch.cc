#include "headroom/edge/batch.h"

#include <algorithm>

#include "headroom/edge/error_page.h"
#include "headroom/http/writer.h"

namespace headroom::edge {
namespace {

constexpr Duration kLook = 1s;  // how often a client that may have gone is looked for
constexpr std::string_view kFields =
    "Content-Type: application/json\r\nCache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\n";

InnerPeer peer_of(Request& r) {
  const http::Peer& peer = r.x.peer();
  return {peer.address, r.x.local(), peer.tls, peer.known};
}

bool is_json(std::string_view type) {
  return text::equal_ignoring_case(text::trimmed(type.substr(0, type.find(';'))),
                                   "application/json");
}

PartRefusal refusal_of(const Error& error) {
  switch (error.code) {
    case Errc::invalid: return {400, "bad_part", "the part is not fit to be sent"};
    case Errc::timeout:
      return {504, "batch_timeout", "the part was not answered in the batch's time"};
    case Errc::overloaded: return {503, "overloaded", "too many requests at once; try again soon"};
    default: return {502, "bad_gateway", "the part's answer broke off"};
  }
}

}  // namespace

// One batch, in the frame of serve().
struct Batch::Run {
  Request& r;
  const BatchOptions& options;
  TimePoint deadline;
  std::vector<BatchPart> parts;
  FieldTexts inherited{};
  std::vector<std::string> answers{};
  std::string cookies{};
  std::size_t next = 0;
  std::size_t lanes = 0;
  std::uint64_t bytes = 0;  // kept of answers
  bool gone = false;
};

net::Task<> Batch::serve(Request& r) {
  const bool done = co_await refuse(r);
  if (done) co_return;
  ++open_;
  auto text = co_await read(r);
  if (text) {
    const BatchOptions& options = r.view.options->batch;
    auto parts = read_batch(*text, options, r.view.limits->tier_header());
    text->clear();
    text->shrink_to_fit();
    if (parts) {
      Run run{r, options, r.began + options.timeout, std::move(*parts)};
      co_await run_parts(run);
      co_await reply(run);
      held_ -= run.bytes;
    } else {
      cells_.refused->add();
      const bool many = parts.error().code == Errc::overloaded;
      co_await r.fail(many ? 413 : 400, many ? "too_many_parts" : "bad_batch",
                      parts.error().message);
    }
  }
  --open_;
}

// What is refused by its head.
net::Task<bool> Batch::refuse(Request& r) {
  PartRefusal why;
  if (r.head().method != http::Method::post) {
    why = {405, "method_not_allowed", "a batch is a POST"};
  } else if (!is_json(r.head().value_of(http::Name::content_type))) {
    why = {415, "unsupported_media_type", "a batch is application/json"};
  } else if (r.head().content_length > r.view.options->batch.bytes_in.count) {
    why = {413, "body_too_large", "the batch is larger than bytes_in"};
  } else if (open_ >= kMostBatches) {
    why = {503, "overloaded", "too many batches at once; try again soon"};
  }
  if (why.status == 0) co_return false;
  cells_.refused->add();
  r.x.close_after();
  http::Reply page = error_page(
      r.head(), {why.status, why.code, why.message, r.id, why.status == 503 ? 1s : Duration{}});
  if (why.status == 405) page.fields += "Allow: POST\r\n";
  (void)co_await r.x.reply(page);
  co_return true;
}

net::Task<Result<std::string>> Batch::read(Request& r) {
  r.x.limit_body(r.view.options->batch.bytes_in.count);
  std::string text;
  for (;;) {
    auto piece = co_await r.x.read();
    if (!piece) {
      cells_.refused->add();
      r.x.close_after();
      const Errc code = piece.error().code;
      if (code == Errc::overloaded) {
        co_await r.fail(413, "body_too_large", "the batch is larger than bytes_in");
      } else {
        co_await r.fail(code == Errc::timeout ? 408 : 400, "bad_body", piece.error().message);
      }
      co_return pass(piece);
    }
    if (piece->empty()) break;
    text += *piece;
  }
  r.bytes_in = text.size();
  co_return text;
}

// The lanes end before this does: their group is stopped when the client goes or the edge stops.
net::Task<> Batch::run_parts(Run& run) {
  net::TaskGroup lanes(run.r.x.worker());
  net::Event done(run.r.x.group());
  run.inherited = inherited_fields(run.r.head(), run.r.view.limits->tier_header());
  run.answers.resize(run.parts.size());
  // Counted before they begin: a lane may end while it is being spawned.
  const std::size_t wanted = std::min<std::size_t>(run.options.at_once, run.parts.size());
  run.lanes = wanted;
  for (std::size_t i = 0; i < wanted; ++i) {
    const bool spawned =
        lanes.spawn([this, &run, &lanes, &done] { return lane(run, lanes, done); });
    if (!spawned) --run.lanes;
  }
  while (run.lanes > 0) {
    const TimePoint due = Clock::now() + kLook;
    auto ended = co_await done.wait(due);
    if (ended) break;
    if (ended.error().code == Errc::timeout && !run.r.gone()) continue;
    run.gone = true;
    lanes.stop();
    break;
  }
  co_await lanes.join();
}

net::Task<> Batch::lane(Run& run, net::TaskGroup& group, net::Event& done) {
  InnerClient client(group, door_, peer_of(run.r));
  while (run.next < run.parts.size() && !group.stopped()) {
    const std::size_t index = run.next++;
    run.answers[index] = co_await answer(run, client, run.parts[index]);
  }
  if (--run.lanes == 0) done.set();
}

net::Task<std::string> Batch::answer(Run& run, InnerClient& client, BatchPart& part) {
  if (part.refusal.status != 0) co_return refused(part.refusal);
  if (Clock::now() >= run.deadline) co_return refused(refusal_of(Error{Errc::timeout, {}}));
  inherit(part, run.inherited);
  const InnerRequest request{part.method, part.path, run.r.head().authority, part.fields,
                             part.body};
  std::size_t kept = 0;
  bool too_large = false;
  InnerBounds bounds;
  bounds.head.head_bytes = run.r.view.options->head_limit.count * 2;  // the edge adds some
  bounds.head.fields = run.r.view.options->field_limit + 32;
  bounds.deadline = run.deadline;
  bounds.room = [&](std::size_t bytes) {
    too_large = run.bytes + bytes > run.options.bytes_out.count;
    if (too_large || held_ + bytes > kMostHeld) return false;
    run.bytes += bytes;
    held_ += bytes;
    kept += bytes;
    return true;
  };
  auto answer = co_await client.ask(request, bounds);
  part.body.clear();
  if (answer) co_return written(run, part, *answer);
  run.bytes -= kept;
  held_ -= kept;
  if (too_large)
    co_return refused({502, "answer_too_large", "the batch's answers are larger than bytes_out"});
  co_return refused(refusal_of(answer.error()));
}

std::string Batch::refused(const PartRefusal& refusal) {
  cells_.parts[std::min(refusal.status / 100, 5U)]->add();
  return write_refusal(refusal);
}

std::string Batch::written(Run& run, const BatchPart& part, const InnerAnswer& answer) {
  cells_.parts[std::min(answer.status / 100, 5U)]->add();
  const std::string cookies = cookie_lines(answer, part.path);
  if (run.cookies.size() + cookies.size() <= kMostCookies) run.cookies += cookies;
  return write_answer(answer);
}

net::Task<> Batch::reply(Run& run) {
  (run.gone ? cells_.gone : cells_.answered)->add();
  if (run.gone) co_return;
  http::Exchange& x = run.r.x;
  std::uint64_t size = 1;
  for (const std::string& answer : run.answers) size += answer.size() + 1;
  x.start(200, {}, {http::Exchange::Length::Kind::known, size});
  x.head().append(kFields).append(run.cookies);
  http::HeadWriter(x.head()).field(http::Name::x_request_id, run.r.id);
  char before = '[';
  for (std::string& answer : run.answers) {
    answer.insert(answer.begin(), before);
    before = ',';
    auto sent = co_await x.send(answer, http::Exchange::Last::no);
    if (!sent) co_return;
    answer = {};
  }
  (void)co_await x.send("]", http::Exchange::Last::yes);
}

}  // namespace headroom::edge
