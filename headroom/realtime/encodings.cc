#include "headroom/realtime/encodings.h"

#include <fmt/format.h>

#include "headroom/json/json.h"
#include "headroom/json/raw.h"
#include "headroom/json/writer.h"
#include "headroom/websocket/deflate.h"
#include "headroom/websocket/frame.h"

namespace headroom::realtime {
namespace {

constexpr std::size_t kWorthDeflating = 200;
constexpr std::string_view kJoined = "pusher_internal:member_added";
constexpr std::string_view kLeft = "pusher_internal:member_removed";

std::string pusher_text(const Message& message) {
  const Publication& what = message.what();
  std::string text;
  text.reserve(what.data.size() + what.event.size() + what.channel.size() + 64);
  json::Writer out(text);
  out.begin_object().field("event", what.event).field("channel", what.channel).key("data");
  what.form == Form::text ? out.value(what.data) : out.raw(what.data);
  if (!what.user_id.empty()) out.field("user_id", what.user_id);
  if (message.resumable() && what.priority == Priority::normal)
    out.field("id", message.position().text());
  out.end_object();
  return text;
}

// A text that holds JSON is that JSON; any other stays a text. Line feeds, which lines and events end with, are escaped in both.
void append_value(json::Writer& out, const Publication& what) {
  if (what.form == Form::json) return static_cast<void>(out.raw(what.data));
  json::parse(what.data) ? out.raw(json::compacted(what.data)) : out.value(what.data);
}

std::string plain_text(const Message& message) {
  const Publication& what = message.what();
  const std::string_view type = what.event == kJoined ? "presence_joined"
                                : what.event == kLeft ? "presence_left"
                                                      : std::string_view(what.event);
  std::string text;
  text.reserve(what.data.size() + what.event.size() + what.channel.size() + 80);
  json::Writer out(text);
  out.begin_object().field("type", type).field("channel", what.channel).key("data");
  append_value(out, what);
  out.field("offset", message.position().offset)
      .field("priority", what.priority == Priority::critical ? "critical" : "normal");
  if (!what.user_id.empty()) out.field("user_id", what.user_id);
  out.end_object();
  return text;
}

std::string deflated(const std::string& text) {
  const auto small =
      text.size() < kWorthDeflating ? std::nullopt : websocket::deflate_message(text);
  if (!small) return wrap(text, Wire::pusher);
  std::string out;
  websocket::append_deflated_frame(out, websocket::Opcode::text, *small);
  return out;
}

}  // namespace

std::string wrap(std::string_view text, Wire wire) {
  if (wire == Wire::events || wire == Wire::lines)
    return fmt::format("{:x}\r\n{}\r\n", text.size(), text);
  std::string out;
  websocket::append_frame(out, websocket::Opcode::text, text);
  return out;
}

std::string encode(const Message& message, Wire wire) {
  switch (wire) {
    case Wire::pusher: return wrap(pusher_text(message), wire);
    case Wire::plain: return wrap(plain_text(message), wire);
    case Wire::events: return wrap("data: " + plain_text(message) + "\n\n", wire);
    case Wire::lines: return wrap(plain_text(message) + "\n", wire);
    case Wire::pusher_deflated: return deflated(pusher_text(message));
    case Wire::plain_deflated: return deflated(plain_text(message));
  }
  return {};
}

}  // namespace headroom::realtime
