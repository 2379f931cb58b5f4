#include "headroom/server/commands.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <span>

#include "headroom/auth/token_store.h"
#include "headroom/config/values.h"
#include "headroom/edge/edge.h"
#include "headroom/limit/options.h"
#include "headroom/limit/rules.h"
#include "headroom/server/admin.h"
#include "headroom/server/admin_door.h"
#include "headroom/server/alerts_api.h"
#include "headroom/server/audit.h"
#include "headroom/server/audit_api.h"
#include "headroom/server/cache_api.h"
#include "headroom/server/cache_entries.h"
#include "headroom/server/cdn_api.h"
#include "headroom/server/database_api.h"
#include "headroom/server/families.h"
#include "headroom/server/live.h"
#include "headroom/server/objectives.h"
#include "headroom/server/openapi.h"
#include "headroom/server/options.h"
#include "headroom/server/realtime_api.h"
#include "headroom/server/realtime_look.h"
#include "headroom/server/report.h"
#include "headroom/server/seeds.h"
#include "headroom/server/sql_api.h"
#include "headroom/server/sql_cache_api.h"
#include "headroom/server/state_dir.h"
#include "headroom/server/tasks_api.h"
#include "headroom/server/tokens.h"
#include "headroom/server/trends_api.h"
#include "headroom/server/warm_api.h"
#include "headroom/sql/sql.h"
#include "headroom/sqlite/database.h"
#include "headroom/tasks/options.h"
#include "headroom/tasks/tasks.h"

namespace headroom::server {
namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;

int say(int code, std::string_view message) {
  fmt::print(stderr, "{}\n", message);
  return code;
}

int code_of(const Error& error) { return error.code == Errc::invalid ? kBadUsage : kFailed; }
int say(const Error& error) { return say(code_of(error), error.message); }

// The state directory that the settings mean.
Result<std::filesystem::path> state_path(const SettingsRequest& request) {
  auto settings = load_settings(request);
  if (!settings) return pass(settings);
  const auto& options = (*settings)->get<ServerOptions>();
  return options.state_dir.empty() ? default_state_dir() : options.state_dir;
}

Result<std::unique_ptr<auth::TokenStore>> open_tokens(const SettingsRequest& request) {
  ::umask(077);
  auto path = state_path(request);
  if (!path) return pass(path);
  if (auto directory = StateDir::open(*path); !directory) return pass(directory);
  return auth::TokenStore::open(tokens_path(*path));
}

// In the same log as what is done over the admin API.
void note_command(const SettingsRequest& request, std::string what) {
  auto path = state_path(request);
  if (!path) return;
  Audit audit(audit_path(*path));
  audit.note({.who = "command line", .path = std::move(what), .status = 200});
}

// Everything that is kept: tokens, jobs, trends. What the cache has on disk is not state: it is asked for anew.
Result<std::vector<std::filesystem::path>> databases_of(const std::filesystem::path& state_dir) {
  std::vector<std::filesystem::path> files;
  std::error_code failed;
  for (std::filesystem::directory_iterator each(state_dir, failed), end; !failed && each != end;
       each.increment(failed)) {
    if (each->path().extension() == ".db") files.push_back(each->path());
  }
  if (files.empty()) {
    return fail(Errc::unavailable,
                fmt::format("{}: there is nothing to back up{}", state_dir.string(),
                            failed ? ": " + failed.message() : ""));
  }
  std::ranges::sort(files);
  return files;
}

Result<auth::TokenRequest> token_request(const TokenFlags& flags) {
  auto role = auth::parse_role(flags.role);
  if (!role) return pass(role, "--role");
  auth::TokenRequest request{.name = flags.name, .role = *role, .expires = {}};
  if (flags.expires_in.empty()) return request;
  const auto life = config::Value<Duration>::parse(flags.expires_in);
  if (!life)
    return fail(Errc::invalid, "--expires-in: expected " + config::Value<Duration>::accepted());
  request.expires = auth::wall_now() + std::chrono::duration_cast<std::chrono::seconds>(*life);
  return request;
}

std::string date_or_never(const std::optional<auth::WallTime>& when) {
  return when ? utc_text(*when) : "never";
}

// The endpoints without anything behind them, for their documents.
std::string of_endpoints(std::string (*document)(const std::vector<Endpoint>&)) {
  net::Workers workers(1);
  metrics::Registry registry(1);
  net::Offload pool("docs", 1);
  const monitor::Vitals vitals(workers);
  const monitor::Rates rates;
  const Sources sources{.vitals = vitals, .registry = registry, .rates = rates};
  Api api(workers, pool, pool, registry);
  add_admin_endpoints(api, sources);
  add_seed_endpoints(api, sources);
  add_cache_endpoints(api, sources);
  add_sql_endpoints(api, sources);
  add_database_endpoints(api, sources);
  add_sql_cache_endpoints(api, sources);
  add_tasks_endpoints(api, sources);
  add_cache_entries(api, sources);
  add_realtime_endpoints(api, sources);
  add_realtime_look_endpoints(api, sources);
  add_warm_endpoints(api, sources);
  add_cdn_endpoints(api, sources);
  add_trends_endpoints(api, sources);
  add_alert_endpoints(api, sources);
  add_audit_endpoint(api, sources);
  add_objective_endpoints(api, sources);
  Live live(sources);
  live.add_endpoints(api);
  return document(api.endpoints()) + "\n";
}

std::string_view kind_name(metrics::Kind kind) {
  switch (kind) {
    case metrics::Kind::counter: return "counter";
    case metrics::Kind::gauge: return "gauge";
    case metrics::Kind::histogram: return "histogram";
  }
  return "?";
}

void append_families(std::string& out, std::string_view room,
                     std::span<const metrics::Family* const> families) {
  out += fmt::format("\n## {}\n\n| metric | kind | labels | |\n|---|---|---|---|\n", room);
  for (const metrics::Family* family : families) {
    const std::span labels(family->labels.data(), family->label_count());
    out += fmt::format("| `{}` | {} | {} | {} |\n", family->name, kind_name(family->kind),
                       fmt::join(labels, ", "), family->help);
  }
}

std::string metrics_document() {
  std::string out =
      "# Metrics\n\n"
      "Generated from the tables in the code; do not edit. `GET /metrics` on the admin address has "
      "them as Prometheus text, or as "
      "OpenMetrics where `Accept` asks for it. Times are in seconds, sizes in bytes. Counters "
      "begin at 0 with the process. A "
      "family has at most 1,000 series; further label values share one series labelled `_other`.\n";
  for (const RoomFamilies& each : families_of_rooms())
    append_families(out, each.room, each.families);
  return out;
}

// What serve would refuse when it starts, but for what depends on the moment (an address in use).
Result<> try_settings(const config::Settings& settings) {
  const auto& admin = settings.get<AdminOptions>();
  if (auto keys = admin_keys(admin); !keys) return pass(keys);
  if (auto at = endpoint_of(admin.listen); admin.enabled && !at) return pass(at, "admin.listen");
  const auto& jobs = settings.get<tasks::TasksOptions>();
  if (auto at = endpoint_of(jobs.listen); jobs.enabled && !at) return pass(at, "tasks.listen");
  metrics::Registry registry(1);
  auto limits = limit::Rules::make(settings.get<limit::LimitOptions>(), nullptr, registry);
  if (!limits) return pass(limits);
  const auto options = std::make_shared<const edge::EdgeOptions>(settings.get<edge::EdgeOptions>());
  const auto proxied = std::make_shared<const sql::SqlOptions>(settings.get<sql::SqlOptions>());
  if (proxied->enabled && proxied->configured()) {
    if (auto good = sql::validate(proxied); !good) return good;
  }
  return options->enabled ? edge::validate(options, settings.get<cache::CacheOptions>())
                          : Result<>{};
}

}  // namespace

