#include "headroom/edge/page_sender.h"

#include <algorithm>

#include "headroom/base/log.h"
#include "headroom/base/text.h"
#include "headroom/edge/heads.h"
#include "headroom/http/conditional.h"
#include "headroom/http/writer.h"

namespace headroom::edge {

using http::Exchange;
using http::Name;

namespace {

constexpr std::size_t kPiece = 128U << 10U;

// What a stored answer gets. Parts are those of the plain bytes; what is one user's may hold secrets.
Coded coded_for(const Request& r) {
  if (r.head().has(Name::range)) return {};
  const coding::Coding coding = coding_for(r.route->coding, r.head());
  if (r.place.owner.empty() || coding == coding::Coding::identity) return {coding};
  return guarded(r.route->coding, coding, asker_of(r.head(), SetsCookie::no));
}

}  // namespace

net::Task<> PageSender::send(Request& r, std::string_view metadata, cache::ObjectRef object,
                             std::string_view whole) {
  const Page page(metadata);
  if (r.x.peer().own) co_return co_await send_outcome(r, page);
  const bool in_one = !object || object->body() == nullptr;
  if (object && in_one) whole = object.stored();
  const http::Condition condition = page.status() / 100 == 2
                                        ? http::evaluate(r.head(), page.validators())
                                        : http::Condition::holds;
  if (condition == http::Condition::failed)
    co_return co_await r.fail(412, "precondition_failed",
                              "what is stored does not meet the request's conditions");
  const Coded coded = page.may_be_coded() ? coded_for(r) : Coded{};
  if (condition == http::Condition::not_modified)
    co_return co_await send_not_modified(r, page, coded);
  if (coded.is_coded()) co_return co_await send_coded(r, page, coded, std::move(object), whole);
  const std::uint64_t size = in_one ? whole.size() : page.size();
  if (size != Page::kUnknownSize && page.status() == 200 && r.head().has(Name::range) &&
      http::range_applies(r.head(), page.validators())) {
    const http::RangeAnswer parts = http::parse_range(r.head().value_of(Name::range), size);
    const bool is_simple =
        in_one || parts.kind == http::RangeAnswer::Kind::unsatisfiable || parts.parts.size() == 1;
    if (parts.kind != http::RangeAnswer::Kind::whole && is_simple)
      co_return co_await send_part(r, page, std::move(object), whole, parts);
  }
  if (!in_one) co_return co_await send_plain(r, page, std::move(object), whole);
  if (!send_whole(r, page, whole)) (void)co_await r.x.finish_send();
}

// True: all of it is written, or the connection is broken; false: what is left is for finish_send().
bool PageSender::send_whole(Request& r, const Page& page, std::string_view whole) {
  begin(r, page, page.status(),
        page.status() == 204 ? Exchange::Length{}
                             : Exchange::Length{Exchange::Length::Kind::known, whole.size()});
  auto sent = r.x.send_now(whole, Exchange::Last::yes);
  return !sent || *sent;
}

net::Task<> PageSender::send_plain(Request& r, const Page& page, cache::ObjectRef object,
                                   std::string_view whole) {
  if (!object || object->body() == nullptr) {
    if (!send_whole(r, page, whole)) (void)co_await r.x.finish_send();
    co_return;
  }
  using Kind = Exchange::Length::Kind;
  begin(r, page, page.status(),
        page.size() == Page::kUnknownSize ? Exchange::Length{Kind::unknown, 0}
                                          : Exchange::Length{Kind::known, page.size()});
  if (r.head().method != http::Method::head) co_return co_await send_body(r, std::move(object));
  (void)co_await r.x.send({}, Exchange::Last::yes);
}

// To ourselves: we want to know what became of it, not to read it.
net::Task<> PageSender::send_outcome(Request& r, const Page& page) {
  r.x.start(page.status(), {},
            page.status() == 204 ? Exchange::Length{}
                                 : Exchange::Length{Exchange::Length::Kind::known, 0});
  append_own_fields(r, r.x.head());
  (void)co_await r.x.send({}, Exchange::Last::yes);
}

void PageSender::begin(Request& r, const Page& page, unsigned status, Exchange::Length length,
                       const std::function<bool(const http::Field&)>& keep, Coded coded) {
  r.x.start(status, {}, length);
  std::string& out = r.x.head();
  if (!keep && !coded.is_coded()) out += page.lines();
  if (!keep && coded.is_coded()) page.append_coded_lines(out, coded.coding);
  if (coded.padded) append_padding(out);
  if (keep || r.route->pagination) {
    std::string text;
    http::ResponseHead head;
    if (parse_page(page, text, head)) {
      head.status = static_cast<std::uint16_t>(status);
      if (keep) http::HeadWriter(out).forward(head.fields, keep);
      if (r.route->pagination) r.route->pagination->append_lines(out, r, head);
    }
  }
  out.append("Age: ")
      .append(http::Digits(http::age_at(page.freshness(), unix_seconds())).view())
      .append("\r\nX-Request-Id: ")
      .append(r.id)
      .append("\r\n");
  append_own_fields(r, out);
}

net::Task<> PageSender::send_not_modified(Request& r, const Page& page, Coded coded) {
  const bool weak = coded.is_coded();
  begin(r, page, 304, {}, [weak](const http::Field& field) {
    return http::goes_into_304(field) && !(weak && field.id == Name::etag);
  });
  if (weak) page.append_weak_tag(r.x.head());
  (void)co_await r.x.send({}, Exchange::Last::yes);
}

net::Task<> PageSender::send_part(Request& r, const Page& page, cache::ObjectRef object,
                                  std::string_view whole, const http::RangeAnswer& answer) {
  const bool in_one = !object || object->body() == nullptr;
  const std::uint64_t size = in_one ? whole.size() : page.size();
  const auto about_whole = [](const http::Field& field) { return field.id != Name::content_range; };
  const auto without_type = [](const http::Field& field) {
    return field.id != Name::content_range && field.id != Name::content_type;
  };
  using Kind = Exchange::Length::Kind;
  if (answer.kind == http::RangeAnswer::Kind::unsatisfiable) {
    begin(r, page, 416, {Kind::known, 0}, without_type);
    r.x.head()
        .append("Content-Range: ")
        .append(http::content_range_unsatisfiable(size))
        .append("\r\n");
    (void)co_await r.x.send({}, Exchange::Last::yes);
  } else if (answer.parts.size() == 1) {
    const http::ByteRange& part = answer.parts[0];
    begin(r, page, 206, {Kind::known, part.size()}, about_whole);
    r.x.head().append("Content-Range: ").append(http::content_range(part, size)).append("\r\n");
    if (!in_one && r.head().method != http::Method::head)
      co_return co_await send_body(r, std::move(object), part);
    (void)co_await r.x.send(in_one ? whole.substr(part.first, part.size()) : std::string_view{},
                            Exchange::Last::yes);
  } else {
    const http::Multipart multipart(answer.parts, whole.size(), page.content_type(),
                                    text::random_hex(16));
    begin(r, page, 206, {Kind::known, multipart.content_length()}, without_type);
    r.x.head().append("Content-Type: ").append(multipart.content_type()).append("\r\n");
    for (std::size_t i = 0; i < multipart.parts().size(); ++i) {
      const http::ByteRange& part = multipart.parts()[i];
      const std::string piece = multipart.head(i).append(whole.substr(part.first, part.size()));
      auto sent = co_await r.x.send(piece, Exchange::Last::no);
      if (!sent) co_return;
    }
    (void)co_await r.x.send(multipart.tail(), Exchange::Last::yes);
  }
}

net::Task<> PageSender::send_coded(Request& r, const Page& page, Coded coded,
                                   cache::ObjectRef object, std::string_view whole) {
  using Kind = Exchange::Length::Kind;
  const AnswerCoder::Form form = coder_.form(object, coded.coding);
  if (form.is_useless) co_return co_await send_plain(r, page, std::move(object), whole);
  std::string made;
  std::string_view out;
  if (form.bytes) {
    out = *form.bytes;
  } else if (object && object->body() != nullptr) {
    co_return co_await send_stream(r, page, coded, std::move(object));
  } else if (coder_.encode(coded.coding, whole, made)) {
    out = made;
  } else {
    co_return co_await send_plain(r, page, std::move(object), whole);
  }
  begin(r, page, page.status(), {Kind::known, out.size()}, {}, coded);
  if (out.size() > kPiece) co_return co_await send_bytes(r, out);
  auto sent = r.x.send_now(out, Exchange::Last::yes);
  if (sent && !*sent) (void)co_await r.x.finish_send();
}

// In pieces, each of which has its time.
net::Task<> PageSender::send_bytes(Request& r, std::string_view bytes) {
  while (bytes.size() > kPiece) {
    auto sent = co_await r.x.send(bytes.substr(0, kPiece), Exchange::Last::no);
    if (!sent) co_return;
    bytes.remove_prefix(kPiece);
  }
  (void)co_await r.x.send(bytes, Exchange::Last::yes);
}

net::Task<> PageSender::send_stream(Request& r, const Page& page, Coded coded,
                                    cache::ObjectRef object) {
  const bool is_head = r.head().method == http::Method::head;
  auto encoder = coder_.encoder(coded.coding);
  if (!encoder && !is_head) co_return co_await send_plain(r, page, std::move(object), {});
  begin(r, page, page.status(), {Exchange::Length::Kind::unknown, 0}, {}, coded);
  if (is_head) {
    (void)co_await r.x.send({}, Exchange::Last::yes);
    co_return;
  }
  cache::Reader reader(group_, std::move(object));
  for (;;) {
    if (!reader.poll()) {  // what is there goes out before a wait
      auto flushed = co_await coder_.send(r.x, **encoder, {}, coding::Flush::yes);
      if (!flushed) co_return;
    }
    auto more = co_await reader.wait(Clock::now() + r.route->idle_timeout);
    if (!more) {
      log::debug("edge", "a stored answer broke off: {}", more.error().message);
      co_return;  // without its last chunk: the connection ends
    }
    const std::string_view piece =
        *more ? reader.available().substr(0, kPiece) : std::string_view{};
    auto sent =
        co_await coder_.send(r.x, **encoder, piece, *more ? coding::Flush::no : coding::Flush::end);
    if (!sent || !*more) co_return;
    reader.consume(piece.size());
  }
}

// Follows a body that may still grow.
net::Task<> PageSender::send_body(Request& r, cache::ObjectRef object, http::ByteRange part) {
  cache::Reader reader(group_, std::move(object));
  std::uint64_t skip = part.first;
  std::uint64_t left = part.size();
  for (;;) {
    auto more = co_await reader.wait(Clock::now() + r.route->idle_timeout);
    if (!more) {
      log::debug("edge", "a stored answer broke off: {}", more.error().message);
      co_return;  // shorter than announced, or without its last chunk: the connection ends
    }
    std::string_view piece = *more ? reader.available() : std::string_view{};
    if (skip > 0 && *more) {
      const std::size_t passed = std::min<std::uint64_t>(skip, piece.size());
      skip -= passed;
      reader.consume(passed);
      continue;
    }
    piece = piece.substr(0, std::min<std::uint64_t>(kPiece, left));
    left -= piece.size();
    const bool last = !*more || left == 0;
    auto sent = r.x.send_now(piece, last ? Exchange::Last::yes : Exchange::Last::no);
    if (sent && !*sent) {
      auto finished = co_await r.x.finish_send();
      if (!finished) co_return;
    }
    if (!sent || last) co_return;
    reader.consume(piece.size());
  }
}

}  // namespace headroom::edge
