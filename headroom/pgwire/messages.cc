#include "headroom/pgwire/messages.h"

namespace headroom::pgwire {
namespace {

void append_report(std::string& out, char type, const Report& report) {
  Message message(out, type);
  const auto field = [&message](char code, std::string_view value) {
    if (!value.empty()) message.u8(static_cast<std::uint8_t>(code)).text(value);
  };
  field('S', report.severity);
  field('V', report.severity);
  field('C', report.sqlstate);
  field('M', report.message);
  field('D', report.detail);
  field('H', report.hint);
  message.u8(0);
}

}  // namespace

std::optional<Report> parse_report(std::string_view body) {
  Reader in(body);
  Report report;
  for (;;) {
    const auto code = static_cast<char>(in.u8());
    if (in.failed()) return std::nullopt;
    if (code == 0) break;
    const std::string_view value = in.text();
    if (in.failed()) return std::nullopt;
    switch (code) {
      case 'V': report.severity = value; break;
      case 'C': report.sqlstate = value.size() == 5 ? value : "XX000"; break;
      case 'M': report.message = value; break;
      case 'D': report.detail = value; break;
      case 'H': report.hint = value; break;
      default: break;
    }
  }
  if (!in.done()) return std::nullopt;
  return report;
}

void append_error(std::string& out, const Report& error) {
  append_report(out, from_server::kError, error);
}
void append_notice(std::string& out, const Report& notice) {
  append_report(out, from_server::kNotice, notice);
}

std::optional<Status> parse_ready(std::string_view body) {
  if (body.size() != 1 || std::string_view("ITE").find(body[0]) == std::string_view::npos)
    return std::nullopt;
  return static_cast<Status>(body[0]);
}

void append_ready(std::string& out, Status status) {
  out.append("Z\0\0\0\5", 5).push_back(static_cast<char>(status));  // behind every answer
}

std::optional<Named> parse_parameter_status(std::string_view body) {
  Reader in(body);
  const Named named{in.text(), in.text()};
  if (!in.done()) return std::nullopt;
  return named;
}

void append_parameter_status(std::string& out, std::string_view name, std::string_view value) {
  Message(out, from_server::kParameterStatus).text(name).text(value);
}

std::optional<BackendKey> parse_backend_key(std::string_view body) {
  Reader in(body);
  const BackendKey key{in.u32(), in.rest()};
  if (in.failed() || key.key.size() < 4 || key.key.size() > 256) return std::nullopt;
  return key;
}

void append_backend_key(std::string& out, std::uint32_t pid, std::string_view key) {
  Message(out, from_server::kBackendKey).u32(pid).bytes(key);
}

std::optional<Parse> parse_parse(std::string_view body) {
  Reader in(body);
  Parse parse{in.text(), in.text(), {}};
  parse.types = in.rest();
  if (in.failed() || parse.types.size() < 2) return std::nullopt;
  Reader types(parse.types);
  const std::size_t count = types.u16();
  if (types.left() != 4 * count) return std::nullopt;
  return parse;
}

void append_parse(std::string& out, std::string_view name, std::string_view query,
                  std::string_view types) {
  Message(out, from_client::kParse).text(name).text(query).bytes(types);
}

std::optional<Bind> parse_bind(std::string_view body) {
  Reader in(body);
  Bind bind{in.text(), in.text(), {}};
  bind.rest = in.rest();
  if (in.failed()) return std::nullopt;
  return bind;
}

std::optional<Target> parse_target(std::string_view body) {
  Reader in(body);
  const Target target{static_cast<char>(in.u8()), in.text()};
  if (!in.done() || (target.kind != 'S' && target.kind != 'P')) return std::nullopt;
  return target;
}

void append_target(std::string& out, char type, const Target& target) {
  Message(out, type).u8(static_cast<std::uint8_t>(target.kind)).text(target.name);
}

void append_query(std::string& out, std::string_view text) {
  Message(out, from_client::kQuery).text(text);
}
void append_empty(std::string& out, char type) { const Message message(out, type); }
void append_command_complete(std::string& out, std::string_view tag) {
  Message(out, from_server::kCommandComplete).text(tag);
}

void append_row_description(std::string& out, std::span<const Column> columns) {
  Message message(out, from_server::kRowDescription);
  message.u16(static_cast<std::uint16_t>(columns.size()));
  for (const Column& column : columns) {
    const std::uint16_t size = column.type == 20 ? 8 : column.type == 23 ? 4 : 0xffff;
    message.text(column.name).u32(0).u16(0).u32(column.type).u16(size).u32(0xffffffff).u16(0);
  }
}

void append_row(std::string& out, std::span<const std::optional<std::string>> values) {
  Message message(out, from_server::kDataRow);
  message.u16(static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) {
    if (value)
      message.u32(static_cast<std::uint32_t>(value->size())).bytes(*value);
    else
      message.u32(0xffffffff);
  }
}

std::optional<std::vector<std::optional<std::string_view>>> parse_row(std::string_view body) {
  Reader in(body);
  const std::size_t count = in.u16();
  if (count * 4 > in.left()) return std::nullopt;
  std::vector<std::optional<std::string_view>> values;
  values.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t size = in.u32();
    if (size == 0xffffffff)
      values.emplace_back();
    else
      values.emplace_back(in.bytes(size));
    if (in.failed()) return std::nullopt;
  }
  if (!in.done()) return std::nullopt;
  return values;
}

void append_auth(std::string& out, Auth code, std::string_view data) {
  Message(out, from_server::kAuthentication).u32(static_cast<std::uint32_t>(code)).bytes(data);
}

void append_negotiate(std::string& out, std::uint32_t newest_minor,
                      std::span<const std::string> unknown) {
  Message message(out, from_server::kNegotiate);
  message.u32(newest_minor).u32(static_cast<std::uint32_t>(unknown.size()));
  for (const std::string& name : unknown) message.text(name);
}

}  // namespace headroom::pgwire
