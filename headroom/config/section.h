// headroom/config/section.h - a room's table of settings, written once beside the code that reads
// them.
//
//   const config::Section<EdgeOptions>& edge_section() {
//     static const auto section = [] {
//       config::Section<EdgeOptions> s("edge", "The HTTP proxy.");
//       s.setting("listen", &EdgeOptions::listen, "0.0.0.0:8080", Reload::restart, "Where clients
//       connect."); s.setting("header_timeout", &EdgeOptions::header_timeout, "10s", Reload::live,
//       "...", config::between(1ms, 1h)); s.section("tls", &EdgeOptions::tls, tls_section()); //
//       [edge.tls] s.list("upstreams", &EdgeOptions::upstreams, upstream_section(), Reload::live);
//       // [[edge.upstreams]] s.alias("NGINX_RATE_LIMIT", "rate"); s.check([](const EdgeOptions& o)
//       -> Result<void> { ... }); return s;
//     }();
//     return section;
//   }
//
// Owns: a Table is a value: names, defaults, readers. Threads: built once, then only read, from any
// thread. Invariants: (1) a default is text, read by the same parser as all others, and is valid
// (checked when the table is made);
//   (2) a name is snake_case and stands once in its section.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/config/values.h"
#include "headroom/json/writer.h"

namespace headroom::config {

enum class Reload : std::uint8_t { live, restart };

// Where a value comes from.
struct Origin {
  enum class Kind : std::uint8_t { standard, file, environment, flag };
  Kind kind = Kind::standard;
  std::string where;  // "headroom.toml:12", "HEADROOM_EDGE_LISTEN", "--app"; empty for a default

  bool operator==(const Origin&) const = default;
};

// A value as it was written, before a setting gives it a type.
struct Node {
  // `text` is a default, a variable or a flag: it may become any type. `other`: a TOML date or
  // time.
  enum class Kind : std::uint8_t { text, string, integer, number, boolean, other, array, table };

  Kind kind = Kind::text;
  std::string name;  // of a table's member
  std::string text;  // of all but arrays and tables
  std::vector<Node> children;
  Origin origin{};

