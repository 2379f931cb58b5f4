// headroom/websocket/decoder_checks.h - what must hold for any bytes a peer may send; the tests and the fuzzer call these. Tests only.
//
// Each check reads `bytes` whole and cut in two at every one of some places, and ends the process (HR_ASSERT) when the outcomes differ.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/hash.h"
#include "headroom/websocket/decoder.h"

namespace headroom::websocket::checks {

inline constexpr std::size_t kMessageLimit = 70'000;

inline std::string_view name_of(Step::What what) {
  switch (what) {
    case Step::What::more: return "more";
    case Step::What::text: return "text";
    case Step::What::binary: return "binary";
    case Step::What::ping: return "ping";
    case Step::What::pong: return "pong";
    case Step::What::close: return "close";
    case Step::What::refused: return "refused";
  }
  return "?";
}

// Feeds a decoder as a connection does: what was not consumed stays in front of what comes next.
class Reading {
 public:
  explicit Reading(Role role, std::size_t limit = kMessageLimit,
                   Compression compression = Compression::none)
      : decoder_(role, limit, compression) {}

  void take(std::string_view piece) {
    buffer_ += piece;
    std::size_t at = 0;
    for (;;) {
      const Step step = decoder_.next(std::span(buffer_).subspan(at));
      HR_ASSERT(step.consumed <= buffer_.size() - at);
      at += step.consumed;
      if (step.what == Step::What::more) break;
      if (step.what != Step::What::refused) HR_ASSERT(step.consumed > 0U);
      if (ended_) HR_ASSERT(false);
      note(step);
    }
    buffer_.erase(0, at);
    HR_ASSERT(buffer_.size() <= kMaxHeaderBytes + kMaxControlBytes);
  }

  // "text(hello) close(1000,bye)": what has come, long payloads by size and hash.
  [[nodiscard]] const std::string& seen() const { return seen_; }
  [[nodiscard]] bool in_message() const { return decoder_.in_message(); }
  // What a refusal or close frame said.
  [[nodiscard]] CloseCode code() const { return code_; }

 private:
  void note(const Step& step) {
    if (!seen_.empty()) seen_ += ' ';
    seen_ += name_of(step.what);
    const bool closing = step.what == Step::What::close || step.what == Step::What::refused;
    if (closing) code_ = step.code;
    if (closing) ended_ = true;
    // Why something is refused may depend on the cut (two faults in one frame); with which code, and that it is, may not.
    if (step.what == Step::What::refused) {
      seen_ += fmt::format("({})", static_cast<int>(step.code));
      return;
    }
    const std::string text =
        step.payload.size() <= 40
            ? std::string(step.payload)
            : fmt::format("{} bytes, {:x}", step.payload.size(), hash64(step.payload));
    seen_ += closing ? fmt::format("({},{})", static_cast<int>(step.code), text) : "(" + text + ")";
  }

  Decoder decoder_;
  std::string buffer_;
  std::string seen_;
  CloseCode code_ = CloseCode::abnormal;
  bool ended_ = false;
};

inline std::string read_cut(Role role, Compression compression, std::string_view bytes,
                            std::size_t cut) {
  Reading reading(role, kMessageLimit, compression);
  reading.take(bytes.substr(0, cut));
  reading.take(bytes.substr(cut));
  return reading.seen();
}

inline std::string read_cut(Role role, std::string_view bytes, std::size_t cut) {
  return read_cut(role, Compression::none, bytes, cut);
}

inline void check_decoder(std::string_view bytes, Role role, Compression compression) {
  const std::string whole = read_cut(role, compression, bytes, bytes.size());
  std::uint64_t place = hash64(bytes);
  for (int i = 0; i < 4 && !bytes.empty(); ++i, place = place * 0x9e3779b97f4a7c15ULL + 1) {
    HR_ASSERT(read_cut(role, compression, bytes, place % bytes.size()) == whole);
  }
  Reading slowly(role, kMessageLimit, compression);
  for (const char& byte : bytes.substr(0, 512)) slowly.take({&byte, 1});
  if (bytes.size() <= 512) HR_ASSERT(slowly.seen() == whole);
}

inline void check_decoder(std::string_view bytes) {
  for (const Role role : {Role::server, Role::client}) {
    for (const Compression compression : {Compression::none, Compression::deflate})
      check_decoder(bytes, role, compression);
  }
}

}  // namespace headroom::websocket::checks
