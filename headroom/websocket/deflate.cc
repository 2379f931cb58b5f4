#include "headroom/websocket/deflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"

namespace headroom::websocket {
namespace {

// What ends a flushed block and is not sent (RFC 7692, 7.2.1).
constexpr std::string_view kTail("\x00\x00\xff\xff", 4);
constexpr int kRaw = -15;
constexpr int kLevel = 3;
constexpr int kMemory = 8;

class Deflater {
 public:
  Deflater() {
    HR_ASSERT(deflateInit2(&stream_, kLevel, Z_DEFLATED, kRaw, kMemory, Z_DEFAULT_STRATEGY) ==
              Z_OK);
  }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() { deflateEnd(&stream_); }

  std::string run(std::string_view text) {
    deflateReset(&stream_);
    std::string out(deflateBound(&stream_, text.size()) + 16, '\0');
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib's own style
    stream_.avail_in = static_cast<uInt>(text.size());
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    HR_ASSERT(deflate(&stream_, Z_SYNC_FLUSH) == Z_OK);
    HR_ASSERT(stream_.avail_in == 0U);
    HR_ASSERT(stream_.avail_out > 0U);
    out.resize(out.size() - stream_.avail_out);
    HR_ASSERT(out.ends_with(kTail));
    out.resize(out.size() - kTail.size());
    return out;
  }

 private:
  z_stream stream_{};
};

// One permessage-deflate offer, its parameters behind the first semicolon.
bool can_answer(const std::vector<std::string_view>& parts) {
  std::array<bool, 3> seen{};
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::string_view part = text::trimmed(parts[i]);
    const std::string_view name = text::trimmed(part.substr(0, part.find('=')));
    const std::size_t which = name == "server_no_context_takeover"   ? 0
                              : name == "client_no_context_takeover" ? 1
                              : name == "client_max_window_bits"     ? 2
                                                                     : seen.size();
    if (which == seen.size() || std::exchange(seen[which], true)) return false;
    if (which < 2 && part != name) return false;
    if (which == 2 && part != name) {
      std::string_view value = text::trimmed(part.substr(part.find('=') + 1));
      if (value.size() > 2 && value.starts_with('"') && value.ends_with('"'))
        value = value.substr(1, value.size() - 2);
      const auto bits = text::to_u64(value);
      if (!bits || *bits < 8 || *bits > 15) return false;
    }
  }
  return true;
}

}  // namespace

bool offers_deflate(const std::vector<std::string_view>& extensions) {
  return std::ranges::any_of(extensions, [](std::string_view value) {
    return std::ranges::any_of(text::split(value, ','), [](std::string_view offer) {
      const auto parts = text::split(offer, ';');
      return !parts.empty() && text::trimmed(parts[0]) == "permessage-deflate" && can_answer(parts);
    });
  });
}

std::optional<std::string> deflate_message(std::string_view text) {
  thread_local Deflater deflater;
  std::string out = deflater.run(text);
  if (out.size() >= text.size()) return std::nullopt;
  return out;
}

Result<std::string> inflate_message(std::string_view bytes, std::size_t limit) {
  z_stream stream{};
  HR_ASSERT(inflateInit2(&stream, kRaw) == Z_OK);
  std::string out;
  const auto end = [&](Result<std::string> result) {
    inflateEnd(&stream);
    return result;
  };
  for (const std::string_view part : {bytes, kTail}) {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(part.data()));
    stream.avail_in = static_cast<uInt>(part.size());
    do {
      std::array<char, 16384> piece;  // NOLINT: written by zlib
      stream.next_out = reinterpret_cast<Bytef*>(piece.data());
      stream.avail_out = static_cast<uInt>(piece.size());
      const int done = inflate(&stream, Z_SYNC_FLUSH);
      const std::size_t made = piece.size() - stream.avail_out;
      if (out.size() + made > limit)
        return end(fail(Errc::overloaded, "a message over the limit once inflated"));
      out.append(piece.data(), made);
      if (done == Z_STREAM_END) {  // a final block may come before the end (7.2.3.4)
        inflateReset(&stream);
        continue;
      }
      if (done != Z_OK && done != Z_BUF_ERROR) return end(fail(Errc::protocol, "no deflated data"));
      if (made == 0) break;
    } while (stream.avail_in > 0 || stream.avail_out == 0);
    if (stream.avail_in > 0) return end(fail(Errc::protocol, "no deflated data"));
  }
  return end(std::move(out));
}

}  // namespace headroom::websocket
