#include "headroom/pgwire/startup.h"

namespace headroom::pgwire {
namespace {

constexpr std::uint32_t kCancelCode = 80877102;
constexpr std::uint32_t kSslCode = 80877103;
constexpr std::uint32_t kGssCode = 80877104;
constexpr std::size_t kShortestKey = 4;
constexpr std::size_t kLongestKey = 256;

Result<Startup> parse_cancel(Reader in) {
  Startup cancel{.kind = Startup::Kind::cancel};
  cancel.pid = in.u32();
  cancel.key = in.rest();
  if (in.failed() || cancel.key.size() < kShortestKey || cancel.key.size() > kLongestKey)
    return fail(Errc::protocol, "invalid cancel request");
  return cancel;
}

Result<Startup> parse_parameters(Reader in, std::uint32_t protocol) {
  Startup start{.protocol = protocol};
  for (;;) {
    const std::string_view name = in.text();
    if (in.failed()) return fail(Errc::protocol, "invalid start-up packet: it has no end");
    if (name.empty()) break;
    const std::string_view value = in.text();
    if (in.failed())
      return fail(Errc::protocol, "invalid start-up packet: a parameter has no value");
    if (name.starts_with("_pq_."))
      start.unknown.emplace_back(name);
    else
      start.parameters.emplace_back(name, value);
  }
  if (!in.done()) return fail(Errc::protocol, "invalid start-up packet: bytes behind its end");
  return start;
}

}  // namespace

std::string_view Startup::parameter(std::string_view name) const {
  std::string_view value;
  for (const auto& [each, its_value] : parameters) {
    if (each == name) value = its_value;
  }
  return value;
}

Result<std::uint32_t> startup_size(std::string_view bytes) {
  const std::uint32_t size = read_u32(bytes.data());
  if (size < 8 || size > kLongestStartup)
    return fail(Errc::protocol, "invalid length of start-up packet");
  return size;
}

Result<Startup> parse_startup(std::string_view packet) {
  Reader in(packet);
  const std::uint32_t size = in.u32();
  const std::uint32_t code = in.u32();
  if (in.failed() || size != packet.size())
    return fail(Errc::protocol, "invalid length of start-up packet");
  if (code == kCancelCode) return parse_cancel(in);
  if (code == kSslCode || code == kGssCode) {
    if (!in.done()) return fail(Errc::protocol, "invalid length of start-up packet");
    return Startup{.kind = code == kSslCode ? Startup::Kind::ssl : Startup::Kind::gss};
  }
  if (code >> 16U != 3)
    return fail(Errc::invalid, "unsupported frontend protocol: only 3.0 to 3.2 are supported");
  return parse_parameters(in, code);
}

void append_startup(std::string& out,
                    const std::vector<std::pair<std::string, std::string>>& parameters) {
  Message packet(out);
  packet.u32(kProtocol30);
  for (const auto& [name, value] : parameters) packet.text(name).text(value);
  packet.u8(0);
}

void append_ssl_request(std::string& out) { Message(out).u32(kSslCode); }

void append_cancel(std::string& out, std::uint32_t pid, std::string_view key) {
  Message(out).u32(kCancelCode).u32(pid).bytes(key);
}

}  // namespace headroom::pgwire
