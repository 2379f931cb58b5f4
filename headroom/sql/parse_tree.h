// headroom/sql/parse_tree.h - the only file that speaks to PostgreSQL's own parser (libpg_query): a text in, a Decision out.
//
// Owns: nothing; the tree lives and ends within the call. Threads: any; the parser's memory is its thread's.
// Invariants: (1) an error of the parser or of its walker never leaves this file: such a text is opaque; (2) only what the walker knows is given
//   to it, and never deeper than Classifier::kDeepest, as its own check of the stack is a stub (research: probes, SQL parser); (3) neither
//   protobuf output nor normalize is called on anything: they overflow the stack.
#pragma once

#include <string_view>

#include "headroom/sql/classify.h"

namespace headroom::sql {

// Without NUL bytes.
[[nodiscard]] Decision read_tree(std::string_view text);

}  // namespace headroom::sql
