#include "headroom/realtime/hub.h"

#include "headroom/realtime/pusher_api.h"
#include "headroom/realtime/pusher_door.h"
#include "headroom/realtime/shards.h"

namespace headroom::realtime {

class Hub::Body {
 public:
  Body(net::Workers& workers, metrics::Registry& registry, const RealtimeOptions& options)
      : settings_(Settings::make(options, nullptr)),
        shards_(workers, registry, settings_),
        door_(shards_),
        api_(shards_),
        open_gauge_(registry.gauge(kOpen, {}, [this] {
          return static_cast<double>(shards_.open().load(std::memory_order_relaxed));
        })) {}

  std::shared_ptr<const Settings> settings_;
  Shards shards_;
  PusherDoor door_;
  PusherApi api_;
  metrics::GaugeHandle open_gauge_;
};

Hub::Hub(net::Workers& workers, metrics::Registry& registry, const RealtimeOptions& options)
    : body_(std::make_unique<Body>(workers, registry, options)) {}

Hub::~Hub() { stop(); }

void Hub::reload(const RealtimeOptions& options) {
  if (!body_) return;
  // Channels and homes keep their rules for life, so the rules are those of the start.
  RealtimeOptions kept = options;
  kept.channels = body_->settings_->options.channels;
  body_->settings_ = Settings::make(kept, body_->settings_.get());
  body_->shards_.each([&](Shard& shard) { shard.part.use(body_->settings_); });
}

std::vector<Hub::Hosting> Hub::hosting() {
  return {{std::string(kPusherSockets), body_->door_}, {std::string(kPusherApi), body_->api_}};
}

void Hub::drain() {
  if (!body_) return;
  const Duration time = body_->settings_->options.drain;
  body_->shards_.each([&](Shard& shard) { shard.part.drain(time); });
}

void Hub::stop() { body_.reset(); }

}  // namespace headroom::realtime
