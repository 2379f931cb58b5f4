#include "headroom/edge/browser_session.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/text.h"
#include "headroom/edge/request.h"
#include "headroom/http/cache_control.h"

namespace headroom::edge {
namespace {

using http::Name;

constexpr std::string_view kPurpose = "edge.session";
constexpr auto kLives = std::chrono::duration_cast<std::chrono::seconds>(link::Positions::kKept);
constexpr std::size_t kIdDigits = 32;

bool is_id(std::string_view text) {
  return text.size() == kIdDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

enum class Answer : std::uint8_t { ours_alone, to_be_made_so, shared };

// Whether a cache between us and the browser could keep this answer for others, our cookie with it.
Answer kind_of(const http::ResponseHead& head) {
  const http::Directives directives = http::response_directives(head);
  if (directives.no_store || directives.is_private) return Answer::ours_alone;
  const bool speaks = head.has(Name::cache_control) || head.has(Name::cdn_cache_control) ||
                      head.has(Name::surrogate_control) || head.has(Name::expires);
  return speaks ? Answer::shared : Answer::to_be_made_so;
}

}  // namespace

std::string BrowserSessions::sign(const std::string& id,
                                  const std::vector<link::Position>& positions,
                                  auth::WallTime now) const {
  std::string value = id;
  for (const link::Position& position : positions) value += " " + link::to_string(position);
  auto text = signer_.sign(kPurpose, value, now + kLives);
  return text ? std::move(*text) : std::string();
}

std::optional<BrowserSession> BrowserSessions::open(std::string_view value,
                                                    auth::WallTime now) const {
  const auto opened = signer_.open(kPurpose, value, now);
  if (!opened) return std::nullopt;
  BrowserSession session;
  for (const std::string_view part : text::split(*opened, ' ')) {
    if (session.id.empty()) {
      if (!is_id(part)) return std::nullopt;
      session.id = part;
    } else if (const auto position = link::parse_position(part)) {
      session.brought.push_back(*position);
    }
  }
  return session.id.empty() ? std::nullopt : std::optional(std::move(session));
}

void BrowserSessions::begin(Request& r, Random& random) const {
  const std::vector<std::string> shown = r.x.take_cookie(cookie_);
  if (r.x.peer().own) return;
  const auth::WallTime now = shown.empty() ? auth::WallTime() : auth::wall_now();
  for (std::size_t i = 0; i < std::min(shown.size(), kMostShown); ++i) {
    auto session = open(shown[i], now);
    if (!session) continue;
    r.session = std::move(*session);
    for (const link::Position& position : r.session.brought)
      positions_.bring(r.session.id, position, r.began);
    return;
  }
  r.session.id = fmt::format("{:016x}{:016x}", random.next(), random.next());
}

void BrowserSessions::append_cookie(const Request& r, const http::ResponseHead* head,
                                    std::string& out) const {
  if (!r.at_app || r.session.id.empty()) return;
  const link::Positions::Written written = positions_.written(r.session.id, Clock::now());
  // What is asked for by an unsafe method may be committed after its answer has left.
  const bool may_write = !http::is_safe(r.head().method);
  const bool news = written.pending || written.positions != r.session.brought;
  if (!may_write && !news) return;
  const Answer kind = may_write || head == nullptr ? Answer::ours_alone : kind_of(*head);
  if (kind == Answer::shared) return;
  const std::string value = sign(r.session.id, written.positions, auth::wall_now());
  if (value.empty()) return;
  if (kind == Answer::to_be_made_so) out.append("Cache-Control: private\r\n");
  out.append(fmt::format("Set-Cookie: {}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{}\r\n",
                         cookie_, value, kLives.count(), r.secure() ? "; Secure" : ""));
}

}  // namespace headroom::edge
