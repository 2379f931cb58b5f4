// headroom/pgwire/messages.h - the messages that Headroom reads or writes itself; all others pass as bytes.
//
// Owns: nothing; views into the caller's bytes. Threads: none; pure functions.
// Invariants: (1) a message that is not exactly what its type says is refused; (2) an ErrorResponse without a SQLSTATE reads as XX000, so that
//   nobody takes a missing field for a value (CVE-2026-6666).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "headroom/pgwire/frame.h"

namespace headroom::pgwire {

// An ErrorResponse or NoticeResponse.
struct Report {
  std::string severity = "ERROR";
  std::string sqlstate = "XX000";
  std::string message{};
  std::string detail{};
  std::string hint{};
};
[[nodiscard]] std::optional<Report> parse_report(std::string_view body);
void append_error(std::string& out, const Report& error);
void append_notice(std::string& out, const Report& notice);

enum class Status : char { idle = 'I', transaction = 'T', failed = 'E' };
[[nodiscard]] std::optional<Status> parse_ready(std::string_view body);
void append_ready(std::string& out, Status status);

struct Named {
  std::string_view name;
  std::string_view value;
};
[[nodiscard]] std::optional<Named> parse_parameter_status(std::string_view body);
void append_parameter_status(std::string& out, std::string_view name, std::string_view value);

struct BackendKey {
  std::uint32_t pid = 0;
  std::string_view key;  // 4 to 256 bytes
};
[[nodiscard]] std::optional<BackendKey> parse_backend_key(std::string_view body);
void append_backend_key(std::string& out, std::uint32_t pid, std::string_view key);

struct Parse {
  std::string_view name;
  std::string_view query;
  std::string_view types;  // count and oids, as they stand
};
[[nodiscard]] std::optional<Parse> parse_parse(std::string_view body);
void append_parse(std::string& out, std::string_view name, std::string_view query,
                  std::string_view types);

struct Bind {
  std::string_view portal;
  std::string_view statement;
  std::string_view rest;  // formats and values, as they stand
};
[[nodiscard]] std::optional<Bind> parse_bind(std::string_view body);

// Describe and Close.
struct Target {
  char kind = 0;  // 'S' or 'P'
  std::string_view name;
};
[[nodiscard]] std::optional<Target> parse_target(std::string_view body);
void append_target(std::string& out, char type, const Target& target);

void append_query(std::string& out, std::string_view text);
// A message with an empty body: Sync, ParseComplete, CloseComplete, ...
void append_empty(std::string& out, char type);
void append_command_complete(std::string& out, std::string_view tag);

// Rows of text, for what Headroom answers itself.
struct Column {
  std::string_view name;
  std::uint32_t type = 25;  // text; 20: bigint, 23: integer
};
void append_row_description(std::string& out, std::span<const Column> columns);
void append_row(std::string& out, std::span<const std::optional<std::string>> values);
// The values of a DataRow; nothing when it is not whole.
[[nodiscard]] std::optional<std::vector<std::optional<std::string_view>>> parse_row(
    std::string_view body);

// Authentication.
enum class Auth : std::uint32_t {
  ok = 0,
  cleartext = 3,
  md5 = 5,
  sasl = 10,
  sasl_continue = 11,
  sasl_final = 12
};
void append_auth(std::string& out, Auth code, std::string_view data = {});
void append_negotiate(std::string& out, std::uint32_t newest_minor,
                      std::span<const std::string> unknown);

}  // namespace headroom::pgwire
