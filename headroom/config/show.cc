// How settings and their tables are shown to people and programs.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "headroom/config/config.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"
#include "headroom/config/variables.h"
#include "headroom/json/writer.h"

namespace headroom::config {
namespace {

constexpr std::size_t kHelpColumn = 44;

std::string_view name_of(Reload reload) { return reload == Reload::live ? "live" : "restart"; }

// The default for people; a secret has none worth showing.
std::string shown_default(const Row& row) {
  if (!row.standard) return "required";
  if (row.secret) return row.standard->empty() ? "" : "***";
  return without_password(*row.standard);
}

// "edge.upstreams[].url", the table's own name first.
using Visit = std::function<void(const std::string& path, const Row& row)>;
void each_setting(const Table& table, const std::string& path, const Visit& visit) {
  for (const Row& row : table.rows) {
    const std::string inner = path + "." + row.name;
    switch (row.kind) {
      case Row::Kind::value: visit(inner, row); break;
      case Row::Kind::section: each_setting(*row.table, inner, visit); break;
      case Row::Kind::list: each_setting(*row.table, inner + "[]", visit); break;
    }
  }
}

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string code(std::string_view text) {
  return text.empty() ? "" : fmt::format("`{}`", cell(text));
}

std::string markdown_row(const Row& row, const std::string& path, bool in_list) {
  const std::string variable = in_list ? "" : code(variable_name(path));
  const std::string standard = row.standard ? code(shown_default(row)) : "required";
  const std::string accepted =
      row.choices.empty() ? "" : fmt::format(" One of {}.", fmt::join(row.choices, ", "));
  return fmt::format("| `{}` | {} | {} | {} | {} | {}{}{} |\n", row.name, row.type, standard,
                     name_of(row.reload), variable, cell(row.help), accepted,
                     row.secret ? " Secret: never shown." : "");
}

// A section, then those in it, each with a heading of its own.
void markdown_section(std::string& out, const Table& table, const std::string& path, bool in_list,
                      std::string_view heading) {
  out += fmt::format("\n## {}\n\n{}\n", heading, table.help);
  const auto is_value = [](const Row& row) { return row.kind == Row::Kind::value; };
  if (std::ranges::any_of(table.rows, is_value)) {
    out += "\n| setting | type | default | reload | environment | |\n|---|---|---|---|---|---|\n";
  }
  for (const Row& row : table.rows) {
    if (is_value(row)) out += markdown_row(row, path + "." + row.name, in_list);
  }
  for (const Row& row : table.rows) {
    const std::string inner = path + "." + row.name;
    if (row.kind == Row::Kind::section) {
      markdown_section(out, *row.table, inner, in_list, fmt::format("[{}]", inner));
    } else if (row.kind == Row::Kind::list) {
      markdown_section(out, *row.table, inner, true, fmt::format("[[{}]]", inner));
    }
  }
}

std::string alias_table(const std::vector<Alias>& aliases) {
  std::string out =
      "\n## Other variables\n\nThe names that other systems use; `HEADROOM_...` wins over them.\n\n"
      "| variable | setting |\n|---|---|\n";
  for (const Alias& alias : aliases)
    out += fmt::format("| `{}` | `{}` |\n", alias.variable, alias.path);
  return out;
}

// The members of a JSON Schema that say what a setting's type ("list of duration") looks like in
// the file.
void schema_type(json::Writer& out, std::string_view type,
                 const std::vector<std::string>& choices) {
  constexpr std::string_view kList = "list of ";
  constexpr std::string_view kMap = "map to ";
  const bool is_list = type.starts_with(kList);
  if (is_list || type.starts_with(kMap)) {
    out.field("type", is_list ? "array" : "object");
    out.key(is_list ? "items" : "additionalProperties").begin_object();
    schema_type(out, type.substr(is_list ? kList.size() : kMap.size()), choices);
    out.end_object();
  } else if (type == "boolean" || type == "integer" || type == "number") {
    out.field("type", type);
  } else if (type == "size" || type == "duration") {
    out.field("type", std::vector<std::string>{"string", "integer"});
  } else {
    out.field("type", "string");
    if (!choices.empty()) out.field("enum", choices);
  }
}

void schema_value(json::Writer& out, const Row& row, const std::string& path, bool in_list) {
  out.begin_object();
  schema_type(out, row.type, row.choices);
  out.field("description", row.help + " Expected: " + row.accepted + ".");
  if (row.standard && !row.secret) out.field("x-default", shown_default(row));
  out.field("x-reload", name_of(row.reload));
  if (!in_list) out.field("x-environment", variable_name(path));
  out.end_object();
}

void schema_section(json::Writer& out, const Table& table, const std::string& path, bool in_list) {
  std::vector<std::string> required;
  out.begin_object().field("type", "object").field("description", table.help);
  out.field("additionalProperties", false).key("properties").begin_object();
  for (const Row& row : table.rows) {
    const std::string inner = path + "." + row.name;
    out.key(row.name);
    if (row.kind == Row::Kind::value) {
      schema_value(out, row, inner, in_list);
      if (!row.standard) required.push_back(row.name);
    } else if (row.kind == Row::Kind::section) {
      schema_section(out, *row.table, inner, in_list);
    } else {
      out.begin_object().field("type", "array").key("items");
      schema_section(out, *row.table, inner, true);
      out.end_object();
    }
  }
  out.end_object();
  if (!required.empty()) out.field("required", required);
  out.end_object();
}

std::string help_line(const std::string& path, const Row& row) {
  std::string left = path;
  const std::string standard = shown_default(row);
  if (row.standard && !standard.empty()) left += " = " + standard;
  if (!row.standard) left += " (required)";
  const std::string choices =
      row.choices.empty() ? "" : fmt::format(" One of {}.", fmt::join(row.choices, ", "));
  if (left.size() >= kHelpColumn) left += "\n" + std::string(kHelpColumn + 2, ' ');
  return fmt::format("  {:<{}}{}{}\n", left, kHelpColumn, row.help, choices);
}

}  // namespace

std::string Schema::help_text() const {
  std::string out;
  for (const TopSection& section : sections_) {
    out +=
        fmt::format("{}[{}] {}\n", out.empty() ? "" : "\n", section.table.name, section.table.help);
    each_setting(section.table, section.table.name,
                 [&out](const std::string& path, const Row& row) { out += help_line(path, row); });
  }
  return out;
}

std::string Schema::markdown() const {
  std::string out =
      "# Settings\n\n"
      "Generated from the tables in the code; do not edit. A setting is taken from, in rising "
      "order: its default, the "
      "file (`--config`), the environment, a flag (`--set edge.listen=:9000`). *live*: a reload "
      "takes it up; *restart*: the "
      "next start does. What is not known is refused.\n\n"
      "Durations: `500ms`, `30s`, `2m`, `1h`, `1d`. Sizes: `64KiB`, `256MiB`, `2gb` (k, kb and KiB "
      "are all 1024). Rates: "
      "`100/min`, `100r/s`, `1000/15min`. Addresses: `127.0.0.1:8080`, `[::1]:8080`, `:8080` "
      "(all), `unix:/run/app.sock`; "
      "port 0 is any free one. Lists in the environment are separated by commas.\n";
  std::vector<Alias> aliases;
  for (const TopSection& section : sections_) {
    markdown_section(out, section.table, section.table.name, false,
                     fmt::format("[{}]", section.table.name));
    std::ranges::copy(aliases_of(section.table), std::back_inserter(aliases));
  }
  if (!aliases.empty()) out += alias_table(aliases);
  return out;
}

std::string Schema::json_schema() const {
  std::string text;
  json::Writer out(text);
  out.begin_object().field("$schema", "https://json-schema.org/draft/2020-12/schema");
  out.field("title", "Headroom's settings")
      .field("type", "object")
      .field("additionalProperties", false);
  out.key("properties").begin_object();
  for (const TopSection& section : sections_) {
    out.key(section.table.name);
    schema_section(out, section.table, section.table.name, false);
  }
  out.end_object().end_object();
  return text;
}

std::string Settings::to_json() const {
  std::string text;
  json::Writer out(text);
  out.begin_object().key("settings").begin_array();
  for (const Entry& entry : entries_) {
    out.begin_object().field("name", entry.path).key("value").raw(entry.json);
    out.field("origin", entry.origin.where.empty() ? "default" : entry.origin.where.c_str());
    out.field("reload", name_of(entry.reload)).end_object();
  }
  out.end_array().end_object();
  return text;
}

}  // namespace headroom::config
