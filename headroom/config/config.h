// headroom/config/config.h - the settings of all rooms: read once, whole, from defaults, file,
// environment and flags.
//
//   config::Schema schema;
//   schema.add(edge_section());
//   auto settings = schema.load({.file = document, .environment = config::process_environment(),
//   .flags = flags}); if (!settings) { std::cerr << settings.error().message; return 2; }     //
//   every error, one a line const EdgeOptions& edge = (*settings)->get<EdgeOptions>();
//
// Owns: a Schema owns copies of the sections' tables; Settings own the options structs and what is
// known of each value. Threads: a Schema is built and used by main's thread; Settings never change
// and may be read from any thread: share them as
//   std::shared_ptr<const Settings>, and load anew to reload.
// Invariants: (1) defaults < file < the seeds' variables (aliases) < HEADROOM_ variables < flags;
// (2) nothing unknown is
//   passed over: a misspelt key, section or HEADROOM_ variable is refused; (3) a secret, and a
//   password in a URL, appears in no text made here, errors included.
// Limits: files of 4 MiB, 20 errors told at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "headroom/base/assert.h"
#include "headroom/base/error.h"
#include "headroom/config/section.h"
#include "headroom/config/values.h"

namespace headroom::config {

// A settings file that has been read.
struct Document {
  std::string name;  // for messages: the path as given
  std::string text;
};
// Blocks on the disk.
[[nodiscard]] Result<Document> read_document(const std::string& path);

using Environment = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] Environment process_environment();

// One value of the command line. `path` is "edge.listen"; an element of a list is
// "edge.upstreams[0].url", one past the last element appends, and the value "[]" for
// "edge.upstreams" empties the list first.
struct Assignment {
  std::string path;
  std::string value;
  std::string flag = "--set";  // for messages: the flag that the user wrote
};
// "edge.listen=:9000".
[[nodiscard]] Result<Assignment> parse_assignment(std::string_view text);

struct Sources {
  std::optional<Document> file{};
  Environment environment{};
  std::vector<Assignment> flags{};
};

// What is known of one effective value.
struct Entry {
  std::string
      path;  // "edge.upstreams[0].url"; a list has one of its own, with its number of elements
  std::string json;  // the value as JSON, secrets and passwords hidden
  Origin origin{};
  Reload reload = Reload::restart;
  bool secret = false;
  std::uint64_t digest = 0;  // of the value with its secrets, for differences()
};

class Settings {
 public:
  template <class Options>
  [[nodiscard]] const Options& get() const {
    const auto found = objects_.find(typeid(Options));
    HR_ASSERT((found != objects_.end()));  // its section was never added to the schema
    return *static_cast<const Options*>(found->second.get());
  }

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

  // {"settings":[{"name":"edge.listen","value":"...","origin":"headroom.toml:3","reload":"restart"},
  // ...]}, secrets hidden.
  [[nodiscard]] std::string to_json() const;

 private:
  friend class Schema;
  friend class Loader;
  std::map<std::type_index, std::shared_ptr<const void>> objects_;
  std::vector<Entry> entries_;
};

struct Change {
  std::string path;
  Reload reload = Reload::restart;
  std::string before;  // JSON, secrets hidden
  std::string after;
};
// What a reload changes. An added or removed element of a list is one change, of the list.
[[nodiscard]] std::vector<Change> differences(const Settings& before, const Settings& after);

class Schema {
 public:
  // Two sections may not have one name, nor one type of options; HEADROOM_ names must not collide.
  template <class Options>
  void add(const Section<Options>& section) {
    add(section.table(), typeid(Options));
  }

  // A HEADROOM_ variable that somebody else reads (HEADROOM_CONFIG).
  void allow_variable(std::string name) { allowed_variables_.push_back(std::move(name)); }

  // A rule over several sections, called when all are valid by themselves.
  void check(std::function<Result<void>(const Settings&)> rule) {
    checks_.push_back(std::move(rule));
  }

  // Errc::invalid with all errors, one a line.
  [[nodiscard]] Result<std::shared_ptr<const Settings>> load(const Sources& sources) const;

  // For `--help`: each setting with its default.
  [[nodiscard]] std::string help_text() const;
  // docs/config.md.
  [[nodiscard]] std::string markdown() const;
  // The file's JSON Schema (draft 2020-12), for editors.
  [[nodiscard]] std::string json_schema() const;

 private:
  struct TopSection {
    Table table;
    std::type_index type;
  };

  void add(const Table& table, std::type_index type);
  void lay_variables(Node& root, const Sources& sources, std::vector<std::string>& errors) const;
  void refuse_unknown_sections(const Node& root, std::vector<std::string>& errors) const;

  std::vector<TopSection> sections_;
  std::vector<std::string> allowed_variables_;
  std::vector<std::function<Result<void>(const Settings&)>> checks_;
};

}  // namespace headroom::config
