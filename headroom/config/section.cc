#include "headroom/config/section.h"

#include <algorithm>

#include "headroom/base/assert.h"
#include "headroom/base/text.h"
#include "headroom/config/values.h"
#include "headroom/json/writer.h"

namespace headroom::config {
namespace {

constexpr std::size_t kQuotedBytes = 80;

bool is_snake_case(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

Node text_node(std::string_view text, const Origin& origin) {
  Node node;
  node.text = text;
  node.origin = origin;
  return node;
}

}  // namespace

const Node* Node::find(std::string_view member) const {
  const auto found = std::ranges::find(children, member, &Node::name);
  return kind == Kind::table && found != children.end() ? &*found : nullptr;
}

Node* Node::find(std::string_view member) {
  return const_cast<Node*>(std::as_const(*this).find(member));
}

std::string Node::quoted() const {
  if (kind == Kind::array) return "a list";
  if (kind == Kind::table) return "a table";
  std::string shown = without_password(text);
  if (shown.size() > kQuotedBytes) shown = shown.substr(0, kQuotedBytes) + "...";
  if (kind != Kind::text && kind != Kind::string) return shown;
  std::string in_quotes;
  json::append_string(in_quotes, shown);
  return in_quotes;
}

const Row* Table::find(std::string_view row) const {
  const auto found = std::ranges::find(rows, row, &Row::name);
  return found == rows.end() ? nullptr : &*found;
}

void Table::add(Row row) {
  HR_ASSERT(is_snake_case(row.name));
  HR_ASSERT((find(row.name) == nullptr));
  if (row.standard) {
    const Read read = row.read(text_node(*row.standard, {}), make().get());
    const std::string invalid_default = read ? "" : row.name + " = " + *row.standard;
    HR_ASSERT(invalid_default == "");
  }
  rows.push_back(std::move(row));
}

std::string bare_seconds(std::string_view text) {
  return text::to_u64(text) ? std::string(text) + "s" : std::string(text);
}

namespace detail {

std::vector<Node> parts_of(const Node& node) {
  std::vector<Node> parts;
  for (const auto part : text::split(node.text, ',')) parts.push_back(text_node(part, node.origin));
  return parts;
}

std::vector<Node> pairs_of(const Node& node) {
  std::vector<Node> pairs = parts_of(node);
  for (Node& pair : pairs) {
    const auto equals = std::min(pair.text.find('='), pair.text.size());
    pair.name = text::trimmed(std::string_view(pair.text).substr(0, equals));
    pair.text = pair.text.substr(std::min(equals + 1, pair.text.size()));
  }
  return pairs;
}

bool takes(const Written& written, Node::Kind kind) {
  switch (kind) {
    case Node::Kind::text: return true;
    case Node::Kind::string: return written.string;
    case Node::Kind::integer: return written.integer;
    case Node::Kind::number: return written.number;
    case Node::Kind::boolean: return written.boolean;
    default: return false;
  }
}

}  // namespace detail
void set_defaults(const Table& table, void* object) {
  for (const Row& row : table.rows) {
    if (row.kind == Row::Kind::section) {
      set_defaults(*row.table, row.enter(object));
    } else if (row.kind == Row::Kind::value && row.standard) {
      Node node;
      node.text = *row.standard;
      HR_ASSERT(row.read(node, object).has_value());
    }
  }
}

}  // namespace headroom::config
