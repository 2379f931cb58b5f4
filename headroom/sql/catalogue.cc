#include "headroom/sql/catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "headroom/base/text.h"
#include "headroom/sql/catalogue_rows.h"

namespace headroom::sql {

using postgres::RelationName;
using postgres::Rows;

namespace {

constexpr std::size_t kPage = 5000;

// Stable, because they look at settings that are in every key (time zone, formats, text search configuration), or call functions of types.
constexpr auto kTame = std::to_array<std::string_view>({"array_agg",
                                                        "array_to_json",
                                                        "array_to_string",
                                                        "concat",
                                                        "concat_ws",
                                                        "date_part",
                                                        "date_trunc",
                                                        "extract",
                                                        "format",
                                                        "generate_series",
                                                        "json_agg",
                                                        "json_array_length",
                                                        "json_build_array",
                                                        "json_build_object",
                                                        "json_object_agg",
                                                        "jsonb_agg",
                                                        "jsonb_build_array",
                                                        "jsonb_build_object",
                                                        "jsonb_object_agg",
                                                        "json_populate_record",
                                                        "jsonb_populate_record",
                                                        "json_populate_recordset",
                                                        "jsonb_populate_recordset",
                                                        "json_to_record",
                                                        "jsonb_to_record",
                                                        "json_to_recordset",
                                                        "jsonb_to_recordset",
                                                        "make_timestamptz",
                                                        "phraseto_tsquery",
                                                        "plainto_tsquery",
                                                        "quote_literal",
                                                        "quote_nullable",
                                                        "row_to_json",
                                                        "string_agg",
                                                        "timezone",
                                                        "to_char",
                                                        "to_date",
                                                        "to_json",
                                                        "to_jsonb",
                                                        "to_number",
                                                        "to_timestamp",
                                                        "to_tsquery",
                                                        "to_tsvector",
                                                        "websearch_to_tsquery"});

Oid oid_of(const std::optional<std::string>& text) {
  return text ? static_cast<Oid>(text::to_u64(*text).value_or(0)) : 0;
}
bool is_true(const std::optional<std::string>& text) { return text && *text == "t"; }
char letter(const std::optional<std::string>& text) {
  return text && !text->empty() ? text->front() : '\0';
}
Volatility volatility_of(char code) {
  return code == 'i'   ? Volatility::immutable
         : code == 's' ? Volatility::stable
                       : Volatility::volatile_;
}

constexpr std::string_view kTables = R"(
SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relrowsecurity,
 EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D')
  OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.ev_type <> '1')
  OR EXISTS (SELECT FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid AND d.adbin::text ~ ':funcid ([0-9]{{6,}}|1[6-9][0-9]{{3}}|[2-9][0-9]{{4}}) ')
  OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conbin::text ~ ':funcid ([0-9]{{6,}}|1[6-9][0-9]{{3}}|[2-9][0-9]{{4}}) '),
 EXISTS (SELECT FROM pg_catalog.pg_policy p WHERE p.polrelid = c.oid AND p.polqual::text ~ 'FUNCEXPR|SUBLINK|SQLVALUEFUNCTION :op ([0-9]|14|15) ')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.oid > {} ORDER BY c.oid LIMIT {})";
constexpr std::string_view kEdges = R"(
SELECT 'i', inhrelid, inhparent FROM pg_catalog.pg_inherits
UNION SELECT 'k', confrelid, conrelid FROM pg_catalog.pg_constraint
 WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd')) AND confrelid <> conrelid
UNION SELECT 'v', ev_class, m[1]::oid FROM pg_catalog.pg_rewrite, LATERAL regexp_matches(ev_action::text, ':relid (\d+)', 'g') m
 WHERE ev_type = '1' AND ev_class >= 16384 AND m[1]::oid <> ev_class
