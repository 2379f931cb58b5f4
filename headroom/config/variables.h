// headroom/config/variables.h - lays the values of the environment and of flags over the tree of
// the file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/base/error.h"
#include "headroom/config/config.h"
#include "headroom/config/section.h"

namespace headroom::config {

// A setting that the environment can name, or a list of sections, which it cannot set.
struct Variable {
  std::string name;  // "HEADROOM_SQL_CACHE_AUTO"
  std::string path;  // "sql.cache.auto"
  bool settable = true;
};

// "sql.cache.auto" -> "HEADROOM_SQL_CACHE_AUTO".
[[nodiscard]] std::string variable_name(std::string_view path);

// Of every setting of a section; what lies inside lists has none.
[[nodiscard]] std::vector<Variable> variables_of(const Table& table);

// The aliases of a section and of the sections in it, with full paths.
[[nodiscard]] std::vector<Alias> aliases_of(const Table& table);

// Lays `environment` over `root`; what cannot be set is told in `errors`. `aliases` have full
// paths.
void lay_environment(Node& root, const Environment& environment, std::span<const Variable> known,
                     std::span<const Alias> aliases, std::span<const std::string> allowed,
                     std::vector<std::string>& errors);

// Lays one assignment over `root`. Whether the setting exists is seen when the tree is read.
[[nodiscard]] Result<void> lay_assignment(Node& root, const Assignment& assignment);

}  // namespace headroom::config
