#include "headroom/tasks/track.h"

#include <algorithm>
#include <array>

#include "headroom/json/json.h"
#include "headroom/json/reader.h"
#include "headroom/json/writer.h"

namespace headroom::tasks {
namespace {

constexpr std::array<std::string_view, 7> kStates{"unknown", "enqueued", "working",  "success",
                                                  "failed",  "dead",     "cancelled"};

}  // namespace

std::string_view to_string(TrackState state) { return kStates[static_cast<std::size_t>(state)]; }

std::string Track::text() const {
  std::string out;
  json::Writer json(out);
  json.begin_object()
      .field("jid", jid)
      .field("state", to_string(state))
      .field("percent", percent)
      .field("desc", desc);
  json.field("updated", updated).field("ended", ended).end_object();
  return out;
}

Result<Track> Track::restore(std::string_view text) {
  auto document = json::parse(text, {.bytes = Bytes{text.size()}, .depth = 64});
  if (!document) return pass(document);
  Track track;
  std::string state;
  json::Reader in(document->root());
  in.required("jid", track.jid);
  in.required("state", state);
  in.optional("percent", track.percent);
  in.required("desc", track.desc);
  in.required("updated", track.updated);
  in.required("ended", track.ended);
  if (auto read = in.finish(); !read) return pass(read);
  const auto at = std::ranges::find(kStates, state);
  track.state =
      at == kStates.end() ? TrackState::unknown : static_cast<TrackState>(at - kStates.begin());
  return track;
}

std::string Track::shown() const {
  std::string out;
  json::Writer json(out);
  json.begin_object().field("jid", jid);
  if (percent) json.field("percent", *percent);
  if (!desc.empty()) json.field("desc", desc);
  json.field("state", to_string(state == TrackState::cancelled ? TrackState::dead : state));
  json.field("updated_at", updated == 0 ? "" : format_time(updated));
  if (!result.empty()) json.key("result").raw(result);
  json.end_object();
  return out;
}

}  // namespace headroom::tasks
