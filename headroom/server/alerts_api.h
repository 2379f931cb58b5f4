// headroom/server/alerts_api.h - alerts over the admin API: state, history, silences, the same rules for Prometheus; and who is told.
//
// Owns: AlertSender its task on one worker. Borrows: the alerts, which live on the trends thread, and that thread.
// Invariants: (1) an alert is sent until somebody answers 2xx, for a day at most: then it is dropped and logged; (2) in the order in which they happened.
// Limits: 50 alerts a call; a pause from one second to a minute between tries.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "headroom/http/call.h"
#include "headroom/monitor/alerts.h"
#include "headroom/net/offload.h"
#include "headroom/server/api.h"
#include "headroom/server/sources.h"

namespace headroom::server {

void add_alert_endpoints(Api& api, const Sources& sources);

// "alerts": {"firing", "pending", "list": [...]}.
void write_alerts(json::Writer& out, const monitor::Alerts* alerts);

// What is sent: Alertmanager's webhook body (version 4), or a Slack message.
[[nodiscard]] std::string webhook_body(std::span<const monitor::AlertEvent> events,
                                       monitor::Shape shape);

// The rules as a file for Prometheus over our own metrics, as far as its language has them.
[[nodiscard]] std::string prometheus_rules(std::span<const monitor::AlertOptions> rules);

class AlertSender {
 public:
  // Errc::invalid for an address that cannot be called.
  [[nodiscard]] static Result<std::unique_ptr<AlertSender>> start(
      net::Worker& worker, net::Resolver& resolver, net::Offload& thread, monitor::Alerts& alerts,
      const monitor::AlertingOptions& options, std::size_t workers);
  ~AlertSender();

 private:
  AlertSender(net::Worker& worker, net::Resolver& resolver, net::Offload& thread,
              monitor::Alerts& alerts)
      : resolver_(resolver), thread_(thread), alerts_(alerts), group_(worker) {}
  [[nodiscard]] net::Task<> run();
  // What is to be sent, on the alerts' thread.
  [[nodiscard]] Result<std::vector<monitor::AlertEvent>> fresh_events();
  // False: to be tried again.
  [[nodiscard]] net::Task<bool> send();

  net::Resolver& resolver_;
  net::Offload& thread_;
  monitor::Alerts& alerts_;
  http::CallAddress to_;
  monitor::Shape shape_{};
  std::shared_ptr<const net::TlsClient> tls_;
  net::TaskGroup group_;
};

}  // namespace headroom::server
