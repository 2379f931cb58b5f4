#include "headroom/config/variables.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "headroom/base/error.h"
#include "headroom/base/text.h"
#include "headroom/config/config.h"
#include "headroom/config/section.h"

namespace headroom::config {
namespace {

constexpr std::string_view kPrefix = "HEADROOM_";

// One step of a path: a member, and after it perhaps an element of that list.
struct Step {
  std::string_view name;
  std::optional<std::size_t> index;
};

std::optional<Step> parse_step(std::string_view text) {
  const auto bracket = text.find('[');
  if (bracket == std::string_view::npos)
    return text.empty() ? std::nullopt : std::optional(Step{text, {}});
  if (bracket == 0 || !text.ends_with(']')) return std::nullopt;
  const auto index = text::to_u64(text.substr(bracket + 1, text.size() - bracket - 2));
  if (!index) return std::nullopt;
  return Step{text.substr(0, bracket), static_cast<std::size_t>(*index)};
}

Node table_node(const Origin& origin) {
  Node node;
  node.kind = Node::Kind::table;
  node.origin = origin;
  return node;
}

// The member `name` of `table`, made as an empty table when it is not there.
Node& member(Node& table, std::string_view name, const Origin& origin) {
  if (Node* found = table.find(name)) return *found;
  Node& made = table.children.emplace_back(table_node(origin));
  made.name = name;
  return made;
}

// The element of the list `node`, appended when it is the next one; null when `node` is no list or
// `index` is too far.
Node* element(Node& node, std::size_t index, const Origin& origin) {
  const bool fresh = node.kind == Node::Kind::table && node.children.empty();
  const bool emptied = node.kind == Node::Kind::text && node.text == "[]";
  if (fresh || emptied) node.kind = Node::Kind::array;
  if (node.kind != Node::Kind::array || index > node.children.size()) return nullptr;
  if (index == node.children.size()) node.children.push_back(table_node(origin));
  return &node.children[index];
}

void set_text(Node& node, std::string_view text, const Origin& origin) {
  node.kind = Node::Kind::text;
  node.text = text;
  node.children.clear();
  node.origin = origin;
}

Result<void> lay(Node& root, std::string_view path, std::string_view text, const Origin& origin) {
  Node* at = &root;
  for (const std::string_view part : text::split(path, '.')) {
    const auto step = parse_step(part);
    if (!step) return fail(Errc::invalid, fmt::format("'{}' is not the name of a setting", path));
    // What stands where a section should be is refused here: it would be lost under the new value.
    if (at->kind != Node::Kind::table) {
      return fail(Errc::invalid, fmt::format("'{}' lies inside something that is no section ({})",
                                             path, at->origin.where));
    }
    at = &member(*at, step->name, origin);
    if (!step->index) continue;
    at = element(*at, *step->index, origin);
    if (at == nullptr) {
      return fail(Errc::invalid,
                  fmt::format("'{}': no list has an element [{}] here", path, *step->index));
    }
  }
  set_text(*at, text, origin);
  return {};
}

// Kubernetes and Docker set these in every container near a service called "headroom" or
// "headroom-...".
bool is_service_variable(std::string_view name, std::string_view value) {
  for (const std::string_view end :
       {"_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_UDP", "_SCTP", "_TCP_PROTO", "_TCP_PORT",
        "_TCP_ADDR", "_UDP_PROTO", "_UDP_PORT", "_UDP_ADDR", "_SCTP_PROTO", "_SCTP_PORT",
        "_SCTP_ADDR"}) {
    if (name.ends_with(end)) return true;
  }
  return name.find("_SERVICE_PORT_") != std::string_view::npos ||
         (name.ends_with("_PORT") && value.find("://") != std::string_view::npos);
}

void collect(const Table& table, const std::string& path, std::vector<Variable>& into) {
  for (const Row& row : table.rows) {
    const std::string inner = path + "." + row.name;
    if (row.kind == Row::Kind::section) {
      collect(*row.table, inner, into);
    } else {
      into.push_back({variable_name(inner), inner, row.kind == Row::Kind::value});
    }
  }
}

void collect_aliases(const Table& table, const std::string& path, std::vector<Alias>& into) {
  for (Alias alias : table.aliases) {
    alias.path = path + "." + alias.path;
    into.push_back(std::move(alias));
  }
  for (const Row& row : table.rows) {
    if (row.kind == Row::Kind::section) collect_aliases(*row.table, path + "." + row.name, into);
  }
}

std::string unknown_variable(std::string_view name, std::span<const Variable> known) {
  std::vector<std::string> names;
  for (const Variable& variable : known) {
    if (variable.settable) names.push_back(variable.name.substr(kPrefix.size()));
  }
  const auto near = text::nearest(name.substr(kPrefix.size()), names);
  return near ? fmt::format("{}: unknown setting; did you mean {}{}?", name, kPrefix, *near)
              : fmt::format("{}: unknown setting", name);
}

}  // namespace

std::string variable_name(std::string_view path) {
  std::string name(kPrefix);
  for (const char c : path) {
    name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return name;
}

std::vector<Variable> variables_of(const Table& table) {
  std::vector<Variable> variables;
  collect(table, table.name, variables);
  return variables;
}

std::vector<Alias> aliases_of(const Table& table) {
  std::vector<Alias> aliases;
  collect_aliases(table, table.name, aliases);
  return aliases;
}

void lay_environment(Node& root, const Environment& environment, std::span<const Variable> known,
                     std::span<const Alias> aliases, std::span<const std::string> allowed,
                     std::vector<std::string>& errors) {
  const auto lay_one = [&](const std::string& name, std::string_view path, std::string_view text) {
    const auto laid = lay(root, path, text, {Origin::Kind::environment, name});
    if (!laid) errors.push_back(fmt::format("{}: {}", name, laid.error().message));
  };
  for (const auto& [name, value] : environment) {
    if (value.empty()) continue;  // "not set", as `REDIS_HOST=` in a compose file means
    const auto alias = std::ranges::find(aliases, name, &Alias::variable);
    if (alias == aliases.end()) continue;
    lay_one(name, alias->path, alias->convert ? alias->convert(value) : value);
  }
  for (const auto& [name, value] : environment) {
    if (!name.starts_with(kPrefix)) continue;
    const auto variable = std::ranges::find(known, name, &Variable::name);
    if (variable != known.end() && variable->settable) {
      lay_one(name, variable->path, value);
    } else if (variable != known.end()) {
      errors.push_back(
          fmt::format("{}: '{}' is a list of sections, which the environment cannot set; "
                      "write [[{}]] in the file",
                      name, variable->path, variable->path));
    } else if (std::ranges::find(allowed, name) == allowed.end() &&
               !is_service_variable(name, value)) {
      errors.push_back(unknown_variable(name, known));
    }
  }
}

Result<void> lay_assignment(Node& root, const Assignment& assignment) {
  auto laid = lay(root, assignment.path, assignment.value, {Origin::Kind::flag, assignment.flag});
  if (!laid) return pass(laid, assignment.flag);
  return {};
}

}  // namespace headroom::config
