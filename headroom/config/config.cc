#include "headroom/config/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <set>

#include "headroom/base/assert.h"
#include "headroom/base/bytes.h"
#include "headroom/base/error.h"
#include "headroom/base/hash.h"
#include "headroom/base/text.h"
#include "headroom/config/section.h"
#include "headroom/config/toml.h"
#include "headroom/config/variables.h"
#include "headroom/json/writer.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to the program

namespace headroom::config {
namespace {

constexpr std::size_t kErrorsShown = 20;
constexpr Bytes kFileLimit = Bytes::mib(4);

std::string joined(const std::vector<std::string>& errors) {
  const std::size_t shown = std::min(errors.size(), kErrorsShown);
  std::string text = fmt::format(
      "{}", fmt::join(errors.begin(), errors.begin() + static_cast<std::ptrdiff_t>(shown), "\n"));
  if (shown < errors.size()) text += fmt::format("\nand {} more", errors.size() - shown);
  return text;
}

// "headroom.toml:3: " of what stands in a file, a variable or a flag.
std::string place_of(const Origin& origin) {
  return origin.where.empty() ? std::string() : origin.where + ": ";
}

std::vector<std::string> names_of(const Table& table) {
  std::vector<std::string> names;
  names.reserve(table.rows.size());
  for (const Row& row : table.rows) names.push_back(row.name);
  return names;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known,
                       std::string_view what) {
  if (const auto near = text::nearest(name, known))
    return fmt::format("; did you mean '{}'?", *near);
  return fmt::format("; {}: {}", what, fmt::join(known, ", "));
}

std::string json_of(const Row& row, const void* object, Passwords passwords) {
  std::string text;
  json::Writer writer(text);
  row.write(object, writer, passwords);
  return text;
}

}  // namespace

// Reads a tree of nodes into options structs, section by section, and keeps every error it meets.
class Loader {
 public:
  Loader(Settings& settings, std::vector<std::string>& errors)
      : settings_(settings), errors_(errors) {}

  // `node` is null where nothing is written. True when all of it is valid.
  bool fill(const Table& table, const std::string& path, const Node* node, void* object) {
    const std::size_t errors_before = errors_.size();
    if (node != nullptr && node->kind != Node::Kind::table) {
      error(*node, fmt::format("{} = {}: expected a section, [{}]", path, node->quoted(), path));
      return false;
    }
    for (const Row& row : table.rows) {
      const Node* child = node == nullptr ? nullptr : node->find(row.name);
      fill_row(row, path + "." + row.name, node, child, object);
    }
    if (node != nullptr) refuse_unknown(table, path, *node);
    if (errors_.size() == errors_before) check(table, path, node, object);
    return errors_.size() == errors_before;
  }

 private:
  void error(const Node& node, std::string_view message) {
    errors_.push_back(place_of(node.origin) + std::string(message));
  }

  void fill_row(const Row& row, const std::string& path, const Node* parent, const Node* child,
                void* object) {
    switch (row.kind) {
      case Row::Kind::value: return fill_value(row, path, parent, child, object);
      case Row::Kind::section: fill(*row.table, path, child, row.enter(object)); return;
      case Row::Kind::list: return fill_list(row, path, child, object);
    }
  }

  void fill_value(const Row& row, const std::string& path, const Node* parent, const Node* child,
                  void* object) {
    if (child == nullptr && !row.standard) {
      const std::string message = fmt::format("'{}' is required: {}", path, row.accepted);
      return parent == nullptr ? errors_.push_back(message) : error(*parent, message);
    }
    Node standard;
    if (child == nullptr) standard.text = *row.standard;
    const Node& node = child == nullptr ? standard : *child;
    const Read read = row.read(node, object);
    if (!read) return refuse_value(row, path, read.error());
    record(row, path, node.origin, object);
  }

  void refuse_value(const Row& row, const std::string& path, const Refusal& refusal) {
    if (row.secret) {
      return error(*refusal.node,
                   fmt::format("{}: expected {} (the value is a secret and not shown)", path,
                               refusal.expected));
    }
    error(*refusal.node, fmt::format("{}{} = {}: expected {}", path, refusal.item,
                                     refusal.node->quoted(), refusal.expected));
  }

  void fill_list(const Row& row, const std::string& path, const Node* child, void* object) {
    const bool emptied = child != nullptr && child->kind == Node::Kind::text && child->text == "[]";
    if (child != nullptr && !emptied && child->kind != Node::Kind::array) {
      return error(*child, fmt::format("{} = {}: expected a list of sections, [[{}]]", path,
                                       child->quoted(), path));
    }
    const std::size_t size = child == nullptr ? 0 : child->children.size();
    Entry entry{.path = path, .json = std::to_string(size), .reload = row.reload, .digest = size};
    if (child != nullptr) entry.origin = child->origin;
    settings_.entries_.push_back(std::move(entry));
    for (std::size_t i = 0; i < size; ++i) {
      fill(*row.table, fmt::format("{}[{}]", path, i), &child->children[i], row.enter(object));
    }
  }

  void record(const Row& row, const std::string& path, const Origin& origin, const void* object) {
    const std::string plain = json_of(row, object, Passwords::shown);
    const bool empty = plain == "null" || plain == "\"\"" || plain == "[]" || plain == "{}";
    settings_.entries_.push_back(
        {.path = path,
         .json = row.secret && !empty ? "\"***\"" : json_of(row, object, Passwords::hidden),
         .origin = origin,
         .reload = row.reload,
         .secret = row.secret,
         .digest = hash64(plain)});
  }

