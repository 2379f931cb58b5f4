#include "headroom/sql/functions.h"

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::sql {

// Of each function 's' or 'v' for those of invariant (3), else its own; of each name the worst. Then the names of invariant (4), each kind in one row.
// PostgreSQL keeps rules, policies and checks as trees, in which a call is ":funcid 16384"; its own views are known by name, as reading
// their trees takes it 50 ms.
const std::string Functions::kQuery =
    R"(
WITH RECURSIVE f AS MATERIALIZED (SELECT p.oid, p.proname, (CASE
  WHEN n.nspname <> 'pg_catalog' THEN p.provolatile
  WHEN p.proname IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'current_query', 'lo_get',
    'pg_database_size', 'pg_indexes_size', 'pg_relation_size', 'pg_table_size', 'pg_tablespace_size', 'pg_total_relation_size') THEN 's'
  WHEN p.proname IN ('pg_backend_pid', 'inet_server_addr', 'inet_server_port', 'pg_my_temp_schema', 'pg_is_other_temp_schema', 'pg_postmaster_start_time',
    'pg_conf_load_time', 'pg_trigger_depth', 'table_to_xml', 'schema_to_xml', 'database_to_xml') OR p.proname LIKE 'pg\_stat\_get%' OR p.proname LIKE 'pg\_cursor%'
    OR p.proname LIKE 'pg\_prepared\_%' THEN 'v'
  ELSE p.provolatile END)::pg_catalog.text COLLATE pg_catalog."C" AS volatility
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace),
rules AS (SELECT r.oid, r.ev_class, r.ev_action::pg_catalog.text AS tree FROM pg_catalog.pg_rewrite r WHERE r.ev_type = '1' AND r.ev_class >= 16384),
calls AS (SELECT ev_class AS what, tree, 'r' AS kind FROM rules
  UNION ALL SELECT polrelid, pg_catalog.concat(polqual::pg_catalog.text, polwithcheck::pg_catalog.text), 'r' FROM pg_catalog.pg_policy
  UNION ALL SELECT contypid, conbin::pg_catalog.text, 'd' FROM pg_catalog.pg_constraint WHERE contypid <> 0),
bad AS MATERIALIZED (SELECT DISTINCT c.what, c.kind FROM calls c,
  LATERAL pg_catalog.regexp_matches(c.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m JOIN f ON f.oid = m[1]::pg_catalog.oid WHERE f.volatility = 'v'),
relations AS (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'S' OR (c.relkind = 'v' AND c.oid < 16384
    AND c.relname ~ '^pg_(stat|locks|sequences|cursors|prepared_|replication_|settings|file_settings|hba_file|ident_file|shmem_|backend_memory)')
  UNION SELECT what FROM bad WHERE kind = 'r'
  UNION SELECT u.ev_class FROM relations, (SELECT rules.ev_class, d.refobjid FROM rules JOIN pg_catalog.pg_depend d ON d.objid = rules.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> rules.ev_class) u
    WHERE u.refobjid = relations.oid),
casts AS (SELECT c.casttarget, c.castcontext FROM pg_catalog.pg_cast c JOIN f ON f.oid = c.castfunc WHERE f.volatility = 'v')
(SELECT proname, pg_catalog.max(volatility) FROM f GROUP BY 1 LIMIT 9001)
UNION ALL SELECT E'\n', pg_catalog.string_agg(DISTINCT c.relname::pg_catalog.text, E'\n') FROM pg_catalog.pg_class c JOIN relations ON relations.oid = c.oid
UNION ALL SELECT E'\r', pg_catalog.string_agg(DISTINCT name::pg_catalog.text, E'\n') FROM (SELECT o.oprname AS name FROM pg_catalog.pg_operator o JOIN f ON f.oid = o.oprcode
    WHERE f.volatility = 'v' UNION SELECT t.typname FROM pg_catalog.pg_type t WHERE t.oid IN (SELECT what FROM bad WHERE kind = 'd' UNION SELECT casttarget FROM casts)) applied
UNION ALL SELECT E'\t', 't' WHERE EXISTS (SELECT FROM casts WHERE castcontext <> 'e'))";

Functions::Functions(const postgres::Rows& rows) {
  if (rows.size() > kMostFunctions + 3) return;
  const auto add_names = [](Names& names, const std::string& lines) {
    for (const std::string_view name : text::split(lines, '\n')) names.emplace(name);
  };
  for (const auto& row : rows) {
    if (row.size() != 2 || !row[0] || !row[1]) continue;
    const std::string& worst = *row[1];
    if (*row[0] == "\n")
      add_names(relations_, worst);
    else if (*row[0] == "\r")
      add_names(applied_, worst);
    else if (*row[0] == "\t")
      unwritten_casts_ = true;
    else
      by_name_[*row[0]] = worst == "i"   ? Volatility::immutable
                          : worst == "s" ? Volatility::stable
                                         : Volatility::is_volatile;
  }
}

Functions::Volatility Functions::of(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Volatility::is_volatile : found->second;
}

bool Functions::only_reads(const Decision& decision) const {
  const auto is_one_of = [](const Names& names) {
    return [&names](const ObjectName& each) { return names.contains(each.name); };
  };
  return !unwritten_casts_ && std::ranges::none_of(decision.reads, is_one_of(relations_)) &&
         std::ranges::none_of(decision.applies, is_one_of(applied_)) &&
         std::ranges::all_of(decision.functions, [this](const ObjectName& each) {
           return of(each.name) != Volatility::is_volatile;
         });
}

}  // namespace headroom::sql
