// headroom/config/toml.h - a TOML text as a tree of Nodes, each with the file and line it stands
// on.
#pragma once

#include "headroom/base/error.h"
#include "headroom/config/config.h"
#include "headroom/config/section.h"

namespace headroom::config {

// Errc::invalid with "file:line: ..." for the first thing that is not TOML, a repeated key among
// them.
[[nodiscard]] Result<Node> parse_toml(const Document& document);

}  // namespace headroom::config
