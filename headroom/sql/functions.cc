#include "headroom/sql/functions.h"

#include <algorithm>

#include "headroom/base/hash.h"
#include "headroom/base/text.h"

namespace headroom::sql {

// Of each function 's' or 'v' for those of invariant (3), else its own; of each name the worst. Then the names of invariant (4), each kind in one row.
// PostgreSQL keeps rules, policies and checks as trees, in which a call is ":funcid 16384"; its own views are known by name, as reading
// their trees takes it 50 ms. How many rows come of a recursion is overestimated so far that it would be compiled first (seconds).
const std::string Functions::kQuery =
    R"(
SET LOCAL jit = off; WITH RECURSIVE f AS MATERIALIZED (SELECT p.oid, p.proname, (CASE
  WHEN n.nspname <> 'pg_catalog' THEN p.provolatile
  WHEN p.proname IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'current_query', 'lo_get',
    'pg_database_size', 'pg_indexes_size', 'pg_relation_size', 'pg_table_size', 'pg_tablespace_size', 'pg_total_relation_size') THEN 's'
  WHEN p.proname IN ('pg_backend_pid', 'inet_server_addr', 'inet_server_port', 'pg_my_temp_schema', 'pg_is_other_temp_schema', 'pg_postmaster_start_time',
    'pg_conf_load_time', 'pg_trigger_depth', 'table_to_xml', 'schema_to_xml', 'database_to_xml') OR p.proname LIKE 'pg\_stat\_get%' OR p.proname LIKE 'pg\_cursor%'
    OR p.proname LIKE 'pg\_prepared\_%' THEN 'v'
  ELSE p.provolatile END)::pg_catalog.text COLLATE pg_catalog."C" AS volatility, n.nspname <> 'pg_catalog' AND p.provolatile <> 'i' AS unsure
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace),
rules AS (SELECT r.oid, r.ev_class, r.ev_action::pg_catalog.text AS tree FROM pg_catalog.pg_rewrite r WHERE r.ev_type = '1' AND r.ev_class >= 16384),
calls AS (SELECT ev_class AS what, tree, 'r' AS kind FROM rules
  UNION ALL SELECT polrelid, pg_catalog.concat(polqual::pg_catalog.text, polwithcheck::pg_catalog.text), 'r' FROM pg_catalog.pg_policy
  UNION ALL SELECT contypid, conbin::pg_catalog.text, 'd' FROM pg_catalog.pg_constraint WHERE contypid <> 0),
risks AS MATERIALIZED (SELECT oid, proname, CASE volatility WHEN 'v' THEN 'v' ELSE 'u' END COLLATE pg_catalog."C" AS risk FROM f WHERE volatility = 'v' OR unsure),
bad AS MATERIALIZED (SELECT c.what, c.kind, pg_catalog.max(f.risk) AS risk FROM calls c,
  LATERAL pg_catalog.regexp_matches(c.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m JOIN risks f ON f.oid = m[1]::pg_catalog.oid GROUP BY 1, 2),
domains AS (SELECT what, risk FROM bad WHERE kind = 'd' UNION SELECT t.oid, d.risk FROM domains d, LATERAL (
    SELECT oid FROM pg_catalog.pg_type WHERE typbasetype = d.what UNION ALL SELECT typarray FROM pg_catalog.pg_type WHERE oid = d.what AND typarray <> 0
    UNION ALL SELECT c.reltype FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE a.atttypid = d.what AND a.attnum > 0 AND c.reltype <> 0) t),
relations AS (SELECT c.oid, 'v' COLLATE pg_catalog."C" AS risk FROM pg_catalog.pg_class c WHERE c.relkind = 'S' OR (c.relkind = 'v' AND c.oid < 16384
    AND c.relname ~ '^pg_(stat|locks|sequences|cursors|prepared_|replication_|settings|file_settings|hba_file|ident_file|shmem_|backend_memory)')
  UNION SELECT what, risk FROM bad WHERE kind = 'r'
  UNION SELECT c.what, d.risk FROM domains d JOIN calls c ON c.kind = 'r' AND c.tree ~ pg_catalog.concat(':resulttype ', d.what, ' ')
  UNION SELECT u.ev_class, relations.risk FROM relations, (SELECT rules.ev_class, d.refobjid FROM rules JOIN pg_catalog.pg_depend d ON d.objid = rules.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> rules.ev_class) u
    WHERE u.refobjid = relations.oid),
casts AS (SELECT c.casttarget, c.castcontext, f.risk FROM pg_catalog.pg_cast c JOIN risks f ON f.oid = c.castfunc)
(SELECT proname, pg_catalog.max(volatility) FROM f GROUP BY 1 LIMIT 9001)
UNION ALL SELECT pg_catalog.concat(E'\n', kind, risk), pg_catalog.string_agg(DISTINCT pg_catalog.translate(name::pg_catalog.text, E'\n', ' ') COLLATE pg_catalog."C", E'\n') FROM (
  SELECT 'r' AS kind, risk, c.relname AS name FROM pg_catalog.pg_class c JOIN relations ON relations.oid = c.oid
  UNION ALL SELECT 'a', f.risk, o.oprname FROM pg_catalog.pg_operator o JOIN risks f ON f.oid = o.oprcode
  UNION ALL SELECT 'a', k.risk, t.typname FROM pg_catalog.pg_type t JOIN (SELECT what, risk FROM domains UNION SELECT casttarget, risk FROM casts) k ON k.what = t.oid
  UNION ALL SELECT 'c', risk, proname FROM risks WHERE EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
    WHERE p.oid = risks.oid AND p.pronargs > 0 AND p.pronargs - p.pronargdefaults <= 1 AND t.typtype IN ('c', 'd', 'p'))
  UNION ALL SELECT 'f', 'u', proname FROM f WHERE unsure
  UNION ALL SELECT 'f', 'v', proname FROM pg_catalog.pg_proc WHERE prorettype || proargtypes::pg_catalog.oid[] && ARRAY(SELECT what FROM domains WHERE risk = 'v')
  UNION ALL SELECT 'f', 'u', proname FROM pg_catalog.pg_proc WHERE prorettype || proargtypes::pg_catalog.oid[] && ARRAY(SELECT what FROM domains WHERE risk = 'u')
  UNION ALL SELECT 'i', risk, 't' FROM casts WHERE castcontext <> 'e') named GROUP BY kind, risk)";

