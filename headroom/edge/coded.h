// headroom/edge/coded.h - which content coding an answer gets for this client, and how its head then differs from the server's.
//
// Owns: RouteCoding, a route's settings ready for use; the rest are functions. Worker: any; nothing changes.
// Invariants: (1) what has a coding, a part of a body (206), or no-transform is left as it is; (2) an answer that may be coded says Vary:
//   Accept-Encoding also where it goes out plain; (3) a coded answer has no strong ETag, no length and no digest of the plain one; (4) an
//   answer that may hold a client's secret is never coded at its true size for another site's page (BREACH), unless the settings say so.
// Limits: ETags are made of bodies up to kTaggedBytes; padding is at most kMostPadding bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/coding/accept.h"
#include "headroom/coding/eligible.h"
#include "headroom/edge/options.h"
#include "headroom/http/message.h"

namespace headroom::edge {

// What a route's answers get.
struct RouteCoding {
  bool enabled = false;
  coding::Preference preference;
  std::uint64_t least_bytes = coding::kLeastBytes;
  std::vector<std::string> types;  // lower case
  PersonalAnswers personal = PersonalAnswers::guarded;
  bool plain_from_app = false;
  bool etags = false;

  // Errc::invalid names the setting.
  [[nodiscard]] static Result<RouteCoding> compile(const EdgeOptions& edge,
                                                   const RouteOptions& route);
};

inline constexpr std::uint64_t kTaggedBytes = 64U << 10U;
inline constexpr std::size_t kMostPadding = 128;

// What is to be done to an answer, as far as its head tells.
struct Plan {
  coding::Coding coding = coding::Coding::identity;
  bool varies = false;     // by Accept-Encoding
  bool padded = false;     // its size must not tell its content
  bool tagged = false;     // it gets an ETag, once its body is there
  bool confirmed = false;  // the client has it: 304

  [[nodiscard]] bool is_coded() const { return coding != coding::Coding::identity; }
  // Whether the answer can be passed on as it is.
  [[nodiscard]] bool is_nothing() const { return !varies && !tagged && !confirmed; }
};

[[nodiscard]] Plan plan_for(const RouteCoding& route, const http::RequestHead& request,
                            const http::ResponseHead& head);

// Whether this answer may be coded for those who accept it. `length` of its body, where it is known.
[[nodiscard]] bool may_code(const RouteCoding& route, const http::ResponseHead& head,
                            std::optional<std::uint64_t> length);
// By Accept-Encoding; identity where the route codes nothing.
[[nodiscard]] coding::Coding coding_for(const RouteCoding& route, const http::RequestHead& request);
// All its values as one.
[[nodiscard]] std::string accept_encoding(const http::RequestHead& request);
// A stream that clients follow as it comes: the coding that takes the least memory of those accepted.
[[nodiscard]] coding::Coding coding_for_events(coding::Coding chosen,
                                               const http::RequestHead& request);

// Whether an answer could hold what only this client may know, sent along by the browser itself: BREACH needs such.
enum class Asker : std::uint8_t {
  harmless,  // no secret of the client's can be in it, or its own page asks
  unknown,   // nobody says whose page asks
  stranger,  // another site's page asks, by itself
};
enum class SetsCookie : bool { no, yes };
[[nodiscard]] Asker asker_of(const http::RequestHead& request, SetsCookie sets_cookie);

// A coding, and whether the answer's size is to be blurred.
struct Coded {
  coding::Coding coding = coding::Coding::identity;
  bool padded = false;
  [[nodiscard]] bool is_coded() const { return coding != coding::Coding::identity; }
};
// What the route's settings make of a coding for an answer that may be personal.
[[nodiscard]] Coded guarded(const RouteCoding& route, coding::Coding coding, Asker asker);

// How the head differs from the server's.
struct Rewrite {
  coding::Coding coding = coding::Coding::identity;
  bool varies = false;
  bool padded = false;
  bool not_modified = false;              // the answer is a 304
  std::string_view etag{};                // made here
  std::optional<std::uint64_t> length{};  // of what is sent, where it is another than the server's

  [[nodiscard]] bool is_coded() const { return coding != coding::Coding::identity; }
  // Whether the server's field stays as it is.
  [[nodiscard]] bool keeps(const http::Field& field) const;
  // The lines instead.
  void append_lines(std::string& out, const http::ResponseHead& head) const;
};

// Of a 304 that a server sent: the ETag is weak where the client named it so, for its copy is a coded one.
[[nodiscard]] Rewrite rewrite_of_304(const http::RequestHead& request,
                                     const http::ResponseHead& head);

// Whether an ETag is made for an answer, once its body is here: of announced length only, for others may stream, and have trailers.
[[nodiscard]] bool wants_tag(const RouteCoding& route, const http::ResponseHead& head);
// A strong entity tag of a content, with its quotes.
[[nodiscard]] std::string content_tag(std::string_view body);
// Whether the client's If-None-Match names the tag; If-Match and dates are others' matter.
[[nodiscard]] bool has_it(const http::RequestHead& request, std::string_view etag);
// "X-Padding: " and a number of bytes that nobody can guess, as a line.
void append_padding(std::string& out);

}  // namespace headroom::edge
