#include "headroom/realtime/encodings.h"

#include "headroom/json/writer.h"
#include "headroom/websocket/frame.h"

namespace headroom::realtime {
namespace {

std::string pusher_text(const Message& message) {
  const Publication& what = message.what();
  std::string text;
  text.reserve(what.data.size() + what.event.size() + what.channel.size() + 64);
  json::Writer out(text);
  out.begin_object()
      .field("event", what.event)
      .field("channel", what.channel)
      .key("data")
      .raw(what.data);
  if (!what.user_id.empty()) out.field("user_id", what.user_id);
  if (message.resumable() && what.priority == Priority::normal)
    out.field("id", message.position().text());
  out.end_object();
  return text;
}

}  // namespace

std::string encode(const Message& message, Wire wire) {
  std::string out;
  switch (wire) {
    case Wire::pusher:
      websocket::append_frame(out, websocket::Opcode::text, pusher_text(message));
      break;
  }
  return out;
}

}  // namespace headroom::realtime
