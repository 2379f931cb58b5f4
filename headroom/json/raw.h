// headroom/json/raw.h - pieces of a JSON text as they were written: numbers of any length keep their digits, which a parsed value would round.
//
// Owns: nothing. Worker: any. Limits: texts that parse() took; for others what comes back is some part of them.
#pragma once

#include <string>
#include <string_view>

namespace headroom::json {

// The value of an object's member; of several of that name the last, as parse() has it; "" where there is none.
[[nodiscard]] std::string_view raw_member(std::string_view text, std::string_view name);
// Without white space between its parts, so also on one line.
[[nodiscard]] std::string compacted(std::string_view text);

}  // namespace headroom::json
