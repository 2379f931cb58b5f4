#include "headroom/sql/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "headroom/sql/comment.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kMostChanges = 64;  // tables that one write drops by itself

struct Calls {
  bool calm = true;   // none is volatile
  bool known = true;  // they write nothing, and read nothing but what the text names
};

// These run SQL that is given as text, or read whole schemas.
bool runs_text(std::string_view system_function) {
  return system_function == "ts_stat" || system_function == "ts_rewrite" ||
         system_function.find("_to_xml") != std::string_view::npos;
}

// A function of PostgreSQL's own writes no table that is cached; one of somebody else's may do anything, unless it is immutable.
void look_at(const ObjectName& name, const Catalogue& catalogue, Calls& calls, Plan& plan) {
  const Function* function = catalogue.function(name.name);
  const auto refuse = [&](std::string_view why, Refusal reason = Refusal::function) {
    plan.refuse(reason, fmt::format("{}() {}", name.name, why));
  };
  if (function == nullptr) {
    calls.known = false;
    return refuse("is not known", Refusal::unknown);
  }
  const bool may_be_users = function->in_user && name.schema != "pg_catalog";
  const bool may_be_systems =
      function->in_system && (name.schema.empty() || name.schema == "pg_catalog");
  if (may_be_users && function->user != Volatility::immutable) {
    calls.known = false;
    return refuse("is a function that may read or write anything");
  }
  if (!may_be_systems || function->system == Volatility::immutable) return;
  if (runs_text(name.name)) calls.known = false;
  if (function->system == Volatility::volatile_) calls.calm = false;  // set_config() among them
  if (function->system == Volatility::volatile_) return refuse("is volatile");
  if (!is_tame(name.name)) refuse("depends on the moment or on who asks");
}

void look_at_statement(const Decision& d, Plan& plan) {
  const auto refuse = [&](bool applies, std::string_view why, Refusal reason = Refusal::statement) {
    if (applies) plan.refuse(reason, std::string(why));
  };
  if (d.its_class != Class::read)
    plan.refuse(Refusal::statement, fmt::format("it is no read ({})", name_of(d.its_class)));
  refuse(d.statements != 1, "it is not one statement");
  refuse(d.copies || d.explains, "COPY and EXPLAIN are not cached");
  refuse(d.locks_rows, "it locks rows");
  refuse(d.into || d.writes_in_with, "it writes");
  refuse(d.samples, "TABLESAMPLE is another one each time");
  refuse(d.clock, "it depends on the time", Refusal::time);
  refuse(d.local_state, "it reads what is the server's own", Refusal::table);
  refuse(d.hinted_primary, "it asks for the primary");
  refuse(d.reads.empty(), "it reads no table");
}

void add_reads(const Decision& decision, const Catalogue& catalogue,
               const std::vector<std::string>& path, Plan& plan) {
  for (const ObjectName& name : decision.reads) {
    const Table* table = catalogue.find(name.schema, name.name, path);
    if (table == nullptr) {
      plan.reads_known = false;
      plan.refuse(Refusal::unknown, fmt::format("the table {} is not known", name.name));
      continue;
    }
    if (table->calls_volatile) plan.effect = std::max(plan.effect, Plan::Effect::doubt);
    if (!table->why_not.empty()) {
      if (!table->is_system) plan.reads_known = false;
      plan.refuse(Refusal::table, fmt::format("{} is {}", name.name, table->why_not));
      continue;
    }
    plan.reads.insert(plan.reads.end(), table->reads.begin(), table->reads.end());
  }
  std::ranges::sort(plan.reads);
  plan.reads.erase(std::ranges::unique(plan.reads).begin(), plan.reads.end());
}

void add_changes(const Decision& decision, const Catalogue& catalogue,
                 const std::vector<std::string>& path, Plan& plan) {
  plan.effect = std::max(plan.effect, Plan::Effect::tables);
  for (const ObjectName& name : decision.writes) {
    const Table* table = catalogue.find(name.schema, name.name, path);
    if (table == nullptr || table->acts) {
      plan.effect = Plan::Effect::doubt;
      if (table == nullptr) continue;
    }
    // Of many partitions the stream tells which one it was.
    const bool many = table->changes.size() > kMostChanges;
    if (many) plan.effect = Plan::Effect::doubt;
    const std::vector<Oid>& changes = many ? table->upwards : table->changes;
    plan.changes.insert(plan.changes.end(), changes.begin(), changes.end());
  }
  std::ranges::sort(plan.changes);
  plan.changes.erase(std::ranges::unique(plan.changes).begin(), plan.changes.end());
}

}  // namespace

std::string_view name_of(Refusal refusal) {
  constexpr std::array<std::string_view, kRefusals> kNames{
      "none",     "statement", "function", "time",   "table",     "unknown",
      "settings", "rule",      "size",     "stream", "too_often", "busy"};
  return kNames[static_cast<std::size_t>(refusal)];
}

void Plan::refuse(Refusal reason, std::string why) {
  if (refusal != Refusal::none) return;
  refusal = reason;
  why_not = std::move(why);
}

bool is_plain_begin(std::string_view text) {
  const auto mode = begin_mode(text);
  return mode && (!mode->isolation_given || mode->read_committed) && !is_hinted(text);
}

Plan plan_for(const Decision& decision, const Catalogue& catalogue,
              const std::vector<std::string>& path) {
  Plan plan;
  look_at_statement(decision, plan);
  Calls calls;
  for (const ObjectName& each : decision.functions) look_at(each, catalogue, calls, plan);
  plan.reads_known = calls.known;
  if (catalogue.has_odd_operators())
    plan.refuse(Refusal::function, "there are operators or casts that are not immutable");
  add_reads(decision, catalogue, path, plan);
  plan.cacheable = plan.refusal == Refusal::none;
  plan.counts = plan.cacheable && decision.functions.size() == 1 &&
                decision.functions.front().name == "count";
  plan.calm = decision.its_class == Class::read && plan.effect == Plan::Effect::none &&
              !decision.locks_rows && !decision.into && !decision.copies && calls.calm &&
              calls.known;
  const bool temporary = decision.temporary && decision.statements == 1 && !decision.writes_in_with;
  if (decision.its_class == Class::write) add_changes(decision, catalogue, path, plan);
  if (!calls.known) plan.effect = Plan::Effect::doubt;
  if ((decision.its_class == Class::schema && !temporary) || decision.its_class == Class::opaque) {
    plan.effect = Plan::Effect::schema;
    plan.reads_known = false;
  }
  return plan;
}

}  // namespace headroom::sql
