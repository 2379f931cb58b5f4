#include "headroom/realtime/cells.h"

namespace headroom::realtime {
namespace {

constexpr std::array<const char*, kFaces> kFaceNames{"pusher", "json", "sse", "poll"};
constexpr std::array<const char*, kPriorities> kPriorityNames{"normal", "critical"};
constexpr std::array<const char*, 3> kAccess{"public", "private", "presence"};
constexpr std::array<const char*, 4> kOutcomes{"ok", "invalid", "unauthorized", "not_found"};

}  // namespace

Cells::Cells(metrics::Registry& registry, std::size_t worker)

    : received(registry.counter(kReceived).at(worker)),
      unheard(registry.counter(kUnheard).at(worker)),
      writes(registry.counter(kWrites).at(worker)),
      blocked(registry.counter(kBlocked).at(worker)),
      recovered(registry.counter(kRecoveries, {"recovered"}).at(worker)),
      lost(registry.counter(kRecoveries, {"lost"}).at(worker)),
      relayed(registry.counter(kRelayed, {"taken"}).at(worker)),
      relay_dropped(registry.counter(kRelayed, {"dropped"}).at(worker)),
      refused_data(registry.counter(kRefusedData).at(worker)) {
  const auto take = [&](auto& cells, const auto& names, const Family& family) {
    for (std::size_t i = 0; i < cells.size(); ++i)
      cells[i] = &registry.counter(family, {names[i]}).at(worker);
  };
  take(opened, kFaceNames, kOpened);
  take(refused, kRefusals, kRefused);
  take(published, kPriorityNames, kPublished);
  take(delivered, kPriorityNames, kDelivered);
  take(subscriptions, kAccess, kSubscriptions);
  take(api, kOutcomes, kApiCalls);
  for (const auto& slow : kSlow)
    dropped[static_cast<std::size_t>(slow.value)] =
        &registry.counter(kDropped, {std::string(slow.text)}).at(worker);
  for (std::size_t i = 0; i < kPriorities; ++i)
    delivery[i] = registry.histogram(kDelivery, {kPriorityNames[i]}).at(worker);
}

}  // namespace headroom::realtime
