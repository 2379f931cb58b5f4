#include "headroom/server/database_chores.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>

namespace headroom::server {
namespace {

constexpr std::size_t kShown = 10;
constexpr std::size_t kMostTables = 100;

// What never served a query though it could have, since the counters began; keys and constraints serve otherwise. Of two indexes with the same
// table, columns, method, order and condition the one made later is the second.
constexpr std::string_view kIndexes = R"(
SELECT 'invalid', format('%I.%I', n.nspname, c.relname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT i.indisvalid
UNION ALL
SELECT 'unused', format('%I.%I', s.schemaname, s.indexrelname)
  FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid)
 WHERE s.idx_scan = 0 AND i.indisvalid AND NOT i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion
   AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)
UNION ALL
SELECT 'duplicate', format('%I.%I', n.nspname, c.relname)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'pg_toast') AND EXISTS (
   SELECT 1 FROM pg_index o JOIN pg_class d ON d.oid = o.indexrelid
    WHERE o.indrelid = i.indrelid AND o.indexrelid < i.indexrelid AND o.indkey = i.indkey AND o.indclass = i.indclass
      AND o.indcollation = i.indcollation AND o.indoption = i.indoption AND d.relam = c.relam AND o.indisunique >= i.indisunique
      AND coalesce(pg_get_expr(o.indexprs, o.indrelid), '') = coalesce(pg_get_expr(i.indexprs, i.indrelid), '')
      AND coalesce(pg_get_expr(o.indpred, o.indrelid), '') = coalesce(pg_get_expr(i.indpred, i.indrelid), ''))
ORDER BY 1, 2)";

// By autovacuum's own rule, with twice its share of changed rows; or never looked at.
constexpr std::string_view kOldStatistics = R"(
SELECT format('%I.%I', schemaname, relname) FROM pg_stat_user_tables
 WHERE n_mod_since_analyze > 50 + 0.2 * n_live_tup OR (n_live_tup > 0 AND last_analyze IS NULL AND last_autoanalyze IS NULL)
 ORDER BY n_mod_since_analyze DESC, 1)";

std::string shown(const std::vector<std::string>& names) {
  const std::size_t count = std::min(names.size(), kShown);
  std::string text = fmt::format(
      "{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(count), ", "));
  if (names.size() > count) text += fmt::format(" and {} more", names.size() - count);
  return text;
}

// `look(sql, database)` for each database; one that cannot be asked is the chore's failure, after the others have been looked at.
template <class Look>
Result<std::string> each_database(const DatabaseChores& from, const Look& look) {
  const sql::Sql* sql = from.sql();
  if (sql == nullptr) return fail(Errc::unavailable, "the SQL proxy does not run");
  std::string said;
  std::optional<Error> wrong;
  for (const std::string& database : sql->databases()) {
    Result<std::string> found = look(*sql, database);
    if (!found && !wrong) wrong = found.error();
    said += fmt::format("{}{}: {}", said.empty() ? "" : "; ", database,
                        found ? *found : found.error().message);
  }
  if (wrong) return fail(wrong->code, said);
  return said.empty() ? "there is no database" : said;
}

Result<std::string> check_indexes(const sql::Sql& sql, const std::string& database) {
  auto rows = sql.ask(database, std::string(kIndexes));
  if (!rows) return pass(rows);
  std::string said;
  for (const std::string_view kind : {"invalid", "unused", "duplicate"}) {
    std::vector<std::string> names;
    for (const auto& row : *rows) {
      if (row.at(0) == kind) names.push_back(row.at(1).value_or(""));
    }
    if (names.empty()) continue;
    said += fmt::format("{}{} {} ({})", said.empty() ? "" : ", ", names.size(), kind, shown(names));
  }
  return said.empty() ? "no index is invalid, unused or there twice" : "indexes: " + said;
}

Result<std::string> refresh(const sql::Sql& sql, const std::string& database, bool analyze) {
  auto rows = sql.ask(database, std::string(kOldStatistics));
  if (!rows) return pass(rows);
  std::vector<std::string> names;
  for (const auto& row : *rows) names.push_back(row.at(0).value_or(""));
  if (names.empty()) return "all statistics are fresh";
  if (!analyze)
    return fmt::format("statistics are old of {} ({}); tasks.analyze = true would refresh them",
                       names.size(), shown(names));
  for (std::size_t i = 0; i < std::min(names.size(), kMostTables); ++i) {
    auto done = sql.ask(database, "ANALYZE " + names[i]);  // quoted by the server
    if (!done) return pass(done, names[i]);
  }
  return fmt::format("statistics refreshed of {} ({})", std::min(names.size(), kMostTables),
                     shown(names));
}

}  // namespace

std::vector<tasks::Chore> database_chores(const DatabaseChores& from) {
  auto indexes = [from] { return each_database(from, check_indexes); };
  auto statistics = [from] {
    return each_database(from, [&](const sql::Sql& sql, const std::string& database) {
      return refresh(sql, database, from.analyze);
    });
  };
  return {{.name = "index-check", .cron = "41 4 1 1,4,7,10 *", .work = std::move(indexes)},
          {.name = "statistics", .cron = "41 3 * * sun", .work = std::move(statistics)}};
}

}  // namespace headroom::server
