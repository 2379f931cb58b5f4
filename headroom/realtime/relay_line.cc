#include "headroom/realtime/relay_line.h"

#include <algorithm>

#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::realtime {
namespace {

using Is = RelayLine::Is;

constexpr std::array<std::string_view, 10> kNames{"lead",    "home",    "kept", "last",  "told",
                                                  "publish", "ordered", "bye",  "where", "here"};

bool has_message(Is is) {
  return is == Is::kept || is == Is::last || is == Is::publish || is == Is::ordered;
}
bool has_channel(Is is) {
  return has_message(is) || is == Is::home || is == Is::where || is == Is::here;
}
bool has_place(Is is) { return is != Is::publish && (is == Is::home || has_message(is)); }

void write_message(json::Writer& out, const Publication& what) {
  out.field("event", what.event).field("data", what.data);
  if (!what.user_id.empty()) out.field("user_id", what.user_id);
  if (what.except != 0) out.field("except", what.except);
  if (what.priority == Priority::critical) out.field("critical", true);
  if (what.form == Form::text) out.field("text", true);
  if (what.once != 0) out.field("once", what.once);
  if (what.number != 0) out.field("number", what.number);
}

void read_message(json::Reader& in, Publication& what) {
  bool critical = false;
  bool text = false;
  in.required("event", what.event);
  in.required("data", what.data);
  in.optional("user_id", what.user_id);
  in.optional("except", what.except);
  in.optional("critical", critical);
  in.optional("text", text);
  in.optional("once", what.once);
  in.optional("number", what.number);
  what.priority = critical ? Priority::critical : Priority::normal;
  what.form = text ? Form::text : Form::json;
}

}  // namespace

std::string relay_line(const RelayLine& line) {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("is", kNames[static_cast<std::size_t>(line.is)]);
  if (has_channel(line.is)) out.field("app", line.what.app).field("channel", line.what.channel);
  if (has_message(line.is)) write_message(out, line.what);
  if (has_place(line.is))
    out.field("epoch", line.position.epoch).field("offset", line.position.offset);
  if (has_place(line.is) && has_message(line.is))
    out.field("at", static_cast<std::uint64_t>(line.at.time_since_epoch().count()));
  if (line.is == Is::home)
    out.field("dropped", line.dropped[0]).field("dropped_critical", line.dropped[1]);
  if (line.places) out.field("places", true);
  if (line.occupied) out.field("occupied", true);
  if (!line.members.empty()) out.field("members", line.members);
  out.end_object();
  text += '\n';
  return text;
}

Result<RelayLine> read_relay_line(std::string_view text) {
  auto document = json::parse(text, {.bytes = Bytes{kMostRelayLine}});
  if (!document) return pass(document);
  json::Reader in(document->root());
  RelayLine line;
  std::string is;
  std::uint64_t at = 0;
  in.required("is", is);
  const auto named = std::ranges::find(kNames, is);
  if (named == kNames.end()) return fail(Errc::invalid, "a line that is nothing known");
  line.is = static_cast<Is>(named - kNames.begin());
  if (has_channel(line.is)) {
    in.required("app", line.what.app);
    in.required("channel", line.what.channel);
  }
  if (has_message(line.is)) read_message(in, line.what);
  if (has_place(line.is)) {
    in.required("epoch", line.position.epoch);
    in.required("offset", line.position.offset);
  }
  in.optional("at", at);
  in.optional("dropped", line.dropped[0]);
  in.optional("dropped_critical", line.dropped[1]);
  in.optional("places", line.places);
  in.optional("occupied", line.occupied);
  in.optional("members", line.members);
  in.allow_others();  // another version may say more
  if (auto read = in.finish(); !read) return pass(read);
  line.at = TimePoint(Duration(static_cast<std::int64_t>(at)));
  line.what.relayed = true;
  return line;
}

}  // namespace headroom::realtime