ORDER BY 1, 2, 3 OFFSET {} LIMIT {})";
constexpr std::string_view kViewCalls = R"(
SELECT DISTINCT r.ev_class, p.proname, p.pronamespace = 'pg_catalog'::regnamespace, p.provolatile
FROM pg_catalog.pg_rewrite r, LATERAL regexp_matches(r.ev_action::text, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m
JOIN pg_catalog.pg_proc p ON p.oid = m[1]::oid WHERE r.ev_type = '1' AND r.ev_class >= 16384 AND p.provolatile <> 'i'
UNION SELECT r.ev_class, 'a value of the moment', true, 'v' FROM pg_catalog.pg_rewrite r
 WHERE r.ev_type = '1' AND r.ev_class >= 16384 AND r.ev_action::text ~ 'SQLVALUEFUNCTION|TABLESAMPLECLAUSE'
ORDER BY 1, 2 OFFSET {} LIMIT {})";
constexpr std::string_view kFunctions = R"(
SELECT proname, pronamespace = 'pg_catalog'::regnamespace, max(CASE provolatile WHEN 'v' THEN 3 WHEN 's' THEN 2 ELSE 1 END)
FROM pg_catalog.pg_proc GROUP BY 1, 2 ORDER BY 1, 2 OFFSET {} LIMIT {})";
constexpr std::string_view kColumnFunctions = R"(
SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0]
WHERE p.oid >= 16384 AND p.pronargs - p.pronargdefaults <= 1 AND p.pronargs > 0 AND t.typtype = 'c' AND p.provolatile <> 'i' ORDER BY 1 OFFSET {} LIMIT {})";
constexpr std::string_view kBeginnings = R"(
SELECT coalesce(r.rolname, ''), c FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole, LATERAL unnest(s.setconfig) c
WHERE (s.setrole = 0 OR r.oid IS NOT NULL) AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
ORDER BY s.setdatabase <> 0, 1, 2 OFFSET {} LIMIT {})";
// Of a role: as whom it may act, and what those may. One with a superuser among them may act as anybody. Last, of who owns what is read by his rights.
constexpr std::string_view kRights = R"(
WITH RECURSIVE r AS (
 SELECT oid, rolname, rolsuper, concat_ws('/', oid, rolsuper, rolbypassrls, rolinherit,
  (SELECT string_agg(m::text, ',' ORDER BY m::text) FROM pg_catalog.pg_auth_members m WHERE m.member = oid)) AS own FROM pg_catalog.pg_roles
), acts(role, other) AS (SELECT oid, oid FROM r UNION SELECT a.role, m.roleid FROM acts a JOIN pg_catalog.pg_auth_members m ON m.member = a.other),
everybody AS (SELECT md5(string_agg(own, ' ' ORDER BY oid)) AS own FROM r),
may AS (SELECT a.role, md5(string_agg(o.own, ' ' ORDER BY o.oid)) AS what, bool_or(o.rolsuper) AS super FROM acts a JOIN r o ON o.oid = a.other GROUP BY a.role)
SELECT r.rolname, what || CASE WHEN super THEN (SELECT own FROM everybody) ELSE '' END FROM may JOIN r ON r.oid = may.role
UNION ALL SELECT '', md5(coalesce(string_agg(role || what, ' ' ORDER BY role), '')) FROM may
 WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relowner = may.role AND c.oid >= 16384 AND c.relkind = 'v')
ORDER BY 1, 2 OFFSET {} LIMIT {})";
constexpr std::string_view kSettings = R"(
SELECT name, reset_val, CASE WHEN source = 'client' THEN 'l' WHEN source IN ('default', 'configuration file', 'command line', 'environment variable') THEN 'c' ELSE 'r' END
FROM pg_catalog.pg_settings WHERE name IN ('search_path', 'default_transaction_isolation'))";
constexpr std::string_view kOddOperators = R"(
SELECT EXISTS (SELECT FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode WHERE o.oid >= 16384 AND p.provolatile <> 'i')
 OR EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc WHERE c.oid >= 16384 AND p.provolatile <> 'i'))";

}  // namespace

bool is_tame(std::string_view name) { return std::ranges::find(kTame, name) != kTame.end(); }

const Table* Catalogue::find(const RelationName& name) const {
  const auto found = tables_.find(name);
  return found == tables_.end() ? nullptr : &found->second;
}

