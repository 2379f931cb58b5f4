// headroom/realtime/chunk.h - what one write to a connection is made of: views of messages and answers, and what a cut write left of them.
//
// Owns: references only where a write was cut. Worker: one. Limits: full() once it holds 16 KiB; one more message may then be whole in it.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "headroom/realtime/message.h"

namespace headroom::realtime {

struct Chunk {
  static constexpr std::size_t kBytes = 16U << 10U;  // also a TLS record

  struct Piece {
    std::string_view bytes;
    const MessagePtr* message = nullptr;  // in its channel's log; or
    Bits own{};
  };
  std::vector<Piece> pieces;
  std::size_t bytes = 0;

  [[nodiscard]] bool full() const { return bytes >= kBytes; }
  [[nodiscard]] bool empty() const { return pieces.empty(); }
  void add(std::string_view text, const MessagePtr& message) {
    bytes += text.size();
    pieces.push_back({text, &message});
  }
  void add(Bits text, std::size_t from = 0) {
    const std::string_view view = std::string_view(*text).substr(from);
    bytes += view.size();
    pieces.push_back({view, nullptr, std::move(text)});
  }
  void clear() {
    pieces.clear();
    bytes = 0;
  }
};

// The first piece from `begun` on, then the others.
struct Rest {
  std::vector<Bits> pieces;
  std::size_t begun = 0;
};

}  // namespace headroom::realtime
