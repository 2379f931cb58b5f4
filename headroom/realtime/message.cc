#include "headroom/realtime/message.h"

#include <fmt/format.h>

#include <charconv>

#include "headroom/base/text.h"
#include "headroom/json/json.h"
#include "headroom/realtime/encodings.h"

namespace headroom::realtime {

std::string Position::text() const { return fmt::format("{:x}-{}", epoch, offset); }

std::optional<Position> Position::parse(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos || dash == 0 || dash > 16) return std::nullopt;
  Position position;
  const char* const end = text.data() + dash;
  const auto read = std::from_chars(text.data(), end, position.epoch, 16);
  const auto offset = text::to_u64(text.substr(dash + 1));
  if (read.ec != std::errc{} || read.ptr != end || !offset) return std::nullopt;
  position.offset = *offset;
  return position;
}

std::string show_socket(SocketId id) { return fmt::format("{}.{}", id >> 32U, id & 0xFFFFFFFFU); }

std::optional<SocketId> parse_socket(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto a = text::to_u64(text.substr(0, dot));
  const auto b = text::to_u64(text.substr(dot + 1));
  if (!a || !b || *a > 0xFFFFFFFFU || *b > 0xFFFFFFFFU) return std::nullopt;
  return *a << 32U | *b;
}

std::string key_in(std::string_view data, std::string_view member) {
  const auto document = json::parse(data);
  const auto value = document ? document->root().find(member) : std::nullopt;
  return value ? std::string(value->text()) : std::string();
}

Message::~Message() {
  for (auto& wire : wires_) delete wire.load(std::memory_order_acquire);
}

const std::string& Message::wire(Wire wire) const {
  auto& slot = wires_[static_cast<std::size_t>(wire)];
  if (const std::string* made = slot.load(std::memory_order_acquire); made != nullptr) return *made;
  auto fresh = std::make_unique<const std::string>(encode(*this, wire));
  const std::string* other = nullptr;
  if (slot.compare_exchange_strong(other, fresh.get(), std::memory_order_acq_rel))
    return *fresh.release();
  return *other;
}

}  // namespace headroom::realtime