const Table* Catalogue::find(std::string_view schema, std::string_view name,
                             const std::vector<std::string>& path) const {
  if (!schema.empty()) return find({std::string(schema), std::string(name)});
  if (std::ranges::find(path, "pg_catalog") == path.end()) {
    if (const Table* system = find({"pg_catalog", std::string(name)})) return system;
  }
  for (const std::string& each : path) {
    if (const Table* found = find({each, std::string(name)})) return found;
  }
  return nullptr;
}

const Function* Catalogue::function(std::string_view name) const {
  const auto found = functions_.find(std::string(name));
  return found == functions_.end() ? nullptr : &found->second;
}

const std::string* Catalogue::begins_with(const std::string& user,
                                          const std::string& setting) const {
  const auto in = [&setting](const std::map<std::string, std::string>& settings) {
    const auto found = settings.find(setting);
    return found == settings.end() ? nullptr : &found->second;
  };
  if (const std::string* fixed = in(of_all_logins_)) return fixed;
  for (const std::string& role : {user, std::string()}) {
    const auto found = beginnings_.find(role);
    const std::string* value = found == beginnings_.end() ? nullptr : in(found->second.settings);
    if (value != nullptr) return value;
  }
  return nullptr;
}

TimePoint Catalogue::begin_alike_since(const std::string& user) const {
  TimePoint since{};
  for (const std::string& role : {user, std::string()}) {
    if (const auto found = beginnings_.find(role); found != beginnings_.end())
      since = std::max(since, found->second.since);
  }
  return since;
}

std::vector<std::string> Catalogue::begin_otherwise(const Catalogue& before, TimePoint now) {
  std::vector<std::string> roles;
  for (const auto& [role, its] : before.beginnings_)
    (void)beginnings_[role];  // it may have none now
  for (auto& [role, its] : beginnings_) {
    const auto found = before.beginnings_.find(role);
    const bool same = found == before.beginnings_.end() ? its.settings.empty()
                                                        : found->second.settings == its.settings;
    if (found != before.beginnings_.end()) its.since = found->second.since;
    if (same) continue;
    its.since = now;
    roles.push_back(role);
  }
  return roles;
}

std::vector<std::string> Catalogue::may_otherwise(const Catalogue& before) const {
  std::vector<std::string> roles;
  const auto add = [&roles](const Rights& these, const Rights& others) {
    for (const auto& [role, what] : these) {
      const auto found = others.find(role);
      if (found == others.end() || found->second != what) roles.push_back(role);
    }
  };
  add(rights_, before.rights_);
  add(before.rights_, rights_);
  return roles;
}

void CatalogueRows::add_rights(const Row& row) {
  if (row.size() == 2 && row[0] && row[1]) made_->rights_[*row[0]] = *row[1];
}

void CatalogueRows::add_setting(const Row& row) {
  if (row.size() != 3 || !row[0] || !row[1]) return;
  if (letter(row[2]) == 'l') made_->of_all_logins_[*row[0]] = *row[1];
  if (letter(row[2]) == 'c') (void)made_->beginnings_[""].settings.try_emplace(*row[0], *row[1]);
}

void CatalogueRows::add_beginning(const Row& row) {
  if (row.size() != 2 || !row[0] || !row[1]) return;
  const std::size_t equals = row[1]->find('=');
  if (equals == std::string::npos) return;
  made_->beginnings_[*row[0]].settings[text::lowered(row[1]->substr(0, equals))] =
      row[1]->substr(equals + 1);
}

void CatalogueRows::add_table(const Row& row) {
  if (row.size() != 8 || !row[1] || !row[2]) return;
  const Oid oid = oid_of(row[0]);
  const char kind = letter(row[3]);
  const char persistence = letter(row[4]);
  Table table{.oid = oid, .acts = is_true(row[6])};
  table.is_system = oid < 16384 || row[1]->starts_with("pg_") || *row[1] == "information_schema";
  if (table.is_system)
    table.why_not = "a system catalogue";
  else if (persistence == 't')
    table.why_not = "a temporary table";
  else if (persistence == 'u')
    table.why_not = "an unlogged table: its changes are not in the log";
  else if (kind == 'f')
    table.why_not = "a foreign table";
  else if (is_true(row[5]) && is_true(row[7]))
    table.why_not = "row-level security by functions or other tables";
  const auto [place, fresh] =
      made_->tables_.insert_or_assign(RelationName{*row[1], *row[2]}, std::move(table));
  entries_[oid] = {.table = &place->second, .name = *row[2], .kind = kind};
}

