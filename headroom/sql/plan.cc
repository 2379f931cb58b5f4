#include "headroom/sql/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::sql {
namespace {

constexpr std::size_t kMostChanges = 64;  // tables that one write drops by itself

struct Calls {
  bool cacheable = true;
  bool calm = true;   // none is volatile
  bool known = true;  // they write nothing, and read nothing but what the text names
  std::string why_not{};
};

// A function of PostgreSQL's own writes no table that is cached; one of somebody else's may do anything, unless it is immutable.
void look_at(const ObjectName& name, const Catalogue& catalogue, Calls& calls) {
  const Function* function = catalogue.function(name.name);
  const auto refuse = [&](std::string_view why) {
    calls.cacheable = false;
    if (calls.why_not.empty()) calls.why_not = fmt::format("{}() {}", name.name, why);
  };
  if (function == nullptr) {
    calls.known = false;
    return refuse("is not known");
  }
  const bool may_be_users = function->in_user && name.schema != "pg_catalog";
  const bool may_be_systems =
      function->in_system && (name.schema.empty() || name.schema == "pg_catalog");
  if (may_be_users && function->user != Volatility::immutable) {
    calls.known = false;
    return refuse("is a function that may read or write anything");
  }
  if (!may_be_systems || function->system == Volatility::immutable) return;
  if (function->system == Volatility::volatile_) calls.calm = false;  // set_config() among them
  if (function->system == Volatility::volatile_) return refuse("is volatile");
  if (!is_tame(name.name)) refuse("depends on the moment or on who asks");
}

std::string refusal_of(const Decision& d) {
  if (d.its_class != Class::read) return fmt::format("it is no read ({})", name_of(d.its_class));
  if (d.statements != 1) return "it is not one statement";
  if (d.copies || d.explains) return "COPY and EXPLAIN are not cached";
  if (d.locks_rows) return "it locks rows";
  if (d.into || d.writes_in_with) return "it writes";
  if (d.samples) return "TABLESAMPLE is another one each time";
  if (d.clock) return "it depends on the time";
  if (d.local_state) return "it reads what is the server's own";
  if (d.hinted_primary) return "it asks for the primary";
  if (d.reads.empty()) return "it reads no table";
  return {};
}

void add_reads(const Decision& decision, const Catalogue& catalogue,
               const std::vector<std::string>& path, Plan& plan) {
  for (const ObjectName& name : decision.reads) {
    const Table* table = catalogue.find(name.schema, name.name, path);
    if (table == nullptr) {
      plan.reads_known = false;
      if (plan.why_not.empty()) plan.why_not = fmt::format("the table {} is not known", name.name);
      continue;
    }
    if (!table->why_not.empty()) {
      if (!table->is_system) plan.reads_known = false;
      if (plan.why_not.empty()) plan.why_not = fmt::format("{} is {}", name.name, table->why_not);
      continue;
    }
    plan.reads.insert(plan.reads.end(), table->reads.begin(), table->reads.end());
  }
  std::ranges::sort(plan.reads);
  plan.reads.erase(std::ranges::unique(plan.reads).begin(), plan.reads.end());
}

void add_changes(const Decision& decision, const Catalogue& catalogue,
                 const std::vector<std::string>& path, Plan& plan) {
  plan.effect = Plan::Effect::tables;
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

bool is_plain_begin(std::string_view text) {
  std::string words;
  for (const std::string_view word : text::split(text, ' ')) {
    if (!word.empty()) words.append(words.empty() ? "" : " ").append(text::lowered(word));
  }
  while (words.ends_with(';') || words.ends_with(' ')) words.pop_back();
  const auto drop = [&words](std::string_view end) {
    if (words.ends_with(end)) words.resize(words.size() - end.size());
  };
  drop(" not deferrable");
  drop(" read write");
  drop(" read only");
  drop(" isolation level read committed");
  return words == "begin" || words == "begin transaction" || words == "begin work" ||
         words == "start transaction";
}

Plan plan_for(const Decision& decision, const Catalogue& catalogue,
              const std::vector<std::string>& path) {
  Plan plan{.why_not = refusal_of(decision)};
  Calls calls;
  for (const ObjectName& each : decision.functions) look_at(each, catalogue, calls);
  plan.reads_known = calls.known;
  if (plan.why_not.empty()) plan.why_not = calls.why_not;
  if (plan.why_not.empty() && catalogue.has_odd_operators())
    plan.why_not = "there are operators or casts that are not immutable";
  add_reads(decision, catalogue, path, plan);
  plan.cacheable = plan.why_not.empty();
  plan.counts = plan.cacheable && decision.functions.size() == 1 &&
                decision.functions.front().name == "count";
  plan.calm = decision.its_class == Class::read && !decision.locks_rows && !decision.into &&
              !decision.copies && calls.calm && calls.known;
  const bool temporary = decision.temporary && decision.statements == 1;
  if (decision.its_class == Class::write) add_changes(decision, catalogue, path, plan);
  if (!calls.known) plan.effect = Plan::Effect::doubt;
  if ((decision.its_class == Class::schema && !temporary) || decision.its_class == Class::opaque) {
    plan.effect = Plan::Effect::schema;
    plan.reads_known = false;
  }
  return plan;
}

}  // namespace headroom::sql
