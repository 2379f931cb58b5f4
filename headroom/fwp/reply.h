// headroom/fwp/reply.h - the server's answers (RESP2): +OK, -ERR ..., $<bytes> and a text, $-1.
//
// Owns: nothing; appends to the caller's string. Threads: any.
// Invariants: (1) a line holds no \r or \n but its own, whatever it is made from. Limits: error texts of 500 bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "headroom/base/error.h"

namespace headroom::fwp {

inline constexpr std::string_view kOk = "+OK\r\n";
inline constexpr std::string_view kNull = "$-1\r\n";

void append_simple(std::string& out, std::string_view text);
void append_bulk(std::string& out, std::string_view text);
// "-<kind> <message>": ERR, NOTUNIQUE, SHUTDOWN.
void append_error(std::string& out, std::string_view kind, std::string_view message);

// What the server says first: no space within the JSON, for clients that split the line by spaces. `salt` empty: no password is asked for.
[[nodiscard]] std::string greeting(std::string_view salt = {}, std::uint32_t rounds = 0);

}  // namespace headroom::fwp