// As names are sent in one row, each in a line of its own.
bool is_among(const auto& names, const std::string& name) {
  if (!name.contains('\n')) return names.contains(name);
  std::string line = name;
  std::ranges::replace(line, '\n', ' ');
  return names.contains(line);
}

// A row of names is "\n", what they are, and 'v' or 'u': of what is volatile, or not known to do nothing.
Functions::Functions(const postgres::Rows& rows) {
  if (rows.size() > kMostFunctions + 10) return;
  for (const auto& row : rows) {
    if (row.size() != 2 || !row[0] || !row[1]) continue;
    const std::string& name = *row[0];
    const std::string& said = *row[1];
    if (name.size() != 3 || name[0] != '\n') {
      by_name_[name] = said == "i"   ? Volatility::immutable
                       : said == "s" ? Volatility::stable
                                     : Volatility::is_volatile;
      continue;
    }
    // What is volatile is unsure as well.
    for (Callers* callers : {&unsure_, &volatile_}) {
      if (callers == &volatile_ && name[2] != 'v') continue;
      if (name[1] == 'i') callers->unwritten_casts = true;
      for (const std::string_view each : text::split(said, '\n')) {
        if (name[1] == 'r') callers->relations.emplace(each);
        if (name[1] == 'a') callers->applied.emplace(each);
        if (name[1] == 'c') callers->fields.emplace(hash64(each));
        if (name[1] == 'f') callers->functions.emplace(each);
      }
    }
  }
}

Functions::Volatility Functions::of(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Volatility::is_volatile : found->second;
}

bool Functions::Callers::any_of(const Decision& decision) const {
  const auto among = [](const Names& names) {
    return [&names](const ObjectName& each) { return is_among(names, each.name); };
  };
  return unwritten_casts || std::ranges::any_of(decision.functions, among(functions)) ||
         std::ranges::any_of(decision.reads, among(relations)) ||
         std::ranges::any_of(decision.applies, among(applied)) ||
         (!fields.empty() && std::ranges::any_of(decision.fields, [this](std::uint64_t hash) {
           return fields.contains(hash);
         }));
}

bool Functions::only_reads(const Decision& decision) const {
  return !volatile_.any_of(decision) &&
         std::ranges::all_of(decision.functions, [this](const ObjectName& each) {
           return of(each.name) != Volatility::is_volatile;
         });
}

bool Functions::runs_again(const Decision& decision) const {
  return only_reads(decision) && !unsure_.any_of(decision);
}

}  // namespace headroom::sql
