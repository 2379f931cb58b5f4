// headroom/edge/page.h - a stored answer as the cache keeps it: facts and field lines in one string of bytes, read without parsing.
//
// Owns: nothing; a Page is a view of an object's metadata. Worker: any.
// Invariants: (1) the lines passed the parser when they came and hold what any client may see: nothing hop-by-hop, no framing, no Age; (2) a
//   marker stands where answers vary: it says by which request fields, and the answers lie under keys of their own; (3) a page knows its tags:
//   a 304 need not repeat what clients never see.
// Limits: those of the head it was made from. Its form is kPageFormat's (edge.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "headroom/coding/coding.h"
#include "headroom/edge/routes.h"
#include "headroom/http/conditional.h"
#include "headroom/http/freshness.h"
#include "headroom/http/message.h"

namespace headroom::edge {

// Whether a CDN may keep an answer, where it may keep those of the route.
enum class CdnMay : std::uint8_t { keep, not_keep };

class Page {
 public:
  static constexpr std::uint64_t kUnknownSize = ~0ULL;

  explicit Page(std::string_view metadata);

  // For a marker: the names of the request fields, as http::vary_names() gives them.
  [[nodiscard]] bool is_marker() const { return facts_.status == 0; }
  [[nodiscard]] std::string_view names() const { return lines_; }

  [[nodiscard]] std::uint16_t status() const { return facts_.status; }
  [[nodiscard]] const http::Freshness& freshness() const { return facts_.freshness; }
  // Of the body, as announced; kUnknownSize: not known when it was stored.
  [[nodiscard]] std::uint64_t size() const { return facts_.size; }
  // By which it is invalidated; each ends in a line feed.
  [[nodiscard]] std::string_view tags() const { return tags_; }
  // Whole field lines, each with its end.
  [[nodiscard]] std::string_view lines() const { return lines_; }
  [[nodiscard]] http::Validators validators() const;
  // Of the server's: an ETag made here means nothing to it.
  [[nodiscard]] bool has_validator() const {
    return (facts_.etag.size != 0 && !facts_.own_tag) || facts_.modified.size != 0;
  }
  // Whether it may be sent encoded; then its lines say Vary: Accept-Encoding.
  [[nodiscard]] bool may_be_coded() const { return facts_.codable; }
  // The same lines for an encoded body.
  void append_coded_lines(std::string& out, coding::Coding coding) const;
  // What stands for the ETag where the body is, or would be, encoded: a whole line, or "".
  void append_weak_tag(std::string& out) const;
  [[nodiscard]] std::string_view content_type() const { return at(facts_.type); }

 private:
  friend std::string page_of(const http::ResponseHead&, const http::Freshness&, const Route&,
                             std::span<const std::string>, std::string_view, CdnMay);
  friend std::string marker_of(std::string_view);
  struct Place {
    std::uint32_t at = 0;
    std::uint32_t size = 0;
  };
  struct Facts {
    http::Freshness freshness;
    std::uint64_t size = kUnknownSize;
    Place etag, modified, type;
    std::uint32_t lines = 0;  // bytes
    std::uint32_t of_bytes =
        0;  // of them, the first ones, about the plain bytes; only where it may be coded
    std::uint16_t status = 0;
    bool codable = false;
    bool own_tag = false;
  };
  [[nodiscard]] static std::string written(const Facts& facts, std::string_view lines);
  [[nodiscard]] std::string_view at(Place place) const {
    return lines_.substr(place.at, place.size);
  }

  Facts facts_;
  std::string_view lines_;
  std::string_view tags_;
};

// The metadata of an answer; `own_tag` is an ETag made here, where the server sent none.
[[nodiscard]] std::string page_of(const http::ResponseHead& head, const http::Freshness& freshness,
                                  const Route& route, std::span<const std::string> tags,
                                  std::string_view own_tag = {}, CdnMay cdn_may = CdnMay::keep);
[[nodiscard]] std::string marker_of(std::string_view names);

// The stored head, parsed again: for what is done rarely. `text` keeps the bytes that `head` views. False: what was stored is no head.
[[nodiscard]] bool parse_page(const Page& page, std::string& text, http::ResponseHead& head);

}  // namespace headroom::edge