void CatalogueRows::add_edge(const Row& row) {
  if (row.size() != 3) return;
  const auto from = entries_.find(oid_of(row[1]));
  const auto to = entries_.find(oid_of(row[2]));
  if (from == entries_.end() || to == entries_.end()) return;
  switch (letter(row[0])) {
    case 'i':
      from->second.parents.push_back(to->first);
      to->second.children.push_back(from->first);
      break;
    case 'k': from->second.cascades.push_back(to->first); break;
    case 'v':
      if (from->second.kind == 'v') from->second.views.push_back(to->first);
      break;
    default: break;
  }
}

void CatalogueRows::add_call(const Row& row) {
  if (row.size() != 4 || !row[1]) return;
  const auto view = entries_.find(oid_of(row[0]));
  if (view == entries_.end() || view->second.kind != 'v') return;
  if (is_true(row[2]) && letter(row[3]) == 's' && is_tame(*row[1])) return;
  view->second.called = *row[1];
  if (!is_true(row[2]) && letter(row[3]) == 'v') view->second.calls_volatile = true;
}

void CatalogueRows::add_function(const Row& row) {
  if (row.size() != 3 || !row[0]) return;
  Function& function = made_->functions_[*row[0]];
  const char level = letter(row[2]);
  const Volatility worst = volatility_of(level == '1' ? 'i' : level == '2' ? 's' : 'v');
  (is_true(row[1]) ? function.in_system : function.in_user) = true;
  (is_true(row[1]) ? function.system : function.user) = worst;
}

void CatalogueRows::add_column_function(const Row& row) {
  if (row.size() == 1 && row[0]) made_->column_functions_.push_back(*row[0]);
}

// Everything that is reached from `start` by these edges, it among them.
template <class Edges>
std::set<Oid> CatalogueRows::reach(Oid start, Edges edges) const {
  std::set<Oid> seen{start};
  std::vector<Oid> left{start};
  while (!left.empty()) {
    const Entry& entry = entries_.at(left.back());
    left.pop_back();
    edges(entry, [&](Oid next) {
      if (seen.insert(next).second) left.push_back(next);
    });
  }
  return seen;
}

void CatalogueRows::finish(Oid oid, Entry& entry) {
  Table& table = *entry.table;
  const auto each = [](const std::vector<Oid>& all, const auto& visit) {
    std::ranges::for_each(all, visit);
  };
  for (const Oid reached :
       reach(oid, [&](const Entry& e, const auto& visit) { each(e.views, visit); })) {
    const Entry& read = entries_.at(reached);
    if (read.kind != 'v') table.reads.push_back(reached);
    table.calls_volatile = table.calls_volatile || read.calls_volatile;
    if (table.why_not.empty() && !read.table->why_not.empty())
      table.why_not = fmt::format("{} is {}", read.name, read.table->why_not);
    if (table.why_not.empty() && !read.called.empty())
      table.why_not = fmt::format("the view {} calls {}", read.name, read.called);
    // A read of a table reads its partitions and heirs.
    for (const Oid below :
         reach(reached, [&](const Entry& e, const auto& visit) { each(e.children, visit); })) {
      const Table& child = *entries_.at(below).table;
      if (table.why_not.empty() && !child.why_not.empty())
        table.why_not = fmt::format("{} is {}", entries_.at(below).name, child.why_not);
    }
  }
  const auto up = reach(oid, [&](const Entry& e, const auto& visit) { each(e.parents, visit); });
  table.upwards.assign(up.begin(), up.end());
  const auto all = reach(oid, [&](const Entry& e, const auto& visit) {
    each(e.views, visit);
    each(e.children, visit);
    each(e.parents, visit);
    each(e.cascades, visit);
  });
  for (const Oid changed : all) {
    const Entry& other = entries_.at(changed);
    if (other.kind != 'v') table.changes.push_back(changed);
    if (other.table->acts) table.acts = true;
  }
}

