#include "headroom/sql/functions.h"

#include <algorithm>

#include "headroom/base/text.h"

namespace headroom::sql {

// 's' or 'v' for those of invariant (3), else the worst of the name.
const std::string Functions::kQuery =
    R"(
(SELECT p.proname, pg_catalog.max((CASE
  WHEN n.nspname <> 'pg_catalog' THEN p.provolatile
  WHEN p.proname IN ('random', 'clock_timestamp', 'timeofday', 'gen_random_uuid', 'pg_sleep', 'pg_sleep_for', 'pg_sleep_until', 'current_query', 'lo_get',
    'pg_database_size', 'pg_indexes_size', 'pg_relation_size', 'pg_table_size', 'pg_tablespace_size', 'pg_total_relation_size') THEN 's'
  WHEN p.proname IN ('pg_backend_pid', 'inet_server_addr', 'inet_server_port', 'pg_my_temp_schema', 'pg_is_other_temp_schema', 'pg_postmaster_start_time',
    'pg_conf_load_time', 'pg_trigger_depth', 'table_to_xml', 'schema_to_xml', 'database_to_xml') OR p.proname LIKE 'pg\_stat\_get%' OR p.proname LIKE 'pg\_cursor%'
    OR p.proname LIKE 'pg\_prepared\_%' THEN 'v'
  ELSE p.provolatile END)::pg_catalog.text COLLATE pg_catalog."C")
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace GROUP BY 1 LIMIT 9001))"
    R"( UNION ALL SELECT E'\n', pg_catalog.string_agg(relname::pg_catalog.text, E'\n') FROM pg_catalog.pg_class WHERE relkind = 'S')";

Functions::Functions(const postgres::Rows& rows) {
  if (rows.size() > kMostFunctions + 1) return;
  for (const auto& row : rows) {
    if (row.size() != 2 || !row[0] || !row[1]) continue;
    const std::string& worst = *row[1];
    if (*row[0] == "\n") {
      for (const std::string_view name : text::split(worst, '\n')) sequences_.emplace(name);
      continue;
    }
    by_name_[*row[0]] = worst == "i"   ? Volatility::immutable
                        : worst == "s" ? Volatility::stable
                                       : Volatility::is_volatile;
  }
}

Functions::Volatility Functions::of(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? Volatility::is_volatile : found->second;
}

bool Functions::has_sequence(const std::vector<ObjectName>& read) const {
  return std::ranges::any_of(
      read, [this](const ObjectName& each) { return sequences_.contains(each.name); });
}

bool Functions::all_only_read(const std::vector<ObjectName>& called) const {
  return std::ranges::all_of(
      called, [this](const ObjectName& each) { return of(each.name) != Volatility::is_volatile; });
}

}  // namespace headroom::sql
