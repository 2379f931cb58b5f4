// headroom/sql/comment.h - what an app tells the proxy in its SQL: the trailing comment of sqlcommenter, and settings that begin with "headroom.".
//
// Functions of the text, bounded by its length. Threads: any.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace headroom::sql {

struct TrailingComment {
  std::string_view text{};         // before it; all, where there is none
  std::string_view traceparent{};  // "" if it has none
};
// SELECT 1 /*action='x',traceparent='00-...-01'*/; (https://google.github.io/sqlcommenter/spec)
[[nodiscard]] TrailingComment cut_comment(std::string_view text);
[[nodiscard]] std::string_view without_comment(std::string_view text);

// BEGIN or START TRANSACTION come first.
[[nodiscard]] bool begins_transaction(std::string_view text);

// What BEGIN or START TRANSACTION says of its transaction; nothing for all else, and for a text of several statements.
struct BeginMode {
  bool read_only = false;
  bool read_write = false;
  bool isolation_given = false;
  bool read_committed = false;  // by name
};
[[nodiscard]] std::optional<BeginMode> begin_mode(std::string_view text);

struct OwnSetting {
  std::string name;   // "session" or "traceparent"
  std::string value;  // "" after RESET or DEFAULT
  bool local = false;
};
// SET [SESSION | LOCAL] headroom.session = 'x', RESET headroom.session; nothing for all else, and for a text of several statements.
[[nodiscard]] std::optional<OwnSetting> own_setting(std::string_view text);

}  // namespace headroom::sql
