#include "headroom/server/audit_api.h"

#include <fmt/format.h>

#include "headroom/base/text.h"
#include "headroom/json/writer.h"
#include "headroom/server/audit.h"

namespace headroom::server {
namespace {

constexpr std::uint64_t kFirst = 100;
constexpr std::uint64_t kMost = 1000;

http::Reply show(Audit& audit, const Call& call) {
  const std::string limit_text = call.query_value("limit");
  const std::string before_text = call.query_value("before");
  const auto limit = limit_text.empty() ? std::optional(kFirst) : text::to_u64(limit_text);
  const auto before =
      before_text.empty() ? std::optional<std::uint64_t>(0) : text::to_u64(before_text);
  if (!limit || *limit == 0 || *limit > kMost)
    return error_reply(400, "invalid", fmt::format("limit: expected 1 to {}", kMost));
  if (!before || *before > 1ULL << 62U)
    return error_reply(400, "invalid", "before: expected the id of an entry");
  const auto entries = audit.newest(*limit, static_cast<std::int64_t>(*before));
  if (!entries) return error_reply(entries.error());
  std::string body;
  json::Writer out(body);
  out.begin_object().key("entries").begin_array();
  for (const AuditEntry& each : *entries) {
    out.begin_object().field("id", each.id).field("at", each.at).field("who", each.who);
    out.field("role", each.role).field("from", each.from).field("method", each.method);
    out.field("path", each.path).field("status", each.status).field("times", each.times);
    out.end_object();
  }
  out.end_array().key("next");
  entries->size() < *limit ? out.null() : out.value(entries->back().id);
  out.end_object();
  return json_reply(std::move(body));
}

}  // namespace

void add_audit_endpoint(Api& api, const Sources& sources) {
  api.add({.path = "/api/v1/audit",
           .role = auth::Role::admin,
           .tag = "audit",
           .summary = "Who changed what, from where, with which result, the newest first "
                      "(?limit=100&before=ID): over restarts, the last 10,000.",
           .query = "limit before",
           .answer = [&sources](const Call& call) {
             Audit* audit = sources.audit ? sources.audit() : nullptr;
             return audit == nullptr ? not_configured("entries") : show(*audit, call);
           }});
}

}  // namespace headroom::server