std::shared_ptr<Catalogue> CatalogueRows::make(std::uint64_t version, bool odd_operators) {
  made_->version_ = version;
  made_->odd_operators_ = odd_operators;
  for (auto& [oid, entry] : entries_) finish(oid, entry);
  return std::move(made_);
}

CatalogueRows::CatalogueRows(const Catalogue& before) : made_(std::make_shared<Catalogue>(before)) {
  made_->beginnings_.clear();
  made_->of_all_logins_.clear();
  made_->rights_.clear();
}

namespace {

using AddRow = void (CatalogueRows::*)(const CatalogueRows::Row&);

net::Task<Result<>> read_pages(postgres::Server& server, std::string_view text, AddRow add,
                               CatalogueRows& made, TimePoint deadline) {
  for (std::size_t at = 0;; at += kPage) {
    std::string query = fmt::format(fmt::runtime(text), at, kPage);
    auto rows = co_await postgres::ask(server, std::move(query), deadline);
    if (!rows) co_return pass(rows);
    for (const auto& row : *rows) (made.*add)(row);
    if (rows->size() < kPage) co_return Result<>{};
  }
}

net::Task<Result<>> add_roles(postgres::Server& server, CatalogueRows& made, TimePoint deadline) {
  auto may = co_await read_pages(server, kRights, &CatalogueRows::add_rights, made, deadline);
  if (!may) co_return may;
  auto read =
      co_await read_pages(server, kBeginnings, &CatalogueRows::add_beginning, made, deadline);
  if (!read) co_return read;
  auto settings = co_await postgres::ask(server, std::string(kSettings), deadline);
  if (!settings) co_return pass(settings);
  for (const auto& row : *settings) made.add_setting(row);
  co_return Result<>{};
}

}  // namespace

net::Task<Result<std::shared_ptr<Catalogue>>> read_roles(postgres::Server& server,
                                                         const Catalogue& before,
                                                         std::uint64_t version,
                                                         TimePoint deadline) {
  CatalogueRows made(before);
  auto read = co_await add_roles(server, made, deadline);
  if (!read) co_return pass(read);
  co_return made.make(version, before.has_odd_operators());
}