  [[nodiscard]] bool is_scalar() const { return kind != Kind::array && kind != Kind::table; }
  [[nodiscard]] const Node* find(std::string_view member) const;
  [[nodiscard]] Node* find(std::string_view member);
  // The value for an error message, bounded: "banana" in quotes, 3, an array.
  [[nodiscard]] std::string quoted() const;
};

// Why a value is not accepted: `expected` completes "expected ..."; `item` is "[1]" or ".name"
// inside a list or map.
struct Refusal {
  std::string expected;
  std::string item;
  const Node* node = nullptr;  // the item, else the value itself
};
using Read = std::expected<void, Refusal>;

// What a value must satisfy beyond its type; `text` completes "a duration ...": "from 1ms to 1h".
template <class T>
struct Limit {
  std::string text;
  std::function<bool(const T&)> holds;
};

template <class A, class B>
struct Between {
  A low;
  B high;
};
// Both ends included.
template <class A, class B>
Between<A, B> between(A low, B high) {
  return {low, high};
}
template <class A>
struct AtLeast {
  A low;
};
template <class A>
AtLeast<A> at_least(A low) {
  return {low};
}
// A rule of the room's own; `text` completes "a text ...": "that starts with /".
template <class Holds>
struct Satisfying {
  std::string text;
  Holds holds;
};
template <class Holds>
Satisfying<Holds> satisfying(std::string text, Holds holds) {
  return {std::move(text), std::move(holds)};
}

// Whether the passwords inside URLs are written.
enum class Passwords : std::uint8_t { hidden, shown };

struct NoLimit {};

template <class T>
Limit<T> limit_of(NoLimit) {
  return {};
}
template <class T, class A, class B>
Limit<T> limit_of(const Between<A, B>& bounds) {
  const T low = static_cast<T>(bounds.low);
  const T high = static_cast<T>(bounds.high);
  return {"from " + Value<T>::show(low) + " to " + Value<T>::show(high),
          [low, high](const T& value) { return value >= low && value <= high; }};
}
template <class T, class A>
Limit<T> limit_of(const AtLeast<A>& bound) {
  const T low = static_cast<T>(bound.low);
  return {"of at least " + Value<T>::show(low), [low](const T& value) { return value >= low; }};
}
template <class T, class Holds>
Limit<T> limit_of(const Satisfying<Holds>& rule) {
  return {rule.text, rule.holds};
}

namespace detail {

// The parts of a list's or a map's text: separated by commas, trimmed, the empty text has none.
std::vector<Node> parts_of(const Node& node);
std::vector<Node> pairs_of(const Node& node);
bool takes(const Written& written, Node::Kind kind);

template <class T>
void write_scalar(json::Writer& out, const T& value, Passwords passwords) {
  const std::string text = Value<T>::show(value);
  if constexpr (Value<T>::kBare) {
    out.raw(text);
  } else {
    out.value(passwords == Passwords::shown ? text : without_password(text));
  }
}

// How each shape of member is read and written. The limit of a list or map is the limit of its
// items.
template <class T>
struct Shape {
  static_assert(Scalar<T>, "no Value<T> for the type of this setting");
  using Item = T;
  static std::string type() { return std::string(Value<T>::kName); }
  static std::string expected(const Limit<Item>& limit) {
    return limit.text.empty() ? Value<T>::accepted()
                              : std::string(Value<T>::kNoun) + " " + limit.text;
  }
  static Read read(const Node& node, const Limit<Item>& limit, T& to) {
    auto value = takes(Value<T>::kWritten, node.kind) ? Value<T>::parse(node.text) : std::nullopt;
    if (!value || (limit.holds && !limit.holds(*value))) {
      return std::unexpected(Refusal{expected(limit), "", &node});
    }
    to = std::move(*value);
    return {};
  }
  static void write(json::Writer& out, const T& value, Passwords passwords) {
    write_scalar(out, value, passwords);
  }
};

// An empty text is no value.
template <class T>
struct Shape<std::optional<T>> {
  using Item = typename Shape<T>::Item;
  static std::string type() { return Shape<T>::type(); }
  static std::string expected(const Limit<Item>& limit) { return Shape<T>::expected(limit); }
  static Read read(const Node& node, const Limit<Item>& limit, std::optional<T>& to) {
    to.reset();
    const bool is_text = node.kind == Node::Kind::text || node.kind == Node::Kind::string;
    if (is_text && node.text.empty()) return {};
    T value{};
    const Read done = Shape<T>::read(node, limit, value);
    if (done) to = std::move(value);
    return done;
  }
  static void write(json::Writer& out, const std::optional<T>& value, Passwords passwords) {
    value ? Shape<T>::write(out, *value, passwords) : static_cast<void>(out.null());
  }
};

template <class T>
struct Shape<std::vector<T>> {
  using Item = T;
  static std::string type() { return "list of " + Shape<T>::type(); }
  static std::string expected(const Limit<Item>& limit) {
    return "a list, each " + Shape<T>::expected(limit);
  }
  static Read read(const Node& node, const Limit<Item>& limit, std::vector<T>& to) {
    to.clear();
    const bool is_text = node.kind == Node::Kind::text;
    if (!is_text && node.kind != Node::Kind::array) {
      return std::unexpected(Refusal{expected(limit), "", &node});
    }
    const std::vector<Node> parts = is_text ? parts_of(node) : std::vector<Node>();
    const std::vector<Node>& items = is_text ? parts : node.children;
    for (std::size_t i = 0; i < items.size(); ++i) {
      T item{};
      if (Read done = Shape<T>::read(items[i], limit, item); !done) {
        const Node* where = is_text ? &node : &items[i];
        return std::unexpected(
            Refusal{done.error().expected, "[" + std::to_string(i) + "]", where});
      }
      to.push_back(std::move(item));
    }
    return {};
  }
  static void write(json::Writer& out, const std::vector<T>& value, Passwords passwords) {
    out.begin_array();
    for (const T& item : value) Shape<T>::write(out, item, passwords);
    out.end_array();
  }
};

template <class T>
struct Shape<std::map<std::string, T>> {
  using Item = T;
  static std::string type() { return "map to " + Shape<T>::type(); }
  static std::string expected(const Limit<Item>& limit) {
    return "a table of names, each with " + Shape<T>::expected(limit);
  }
  static Read read(const Node& node, const Limit<Item>& limit, std::map<std::string, T>& to) {
    to.clear();
    const bool is_text = node.kind == Node::Kind::text;
    if (!is_text && node.kind != Node::Kind::table) {
      return std::unexpected(Refusal{expected(limit), "", &node});
    }
    const std::vector<Node> pairs = is_text ? pairs_of(node) : std::vector<Node>();
    for (const Node& pair : is_text ? pairs : node.children) {
      T item{};
      if (Read done = Shape<T>::read(pair, limit, item); !done) {
        return std::unexpected(
            Refusal{done.error().expected, "." + pair.name, is_text ? &node : &pair});
      }
      to[pair.name] = std::move(item);
    }
    return {};
  }
  static void write(json::Writer& out, const std::map<std::string, T>& value, Passwords passwords) {
    out.begin_object();
    for (const auto& [name, item] : value) {
      out.key(name);
      Shape<T>::write(out, item, passwords);
    }
    out.end_object();
  }
};

}  // namespace detail

struct Table;

// One line of a table, with the types erased: `object` is always the options struct of the section.
struct Row {
  enum class Kind : std::uint8_t { value, section, list };
  Kind kind = Kind::value;
  std::string name;
  std::string help;
  Reload reload = Reload::restart;

  // A value.
  std::string type;                     // "duration"
  std::string accepted;                 // "a duration from 1ms to 1h"
  std::vector<std::string> choices;     // of an enum
  std::optional<std::string> standard;  // the default; nothing: the setting is required
  bool secret = false;
  std::function<Read(const Node&, void* object)> read;
  std::function<void(const void* object, json::Writer&, Passwords)> write;

