#include "headroom/server/database_api.h"

#include <fmt/format.h>

#include <array>
#include <set>

#include "headroom/base/text.h"
#include "headroom/json/writer.h"
#include "headroom/server/report.h"

namespace headroom::server {
namespace {

using http::Reply;
using sql::Sql;

constexpr int kMostTables = 100;
constexpr int kMostIndexes = 200;
constexpr double kIndexTarget = 98;  // percent of block reads (the seeds' target)

using Row = std::vector<std::optional<std::string>>;

std::string text_at(const Row& row, std::size_t column) {
  return column < row.size() ? row[column].value_or("") : "";
}
std::uint64_t number_at(const Row& row, std::size_t column) {
  return text::to_u64(text_at(row, column)).value_or(0);
}

// The rows of each database; what could not be asked is told in `errors`.
struct Answers {
  std::vector<std::pair<std::string, Row>> rows;  // database, row
  std::vector<std::string> errors;
};
Answers ask_all(const Sql& sql, const std::string& query) {
  Answers all;
  for (const std::string& name : sql.databases()) {
    auto rows = sql.ask(name, query);
    if (!rows) {
      all.errors.push_back(fmt::format("{}: {}", name, rows.error().message));
      continue;
    }
    for (auto& row : *rows) all.rows.emplace_back(name, Row(row.begin(), row.end()));
  }
  return all;
}

Answers tables_of(const Sql& sql) {
  return ask_all(sql, fmt::format("SELECT schemaname, relname, n_live_tup, "
                                  "pg_catalog.pg_total_relation_size(relid), "
                                  "pg_catalog.pg_indexes_size(relid), seq_scan, idx_scan "
                                  "FROM pg_catalog.pg_stat_user_tables ORDER BY 4 DESC LIMIT {}",
                                  kMostTables));
}

Answers indexes_of(const Sql& sql) {
  return ask_all(sql, fmt::format("SELECT s.schemaname, s.relname, s.indexrelname, s.idx_scan, "
                                  "s.idx_tup_read, pg_catalog.pg_relation_size(s.indexrelid), "
                                  "i.indisunique, i.indisvalid "
                                  "FROM pg_catalog.pg_stat_user_indexes s JOIN pg_catalog.pg_index "
                                  "i ON i.indexrelid OPERATOR(pg_catalog.=) s.indexrelid "
                                  "ORDER BY 6 DESC LIMIT {}",
                                  kMostIndexes));
}

void write_tables(json::Writer& out, std::string_view key, const Answers& tables) {
  out.key(key).begin_array();
  for (const auto& [database, row] : tables.rows) {
    const std::uint64_t by_index = number_at(row, 6);
    const std::uint64_t scans = number_at(row, 5) + by_index;
    out.begin_object()
        .field("database", database)
        .field("name", fmt::format("{}.{}", text_at(row, 0), text_at(row, 1)))
        .field("rows", number_at(row, 2))
        .field("size_bytes", number_at(row, 3))
        .field("index_bytes", number_at(row, 4));
    out.field("sequential_scans", number_at(row, 5)).field("index_scans", by_index);
    out.key("index_percent");
    scans == 0 ? out.null() : out.fixed(percentage(by_index, scans), 2);
    out.end_object();
  }
  out.end_array();
}

// `read_elsewhere`: databases whose replicas, which count for themselves, may read an index too.
void write_indexes(json::Writer& out, std::string_view key, const Answers& indexes,
                   const std::set<std::string>& read_elsewhere) {
  out.key(key).begin_array();
  for (const auto& [database, row] : indexes.rows) {
    const bool unique = text_at(row, 6) == "t";
    const bool scanned = number_at(row, 3) > 0;
    out.begin_object()
        .field("database", database)
        .field("table", fmt::format("{}.{}", text_at(row, 0), text_at(row, 1)))
        .field("index", text_at(row, 2));
    out.field("scans", number_at(row, 3))
        .field("tuples_read", number_at(row, 4))
        .field("size_bytes", number_at(row, 5));
    out.field("unique", unique).field("valid", text_at(row, 7) == "t").key("unused");
    if (!scanned && !unique && read_elsewhere.contains(database))
      out.null();
    else
      out.value(!scanned && !unique);  // a unique one keeps rows apart even when nobody reads it
    out.end_object();
  }
  out.end_array();
}

std::set<std::string> replicated(const Sql& sql) {
  std::set<std::string> names;
  for (const sql::ReplicaReport& each : sql.replicas()) names.insert(each.database);
  return names;
}

void write_errors(json::Writer& out, std::span<const Answers* const> all) {
  out.key("errors").begin_array();
  for (const Answers* each : all) {
    for (const std::string& error : each->errors) out.value(error);
  }
  out.end_array();
}

std::string_view status_of(std::span<const Answers* const> all) {
  for (const Answers* each : all) {
    if (!each->errors.empty()) return "unavailable";
  }
  return "ok";
}

Reply database_stats(const Sql& sql) {
  const Answers sizes =
      ask_all(sql, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())");
  const Answers tables = tables_of(sql);
  const Answers indexes = indexes_of(sql);
  const std::array all{&sizes, &tables, &indexes};
  std::uint64_t bytes = 0;
  for (const auto& [database, row] : sizes.rows) bytes += number_at(row, 0);
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", status_of(all)).field("size_bytes", bytes);
  write_tables(out, "collections", tables);
  write_indexes(out, "indexes", indexes, replicated(sql));
  write_errors(out, all);
  out.field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

Reply index_usage(const Sql& sql) {
  const Answers hits = ask_all(sql,
                               "SELECT pg_catalog.sum(idx_blks_hit)::pg_catalog.int8, "
                               "pg_catalog.sum(idx_blks_read)::pg_catalog.int8 "
                               "FROM pg_catalog.pg_statio_user_indexes");
  const Answers tables = tables_of(sql);
  const Answers indexes = indexes_of(sql);
  const std::array all{&hits, &tables, &indexes};
  std::uint64_t hit = 0;
  std::uint64_t read = 0;
  for (const auto& [database, row] : hits.rows) {
    hit += number_at(row, 0);
    read += number_at(row, 1);
  }
  std::string body;
  json::Writer out(body);
  out.begin_object().field("status", status_of(all)).key("index_hit_ratio");
  hit + read == 0 ? out.null() : out.fixed(percentage(hit, hit + read), 2);
  out.field("target", kIndexTarget);
  write_indexes(out, "index_usage", indexes, replicated(sql));
  write_tables(out, "tables", tables);
  write_errors(out, all);
  out.field("timestamp", utc_now()).end_object();
  return json_reply(std::move(body));
}

struct PathRow {
  std::string_view path;
  std::string_view summary;
  std::string_view fields;  // null without the proxy
  Reply (*answer)(const Sql& sql);
};
constexpr std::array kRows{
    PathRow{"/api/phase14/scalability/database/stats",
            "A-Cube: sizes of the databases, their tables and indexes.",
            "size_bytes collections indexes", database_stats},
    PathRow{"/api/v1/database/index-usage",
            "How much each index and table is read, and which index nobody reads. (FastNext)",
            "index_usage index_hit_ratio tables", index_usage},
};

}  // namespace

void write_database_size(json::Writer& out, const Sources& sources) {
  const Sql* sql = sources.sql ? sources.sql() : nullptr;
  out.key("database").begin_object();
  if (sql == nullptr) {
    out.field("status", "not_configured");
    for (const std::string_view name : {"collections", "size_bytes", "indexes"})
      out.key(name).null();
    return static_cast<void>(out.end_object());
  }
  const Answers sizes =
      ask_all(*sql,
              "SELECT pg_catalog.pg_database_size(pg_catalog.current_database()), "
              "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_user_tables), "
              "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_user_indexes)");
  std::array<std::uint64_t, 3> sums{};
  for (const auto& [database, row] : sizes.rows) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += number_at(row, i);
  }
  const std::array all{&sizes};
  out.field("status", status_of(all))
      .field("collections", sums[1])
      .field("size_bytes", sums[0])
      .field("indexes", sums[2]);
  write_errors(out, all);
  out.end_object();
}

void add_database_endpoints(Api& api, const Sources& sources) {
  for (const PathRow& row : kRows) {
    api.add({.path = std::string(row.path),
             .tag = "sql",
             .summary = row.summary,
             .place = Place::admin_and_edge,
             .answer = [&row, &sources](const Call&) {
               const Sql* sql = sources.sql ? sources.sql() : nullptr;
               return sql != nullptr ? row.answer(*sql) : not_configured(row.fields);
             }});
  }
}

std::vector<std::string> database_seed_paths() {
  std::vector<std::string> paths;
  for (const PathRow& row : kRows) paths.emplace_back(row.path);
  return paths;
}

}  // namespace headroom::server