// One transaction: all of it as of one moment.
net::Task<Result<std::shared_ptr<Catalogue>>> read_catalogue(postgres::Server& server,
                                                             std::uint64_t version,
                                                             TimePoint deadline) {
  CatalogueRows made;
  auto begun =
      co_await postgres::ask(server, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", deadline);
  if (!begun) co_return pass(begun);
  for (Oid last = 0;;) {
    std::string query = fmt::format(kTables, last, kPage);
    auto rows = co_await postgres::ask(server, std::move(query), deadline);
    if (!rows) co_return pass(rows);
    for (const auto& row : *rows) made.add_table(row);
    if (rows->size() < kPage) break;
    last = oid_of(rows->back()[0]);
  }
  for (const auto& [text, add] :
       {std::pair{kEdges, &CatalogueRows::add_edge},
        std::pair{kViewCalls, &CatalogueRows::add_call},
        std::pair{kFunctions, &CatalogueRows::add_function},
        std::pair{kColumnFunctions, &CatalogueRows::add_column_function}}) {
    auto read = co_await read_pages(server, text, add, made, deadline);
    if (!read) co_return pass(read);
  }
  auto roles = co_await add_roles(server, made, deadline);
  if (!roles) co_return pass(roles);
  auto odd = co_await postgres::ask(server, std::string(kOddOperators), deadline);
  if (!odd) co_return pass(odd);
  auto ended = co_await postgres::ask(server, "COMMIT", deadline);
  if (!ended) co_return pass(ended);
  co_return made.make(version, odd->empty() || is_true(odd->front()[0]));
}

net::Task<Result<Fingerprint>> read_fingerprint(postgres::Server& server, TimePoint deadline) {
  const auto part = [](std::string_view table, std::string_view condition) {
    return fmt::format(
        " || ' ' || (SELECT count(*) || '/' || coalesce(sum(hashtext(xmin::text || "
        "ctid::text)::bigint), 0) FROM pg_catalog.{} WHERE {})",
        table, condition);
  };
  // Temporary tables come and go and are nobody else's.
  std::string query =
      "WITH t AS (SELECT oid FROM pg_catalog.pg_class WHERE oid >= 16384 AND relpersistence <> 't' "
      "AND relkind IN ('r', 'p', 'v', 'm', 'f')) SELECT pg_catalog.pg_conf_load_time()::text || "
      "(SELECT ' ' || datdba FROM pg_catalog.pg_database WHERE datname = current_database())";
  for (const auto& [table, relation] :
       {std::pair{"pg_class", "oid"}, std::pair{"pg_rewrite", "ev_class"},
        std::pair{"pg_policy", "polrelid"}, std::pair{"pg_inherits", "inhrelid"},
        std::pair{"pg_attrdef", "adrelid"}, std::pair{"pg_attribute", "attnum > 0 AND attrelid"},
        std::pair{"pg_trigger", "NOT tgisinternal AND tgrelid"},
        std::pair{"pg_constraint", "contype = 'f' AND conrelid"}})
    query += part(table, fmt::format("{} IN (SELECT oid FROM t)", relation));
  for (const auto& [table, condition] :
       {std::pair{"pg_proc", "oid >= 16384"}, std::pair{"pg_operator", "oid >= 16384"},
        std::pair{"pg_cast", "oid >= 16384"}, std::pair{"pg_enum", "true"},
        std::pair{"pg_type", "oid >= 16384 AND typtype IN ('e', 'd', 'r')"},
        std::pair{"pg_namespace", "oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_'"}})
    query += part(table, condition);
  query +=
      ", (SELECT md5(coalesce(string_agg(s.setrole || ' ' || s.setdatabase || ' ' || "
      "s.setconfig::text, E'\\n' ORDER BY s.setrole, s.setdatabase), '')) FROM "
      "pg_catalog.pg_db_role_setting s WHERE s.setdatabase IN (0, (SELECT oid FROM "
      "pg_catalog.pg_database WHERE datname = current_database())))";
  query +=
      ", (SELECT coalesce(sum(hashtext(concat_ws('/', r.oid, r.rolname, r.rolsuper, "
      "r.rolbypassrls, r.rolinherit))::bigint), 0) FROM pg_catalog.pg_roles r) || ' ' || (SELECT "
      "count(*) || '/' || coalesce(sum(hashtext(m::text)::bigint), 0) FROM "
      "pg_catalog.pg_auth_members m)";
  auto rows = co_await postgres::ask(server, std::move(query), deadline);
  if (!rows) co_return pass(rows);
  if (rows->empty() || rows->front().size() != 3 || !rows->front()[0] || !rows->front()[1] ||
      !rows->front()[2])
    co_return fail(Errc::protocol, "the server does not answer what it was asked");
  auto& row = rows->front();
  co_return Fingerprint{.all = *row[0], .beginnings = *row[1], .rights = *row[2]};
}

std::vector<std::string> parse_search_path(std::string_view text, std::string_view user) {
  std::vector<std::string> path;
  std::string name;
  bool quoted = false;
  bool any = false;
  const auto add = [&] {
    if (any) path.push_back(name == "$user" ? std::string(user) : name);
    name.clear();
    any = false;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' && quoted && i + 1 < text.size() && text[i + 1] == '"') {
      name += text[i++];
    } else if (c == '"') {
      quoted = !quoted;
      any = true;
    } else if (c == ',' && !quoted) {
      add();
    } else if (quoted || c != ' ') {
      name += quoted ? c : text::lower(c);
      any = true;
    }
  }
  add();
  return path;
}

}  // namespace headroom::sql
