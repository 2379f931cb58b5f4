#include "headroom/edge/request.h"

#include <poll.h>
#include <sys/socket.h>

#include "headroom/edge/error_page.h"
#include "headroom/edge/explain.h"

namespace headroom::edge {
namespace {

// Whether a client that should be waiting has gone: reset, or closed with nothing more to read, as nginx judges it. One whose body is on
// its way has gone only when it was reset: what it has sent may be all.
enum class Sending : bool { no, yes };
bool client_gone(net::Stream& stream, Sending sending) {
  pollfd look{stream.native(), POLLRDHUP, 0};
  if (::poll(&look, 1, 0) != 1) return false;
  if ((look.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return true;
  if (sending == Sending::yes) return false;
  char byte = 0;
  return stream.tls() != nullptr || ::recv(stream.native(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

}  // namespace

bool Request::gone() {
  if (keeper != nullptr && keeper->is_awaited()) return false;
  if (!client_gone(x.stream(), pumping ? Sending::yes : Sending::no)) return false;
  status = kClientGone;
  x.hijack();
  return true;
}

net::Task<> Request::fail(unsigned code_sent, std::string_view code, std::string_view message,
                          Duration retry_after) {
  if (x.started()) co_return;
  if (keeper != nullptr && code_sent >= 500 && keeper->no_answer(message)) co_return;
  if (streams_body()) x.close_after();
  http::Reply page = error_page(head(), {code_sent, code, message, id, retry_after});
  if (route != nullptr && route->policy.active())
    route->policy.append_response_lines(page.fields, head(), secure());
  limited.append_fields(page.fields);
  if (sessions != nullptr) sessions->append_cookie(*this, nullptr, page.fields);
  if (explained) append_explanation(*this, page.fields);
  x.stream().expire_at(kNever);
  (void)co_await x.reply(page);
}

}  // namespace headroom::edge
