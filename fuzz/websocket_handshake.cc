// A request's head read as a WebSocket's handshake: what is accepted must hold by RFC 6455, 4.2.1, and its answer must parse.
#include <cstdlib>
#include <string>

#include "fuzz/input.h"
#include "headroom/http/parser.h"
#include "headroom/websocket/handshake.h"

namespace {

void hold(bool truth) {
  if (!truth) std::abort();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headroom;
  std::string text(input_text(data, size));
  http::ScanState scan;
  http::RequestHead head;
  const auto parsed = http::parse_request_head(text, http::HeadLimits{}, scan, head);
  if (parsed.state != http::Parsed::State::complete) return 0;
  (void)websocket::may_open(head, true, {"https://a.example", "null"});
  const auto read = websocket::read_handshake(head);
  if (!read) {
    hold(read.error().status == 400 || read.error().status == 426);
    return 0;
  }
  hold(head.method == http::Method::get && websocket::wants_websocket(head));
  hold(read->key.size() == 24 && head.value_of(http::Name::sec_websocket_version) == "13");
  const std::string_view chosen =
      read->subprotocols.empty() ? std::string_view() : read->subprotocols.front();
  const std::string answer = websocket::accept(*read, chosen);
  http::ScanState answered;
  http::ResponseHead back;
  hold(http::parse_response_head(answer, http::HeadLimits{}, answered, http::Method::get, back)
           .state == http::Parsed::State::complete);
  hold(back.status == 101);
  return 0;
}
