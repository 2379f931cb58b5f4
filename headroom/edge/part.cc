#include "headroom/edge/part.h"

#include <array>

#include "headroom/edge/loaded.h"
#include "headroom/edge/metrics.h"

namespace headroom::edge {
namespace {

constexpr std::array<unsigned, 7> kRefusals{400, 408, 413, 414, 431, 501, 505};

ProxyCells proxy_cells(metrics::Registry& registry, std::size_t worker) {
  ProxyCells cells{&registry.counter(kAllBegun).at(worker),
                   &registry.counter(kAllEnded).at(worker),
                   &registry.counter(kAllErrors).at(worker),
                   {}};
  const auto cell = [&](std::string label) {
    return &registry.counter(kBadRequests, {std::move(label)}).at(worker);
  };
  cells.bad_requests[0] = cell("other");
  for (const unsigned status : kRefusals) cells.bad_requests[status] = cell(std::to_string(status));
  return cells;
}

BatchCells batch_cells(metrics::Registry& registry, std::size_t worker) {
  const auto cell = [&](const char* outcome) {
    return &registry.counter(kBatches, {outcome}).at(worker);
  };
  BatchCells cells;
  cells.answered = cell("answered");
  cells.refused = cell("refused");
  cells.gone = cell("gone");
  for (std::size_t i = 1; i < cells.parts.size(); ++i) {
    cells.parts[i] = &registry.counter(kBatchParts, {std::to_string(i) + "xx"}).at(worker);
  }
  return cells;
}

RefreshCells refresh_cells(metrics::Registry& registry, std::size_t worker) {
  const auto cell = [&](const char* outcome) {
    return &registry.counter(kRefreshes, {outcome}).at(worker);
  };
  return {cell("renewed"), cell("not_stored"), cell("failed"), cell("refused")};
}

WarmCells warm_cells(metrics::Registry& registry, std::size_t worker) {
  WarmCells cells;
  for (std::size_t i = 0; i < kWarmed; ++i) {
    cells.outcomes[i] =
        &registry.counter(kWarmRequests, {std::string(to_string(static_cast<Warmed>(i)))})
             .at(worker);
  }
  return cells;
}

}  // namespace

Part::Part(net::Worker& worker, const Shared& shared, const EdgeOptions& options,
           std::shared_ptr<const net::TlsServer> tls_server)
    : group(worker),
      batch(inner, batch_cells(shared.registry, worker.index())),
      refresher(group, inner, refresh_cells(shared.registry, worker.index())),
      coder(options.compress, coding_cells(shared.registry, worker.index()), shared.encodings),
      warmer(group, inner, shared.warm_board, warm_cells(shared.registry, worker.index())),
      proxy(group, shared.hosting, shared.log, shared.cache,
            proxy_cells(shared.registry, worker.index()), inner, batch, refresher, coder),
      tls(std::move(tls_server)),
      plain(group, proxy, server_options(options)),
      secure(group, proxy, server_options(options),
             [this, index = worker.index()] { return tls->context(index); }) {
  inner.lead_to(plain);
}

void Part::begin(const std::shared_ptr<const View>& view) {
  proxy.set_view(view);
  if (!trimmer) trimmer.emplace(group.worker().wheel(), proxy);
}

}  // namespace headroom::edge