int check_settings(const SettingsRequest& request) {
  auto settings = load_settings(request);
  if (!settings) return say(settings.error());
  if (auto good = try_settings(**settings); !good) return say(kBadUsage, good.error().message);
  // Whoever only checks shall read what the start would say.
  const auto& jobs = (*settings)->get<tasks::TasksOptions>();
  const auto at = endpoint_of(jobs.listen);
  const auto warning =
      jobs.enabled && at ? tasks::warning_of_open_door(jobs, *at) : std::optional<std::string>();
  if (warning) fmt::print(stderr, "{}: tasks.listen: warning: {}\n", request.file, *warning);
  fmt::print("{}: fine\n", request.file);
  return 0;
}

int create_token(const SettingsRequest& request, const TokenFlags& flags) {
  auto wanted = token_request(flags);
  if (!wanted) return say(wanted.error());
  auto store = open_tokens(request);
  if (!store) return say(store.error());
  auto plain = (*store)->create(*wanted, auth::wall_now());
  if (!plain) return say(plain.error());
  note_command(request, "token create " + wanted->name);
  fmt::print("{}\n", *plain);
  return 0;
}

int list_tokens(const SettingsRequest& request) {
  auto store = open_tokens(request);
  if (!store) return say(store.error());
  auto records = (*store)->list();
  if (!records) return say(records.error());
  fmt::print("{:24} {:9} {:21} {:21} {:21} {}\n", "name", "role", "created", "expires", "last used",
             "revoked");
  for (const auth::TokenRecord& record : *records) {
    fmt::print("{:24} {:9} {:21} {:21} {:21} {}\n", record.name, auth::to_string(record.role),
               utc_text(record.created), date_or_never(record.expires),
               date_or_never(record.last_used), record.revoked ? utc_text(*record.revoked) : "");
  }
  return 0;
}

int revoke_token(const SettingsRequest& request, const std::string& name) {
  auto store = open_tokens(request);
  if (!store) return say(store.error());
  auto revoked = (*store)->revoke(name, auth::wall_now());
  if (!revoked) return say(revoked.error());
  note_command(request, "token revoke " + name);
  return 0;
}

int backup(const SettingsRequest& request, const std::string& directory) {
  ::umask(077);
  auto path = state_path(request);
  if (!path) return say(path.error());
  auto files = databases_of(*path);
  if (!files) return say(files.error());
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  if (failed) return say(kFailed, fmt::format("{}: {}", directory, failed.message()));
  for (const std::filesystem::path& file : *files) {
    const auto copy = std::filesystem::path(directory) / file.filename();
    auto database = sqlite::Database::open(file, {.must_exist = true});
    if (!database) return say(kFailed, database.error().message);
    if (auto done = (*database)->backup_to(copy); !done) return say(kFailed, done.error().message);
    fmt::print("{}\n", copy.string());
  }
  return 0;
}

int print_docs(const std::string& what) {
  std::string text;
  if (what == "settings") {
    text = schema().help_text();
  } else if (what == "config") {
    text = schema().markdown();
  } else if (what == "metrics") {
    text = metrics_document();
  } else if (what == "schema") {
    text = schema().json_schema();
  } else if (what == "openapi") {
    text = of_endpoints(openapi);
  } else if (what == "api") {
    text = of_endpoints(api_page);
  } else {
    return say(
        kBadUsage,
        fmt::format("'{}': expected settings, config, metrics, api, schema or openapi", what));
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

}  // namespace headroom::server
