#include "headroom/edge/cdn_client.h"

#include "headroom/http/call.h"

namespace headroom::edge {

net::Task<Result<CdnAnswer>> call_cdn(net::TaskGroup& group, net::Resolver& resolver,
                                      const CdnSettings& settings, const CdnRequest& request) {
  const http::Call what{.to = {.host = settings.address.host,
                               .port = settings.address.port,
                               .authority = settings.address.authority,
                               .target = request.target,
                               .tls = true},
                        .fields = request.fields,
                        .body = request.body,
                        .timeout = settings.options.timeout};
  auto answer = co_await http::call(group, resolver, settings.tls.get(), what);
  if (!answer) co_return pass(answer);
  co_return CdnAnswer{answer->status, std::move(answer->retry_after), std::move(answer->body)};
}

}  // namespace headroom::edge
