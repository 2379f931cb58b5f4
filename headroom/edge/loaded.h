// headroom/edge/loaded.h - what the edge's settings make, with all that they name read from files and looked at. On main's thread.
#pragma once

#include <memory>

#include "headroom/edge/cdn_options.h"
#include "headroom/edge/options.h"
#include "headroom/edge/view.h"
#include "headroom/http/server.h"
#include "headroom/net/tls.h"

namespace headroom::edge {

struct Loaded {
  std::shared_ptr<const View> view;
  std::shared_ptr<const net::TlsServer> tls;  // null: no TLS
  std::shared_ptr<const CdnSettings> cdn;     // null: no CDN is told
};

struct LoadFrom {
  std::shared_ptr<const EdgeOptions> options;
  std::shared_ptr<const limit::Rules> limits{};
  const cache::Cache* cache = nullptr;
  std::size_t workers = 1;
  std::shared_ptr<const net::TlsTicketKeys> keys{};
};

// `before`: servers, counters and learnt limits that stay the same are taken from it. Errc::invalid; changes nothing.
[[nodiscard]] Result<Loaded> load(const LoadFrom& from, const View* before,
                                  metrics::Registry& registry);

// Null: no TLS. Errc::invalid: files that cannot be read or don't fit each other.
[[nodiscard]] Result<std::shared_ptr<const net::TlsServer>> make_tls(
    const TlsOptions& options, std::size_t workers,
    const std::shared_ptr<const net::TlsTicketKeys>& keys);

[[nodiscard]] std::shared_ptr<const http::ServerOptions> server_options(const EdgeOptions& options);

}  // namespace headroom::edge