  // A nested section or a list of them.
  std::shared_ptr<const Table> table;
  std::function<void*(void* object)> enter;  // the member; of a list: a new element
};

struct Alias {
  std::string variable;  // "CACHE_MAX_SIZE"
  std::string path;      // relative to the section: "memory_limit", "tls.cert"
  std::function<std::string(std::string_view)> convert;  // may be empty
};

struct Table {
  std::string name;
  std::string help;
  std::vector<Row> rows;
  std::vector<Alias> aliases;
  std::vector<std::function<Result<void>(const void* object)>> checks;
  std::function<std::shared_ptr<void>()> make;

  [[nodiscard]] const Row* find(std::string_view row) const;
  void add(Row row);
};

// Gives every setting of `object`, the table's options struct, its default.
void set_defaults(const Table& table, void* object);

// For alias(): a variable that holds seconds as a bare number ("300").
[[nodiscard]] std::string bare_seconds(std::string_view text);

template <class Options>
class Section {
 public:
  // `name` is that of the TOML table; of a nested section it is replaced by the name of the member.
  Section(std::string_view name, std::string_view help) {
    table_.name = name;
    table_.help = help;
    table_.make = [] { return std::make_shared<Options>(); };
  }

  template <class T, class L = NoLimit>
  void setting(std::string_view name, T Options::* member, std::string_view standard, Reload reload,
               std::string_view help, const L& limit = {}) {
    add(value_row(name, member, std::string(standard), reload, help, limit));
  }

  // Without a default: whoever writes the section must give it.
  template <class T, class L = NoLimit>
  void required(std::string_view name, T Options::* member, Reload reload, std::string_view help,
                const L& limit = {}) {
    add(value_row(name, member, std::nullopt, reload, help, limit));
  }

  // Never shown, in no listing, log or error.
  template <class T, class L = NoLimit>
  void secret(std::string_view name, T Options::* member, std::string_view standard, Reload reload,
              std::string_view help, const L& limit = {}) {
    Row row = value_row(name, member, std::string(standard), reload, help, limit);
    row.secret = true;
    add(std::move(row));
  }

  template <class T>
  void section(std::string_view name, T Options::* member, const Section<T>& inner) {
    Row row = nested_row(Row::Kind::section, name, inner);
    row.enter = [member](void* object) -> void* {
      return &(static_cast<Options*>(object)->*member);
    };
    add(std::move(row));
  }

  // Elements may come and go; `reload` says whether that is taken up live.
  template <class T>
  void list(std::string_view name, std::vector<T> Options::* member, const Section<T>& inner,
            Reload reload) {
    Row row = nested_row(Row::Kind::list, name, inner);
    row.reload = reload;
    row.enter = [member](void* object) -> void* {
      return &(static_cast<Options*>(object)->*member).emplace_back();
    };
    add(std::move(row));
  }

  // Another environment variable for `path` (relative to this section); HEADROOM_... wins over it.
  void alias(std::string_view variable, std::string_view path,
             std::function<std::string(std::string_view)> convert = nullptr) {
    table_.aliases.push_back({std::string(variable), std::string(path), std::move(convert)});
  }

  // A rule over several settings, called when each is valid by itself; its error is attributed to
  // the section.
  void check(std::function<Result<void>(const Options&)> rule) {
    table_.checks.push_back([rule = std::move(rule)](const void* object) {
      return rule(*static_cast<const Options*>(object));
    });
  }

  [[nodiscard]] const Table& table() const { return table_; }

  // The options of a section in which nothing is written. What has no default stays as it was made.
  [[nodiscard]] Options defaults() const {
    Options options;
    set_defaults(table_, &options);
    return options;
  }

 private:
  template <class T, class L>
  static Row value_row(std::string_view name, T Options::* member,
                       std::optional<std::string> standard, Reload reload, std::string_view help,
                       const L& given_limit) {
    using Shape = detail::Shape<T>;
    using Item = typename Shape::Item;
    const auto limit = limit_of<Item>(given_limit);
    Row row;
    row.name = name;
    row.help = help;
    row.reload = reload;
    row.standard = std::move(standard);
    row.type = Shape::type();
    row.accepted = Shape::expected(limit);
    if constexpr (ChoiceEnum<Item>) row.choices = Value<Item>::choices();
    row.read = [member, limit](const Node& node, void* object) {
      return Shape::read(node, limit, static_cast<Options*>(object)->*member);
    };
    row.write = [member](const void* object, json::Writer& out, Passwords passwords) {
      Shape::write(out, static_cast<const Options*>(object)->*member, passwords);
    };
    return row;
  }

  template <class T>
  static Row nested_row(Row::Kind kind, std::string_view name, const Section<T>& inner) {
    Row row;
    row.kind = kind;
    row.name = name;
    row.help = inner.table().help;
    row.table = std::make_shared<const Table>(inner.table());
    return row;
  }

  void add(Row row) { table_.add(std::move(row)); }

  Table table_;
};

}  // namespace headroom::config
