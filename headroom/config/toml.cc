#include "headroom/config/toml.h"

#include <fmt/format.h>

#include "headroom/base/error.h"
#include "headroom/config/config.h"
#include "headroom/config/section.h"

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
// toml++ 3.3 assumes of "[`]" what it has not checked: an abort in a debug build, undefined
// behaviour in a release build. The code behind the assumption handles it, so the assumption goes
// (fuzz/seeds/config_values/bad_header.toml).
#include <toml++/impl/preprocessor.h>
#undef TOML_ASSERT_ASSUME
#define TOML_ASSERT_ASSUME(expression) static_assert(true)
#include <toml++/toml.h>

#include <map>
#include <string_view>
#include <utility>

namespace headroom::config {
namespace {

class Translator {
 public:
  explicit Translator(const std::string& file) : file_(file) {}

  [[nodiscard]] Node table(const toml::table& from, std::uint32_t line) const {
    // toml++ sorts by name; people read errors in the order of their file.
    std::map<std::pair<std::uint32_t, std::string_view>, const toml::node*> in_order;
    for (const auto& [key, member] : from) {
      in_order.emplace(std::pair(key.source().begin.line, key.str()), &member);
    }
    Node node = made(Node::Kind::table, line);
    for (const auto& [place, member] : in_order) {
      node.children.push_back(any(*member, place.first));
      node.children.back().name = place.second;
    }
    return node;
  }

 private:
  [[nodiscard]] Node made(Node::Kind kind, std::uint32_t line) const {
    Node node;
    node.kind = kind;
    node.origin = {Origin::Kind::file, fmt::format("{}:{}", file_, line)};
    return node;
  }

  [[nodiscard]] Node scalar(Node::Kind kind, std::uint32_t line, std::string text) const {
    Node node = made(kind, line);
    node.text = std::move(text);
    return node;
  }

  [[nodiscard]] Node array(const toml::array& from, std::uint32_t line) const {
    Node node = made(Node::Kind::array, line);
    for (const auto& item : from) {
      const std::uint32_t item_line = item.source().begin.line;
      node.children.push_back(any(item, item_line == 0 ? line : item_line));
    }
    return node;
  }

  [[nodiscard]] Node any(const toml::node& from, std::uint32_t line) const {
    if (const auto* inner = from.as_table()) return table(*inner, line);
    if (const auto* items = from.as_array()) return array(*items, line);
    if (const auto* text = from.as_string()) return scalar(Node::Kind::string, line, text->get());
    if (const auto* number = from.as_integer()) {
      return scalar(Node::Kind::integer, line, std::to_string(number->get()));
    }
    if (const auto* number = from.as_floating_point()) {
      return scalar(Node::Kind::number, line, fmt::format("{}", number->get()));
    }
    if (const auto* truth = from.as_boolean()) {
      return scalar(Node::Kind::boolean, line, truth->get() ? "true" : "false");
    }
    return scalar(Node::Kind::other, line, "a date or time");
  }

  const std::string& file_;
};

// toml++'s words without what it quotes of a value (", saw 'tr0u"; "'99...9' is not
// representable"): it may be a secret.
std::string_view reason_of(const toml::parse_error& error) {
  const std::string_view reason = error.description();
  for (const std::string_view of_a_number : {"not representable", "could not be interpreted"}) {
    if (reason.find(of_a_number) != std::string_view::npos) return "a number that cannot be held";
  }
  return reason.substr(0, reason.find(", saw "));
}

}  // namespace

Result<Node> parse_toml(const Document& document) {
  const toml::parse_result parsed = toml::parse(document.text, document.name);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return fail(Errc::invalid, fmt::format("{}:{}: {}", document.name, error.source().begin.line,
                                           reason_of(error)));
  }
  return Translator(document.name).table(parsed.table(), 1);
}

}  // namespace headroom::config