  void refuse_unknown(const Table& table, const std::string& path, const Node& node) {
    for (const Node& child : node.children) {
      if (table.find(child.name) != nullptr) continue;
      error(child,
            fmt::format("unknown setting '{}.{}'{}", path, child.name,
                        suggestion(child.name, names_of(table), fmt::format("[{}] has", path))));
    }
  }

  void check(const Table& table, const std::string& path, const Node* node, const void* object) {
    for (const auto& rule : table.checks) {
      const auto checked = rule(object);
      if (checked) continue;
      const std::string place = node == nullptr ? std::string() : place_of(node->origin);
      errors_.push_back(fmt::format("{}[{}]: {}", place, path, checked.error().message));
    }
  }

  Settings& settings_;
  std::vector<std::string>& errors_;
};

Result<Document> read_document(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"),
                                                             std::fclose);
  if (!file) return std::unexpected(system_error(path, errno));
  Document document{path, std::string(kFileLimit.count + 1, '\0')};
  const std::size_t size = std::fread(document.text.data(), 1, document.text.size(), file.get());
  if (std::ferror(file.get()) != 0) return std::unexpected(system_error(path, errno));
  if (size > kFileLimit.count) {
    return fail(Errc::overloaded, fmt::format("{}: longer than {}", path, to_string(kFileLimit)));
  }
  document.text.resize(size);
  document.text.shrink_to_fit();
  return document;
}

Environment process_environment() {
  Environment variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return variables;
}

Result<Assignment> parse_assignment(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    // Without a name in front, the text may be a secret: it is not repeated.
    return fail(Errc::invalid, "expected name=value, such as edge.listen=:9000");
  }
  return Assignment{std::string(text::trimmed(text.substr(0, equals))),
                    std::string(text.substr(equals + 1))};
}

void Schema::add(const Table& table, std::type_index type) {
  std::set<std::string> names;
  for (const TopSection& section : sections_) {
    HR_ASSERT(section.table.name != table.name);
    HR_ASSERT((section.type != type));
    for (const Variable& variable : variables_of(section.table)) names.insert(variable.name);
  }
  const std::vector<Variable> variables = variables_of(table);
  for (const Alias& alias : aliases_of(table)) {
    HR_ASSERT((std::ranges::find(variables, alias.path, &Variable::path) != variables.end()));
  }
  for (const Variable& variable : variables) {
    const std::string ambiguous = names.insert(variable.name).second ? "" : variable.name;
    HR_ASSERT(ambiguous == "");
  }
  sections_.push_back({table, type});
}

Result<std::shared_ptr<const Settings>> Schema::load(const Sources& sources) const {
  Node root;
  root.kind = Node::Kind::table;
  if (sources.file) {
    auto parsed = parse_toml(*sources.file);
    if (!parsed) return pass(parsed);
    root = std::move(*parsed);
  }
  std::vector<std::string> errors;
  lay_variables(root, sources, errors);
  refuse_unknown_sections(root, errors);
  auto settings = std::make_shared<Settings>();
  Loader loader(*settings, errors);
  for (const auto& [table, type] : sections_) {
    const std::shared_ptr<void> object = table.make();
    loader.fill(table, table.name, root.find(table.name), object.get());
    settings->objects_.emplace(type, object);
  }
  for (const auto& rule : checks_) {
    if (!errors.empty()) break;
    if (auto checked = rule(*settings); !checked) errors.push_back(checked.error().message);
  }
  if (!errors.empty()) return fail(Errc::invalid, joined(errors));
  return settings;
}

// The environment and the flags, over what the file says.
void Schema::lay_variables(Node& root, const Sources& sources,
                           std::vector<std::string>& errors) const {
  std::vector<Variable> variables;
  std::vector<Alias> aliases;
  for (const TopSection& section : sections_) {
    std::ranges::move(variables_of(section.table), std::back_inserter(variables));
    std::ranges::copy(aliases_of(section.table), std::back_inserter(aliases));
  }
  lay_environment(root, sources.environment, variables, aliases, allowed_variables_, errors);
  for (const Assignment& assignment : sources.flags) {
    if (auto laid = lay_assignment(root, assignment); !laid) errors.push_back(laid.error().message);
  }
}

void Schema::refuse_unknown_sections(const Node& root, std::vector<std::string>& errors) const {
  std::vector<std::string> names;
  names.reserve(sections_.size());
  for (const TopSection& section : sections_) names.push_back(section.table.name);
  for (const Node& child : root.children) {
    if (std::ranges::find(names, child.name) != names.end()) continue;
    errors.push_back(fmt::format("{}unknown section '{}'{}", place_of(child.origin), child.name,
                                 suggestion(child.name, names, "known sections")));
  }
}

std::vector<Change> differences(const Settings& before, const Settings& after) {
  std::map<std::string_view, const Entry*> old;
  for (const Entry& entry : before.entries()) old.emplace(entry.path, &entry);
  std::vector<Change> changes;
  for (const Entry& entry : after.entries()) {
    const auto found = old.find(entry.path);
    if (found == old.end() || found->second->digest == entry.digest) continue;
    changes.push_back({entry.path, entry.reload, found->second->json, entry.json});
  }
  return changes;
}

}  // namespace headroom::config
